//! How the oracle is asked: what the store and the log hold, and what the operator answers, as files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use leasehold_e2e::Stage;
use leasehold_ledger::time::Second;
use leasehold_store::Store;
use leasehold_testkit::{User, repository};
use serde_json::{Value, json};

use crate::scale::Scale;

/// Rows that are read at a time.
const ROWS: u32 = 10_000;

/// What the oracle said.
pub struct Found {
    /// 0 when there is no deviation, 1 when there is.
    pub code: Option<i32>,
    /// In words.
    pub said: String,
    /// What it was about, in numbers.
    pub summary: Value,
}

/// The record of a run, in files.
pub struct Record {
    folder: PathBuf,
    audit: PathBuf,
    /// Of each life of etcd.
    histories: Vec<PathBuf>,
}

/// Writes the history of the store, the rows of the ledger and the use that `leasehold usage` shows. `histories` are those of
/// the lives of etcd that are over.
pub async fn record(stage: &Stage, mut histories: Vec<PathBuf>) -> Record {
    let folder = stage.rig.scratch("oracle-record").unwrap();
    let operator = stage.operator.lock().await;
    let copied = operator.copy_ledger(&folder.join("copy"));
    drop(operator);
    let copy = copied.unwrap();
    let auditor = stage.user(User::Auditor).await.unwrap();
    let db = copy.display().to_string();
    let verified = auditor.leasehold(&["verify", "--db", &db]).await;
    verified.unwrap().ok().unwrap();
    let usage = auditor
        .leasehold(&["usage", "--db", &db, "-o", "json"])
        .await;
    let usage = usage.unwrap().ok().unwrap();
    fs::write(folder.join("usage.json"), usage.stdout).unwrap();
    write_rows(&copy, &folder.join("rows.jsonl")).await;
    let history = folder.join("history.jsonl");
    let asked = tokio::process::Command::from(asking(&collecting(stage.rig.etcd(), &history)))
        .output()
        .await;
    let (code, said) = answered(asked);
    assert_eq!(code, Some(0), "{said}");
    histories.push(history);
    Record {
        folder,
        audit: stage.rig.audit_log().to_owned(),
        histories,
    }
}

/// Writes the history of a life of etcd that is about to be forgotten. The caller's thread waits meanwhile.
pub fn save(etcd: &str, history: &Path) {
    let (code, said) = answered(asking(&collecting(etcd, history)).output());
    assert_eq!(code, Some(0), "{said}");
}

fn collecting(etcd: &str, history: &Path) -> [OsString; 5] {
    [
        "collect".into(),
        "--etcd".into(),
        etcd.into(),
        "--out".into(),
        history.into(),
    ]
}

/// The rows as an evidence file has them, up to the last one.
async fn write_rows(ledger: &Path, path: &Path) {
    let store = Store::open_read_only(ledger).await.unwrap();
    let mut out = BufWriter::new(File::create(path).unwrap());
    let mut last = 0;
    loop {
        let rows = store.rows(last, ROWS).await.unwrap();
        let Some(newest) = rows.last() else { break };
        last = newest.chain.seq;
        for row in &rows {
            let line = json!({
                "seq": row.chain.seq, "kind": row.chain.kind, "key": row.chain.key, "body": row.body,
            });
            writeln!(out, "{line}").unwrap();
        }
    }
    out.flush().unwrap();
    store.close().await.unwrap();
}

