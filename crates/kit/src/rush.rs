//! A rush: so much to do at once that what can wait does.
//!
//! Some work others wait for, some merely sums up what they did. While the first is in hand, the second would take the API
//! server's time from it, and be done again a moment later. So whoever does the first says when it begins and ends
//! ([`Rush::begin`], [`Rush::end`]), and the reasons for the second wait meanwhile, each name once ([`Rush::spare`]). Nor do
//! they all come at the moment in which it is over: then whoever comes next would have to wait for them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, timeout_at};

/// What was begun counts for so long, unless it is begun again: its end may never be told.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Nothing counts as in hand for longer than this.
const LONGEST: Duration = Duration::from_secs(60);
/// Nothing waits longer for the end of a rush: more than a thousand tenancies at once are set up by then.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often to look whether it is over, and how far apart those that waited pass.
const LOOK: Duration = Duration::from_millis(250);
/// So many of those that waited pass at a time.
const PORTION: usize = 10;

/// What is in hand that others wait for, by name; clones share it.
pub struct Rush<N>(Arc<Mutex<BTreeMap<N, Begun>>>);

#[derive(Clone, Copy)]
struct Begun {
    first: Instant,
    last: Instant,
}

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
    /// This is in hand from now on. It counts for ten seconds, and longer if it is begun again meanwhile; for a minute at
    /// most, until its end is told: what takes longer waits for somebody, and is no rush.
    pub fn begin(&self, name: N) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = Instant::now();
        let begun = inner.entry(name).or_insert(Begun { first: last, last });
        begun.last = last;
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
        inner.retain(|_, begun| now.duration_since(begun.last) < FORGOTTEN);
        let mut begun = inner.values();
        begun.any(|begun| now.duration_since(begun.first) < LONGEST)
    }

    /// The same items, each at once while there is no rush. In one they wait until it is over, or for two minutes; of those with
    /// one name the last is kept. Then they pass in the order in which they came, forty in a second.
    pub fn spare<T, M>(
        &self,
        items: impl Stream<Item = T> + Send + 'static,
        name: impl Fn(&T) -> M + Send + 'static,
    ) -> impl Stream<Item = T> + Send + 'static
    where
        T: Send + 'static,
        M: Ord + Clone + Send + 'static,
    {
        let spared = Spared {
            items: items.fuse().boxed(),
            name,
            rush: self.clone(),
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            since: Instant::now(),
            due: 0,
            next_look: Instant::now(),
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
    /// Names of those that wait, in the order in which they came.
    order: VecDeque<M>,
    /// Since when the first of them waits that is not due.
    since: Instant,
    /// How many of them have waited for long enough.
    due: usize,
    next_look: Instant,
    passing: VecDeque<T>,
}

impl<T, N, M, F> Spared<T, N, M, F>
where
    N: Ord + Send + 'static,
    M: Ord + Clone,
    F: Fn(&T) -> M,
{
    async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.passing.pop_front() {
                return Some(item);
            }
            if self.order.is_empty() {
                let item = self.items.next().await?;
                if !self.rush.is_on() {
                    return Some(item);
                }
                let now = Instant::now();
                (self.since, self.next_look) = (now, now + LOOK);
                self.hold(item);
            }
            // before the next item, of which there may be no end
            if Instant::now() >= self.next_look {
                self.look();
                continue;
            }
            match timeout_at(self.next_look, self.items.next()).await {
                Ok(Some(item)) => self.hold(item),
                // no more will come: those that wait need not
                Ok(None) => self.release(usize::MAX),
                Err(_) => self.look(),
            }
        }
    }

    fn hold(&mut self, item: T) {
        let name = (self.name)(&item);
        if self.waiting.insert(name.clone(), item).is_none() {
            self.order.push_back(name);
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        self.next_look = now + LOOK;
        if !self.rush.is_on() {
            self.due = self.order.len();
        } else if now.duration_since(self.since) >= PATIENCE {
            (self.due, self.since) = (self.order.len(), now);
        }
        self.release(self.due.min(PORTION));
    }

    fn release(&mut self, most: usize) {
        let count = self.order.len().min(most);
        let first = self.order.drain(..count);
        let items = first.filter_map(|name| self.waiting.remove(&name));
        self.passing.extend(items);
        self.due = self.due.saturating_sub(count);
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
        assert_eq!(what, [("tax", 3), ("edu", 2), ("edu", 4)]);
        let [tax, edu, later] = [0, 1, 2].map(|place: usize| passed[place].0);
        assert!((3_000..=3_350).contains(&tax) && edu == tax, "{passed:?}");
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
    async fn nothing_waits_for_more_than_two_minutes() {
        let rush = Rush::default();
        rush.begin("oa-0");
        let on = rush.clone();
        // one after the other, without a pause
        tokio::spawn(async move {
            for name in ["oa-1", "oa-2", "oa-3", "oa-4", "oa-5", "oa-6", "oa-7"] {
                for _ in 0..8 {
                    sleep(seconds(5)).await;
                    on.begin(name);
                }
            }
        });
        let passed = passed(&rush, &[(0, ("edu", 1)), (130_000, ("edu", 2))]).await;
        let [first, second] = [0, 1].map(|place: usize| passed[place].0);
        assert!((120_000..=120_250).contains(&first), "{passed:?}");
        assert!((250_000..=250_250).contains(&second), "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_begun_again_and_again_is_no_rush_after_a_minute() {
        let rush = Rush::default();
        for _ in 0..13 {
            rush.begin("oa");
            sleep(seconds(5)).await;
        }
        assert!(!rush.is_on(), "somebody is waited for");
        rush.begin("oa");
        assert!(!rush.is_on(), "it is the same");
        rush.begin("web");
        assert!(rush.is_on(), "another one is not");
        rush.end(&"web");
        rush.end(&"oa");
        rush.begin("oa");
        assert!(rush.is_on(), "it ended, and began anew");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_waited_pass_in_portions_in_the_order_in_which_they_came() {
        let rush = Rush::default();
        rush.begin("oa");
        let names = [
            "v", "u", "t", "s", "r", "q", "p", "o", "n", "m", "l", "k", "j", "i", "h", "g", "f",
            "e", "d", "c", "b", "a",
        ];
        let items: Vec<(u64, Item)> = names.iter().map(|name| (0, (*name, 1))).collect();
        let passed = passed(&rush, &items).await;
        let what: Vec<&str> = passed.iter().map(|(_, (name, _))| *name).collect();
        assert_eq!(what, names);
        let at = |place: usize| passed[place].0;
        assert_eq!((at(0), at(10), at(20)), (at(9), at(19), at(21)));
        assert_eq!((at(10) - at(9), at(20) - at(19)), (250, 250));
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
