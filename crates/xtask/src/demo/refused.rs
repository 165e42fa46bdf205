//! What the rules forbid: every file of `examples/refused`, tried by the person whom it names.
//!
//! The head of a file says who tries its last document, how, and what comes back. The documents
//! above it are made first, each by whom the line above it names. Afterwards everything is put back.

use std::fs;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::scene::{Scene, text};
use super::site::ADMINISTRATOR;
use super::story::{ARRIVAL, UID, today};
use crate::workspace::{files, read, root};

/// How long the operator may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Where kubectl keeps what was applied last.
const APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
/// How a tenancy that holds something is made one that can be deleted.
const RELEASE: &str = r#"{"spec":{"release":{"reason":"试用结束"}}}"#;

/// What is done with the last document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    /// Changes an object that is there.
    Apply,
    Delete,
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The API server refuses.
    Refusal,
    /// The API server lets it through and warns.
    Warning,
    /// The operator answers in a condition.
    Condition,
}

/// One file.
#[derive(Debug)]
struct Refused {
    rule: String,
    verb: Verb,
    answer: Answer,
    /// How the answer begins.
    words: String,
    /// What is made first, in this order.
    first: Vec<Document>,
    /// What is tried.
    last: Document,
}

/// One document of a file and who writes it.
#[derive(Debug)]
struct Document {
    user: String,
    kind: String,
    yaml: String,
}

/// A document in a file of its own, as kubectl gets it.
struct Written {
    user: String,
    kind: String,
    file: String,
}

/// Tries all files, and shows what each is answered.
pub fn try_all(scene: &mut Scene) -> Result<()> {
    let folder = root()?.join("examples").join("refused");
    let (mut refused, mut warned) = (0_usize, 0_usize);
    for path in files(&folder, "yaml")? {
        let name = path.strip_prefix(root()?)?.display().to_string();
        let file = parse(&read(&path)?).with_context(|| format!("failed to read {name}"))?;
        let told = file
            .attempt(scene)
            .with_context(|| format!("failed to see rule {} hold in {name}", file.rule))?;
        let counted = match file.answer {
            Answer::Refusal | Answer::Condition => &mut refused,
            Answer::Warning => &mut warned,
        };
        *counted = counted.saturating_add(1);
        scene.say(format_args!("   {}", file.line(&name)))?;
        scene.say(format_args!("      {}{told}", file.where_it_stands()))?;
    }
    ensure!(
        refused > 0,
        "failed to find files to try in {}",
        folder.display()
    );
    scene.say(format_args!("   {refused} refused, {warned} warned of"))
}

impl Refused {
    /// What was typed, as one would type it.
    fn line(&self, name: &str) -> String {
        let (user, words) = (&self.last.user, self.command().join(" "));
        let made = if self.first.is_empty() {
            ""
        } else {
            " # the last document, after those above it"
        };
        format!("{user} $ kubectl {words} -f {name}{made}")
    }

    /// What stands before the answer, so that one knows where to look for it.
    fn where_it_stands(&self) -> &'static str {
        match self.answer {
            Answer::Refusal => "",
            Answer::Warning => "warning: ",
            Answer::Condition => "in the status: ",
        }
    }

    /// Tries it, puts everything back, and gives what was said.
    fn attempt(&self, scene: &mut Scene) -> Result<String> {
        let mut made = Vec::new();
        let told = self.play(scene, &mut made)?;
        for written in made.iter().rev() {
            written.remove(scene)?;
        }
        Ok(told)
    }

    fn play(&self, scene: &mut Scene, made: &mut Vec<Written>) -> Result<String> {
        let mut uid = UID.to_owned();
        for document in &self.first {
            let written = document.write(scene, made.len(), &uid)?;
            written.make(scene)?;
            if written.kind == "HardwareContribution" {
                let found = written.there(scene)?;
                text(&found, "/metadata/uid").clone_into(&mut uid);
            }
            made.push(written);
        }
        let last = self.last.write(scene, made.len(), &uid)?;
        let before = match self.verb {
            Verb::Create => None,
            Verb::Apply | Verb::Delete => Some(last.there(scene)?),
        };
        let output = last.kubectl(scene, &last.user, self.command())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let through = self.answer != Answer::Refusal;
        ensure!(
            output.status.success() == through,
            "kubectl ended with {}, and `{}` was expected: {}",
            output.status,
            self.words,
            errors.trim()
        );
        if self.answer != Answer::Condition {
            return said(&errors, &self.words)
                .with_context(|| format!("other words than `{}` were said: {errors}", self.words));
        }
        let told = self.heard(scene, &last, made)?;
        match before {
            None => made.push(last),
            Some(before) => last.restore(scene, &before)?,
        }
        Ok(told)
    }

    /// What kubectl is asked to do with the last document.
    fn command(&self) -> &'static [&'static str] {
        match (self.verb, self.answer) {
            // what is only warned of would go through
            (Verb::Apply, Answer::Warning) => &["apply", "--dry-run=server"],
            (Verb::Apply, _) => &["apply"],
            (Verb::Create, _) => &["create"],
            (Verb::Delete, _) => &["delete"],
        }
    }

    /// Waits for the operator's answer. It stands in the status of the last document, or of what a proof or a decision
    /// is about, which was made first.
    fn heard(&self, scene: &mut Scene, last: &Written, made: &[Written]) -> Result<String> {
        let about = matches!(
            last.kind.as_str(),
            "Appraisal" | "HandoverReceipt" | "Approval"
        );
        let subject = made.first().filter(|_| about).unwrap_or(last);
        let what = format!("a condition that says `{}`", self.words);
        scene.wait(&what, ANSWER, |scene| {
            let found = subject.find(scene)?;
            Ok(found.and_then(|found| condition(&found, &self.words)))
        })
    }
}

