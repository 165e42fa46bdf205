//! The API server's clock, learned from the `Date` headers of its answers.
//!
//! A `Date` of `D` says that at some moment between sending the request and receiving the answer the server's clock
//! stood in `[D, D + 1 s)`. Measured on our monotonic clock that bounds the offset between the two; the bounds of many
//! answers are intersected, which soon leaves a fraction of a second. An answer that contradicts the bounds means that
//! the server's clock was set (or that another server answers): what was known is forgotten.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response, header};
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use tower::{Layer, Service};

use crate::clock::Clock;

/// Resolution of a `Date` header, in nanoseconds.
const RESOLUTION: i128 = 1_000_000_000;
/// Two clocks may drift apart by one part in this many (100 µs per second) between observations.
const DRIFT: i128 = 10_000;

/// The API server's clock.
#[derive(Clone)]
pub struct ServerTime(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bounds: Option<Bounds>,
    /// The latest time given out, in nanoseconds since the epoch.
    given: Option<i128>,
}

/// Bounds of (server's time - our monotonic time), in nanoseconds: `earliest <= offset < latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    earliest: i128,
    latest: i128,
    /// When, on our monotonic clock, they were last confirmed.
    confirmed: Duration,
}

impl Bounds {
    /// What is still certain at `moment`, clocks drifting.
    fn at(self, moment: Duration) -> Self {
        let age = nanoseconds(moment.saturating_sub(self.confirmed));
        let slack = age / DRIFT;
        Self {
            earliest: self.earliest.saturating_sub(slack),
            latest: self.latest.saturating_add(slack),
            confirmed: moment.max(self.confirmed),
        }
    }

    /// The part common to both, if there is one.
    fn intersect(self, other: Self) -> Option<Self> {
        let common = Self {
            earliest: self.earliest.max(other.earliest),
            latest: self.latest.min(other.latest),
            confirmed: self.confirmed.max(other.confirmed),
        };
        (common.earliest < common.latest).then_some(common)
    }

    fn middle(self) -> i128 {
        let width = self.latest.saturating_sub(self.earliest);
        self.earliest.saturating_add(width / 2)
    }
}

impl ServerTime {
    /// Knows nothing yet; measures on `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            clock,
            state: Mutex::default(),
        }))
    }

    /// The server's time now: the middle of what is possible, and never earlier than what was given before unless the
    /// server's clock was set. As long as no answer has been seen it is this machine's wall clock.
    pub fn now(&self) -> Timestamp {
        let moment = self.0.clock.monotonic();
        let mut state = self.state();
        let Some(bounds) = state.bounds else {
            drop(state);
            return self.0.clock.now();
        };
        let middle = bounds
            .at(moment)
            .middle()
            .saturating_add(nanoseconds(moment));
        let now = state.given.map_or(middle, |given| given.max(middle));
        state.given = Some(now);
        timestamp(now)
    }

    /// Whether any answer of the server has told its time.
    pub fn is_known(&self) -> bool {
        self.state().bounds.is_some()
    }

    /// The earliest and the latest that the server's clock can have shown at `moment` of our monotonic clock.
    /// `None` as long as no answer has been seen.
    pub fn at(&self, moment: Duration) -> Option<(Timestamp, Timestamp)> {
        let bounds = self.state().bounds?.at(moment);
        let since = nanoseconds(moment);
        Some((
            timestamp(bounds.earliest.saturating_add(since)),
            timestamp(bounds.latest.saturating_add(since)),
        ))
    }

    /// Learns from an answer with this `Date`, to a request sent and received at these moments of our monotonic clock.
    pub fn observe(&self, date: Timestamp, sent: Duration, received: Duration) {
        let date = date.as_nanosecond();
        let fresh = Bounds {
            earliest: date.saturating_sub(nanoseconds(received)),
            latest: date
                .saturating_add(RESOLUTION)
                .saturating_sub(nanoseconds(sent)),
            confirmed: received,
        };
        let mut state = self.state();
        let known = state.bounds.map(|bounds| bounds.at(received));
        match known {
            None => state.bounds = Some(fresh),
            Some(known) => {
                let common = known.intersect(fresh);
                if common.is_none() {
                    tracing::warn!(
                        ?known,
                        ?fresh,
                        "the API server's clock was set, its offset is measured anew"
                    );
                    state.given = None;
                }
                state.bounds = Some(common.unwrap_or(fresh));
            }
        }
    }

    /// The layer of a client's stack that feeds this clock.
    pub fn layer(&self) -> ServerTimeLayer {
        ServerTimeLayer(self.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn timestamp(nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::MAX)
}

/// The time in a `Date` header (RFC 9110, section 6.6.1), if there is one.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// A layer that feeds [`ServerTime`] from every answer that passes.
#[derive(Clone)]
pub struct ServerTimeLayer(ServerTime);

impl<S> Layer<S> for ServerTimeLayer {
    type Service = ServerTimeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerTimeService {
            inner,
            time: self.0.clone(),
        }
    }
}

