//! The manifests of `examples/refused/`: each is refused by the rule in its head, in the words there.
//!
//! The head says who tries the last document of a file, and how. The documents above it are made
//! first, each by whom the line above it names. Afterwards everything is as it was before.

use std::path::Path;
use std::{fs, io};

use k8s_openapi::api::core::v1::ServiceAccount;
use leasehold_e2e::Office;
use leasehold_testkit::manifests::example;
use leasehold_testkit::{Failure, LONG, Ran, Session, User, eventually, repository};
use serde_json::{Value, json};

use crate::openings::open;

const CODE: &str = "gov-office";
const PROD: &str = "gov-office--prod";
/// What stands for the uid of the contribution that a file makes first.
const UID: &str = "CONTRIBUTION-UID";
/// Where kubectl keeps what was applied last.
const APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// Everybody who writes one of the files.
const WRITERS: [User<'static>; 9] = [
    User::Admin,
    User::Office,
    User::SUN,
    User::QIAN,
    User::DataCentre,
    User::Appraiser,
    User::StrangeAppraiser,
    User::Auditor,
    User::Department(CODE),
];

/// What is done with the last document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    /// Changes an object that is there.
    Apply,
    Delete,
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The API server refuses, in these words.
    Refusal(String),
    /// The API server lets it through and warns, in these words.
    Warning(String),
    /// The operator answers in a condition, in these words.
    Condition(String),
}

/// One document and who writes it.
#[derive(Clone)]
struct Step {
    writer: User<'static>,
    manifest: Value,
}

/// What puts something back as it was.
enum Undo {
    Delete(Step),
    Apply(Step),
}

/// One file.
struct Refused {
    verb: Verb,
    answer: Answer,
    /// What is made first, in this order.
    first: Vec<Step>,
    /// What is tried.
    last: Step,
}

impl Refused {
    fn read(file: &str, text: &str) -> Result<Self, String> {
        let rule = word(text, "rule").ok_or("there is no line `# rule:`")?;
        if !file.starts_with(&format!("{rule}-")) {
            return Err(format!("the name does not begin with {rule}-"));
        }
        let verb = match word(text, "verb") {
            None | Some("create") => Verb::Create,
            Some("apply") => Verb::Apply,
            Some("delete") => Verb::Delete,
            Some(other) => return Err(format!("{other} is neither create, apply nor delete")),
        };
        let answer = answer(text, rule)?;
        let mut steps = steps(file, text)?;
        let last = steps.pop().ok_or("there is no manifest")?;
        Ok(Self {
            verb,
            answer,
            first: steps,
            last,
        })
    }

    /// Tries it, hears the answer, and puts everything back.
    async fn check(&self, office: &Office) -> Result<(), String> {
        let mut undo = Vec::new();
        let mut outcome = self.play(office, &mut undo).await;
        for step in undo.iter().rev() {
            outcome = outcome.and(step.carry_out(office).await);
        }
        outcome
    }

    async fn play(&self, office: &Office, undo: &mut Vec<Undo>) -> Result<(), String> {
        let mut uid = UID.to_owned();
        for step in &self.first {
            let step = step.of(&uid)?;
            let session = step.make(office).await?;
            if step.kind() == "HardwareContribution" {
                let found = step.look(&session).await?;
                let given = found["metadata"]["uid"].as_str();
                uid = given.unwrap_or_default().to_owned();
            }
            undo.push(Undo::Delete(step));
        }
        let last = self.last.of(&uid)?;
        let session = acting(office, last.writer).await?;
        let before = match self.verb {
            Verb::Create => None,
            Verb::Apply | Verb::Delete => Some(last.there(&session).await?),
        };
        let text = last.manifest.to_string();
        let ran = told(session.kubectl(self.command(), &text).await)?;
        match &self.answer {
            Answer::Refusal(words) => told(ran.refused(words)).map(drop),
            Answer::Warning(words) => {
                let ran = told(ran.ok())?;
                if ran.stderr.contains(words) {
                    Ok(())
                } else {
                    Err(format!("there is no warning {words:?}: {ran:?}"))
                }
            }
            Answer::Condition(words) => {
                told(ran.ok())?;
                undo.push(undoing(&last, before.as_ref())?);
                let subject = self.subject();
                let session = acting(office, subject.writer).await?;
                subject.says(&session, words).await
            }
        }
    }