impl Document {
    /// Puts it into a file, with today as the day of arrival and the contribution's uid in place.
    fn write(&self, scene: &Scene, number: usize, uid: &str) -> Result<Written> {
        let path = scene.site().folder().join(format!("refused-{number}.yaml"));
        let yaml = self.yaml.replace(UID, uid).replace(ARRIVAL, &today()?);
        fs::write(&path, yaml).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Written {
            user: self.user.clone(),
            kind: self.kind.clone(),
            file: path.display().to_string(),
        })
    }
}

impl Written {
    fn kubectl(&self, scene: &Scene, user: &str, words: &[&str]) -> Result<Output> {
        let mut arguments = words.to_vec();
        arguments.extend(["-f", self.file.as_str()]);
        let mut command = scene.site().kubectl_as(user, &arguments)?;
        command
            .output()
            .with_context(|| format!("failed to start {command:?}"))
    }

    /// The object as it is, if it is there.
    fn find(&self, scene: &Scene) -> Result<Option<Value>> {
        let output = self.kubectl(scene, &self.user, &["get", "-o", "json"])?;
        if !output.status.success() {
            return Ok(None);
        }
        let found: Value = serde_json::from_slice(&output.stdout)
            .context("failed to read what kubectl printed")?;
        // kubectl may answer with a list where it is asked by a file
        Ok(Some(found.pointer("/items/0").cloned().unwrap_or(found)))
    }

    /// The object, once it is there.
    fn there(&self, scene: &mut Scene) -> Result<Value> {
        let what = format!("the {} in {}", self.kind, self.file);
        scene.wait(&what, ANSWER, |scene| self.find(scene))
    }

    /// Applies it as its writer. A decision waits until it was asked for.
    fn make(&self, scene: &mut Scene) -> Result<()> {
        if self.kind == "Approval" {
            self.there(scene)?;
        }
        self.apply(scene)
    }

