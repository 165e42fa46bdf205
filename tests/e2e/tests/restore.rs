//! etcd is put back to what it was some time ago, as from a backup, while the operator runs.
//!
//! Versions are counted again then, for other changes. The operator notices, records that another life of etcd has begun,
//! and ends; whoever keeps it running starts it again, and it lists anew. What lives goes on without a second lost or
//! doubled, what is gone is bounded, and what had ended and is back begins again.

#[cfg(test)]
mod restore {
    use std::path::Path;

    use k8s_openapi::api::core::v1::Pod;
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::document::{ClusterDoc, Document, GapDoc};
    use leasehold_ledger::fact::{Fact, FactKind};
    use leasehold_store::{FactFilter, Store, StoreError};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::{LONG, OperatorProcess, Session, User, eventually};

    const CODE: &str = "restored";
    const PLACE: &str = "restored--prod";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];
    const OPENED: (FactKind, u32) = (FactKind::Opened, 1);
    const CLOSED: (FactKind, u32) = (FactKind::Closed, 1);
    const ANEW: (FactKind, u32) = (FactKind::Opened, 2);

    async fn run(staff: &Session, name: &str) {
        staff
            .create(&pod(PLACE, name, "1", "1Gi", None))
            .await
            .unwrap();
        let what = format!("pod {name} running");
        let seen = eventually(&what, LONG, async || {
            let pod = staff.get::<Pod>(Some(PLACE), name).await?;
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if phase == Some("Running") {
                Ok(())
            } else {
                Err(format!("{:?}", pod.status))
            }
        });
        seen.await.unwrap();
    }

    /// What the ledger has of the cores of a pod, in its order.
    async fn facts(ledger: &Path, name: &str) -> Result<Vec<Fact>, String> {
        let told = |error: StoreError| error.to_string();
        let store = Store::open_read_only(ledger).await.map_err(told)?;
        let filter = FactFilter {
            department: Some(CODE.to_owned()),
            ..FactFilter::default()
        };
        let found = store.facts(&filter).await.map_err(told)?;
        store.close().await.map_err(told)?;
        let object = format!("Pod {PLACE}/{name}");
        Ok(found
            .into_iter()
            .map(|recorded| recorded.value)
            .filter(|fact| fact.subject.object == object && fact.meter.to_string() == "pod/cpu")
            .collect())
    }

    async fn documents<D: Document>(ledger: &Path) -> Vec<D> {
        let store = Store::open_read_only(ledger).await.unwrap();
        let found = store.documents::<D>(None, None).await.unwrap();
        store.close().await.unwrap();
        found.into_iter().map(|recorded| recorded.value).collect()
    }

    /// The facts of a pod, once they are of these kinds and lives of etcd.
    async fn once(ledger: &Path, name: &str, expected: &[(FactKind, u32)]) -> Vec<Fact> {
        let what = format!("{expected:?} of {name} in the ledger");
        let seen = eventually(&what, LONG, async || {
            let found = facts(ledger, name).await?;
            let told = |fact: &Fact| (fact.kind, fact.source.etcd);
            if found.iter().map(told).eq(expected.iter().copied()) {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        });
        seen.await.unwrap()
    }

    async fn remove(staff: &Session, name: &str) {
        let arguments = [
            "delete",
            "pod",
            name,
            "-n",
            PLACE,
            "--grace-period=0",
            "--force",
        ];
        staff.kubectl(&arguments, "").await.unwrap().ok().unwrap();
    }

    /// Waits until the operator has ended by itself, and starts it again, as Kubernetes does.
    async fn ends_and_is_started(operator: &mut OperatorProcess) {
        let seen = eventually("the end of the operator", LONG, async || {
            if operator.is_running() {
                Err("it runs".to_owned())
            } else {
                Ok(())
            }
        });
        seen.await.unwrap();
        assert!(
            operator.tail().contains("etcd was restored"),
            "{}",
            operator.tail()
        );
        operator.restart().await.unwrap();
    }

    async fn leased(stage: &'static Stage) -> Office {
        let office = stage.office(CODE, "机关事务局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        office
    }

    #[tokio::test]
    async fn what_a_restored_etcd_has_forgotten_is_bounded_and_what_it_kept_goes_on() {
        let stage = Stage::shared().await.unwrap();
        let office = leased(stage).await;
        let staff = &office.staff;
        let mut operator = stage.operator.lock().await;
        let ledger = operator.ledger().to_owned();
        for name in ["lives", "returns"] {
            run(staff, name).await;
            once(&ledger, name, &[OPENED]).await;
        }
        let backup = stage.rig.back_up("restore").unwrap();

        run(staff, "lost").await;
        once(&ledger, "lost", &[OPENED]).await;
        remove(staff, "returns").await;
        once(&ledger, "returns", &[OPENED, CLOSED]).await;
        stage.rig.put_back(&backup).unwrap();
        ends_and_is_started(&mut operator).await;

        let lives = once(&ledger, "lives", &[OPENED, CLOSED, ANEW]).await;
        assert_eq!(lives[1].at, lives[2].at);
        assert!(lives.iter().all(|fact| !fact.estimated), "{lives:?}");
        let lost = once(&ledger, "lost", &[OPENED, CLOSED]).await;
        let bounds = lost[1].bounds.unwrap();
        assert!(
            lost[1].at == bounds.lower && bounds.lower < bounds.upper,
            "{lost:?}"
        );
        let returns = once(&ledger, "returns", &[OPENED, CLOSED, ANEW]).await;
        let bounds = returns[2].bounds.unwrap();
        assert_eq!(returns[2].at, bounds.upper, "{returns:?}");
        assert!(bounds.lower >= returns[1].at, "{returns:?}");

        let eras: Vec<u32> = documents::<ClusterDoc>(&ledger)
            .await
            .iter()
            .map(|d| d.etcd)
            .collect();
        assert_eq!(eras, [1, 2]);
        let gaps = documents::<GapDoc>(&ledger).await;
        let of_pods = gaps.iter().find(|gap| gap.source == "pods").unwrap();
        assert!(
            of_pods.reason.starts_with("etcd was restored"),
            "{of_pods:?}"
        );
        // the bounds of what was lost lie in the gap
        assert_eq!(lost[1].bounds.unwrap().upper, of_pods.to);

        // it goes on in the new life, where versions are lower than before
        remove(staff, "lives").await;
        once(
            &ledger,
            "lives",
            &[OPENED, CLOSED, ANEW, (FactKind::Closed, 2)],
        )
        .await;
        let folder = stage.rig.scratch(CODE).unwrap();
        let copy = operator.copy_ledger(&folder).unwrap().display().to_string();
        let auditor = stage.user(User::Auditor).await.unwrap();
        let verified = auditor.leasehold(&["verify", "--db", &copy]).await;
        verified.unwrap().ok().unwrap();
    }
}
