//! What was measured, and how it is shown.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::Load;

/// Where the figures of calls and writes come from.
const SOURCES: &str = "\
calls: what the operator sent, by its own metric, with events and with what was refused or repeated
writes: what the API server carried out of that, by its audit log, without events";

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
    /// Writes of the operator that the API server carried out meanwhile, without events.
    pub writes: u64,
    /// What the operator sent meanwhile.
    pub calls: Calls,
    /// Of the operator when the last tenancy is active.
    pub memory: Option<Memory>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    load: Load,
    work: Work,
    floors: Vec<Floor>,
}

impl Report {
    /// The fastest of `floors` is the one that counts.
    pub fn new(load: Load, mut work: Work, floors: Vec<Floor>) -> Self {
        work.latencies.sort_unstable();
        Self { load, work, floors }
    }

    /// One object for programs. Memory is null where it is not known.
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
            "seconds": self.work.elapsed.as_secs_f64(),
            "tenanciesPerSecond": self.rate(),
            "p50Milliseconds": self.percentile(50),
            "p99Milliseconds": self.percentile(99),
            "maxMilliseconds": self.percentile(100),
            "operatorWrites": self.work.writes,
            "operatorWritesPerTenancy": self.each(self.work.writes),
            "operatorCalls": self.work.calls.all(),
            "operatorCallsPerTenancy": self.each(self.work.calls.all()),
            "operatorReadCalls": self.work.calls.reads,
            "operatorReadCallsPerTenancy": self.each(self.work.calls.reads),
            "operatorWriteCalls": self.work.calls.writes,
            "operatorWriteCallsPerTenancy": self.each(self.work.calls.writes),
            "operatorWatchCalls": self.work.calls.watches,
            "operatorWatchCallsPerTenancy": self.each(self.work.calls.watches),
            "floorSeconds": self.floor().elapsed.as_secs_f64(),
            "floorConcurrency": self.floor().workers,
            "floors": floors,
            "ratio": self.ratio(),
            "operatorResidentKiB": self.work.memory.map(|memory| memory.resident),
            "operatorPeakKiB": self.work.memory.map(|memory| memory.peak),
        })
    }

    /// A small table for people.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let mib = |kib: Option<u64>| {
            kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
        };
        let each = |count: u64| format!("{:.1}", self.each(count));
        let calls = self.work.calls;
        let lines = [
            ("tenancies", self.load.tenancies.to_string()),
            ("namespaces", self.load.places().to_string()),
            ("seconds", format!("{:.2}", self.work.elapsed.as_secs_f64())),
            ("tenancies/s", format!("{:.2}", self.rate())),
            ("p50", format!("{} ms", self.percentile(50))),
            ("p99", format!("{} ms", self.percentile(99))),
            ("max", format!("{} ms", self.percentile(100))),
            ("calls/tenancy", each(calls.all())),
            ("  reads", each(calls.reads)),
            ("  writes", each(calls.writes)),
            ("  watches", each(calls.watches)),
            ("writes/tenancy", each(self.work.writes)),
            (
                "floor seconds",
                format!("{:.2}", self.floor().elapsed.as_secs_f64()),
            ),
            ("floor concurrency", self.floor().workers.to_string()),
            ("ratio", format!("{:.2}", self.ratio())),
            (
                "operator RSS",
                mib(self.work.memory.map(|memory| memory.resident)),
            ),
            (
                "operator peak RSS",
                mib(self.work.memory.map(|memory| memory.peak)),
            ),
        ];
        for (name, value) in lines {
            writeln!(out, "{name:<18}{value:>12}")?;
        }
        for Floor { workers, elapsed } in &self.floors {
            let name = format!("floor at {workers}");
            writeln!(out, "{name:<18}{:>10.2} s", elapsed.as_secs_f64())?;
        }
        writeln!(out, "{SOURCES}")
    }

    fn rate(&self) -> f64 {
        Duration::from_secs(self.load.tenancies.into()).div_duration_f64(self.work.elapsed)
    }

    /// So many, divided among the tenancies.
    fn each(&self, count: u64) -> f64 {
        Duration::from_secs(count).div_duration_f64(Duration::from_secs(self.load.tenancies.into()))
    }

    /// The fastest floor; none takes no time.
    fn floor(&self) -> Floor {
        let fastest = self.floors.iter().min_by_key(|floor| floor.elapsed);
        fastest.copied().unwrap_or(Floor {
            workers: 0,
            elapsed: Duration::ZERO,
        })
    }

    /// How many times the floor the tenancies took.
    fn ratio(&self) -> f64 {
        self.work.elapsed.div_duration_f64(self.floor().elapsed)
    }

    /// The latency in milliseconds that so many of a hundred tenancies do not exceed (nearest rank).
    fn percentile(&self, percent: usize) -> u64 {
        let rank = self
            .work
            .latencies
            .len()
            .saturating_mul(percent)
            .div_ceil(100);
        let found = self.work.latencies.get(rank.saturating_sub(1));
        found.map_or(0, |latency| {
            u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(milliseconds: impl Iterator<Item = u64>) -> Report {
        let load = Load {
            tenancies: 50,
            namespaces: 3,
        };
        let latencies = milliseconds.map(Duration::from_millis).collect();
        let memory = Memory::read("VmHWM:\t   40960 kB\nVmRSS:\t   30720 kB\n");
        let work = Work {
            elapsed: Duration::from_secs(20),
            latencies,
            writes: 625,
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
        Report::new(load, work, floors.to_vec())
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let many = report((1..=200).rev());
        assert_eq!([50, 99, 100].map(|p| many.percentile(p)), [100, 198, 200]);
        let few = report([30, 10, 20].into_iter());
        assert_eq!([50, 99, 100].map(|p| few.percentile(p)), [20, 30, 30]);
        assert_eq!(report([].into_iter()).percentile(50), 0);
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
        assert_eq!(shown["operatorCallsPerTenancy"], 21.0);
        assert_eq!(shown["operatorReadCallsPerTenancy"], 6.0);
        assert_eq!(shown["operatorWriteCallsPerTenancy"], 14.0);
        assert_eq!(shown["operatorWatchCallsPerTenancy"], 1.0);
        assert_eq!(shown["operatorPeakKiB"], 40_960);
        let mut table = Vec::new();
        report(1..=200).table(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
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
