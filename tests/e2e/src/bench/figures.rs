//! What was measured, and how it is shown.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::Load;

/// Memory of the operator, in KiB.
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

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    load: Load,
    elapsed: Duration,
    latencies: Vec<Duration>,
    floor: Duration,
    memory: Option<Memory>,
}

impl Report {
    /// `elapsed` runs from the first apply to the last tenancy that is active, each of `latencies` from
    /// a tenancy's own apply; `floor` is what the bare objects took.
    pub fn new(
        load: Load,
        elapsed: Duration,
        mut latencies: Vec<Duration>,
        floor: Duration,
        memory: Option<Memory>,
    ) -> Self {
        latencies.sort_unstable();
        Self {
            load,
            elapsed,
            latencies,
            floor,
            memory,
        }
    }

    /// One object for programs. Memory is null where it is not known.
    pub fn json(&self) -> Value {
        json!({
            "tenancies": self.load.tenancies,
            "namespacesEach": self.load.namespaces,
            "namespaces": self.load.places(),
            "seconds": self.elapsed.as_secs_f64(),
            "tenanciesPerSecond": self.rate(),
            "p50Milliseconds": self.percentile(50),
            "p99Milliseconds": self.percentile(99),
            "maxMilliseconds": self.percentile(100),
            "floorSeconds": self.floor.as_secs_f64(),
            "ratio": self.ratio(),
            "operatorResidentKiB": self.memory.map(|memory| memory.resident),
            "operatorPeakKiB": self.memory.map(|memory| memory.peak),
        })
    }

    /// A small table for people.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let mib = |kib: Option<u64>| {
            kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
        };
        let lines = [
            ("tenancies", self.load.tenancies.to_string()),
            ("namespaces", self.load.places().to_string()),
            ("seconds", format!("{:.2}", self.elapsed.as_secs_f64())),
            ("tenancies/s", format!("{:.2}", self.rate())),
            ("p50", format!("{} ms", self.percentile(50))),
            ("p99", format!("{} ms", self.percentile(99))),
            ("max", format!("{} ms", self.percentile(100))),
            ("floor seconds", format!("{:.2}", self.floor.as_secs_f64())),
            ("ratio", format!("{:.2}", self.ratio())),
            (
                "operator RSS",
                mib(self.memory.map(|memory| memory.resident)),
            ),
            (
                "operator peak RSS",
                mib(self.memory.map(|memory| memory.peak)),
            ),
        ];
        for (name, value) in lines {
            writeln!(out, "{name:<18}{value:>12}")?;
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        Duration::from_secs(self.load.tenancies.into()).div_duration_f64(self.elapsed)
    }

    /// How many times the floor the tenancies took.
    fn ratio(&self) -> f64 {
        self.elapsed.div_duration_f64(self.floor)
    }

    /// The latency in milliseconds that so many of a hundred tenancies do not exceed (nearest rank).
    fn percentile(&self, percent: usize) -> u64 {
        let rank = self.latencies.len().saturating_mul(percent).div_ceil(100);
        let found = self.latencies.get(rank.saturating_sub(1));
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
        let (elapsed, floor) = (Duration::from_secs(20), Duration::from_secs(8));
        let memory = Memory::read("VmHWM:\t   40960 kB\nVmRSS:\t   30720 kB\n");
        Report::new(load, elapsed, latencies, floor, memory)
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
    fn fifty_tenancies_in_twenty_seconds_over_a_floor_of_eight() {
        let shown = report(1..=200).json();
        assert_eq!(shown["namespaces"], 150);
        assert_eq!(shown["tenanciesPerSecond"], 2.5);
        assert_eq!(shown["ratio"], 2.5);
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
    }

    #[test]
    fn a_process_without_memory_has_none() {
        assert_eq!(Memory::read("Name:\tkthreadd\n"), None);
    }
}
