//! What outsiders check: the FOCUS file, the evidence, and a ledger that somebody tampered with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::scene::{Scene, text};
use super::site::{AUDITOR, DEPARTMENT, SUN};
use super::story::PLACE;
use crate::focus::Focus;
use crate::workspace::capture;

/// The item whose line on the statement is followed.
pub const ITEM: &str = "vcpu-x86";

/// Finance exports; the validators of the FOCUS project check the file.
pub fn export(scene: &mut Scene, statement: &Value, validators: &Focus) -> Result<()> {
    scene.act("finance exports the month as FOCUS, and independent validators check the file")?;
    let period = text(statement, "/spec/period/name");
    let (focus, page) = (file(scene, "focus.csv"), file(scene, "statement.html"));
    scene.leasehold(SUN, &["export", "focus", "--period", period, "-f", &focus])?;
    let html = ["statement", "-n", PLACE, "--period", period, "-o", "html"];
    let html = capture(&mut scene.site().leasehold(DEPARTMENT, &html)?)?;
    fs::write(&page, html).with_context(|| format!("failed to write {page}"))?;
    scene.say("   validating, about 30 seconds")?;
    let mut gate = Command::new(&validators.python);
    let told = capture(gate.arg(&validators.gate).arg(&focus))?;
    for line in told.lines().filter(|line| line.starts_with("ok")) {
        scene.say(format_args!("      {line}"))?;
    }
    scene.say(format_args!("   FOCUS file  {focus}"))?;
    scene.say(format_args!("   statement   {page}"))
}

/// The operator stops; the auditor proves the ledger, and then one that was tampered with.
pub fn audit(scene: &mut Scene, statement: &Value) -> Result<()> {
    scene.act("the operator stops, and the auditor proves the ledger without the cluster")?;
    scene.site_mut().stop_operator();
    let period = text(statement, "/spec/period/name");
    let evidence = file(scene, "evidence.jsonl");
    let ledger = scene.site().ledger();
    let db = ledger.display().to_string();
    let write = ["evidence", "--period", period, "--db", &db, "-f", &evidence];
    scene.leasehold(AUDITOR, &write)?;
    let head = text(statement, "/spec/chain/head");
    scene.leasehold(AUDITOR, &["verify", &evidence, "--head", head])?;
    scene.leasehold(AUDITOR, &["verify", "--db", &db])?;
    scene.say(format_args!("   evidence    {evidence}"))?;
    tamper(scene, statement, &ledger)
}

/// Changes one amount in a copy of the ledger. The tables refuse changes, so the bytes of the file
/// are changed, which is what somebody with the disk in hands would do.
fn tamper(scene: &mut Scene, statement: &Value, ledger: &Path) -> Result<()> {
    let gross = text(line(statement)?, "/gross");
    let forged = other(gross);
    let (true_text, forged_text) = (field(gross), field(&forged));
    let bytes = fs::read(ledger).with_context(|| format!("failed to read {}", ledger.display()))?;
    let copy = scene.site().folder().join("tampered.db");
    let db = copy.display().to_string();
    scene.say(format_args!(
        "\n   Now somebody with access to the disk copies the ledger and, behind the database's back, writes\n   \
         {forged} over {gross} (the amount of {ITEM} on the statement) in the bytes of the copy:"
    ))?;
    // SQLite leaves old bytes in unused space, where a change changes nothing: then the next place
    for at in places(&bytes, true_text.as_bytes()).into_iter().rev() {
        let mut changed = bytes.clone();
        changed
            .get_mut(at..at.saturating_add(forged_text.len()))
            .context("failed to change the copy")?
            .copy_from_slice(forged_text.as_bytes());
        fs::write(&copy, changed).with_context(|| format!("failed to write {db}"))?;
        beside(ledger, &copy)?;
        if scene.differs(AUDITOR, &["verify", "--db", &db])? {
            return scene.say("   exit code 2: the copy is not the ledger; the row is named above");
        }
    }
    bail!("failed to see the change of {gross} in {db} found out")
}

/// Puts the write-ahead log of a ledger, if it has one, beside its copy, and nothing else.
fn beside(ledger: &Path, copy: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm"] {
        let old = with(copy, suffix);
        if old.exists() {
            fs::remove_file(&old).with_context(|| format!("failed to remove {}", old.display()))?;
        }
    }
    let log = with(ledger, "-wal");
    if log.exists() {
        fs::copy(&log, with(copy, "-wal"))
            .with_context(|| format!("failed to copy {}", log.display()))?;
    }
    Ok(())
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The line of the statement that the demo follows.
pub fn line(statement: &Value) -> Result<&Value> {
    let lines = statement.pointer("/spec/lines").and_then(Value::as_array);
    lines
        .into_iter()
        .flatten()
        .find(|line| text(line, "/item") == ITEM)
        .with_context(|| format!("failed to find the line of {ITEM} on the statement"))
}

fn file(scene: &Scene, name: &str) -> String {
    scene.site().folder().join(name).display().to_string()
}

/// An amount as it stands in the ledger.
fn field(amount: &str) -> String {
    format!("\"gross\":\"{amount}\"")
}

/// Another amount of the same length: the last figure before the point is one more, 0 after 9.
fn other(amount: &str) -> String {
    let (whole, cents) = amount.split_once('.').unwrap_or((amount, ""));
    let mut whole = whole.to_owned();
    let next = whole
        .pop()
        .and_then(|figure| figure.to_digit(10))
        .and_then(|figure| char::from_digit((figure + 1) % 10, 10));
    whole.extend(next);
    format!("{whole}.{cents}")
}

/// Where `wanted` occurs.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(wanted.len()).enumerate();
    windows
        .filter(|(_, window)| *window == wanted)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_amount_differs_and_is_as_long() {
        assert_eq!(other("1472.00"), "1473.00");
        assert_eq!(other("9.50"), "0.50");
    }

    #[test]
    fn every_place_of_an_amount_is_found() {
        assert_eq!(places(b"a-1.00-1.00", b"1.00"), [2, 7]);
        assert!(places(b"1.0", b"1.00").is_empty());
    }
}