    /// What kubectl is asked to do with the last document.
    fn command(&self) -> &'static [&'static str] {
        match (self.verb, &self.answer) {
            // what is only warned of would go through
            (Verb::Apply, Answer::Warning(_)) => &["apply", "--dry-run=server", "-f", "-"],
            (Verb::Apply, _) => &["apply", "-f", "-"],
            (Verb::Create, _) => &["create", "-f", "-"],
            (Verb::Delete, _) => &["delete", "-f", "-"],
        }
    }

    /// Whose status answers: the last document, or what a proof or a decision is about, which was made first.
    fn subject(&self) -> &Step {
        match (self.last.kind(), self.first.first()) {
            ("Appraisal" | "HandoverReceipt" | "Approval", Some(first)) => first,
            _ => &self.last,
        }
    }
}

impl Step {
    fn kind(&self) -> &str {
        self.manifest["kind"].as_str().unwrap_or_default()
    }

    /// Itself, with the uid of the contribution in place.
    fn of(&self, uid: &str) -> Result<Self, String> {
        let text = self.manifest.to_string().replace(UID, uid);
        let manifest = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(Self {
            writer: self.writer,
            manifest,
        })
    }

    /// Applies it as its writer. A decision waits for its question, which may be asked anew meanwhile.
    async fn make(&self, office: &Office) -> Result<Session, String> {
        let session = acting(office, self.writer).await?;
        if self.kind() == "Approval" {
            let decided = eventually("a decision", LONG, async || {
                told(session.apply(&self.manifest).await)
            });
            told(decided.await)?;
        } else {
            told(session.apply(&self.manifest).await)?;
        }
        Ok(session)
    }

    /// The object as it is. kubectl answers with a list where it is asked by a file.
    async fn look(&self, session: &Session) -> Result<Value, String> {
        let look = ["get", "-f", "-", "-o", "json"];
        let ran = session.kubectl(&look, &self.manifest.to_string()).await;
        let ran = told(ran.and_then(Ran::ok))?;
        let found: Value = told(ran.json())?;
        Ok(found.pointer("/items/0").cloned().unwrap_or(found))
    }

    /// The object, once it is there.
    async fn there(&self, session: &Session) -> Result<Value, String> {
        let what = format!("the {} that is changed", self.kind());
        let seen = eventually(&what, LONG, async || self.look(session).await);
        told(seen.await)
    }

    /// Waits until a condition of it says the words.
    async fn says(&self, session: &Session, words: &str) -> Result<(), String> {
        let what = format!("a condition that says {words:?}");
        let seen = eventually(&what, LONG, async || {
            let object = self.look(session).await?;
            let conditions = object.pointer("/status/conditions");
            let mut messages = conditions
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|condition| condition.get("message").and_then(Value::as_str));
            if messages.any(|message| message.contains(words)) {
                Ok(())
            } else {
                Err(format!("{conditions:?}"))
            }
        });
        told(seen.await)
    }

    /// Deletes it, by who may. Nobody may delete an approval (rule A07) or a proof (rule N12); what
    /// holds a lease is released first (rule T12).
    async fn remove(&self, office: &Office) -> Result<(), String> {
        let by = match self.kind() {
            "Approval" | "Appraisal" | "HandoverReceipt" => return Ok(()),
            "Tenancy" | "InformationSystem" | "HardwareContribution" => self.writer,
            // no role of the chart deletes these, because others refer to them
            _ => User::Admin,
        };
        let session = acting(office, by).await?;
        let text = self.manifest.to_string();
        let release = json!({"spec": {"release": {"reason": "试用结束"}}}).to_string();
        let patch = ["patch", "-f", "-", "--type=merge", "-p", &release];
        let what = format!("the {} gone", self.kind());
        let gone = eventually(&what, LONG, async || {
            let ran = told(session.kubectl(&["delete", "-f", "-"], &text).await)?;
            if ran.is_ok() {
                return Ok(());
            }
            if ran.stderr.contains("rule T12:") {
                told(session.kubectl(&patch, &text).await.and_then(Ran::ok))?;
            }
            Err(ran.stderr)
        });
        told(gone.await)
    }
}