/// A service that feeds [`ServerTime`] from every answer of the inner one.
#[derive(Clone)]
pub struct ServerTimeService<S> {
    inner: S,
    time: ServerTime,
}

impl<S, Sent, Received> Service<Request<Sent>> for ServerTimeService<S>
where
    S: Service<Request<Sent>, Response = Response<Received>>,
    S::Future: Send + 'static,
{
    type Response = Response<Received>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Received>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let time = self.time.clone();
        let sent = time.0.clock.monotonic();
        self.inner
            .call(request)
            .map(move |outcome| {
                if let Some(date) = outcome
                    .as_ref()
                    .ok()
                    .and_then(|answer| date(answer.headers()))
                {
                    time.observe(date, sent, time.0.clock.monotonic());
                }
                outcome
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn at_millis(value: i64) -> Timestamp {
        Timestamp::from_millisecond(value).unwrap()
    }

    fn start() -> (Arc<ManualClock>, ServerTime) {
        let clock = Arc::new(ManualClock::new(second(5)));
        let time = ServerTime::new(Arc::<ManualClock>::clone(&clock));
        (clock, time)
    }

    #[test]
    fn without_an_answer_it_is_the_wall_clock_and_says_so() {
        let (_clock, time) = start();
        assert!(!time.is_known());
        assert_eq!(time.now(), second(5));
        assert_eq!(time.at(millis(0)), None);
    }

    #[test]
    fn one_answer_bounds_the_server_by_its_second_and_the_round_trip() {
        let (_clock, time) = start();
        // sent at 0.100, received at 0.300, Date 1000: the offset lies in [1000 - 0.3, 1001 - 0.1)
        time.observe(second(1_000), millis(100), millis(300));
        assert!(time.is_known());
        assert_eq!(
            time.at(millis(300)),
            Some((at_millis(1_000_000), at_millis(1_001_200)))
        );
    }

    #[test]
    fn answers_on_either_side_of_a_tick_leave_a_narrow_interval() {
        let (_clock, time) = start();
        // Date 1000 at 0.9 s: offset in [999.1, 1000.1); Date 1001 at 1.0 s: offset in [1000.0, 1001.0)
        time.observe(second(1_000), millis(900), millis(900));
        time.observe(second(1_001), millis(1_000), millis(1_000));
        let (earliest, latest) = time.at(millis(1_000)).unwrap();
        assert_eq!(earliest, at_millis(1_001_000));
        // 100 ms later at the latest, and 10 µs of drift over the 100 ms between the two
        assert_eq!(latest.as_nanosecond(), 1_001_100_000_000 + 10_000);
    }

    #[test]
    fn bounds_widen_as_the_clocks_may_drift_apart() {
        let (_clock, time) = start();
        time.observe(second(1_000), millis(0), millis(0));
        let hour = Duration::from_secs(3_600);
        let (earliest, latest) = time.at(hour).unwrap();
        // 3600 s / 10 000 = 0.36 s on either side
        assert_eq!(earliest, at_millis(4_599_640));
        assert_eq!(latest, at_millis(4_601_360));
    }

    #[test]
    fn a_contradiction_forgets_what_was_known() {
        let (clock, time) = start();
        time.observe(second(1_000), millis(0), millis(0));
        assert_eq!(time.now(), at_millis(1_000_500));
        clock.advance(millis(1_000));
        time.observe(second(500), millis(1_000), millis(1_000));
        assert_eq!(time.now(), at_millis(500_500));
    }

    #[test]
    fn it_never_runs_backwards_while_the_interval_narrows() {
        let (clock, time) = start();
        time.observe(second(1_000), millis(0), millis(0));
        let before = time.now();
        clock.advance(millis(100));
        // still the same second: the offset is below 1000.9, the middle moves down
        time.observe(second(1_000), millis(100), millis(100));
        clock.advance(millis(1));
        time.observe(second(1_000), millis(101), millis(101));
        assert!(time.now() >= before);
    }

    #[test]
    fn a_jump_of_our_wall_clock_does_not_matter() {
        let (clock, time) = start();
        time.observe(second(1_000), millis(0), millis(0));
        clock.set_wall(second(9_999_999));
        assert_eq!(time.now(), at_millis(1_000_500));
    }

    #[test]
    fn the_date_of_an_answer_is_understood() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(
            header::DATE,
            "Tue, 15 Nov 1994 08:12:31 GMT".parse().unwrap(),
        );
        // 1994-11-15 is day 9084 of the epoch: 9084 * 86400 + 8 * 3600 + 12 * 60 + 31
        assert_eq!(date(&headers), Some(second(784_887_151)));
        headers.insert(header::DATE, "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }
}
