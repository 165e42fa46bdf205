//! Test programs two at a time: most of their time passes while they wait for a control plane or for a period to end.

use std::collections::{BTreeSet, VecDeque};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::out::Out;
use crate::steps::duration;
use crate::workspace::{capture, cargo};

/// Programs at a time. Each may have a control plane of its own, of about 0.6 GiB.
const AT_ONCE: usize = 2;

/// Those that take longest, so that none of them begins when all others are done.
const FIRST: [&str; 12] = [
    "faults",
    "refusals",
    "oracle",
    "kills",
    "metering",
    "whole_way",
    "attacks",
    "commands",
    "outages",
    "standby",
    "deliveries",
    "corruptions",
];

/// The names of the workspace's test programs (`tests/NAME.rs`, `tests/NAME/main.rs`), the longest first. Two packages may
/// have one of the same name; they run one after the other.
pub fn programs() -> Result<Vec<String>> {
    let text = capture(&mut cargo([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
    ])?)?;
    let metadata: Value = serde_json::from_str(&text)?;
    Ok(in_order(names(&metadata)))
}

fn names(metadata: &Value) -> BTreeSet<String> {
    let array = |value: &Value, field: &str| {
        let found = value.get(field).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let packages = array(metadata, "packages");
    let targets = packages
        .iter()
        .flat_map(|package| array(package, "targets"));
    targets
        .filter(|target| array(target, "kind").iter().any(|kind| kind == "test"))
        .filter_map(|target| target.get("name")?.as_str().map(str::to_owned))
        .collect()
}

fn in_order(names: BTreeSet<String>) -> Vec<String> {
    let late = |name: &String| {
        let place = FIRST.iter().position(|first| first == name);
        place.unwrap_or(FIRST.len())
    };
    let mut ordered: Vec<String> = names.into_iter().collect();
    ordered.sort_by_key(late);
    ordered
}

/// How a program ended.
struct Ended {
    name: String,
    took: Duration,
    output: Result<Output>,
}

/// Runs every program with `command`, says when one begins, and prints what it said when it ends. All run, also after one
/// has failed.
pub fn run(
    programs: Vec<String>,
    command: impl Fn(&str) -> Result<Command> + Sync,
    out: &mut Out,
) -> Result<()> {
    let waiting = Mutex::new(VecDeque::from(programs));
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let (say, told) = mpsc::channel();
    let mut failed = Vec::new();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..AT_ONCE {
            let (say, next, command) = (say.clone(), &next, &command);
            scope.spawn(move || {
                while let Some(name) = next() {
                    let begun = Instant::now();
                    say.send(Told::Begins(name.clone())).ok();
                    let output = command(&name).and_then(|mut command| {
                        let output = command.output();
                        output.with_context(|| format!("failed to start {command:?}"))
                    });
                    let took = begun.elapsed();
                    say.send(Told::Ends(Ended { name, took, output })).ok();
                }
            });
        }
        drop(say);
        for told in told {
            match told {
                Told::Begins(name) => out.line(format_args!("-- {name}: begins"))?,
                Told::Ends(ended) => {
                    let name = ended.name.clone();
                    if !print(ended, out)? {
                        failed.push(name);
                    }
                }
            }
        }
        Ok(())
    })?;
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of the test programs failed: {}; `cargo test --workspace --test NAME` repeats one",
        failed.len(),
        failed.join(", ")
    )
}

enum Told {
    Begins(String),
    Ends(Ended),
}

/// Prints what a program said, and tells whether it passed.
fn print(ended: Ended, out: &mut Out) -> Result<bool> {
    let Ended { name, took, output } = ended;
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            out.line(format_args!("-- {name}: FAILED: {error:#}"))?;
            return Ok(false);
        }
    };
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    out.line(String::from_utf8_lossy(&said).trim_end())?;
    let passed = output.status.success();
    let verdict = if passed { "passed" } else { "FAILED" };
    out.line(format_args!("-- {name}: {verdict} in {}", duration(took)))?;
    Ok(passed)
}

/// A cargo command that runs the test programs of one name, whichever package has them.
pub fn one(name: &str) -> Result<Command> {
    cargo(["test", "--workspace", "--locked", "--test", name])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_longest_programs_come_first_and_none_is_left_out_or_comes_twice() {
        let target = |name: &str, kind: &str| json!({"name": name, "kind": [kind]});
        let metadata = json!({"packages": [
            {"targets": [target("api", "lib"), target("rules", "test")]},
            {"targets": [target("kills", "test"), target("rules", "test"), target("bench", "bin")]},
        ]});
        assert_eq!(in_order(names(&metadata)), ["kills", "rules"]);
    }

    #[test]
    fn all_run_and_the_failed_ones_are_named() {
        let shell = |name: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &format!("exit {name}")]);
            Ok(command)
        };
        let programs = ["0", "3", "0", "4"].map(str::to_owned).to_vec();
        let error = run(programs, shell, &mut Out::stdout()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("2 of the test programs failed: "),
            "{text}"
        );
        assert!(text.contains('3') && text.contains('4'), "{text}");
        assert!(run(vec!["0".to_owned()], shell, &mut Out::stdout()).is_ok());
    }
}
