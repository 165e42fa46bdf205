//! Definitions and chart are taken away and come back: nothing that is leased is lost, and all of it is taken up again.
//!
//! Whoever removes the definition of a kind removes all of its objects, past every admission policy. The manifests, which
//! people keep, are applied again, and find the leases that the ledger has.

#[cfg(test)]
mod reinstall {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::{
        LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota, ServiceAccount,
    };
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use k8s_openapi::api::rbac::v1::RoleBinding;
    use kube::Resource;
    use leasehold_api::charging::Approval;
    use leasehold_api::conditions::{self, types};
    use leasehold_api::tenancy::{Department, Phase, Tenancy};
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::document::{
        Document, EffectiveDoc, IncarnationDoc, NamespaceDoc, NamespaceGoneDoc, RequestDoc,
    };
    use leasehold_ledger::fact::{FactKind, Meter};
    use leasehold_store::{FactFilter, Store};
    use leasehold_testkit::manifests::{self, example, pod};
    use leasehold_testkit::{
        LONG, NAMESPACE, OperatorOptions, OperatorProcess, SERVICE_ACCOUNT, Session, User,
    };
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    const CODE: &str = "lasting";
    const PLACE: &str = "lasting--prod";
    const NAME: &str = "政务服务局";
    const LEASE: [(&str, &str); 3] = [("vcpu-x86", "4"), ("memory", "8Gi"), ("block-ssd", "100Gi")];

