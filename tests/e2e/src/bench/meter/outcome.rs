//! What was measured of metering, and how it is shown.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Size, Watched, Written};
use crate::bench::Memory;

/// What stands where there is no figure.
const NOT_MEASURED: &str = "not measured";

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was asked for.
    pub size: Size,
    /// Facts into SQLite.
    pub file: Written,
    /// Facts into PostgreSQL, if that was asked for.
    pub server: Option<Written>,
    /// Pods of a control plane, if that was asked for.
    pub watched: Option<Watched>,
}

impl Outcome {
    /// One object for programs. What is not known is null.
    pub fn json(&self) -> Value {
        let written = |written: Option<Written>| {
            written.map(|written| {
                let [ledger, bare, ratio] = written.rates(self.size.facts);
                json!({"factsPerSecond": ledger, "bareRowsPerSecond": bare, "ratio": ratio})
            })
        };
        json!({
            "facts": self.size.facts,
            "sqlite": written(Some(self.file)),
            "postgresql": written(self.server),
            "pods": self.size.pods,
            "watch": self.watched.map(|watched| json!({
                "events": watched.events,
                "seconds": watched.recorded.as_secs_f64(),
                "eventsPerSecond": watched.rate(),
                "lagSeconds": watched.lag().as_secs_f64(),
                "operatorResidentKiB": watched.memory.map(|memory| memory.resident),
                "operatorPeakKiB": watched.memory.map(|memory| memory.peak),
                "catchUpSeconds": watched.caught.elapsed.as_secs_f64(),
                "catchUpResidentKiB": watched.caught.memory.map(|memory| memory.resident),
                "catchUpPeakKiB": watched.caught.memory.map(|memory| memory.peak),
            })),
        })
    }

    /// A small table for people.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let mut rows = vec![("facts", self.size.facts.to_string())];
        rows.extend(self.rows_of_writing());
        rows.push(("pods", self.size.pods.to_string()));
        rows.extend(self.rows_of_watching());
        for (name, value) in rows {
            writeln!(out, "{name:<20}{value:>12}")?;
        }
        Ok(())
    }

    fn rows_of_writing(&self) -> Vec<(&'static str, String)> {
        let rates = |written: Option<Written>| {
            let rates = written.map(|written| written.rates(self.size.facts));
            rates.map_or_else(
                || [(); 3].map(|()| NOT_MEASURED.to_owned()),
                |[ledger, bare, ratio]| {
                    [
                        format!("{ledger:.0}"),
                        format!("{bare:.0}"),
                        format!("{ratio:.2}"),
                    ]
                },
            )
        };
        let sqlite = ["SQLite facts/s", "SQLite bare rows/s", "SQLite ratio"];
        let server = ["PG facts/s", "PG bare rows/s", "PG ratio"];
        let file = sqlite.into_iter().zip(rates(Some(self.file)));
        file.chain(server.into_iter().zip(rates(self.server)))
            .collect()
    }

    fn rows_of_watching(&self) -> Vec<(&'static str, String)> {
        let of = |tell: fn(&Watched) -> String| {
            let told = self.watched.as_ref().map(tell);
            told.unwrap_or_else(|| NOT_MEASURED.to_owned())
        };
        vec![
            ("events", of(|watched| watched.events.to_string())),
            ("seconds", of(|watched| seconds(watched.recorded))),
            ("events/s", of(|watched| format!("{:.0}", watched.rate()))),
            ("lag", of(|watched| seconds(watched.lag()))),
            ("operator RSS", of(|watched| resident(watched.memory))),
            ("operator peak RSS", of(|watched| peak(watched.memory))),
            (
                "catch-up seconds",
                of(|watched| seconds(watched.caught.elapsed)),
            ),
            (
                "catch-up RSS",
                of(|watched| resident(watched.caught.memory)),
            ),
            (
                "catch-up peak RSS",
                of(|watched| peak(watched.caught.memory)),
            ),
        ]
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.2}", elapsed.as_secs_f64())
}

fn resident(memory: Option<Memory>) -> String {
    mib(memory.map(|memory| memory.resident))
}

fn peak(memory: Option<Memory>) -> String {
    mib(memory.map(|memory| memory.peak))
}

fn mib(kib: Option<u64>) -> String {
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::meter::Caught;

    fn outcome() -> Outcome {
        let duration = Duration::from_secs;
        let memory = Some(Memory {
            resident: 204_800,
            peak: 215_040,
        });
        Outcome {
            size: Size {
                facts: 50_000,
                pods: 12_000,
                server: false,
            },
            file: Written {
                ledger: duration(4),
                bare: duration(3),
            },
            server: None,
            watched: Some(Watched {
                events: 48_000,
                seen: duration(118),
                recorded: duration(120),
                memory,
                caught: Caught {
                    elapsed: duration(9),
                    memory: None,
                },
            }),
        }
    }

    fn table(outcome: &Outcome) -> String {
        let mut table = Vec::new();
        outcome.table(&mut table).unwrap();
        String::from_utf8(table).unwrap()
    }

    #[test]
    fn rates_and_their_ratio_stand_in_the_table_and_in_json() {
        let shown = outcome().json();
        assert_eq!(shown["sqlite"]["factsPerSecond"], 12_500.0);
        assert_eq!(shown["sqlite"]["ratio"], 0.75);
        assert_eq!(shown["postgresql"], Value::Null);
        assert_eq!(shown["watch"]["eventsPerSecond"], 400.0);
        assert_eq!(shown["watch"]["lagSeconds"], 2.0);
        let table = table(&outcome());
        for line in [
            "SQLite facts/s             12500\n",
            "SQLite ratio                0.75\n",
            "PG ratio            not measured\n",
            "events/s                     400\n",
            "operator RSS             200 MiB\n",
            "catch-up RSS             unknown\n",
        ] {
            assert!(table.contains(line), "{line}\n{table}");
        }
    }

    #[test]
    fn without_a_control_plane_nothing_is_told_of_one() {
        let mut outcome = outcome();
        outcome.watched = None;
        assert_eq!(outcome.json()["watch"], Value::Null);
        assert!(table(&outcome).contains("events/s            not measured\n"));
    }
}
