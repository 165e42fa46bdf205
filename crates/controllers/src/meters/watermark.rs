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

use super::{metered::is_of_the_cluster, steps::Reading};

/// Beats that are remembered: at one in two seconds those of four minutes.
const BEATS: usize = 128;

/// One write of the operator's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// A version of the cluster, not before the write: its own, unless Leases are stored apart.
    pub version: String,
    /// The version of the Lease.
    pub lease: String,
    /// An instant before the write.
    pub at: Second,
}

#[derive(Clone, Debug, Default)]
struct Source {
    version: Option<String>,
    known_to: Option<Second>,
}

#[derive(Default)]
struct Inner {
    beats: VecDeque<Beat>,
    /// How the clocks stood at the last beat.
    reading: Option<Reading>,
    sources: BTreeMap<String, Source>,
    /// Why sources see nothing, or not all that they should, by the name that people have for them.
    blind: BTreeMap<String, String>,
    /// Whether Leases are stored apart from everything else; `None` until asked.
    apart: Option<bool>,
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

    /// The Lease was written, not before the beat's instant. Usage counts as complete so many seconds after it
    /// was seen, so that late news from nodes still find their period open.
    pub fn beat(&self, beat: Beat, late_allowance: u32) {
        self.write(|inner| {
            inner.late_allowance = i64::from(late_allowance);
            inner.beats.push_back(beat);
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

    /// Whether Leases are stored apart from everything else; `None` until it was told.
    pub fn is_apart(&self) -> Option<bool> {
        self.read(|inner| inner.apart)
    }

    /// Tells whether Leases are stored apart from everything else.
    pub fn tell_apart(&self, apart: bool) {
        self.write(|inner| inner.apart = Some(apart));
    }

    /// How the clocks stood at the last beat.
    pub fn reading(&self) -> Option<Reading> {
        self.read(|inner| inner.reading)
    }

    /// Remembers how the clocks stand at a beat.
    pub fn clocks(&self, reading: Reading) {
        self.write(|inner| inner.reading = Some(reading));
    }

    /// The greatest instant up to which any source is known.
    pub fn furthest(&self) -> Option<Second> {
        self.read(|inner| {
            inner
                .sources
                .values()
                .filter_map(|source| source.known_to)
                .max()
        })
    }

    /// The server's clock was set back to this instant: nothing is complete beyond it, and beats of before are timed by a
    /// clock that is no more.
    pub fn set_back(&self, to: Second) {
        self.write(|inner| {
            inner.beats.clear();
            for source in inner.sources.values_mut() {
                source.known_to = source.known_to.map(|known| known.min(to));
            }
        });
    }

    /// The last beat, if there was any.
    pub fn last_beat(&self) -> Option<Beat> {
        self.read(|inner| inner.beats.back().cloned())
    }

    /// The greatest version that a beat was given or a source of the cluster has reached.
    pub fn newest(&self) -> Option<String> {
        self.read(|inner| {
            let beats = inner.beats.iter().map(|beat| &beat.version);
            let sources = inner
                .sources
                .iter()
                .filter(|(name, _)| is_of_the_cluster(name))
                .filter_map(|(_, source)| source.version.as_ref());
            greatest(beats.chain(sources)).cloned()
        })
    }

    /// A source sees nothing at the moment, or not all that it should, for this reason.
    pub fn blind(&self, label: &str, why: String) {
        self.write(|inner| {
            inner.blind.insert(label.to_owned(), why);
        });
    }

    /// A source sees all that it should.
    pub fn sees(&self, label: &str) {
        self.write(|inner| {
            inner.blind.remove(label);
        });
    }

    /// Which sources do not see all that they should, and why, in a sentence; none while all do.
    pub fn blindness(&self) -> Option<String> {
        self.read(|inner| {
            let told = inner.blind.iter();
            let told: Vec<String> = told.map(|(label, why)| format!("{label}: {why}")).collect();
            (!told.is_empty()).then(|| told.join("; "))
        })
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

/// Whether a version was given out between two others by the same storage: what is stored together is counted together.
pub fn is_between(before: &str, own: &str, after: &str) -> bool {
    version_reached(own, before) && version_reached(after, own)
}

/// The greatest of these versions; what is no number is none.
pub fn greatest<'a>(versions: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    versions
        .filter_map(|version| Some((version.parse::<u128>().ok()?, version)))
        .max()
        .map(|(_, version)| version)
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

    /// A beat of a Lease that is stored with everything else.
    fn beat(version: &str, at: Second) -> Beat {
        Beat {
            version: version.to_owned(),
            lease: version.to_owned(),
            at,
        }
    }

    #[test]
    fn a_version_that_others_of_the_cluster_enclose_is_the_clusters() {
        assert!(is_between("100", "100", "100"));
        assert!(is_between("99", "100", "101"));
        // a storage of its own has counted less, more, or otherwise
        assert!(!is_between("99", "7", "101"));
        assert!(!is_between("99", "102", "101"));
        assert!(!is_between("99", "", "101") && !is_between("99", "v7", "101"));
    }

    #[test]
    fn a_source_is_complete_up_to_the_last_beat_that_it_has_passed() {
        let marks = Watermarks::default();
        marks.announce("pods", None);
        marks.beat(beat("100", Second::new(1000)), 5);
        assert_eq!(marks.complete_to(), None, "a version alone proves nothing");
        marks.reached("pods", "99");
        assert_eq!(marks.complete_to(), None);
        marks.reached("pods", "100");
        assert_eq!(marks.complete_to(), at(995));
        marks.beat(beat("120", Second::new(1002)), 5);
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
        marks.beat(beat("400", Second::new(1000)), 0);
        assert_eq!(marks.complete_to(), at(1000));
    }

    #[test]
    fn the_slowest_source_counts_and_a_silent_one_holds_everything_up() {
        let marks = Watermarks::default();
        marks.announce("pods", None);
        marks.announce("claims", None);
        marks.beat(beat("10", Second::new(100)), 0);
        marks.beat(beat("20", Second::new(200)), 0);
        marks.reached("pods", "25");
        assert_eq!(marks.complete_to(), None);
        marks.reached("claims", "15");
        assert_eq!(marks.complete_to(), at(100));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let marks = Watermarks::default();
        marks.beat(beat("1000", Second::new(5)), 0);
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
    fn the_newest_version_is_that_of_a_beat_or_of_a_source_whichever_is_greater() {
        let marks = Watermarks::default();
        assert_eq!((marks.newest(), marks.last_beat()), (None, None));
        marks.announce("pods", None);
        marks.beat(beat("99", Second::new(5)), 0);
        marks.beat(beat("100", Second::new(7)), 0);
        assert_eq!(marks.newest().as_deref(), Some("100"));
        assert_eq!(marks.last_beat(), Some(beat("100", Second::new(7))));
        marks.reached("pods", "101");
        assert_eq!(marks.newest().as_deref(), Some("101"));
        // whoever serves a declared kind may count otherwise
        marks.reached("meter/buckets/u", "7000");
        assert_eq!(marks.newest().as_deref(), Some("101"));
    }

    #[test]
    fn after_a_step_back_nothing_is_complete_beyond_where_the_clock_stands() {
        let marks = Watermarks::default();
        marks.reached("pods", "100");
        marks.beat(beat("100", Second::new(1000)), 0);
        assert_eq!(
            (marks.complete_to(), marks.furthest()),
            (at(1000), at(1000))
        );
        marks.set_back(Second::new(400));
        assert_eq!(marks.complete_to(), at(400));
        // a beat by the old clock does not bring it back
        marks.reached("pods", "101");
        assert_eq!(marks.complete_to(), at(400));
        marks.beat(beat("101", Second::new(405)), 0);
        assert_eq!(marks.complete_to(), at(405));
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
    fn whoever_sees_nothing_is_told_of_until_it_sees_again() {
        let marks = Watermarks::default();
        assert_eq!(marks.blindness(), None);
        marks.blind("pods", "Pod cannot be watched: Silent".to_owned());
        marks.blind("claims", "leasehold may not read them".to_owned());
        marks.sees("claims");
        let told = marks.blindness();
        assert_eq!(told.as_deref(), Some("pods: Pod cannot be watched: Silent"));
    }

    #[test]
    fn the_newest_beat_between_two_instants_is_found() {
        let marks = Watermarks::default();
        for (version, second) in [("10", 100), ("20", 105), ("30", 110)] {
            marks.beat(beat(version, Second::new(second)), 0);
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