    /// What the operator does while the definitions go.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Operator {
        /// It runs with its rights, sees everything vanish, and goes on when it is back: the chart is there all along.
        Runs,
        /// It runs on when the chart has gone, and has no right any more. The chart's next installation starts a new one.
        RunsWithoutRights,
        /// It does not run.
        Stopped,
    }

    /// The manifest of the lease: 4 cores and a named volume.
    fn lease(office: &Office) -> Value {
        let mut manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        let files = json!([{"name": "files", "item": "block-ssd", "size": "10Gi"}]);
        manifest["spec"]["namespaces"][0]["volumes"] = files;
        manifest
    }

    /// The lease stands, and a pod runs on its volume.
    async fn work(office: &Office, admin: &Session) {
        let disk = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "lasting-disk"},
            "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "ssd",
                "hostPath": {"path": "/mnt/lasting"},
            },
        });
        admin.create(&disk).await.unwrap();
        office.lease(&lease(office)).await.unwrap();
        let mut web = pod(PLACE, "web", "1", "1Gi", None);
        let volume = json!({"name": "files", "persistentVolumeClaim": {"claimName": "files"}});
        web["spec"]["volumes"] = json!([volume]);
        office.staff.create(&web).await.unwrap();
        let running = office.stage.see("a pod on the volume", LONG, async || {
            let web = office.staff.get::<Pod>(Some(PLACE), "web").await?;
            let phase = web.status.as_ref().and_then(|status| status.phase.clone());
            if phase.as_deref() == Some("Running") {
                Ok(())
            } else {
                Err(format!("{:?}", web.status))
            }
        });
        running.await.unwrap();
    }

    /// The objects of a kind in a namespace: what each is called, and its uid. None of them is being deleted.
    async fn identities<K>(admin: &Session, place: &str) -> BTreeMap<String, String>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let all = admin.list::<K>(Some(place)).await.unwrap();
        all.iter()
            .map(|object| {
                let meta = object.meta();
                let name = meta.name.clone().unwrap();
                assert_eq!(meta.deletion_timestamp, None, "{name}");
                let title = format!("{} {place}/{name}", K::kind(&()));
                (title, meta.uid.clone().unwrap())
            })
            .collect()
    }

    /// What must outlive definitions and chart: namespaces and what is in them, with the quota's amounts.
    async fn lasting(admin: &Session) -> BTreeMap<String, String> {
        let office = manifests::office(CODE);
        let mut all = BTreeMap::new();
        for name in [PLACE, office.as_str()] {
            let namespace = admin.get::<Namespace>(None, name).await.unwrap();
            assert_eq!(namespace.metadata.deletion_timestamp, None, "{name}");
            all.insert(format!("Namespace {name}"), namespace.metadata.uid.unwrap());
            all.extend(identities::<RoleBinding>(admin, name).await);
        }
        all.extend(identities::<ResourceQuota>(admin, PLACE).await);
        all.extend(identities::<LimitRange>(admin, PLACE).await);
        all.extend(identities::<NetworkPolicy>(admin, PLACE).await);
        all.extend(identities::<PersistentVolumeClaim>(admin, PLACE).await);
        all.extend(identities::<Pod>(admin, PLACE).await);
        all.extend(identities::<ServiceAccount>(admin, PLACE).await);
        let quota = admin.get::<ResourceQuota>(Some(PLACE), "leasehold").await;
        let quota = quota.unwrap();
        let hard = quota.spec.and_then(|spec| spec.hard).unwrap();
        all.insert("asked".to_owned(), format!("{hard:?}"));
        let hard = quota.status.and_then(|status| status.hard).unwrap();
        all.insert("counted".to_owned(), format!("{hard:?}"));
        all
    }

    /// Takes away every definition, and perhaps the chart before it.
    async fn take_away(stage: &Stage, admin: &Session, operator: Operator) {
        if operator == Operator::Stopped {
            stage.operator.lock().await.terminate();
        }
        if operator != Operator::Runs {
            let uninstall = ["uninstall", "leasehold", "--namespace", NAMESPACE];
            stage.rig.helm(&uninstall).await.unwrap().ok().unwrap();
        }
        let definitions = leasehold_api::definitions();
        let names = definitions
            .iter()
            .map(|definition| definition.metadata.name.as_deref().unwrap());
        let mut delete = vec!["delete", "crd", "--timeout=120s"];
        delete.extend(names);
        admin.kubectl(&delete, "").await.unwrap().ok().unwrap();
        let office = manifests::office(CODE);
        // of a group that nobody defines the API server knows no page
        let is_gone = match admin.find::<Tenancy>(Some(&office), "oa").await {
            Ok(tenancy) => tenancy.is_none(),
            Err(failure) => format!("{failure:?}").contains("404"),
        };
        assert!(is_gone, "the definitions are still there");
    }

    /// Brings back what was taken away, empty.
    async fn bring_back(stage: &Stage, operator: Operator) {
        stage.rig.install().await.unwrap();
        if operator == Operator::Runs {
            return;
        }
        let mut process = stage.operator.lock().await;
        process.terminate();
        let options = OperatorOptions::with_ledger(process.ledger().to_owned());
        *process = OperatorProcess::start(stage.rig, options).await.unwrap();
    }

    /// Office, data centre and finance apply again what they keep; nobody publishes the prices a second time.
    async fn platform_again(stage: &Stage) {
        let office = stage.user(User::Office).await.unwrap();
        office.apply(&Stage::policy().unwrap()).await.unwrap();
        for (user, file) in [
            (User::DataCentre, "02-platform.yaml"),
            (User::SUN, "03-prices.yaml"),
        ] {
            let session = stage.user(user).await.unwrap();
            for manifest in example(file, "").unwrap() {
                session.apply(&manifest).await.unwrap();
            }
        }
        stage.published("huangshi-2026").await.unwrap();
        let department = manifests::department(CODE, NAME);
        office.apply(&department).await.unwrap();
    }

    /// Waits until the Department says so of its tenancy: that it is billed without an object, or that it is not.
    async fn detached(stage: &Stage, expected: &[&str]) {
        let admin = stage.user(User::Admin).await.unwrap();
        let what = format!("a department with detached {expected:?}");
        let seen = stage.see(&what, LONG, async || {
            let department = admin.get::<Department>(None, CODE).await?;
            let status = department.status.unwrap_or_default();
            let holds = conditions::holds(&status.conditions, types::DETACHED);
            if status.detached == expected
                && holds != expected.is_empty()
                && status.office_namespace.is_some()
            {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        });
        seen.await.unwrap();
    }

    /// The department applies again what it keeps: the lease goes on under its numbers, and nobody is asked.
    async fn department_again(stage: &'static Stage) {
        let office = Office::open(stage, CODE).await.unwrap();
        office.system().await.unwrap();
        office.staff.apply(&lease(&office)).await.unwrap();
        let tenancy = office.phase("oa", Phase::Active).await.unwrap();
        let status = tenancy.status.unwrap();
        let request = status.request.unwrap();
        assert_eq!((status.incarnation, request.number), (Some(1), 1));
        assert!(status.pending.is_empty(), "{:?}", status.pending);
        let auditor = stage.user(User::Auditor).await.unwrap();
        let asked = auditor.list::<Approval>(Some(&office.place)).await.unwrap();
        assert!(asked.is_empty(), "{asked:?}");
    }

    async fn documents<D: Document>(store: &Store, subject: Option<&str>) -> Vec<D> {
        let found = store.documents::<D>(subject, None).await.unwrap();
        found.into_iter().map(|found| found.value).collect()
    }

    /// One life, one request, one namespace; each item was begun once, and nothing has ended or changed it.
    async fn the_ledger_knows_of_nothing(stage: &Stage, namespace: &str) {
        let ledger = stage.operator.lock().await.ledger().to_owned();
        let store = Store::open_read_only(&ledger).await.unwrap();
        let subject = Some("lasting/oa");
        let numbers = (
            documents::<IncarnationDoc>(&store, subject).await.len(),
            documents::<RequestDoc>(&store, subject).await.len(),
            documents::<EffectiveDoc>(&store, subject).await.len(),
            documents::<NamespaceGoneDoc>(&store, None).await.len(),
        );
        assert_eq!(numbers, (1, 1, 1, 0));
        let namespaces: Vec<String> = documents::<NamespaceDoc>(&store, subject)
            .await
            .into_iter()
            .map(|document| document.uid)
            .collect();
        assert_eq!(namespaces, [namespace]);
        let filter = FactFilter {
            department: Some(CODE.to_owned()),
            ..FactFilter::default()
        };
        let facts = store.facts(&filter).await.unwrap();
        store.close().await.unwrap();
        let mut billed: Vec<(String, FactKind)> = facts
            .into_iter()
            .filter_map(|fact| match fact.value.meter {
                Meter::Lease { item } => Some((item, fact.value.kind)),
                Meter::Pod { .. } | Meter::Claim { .. } | Meter::Declared { .. } => None,
            })
            .collect();
        billed.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = ["block-ssd", "memory", "vcpu-x86"];
        assert_eq!(
            billed,
            expected.map(|item| (item.to_owned(), FactKind::Opened))
        );
    }

    /// The operator has deleted nothing that a lease is made of, whatever it saw.
    fn nothing_was_deleted(stage: &Stage) {
        let kept = [
            "namespaces",
            "resourcequotas",
            "limitranges",
            "networkpolicies",
            "rolebindings",
            "persistentvolumeclaims",
            "pods",
        ];
        let writes = stage.rig.writes().unwrap();
        let deleted: Vec<_> = writes
            .iter()
            .filter(|write| {
                write.user == SERVICE_ACCOUNT
                    && write.verb.starts_with("delete")
                    && kept.contains(&write.resource.as_str())
            })
            .collect();
        assert!(deleted.is_empty(), "{deleted:?}");
    }

    /// Whether the operator that ran before is there, and still the same process.
    async fn is_alive(stage: &Stage, before: u32) -> bool {
        let mut process = stage.operator.lock().await;
        process.is_running() && process.id() == before
    }

    #[tokio::test]
    async fn without_the_definitions_and_the_chart_every_lease_stands_and_is_taken_up_again() {
        let stage = Stage::shared().await.unwrap();
        let admin = stage.user(User::Admin).await.unwrap();
        let office = stage.office(CODE, NAME).await.unwrap();
        work(&office, &admin).await;
        let before = lasting(&admin).await;
        let namespace = before[&format!("Namespace {PLACE}")].clone();
        for operator in [
            Operator::Runs,
            Operator::RunsWithoutRights,
            Operator::Stopped,
        ] {
            let process = stage.operator.lock().await.id();
            take_away(stage, &admin, operator).await;
            assert_eq!(lasting(&admin).await, before, "{operator:?}");
            let runs = operator != Operator::Stopped;
            assert_eq!(is_alive(stage, process).await, runs, "{operator:?}");
            bring_back(stage, operator).await;
            platform_again(stage).await;
            detached(stage, &["oa"]).await;
            assert_eq!(lasting(&admin).await, before, "{operator:?}");
            department_again(stage).await;
            detached(stage, &[]).await;
            assert_eq!(lasting(&admin).await, before, "{operator:?}");
            if operator == Operator::Runs {
                assert!(is_alive(stage, process).await, "it was started anew");
            }
            the_ledger_knows_of_nothing(stage, &namespace).await;
        }
        nothing_was_deleted(stage);
        let auditor = stage.user(User::Auditor).await.unwrap();
        let folder = stage.rig.scratch("reinstalled").unwrap();
        let copy = stage.operator.lock().await.copy_ledger(&folder).unwrap();
        let copy = copy.display().to_string();
        let verified = auditor.leasehold(&["verify", "--db", &copy]).await;
        verified.unwrap().ok().unwrap();
    }
}
