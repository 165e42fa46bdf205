//! Objects that cannot be counted, such as a bucket whose size is no number.
//!
//! What one uses must not be nothing without a word, and whoever wrote it must not hold up the periods of everybody. So it
//! leaves gaps of its own, which finance sees before a period closes over them: one at once, then one for each
//! stretch that is nearly as long as a period, so that every period has one, and a last one when it counts again or is gone. By them a restart knows
//! from the ledger what is not counted.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use leasehold_ledger::{
    document::GapDoc,
    time::{PeriodKind, Second, Span},
};
use leasehold_planner::quota;
use leasehold_store::Record;

use super::{
    super::{
        gap,
        metered::{Metered, Note},
        places::Place,
        pods::{Sight, found_changed, second, written},
    },
    Look, News, Sink,
};
use crate::Error;

/// Seconds of 20 hours: shorter than any day of any time zone.
const SHORTER_THAN_A_DAY: i64 = 72_000;
/// Seconds of 27 days: shorter than any month.
const SHORTER_THAN_A_MONTH: i64 = 2_332_800;

/// The longest stretch without a gap, in seconds: shorter than any period that people are billed for. Nobody is asked about
/// the gaps of a rehearsal.
const fn longest(period: Option<PeriodKind>) -> i64 {
    match period {
        Some(PeriodKind::Month) => SHORTER_THAN_A_MONTH,
        Some(PeriodKind::Day | PeriodKind::Rehearsal { .. }) | None => SHORTER_THAN_A_DAY,
    }
}

/// What gaps say of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uncounted {
    /// Up to when they are recorded.
    told: Second,
    /// Why it is not counted; none while it is.
    why: Option<String>,
    /// Its namespace, where that is known.
    namespace: Option<String>,
}

/// An object of which gaps say something, by uid.
pub(super) type ByUid = BTreeMap<String, Uncounted>;

/// What the recorded gaps of single objects say, in the order of the ledger; others are passed over.
fn recalled<'a>(source: &str, gaps: impl Iterator<Item = &'a GapDoc>) -> ByUid {
    let mut found = ByUid::new();
    for gap in gaps {
        let of_it = gap.source.strip_prefix(source);
        let Some(uid) = of_it.and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let why = gap.reason.strip_prefix(gap::UNCOUNTED).map(str::to_owned);
        let told = found
            .get(uid)
            .map_or(gap.to, |known| known.told.max(gap.to));
        let uncounted = Uncounted {
            told,
            why,
            namespace: None,
        };
        found.insert(uid.to_owned(), uncounted);
    }
    found
}

/// The stretch that a gap tells of: behind what is told already, and not without length, so that it lies in some period.
fn stretch(from: Second, told: Option<Second>, to: Second) -> Span {
    let from = told.map_or(from, |told| told.max(from));
    Span::new(from, to.max(from.plus(1)))
}

impl<K: Metered> Sink<K> {
    /// Reads which objects are not counted, as the ledger has it.
    pub(super) async fn recall(&self) -> Result<ByUid, Error> {
        let source = K::source(&self.of);
        let store = self.context.books.store();
        let recorded = store.documents_under::<GapDoc>(source).await?;
        let known = recalled(source, recorded.iter().map(|gap| &gap.value));
        for (uid, uncounted) in &known {
            if let Some(why) = &uncounted.why {
                K::note(&self.of, &Note::Uncountable(uid, why));
            }
        }
        Ok(known)
    }

    /// Whether anything that belongs to a tenancy is not counted.
    pub(super) fn leaves_out(&self) -> bool {
        let mut all = self.uncounted.iter().flatten();
        all.any(|(_, uncounted)| uncounted.why.is_some())
    }

    /// What an object that cannot be counted means: nothing, unless it is a tenancy's.
    pub(super) async fn uncountable(&mut self, object: &K, why: String) -> Result<Look, Error> {
        let uid = object.uid().unwrap_or_default();
        K::note(&self.of, &Note::Uncountable(&uid, &why));
        let (kind, namespace) = (K::called(&self.of), object.namespace().unwrap_or_default());
        tracing::error!(kind, namespace, %why, "not metered");
        if self.life(&uid).is_some_and(super::Life::is_open) {
            return Ok(Look::Uncountable(why));
        }
        let created = object.creation_timestamp().as_ref().map(second);
        Ok(match self.places.find(&namespace, created).await? {
            Place::Foreign => Look::Facts(Vec::new()),
            Place::Unknown => Look::Unknown,
            Place::Tenancy(_) => Look::Uncountable(why),
        })
    }

    /// An object cannot be counted, since its last write at the latest.
    pub(super) fn begins(
        &self,
        object: &K,
        why: String,
        sight: &Sight,
        news: &mut News,
    ) -> Result<(), Error> {
        let uid = object.uid().unwrap_or_default();
        let known = self.uncounted.as_ref().and_then(|all| all.get(&uid));
        if known.is_some_and(|known| known.why.is_some()) {
            return Ok(());
        }
        let from = match written(object.meta(), sight) {
            Some(at) if sight.listed => found_changed(object.meta(), at, sight)
                .bounds
                .map_or(at, |bounds| bounds.lower),
            Some(at) => at,
            None => sight.known_to.unwrap_or(sight.now),
        };
        let uncounted = Uncounted {
            told: stretch(from, known.map(|known| known.told), sight.now).to,
            why: Some(why),
            namespace: object.namespace(),
        };
        self.tell_gap(&uid, (known, from), uncounted, sight.now, news)
    }

