//! Benchmarks. They judge nothing: what is fast enough depends on the machine. What runs on a control
//! plane measures, in the same run, what it takes for the same objects without us.

pub mod close;
mod figures;
mod floor;
mod growth;
pub mod meter;
mod profile;
mod provision;
mod restart;
mod splits;
mod written;

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;
use leasehold_testkit::Failure;
use tokio::task::JoinSet;

pub use figures::{Calls, Floor, Memory, Report, Restart, Work};
pub use growth::{Growth, exponent, grow};
pub use provision::provision;

/// How many tenancies are being applied at a time, where no rate is asked for.
const WORKERS: usize = 8;

/// How to print the figures.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tenancies, each of a department of its own; 1 to 9999.
    pub tenancies: u32,
    /// Namespaces of each tenancy; 1 to 32.
    pub namespaces: u32,
    /// How many tenancies are applied a second, from 1; without, as fast as the API server takes them.
    pub arrivals: Option<u32>,
    /// Whether the floors are measured.
    pub floors: bool,
}

impl Load {
    /// Namespaces of all tenancies together.
    pub fn places(self) -> u32 {
        self.tenancies.saturating_mul(self.namespaces)
    }

    /// How long after the first tenancy the one with this number, from 0, is applied; at once where no
    /// rate is asked for.
    fn arrival(self, number: u32) -> Duration {
        let seconds = Duration::from_secs(number.into());
        self.arrivals
            .and_then(|rate| seconds.checked_div(rate))
            .unwrap_or_default()
    }
}

fn say(progress: &mut impl Write, what: &str) -> Result<(), Failure> {
    writeln!(progress, "{what}").map_err(Failure::file("the progress"))
}

/// Does every job, at most so many at a time; results come in the order in which jobs end.
async fn spread<J, T, F>(
    workers: usize,
    jobs: impl IntoIterator<Item = J>,
    work: impl Fn(J) -> F,
) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<T, Failure>> + Send + 'static,
    T: Send + 'static,
{
    let mut waiting = jobs.into_iter();
    let mut running = JoinSet::new();
    for job in waiting.by_ref().take(workers) {
        running.spawn(work(job));
    }
    let mut results = Vec::new();
    while let Some(ended) = running.join_next().await {
        results.push(ended.map_err(|error| Failure::Shared(error.to_string()))??);
        if let Some(job) = waiting.next() {
            running.spawn(work(job));
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn load(arrivals: Option<u32>) -> Load {
        Load {
            tenancies: 9999,
            namespaces: 3,
            arrivals,
            floors: false,
        }
    }

    #[test]
    fn tenancies_arrive_evenly_at_the_rate_that_is_asked_for() {
        let milliseconds = |rate, numbers: [u32; 4]| {
            numbers.map(|number| load(Some(rate)).arrival(number).as_millis())
        };
        assert_eq!(milliseconds(4, [0, 1, 2, 9]), [0, 250, 500, 2_250]);
        assert_eq!(milliseconds(3, [0, 1, 3, 9998]), [0, 333, 1_000, 3_332_666]);
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        assert_eq!(load(None).arrival(9998), Duration::ZERO);
    }

    #[tokio::test]
    async fn every_job_is_done_and_never_more_at_a_time_than_there_are_workers() {
        let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |job: u32| {
            let (busy, most) = (Arc::clone(&busy), Arc::clone(&most));
            async move {
                let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::task::yield_now().await;
                busy.fetch_sub(1, Ordering::SeqCst);
                Ok(job)
            }
        };
        let mut done = spread(WORKERS, 0..100_u32, work).await.unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..100).collect::<Vec<u32>>());
        assert_eq!(most.load(Ordering::SeqCst), WORKERS);
    }

    #[tokio::test]
    async fn a_job_that_fails_is_told() {
        let work = |job: u32| async move {
            if job == 20 {
                Err(Failure::Shared("job 20".to_owned()))
            } else {
                Ok(job)
            }
        };
        let failure = spread(WORKERS, 0..100_u32, work).await.unwrap_err();
        assert!(failure.to_string().contains("job 20"), "{failure}");
    }
}
