//! What `leasehold verify` says, and whether it names a place.

use std::collections::BTreeSet;
use std::io::Write as _;

use futures::stream::{self, StreamExt as _};
use leasehold_model::Chance;
use leasehold_testkit::program;
use serde_json::Value;
use tokio::process::Command;

/// How many, unless somebody wants more.
const MANY: u64 = 100;
/// How many at a time.
const AT_ONCE: usize = 4;

/// A question to the program.
pub struct Asked {
    ledger: String,
    head: String,
}

/// What the program said.
#[derive(Debug)]
pub struct Verdict {
    /// Its exit code.
    pub code: Option<i32>,
    /// The row that it names first; 0 for none.
    row: u64,
    /// Everything that it said of what it found.
    text: String,
}

impl Asked {
    /// Whether this ledger is good, and goes back to this head.
    pub fn of(ledger: &str, head: &str) -> Self {
        Self {
            ledger: ledger.to_owned(),
            head: head.to_owned(),
        }
    }

    /// Asks the program.
    pub async fn verdict(&self) -> Verdict {
        let asked = Command::new(program().unwrap())
            .args(["verify", "--output", "json", "--db", &self.ledger])
            .args(["--head", &self.head])
            .output();
        let answer = asked.await.unwrap();
        let (out, err) = (answer.stdout, answer.stderr);
        let report: Value = serde_json::from_slice(&out).unwrap_or_default();
        let finding = &report["finding"];
        let said = ["what", "expected", "found"].map(|field| finding[field].as_str());
        let said: Vec<&str> = said.into_iter().flatten().collect();
        Verdict {
            code: answer.status.code(),
            row: finding["seq"].as_u64().unwrap_or(0),
            text: format!("{}\n{}", said.join("\n"), String::from_utf8_lossy(&err)),
        }
    }
}

impl Verdict {
    /// The rows that it names.
    pub fn rows(&self) -> BTreeSet<u64> {
        let mut rows = self.numbers_after("row");
        rows.insert(self.row);
        rows.remove(&0);
        rows
    }

    /// Whether it says this.
    pub fn says(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// Whether it ended as one that found something.
    pub fn is_found(&self) -> Result<(), String> {
        match self.code {
            Some(1 | 2) => Ok(()),
            _ => Err(format!("it is not found: {self:?}")),
        }
    }

    /// Whether a row or a page is named, or of an index itself or its table.
    pub fn names_a_place(&self, tree: Option<&str>) -> Result<(), String> {
        self.is_found()?;
        let pages = self.numbers_after("page");
        // an index of SQLite's own is called sqlite_autoindex_fact_1, no table has such a dash in its name, and `meta` has
        // one row
        let is_small = |tree: &str| {
            (tree.contains('_') || tree == "meta")
                && (self.says(&format!("index {tree}"))
                    || self.says("or an index of it is damaged"))
        };
        if !self.rows().is_empty() || !pages.is_empty() || tree.is_some_and(is_small) {
            return Ok(());
        }
        Err(format!("no place is named: {self:?}"))
    }

    /// The numbers that stand behind a word.
    fn numbers_after(&self, word: &str) -> BTreeSet<u64> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        words
            .windows(2)
            .filter(|pair| pair[0].trim_start_matches('(').eq_ignore_ascii_case(word))
            .filter_map(|pair| {
                let digits = pair[1].trim_end_matches(|c: char| !c.is_ascii_digit());
                digits.parse().ok()
            })
            .collect()
    }
}

/// Tries as many changes as are asked for, each with a chance of its own, and tells all that were not found.
pub async fn all(one: impl AsyncFn(u64, &mut Chance) -> Result<(), String>) {
    let many = asked_for("LEASEHOLD_CORRUPTIONS").unwrap_or(MANY);
    let seed = asked_for("LEASEHOLD_SEED").unwrap_or(1);
    let one = &one;
    let trying = stream::iter(0..many).map(|number| async move {
        let mut chance = Chance::new(seed.wrapping_mul(1 << 32).wrapping_add(number));
        let tried = one(number, &mut chance).await;
        tried.map_err(|why| format!("LEASEHOLD_SEED={seed}, change {number}: {why}"))
    });
    let tried: Vec<Result<(), String>> = trying.buffer_unordered(AT_ONCE).collect().await;
    let missed: Vec<String> = tried.into_iter().filter_map(Result::err).collect();
    let told = format!("corruptions: {} of {many} found\n", many - size(&missed));
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

fn size(missed: &[String]) -> u64 {
    u64::try_from(missed.len()).unwrap()
}

fn asked_for(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no whole number")))
}

#[test]
fn a_place_is_a_number_behind_its_word_and_an_index_only_counts_by_its_name() {
    let said = |text: &str| Verdict {
        code: Some(2),
        row: 0,
        text: text.to_owned(),
    };
    assert_eq!(said("row 7: no, (row 12)").rows(), BTreeSet::from([7, 12]));
    assert!(said("Page 9: never used").names_a_place(None).is_ok());
    assert!(said("a row of fact").names_a_place(None).is_err());
    let index = said("non-unique entry in index fact_uid");
    assert!(index.names_a_place(Some("fact_uid")).is_ok());
    assert!(index.names_a_place(Some("fact")).is_err());
    let table = said("table fact or an index of it is damaged: malformed");
    assert!(table.names_a_place(Some("fact_uid")).is_ok());
    assert!(table.names_a_place(Some("fact")).is_err());
    let passed = Verdict {
        code: Some(0),
        ..said("row 7")
    };
    assert!(passed.names_a_place(None).is_err());
}
