//! Room between the reasons to look at an object, for one that never comes to rest.
//!
//! A controller waits after each reason whether another comes, so that many of them cause one reconcile. Whoever gives it a
//! reason more often than it waits, with pods that come and go or by writing back, would keep it from looking at all.
//! Nothing is held up but what comes so densely; an object that is left alone is looked at as soon as without this.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    core::DeserializeGuard,
    runtime::{Controller, reflector::ObjectRef},
};
use tokio::time::{Instant, timeout_at};

use crate::{cache::Cache, read::Readable, run::DEBOUNCE};

/// Reasons that come one upon the other pass for so long.
const BURST: Duration = Duration::from_millis(300);
/// Then none passes until so long after the last one: the controller has begun its reconcile by then.
const SILENCE: Duration = DEBOUNCE.saturating_add(Duration::from_millis(50));

/// A controller of all objects of a cache, woken by their changes and by `also`, with room between the two: whoever keeps
/// writing to an object, or to what belongs to it, does not keep it from being looked at.
///
/// It has no watch of its own. Which objects a change of something else concerns is looked up in their cache; one that the
/// cache has not yet is not found then, and is reconciled when it is there: with the change, which is there already.
pub fn controller<K: Readable>(
    cache: &Cache<K>,
    also: impl Stream<Item = ObjectRef<DeserializeGuard<K>>> + Send + 'static,
) -> Controller<DeserializeGuard<K>> {
    // a change of the object itself wakes by the same way as all others, so that they are spaced together
    let reasons = spaced(stream::select(cache.references(), also));
    Controller::for_stream(stream::pending(), cache.reader()).reconcile_on(reasons)
}

/// References to objects, each with room for a reconcile after 300 ms of reasons that come closer together than a
/// controller waits. The last reason always arrives, 250 ms late at the most.
fn spaced<K: Readable>(
    references: impl Stream<Item = ObjectRef<DeserializeGuard<K>>> + Send + 'static,
) -> impl Stream<Item = ObjectRef<DeserializeGuard<K>>> + Send + 'static {
    by_name(references, |one: &ObjectRef<DeserializeGuard<K>>| {
        (one.namespace.clone(), one.name.clone())
    })
}

/// The same of anything that has a name.
fn by_name<T, N>(
    items: impl Stream<Item = T> + Send + 'static,
    name: impl Fn(&T) -> N + Send + 'static,
) -> impl Stream<Item = T> + Send + 'static
where
    T: Send + 'static,
    N: Ord + Clone + Send + 'static,
{
    let spacing = Spacing {
        items: items.boxed(),
        name,
        bursts: BTreeMap::new(),
        alarms: BTreeSet::new(),
    };
    stream::unfold(spacing, |mut spacing| async move {
        let item = spacing.next().await?;
        Some((item, spacing))
    })
}

/// What passed of one name a moment ago.
struct Burst<T> {
    /// Since when it passes without a pause.
    since: Instant,
    /// When the last one passed.
    last: Instant,
    /// What came too soon.
    held: Option<T>,
}

struct Spacing<T, N, F> {
    items: BoxStream<'static, T>,
    name: F,
    bursts: BTreeMap<N, Burst<T>>,
    /// When to look after a name again: one for each burst.
    alarms: BTreeSet<(Instant, N)>,
}

