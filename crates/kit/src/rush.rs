//! A rush: so much to do at once that what can wait does.
//!
//! Some work others wait for, some merely sums up what they did. While the first is in hand, the second would take the API
//! server's time from it, and be done again a moment later. So whoever does the first says when it begins and ends
//! ([`Rush::begin`], [`Rush::end`]), and the reasons for the second wait meanwhile, each name once ([`Rush::spare`]).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, timeout};

/// What was begun counts for so long, unless it is begun again: its end may never be told.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Nothing waits longer than this for the end of a rush.
const LONGEST: Duration = Duration::from_secs(60);
/// How often to look whether it is over.
const LOOK: Duration = Duration::from_millis(250);

/// What is in hand that others wait for, by name; clones share it.
pub struct Rush<N>(Arc<Mutex<BTreeMap<N, Instant>>>);

impl<N> Clone for Rush<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N> Default for Rush<N> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<N: Ord + Send + 'static> Rush<N> {
    /// This is in hand from now on. It counts for ten seconds, and longer if it is begun again meanwhile.
    pub fn begin(&self, name: N) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.insert(name, Instant::now());
    }

    /// This is in hand no more.
    pub fn end(&self, name: &N) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.remove(name);
    }

    /// Whether anything is in hand.
    pub fn is_on(&self) -> bool {
        let now = Instant::now();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|_, begun| now.duration_since(*begun) < FORGOTTEN);
        !inner.is_empty()
    }

    /// The same items, each at once while there is no rush. In one they wait until it is over, for a minute at most; of
    /// those with one name the last is kept.
    pub fn spare<T, M>(
        &self,
        items: impl Stream<Item = T> + Send + 'static,
        name: impl Fn(&T) -> M + Send + 'static,
    ) -> impl Stream<Item = T> + Send + 'static
    where
        T: Send + 'static,
        M: Ord + Send + 'static,
    {
        let spared = Spared {
            items: items.fuse().boxed(),
            name,
            rush: self.clone(),
            waiting: BTreeMap::new(),
            since: Instant::now(),
            passing: VecDeque::new(),
        };
        stream::unfold(spared, |mut spared| async move {
            let item = spared.next().await?;
            Some((item, spared))
        })
    }
}

struct Spared<T, N, M, F> {
    items: BoxStream<'static, T>,
    name: F,
    rush: Rush<N>,
    waiting: BTreeMap<M, T>,
    /// Since when the first of them waits.
    since: Instant,
    passing: VecDeque<T>,
}

impl<T, N, M, F> Spared<T, N, M, F>
where
    N: Ord + Send + 'static,
    M: Ord,
    F: Fn(&T) -> M,
{
    async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.passing.pop_front() {
                return Some(item);
            }
            if self.waiting.is_empty() {
                let item = self.items.next().await?;
                if !self.rush.is_on() {
                    return Some(item);
                }
                self.since = Instant::now();
                self.hold(item);
            }
            if !self.rush.is_on() || self.since.elapsed() >= LONGEST {
                self.release();
                continue;
            }
            match timeout(LOOK, self.items.next()).await {
                Ok(Some(item)) => self.hold(item),
                // no more will come: those that wait need not
                Ok(None) => self.release(),
                Err(_) => {}
            }
        }
    }

    fn hold(&mut self, item: T) {
        self.waiting.insert((self.name)(&item), item);
    }

    fn release(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.passing.extend(waiting.into_values());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// A name and a number.
    type Item = (&'static str, u32);

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What passes, with the milliseconds after which it does, of items that come after so many. Nothing follows for long.
    async fn passed(rush: &Rush<&'static str>, items: &[(u64, Item)]) -> Vec<(u128, Item)> {
        let start = Instant::now();
        let items = items.to_vec();
        let coming = stream::iter(items).then(move |(at, item)| async move {
            tokio::time::sleep_until(start + Duration::from_millis(at)).await;
            item
        });
        let silence = stream::once(sleep(seconds(600))).flat_map(|()| stream::empty());
        let passing = rush.spare(coming.chain(silence), |(name, _)| *name);
        passing
            .map(|item| (start.elapsed().as_millis(), item))
            .collect()
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rush_everything_passes_at_once() {
        let rush = Rush::default();
        rush.begin("oa");
        rush.end(&"oa");
        let items = [(0, ("edu", 1)), (5, ("edu", 2)), (9, ("tax", 3))];
        let expected = items.map(|(at, item)| (u128::from(at), item));
        assert_eq!(passed(&rush, &items).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_rush_the_last_of_each_name_waits_for_its_end() {
        let rush = Rush::default();
        rush.begin("oa");
        rush.begin("web");
        let ending = rush.clone();
        tokio::spawn(async move {
            sleep(seconds(2)).await;
            ending.end(&"web");
            sleep(seconds(1)).await;
            ending.end(&"oa");
        });
        let items = [
            (100, ("tax", 1)),
            (200, ("edu", 2)),
            (1_300, ("tax", 3)),
            (9_000, ("edu", 4)),
        ];
        let passed = passed(&rush, &items).await;
        let what: Vec<Item> = passed.iter().map(|(_, item)| *item).collect();
        assert_eq!(what, [("edu", 2), ("tax", 3), ("edu", 4)]);
        let [edu, tax, later] = [0, 1, 2].map(|place: usize| passed[place].0);
        assert!((3_000..=3_250).contains(&edu) && edu == tax, "{passed:?}");
        assert_eq!(later, 9_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_forgotten_after_ten_seconds() {
        let rush = Rush::default();
        rush.begin("oa");
        let passed = passed(&rush, &[(0, ("edu", 1))]).await;
        assert!((10_000..=10_250).contains(&passed[0].0), "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_more_than_a_minute() {
        let rush = Rush::default();
        rush.begin("oa");
        let on = rush.clone();
        tokio::spawn(async move {
            for _ in 0..30 {
                sleep(seconds(5)).await;
                on.begin("oa");
            }
        });
        let passed = passed(&rush, &[(0, ("edu", 1)), (70_000, ("edu", 2))]).await;
        let [first, second] = [0, 1].map(|place: usize| passed[place].0);
        assert!((60_000..=60_250).contains(&first), "{passed:?}");
        assert!((130_000..=130_250).contains(&second), "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_when_no_more_comes() {
        let rush = Rush::default();
        rush.begin("oa");
        let both = stream::iter([("edu", 1), ("tax", 2)]);
        let passed: Vec<Item> = rush.spare(both, |(name, _)| *name).collect().await;
        assert_eq!(passed, [("edu", 1), ("tax", 2)]);
    }
}
