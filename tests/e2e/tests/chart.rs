//! The chart as an administrator installs it, the operator's StatefulSet included.
//!
//! kwok plays the kubelet: the pod is admitted, gets its node and its volume and becomes ready, and nothing
//! runs in it. What would run there runs beside it: the same program, with a token of the same
//! `ServiceAccount`. Manifests and values are those of the guide to the installation, read from its page.

#[cfg(test)]
mod chart {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use k8s_openapi::api::apps::v1::StatefulSet;
    use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::Resource;
    use leasehold_api::tenancy::Department;
    use leasehold_testkit::{
        HEAP, LONG, NAMESPACE, OperatorOptions, OperatorProcess, Ran, Rig, Session, User,
        eventually, manifests, repository,
    };
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use tokio::sync::OnceCell;

    const POD: &str = "leasehold-0";
    const CLAIM: &str = "ledger-leasehold-0";
    /// The one volume that there is.
    const DISK: &str = "ledger-disk";
    /// A namespace in which nothing is ever made.
    const ELSEWHERE: &str = "elsewhere";
    /// The department.
    const CODE: &str = "chart";

    static CLUSTER: OnceCell<Rig> = OnceCell::const_new();

    /// A control plane with what is there before leasehold comes, made by the cluster's administrator.
    async fn cluster() -> &'static Rig {
        let made = CLUSTER.get_or_init(|| async {
            let rig = Rig::empty().await.unwrap();
            let admin = rig.user(User::Admin).await.unwrap();
            for manifest in ground() {
                admin.create(&manifest).await.unwrap();
            }
            rig
        });
        made.await
    }

    /// Two namespaces, a node, and a disk of the class that the guide names. There is no provisioner.
    fn ground() -> [Value; 5] {
        let hostname = "kubernetes.io/hostname";
        let here = json!({"key": hostname, "operator": "In", "values": ["node-1"]});
        [
            namespace(NAMESPACE),
            namespace(ELSEWHERE),
            json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": "node-1", "labels": {hostname: "node-1"}},
            }),
            json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                "metadata": {"name": "local-ssd"},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer",
            }),
            json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": DISK},
                "spec": {
                    "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOncePod"],
                    "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "local-ssd",
                    "local": {"path": "/mnt/ssd"},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
                },
            }),
        ]
    }

    /// A namespace that the administrator has labelled as the guide says, and that warns as well.
    fn namespace(name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            }},
        })
    }

    /// The YAML that stands in the guide to the installation after these words.
    fn shown(words: &str) -> String {
        let page = repository().join("docs").join("how-to").join("install.md");
        let page = fs::read_to_string(page).unwrap();
        let (_, rest) = page.split_once(words).unwrap();
        let (_, rest) = rest.split_once("```yaml\n").unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    }

    fn chart() -> String {
        let chart = repository().join("charts").join("leasehold");
        chart.display().to_string()
    }

    /// `helm install` or `helm upgrade` with the guide's values, the people of the tests in the roles, and
    /// `more`.
    async fn helm(rig: &Rig, verb: &str, more: &[&str]) -> Ran {
        let mine = rig.scratch("values").unwrap().join("my-values.yaml");
        fs::write(&mine, shown("`my-values.yaml`:")).unwrap();
        let people = repository().join("examples").join("values.yaml");
        let [mine, people] = [mine, people].map(|path| path.display().to_string());
        let chart = chart();
        let mut arguments = vec![verb, "leasehold", &chart, "--namespace", NAMESPACE];
        arguments.extend(["--values", &mine, "--values", &people]);
        arguments.extend_from_slice(more);
        rig.helm(&arguments).await.unwrap()
    }

    /// The operator's pod, once it is as `stands` says; else what happened in its namespace.
    async fn pod(admin: &Session, what: &str, stands: impl Fn(&Pod) -> bool) -> Pod {
        let seen = eventually(what, LONG, async || {
            let pod = admin.get::<Pod>(Some(NAMESPACE), POD).await?;
            if stands(&pod) {
                Ok(pod)
            } else {
                Err(format!("{:?}", pod.status))
            }
        });
        match seen.await {
            Ok(pod) => pod,
            Err(failure) => {
                let events = ["get", "events", "--namespace", NAMESPACE];
                let events = admin.kubectl(&events, "").await.unwrap();
                panic!("{failure:?}\n{}", events.stdout)
            }
        }
    }

    fn is_ready(pod: &Pod) -> bool {
        let conditions = pod.status.iter().flat_map(|status| &status.conditions);
        let mut conditions = conditions.flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Whether it is another pod than that one.
    fn follows(pod: &Pod, before: &Pod) -> bool {
        pod.metadata.uid != before.metadata.uid
    }

    async fn await_no_pod(admin: &Session) {
        let gone = eventually("the operator's pod gone", LONG, async || {
            match admin.find::<Pod>(Some(NAMESPACE), POD).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        gone.await.unwrap();
    }

    /// The pod has the chart's identity, nothing of its host, no right that it does not need, a root that it
    /// cannot write, and no secret but the token.
    fn assert_confined(pod: &Value) {
        let spec = &pod["spec"];
        assert_eq!(spec["serviceAccountName"], "leasehold");
        for shared in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_ne!(spec[shared], true, "{shared}");
        }
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        let sources: BTreeSet<&str> = spec["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|volume| volume.as_object().unwrap().keys())
            .map(String::as_str)
            .filter(|field| *field != "name")
            .collect();
        let expected = ["emptyDir", "persistentVolumeClaim", "projected"];
        assert_eq!(sources, BTreeSet::from(expected));
        assert!(!spec["volumes"].to_string().contains("\"secret\""));

        let containers = spec["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        assert!(spec["initContainers"].is_null());
        let container = &containers[0];
        assert_eq!(container["image"], "registry.example/leasehold:0.1.0");
        assert_eq!(
            container["securityContext"],
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            })
        );
        assert_eq!(
            container["resources"],
            json!({
                "requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "2Gi"},
            })
        );
        assert!(container["envFrom"].is_null());
        for variable in container["env"].as_array().unwrap() {
            let from = &variable["valueFrom"];
            assert!(from.is_null() || from["fieldRef"].is_object(), "{variable}");
        }
    }

    /// The namespace admits no pod that is less confined.
    async fn assert_enforced(admin: &Session) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "intruder", "namespace": NAMESPACE},
            "spec": {"containers": [{"name": "main", "image": "main"}]},
        });
        let asked = admin.dry_create(&pod).await.unwrap();
        asked.refused("violates PodSecurity \"restricted").unwrap();
    }

    /// The program understands what the pod starts it with, listens where the pod is asked, and answers every
    /// probe.
    async fn assert_understood(admin: &Session, operator: &OperatorProcess, pod: &Value) {
        let container = &pod["spec"]["containers"][0];
        let words = container["args"].as_array().unwrap().iter();
        let mut arguments: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
        // help comes once everything before it was understood, and nothing is run
        arguments.push("--help");
        let help = admin.leasehold(&arguments).await.unwrap().ok().unwrap();
        let port = &container["ports"][0];
        assert_eq!(port["name"], "health");
        let listens = format!("[default: 0.0.0.0:{}]", port["containerPort"]);
        assert!(help.stdout.contains(&listens), "{}", help.stdout);
        let told: BTreeSet<&str> = help
            .stdout
            .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .collect();
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            // that one is the C library's
            let is_known = told.contains(name) || name == HEAP[0];
            assert!(is_known, "{name}: {}", help.stdout);
        }
        for (probe, page) in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            let asked = &container[probe]["httpGet"];
            assert_eq!(
                (&asked["path"], &asked["port"]),
                (&json!(page), &json!("health"))
            );
            operator.fetch(page).await.unwrap();
        }
    }

    /// Requests that the API server has served at the operator's own place, and not in line with all others of its kind.
    async fn served_apart(admin: &Session) -> f64 {
        let page = admin.kubectl(&["get", "--raw", "/metrics"], "").await;
        let page = page.unwrap().ok().unwrap().stdout;
        let lines = page.lines().filter(|line| {
            line.starts_with("apiserver_flowcontrol_dispatched_requests_total{")
                && line.contains("flow_schema=\"leasehold\"")
                && line.contains("priority_level=\"workload-high\"")
        });
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// The ledger lies on the disk, and one pod alone may mount it.
    async fn assert_bound(admin: &Session) {
        let claim = admin.get::<PersistentVolumeClaim>(Some(NAMESPACE), CLAIM);
        let claim = serde_json::to_value(claim.await.unwrap()).unwrap();
        assert_eq!(claim["status"]["phase"], "Bound");
        let spec = &claim["spec"];
        assert_eq!(spec["volumeName"], DISK);
        assert_eq!(spec["accessModes"], json!(["ReadWriteOncePod"]));
        assert_eq!(spec["storageClassName"], "local-ssd");
        assert_eq!(spec["resources"]["requests"]["storage"], "10Gi");
    }

    async fn operator(rig: &Rig) -> OperatorProcess {
        let ledger = rig.scratch("operator").unwrap().join("ledger.db");
        let options = OperatorOptions::with_ledger(ledger);
        OperatorProcess::start(rig, options).await.unwrap()
    }

    /// The office names the department, and the operator follows.
    async fn christen(rig: &Rig, admin: &Session, name: &str) {
        let office = rig.user(User::Office).await.unwrap();
        office
            .apply(&manifests::department(CODE, name))
            .await
            .unwrap();
        let followed = eventually("a department that was followed", LONG, async || {
            let Department {
                metadata, status, ..
            } = admin.get::<Department>(None, CODE).await?;
            let status = status.unwrap_or_default();
            let is_followed = status.observed_generation == metadata.generation;
            if is_followed && status.office_namespace.is_some() {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        });
        followed.await.unwrap();
    }

    /// What an object is called, and its uid; it is not being deleted. Read by the administrator: without the
    /// chart nobody else has a right.
    async fn identity<K>(admin: &Session, place: Option<&str>, name: &str) -> (String, String)
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let object = admin.get::<K>(place, name).await.unwrap();
        let meta = object.meta();
        assert_eq!(meta.deletion_timestamp, None, "{name}");
        (
            format!("{} {name}", K::kind(&())),
            meta.uid.clone().unwrap(),
        )
    }

    /// What must outlive the release.
    async fn lasting(admin: &Session) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for definition in leasehold_api::definitions() {
            let name = definition.metadata.name.unwrap();
            all.extend([identity::<CustomResourceDefinition>(admin, None, &name).await]);
        }
        let office = manifests::office(CODE);
        all.extend([
            identity::<Department>(admin, None, CODE).await,
            identity::<Namespace>(admin, None, &office).await,
            identity::<PersistentVolumeClaim>(admin, Some(NAMESPACE), CLAIM).await,
        ]);
        all
    }

    /// Backs up as the guide says, but for the copying: nothing runs in these pods.
    async fn back_up(admin: &Session) {
        let scale = async |replicas: &str| {
            let scale = [
                "scale",
                "statefulset",
                "leasehold",
                "-n",
                NAMESPACE,
                replicas,
            ];
            admin.kubectl(&scale, "").await.unwrap().ok().unwrap();
        };
        scale("--replicas=0").await;
        await_no_pod(admin).await;
        let backup = shown("`backup-pod.yaml`, with any image");
        let applied = admin.kubectl(&["apply", "-f", "-"], &backup).await.unwrap();
        applied.ok().unwrap();
        let ready = [
            "wait",
            "--for=condition=Ready",
            "--timeout=90s",
            "pod/ledger-backup",
            "-n",
            NAMESPACE,
        ];
        let ready = admin.kubectl(&ready, "").await.unwrap();
        ready.ok().unwrap();
        let gone = ["delete", "pod", "ledger-backup", "-n", NAMESPACE];
        admin.kubectl(&gone, "").await.unwrap().ok().unwrap();
        scale("--replicas=1").await;
    }

    /// Upgrades to a pod that no node takes, tries to resize the claim, and upgrades to what works.
    async fn upgrade(rig: &Rig, admin: &Session, first: &Pod) {
        let nowhere = ["--set", "operator.nodeSelector.disk=none"];
        helm(rig, "upgrade", &nowhere).await.ok().unwrap();
        let waiting = pod(admin, "a pod that waits for a node", |pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            follows(pod, first) && node.is_none()
        })
        .await;
        let larger = helm(rig, "upgrade", &["--set", "ledger.size=20Gi"]).await;
        larger.refused("updates to statefulset spec").unwrap();
        only_the_platforms(rig).await;
        helm(rig, "upgrade", &["--set", "operator.log=debug"])
            .await
            .ok()
            .unwrap();
        let debugging = pod(admin, "a ready pod after the upgrade", |pod| {
            follows(pod, first) && follows(pod, &waiting) && is_ready(pod)
        })
        .await;
        let debugging = serde_json::to_value(debugging).unwrap();
        let environment = debugging["spec"]["containers"][0]["env"]
            .as_array()
            .unwrap();
        let log = json!({"name": "RUST_LOG", "value": "debug"});
        assert!(environment.contains(&log), "{environment:?}");
    }

    /// No namespace of a department is taken out of the rules, none that it could lease, and none that cannot be.
    async fn only_the_platforms(rig: &Rig) {
        let office = manifests::office(CODE);
        let told = format!("systemNamespaces: {office} is a namespace of leasehold's");
        let leased =
            format!("systemNamespaces: {CODE}--ci could be leased by the department {CODE}");
        let refused = [
            (office, told.as_str()),
            (format!("{CODE}--ci"), leased.as_str()),
            ("Kube_System".to_owned(), "systemNamespaces"),
        ];
        for (name, words) in refused {
            let listed = format!("systemNamespaces={{{name}}}");
            let ran = helm(rig, "upgrade", &["--set", &listed]).await;
            ran.refused(words).unwrap();
        }
    }

    /// Takes the release away, and with it the operator.
    async fn uninstall(rig: &Rig, admin: &Session) {
        let uninstall = ["uninstall", "leasehold", "--namespace", NAMESPACE];
        rig.helm(&uninstall).await.unwrap().ok().unwrap();
        await_no_pod(admin).await;
        let set = admin.find::<StatefulSet>(Some(NAMESPACE), "leasehold");
        assert!(set.await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_operators_pod_is_admitted_confined_and_ready_and_its_ledger_outlives_the_release()
    {
        let rig = cluster().await;
        let admin = rig.user(User::Admin).await.unwrap();
        helm(rig, "install", &[]).await.ok().unwrap();
        rig.in_force().await.unwrap();
        let first = pod(&admin, "the operator's pod ready", is_ready).await;
        let shape = serde_json::to_value(&first).unwrap();
        assert_confined(&shape);
        assert_enforced(&admin).await;
        assert_bound(&admin).await;
        assert!(served_apart(&admin).await < 0.5, "nothing has asked yet");
        let mut process = operator(rig).await;
        assert_understood(&admin, &process, &shape).await;
        assert!(served_apart(&admin).await > 0.5);
        christen(rig, &admin, "政务服务局").await;
        let before = lasting(&admin).await;

        back_up(&admin).await;
        let second = pod(&admin, "the pod after the backup", |pod| {
            follows(pod, &first) && is_ready(pod)
        })
        .await;
        upgrade(rig, &admin, &second).await;
        assert_eq!(lasting(&admin).await, before);

        process.terminate();
        uninstall(rig, &admin).await;
        assert_eq!(lasting(&admin).await, before);

        helm(rig, "install", &[]).await.ok().unwrap();
        rig.in_force().await.unwrap();
        pod(&admin, "the operator's pod ready again", is_ready).await;
        assert_bound(&admin).await;
        let _process = operator(rig).await;
        christen(rig, &admin, "政务服务和数据局").await;
        assert_eq!(lasting(&admin).await, before);
    }

    #[tokio::test]
    async fn the_api_server_takes_every_field_of_what_the_defaults_render_to() {
        let rig = cluster().await;
        let admin = rig.user(User::Admin).await.unwrap();
        let chart = chart();
        let render = ["template", "leasehold", &chart, "--namespace", ELSEWHERE];
        let rendered = rig.helm(&render).await.unwrap().ok().unwrap();
        let mut apply = vec!["apply", "--server-side", "--force-conflicts"];
        apply.extend(["--dry-run=server", "--validate=strict", "-f", "-"]);
        let taken = admin.kubectl(&apply, &rendered.stdout).await.unwrap();
        let taken = taken.ok().unwrap();
        let set = "statefulset.apps/leasehold serverside-applied";
        assert!(taken.stdout.contains(set), "{taken:?}");
        assert!(!taken.stderr.contains("PodSecurity"), "{}", taken.stderr);
    }

    #[tokio::test]
    async fn a_ledger_in_postgresql_needs_no_volume_and_its_address_is_in_no_argument() {
        let rig = cluster().await;
        let admin = rig.user(User::Admin).await.unwrap();
        let chart = chart();
        let mut render = vec!["template", "leasehold", &chart, "--namespace", ELSEWHERE];
        let secret = "ledger.postgres.existingSecret=ledger-address";
        render.extend(["--set", secret, "--set", "ledger.postgres.caKey=ca.crt"]);
        render.extend(["--show-only", "templates/operator/statefulset.yaml"]);
        let rendered = rig.helm(&render).await.unwrap().ok().unwrap();
        let mut apply = vec!["apply", "--server-side", "--force-conflicts"];
        apply.extend([
            "--dry-run=server",
            "--validate=strict",
            "-o",
            "json",
            "-f",
            "-",
        ]);
        let taken = admin.kubectl(&apply, &rendered.stdout).await.unwrap();
        let set: Value = serde_json::from_str(&taken.ok().unwrap().stdout).unwrap();
        assert_eq!(set["spec"].get("volumeClaimTemplates"), None);
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["operator"]));
        let address = json!({"name": "LEASEHOLD_DB", "valueFrom": {"secretKeyRef":
            {"name": "ledger-address", "key": "url"}}});
        let environment = container["env"].as_array().unwrap();
        assert!(environment.contains(&address), "{environment:?}");
        // the operators of tests and benchmarks have it as well
        let heap = json!({"name": HEAP[0], "value": HEAP[1]});
        assert!(environment.contains(&heap), "{environment:?}");
        let mounts: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|mount| mount["mountPath"].as_str())
            .collect();
        assert_eq!(mounts, ["/etc/leasehold/postgres", "/tmp"]);
    }

    #[tokio::test]
    async fn a_value_that_the_chart_does_not_know_is_refused_and_named() {
        let rig = cluster().await;
        let chart = chart();
        for (value, named) in [
            ("operator.replicas=2", "replicas"),
            ("ledger.size=10GB", "/ledger/size"),
            ("ledger.postgres.url=postgres://x", "/ledger/postgres"),
            (
                "bindings.office.users={system:admin}",
                "/bindings/office/users/0",
            ),
            // the service accounts of a department's namespace are those of its pods
            (
                "cloningProvisioners[0].namespace=edu--prod,cloningProvisioners[0].serviceAccount=rbd",
                "/cloningProvisioners/0/namespace",
            ),
            (
                "cloningProvisioners[0].namespace=ceph-csi",
                "serviceAccount",
            ),
        ] {
            let render = ["template", "leasehold", &chart, "--set", value];
            let ran = rig.helm(&render).await.unwrap();
            ran.refused(named).unwrap();
        }
    }
}
