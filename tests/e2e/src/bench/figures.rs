//! What was measured, and how it is shown.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::Load;

/// Where the figures of calls and writes come from.
const SOURCES: &str = "\
calls: what the operator sent, by its own metric, with events and with what was refused or repeated
writes: what the API server carried out of that, by its audit log, without events; below the floors those of each tenancy, by
verb and resource
restart writes: the same from the operator's start until 20 s after it converged, also without its Lease";
/// What stands where there is no figure.
const NOT_MEASURED: &str = "not measured";

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// Of a process, as Linux tells it; none where there is no `/proc`.
    pub fn of(process: u32) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    fn read(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

/// Requests that the operator sent to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// One object or a page of a list each.
    pub reads: u64,
    /// Writes, also those that were refused, repeated or for trial, and events.
    pub writes: u64,
    /// Watches that were opened; the server ends each after 10 or 20 seconds.
    pub watches: u64,
}

impl Calls {
    /// Those that came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            writes: self.writes.saturating_sub(before.writes),
            watches: self.watches.saturating_sub(before.watches),
        }
    }

    /// All of them.
    pub fn all(self) -> u64 {
        self.reads
            .saturating_add(self.writes)
            .saturating_add(self.watches)
    }
}

/// What the bare objects took when so many namespaces were created at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Namespaces at a time.
    pub workers: usize,
    /// From the first object until every quota is counted.
    pub elapsed: Duration,
}

/// What the tenancies took.
#[derive(Clone, Debug)]
pub struct Work {
    /// From the first apply to the last tenancy that is active.
    pub elapsed: Duration,
    /// From each tenancy's own apply until it is active.
    pub latencies: Vec<Duration>,
    /// From each department's change of how its lease is divided until the first answer, afterwards; none where nothing
    /// can be divided.
    pub answers: Vec<Duration>,
    /// Writes of the operator that the API server carried out meanwhile, without events; none where its
    /// audit log was begun anew meanwhile.
    pub writes: Option<u64>,
    /// The same by verb and resource.
    pub kinds: Option<BTreeMap<String, u64>>,
    /// What the operator sent meanwhile.
    pub calls: Calls,
    /// Of the operator when the last tenancy is active.
    pub memory: Option<Memory>,
}

/// What a new start took after the operator was killed.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// From the start of the process until it had looked at every tenancy and its reconciles had ended.
    pub elapsed: Duration,
    /// Writes of the operator that the API server carried out from the start until 20 s after that,
    /// without events and its Lease; none where the audit log was begun anew meanwhile.
    pub writes: Option<u64>,
    /// Of the new process then.
    pub memory: Option<Memory>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    load: Load,
    work: Work,
    restart: Restart,
    floors: Vec<Floor>,
}

impl Report {
    /// The fastest of `floors` is the one that counts; there are none where they were not asked for.
    pub fn new(load: Load, mut work: Work, restart: Restart, floors: Vec<Floor>) -> Self {
        work.latencies.sort_unstable();
        work.answers.sort_unstable();
        Self {
            load,
            work,
            restart,
            floors,
        }
    }

