//! What was measured of a close, and how it is shown.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::Size;

/// How long each step took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Writing the ledger, before the clock of the close.
    pub load: Duration,
    /// Reading what the close depends on.
    pub read: Duration,
    /// Rating and drawing up the statements.
    pub rate: Duration,
    /// Writing the close, its statements and entries.
    pub commit: Duration,
    /// Verifying the whole ledger, after the clock of the close.
    pub verify: Duration,
}

impl Times {
    /// The whole close: reading, rating and committing.
    pub fn close(&self) -> Duration {
        self.read
            .saturating_add(self.rate)
            .saturating_add(self.commit)
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How large a ledger was asked for.
    pub size: Size,
    /// Records before the close: documents and facts.
    pub records: u64,
    /// Facts among them.
    pub facts: usize,
    /// Statements that the close drew up.
    pub statements: usize,
    /// What each closed period comes to, in yuan; there is one.
    pub gross: Vec<String>,
    /// How long each step took.
    pub times: Times,
    /// The most that this process had in memory up to the end of the close, in KiB; Linux only.
    pub close_peak: Option<u64>,
    /// The same up to the end of the verification.
    pub peak: Option<u64>,
    /// Size of the ledger's file.
    pub bytes: Option<u64>,
}

impl Outcome {
    /// One object for programs. Memory is null where it is not known.
    pub fn json(&self) -> Value {
        let times = &self.times;
        json!({
            "departments": self.size.departments,
            "tenancies": self.size.tenancies,
            "intervals": self.size.intervals,
            "records": self.records,
            "facts": self.facts,
            "statements": self.statements,
            "gross": self.gross,
            "loadSeconds": times.load.as_secs_f64(),
            "loadRecordsPerSecond": self.rate(),
            "readSeconds": times.read.as_secs_f64(),
            "rateAndCloseSeconds": times.rate.as_secs_f64(),
            "commitSeconds": times.commit.as_secs_f64(),
            "closeSeconds": times.close().as_secs_f64(),
            "verifySeconds": times.verify.as_secs_f64(),
            "closePeakKiB": self.close_peak,
            "peakKiB": self.peak,
            "ledgerBytes": self.bytes,
        })
    }

    /// A small table for people.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let mib = |size: Option<u64>, unit: u64| {
            size.map_or_else(
                || "unknown".to_owned(),
                |size| format!("{} MiB", size / unit),
            )
        };
        let times = &self.times;
        let lines = [
            ("departments", self.size.departments.to_string()),
            ("tenancies", self.size.tenancies.to_string()),
            ("intervals", self.size.intervals.to_string()),
            ("facts", self.facts.to_string()),
            ("records", self.records.to_string()),
            ("statements", self.statements.to_string()),
            ("load", seconds(times.load)),
            ("load records/s", format!("{:.0}", self.rate())),
            ("read", seconds(times.read)),
            ("rate and close", seconds(times.rate)),
            ("commit", seconds(times.commit)),
            ("close, whole", seconds(times.close())),
            ("verify", seconds(times.verify)),
            ("peak RSS, close", mib(self.close_peak, 1024)),
            ("peak RSS", mib(self.peak, 1024)),
            ("ledger", mib(self.bytes, 1024 * 1024)),
        ];
        for (name, value) in lines {
            writeln!(out, "{name:<18}{value:>12}")?;
        }
        Ok(())
    }

    /// Records written in a second.
    fn rate(&self) -> f64 {
        Duration::from_secs(self.records).div_duration_f64(self.times.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_close_is_reading_rating_and_committing_and_neither_loading_nor_verifying() {
        let seconds = Duration::from_secs;
        let outcome = Outcome {
            size: Size {
                departments: 3,
                tenancies: 4,
                intervals: 500,
            },
            records: 1000,
            facts: 1012,
            statements: 3,
            gross: vec!["4634.00".to_owned()],
            times: Times {
                load: seconds(4),
                read: seconds(1),
                rate: seconds(2),
                commit: seconds(5),
                verify: seconds(16),
            },
            close_peak: Some(2048),
            peak: None,
            bytes: Some(3 * 1024 * 1024),
        };
        let shown = outcome.json();
        assert_eq!(shown["closeSeconds"], 8.0);
        assert_eq!(shown["loadRecordsPerSecond"], 250.0);
        let mut table = Vec::new();
        outcome.table(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        for line in [
            "close, whole            8.00 s\n",
            "peak RSS, close          2 MiB\n",
            "peak RSS               unknown\n",
            "ledger                   3 MiB\n",
        ] {
            assert!(table.contains(line), "{table}");
        }
    }
}
