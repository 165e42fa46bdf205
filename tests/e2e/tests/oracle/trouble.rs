//! What goes wrong, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leasehold_e2e::Stage;
use leasehold_model::Chance;
use leasehold_testkit::eventually;
use leasehold_testkit::proxy::{Action, Proxy, Rule, Target, Turn, Verb};

use crate::crowd::passed;
use crate::scale::Scale;

/// A watch is opened anew after ten seconds at the latest, once the operator is up.
const CUT: Duration = Duration::from_secs(240);
/// The longest that the operator stays away after a kill, in seconds.
const AWAY: u64 = 6;

/// What is done at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// The operator is killed, and is back so much later.
    Kill(Duration),
    /// The API server is killed, and is back at once.
    Restart,
    /// The operator's watch of pods is cut after so many frames.
    Cut(u32),
}

/// Makes trouble at its instants, those that come after people have ended left out; tells what there was.
pub async fn make(
    stage: &'static Stage,
    proxy: &Proxy,
    scale: &Scale,
    is_over: &AtomicBool,
) -> String {
    let began = Instant::now();
    let (mut kills, mut restarts, mut cuts) = (0_usize, 0_usize, 0_usize);
    for (at, deed) in agenda(scale) {
        // what is asked for comes about, and if it has to hurry
        if !is_over.load(Ordering::Relaxed) {
            passed(at.saturating_sub(began.elapsed())).await;
        }
        match deed {
            Deed::Kill(away) => {
                kill(stage, away).await;
                kills += 1;
            }
            Deed::Restart => {
                stage.rig.restart_api_server().await.unwrap();
                restarts += 1;
            }
            Deed::Cut(frames) => {
                cut(proxy, frames).await;
                cuts += 1;
            }
        }
    }
    stage.operator.lock().await.ready().await.unwrap();
    format!(
        "{kills} kills of the operator, {restarts} of the API server, {cuts} watches cut in {:?}",
        began.elapsed()
    )
}

async fn kill(stage: &Stage, away: Duration) {
    let mut operator = stage.operator.lock().await;
    let running = operator.is_running();
    assert!(running, "it ended by itself:\n{}", operator.tail());
    operator.kill();
    passed(away).await;
    operator.respawn().unwrap();
}

async fn cut(proxy: &Proxy, frames: u32) {
    let rule = proxy.arm(Rule {
        target: Target::of(&[Verb::Watch], &["pods"]),
        turn: Turn::First(1),
        action: Action::CutAfter(frames),
    });
    let seen = eventually("a watch to be cut", CUT, async || {
        if proxy.fired(rule) > 0 {
            Ok(())
        } else {
            Err("nobody watches".to_owned())
        }
    });
    seen.await.unwrap();
    proxy.disarm(rule);
}

/// Everything that goes wrong in the order of time.
fn agenda(scale: &Scale) -> Vec<(Duration, Deed)> {
    let mut chance = Chance::new(scale.seed);
    let spread = u64::try_from(scale.spread().as_millis()).unwrap();
    let mut agenda = Vec::new();
    for _ in 0..scale.kills {
        // every other one is back at once
        let away = if chance.happens(500) {
            Duration::from_secs(1 + chance.below(AWAY))
        } else {
            Duration::ZERO
        };
        let at = Duration::from_millis(chance.below(spread));
        agenda.push((at, Deed::Kill(away)));
    }
    for _ in 0..scale.restarts {
        let at = Duration::from_millis(chance.below(spread));
        agenda.push((at, Deed::Restart));
    }
    for _ in 0..scale.cuts {
        let frames = u32::try_from(chance.below(4)).unwrap();
        let at = Duration::from_millis(chance.below(spread));
        agenda.push((at, Deed::Cut(frames)));
    }
    agenda.sort_by_key(|(at, _)| *at);
    agenda
}

#[test]
fn the_agenda_follows_from_the_seed_and_has_everything_that_is_asked_for() {
    let scale = |seed| Scale {
        seed,
        pods: 1,
        kills: 5,
        restarts: 3,
        cuts: 2,
    };
    let found = agenda(&scale(3));
    assert_eq!(found, agenda(&scale(3)));
    assert_ne!(found, agenda(&scale(4)));
    assert!(found.is_sorted_by_key(|(at, _)| *at));
    let count = |is: fn(&Deed) -> bool| found.iter().filter(|(_, deed)| is(deed)).count();
    assert_eq!(count(|deed| matches!(deed, Deed::Kill(_))), 5);
    assert_eq!(count(|deed| matches!(deed, Deed::Restart)), 3);
    assert_eq!(count(|deed| matches!(deed, Deed::Cut(_))), 2);
}