    /// An object can be counted, or is gone.
    pub(super) fn counts(&self, uid: &str, now: Second, news: &mut News) -> Result<(), Error> {
        let known = self.uncounted.as_ref().and_then(|all| all.get(uid));
        let Some(known) = known.filter(|known| known.why.is_some()) else {
            return Ok(());
        };
        let uncounted = Uncounted {
            told: stretch(known.told, None, now).to,
            why: None,
            namespace: known.namespace.clone(),
        };
        self.tell_gap(uid, (Some(known), known.told), uncounted, now, news)
    }

    /// Whatever is not among what exists is gone.
    pub(super) fn gone(
        &self,
        present: &BTreeSet<String>,
        now: Second,
        news: &mut News,
    ) -> Result<(), Error> {
        for uid in self.uncounted.iter().flat_map(BTreeMap::keys) {
            if !present.contains(uid) {
                K::note(&self.of, &Note::Counted(uid));
                self.counts(uid, now, news)?;
            }
        }
        Ok(())
    }

    /// The next gap of whatever has not been counted for long.
    pub(super) async fn goes_on(&self, now: Second, news: &mut News) -> Result<(), Error> {
        let lasts =
            |known: &Uncounted, least| known.why.is_some() && now.since(known.told) >= least;
        let mut all = self.uncounted.iter().flatten();
        if !all.any(|(_, known)| lasts(known, SHORTER_THAN_A_DAY)) {
            return Ok(());
        }
        let policy = self.context.books.policy().await?;
        let least = longest(policy.map(|policy| policy.period));
        for (uid, known) in self.uncounted.iter().flatten() {
            if lasts(known, least) && !news.uncounted.contains_key(uid) {
                let uncounted = Uncounted {
                    told: now,
                    ..known.clone()
                };
                self.tell_gap(uid, (Some(known), known.told), uncounted, now, news)?;
            }
        }
        Ok(())
    }

    /// Adds the gap that brings what is known of an object to what will be.
    fn tell_gap(
        &self,
        uid: &str,
        (known, from): (Option<&Uncounted>, Second),
        next: Uncounted,
        now: Second,
        news: &mut News,
    ) -> Result<(), Error> {
        let span = stretch(from, known.map(|known| known.told), next.told);
        let reason = match (&next.why, known.and_then(|known| known.why.as_ref())) {
            (Some(why), _) => format!("{}{why}", gap::UNCOUNTED),
            (None, why) => format!("{}{}", gap::COUNTED, why.map_or("", String::as_str)),
        };
        let quotas: Vec<quota::Hard> = self
            .context
            .world
            .quotas
            .select(|quota| next.namespace.is_none() || quota.metadata.namespace == next.namespace)
            .iter()
            .filter_map(|quota| quota.status.as_ref()?.hard.as_ref().map(quota::parse))
            .collect();
        let document = GapDoc {
            source: format!("{}/{uid}", K::source(&self.of)),
            from: span.from,
            to: span.to,
            reason,
            upper: K::at_most(&self.of, &quotas, span.seconds()),
            at: now,
        };
        news.gaps.push(Record::document(&document)?);
        news.uncounted.insert(uid.to_owned(), next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(source: &str, to: i64, reason: &str) -> GapDoc {
        GapDoc {
            source: source.to_owned(),
            from: Second::new(to - 10),
            to: Second::new(to),
            reason: reason.to_owned(),
            upper: BTreeMap::new(),
            at: Second::new(to),
        }
    }

    #[test]
    fn after_a_restart_the_gaps_say_what_is_not_counted_and_up_to_when_that_is_told() {
        let why = "Bucket edu--prod/files: failed to count";
        let gaps = [
            gap("meter/buckets/m-1", 50, gap::FORGOTTEN),
            gap(
                "meter/buckets/m-1/a",
                100,
                &format!("{}{why}", gap::UNCOUNTED),
            ),
            gap(
                "meter/buckets/m-1/b",
                100,
                &format!("{}{why}", gap::UNCOUNTED),
            ),
            gap(
                "meter/buckets/m-1/b",
                200,
                &format!("{}{why}", gap::COUNTED),
            ),
            gap(
                "meter/buckets/m-2/c",
                100,
                &format!("{}{why}", gap::UNCOUNTED),
            ),
        ];
        let known = recalled("meter/buckets/m-1", gaps.iter());
        let told: Vec<_> = known
            .iter()
            .map(|(uid, known)| (uid.as_str(), known.told.get(), known.why.as_deref()))
            .collect();
        assert_eq!(told, [("a", 100, Some(why)), ("b", 200, None)]);
    }

    #[test]
    fn whoever_is_billed_by_the_day_has_a_gap_in_each_day_and_by_the_month_in_each_month() {
        assert!(longest(Some(PeriodKind::Day)) < 23 * 3600);
        assert!(longest(Some(PeriodKind::Month)) < 28 * 24 * 3600 - 3600);
        assert!(longest(None) < 23 * 3600);
    }

    #[test]
    fn two_gaps_of_an_object_never_cover_the_same_time_and_none_has_no_length() {
        let span = |from, told: Option<i64>, to| {
            let span = stretch(Second::new(from), told.map(Second::new), Second::new(to));
            (span.from.get(), span.to.get())
        };
        assert_eq!(span(100, None, 100), (100, 101));
        assert_eq!(span(100, None, 160), (100, 160));
        // written, counted and written again within a second
        assert_eq!(span(100, Some(102), 100), (102, 103));
        // the server's clock was set back
        assert_eq!(span(500, Some(500), 300), (500, 501));
    }
}