    /// One object for programs. What is not known is null.
    pub fn json(&self) -> Value {
        let floors: Vec<Value> = self
            .floors
            .iter()
            .map(|floor| {
                json!({"concurrency": floor.workers, "seconds": floor.elapsed.as_secs_f64()})
            })
            .collect();
        json!({
            "tenancies": self.load.tenancies,
            "namespacesEach": self.load.namespaces,
            "namespaces": self.load.places(),
            "arrivalsPerSecond": self.load.arrivals,
            "seconds": self.work.elapsed.as_secs_f64(),
            "tenanciesPerSecond": self.rate(),
            "p50Milliseconds": self.percentile(50),
            "p99Milliseconds": self.percentile(99),
            "maxMilliseconds": self.percentile(100),
            "splits": self.work.answers.len(),
            "splitP50Milliseconds": nearest(&self.work.answers, 50),
            "splitP99Milliseconds": nearest(&self.work.answers, 99),
            "operatorWrites": self.work.writes,
            "operatorWritesPerTenancy": self.work.writes.map(|writes| self.each(writes)),
            "operatorWritesByKind": self.work.kinds,
            "operatorCalls": self.work.calls.all(),
            "operatorCallsPerTenancy": self.each(self.work.calls.all()),
            "operatorReadCalls": self.work.calls.reads,
            "operatorReadCallsPerTenancy": self.each(self.work.calls.reads),
            "operatorWriteCalls": self.work.calls.writes,
            "operatorWriteCallsPerTenancy": self.each(self.work.calls.writes),
            "operatorWatchCalls": self.work.calls.watches,
            "operatorWatchCallsPerTenancy": self.each(self.work.calls.watches),
            "floorSeconds": self.floor().map(|floor| floor.elapsed.as_secs_f64()),
            "floorConcurrency": self.floor().map(|floor| floor.workers),
            "floors": floors,
            "ratio": self.ratio(),
            "operatorResidentKiB": self.work.memory.map(|memory| memory.resident),
            "operatorPeakKiB": self.work.memory.map(|memory| memory.peak),
            "restartSeconds": self.restart.elapsed.as_secs_f64(),
            "restartWrites": self.restart.writes,
            "restartResidentKiB": self.restart.memory.map(|memory| memory.resident),
            "restartPeakKiB": self.restart.memory.map(|memory| memory.peak),
        })
    }

    /// A small table for people.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = [
            self.rows_of_load(),
            self.rows_of_calls(),
            self.rows_of_floor(),
            self.rows_of_memory_and_restart(),
        ];
        for (name, value) in rows.into_iter().flatten() {
            writeln!(out, "{name:<18}{value:>12}")?;
        }
        for Floor { workers, elapsed } in &self.floors {
            let name = format!("floor at {workers}");
            writeln!(out, "{name:<18}{:>10.2} s", elapsed.as_secs_f64())?;
        }
        for (kind, count) in self.kinds() {
            writeln!(out, "  {kind:<40}{:>8.2}", self.each(count))?;
        }
        writeln!(out, "{SOURCES}")
    }

    /// Writes by verb and resource, the most frequent first.
    fn kinds(&self) -> Vec<(&str, u64)> {
        let kinds = self.work.kinds.iter().flatten();
        let mut kinds: Vec<(&str, u64)> =
            kinds.map(|(kind, count)| (kind.as_str(), *count)).collect();
        kinds.sort_by_key(|(kind, count)| (Reverse(*count), *kind));
        kinds
    }

    fn rows_of_load(&self) -> Vec<Row> {
        let arrivals = self.load.arrivals;
        vec![
            ("tenancies", self.load.tenancies.to_string()),
            ("namespaces", self.load.places().to_string()),
            (
                "arrivals/s",
                arrivals.map_or_else(|| "all at once".to_owned(), |rate| rate.to_string()),
            ),
            ("seconds", seconds(self.work.elapsed)),
            ("tenancies/s", format!("{:.2}", self.rate())),
            ("p50", format!("{} ms", self.percentile(50))),
            ("p99", format!("{} ms", self.percentile(99))),
            ("max", format!("{} ms", self.percentile(100))),
            ("split p50", self.split(50)),
            ("split p99", self.split(99)),
        ]
    }

    fn rows_of_calls(&self) -> Vec<Row> {
        let each = |count: u64| format!("{:.1}", self.each(count));
        let calls = self.work.calls;
        vec![
            ("calls/tenancy", each(calls.all())),
            ("  reads", each(calls.reads)),
            ("  writes", each(calls.writes)),
            ("  watches", each(calls.watches)),
            ("writes/tenancy", measured(self.work.writes.map(each))),
        ]
    }

    fn rows_of_floor(&self) -> Vec<Row> {
        let floor = self.floor();
        let workers = floor.map(|floor| floor.workers.to_string());
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}"));
        vec![
            (
                "floor seconds",
                measured(floor.map(|floor| seconds(floor.elapsed))),
            ),
            ("floor concurrency", measured(workers)),
            ("ratio", measured(ratio)),
        ]
    }

    fn rows_of_memory_and_restart(&self) -> Vec<Row> {
        let (memory, restart) = (self.work.memory, self.restart);
        let writes = restart.writes.map(|writes| writes.to_string());
        vec![
            ("operator RSS", mib(memory.map(|memory| memory.resident))),
            ("operator peak RSS", mib(memory.map(|memory| memory.peak))),
            ("restart seconds", seconds(restart.elapsed)),
            ("restart writes", measured(writes)),
            (
                "restart RSS",
                mib(restart.memory.map(|memory| memory.resident)),
            ),
        ]
    }

    fn rate(&self) -> f64 {
        Duration::from_secs(self.load.tenancies.into()).div_duration_f64(self.work.elapsed)
    }

    /// So many, divided among the tenancies.
    fn each(&self, count: u64) -> f64 {
        Duration::from_secs(count).div_duration_f64(Duration::from_secs(self.load.tenancies.into()))
    }

    /// The fastest floor.
    fn floor(&self) -> Option<Floor> {
        let fastest = self.floors.iter().min_by_key(|floor| floor.elapsed);
        fastest.copied()
    }

    /// How many times the floor the tenancies took.
    fn ratio(&self) -> Option<f64> {
        let floor = self.floor()?;
        Some(self.work.elapsed.div_duration_f64(floor.elapsed))
    }

    /// The latency in milliseconds that so many of a hundred tenancies do not exceed (nearest rank).
    fn percentile(&self, percent: usize) -> u64 {
        nearest(&self.work.latencies, percent).unwrap_or(0)
    }

    /// The same of the answers to departments that divided their leases anew, for people.
    fn split(&self, percent: usize) -> String {
        let found = nearest(&self.work.answers, percent);
        measured(found.map(|milliseconds| format!("{milliseconds} ms")))
    }
}