    fn apply(&self, scene: &Scene) -> Result<()> {
        let output = self.kubectl(scene, &self.user, &["apply"])?;
        ensure!(
            output.status.success(),
            "failed to apply {} as {}: {}",
            self.file,
            self.user,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Applies what was applied before. A decision stays.
    fn restore(&self, scene: &Scene, before: &Value) -> Result<()> {
        if self.kind == "Approval" {
            return Ok(());
        }
        let applied = text(before, APPLIED);
        ensure!(
            !applied.is_empty(),
            "failed to put {} back: it was not there by kubectl apply",
            self.file
        );
        fs::write(&self.file, applied).with_context(|| format!("failed to write {}", self.file))?;
        self.apply(scene)
    }

    /// Deletes it, by who may. Nobody may delete an approval (rule A07) or a proof (rule N12); what
    /// holds a lease is released first (rule T12).
    fn remove(&self, scene: &mut Scene) -> Result<()> {
        let user = match self.kind.as_str() {
            "Approval" | "Appraisal" | "HandoverReceipt" => return Ok(()),
            "Tenancy" | "InformationSystem" | "HardwareContribution" => self.user.as_str(),
            // no role of the chart deletes these, because others refer to them
            _ => ADMINISTRATOR,
        };
        let what = format!("the {} in {} gone", self.kind, self.file);
        scene.wait(&what, ANSWER, |scene| {
            let output = self.kubectl(scene, user, &["delete"])?;
            if output.status.success() {
                return Ok(Some(()));
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(
                errors.contains("rule T12:"),
                "failed to delete what {} made: {}",
                self.file,
                errors.trim()
            );
            self.kubectl(scene, user, &["patch", "--type=merge", "-p", RELEASE])?;
            Ok(None)
        })
    }
}

/// Reads a file.
fn parse(content: &str) -> Result<Refused> {
    let word = |key: &str| {
        header(content, key).with_context(|| format!("failed to find the line `# {key}:`"))
    };
    let verb = match header(content, "verb").unwrap_or("create") {
        "create" => Verb::Create,
        "apply" => Verb::Apply,
        "delete" => Verb::Delete,
        other => bail!("failed to read the verb `{other}`: it is create, apply or delete"),
    };
    let answers = [
        ("expect", Answer::Refusal),
        ("warning", Answer::Warning),
        ("condition", Answer::Condition),
    ];
    let (words, answer) = answers
        .into_iter()
        .find_map(|(key, answer)| Some((header(content, key)?, answer)))
        .context("failed to find a line `# expect:`, `# warning:` or `# condition:`")?;
    let mut parts: Vec<&str> = content.split("\n---\n").collect();
    let last = parts.pop().context("failed to find a document")?;
    let first = parts.into_iter().map(|part| {
        let user = header(part, "made first by");
        document(
            part,
            user.context("failed to find a line `# made first by:`")?,
        )
    });
    Ok(Refused {
        rule: word("rule")?.to_owned(),
        verb,
        answer,
        words: words.to_owned(),
        first: first.collect::<Result<_>>()?,
        last: document(last, word("as")?)?,
    })
}

fn document(yaml: &str, user: &str) -> Result<Document> {
    let kind = yaml.lines().find_map(|line| line.strip_prefix("kind: "));
    Ok(Document {
        user: user.to_owned(),
        kind: kind.context("failed to find a line `kind:`")?.to_owned(),
        yaml: format!("{yaml}\n"),
    })
}

/// The value of a header line, as `T05` of `# rule: T05`.
fn header<'a>(content: &'a str, key: &str) -> Option<&'a str> {
    content.lines().find_map(|line| {
        let (name, value) = line.strip_prefix("# ")?.split_once(": ")?;
        (name == key).then_some(value.trim())
    })
}

/// What a condition of the object says, from the words on.
fn condition(found: &Value, words: &str) -> Option<String> {
    let conditions = found.pointer("/status/conditions")?.as_array()?;
    let mut messages = conditions
        .iter()
        .map(|condition| text(condition, "/message"));
    messages.find_map(|message| said(message, words))
}

/// The line in which the words are said, from them on.
fn said(told: &str, words: &str) -> Option<String> {
    told.lines().find_map(|line| {
        let (_, rest) = line.split_once(words)?;
        Some(format!("{words}{}", rest.trim_end()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TWO: &str = "# rule: T25\n# as: zhang@edu\n# condition: rule T25: asked\n# Why.\n\
                       # made first by: zhao@idc\nkind: NetworkZone\nname: a\n---\nkind: Tenancy\n";

    #[test]
    fn the_head_says_who_tries_the_last_document_and_the_others_are_made_first() {
        let read = parse(TWO).unwrap();
        assert_eq!((read.rule.as_str(), read.verb), ("T25", Verb::Create));
        assert_eq!(read.answer, Answer::Condition);
        assert_eq!(read.words, "rule T25: asked");
        assert_eq!(read.first.len(), 1);
        let of = |document: &Document| (document.user.clone(), document.kind.clone());
        let expected = |user: &str, kind: &str| (user.to_owned(), kind.to_owned());
        assert_eq!(of(&read.first[0]), expected("zhao@idc", "NetworkZone"));
        assert_eq!(of(&read.last), expected("zhang@edu", "Tenancy"));
        let typed =
            "zhang@edu $ kubectl create -f a.yaml # the last document, after those above it";
        assert_eq!(read.line("a.yaml"), typed);
    }

    #[test]
    fn what_is_only_warned_of_is_tried_dry() {
        let warns =
            "# rule: T13\n# as: zhang@edu\n# verb: apply\n# warning: rule T13:\nkind: Tenancy\n";
        let typed = "zhang@edu $ kubectl apply --dry-run=server -f a.yaml";
        assert_eq!(parse(warns).unwrap().line("a.yaml"), typed);
    }

    #[test]
    fn a_head_that_says_too_little_is_an_error() {
        for line in [
            "# rule: T25\n",
            "# as: zhang@edu\n",
            "# condition: rule T25: asked\n",
            "# made first by: zhao@idc\n",
        ] {
            assert!(parse(&TWO.replace(line, "")).is_err(), "without {line}");
        }
        let unknown = TWO.replace("# as: ", "# verb: replace\n# as: ");
        assert!(parse(&unknown).is_err());
    }

    #[test]
    fn every_file_can_be_read() {
        let folder = root().unwrap().join("examples").join("refused");
        let paths = files(&folder, "yaml").unwrap();
        assert!(paths.len() > 90, "only {} files", paths.len());
        for path in paths {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let file = parse(&read(&path).unwrap()).unwrap();
            assert!(name.starts_with(&format!("{}-", file.rule)), "{name}");
        }
    }

    #[test]
    fn the_answer_is_told_from_its_first_word_on() {
        let told = "Warning: x\nError from server: denied: rule T12: tenancy oa is Active; no\n";
        let rest = said(told, "rule T12: tenancy oa");
        assert_eq!(rest.as_deref(), Some("rule T12: tenancy oa is Active; no"));
        assert_eq!(said(told, "rule T13:"), None);
        let found = json!({"status": {"conditions": [
            {"type": "Ready", "message": "waits"},
            {"type": "Waiting", "message": "waits for a receipt; rule H06: early"},
        ]}});
        let told = condition(&found, "rule H06:");
        assert_eq!(told.as_deref(), Some("rule H06: early"));
        assert_eq!(condition(&json!({}), "rule H06:"), None);
    }
}
