//! Up to when use is known completely.
//!
//! A watch tells how far it has come by a version, not by a time. So the operator writes its own Lease every few
//! seconds: the write gives a version at a known time, and a source that has passed the version has seen everything up
//! to that time. What stands in the way of a close is always the slowest source.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError, RwLock},
};

use leasehold_kit::watch::version_reached;
use leasehold_ledger::time::Second;

/// Beats that are remembered: at one in two seconds those of four minutes.
const BEATS: usize = 128;

/// One write of the operator's Lease.
#[derive(Clone, Debug)]
struct Beat {
    version: String,
    /// An instant before the write.
    at: Second,
}

#[derive(Clone, Debug, Default)]
struct Source {
    version: Option<String>,
    known_to: Option<Second>,
}

#[derive(Default)]
struct Inner {
    beats: VecDeque<Beat>,
    sources: BTreeMap<String, Source>,
    late_allowance: i64,
}

/// Up to when each source is known completely; shared by the meters and the period controller.
///
/// Facts of leases come from the operator's own ledger and are complete at once, so they never hold anything up beyond
/// the allowance that counts for all.
#[derive(Clone, Default)]
pub struct Watermarks(Arc<RwLock<Inner>>);

impl Watermarks {
    /// Announces a source: nothing is complete until it is. `known_to` is what was known of it before.
    pub fn announce(&self, source: &str, known_to: Option<Second>) {
        self.write(|inner| {
            let known = inner.sources.entry(source.to_owned()).or_default();
            known.known_to = known.known_to.max(known_to);
        });
    }

    /// The Lease was written with this version, not before `at`. Usage counts as complete so many seconds after it
    /// was seen, so that late news from nodes still find their period open.
    pub fn beat(&self, version: &str, at: Second, late_allowance: u32) {
        self.write(|inner| {
            inner.late_allowance = i64::from(late_allowance);
            inner.beats.push_back(Beat {
                version: version.to_owned(),
                at,
            });
            if inner.beats.len() > BEATS {
                inner.beats.pop_front();
            }
            let Inner { beats, sources, .. } = inner;
            sources.values_mut().for_each(|source| source.pass(beats));
        });
    }

    /// A source has seen everything up to this version, and what follows from it is in the ledger.
    pub fn reached(&self, source: &str, version: &str) {
        self.write(|inner| {
            let Inner { beats, sources, .. } = inner;
            let known = sources.entry(source.to_owned()).or_default();
            known.version = Some(version.to_owned());
            known.pass(beats);
        });
    }

    /// A source is known completely up to this instant for another reason, such as a list.
    pub fn known(&self, source: &str, at: Second) {
        self.announce(source, Some(at));
    }

    /// Forgets a source: nothing waits for it any more.
    pub fn withdraw(&self, source: &str) {
        self.write(|inner| {
            inner.sources.remove(source);
        });
    }

    /// The newest beat between two instants, both included: its version and its instant.
    pub fn beat_between(&self, from: Second, to: Second) -> Option<(String, Second)> {
        self.read(|inner| {
            let mut beats = inner.beats.iter().rev();
            let found = beats.find(|beat| from <= beat.at && beat.at <= to)?;
            Some((found.version.clone(), found.at))
        })
    }

    /// Up to when a source is known completely, without allowance for late news.
    pub fn known_to(&self, source: &str) -> Option<Second> {
        self.read(|inner| inner.sources.get(source).and_then(|source| source.known_to))
    }

    /// Up to when a source counts as complete.
    pub fn source_complete_to(&self, source: &str) -> Option<Second> {
        self.read(|inner| {
            let known = inner.sources.get(source)?.known_to?;
            Some(known.plus(inner.late_allowance.saturating_neg()))
        })
    }

    /// Up to when use counts as complete; none as long as some source has not spoken.
    pub fn complete_to(&self) -> Option<Second> {
        self.read(|inner| {
            let mut least: Option<Second> = None;
            for source in inner.sources.values() {
                let known = source.known_to?;
                least = Some(least.map_or(known, |least| least.min(known)));
            }
            least.map(|least| least.plus(inner.late_allowance.saturating_neg()))
        })
    }

