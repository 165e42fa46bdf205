//! What whoever runs the operator relies on: a second one does no harm (`second`), a monitor finds what
//! the manual names (`watched`), and the log can be read by programs and shown to anybody (`logged`).

#[cfg(test)]
mod logged;
#[cfg(test)]
mod second;
#[cfg(test)]
mod watched;

#[cfg(test)]
mod ground {
    //! The stage of these tests, and what happens on it: a lease, and a pod that comes and goes.

    use std::collections::BTreeMap;
    use std::fs;

    use leasehold_e2e::recount::evidence;
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::{LONG, LogFormat, OperatorOptions, OperatorProcess};
    use tokio::sync::OnceCell;

    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

    static TALKING: OnceCell<usize> = OnceCell::const_new();

    /// The platform of the examples, and an operator that logs as in a cluster, but more. Also gives
    /// where its log begins in the file.
    pub async fn stage() -> (&'static Stage, usize) {
        let stage = Stage::shared().await.unwrap();
        let begins = TALKING.get_or_init(|| talk(stage)).await;
        (stage, *begins)
    }

    /// Another operator takes the place of the one that logs for people.
    async fn talk(stage: &Stage) -> usize {
        let mut operator = stage.operator.lock().await;
        operator.terminate();
        let begins = fs::metadata(operator.log()).unwrap().len();
        let options = OperatorOptions {
            log: "debug".to_owned(),
            format: LogFormat::Json,
            ..OperatorOptions::with_ledger(operator.ledger().to_owned())
        };
        *operator = OperatorProcess::start(stage.rig, options).await.unwrap();
        usize::try_from(begins).unwrap()
    }

    /// A department with a lease that stands.
    pub async fn leased(stage: &'static Stage, code: &str, name: &str) -> Office {
        let office = stage.office(code, name).await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        office
    }

    /// Runs a pod of one core and one GiB for two seconds, and waits until the ledger has all of it,
    /// once.
    pub async fn metered(office: &Office, name: &str) {
        let place = format!("{}--prod", office.code);
        let batch = pod(&place, name, "1", "1Gi", Some(2));
        office.staff.create(&batch).await.unwrap();
        let object = format!("Pod {place}/{name}");
        let seen = office.stage.see("the pod in the ledger", LONG, async || {
            let found = evidence(office.stage, &office.code, &office.code).await;
            let mut found = found.map_err(|failure| format!("{failure:?}"))?.intervals;
            found.retain(|interval| interval.subject.object == object);
            let over = !found.is_empty() && found.iter().all(|interval| !interval.open);
            if over {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        });
        let found = seen.await.unwrap();
        let quantities: BTreeMap<String, i64> = found
            .iter()
            .map(|interval| (interval.meter.to_string(), interval.quantity))
            .collect();
        let expected = [("pod/cpu", 1_000), ("pod/memory", 1 << 30)];
        let expected = expected.map(|(meter, quantity)| (meter.to_owned(), quantity));
        assert_eq!(quantities, BTreeMap::from(expected));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
