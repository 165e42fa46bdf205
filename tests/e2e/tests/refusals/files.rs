//! The manifests of `examples/refused/`: each is refused by the rule in its head, in the words there.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use k8s_openapi::api::core::v1::ServiceAccount;
use leasehold_e2e::Office;
use leasehold_testkit::manifests::example;
use leasehold_testkit::{LONG, Session, User, eventually, repository};
use serde_json::Value;

use crate::openings::open;

const CODE: &str = "gov-office";
const PROD: &str = "gov-office--prod";
/// How long the operator may take to answer in a condition.
const ANSWER: Duration = Duration::from_secs(15);

/// Everybody who writes one of the files.
const WRITERS: [User<'static>; 7] = [
    User::Admin,
    User::Office,
    User::SUN,
    User::DataCentre,
    User::Appraiser,
    User::StrangeAppraiser,
    User::Department(CODE),
];

/// What comes back.
enum Answer {
    /// The API server refuses, in these words.
    Refusal(String),
    /// The operator answers in a condition, in these words.
    Condition(String),
}

/// One file.
struct Refused {
    file: String,
    writer: User<'static>,
    answer: Answer,
    manifest: Value,
}

impl Refused {
    fn read(file: &str, text: &str) -> Result<Self, String> {
        let word = |key: &str| {
            let head = format!("# {key}: ");
            text.lines().find_map(|line| line.strip_prefix(&head))
        };
        let rule = word("rule").ok_or("there is no line `# rule:`")?;
        if !file.starts_with(&format!("{rule}-")) {
            return Err(format!("the name does not begin with {rule}-"));
        }
        let named = word("as").ok_or("there is no line `# as:`")?;
        let writer = WRITERS.into_iter().find(|user| user.name() == named);
        let (answer, words) = match (word("expect"), word("condition")) {
            (Some(words), None) => (Answer::Refusal(words.to_owned()), words),
            (None, Some(words)) => (Answer::Condition(words.to_owned()), words),
            _ => return Err("one line of `# expect:` and `# condition:` is needed".to_owned()),
        };
        if !words.starts_with(&format!("rule {rule}:")) {
            return Err(format!("what is expected does not name rule {rule}"));
        }
        let documents =
            example(&format!("refused/{file}"), "u-1").map_err(|failure| format!("{failure:?}"))?;
        let [manifest] = <[Value; 1]>::try_from(documents)
            .map_err(|documents| format!("{} manifests and not one", documents.len()))?;
        Ok(Self {
            file: file.to_owned(),
            writer: writer.ok_or_else(|| format!("nobody here is called {named}"))?,
            answer,
            manifest,
        })
    }

    async fn check(&self, office: &Office) -> Result<(), String> {
        let session = office
            .stage
            .user(self.writer)
            .await
            .map_err(|failure| format!("{failure:?}"))?;
        let ran = session
            .try_create(&self.manifest)
            .await
            .map_err(|failure| format!("{failure:?}"))?;
        match &self.answer {
            Answer::Refusal(words) => ran
                .refused(words)
                .map(drop)
                .map_err(|failure| format!("{failure:?}")),
            Answer::Condition(words) => {
                ran.ok().map_err(|failure| format!("{failure:?}"))?;
                let said = self.is_said(&session, words).await;
                let gone = self.delete(office).await;
                said.and(gone)
            }
        }
    }

    /// Waits until a condition of the object says the words.
    async fn is_said(&self, session: &Session, words: &str) -> Result<(), String> {
        let manifest = self.manifest.to_string();
        let look = ["get", "-f", "-", "-o", "json"];
        let what = format!("a condition that says {words:?}");
        let seen = eventually(&what, ANSWER, async || {
            let ran = session.kubectl(&look, &manifest).await;
            let object: Value = ran
                .and_then(leasehold_testkit::Ran::ok)
                .and_then(|ran| ran.json())
                .map_err(|failure| format!("{failure:?}"))?;
            // kubectl answers with a list where it was asked by a file
            let conditions = object
                .pointer("/status/conditions")
                .or_else(|| object.pointer("/items/0/status/conditions"));
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
        seen.await.map_err(|failure| format!("{failure:?}"))
    }

    /// By whoever wrote it. Price books are kept even by finance, because bills refer to them.
    async fn delete(&self, office: &Office) -> Result<(), String> {
        let who = if self.manifest["kind"] == "PriceBook" {
            User::Admin
        } else {
            self.writer
        };
        let session = office
            .stage
            .user(who)
            .await
            .map_err(|failure| format!("{failure:?}"))?;
        session
            .kubectl(&["delete", "-f", "-"], &self.manifest.to_string())
            .await
            .and_then(leasehold_testkit::Ran::ok)
            .map(drop)
            .map_err(|failure| format!("{failure:?}"))
    }
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
    assert!(names.len() > 30, "only {} files", names.len());
    let office = leased().await;
    let mut failures = Vec::new();
    for name in &names {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        if !readme.contains(&format!("({name})")) {
            failures.push(format!("{name}: README.md does not list it"));
        }
        match Refused::read(name, &text) {
            Ok(refused) => {
                if let Err(reason) = refused.check(&office).await {
                    failures.push(format!("{}: {reason}", refused.file));
                }
            }
            Err(reason) => failures.push(format!("{name}: {reason}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
