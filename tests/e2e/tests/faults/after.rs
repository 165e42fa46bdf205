//! What must hold of the operator itself afterwards: it is quiet, nothing broke, and its log can be shown to anybody.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use leasehold_e2e::Stage;
use leasehold_testkit::{Failure, SERVICE_ACCOUNT, Write, eventually};

use crate::course::told;

/// So long nothing must be written.
const QUIET: Duration = Duration::from_secs(60);
/// The longest pause that the operator makes before it tries again what has failed (`PAUSES` in `crates/kit/src/run.rs`).
const PAUSE: Duration = Duration::from_secs(300);
/// What hangs then fails so much later, and pauses only afterwards (`RECONCILE_DEADLINE` in `crates/kit/src/run.rs`).
const HANGS: Duration = Duration::from_secs(60);
/// So long a connection may bring nothing before the operator takes it for dead (`SILENCE` in `crates/kit/src/client.rs`).
const SILENCE: Duration = Duration::from_secs(30);
/// Reading the whole log of the API server takes a while, and is not done more often.
const LOOK: Duration = Duration::from_secs(5);
/// From then on figures that are written anew every hour may be due.
const HOUR: Duration = Duration::from_secs(3_000);
/// What grows with time and is written anew every hour.
const FIGURES: [&str; 4] = [
    "statements",
    "tenancies/status",
    "billingperiods/status",
    "departments/status",
];
/// The operator may never have taken more memory, in KiB: a quarter of what the chart lets it have.
const MEMORY: u64 = 512 << 10;

/// What the operator has written so far. It writes its Lease as long as it lives.
fn written(stage: &Stage) -> Result<Vec<Write>, Failure> {
    let mut writes = stage.rig.writes()?;
    writes.retain(|write| write.user == SERVICE_ACCOUNT && write.resource != "leases");
    Ok(writes)
}

/// Since when there is no reason to write any more.
#[derive(Clone, Copy, Debug)]
pub struct Calm {
    /// Nothing goes wrong from here on: what has failed before is tried again after a pause.
    pub undisturbed: Instant,
    /// Nobody does anything from here on: what was done last is noticed at the latest when what hangs is given up.
    pub left_alone: Instant,
}

impl Calm {
    /// When the last write must have been made.
    fn last_write(&self) -> Instant {
        (self.undisturbed + HANGS + PAUSE + LOOK).max(self.left_alone + SILENCE)
    }
}

/// Waits until nothing was written for a minute, and fails at the first write that comes too late. Tells how long after
/// the last trouble that minute began. `age` is the time since the operator began.
pub async fn quiet(stage: &Stage, calm: Calm, age: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    let last_write = calm.last_write();
    let mut seen = written(stage).map_err(told)?.len();
    let (mut since, mut looked, mut state) = (began, began, String::new());
    let bound = last_write.saturating_duration_since(began) + 2 * QUIET;
    let quiet = eventually("a minute without a write", bound, async || {
        if looked.elapsed() < LOOK {
            return Err(state.clone());
        }
        let all = written(stage).map_err(told)?;
        let before = std::mem::replace(&mut looked, Instant::now());
        let new = due(&all[seen..], age + began.elapsed());
        seen = all.len();
        if !new.is_empty() {
            since = looked;
            state = format!("{new:#?}");
        }
        // it was not there yet at the look before
        if !new.is_empty() && before > last_write {
            let after = before.duration_since(calm.undisturbed);
            return Ok(Err(format!(
                "more than {after:?} after the last trouble this was written: {state}"
            )));
        }
        if since.elapsed() >= QUIET {
            Ok(Ok(since.saturating_duration_since(calm.undisturbed)))
        } else {
            Err(state.clone())
        }
    });
    quiet.await.map_err(told)?
}

/// The writes that somebody must account for. After an hour that is not the first one of a figure.
fn due(writes: &[Write], age: Duration) -> Vec<&Write> {
    let mut hourly = BTreeSet::new();
    let due = writes.iter().filter(|write| {
        let is_figure = age > HOUR && FIGURES.contains(&write.resource.as_str());
        !(is_figure && hourly.insert((&write.resource, &write.namespace, &write.name)))
    });
    due.collect()
}

/// Whether the log tells of nothing that broke and holds no part of the token.
pub fn log_is_clean(log: &str, token: &str) -> Result<(), String> {
    if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
        return Err(format!("something panicked: {line}"));
    }
    let parts: Vec<&str> = token.split('.').collect();
    if parts.len() != 3 || parts.iter().any(|part| part.len() < 20) {
        return Err("the token is not that of a ServiceAccount".to_owned());
    }
    if parts.iter().any(|part| log.contains(part)) {
        return Err("the token is in the log".to_owned());
    }
    Ok(())
}

/// Whether the operator took no more memory than it may, in KiB.
pub fn memory_is_bounded(peak: u64) -> Result<(), String> {
    if peak == 0 {
        Err("nobody has looked how much memory the operator takes".to_owned())
    } else if peak > MEMORY {
        Err(format!(
            "the operator took {peak} KiB of memory, more than {MEMORY}"
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(resource: &str, name: &str) -> Write {
        Write {
            user: SERVICE_ACCOUNT.to_owned(),
            verb: "patch".to_owned(),
            resource: resource.to_owned(),
            namespace: "dept-a".to_owned(),
            name: name.to_owned(),
            code: 200,
        }
    }

    #[test]
    fn the_last_write_comes_in_the_time_of_the_longest_pause_or_soon_after_people() {
        let undisturbed = Instant::now();
        for (people, last) in [(0, 365), (100, 365), (340, 370), (600, 630)] {
            let calm = Calm {
                undisturbed,
                left_alone: undisturbed + Duration::from_secs(people),
            };
            let expected = undisturbed + Duration::from_secs(last);
            assert_eq!(calm.last_write(), expected, "{people}");
        }
    }

    #[test]
    fn every_write_counts_but_once_an_hour_a_figure() {
        let writes = [
            write("tenancies/status", "oa"),
            write("tenancies/status", "mail"),
            write("resourcequotas", "leasehold"),
            write("tenancies/status", "oa"),
        ];
        assert_eq!(due(&writes, Duration::from_secs(600)).len(), 4);
        let late = due(&writes, Duration::from_secs(3_600));
        assert_eq!(late, [&writes[2], &writes[3]]);
    }

    #[test]
    fn a_panic_and_any_part_of_the_token_are_found_in_a_log() {
        let parts = ["a", "b", "c"].map(|letter| letter.repeat(30));
        let token = parts.join(".");
        assert_eq!(log_is_clean("WARN watch failed\n", &token), Ok(()));
        let panic = "thread 'main' panicked at crates/kit/src/run.rs:1:1:\n";
        assert!(log_is_clean(panic, &token).is_err());
        for part in &parts {
            let line = format!("GET with {part}\n");
            assert!(log_is_clean(&line, &token).is_err(), "{part}");
        }
        assert!(log_is_clean("", "no.token").is_err());
    }

    #[test]
    fn too_much_memory_and_none_that_was_measured_are_told() {
        assert_eq!(memory_is_bounded(80_000), Ok(()));
        assert!(memory_is_bounded(600_000).is_err());
        assert!(memory_is_bounded(0).is_err());
    }
}