impl Record {
    /// Copies the record to where it outlives the control plane, in place of the last one that was kept; gives the folder.
    pub fn keep(&self) -> PathBuf {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle-record");
        drop(fs::remove_dir_all(&kept));
        fs::create_dir_all(&kept).unwrap();
        let names = ["usage.json", "changed.json", "rows.jsonl", "report.json"];
        let mine = names.map(|name| self.folder.join(name));
        // with what was rotated away from the log, which stands beside it
        let logs = fs::read_dir(self.audit.parent().unwrap()).unwrap();
        let logs = logs.map(|entry| entry.unwrap().path());
        let stem = self.audit.file_stem().unwrap().to_string_lossy();
        let logs = logs.filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            path.is_file() && name.starts_with(&*stem)
        });
        let files = self.histories.iter().cloned().chain(mine).chain(logs);
        for file in files.filter(|file| file.exists()) {
            fs::copy(&file, kept.join(file.file_name().unwrap())).unwrap();
        }
        kept
    }

    /// Has an answer compared with the history.
    pub async fn judge(&self, usage: &str) -> Found {
        let report = self.folder.join("report.json");
        let mut files: Vec<(&str, PathBuf)> = self
            .histories
            .iter()
            .map(|history| ("--history", history.clone()))
            .collect();
        files.extend([
            ("--audit", self.audit.clone()),
            ("--usage", self.folder.join(usage)),
            ("--rows", self.folder.join("rows.jsonl")),
            ("--report", report.clone()),
        ]);
        let mut arguments: Vec<OsString> = vec!["judge".into()];
        for (name, file) in files {
            arguments.push(name.into());
            arguments.push(file.into());
        }
        let asked = tokio::process::Command::from(asking(&arguments))
            .output()
            .await;
        let (code, said) = answered(asked);
        let text = fs::read_to_string(&report).unwrap_or_default();
        let report: Value = serde_json::from_str(&text).unwrap_or_default();
        Found {
            code,
            said,
            summary: report["summary"].clone(),
        }
    }

    /// An answer in which one pod has a second more; gives the pod's title.
    pub fn add_a_second(&self, from: &str, to: &str) -> String {
        let text = fs::read_to_string(self.folder.join(from)).unwrap();
        let mut intervals: Vec<Value> = serde_json::from_str(&text).unwrap();
        let known = |interval: &&mut Value| {
            let is_known = interval["open"] == false && interval["estimated"] == false;
            is_known && interval["meter"] == "pod/cpu"
        };
        let changed = intervals.iter_mut().rev().find(known);
        let changed = changed.expect("one pod has ended");
        let end = Second::parse(changed["span"]["to"].as_str().unwrap());
        changed["span"]["to"] = json!(end.unwrap().plus(1).to_string());
        let title = changed["subject"]["object"].as_str().unwrap().to_owned();
        let text = serde_json::to_string(&intervals).unwrap();
        fs::write(self.folder.join(to), text).unwrap();
        title
    }
}

/// The oracle with these arguments.
fn asking(arguments: &[OsString]) -> Command {
    let python = std::env::var_os("LEASEHOLD_FOCUS_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    // what is compiled is not left in the repository
    command
        .arg("-B")
        .arg(repository().join("tests").join("oracle"))
        .args(arguments)
        .env("PYTHONUTF8", "1");
    command
}

/// Its exit code and what it said.
fn answered(output: io::Result<Output>) -> (Option<i32>, String) {
    let output = output.unwrap_or_else(|error| panic!("failed to start Python: {error}"));
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

/// Nobody takes a comparison of nothing for a good one.
pub fn it_was_about_something(summary: &Value, scale: &Scale) {
    let pods = u64::from(scale.pods);
    let restarts = u64::try_from(scale.restarts).unwrap();
    let restores = u64::try_from(scale.restores).unwrap();
    let least = [
        // one in sixteen finds no node; the end of one in eight is not told
        ("pods", pods * 3 / 4),
        ("pods shorter than 5 s", pods / 8),
        ("pods that were resized", pods / 8),
        ("recorded times", pods * 2),
        ("bounded times", pods / 16),
        ("claims", 3),
        ("lease times", 10),
        ("starts of the API server", 1 + restarts + restores),
        ("lives of etcd", 1 + restores),
        // somebody is always at it
        ("objects that were put back", restores),
        ("objects that were undone", restores),
        ("requests in the audit log", pods),
    ];
    for (name, least) in least {
        let found = summary[name].as_u64().unwrap_or_default();
        assert!(
            found >= least,
            "{name}: {found} instead of {least}: {summary}"
        );
    }
}
