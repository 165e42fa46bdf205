//! What goes wrong, and when.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leasehold_e2e::Stage;
use leasehold_ledger::time::Second;
use leasehold_model::Chance;
use leasehold_testkit::proxy::{Action, Proxy, Rule, Target, Turn, Verb};
use leasehold_testkit::{Failure, LONG, OperatorProcess, SettableClock, User, eventually};

use crate::crowd::{passed, server_time};
use crate::scale::Scale;
use crate::verdict;

/// A watch is opened anew after ten seconds at the latest, once the operator is up.
const CUT: Duration = Duration::from_secs(240);
/// The longest that the operator stays away after a kill, in seconds.
const AWAY: u64 = 6;

/// The shortest and the longest time between a backup and its return, in seconds.
const UNDONE: (u64, u64) = (6, 16);
/// By how many seconds the operator's clock is off, one after the other: corrections, wrong zones, an empty battery.
const JUMPS: [i64; 10] = [
    90,
    -3_600,
    28_800,
    -2,
    -34_560_000,
    2_678_400,
    -45,
    3_600,
    7,
    -28_800,
];
/// A line of the log is by a clock that was set if its time is as near to what that clock shows, in seconds.
const NEAR: i64 = 40;

/// How often an operator may have to be started until it finds an API server that knows it.
const STARTS: u32 = 10;

/// What is needed to make trouble.
pub struct Means {
    /// The operator and its cluster.
    pub stage: &'static Stage,
    /// What is between them.
    pub proxy: Proxy,
    /// The operator's clock.
    pub clock: SettableClock,
    /// Where files may lie.
    pub folder: PathBuf,
}

/// What there was.
pub struct Toll {
    /// In words.
    pub told: String,
    /// The histories of the lives of etcd that are over, in their order.
    pub histories: Vec<PathBuf>,
}

/// What is done at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// The operator is killed, and is back so much later.
    Kill(Duration),
    /// The API server is killed, and is back at once.
    Restart,
    /// The operator's watch of pods is cut after so many frames.
    Cut(u32),
    /// etcd is backed up, and put back so much later.
    Restore(Duration),
    /// The operator's clock is set ahead of the right one, or behind it.
    Jump(i64),
}

/// Makes trouble at its instants, or as soon as what came before is over; tells what there was.
pub async fn make(means: &Means, scale: &Scale) -> Toll {
    let stage = means.stage;
    let began = Instant::now();
    let (mut kills, mut restarts, mut cuts, mut jumps) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut histories = Vec::new();
    for (at, deed) in agenda(scale) {
        passed(at.saturating_sub(began.elapsed())).await;
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
                up(&mut *stage.operator.lock().await).await;
                cut(&means.proxy, frames).await;
                cuts += 1;
            }
            Deed::Restore(length) => {
                let file = format!("history-{}.jsonl", histories.len());
                let history = means.folder.join(file);
                restore(stage, length, history.clone()).await;
                histories.push(history);
            }
            Deed::Jump(ahead) => {
                up(&mut *stage.operator.lock().await).await;
                set(means, ahead).await;
                jumps += 1;
            }
        }
    }
    up(&mut *stage.operator.lock().await).await;
    let told = format!(
        "{kills} kills of the operator, {restarts} of the API server, {cuts} watches cut, etcd put back {} times, the \
         operator's clock set {jumps} times, in {:?}",
        histories.len(),
        began.elapsed()
    );
    Toll { told, histories }
}