/// What so many of a hundred do not exceed, in milliseconds (nearest rank); none of nothing. They are in order.
fn nearest(sorted: &[Duration], percent: usize) -> Option<u64> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    let found = sorted.get(rank.saturating_sub(1))?;
    Some(u64::try_from(found.as_millis()).unwrap_or(u64::MAX))
}

/// Name and value of a line of the table.
type Row = (&'static str, String);

fn seconds(elapsed: Duration) -> String {
    format!("{:.2}", elapsed.as_secs_f64())
}

fn measured(value: Option<String>) -> String {
    value.unwrap_or_else(|| NOT_MEASURED.to_owned())
}

fn mib(kib: Option<u64>) -> String {
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(milliseconds: impl Iterator<Item = u64>) -> Report {
        let load = Load {
            tenancies: 50,
            namespaces: 3,
            arrivals: None,
            floors: true,
        };
        let latencies = milliseconds.map(Duration::from_millis).collect();
        let memory = Memory::read("VmHWM:\t   40960 kB\nVmRSS:\t   30720 kB\n");
        let work = Work {
            elapsed: Duration::from_secs(20),
            latencies,
            answers: [40, 10, 30, 20].map(Duration::from_millis).to_vec(),
            writes: Some(625),
            kinds: Some(BTreeMap::from([
                ("create namespaces".to_owned(), 150),
                ("patch tenancies/status".to_owned(), 475),
            ])),
            calls: Calls {
                reads: 300,
                writes: 700,
                watches: 50,
            },
            memory,
        };
        let floors = [(4, 10), (8, 8), (16, 9)].map(|(workers, seconds)| Floor {
            workers,
            elapsed: Duration::from_secs(seconds),
        });
        let restart = Restart {
            elapsed: Duration::from_millis(3_250),
            writes: Some(17),
            memory: Memory::read("VmHWM:\t   35840 kB\nVmRSS:\t   33792 kB\n"),
        };
        Report::new(load, work, restart, floors.to_vec())
    }

    fn table(report: &Report) -> String {
        let mut table = Vec::new();
        report.table(&mut table).unwrap();
        String::from_utf8(table).unwrap()
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let many = report((1..=200).rev());
        assert_eq!([50, 99, 100].map(|p| many.percentile(p)), [100, 198, 200]);
        let few = report([30, 10, 20].into_iter());
        assert_eq!([50, 99, 100].map(|p| few.percentile(p)), [20, 30, 30]);
        assert_eq!(report([].into_iter()).percentile(50), 0);
        let shown = few.json();
        assert_eq!(shown["splits"], 4);
        assert_eq!(shown["splitP50Milliseconds"], 20);
        assert_eq!(shown["splitP99Milliseconds"], 40);
        let table = table(&few);
        assert!(
            table.contains("split p50                20 ms\nsplit p99                40 ms\n"),
            "{table}"
        );
    }

    #[test]
    fn fifty_tenancies_in_twenty_seconds_over_the_fastest_floor_of_eight() {
        let shown = report(1..=200).json();
        assert_eq!(shown["namespaces"], 150);
        assert_eq!(shown["tenanciesPerSecond"], 2.5);
        assert_eq!(shown["ratio"], 2.5);
        assert_eq!(shown["floorConcurrency"], 8);
        assert_eq!(
            shown["floors"][0],
            json!({"concurrency": 4, "seconds": 10.0})
        );
        assert_eq!(shown["operatorWritesPerTenancy"], 12.5);
        assert_eq!(
            shown["operatorWritesByKind"],
            json!({"create namespaces": 150, "patch tenancies/status": 475})
        );
        assert_eq!(shown["operatorCallsPerTenancy"], 21.0);
        assert_eq!(shown["operatorReadCallsPerTenancy"], 6.0);
        assert_eq!(shown["operatorWriteCallsPerTenancy"], 14.0);
        assert_eq!(shown["operatorWatchCallsPerTenancy"], 1.0);
        assert_eq!(shown["operatorPeakKiB"], 40_960);
        assert_eq!(shown["arrivalsPerSecond"], Value::Null);
        assert_eq!(shown["restartSeconds"], 3.25);
        assert_eq!(shown["restartWrites"], 17);
        assert_eq!(shown["restartResidentKiB"], 33_792);
        assert_eq!(shown["restartPeakKiB"], 35_840);
        let table = table(&report(1..=200));
        assert!(
            table.contains("operator RSS            30 MiB\n"),
            "{table}"
        );
        assert!(
            table.contains("ratio                     2.50\n"),
            "{table}"
        );
        assert!(
            table.contains("calls/tenancy             21.0\n  reads                    6.0\n"),
            "{table}"
        );
        let kinds = "\n  patch tenancies/status                      9.50\n  create namespaces";
        assert!(table.contains(kinds), "{table}");
    }

    #[test]
    fn what_a_restart_took_stands_in_the_table() {
        let table = table(&report(1..=200));
        assert!(
            table.contains(
                "restart seconds           3.25\nrestart writes              17\nrestart RSS             33 MiB\n"
            ),
            "{table}"
        );
        assert!(
            table.contains("arrivals/s         all at once\n"),
            "{table}"
        );
    }

    #[test]
    fn floors_and_writes_that_were_not_measured_are_told_as_such_and_not_as_nothing() {
        let mut report = report(1..=200);
        report.load.arrivals = Some(4);
        report.floors.clear();
        report.work.answers.clear();
        report.work.writes = None;
        report.work.kinds = None;
        report.restart.writes = None;
        let shown = report.json();
        for name in [
            "floorSeconds",
            "floorConcurrency",
            "ratio",
            "operatorWritesPerTenancy",
            "operatorWritesByKind",
            "restartWrites",
            "splitP50Milliseconds",
            "splitP99Milliseconds",
        ] {
            assert_eq!(shown.get(name), Some(&Value::Null), "{name}");
        }
        assert_eq!(shown["floors"], json!([]));
        assert_eq!(shown["arrivalsPerSecond"], 4);
        let table = table(&report);
        for name in [
            "floor seconds",
            "floor concurrency",
            "ratio",
            "writes/tenancy",
            "restart writes",
            "split p50",
            "split p99",
        ] {
            let line = format!("{name:<18}not measured\n");
            assert!(table.contains(&line), "{name}\n{table}");
        }
        assert!(!table.contains("floor at"), "{table}");
        assert!(
            table.contains("arrivals/s                   4\n"),
            "{table}"
        );
    }

    #[test]
    fn what_was_sent_before_does_not_count() {
        let so_far = |reads, writes, watches| Calls {
            reads,
            writes,
            watches,
        };
        let meanwhile = so_far(7, 9, 30).since(so_far(2, 5, 10));
        assert_eq!(meanwhile, so_far(5, 4, 20));
        assert_eq!(meanwhile.all(), 29);
    }

    #[test]
    fn a_process_without_memory_has_none() {
        assert_eq!(Memory::read("Name:\tkthreadd\n"), None);
    }
}
