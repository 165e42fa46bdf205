//! Quotas that follow use, on the real control plane: in no version that there ever was do they exceed the lease.
//!
//! Departments let the operator rebalance their leases, run pods and claim disks now here and now there (`tide`), divide
//! anew, lease more and less every few turns, one gives its lease back and begins anew under the same name, and meanwhile
//! the operator is killed. Then all versions of all quotas are read from etcd with what was leased at each of them, and
//! judged, one after the other (`leasehold_e2e::leases`). And fifty clients at once press against a quota (`crowd`).
//!
//! Environment:
//!
//! | variable | what it does |
//! |---|---|
//! | `LEASEHOLD_REBALANCES=5000` | goes on until quotas have changed so often; 400 without it |
//! | `LEASEHOLD_KILLS=30` | kills the operator so often meanwhile; 5 without it |
//! | `LEASEHOLD_SEED=17` | draws the same floods and kills again, as a failure prints it |

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod tide;

#[cfg(test)]
mod rebalances {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    use std::io::Write as _;
    use std::time::Duration;

    use futures::future::join_all;
    use k8s_openapi::api::core::v1::ResourceQuota;
    use leasehold_e2e::Stage;
    use leasehold_e2e::leases::{self, Amounts, Found, granted, judge};
    use leasehold_model::Chance;
    use leasehold_testkit::{User, eventually};

    use crate::ground::ground;
    use crate::tide::Tide;

    /// Departments, each with three namespaces.
    const TIDES: u32 = 6;
    /// How often quotas change, unless somebody wants more.
    const MOVES: u64 = 400;
    /// How often the operator is killed.
    const KILLS: u64 = 5;
    /// Nobody waits longer for a kill.
    const PATIENCE: Duration = Duration::from_hours(2);

    fn number(variable: &str) -> Option<u64> {
        let text = std::env::var(variable).ok()?;
        let number = text.parse();
        Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no whole number")))
    }

    fn say(what: &str) {
        let told = format!("rebalances: {what}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }

    /// Counts the changes of quotas as they happen, until there are enough. Some may escape it; the history has all.
    async fn watch(stage: &Stage, goal: u64, moves: &Cell<u64>, is_enough: &Cell<bool>) {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let mut known: BTreeMap<(String, Option<String>), Amounts> = BTreeMap::new();
        let watching = auditor.follow::<ResourceQuota>(|quota| {
            let place = quota.metadata.namespace.unwrap_or_default();
            if place.starts_with("tide-") {
                let hard = quota.spec.and_then(|spec| spec.hard);
                let hard = serde_json::to_value(hard).unwrap();
                let now = granted(Some(&hard)).unwrap();
                // one that is made anew has not moved
                let before = known.insert((place, quota.metadata.uid), now.clone());
                let moved = before.is_some_and(|before| before != now);
                moves.set(moves.get() + u64::from(moved));
            }
            moves.get() >= goal
        });
        watching.await.unwrap();
        is_enough.set(true);
    }

    /// Kills the operator whenever so many quotas have changed, and starts it again.
    async fn kill(stage: &Stage, instants: &[u64], moves: &Cell<u64>) {
        for (number, instant) in instants.iter().enumerate() {
            let what = format!("the instant of kill {number}");
            eventually(&what, PATIENCE, async || {
                let moves = moves.get();
                if moves >= *instant {
                    Ok(())
                } else {
                    Err(format!("{moves} of {instant} quotas have changed"))
                }
            })
            .await
            .unwrap();
            let mut operator = stage.operator.lock().await;
            let running = operator.is_running();
            assert!(running, "it ended by itself:\n{}", operator.tail());
            operator.kill();
            operator.restart().await.unwrap();
        }
    }

    /// What the store has of each department, judged; and each has leased more and less meanwhile.
    async fn judged(stage: &Stage, tides: &[Tide]) -> Result<Found, String> {
        let history = leases::of(stage.rig.etcd()).await?;
        let mut all = Found::default();
        for tide in tides {
            let found = judge(&history, tide.code())?;
            if found.raised < 2 || found.lowered < 1 {
                return Err(format!(
                    "{} leased the same throughout: {found:?}",
                    tide.code()
                ));
            }
            all = all.and(found);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn no_version_of_the_quotas_exceeds_the_lease_while_use_moves_and_the_operator_dies() {
        let goal = number("LEASEHOLD_REBALANCES").unwrap_or(MOVES);
        let kills = number("LEASEHOLD_KILLS").unwrap_or(KILLS);
        let seed = number("LEASEHOLD_SEED");
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        say(&format!("LEASEHOLD_SEED={seed} repeats these floods"));
        let mut chance = Chance::new(seed);
        let mut instants: Vec<u64> = (0..kills).map(|_| chance.below(goal)).collect();
        instants.sort_unstable();

        let stage = ground().await;
        let opening = (0..TIDES).map(|number| Tide::open(stage, number, chance.branch()));
        let mut tides = join_all(opening).await;
        let (moves, is_enough) = (Cell::new(0), Cell::new(false));
        let flowing = tides.iter_mut().map(|tide| Box::pin(tide.flow(&is_enough)));
        tokio::join!(
            Box::pin(watch(stage, goal, &moves, &is_enough)),
            Box::pin(kill(stage, &instants, &moves)),
            join_all(flowing),
        );
        join_all(tides.iter_mut().map(|tide| Box::pin(tide.subside()))).await;

        let found = judged(stage, &tides).await;
        let found = found.unwrap_or_else(|why| panic!("LEASEHOLD_SEED={seed}: {why}"));
        assert!(found.moves >= goal, "{found:?}");
        assert_eq!(found.released, 1, "{found:?}");
        say(&format!("{found:?}, and {kills} kills"));
    }
}