/// Backs etcd up and puts it back. The operator notices, ends, and is started again, as Kubernetes would.
async fn restore(stage: &'static Stage, length: Duration, history: PathBuf) {
    let mut operator = stage.operator.lock().await;
    up(&mut operator).await;
    let name = history.file_stem().unwrap().to_string_lossy().into_owned();
    let backing_up = tokio::task::spawn_blocking(move || stage.rig.back_up(&name));
    let backup = backing_up.await.unwrap().unwrap();
    passed(length).await;
    let putting_back = tokio::task::spawn_blocking(move || {
        stage
            .rig
            .put_back_after(&backup, |etcd| verdict::save(etcd, &history))
    });
    putting_back.await.unwrap().unwrap();
    let ended = eventually("the end of the operator", LONG, async || {
        if operator.is_running() {
            Err("it runs".to_owned())
        } else {
            Ok(())
        }
    });
    ended.await.unwrap();
    let last = operator.tail();
    assert!(last.contains("etcd was restored"), "{last}");
    operator.respawn().unwrap();
    up(&mut operator).await;
}

/// Waits until the operator is ready. One that has ended for a reason that passes is started again, as Kubernetes would: it
/// watches nothing, and writes no line.
async fn up(operator: &mut OperatorProcess) {
    for _ in 0..STARTS {
        match operator.ready().await {
            Ok(()) => return,
            Err(Failure::OperatorEnded(last)) => {
                may_end(&last);
                operator.respawn().unwrap();
            }
            Err(failure) => panic!("{failure:?}"),
        }
    }
    panic!("it ends after each start:\n{}", operator.tail());
}

/// An API server that has just begun refuses everything to everybody until it has read who may do what; an operator that
/// begins then gives up.
fn may_end(last: &str) {
    assert!(last.contains("is forbidden"), "it ended by itself:\n{last}");
}

/// Sets the operator's clock, and sees by its log that it goes by it; a log does not tell small steps.
async fn set(means: &Means, ahead: i64) {
    means.clock.set(ahead).unwrap();
    if ahead.abs() <= 2 * NEAR {
        return;
    }
    let admin = means.stage.user(User::Admin).await.unwrap();
    let log = means.stage.operator.lock().await.log().to_owned();
    let what = format!("a line of the log that is dated {ahead} s ahead");
    let seen = eventually(&what, LONG, async || {
        let wanted = server_time(&admin).await?.plus(ahead);
        let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let last = text.lines().rev().find_map(dated);
        if last.is_some_and(|last| last.since(wanted).abs() < NEAR) {
            Ok(())
        } else {
            Err(format!("{last:?} instead of {wanted}"))
        }
    });
    seen.await.unwrap();
}

/// The second with which a line of a log begins.
fn dated(line: &str) -> Option<Second> {
    let (second, _) = line.split_once('.')?;
    Second::parse(&format!("{second}Z")).ok()
}

async fn kill(stage: &Stage, away: Duration) {
    let mut operator = stage.operator.lock().await;
    if !operator.is_running() {
        may_end(&operator.tail());
    }
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
    for _ in 0..scale.restores {
        let length = Duration::from_secs(UNDONE.0 + chance.below(UNDONE.1 - UNDONE.0));
        let at = Duration::from_millis(chance.below(spread));
        agenda.push((at, Deed::Restore(length)));
    }
    for ahead in JUMPS.into_iter().cycle().take(scale.jumps) {
        let at = Duration::from_millis(chance.below(spread));
        agenda.push((at, Deed::Jump(ahead)));
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
        restores: 4,
        jumps: 12,
    };
    let found = agenda(&scale(3));
    assert_eq!(found, agenda(&scale(3)));
    assert_ne!(found, agenda(&scale(4)));
    assert!(found.is_sorted_by_key(|(at, _)| *at));
    let count = |is: fn(&Deed) -> bool| found.iter().filter(|(_, deed)| is(deed)).count();
    assert_eq!(count(|deed| matches!(deed, Deed::Kill(_))), 5);
    assert_eq!(count(|deed| matches!(deed, Deed::Restart)), 3);
    assert_eq!(count(|deed| matches!(deed, Deed::Cut(_))), 2);
    assert_eq!(count(|deed| matches!(deed, Deed::Restore(_))), 4);
    assert_eq!(count(|deed| matches!(deed, Deed::Jump(_))), 12);
}
