//! What is shown: titles, commands with their output, and how long something will still take.

use std::fmt::Display;
use std::fs;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::site::{Person, Site};
use crate::out::Out;
use crate::workspace::{capture, read, root};

const POLL: Duration = Duration::from_millis(500);
/// How often a wait says how long it may still take.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// Acts of the story, for the titles.
const ACTS: u32 = 11;

/// The stage of the demo.
pub struct Scene {
    site: Site,
    out: Out,
    act: u32,
    started: Instant,
}

impl Scene {
    /// An empty stage.
    pub fn new(site: Site, out: Out) -> Self {
        Self {
            site,
            out,
            act: 0,
            started: Instant::now(),
        }
    }

    /// Where it plays.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where it plays, to change it.
    pub fn site_mut(&mut self) -> &mut Site {
        &mut self.site
    }

    /// Stops everything.
    pub fn end(self) {
        self.site.close();
    }

    /// Writes a line.
    pub fn say(&mut self, text: impl Display) -> Result<()> {
        Ok(self.out.line(text)?)
    }

    /// Begins the next act.
    pub fn act(&mut self, title: &str) -> Result<()> {
        self.act = self.act.saturating_add(1);
        let seconds = self.started.elapsed().as_secs();
        let clock = format!("{}:{:02}", seconds / 60, seconds % 60);
        let act = self.act;
        self.say(format_args!("\n== {act}/{ACTS}  {title}   [{clock}]"))
    }

    /// Runs kubectl as a person and shows both.
    pub fn kubectl(&mut self, person: Person, arguments: &[&str]) -> Result<String> {
        let mut command = self.site.kubectl(person, arguments)?;
        self.show(person, "kubectl", arguments, &mut command)
    }

    /// Runs leasehold's command line as a person and shows both.
    pub fn leasehold(&mut self, person: Person, arguments: &[&str]) -> Result<String> {
        let mut command = self.site.leasehold(person, arguments)?;
        self.show(person, "leasehold", arguments, &mut command)
    }

    /// Runs leasehold's command line as a person and says whether it ended with exit code 2 (what it
    /// verified differs); only then both are shown.
    pub fn differs(&mut self, person: Person, arguments: &[&str]) -> Result<bool> {
        let output = ended(&mut self.site.leasehold(person, arguments)?)?;
        if output.status.code() != Some(2) {
            return Ok(false);
        }
        self.say(format_args!(
            "   {} $ leasehold {}",
            person.name,
            arguments.join(" ")
        ))?;
        self.indented(&String::from_utf8_lossy(&output.stderr))?;
        self.indented(&String::from_utf8_lossy(&output.stdout))?;
        Ok(true)
    }

    /// Runs Helm as the administrator and shows the command.
    pub fn helm(&mut self, arguments: &[&str]) -> Result<()> {
        self.say(format_args!("   admin $ helm {}", arguments.join(" ")))?;
        capture(&mut self.site.helm(arguments)?)?;
        Ok(())
    }

    /// Runs kubectl as a person with a manifest as its input; it must be refused, and what it says is
    /// shown.
    pub fn refused(&mut self, person: Person, what: &str, manifest: &Value) -> Result<()> {
        let path = self.site.folder().join("refused.json");
        fs::write(&path, manifest.to_string()).context("failed to write a manifest")?;
        let file = path.display().to_string();
        let mut command = self.site.kubectl(person, &["create", "-f", &file])?;
        let output = ended(&mut command)?;
        self.say(format_args!(
            "   {} $ kubectl create -f - # {what}",
            person.name
        ))?;
        ensure!(
            !output.status.success(),
            "failed: {what} should be refused and was not"
        );
        self.indented(&String::from_utf8_lossy(&output.stderr))
    }

    /// Applies one of the examples as a person, with `words` put in the place of others.
    pub fn apply(&mut self, person: Person, example: &str, words: &[(&str, &str)]) -> Result<()> {
        let mut file = format!("examples/{example}");
        if !words.is_empty() {
            let mut text = read(&root()?.join(&file))?;
            for (old, new) in words {
                text = text.replace(old, new);
            }
            file = self.site.folder().join(example).display().to_string();
            fs::write(&file, text).with_context(|| format!("failed to write {file}"))?;
        }
        // an appraiser files; everybody else may also change what they wrote
        let verb = if person == super::site::APPRAISER {
            "create"
        } else {
            "apply"
        };
        self.kubectl(person, &[verb, "-f", &file]).map(drop)
    }

    /// Asks for JSON as a person, without showing it.
    pub fn json(&self, person: Person, arguments: &[&str]) -> Result<Value> {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        let text = capture(&mut self.site.kubectl(person, &all)?)?;
        serde_json::from_str(&text).context("failed to read what kubectl printed")
    }

    /// Waits until `probe` gives a value; says now and then how long it may still take.
    pub fn wait<T>(
        &mut self,
        what: &str,
        bound: Duration,
        mut probe: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut told = started;
        loop {
            if let Some(value) = probe(self)? {
                return Ok(value);
            }
            let left = bound.saturating_sub(started.elapsed());
            if left.is_zero() {
                bail!("failed to see {what} within {bound:?}");
            }
            if told.elapsed() >= REPORT_EVERY {
                told = Instant::now();
                self.say(format_args!("   … {what}: {} s at most", left.as_secs()))?;
            }
            thread::sleep(POLL);
        }
    }

    fn show(
        &mut self,
        person: Person,
        program: &str,
        arguments: &[&str],
        command: &mut Command,
    ) -> Result<String> {
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        self.say(format_args!(
            "   {} $ {program} {}",
            person.name,
            words.join(" ")
        ))?;
        let output = ended(command)?;
        let (told, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        self.indented(&errors)?;
        self.indented(&told)?;
        ensure!(
            output.status.success(),
            "failed to run {program} {} ({})",
            words.join(" "),
            output.status
        );
        Ok(told.into_owned())
    }

    /// Writes what a command printed.
    pub fn indented(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            self.say(format_args!("      {line}"))?;
        }
        Ok(())
    }
}

/// The text at a JSON pointer; empty when there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn ended(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("failed to start {command:?}"))
}

/// A word as one would type it in a shell.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_=./:@,{}[]〔〕".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        assert_eq!(quoted("examples/01-policy.yaml"), "examples/01-policy.yaml");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
