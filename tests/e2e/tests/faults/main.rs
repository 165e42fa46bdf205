//! What goes wrong between the operator and the API server does not show in the end.
//!
//! The same course of operations is performed twice, by departments that differ in their codes alone. First nothing goes
//! wrong. Every third department has a volume that is kept, and is suspended for a while. Then the operator has to do it through a proxy (`leasehold_testkit::proxy`) in which calls fail, answers to
//! what was carried out are lost, watches break, fall silent and lose their version; it is killed, also exactly around
//! its writes; the network is parted. One department comes after all that, when only what hangs is left of it, and must
//! be served by the same process. In the end
//!
//! - the operator writes nothing for a minute, which begins in the time of its longest pause (`after`), and what was there before the trouble stands as it stood;
//! - both have the same objects, but for times and identifiers (`ends`);
//! - each object was made and removed as often, in the same order (`lives`);
//! - in no state that ever was in the store did a tenancy hold more than it leases (`leasehold_e2e::leases`);
//! - the ledger verifies, each lease was begun, changed and ended once and by the same quantities, and the same was
//!   decided and recorded (`books`);
//! - nothing panicked, the log does not hold the token, and memory stayed within bounds (`after`).
//!
//! `course` has what people do, `trouble` what goes wrong and when, `story` the order of all that.
//!
//! Environment (`scale`):
//!
//! | variable | what it does |
//! |---|---|
//! | `LEASEHOLD_TENANCIES=200` | so many tenancies instead of a few |
//! | `LEASEHOLD_FAULTS=1000` | at least so many faults, those of partitions not counted |
//! | `LEASEHOLD_KILLS=50` | so many kills |
//! | `LEASEHOLD_PARTITIONS=10` | so many partitions, of 5 to 20 seconds each |
//! | `LEASEHOLD_SEED=17` | the same chance again, as a failure prints it |

#[cfg(test)]
mod after;
#[cfg(test)]
mod books;
#[cfg(test)]
mod course;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod story;
#[cfg(test)]
mod trouble;

#[cfg(test)]
mod faults {
    use std::io::Write as _;

    use crate::scale::Scale;
    use crate::story::Scene;

    // the proxy and the people must not wait for each other
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn through_faults_partitions_and_kills_everything_ends_as_if_there_had_been_none() {
        let scale = Scale::wanted();
        let told = format!("faults: {}\n", scale.repeat());
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        let scene = Box::pin(Scene::open(&scale)).await.unwrap();
        if let Err(why) = Box::pin(scene.story(&scale)).await {
            let report = scene.report(&scale, &why).await;
            panic!("{report}");
        }
    }
}