impl Undo {
    async fn carry_out(&self, office: &Office) -> Result<(), String> {
        match self {
            Self::Delete(step) => step.remove(office).await,
            Self::Apply(step) => step.make(office).await.map(drop),
        }
    }
}

/// What puts the last document of a file back: it goes if it is new, and otherwise becomes again what
/// was applied `before`. A decision stays.
fn undoing(last: &Step, before: Option<&Value>) -> Result<Undo, String> {
    let Some(before) = before.filter(|_| last.kind() != "Approval") else {
        return Ok(Undo::Delete(last.clone()));
    };
    let applied = before.pointer(APPLIED).and_then(Value::as_str);
    let applied = applied.ok_or("it was not there by kubectl apply")?;
    Ok(Undo::Apply(Step {
        writer: last.writer,
        manifest: serde_json::from_str(applied).map_err(|error| error.to_string())?,
    }))
}

/// The value of a line in a head, as `T05` of `# rule: T05`.
fn word<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let head = format!("# {key}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(head.as_str()))
}

fn answer(text: &str, rule: &str) -> Result<Answer, String> {
    let lines = ["expect", "warning", "condition"].map(|key| word(text, key));
    let (words, answer) = match lines {
        [Some(words), None, None] => (words, Answer::Refusal(words.to_owned())),
        [None, Some(words), None] => (words, Answer::Warning(words.to_owned())),
        [None, None, Some(words)] => (words, Answer::Condition(words.to_owned())),
        _ => return Err("one line of expect, warning and condition is needed".to_owned()),
    };
    // rights are refused by the API server itself, in its own words
    let named = if rule.starts_with('R') {
        words.contains(" cannot ")
    } else {
        words.starts_with(&format!("rule {rule}:"))
    };
    if named {
        Ok(answer)
    } else {
        Err(format!("what is expected does not name rule {rule}"))
    }
}

/// The documents of a file. The last one is written by whom the head names, each of the others by
/// whom the line above it names.
fn steps(file: &str, text: &str) -> Result<Vec<Step>, String> {
    let manifests = told(example(&format!("refused/{file}"), UID))?;
    let parts: Vec<&str> = text.split("\n---\n").collect();
    let count = manifests.len();
    if parts.len() != count {
        return Err(format!("{} parts, {count} manifests", parts.len()));
    }
    let documents = parts.into_iter().zip(manifests).enumerate();
    documents
        .map(|(number, (part, manifest))| {
            let named = if number + 1 == count {
                word(text, "as")
            } else {
                word(part, "made first by")
            };
            Ok(Step {
                writer: writer(named)?,
                manifest,
            })
        })
        .collect()
}

fn writer(named: Option<&str>) -> Result<User<'static>, String> {
    let named = named.ok_or("a document says not who writes it")?;
    let mut everybody = WRITERS.into_iter();
    let found = everybody.find(|user| user.name() == named);
    found.ok_or_else(|| format!("nobody here is called {named}"))
}

async fn acting(office: &Office, user: User<'_>) -> Result<Session, String> {
    told(office.stage.user(user).await)
}

/// A failure in words.
fn told<T>(result: Result<T, Failure>) -> Result<T, String> {
    result.map_err(|failure| format!("{failure:?}"))
}