impl<T, N, F> Spacing<T, N, F>
where
    N: Ord + Clone,
    F: Fn(&T) -> N,
{
    /// The next one that passes; nothing when there are no more.
    async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.due(Instant::now()) {
                return Some(item);
            }
            let alarm = self.alarms.first().map(|(at, _)| *at);
            let came = match alarm {
                Some(at) => timeout_at(at, self.items.next()).await,
                None => Ok(self.items.next().await),
            };
            if let Ok(came) = came
                && let Some(item) = self.admit(came?, Instant::now())
            {
                return Some(item);
            }
        }
    }

    /// One that was held for long enough. Names that are at rest are forgotten.
    fn due(&mut self, now: Instant) -> Option<T> {
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            let (_, name) = self.alarms.pop_first()?;
            let Some(burst) = self.bursts.get_mut(&name) else {
                continue;
            };
            let silent = burst.last + SILENCE;
            if now < silent {
                self.alarms.insert((silent, name));
                continue;
            }
            if let Some(item) = burst.held.take() {
                burst.since = now;
                burst.last = now;
                self.alarms.insert((now + SILENCE, name));
                return Some(item);
            }
            self.bursts.remove(&name);
        }
        None
    }

    /// Lets one pass, or holds it in the place of what is held already.
    fn admit(&mut self, item: T, now: Instant) -> Option<T> {
        match self.bursts.entry((self.name)(&item)) {
            Entry::Vacant(entry) => {
                self.alarms.insert((now + SILENCE, entry.key().clone()));
                entry.insert(Burst {
                    since: now,
                    last: now,
                    held: None,
                });
                Some(item)
            }
            Entry::Occupied(mut entry) => {
                let burst = entry.get_mut();
                let has_rested = now.duration_since(burst.last) > DEBOUNCE;
                if burst.held.is_none() && has_rested {
                    burst.since = now;
                }
                if burst.held.is_some() || now.duration_since(burst.since) > BURST {
                    burst.held = Some(item);
                    return None;
                }
                burst.last = now;
                Some(item)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name and a number.
    type Item = (&'static str, u32);

    /// Longer than anything is held.
    async fn silence() {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    /// Numbers of a name, one each time that so many milliseconds have passed; then nothing more for a while.
    fn each(name: &'static str, millis: u64, count: u32) -> BoxStream<'static, Item> {
        let numbers = stream::iter(0..count).then(move |number| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            (name, number)
        });
        let rest = stream::once(silence());
        let rest = rest.flat_map(|()| stream::empty());
        numbers.chain(rest).boxed()
    }

    /// What passes, with the milliseconds after which it does.
    async fn passed(items: BoxStream<'static, Item>) -> Vec<(u128, Item)> {
        let start = Instant::now();
        let passing = by_name(items, |(name, _)| *name);
        passing
            .map(|item| (start.elapsed().as_millis(), item))
            .collect()
            .await
    }

    /// When a controller that waits 200 ms after each of these has its reconciles.
    fn reconciles(passed: &[(u128, Item)]) -> Vec<u128> {
        let next = passed.iter().skip(1).map(|(at, _)| *at);
        let next = next.chain([u128::MAX]);
        let pairs = passed.iter().map(|(at, _)| *at).zip(next);
        pairs
            .filter(|(at, next)| next - at > 200)
            .map(|(at, _)| at + 200)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_to_rest_leaves_room_for_a_reconcile_twice_a_second_or_so() {
        // a reason each 50 ms for five seconds
        let passed = passed(each("oa", 50, 100)).await;
        let at = reconciles(&passed);
        let mut last = 0;
        for at in &at {
            assert!(at - last <= 600, "nothing between {last} and {at}");
            last = *at;
        }
        assert!(last >= 5_000, "the end is seen: {at:?}");
        assert!(at.len() <= 14, "{at:?}");
        let (arrived, (_, number)) = passed[passed.len() - 1];
        assert_eq!(number, 99, "the last reason arrives");
        assert!(arrived <= 5_250, "{arrived}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_at_intervals_and_a_short_burst_pass_at_once() {
        for (millis, count) in [(210, 20), (1_000, 5), (100, 4)] {
            let passed = passed(each("oa", millis, count)).await;
            let at: Vec<u128> = passed.iter().map(|(at, _)| *at).collect();
            let expected: Vec<u128> = (1..=u128::from(count))
                .map(|number| number * u128::from(millis))
                .collect();
            assert_eq!(at, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_rests_holds_up_no_other() {
        let both = stream::select(each("oa", 20, 200), each("files", 900, 4)).boxed();
        let passed = passed(both).await;
        let of_files = passed.iter().filter(|(_, (name, _))| *name == "files");
        let at: Vec<u128> = of_files.map(|(at, _)| *at).collect();
        assert_eq!(at, [900, 1_800, 2_700, 3_600]);
    }
}