    fn read<T>(&self, with: impl FnOnce(&Inner) -> T) -> T {
        with(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, with: impl FnOnce(&mut Inner)) {
        with(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Source {
    /// Moves on to the last beat that the source's version has passed.
    fn pass(&mut self, beats: &VecDeque<Beat>) {
        let Some(version) = &self.version else { return };
        let passed = beats
            .iter()
            .rev()
            .find(|beat| version_reached(version, &beat.version));
        self.known_to = self.known_to.max(passed.map(|beat| beat.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "compared with what is known, which may be nothing"
    )]
    fn at(second: i64) -> Option<Second> {
        Some(Second::new(second))
    }

    #[test]
    fn a_source_is_complete_up_to_the_last_beat_that_it_has_passed() {
        let marks = Watermarks::default();
        marks.announce("pods", None);
        marks.beat("100", Second::new(1000), 5);
        assert_eq!(marks.complete_to(), None, "a version alone proves nothing");
        marks.reached("pods", "99");
        assert_eq!(marks.complete_to(), None);
        marks.reached("pods", "100");
        assert_eq!(marks.complete_to(), at(995));
        marks.beat("120", Second::new(1002), 5);
        assert_eq!(marks.known_to("pods"), at(1000));
        marks.reached("pods", "121");
        assert_eq!(
            (marks.known_to("pods"), marks.complete_to()),
            (at(1002), at(997))
        );
        assert_eq!(marks.source_complete_to("pods"), at(997));
    }

    #[test]
    fn a_beat_that_comes_after_the_version_counts_too() {
        let marks = Watermarks::default();
        marks.reached("pods", "500");
        marks.beat("400", Second::new(1000), 0);
        assert_eq!(marks.complete_to(), at(1000));
    }

    #[test]
    fn the_slowest_source_counts_and_a_silent_one_holds_everything_up() {
        let marks = Watermarks::default();
        marks.announce("pods", None);
        marks.announce("claims", None);
        marks.beat("10", Second::new(100), 0);
        marks.beat("20", Second::new(200), 0);
        marks.reached("pods", "25");
        assert_eq!(marks.complete_to(), None);
        marks.reached("claims", "15");
        assert_eq!(marks.complete_to(), at(100));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let marks = Watermarks::default();
        marks.beat("1000", Second::new(5), 0);
        marks.reached("pods", "999");
        assert_eq!(marks.complete_to(), None);
    }

    #[test]
    fn what_was_known_before_a_restart_is_kept_and_never_goes_back() {
        let marks = Watermarks::default();
        marks.announce("pods", at(700));
        assert_eq!(marks.complete_to(), at(700));
        marks.known("pods", Second::new(650));
        assert_eq!(marks.known_to("pods"), at(700));
    }

    #[test]
    fn a_source_that_is_withdrawn_holds_nothing_up() {
        let marks = Watermarks::default();
        marks.known("pods", Second::new(700));
        marks.announce("meter/buckets/u", None);
        assert_eq!(marks.complete_to(), None);
        marks.withdraw("meter/buckets/u");
        assert_eq!(marks.complete_to(), at(700));
    }

    #[test]
    fn the_newest_beat_between_two_instants_is_found() {
        let marks = Watermarks::default();
        for (version, second) in [("10", 100), ("20", 105), ("30", 110)] {
            marks.beat(version, Second::new(second), 0);
        }
        let between = |from, to| marks.beat_between(Second::new(from), Second::new(to));
        assert_eq!(between(101, 109), Some(("20".to_owned(), Second::new(105))));
        assert_eq!(between(100, 110), Some(("30".to_owned(), Second::new(110))));
        assert_eq!(between(106, 109), None);
    }

    #[test]
    fn nothing_is_complete_before_any_source_was_announced() {
        assert_eq!(Watermarks::default().complete_to(), None);
    }
}