/// The names of the manifests in the folder, in order.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name)
            .extension()
            .is_some_and(|end| end == "yaml")
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The department of the examples with its lease, whose staff may work in what it brought.
async fn leased() -> Office {
    let office = open(CODE, "市政府办").await;
    // as the examples have it, with its domain
    let chen = office.stage.user(User::Office).await.unwrap();
    for department in example("04-department.yaml", "").unwrap() {
        chen.apply(&department).await.unwrap();
    }
    let lease = example("05-tenancy.yaml", "").unwrap();
    let tenancy = lease
        .iter()
        .find(|manifest| manifest["kind"] == "Tenancy")
        .unwrap();
    office.lease(tenancy).await.unwrap();
    let staff = &office.staff;
    let working = office
        .stage
        .see("staff at work in the namespace", LONG, async || {
            // pods are refused for the want of it before any rule is asked
            staff.get::<ServiceAccount>(Some(PROD), "default").await?;
            Ok(())
        });
    working.await.unwrap();
    office
}

#[tokio::test]
async fn every_manifest_of_the_folder_is_refused_in_the_words_of_its_head() {
    let folder = repository().join("examples/refused");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let names = files(&folder).unwrap();
    assert!(names.len() > 90, "only {} files", names.len());
    let office = leased().await;
    let mut failures = Vec::new();
    for name in &names {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        if !readme.contains(&format!("({name})")) {
            failures.push(format!("{name}: README.md does not list it"));
        }
        let tried = match Refused::read(name, &text) {
            Ok(refused) => refused.check(&office).await,
            Err(reason) => Err(reason),
        };
        if let Err(reason) = tried {
            failures.push(format!("{name}: {reason}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A file of the folder, with one text in its place of another.
#[expect(
    clippy::panic_in_result_fn,
    reason = "a file that is no manifest is what is asked about, a file that is not there is not"
)]
fn read_with(name: &str, old: &str, new: &str) -> Result<Refused, String> {
    let path = repository().join("examples/refused").join(name);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{name} lacks {old:?}");
    Refused::read(name, &text.replace(old, new))
}

#[test]
fn a_head_says_what_is_done_and_by_whom_and_what_others_make_first() {
    let whole = |name| read_with(name, "# as: ", "# as: ").unwrap();
    let proof = whole("H24-node-of-another-server.yaml");
    assert_eq!(proof.verb, Verb::Create);
    let makers: Vec<User<'_>> = proof.first.iter().map(|step| step.writer).collect();
    assert_eq!(makers, [User::Department(CODE), User::Appraiser]);
    assert_eq!(proof.last.writer, User::DataCentre);
    assert_eq!(proof.subject().kind(), "HardwareContribution");
    let change = whole("T13-a-larger-lease.yaml");
    let words = "rule T13: this opens a new request".to_owned();
    assert_eq!(change.answer, Answer::Warning(words));
    assert_eq!(change.command()[..2], ["apply", "--dry-run=server"]);
    assert!(change.first.is_empty());
    assert_eq!(change.subject().kind(), "Tenancy");
    let deletion = whole("N03-leased-namespace.yaml");
    assert_eq!(
        (deletion.verb, deletion.last.writer),
        (Verb::Delete, User::Admin)
    );
}

#[test]
fn a_head_that_says_too_little_or_something_else_is_refused() {
    let name = "T25-above-the-level-of-the-zone.yaml";
    for (old, new) in [
        ("# rule: T25", "# rule: T24"),
        ("# as: zhang@gov-office", "# as: nobody"),
        (
            "# as: zhang@gov-office",
            "# verb: replace\n# as: zhang@gov-office",
        ),
        ("# condition: ", "# hint: "),
        ("# condition: rule T25", "# condition: rule T24"),
        ("# condition: ", "# expect: rule T25: both\n# condition: "),
        ("# made first by: ", "# made by: "),
    ] {
        assert!(read_with(name, old, new).is_err(), "{new}");
    }
}
