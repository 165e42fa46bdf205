//! Use to the second, by the word of somebody who shares nothing with the operator.
//!
//! Departments run pods, most of them for seconds, resize them, take them away with and without a word from
//! their nodes, and hold volumes. Meanwhile the operator is killed, its clock is set, its watch of pods is cut, the
//! API server dies and comes back, and etcd is put back to what it was. Then the oracle (`tests/oracle`, in Python)
//! works out from every version that the store ever had and from the API server's audit log what must be billed, and what the operator answers is compared with that: equal to the
//! second where times are recorded, within bounds where they are not.
//!
//! `crowd` has what people do, `trouble` what goes wrong and when, `verdict` how the oracle is asked, `scale` how much of
//! all that there is.
//!
//! Environment (`scale`):
//!
//! | variable | what it does |
//! |---|---|
//! | `LEASEHOLD_PODS=12000` | so many pods; 48 without it |
//! | `LEASEHOLD_KILLS=30` | kills the operator so often; twice without it |
//! | `LEASEHOLD_RESTARTS=5` | kills and starts the API server so often; once without it |
//! | `LEASEHOLD_CUTS=3` | cuts the operator's watch of pods so often; once without it |
//! | `LEASEHOLD_RESTORES=1` | puts etcd back so often; once without it |
//! | `LEASEHOLD_JUMPS=10` | sets the operator's clock so often; twice without it |
//! | `LEASEHOLD_SEED=17` | the same chance again, as a failure prints it |
//!
//! The interpreter is that of `LEASEHOLD_FOCUS_PYTHON`, else `python3`; 3.11 is enough.

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod verdict;

#[cfg(test)]
mod oracle {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use leasehold_e2e::Stage;
    use leasehold_testkit::proxy::Proxy;
    use leasehold_testkit::{OperatorOptions, OperatorProcess, Rig, SettableClock};
    use tokio::sync::Mutex;

    use crate::crowd::{self, Crowd};
    use crate::scale::Scale;
    use crate::trouble::{self, Means};
    use crate::verdict;

    fn say(what: &str) {
        let told = format!("oracle: {what}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }

    /// The operator behind a proxy and by a clock that can be set, on a control plane with the platform of the examples.
    async fn open(scale: &Scale) -> Means {
        let rig = Rig::shared().await.unwrap();
        let folder = rig.scratch("oracle").unwrap();
        let proxy = Proxy::start(&rig.upstream(), scale.seed, &folder)
            .await
            .unwrap();
        let clock = SettableClock::new(&folder).unwrap();
        let options = OperatorOptions::with_ledger(folder.join("ledger.db"))
            .through(proxy.way())
            .by(&clock);
        let operator = OperatorProcess::start(rig, options).await.unwrap();
        // it ends with this process, as every stage does
        let stage: &'static Stage = Box::leak(Box::new(Stage {
            rig,
            operator: Mutex::new(operator),
        }));
        let policy = Stage::policy().unwrap();
        stage.furnish(&policy).await.unwrap();
        Means {
            stage,
            proxy,
            clock,
            folder,
        }
    }

    // the proxy and the people must not wait for each other
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_the_operator_answers_is_what_the_history_of_the_store_says() {
        let scale = Scale::wanted();
        say(&scale.repeat());
        let means = Box::pin(open(&scale)).await;
        let stage = means.stage;
        let crowd = Box::pin(Crowd::open(stage)).await;
        let is_quiet = AtomicBool::new(false);
        let making = async {
            let toll = Box::pin(trouble::make(&means, &scale)).await;
            is_quiet.store(true, Ordering::Relaxed);
            toll
        };
        // whatever goes wrong, there is somebody whom it meets
        let working = Box::pin(crowd.work(&scale, &is_quiet));
        let (toll, ()) = tokio::join!(making, working);
        say(&toll.told);
        Box::pin(crowd.end()).await;
        Box::pin(crowd::all_is_recorded(stage)).await;

        let record = Box::pin(verdict::record(stage, toll.histories)).await;
        let found = record.judge("usage.json").await;
        assert!(
            found.code == Some(0),
            "{}\n{}\nthe record is kept in {}",
            scale.repeat(),
            found.said,
            record.keep().display()
        );
        say(&found.said);
        verdict::it_was_about_something(&found.summary, &scale);

        // a second more of one pod does not pass
        let changed = record.add_a_second("usage.json", "changed.json");
        let found = record.judge("changed.json").await;
        assert_eq!(found.code, Some(1), "{}", found.said);
        let named = format!("DEVIATION {changed} ");
        assert!(found.said.contains(&named), "{}", found.said);
    }
}
