//! What went wrong: one line a fault, and how many of each there were.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leasehold_kit::{Clock as _, SystemClock};
use serde_json::json;

use super::asked::Asked;
use crate::Failure;

/// So many lines are kept at hand.
const LAST: usize = 50;

/// What went wrong, in the order in which it did.
pub(super) struct Journal {
    seed: u64,
    path: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    counts: BTreeMap<&'static str, u32>,
    last: VecDeque<String>,
}

impl Journal {
    /// An empty one.
    pub(super) fn open(seed: u64, path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(Failure::file(path))?;
        let inner = Inner {
            file,
            counts: BTreeMap::new(),
            last: VecDeque::new(),
        };
        Ok(Self {
            seed,
            path: path.to_owned(),
            inner: Mutex::new(inner),
        })
    }

    /// The file: one JSON object a line.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes what a request suffers. `detail` says how.
    pub(super) fn note(&self, asked: &Asked, action: &'static str, detail: &str) {
        let mut inner = self.lock();
        let number: u32 = inner
            .counts
            .values()
            .fold(1, |sum, count| sum.saturating_add(*count));
        let line = json!({
            "number": number, "at": SystemClock::new().now().to_string(), "seed": self.seed,
            "request": asked, "fault": action, "detail": detail,
        });
        let line = line.to_string();
        // a journal that cannot be written must not change what is tested
        writeln!(inner.file, "{line}").ok();
        if inner.last.len() == LAST {
            inner.last.pop_front();
        }
        inner.last.push_back(line);
        let count = inner.counts.entry(action).or_default();
        *count = count.saturating_add(1);
    }

    /// How many there were of each.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u32> {
        self.lock().counts.clone()
    }

    /// The last lines, at most 50.
    pub(super) fn last(&self) -> Vec<String> {
        self.lock().last.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
