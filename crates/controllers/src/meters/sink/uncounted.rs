//! Objects that cannot be counted, such as a bucket whose size is no number.
//!
//! What one uses must not be nothing without a word, and whoever wrote it must not hold up the periods of everybody. So it
//! leaves gaps of its own, which finance sees before a period closes over them: one at once, then one for each
//! stretch that is nearly as long as a period, so that every period has one, and a last one when it counts again or is gone. By them a restart knows
//! from the ledger what is not counted.
//!
//! Who writes nonsense and sense in turn makes no gap of each: that it counts again is written once an hour at most. Until
//! then the ledger has it as not counted, so that nothing is lost whenever the process ends, and one gap covers all of it. The
//! next process goes on behind the event that told it, so it looks once at what the ledger may have so.

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
        places::{Place, may_count},
        pods::{Sight, found_changed, second, written},
    },
    Look, News, Sink,
};
use crate::Error;

/// Seconds of 20 hours: shorter than any day of any time zone.
const SHORTER_THAN_A_DAY: i64 = 72_000;
/// Seconds of 27 days: shorter than any month.
const SHORTER_THAN_A_MONTH: i64 = 2_332_800;

/// That an object counts again is written this seldom, in seconds.
const SELDOM: i64 = 3600;

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
    /// Since when it counts again, while no gap says so yet.
    again: Option<Second>,
    /// When it was last written that it counts again.
    ended: Option<Second>,
    /// Its namespace, where that is known.
    namespace: Option<String>,
}

impl Uncounted {
    /// Whether it is not counted.
    fn is_left_out(&self) -> bool {
        self.why.is_some() && self.again.is_none()
    }

    /// Whether it may count by now although the gaps do not say so: what was told once before is not told again at once.
    fn is_in_doubt(&self) -> bool {
        self.is_left_out() && self.ended.is_some()
    }

    /// Whether it has not been counted for so many seconds without a gap.
    fn lasts(&self, least: i64, now: Second) -> bool {
        self.is_left_out() && now.since(self.told) >= least
    }

    /// Whether it may be written that it counts again.
    fn may_end(&self, now: Second) -> bool {
        self.ended.is_none_or(|ended| now.since(ended) >= SELDOM)
    }

    /// As it is when nonsense was written again before it was told that it counted.
    fn relapsed(&self, why: String) -> Self {
        Self {
            why: Some(why),
            again: None,
            ..self.clone()
        }
    }

    /// As it is once it counts: at once, or as soon as that may be written. An object that is gone does not come back.
    fn mended(&self, is_gone: bool, now: Second) -> Self {
        let again = self.again.unwrap_or(now);
        if !is_gone && !self.may_end(now) {
            return Self {
                again: Some(again),
                ..self.clone()
            };
        }
        Self {
            told: stretch(self.told, None, again).to,
            why: None,
            again: None,
            ended: Some(now),
            namespace: self.namespace.clone(),
        }
    }
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
        let known = found.get(uid);
        let of_before = known.and_then(|known| known.ended);
        let has_ended = gap.reason.starts_with(gap::COUNTED);
        let uncounted = Uncounted {
            told: known.map_or(gap.to, |known| known.told.max(gap.to)),
            again: None,
            ended: if has_ended { Some(gap.at) } else { of_before },
            namespace: why.as_deref().and_then(namespace_in),
            why,
        };
        found.insert(uid.to_owned(), uncounted);
    }
    found
}

/// The namespace of the object that a reason names, as in `Bucket edu--prod/files: failed to count …`.
fn namespace_in(why: &str) -> Option<String> {
    let (_, object) = why.split_once(' ')?;
    let (namespace, _) = object.split_once('/')?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (may_count(namespace) && namespace.chars().all(is_name)).then(|| namespace.to_owned())
}

/// The name of the object that a reason names.
fn name_in(why: &str) -> Option<&str> {
    let (_, object) = why.split_once(' ')?;
    let (_, named) = object.split_once('/')?;
    named.split_once(": ").map(|(name, _)| name)
}

/// The last gaps of what a source could not count, when the source itself ends: up to then nothing of it was counted.
/// `gaps` are those of the ledger, in its order.
pub fn left_over<'a>(
    source: &str,
    gaps: impl Iterator<Item = &'a GapDoc>,
    at: Second,
) -> Vec<GapDoc> {
    let known = recalled(source, gaps).into_iter();
    known
        .filter_map(|(uid, known)| {
            let span = stretch(known.told, None, at);
            Some(GapDoc {
                source: format!("{source}/{uid}"),
                from: span.from,
                to: span.to,
                reason: format!("{}{}", gap::COUNTED, known.why?),
                upper: BTreeMap::new(),
                at,
            })
        })
        .collect()
}

/// The stretch that a gap tells of: behind what is told already, and not without length, so that it lies in some period.
fn stretch(from: Second, told: Option<Second>, to: Second) -> Span {
    let from = told.map_or(from, |told| told.max(from));
    Span::new(from, to.max(from.plus(1)))
}

impl<K: Metered> Sink<K> {
    /// Reads which objects are not counted, as the ledger has it.
    pub(super) async fn recall(&mut self) -> Result<ByUid, Error> {
        let source = K::source(&self.of);
        let store = self.context.books.store();
        let recorded = store.documents_under::<GapDoc>(source).await?;
        let mut known = recalled(source, recorded.iter().map(|gap| &gap.value));
        for (uid, uncounted) in &mut known {
            // after a commit that failed: what waits to be written is in no gap
            let before = self.uncounted.as_ref().and_then(|all| all.get(uid));
            let before = before.filter(|before| before.told == uncounted.told);
            uncounted.again = before.and_then(|before| before.again);
        }
        if self.uncounted.is_none() {
            self.look_again(&mut known).await?;
        }
        for (uid, uncounted) in &known {
            if let Some(why) = uncounted.why.as_ref().filter(|_| uncounted.again.is_none()) {
                K::note(&self.of, &Note::Uncountable(uid, why));
            }
        }
        Ok(known)
    }

    /// Looks at whatever may count by now, as it is. What cannot be read stays as the ledger has it; what is gone, or is not as
    /// it was at the event from which the watch goes on, the watch will tell.
    async fn look_again(&mut self, known: &mut ByUid) -> Result<(), Error> {
        if !known.values().any(Uncounted::is_in_doubt) {
            return Ok(());
        }
        let now = self.context.now();
        let sight = self.sight(now, false, true).await?;
        let kind = K::asked_as(&self.of);
        for (uid, uncounted) in known.iter_mut().filter(|(_, known)| known.is_in_doubt()) {
            let name = uncounted.why.as_deref().and_then(name_in);
            let (Some(namespace), Some(name)) = (uncounted.namespace.as_deref(), name) else {
                continue;
            };
            let reading = self.context.kit.get_of::<K>(&kind, Some(namespace), name);
            match reading.await {
                Ok(Some(object)) if object.uid().as_ref() == Some(uid) => {
                    if object.standing(&self.of, &sight).is_ok() {
                        uncounted.again = Some(now);
                    }
                }
                Ok(Some(_) | None) => {}
                Err(error) => {
                    let is_silent = error.is_transient();
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        namespace,
                        name,
                        error,
                        "failed to look whether it counts again"
                    );
                    if is_silent {
                        // nobody waits for each of many
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether anything that belongs to a tenancy is not counted.
    pub(super) fn leaves_out(&self) -> bool {
        let mut all = self.uncounted.iter().flatten();
        all.any(|(_, uncounted)| uncounted.is_left_out())
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
        if let Some(known) = known.filter(|known| known.why.is_some()) {
            if !known.is_left_out() {
                news.uncounted.insert(uid, known.relapsed(why));
            }
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
            again: None,
            ended: known.and_then(|known| known.ended),
            namespace: object.namespace(),
        };
        self.tell_gap(&uid, (known, from), uncounted, sight.now, news)
    }

    /// An object can be counted, or is gone.
    pub(super) fn counts(
        &self,
        uid: &str,
        is_gone: bool,
        now: Second,
        news: &mut News,
    ) -> Result<(), Error> {
        let known = self.uncounted.as_ref().and_then(|all| all.get(uid));
        let Some(known) = known.filter(|known| known.why.is_some()) else {
            return Ok(());
        };
        let mended = known.mended(is_gone, now);
        if mended.why.is_some() {
            news.uncounted.insert(uid.to_owned(), mended);
            return Ok(());
        }
        self.tell_gap(uid, (Some(known), known.told), mended, now, news)
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
                self.counts(uid, true, now, news)?;
            }
        }
        Ok(())
    }

    /// The next gap of whatever has not been counted for long, and the last one of what has counted again for a while.
    pub(super) async fn goes_on(&mut self, now: Second, news: &mut News) -> Result<(), Error> {
        let is_due = |known: &Uncounted| known.again.is_some() && known.may_end(now);
        let mut all = self.uncounted.iter().flatten();
        if !all.any(|(_, known)| known.lasts(SHORTER_THAN_A_DAY, now) || is_due(known)) {
            return Ok(());
        }
        let least = longest(self.places.period().await?);
        for (uid, known) in self.uncounted.iter().flatten() {
            if news.uncounted.contains_key(uid) {
                continue;
            }
            if is_due(known) {
                self.counts(uid, false, now, news)?;
            } else if known.lasts(least, now) {
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
        // of each namespace once: gaps may be many at a time
        let quotas = news
            .quotas
            .entry(next.namespace.clone())
            .or_insert_with(|| self.quotas_of(next.namespace.as_ref()));
        let document = GapDoc {
            source: format!("{}/{uid}", K::source(&self.of)),
            from: span.from,
            to: span.to,
            reason,
            upper: K::at_most(&self.of, quotas, span.seconds()),
            at: now,
        };
        news.gaps.push(Record::document(&document)?);
        news.uncounted.insert(uid.to_owned(), next);
        Ok(())
    }

    /// The quotas of a namespace, or of all where it is not known.
    fn quotas_of(&self, namespace: Option<&String>) -> Vec<quota::Hard> {
        let is_meant = |of: Option<&String>| namespace.is_none() || of == namespace;
        let quotas = &self.context.world.quotas;
        quotas
            .select(|quota| is_meant(quota.namespace.as_ref()))
            .iter()
            .filter_map(|quota| quota.status.as_ref()?.hard.as_ref().map(quota::parse))
            .collect()
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
    fn after_a_restart_the_gaps_say_in_which_namespace_an_object_is_not_counted() {
        let named = |why: &str| {
            let gaps = [gap("pods/a", 100, &format!("{}{why}", gap::UNCOUNTED))];
            recalled("pods", gaps.iter())["a"].namespace.clone()
        };
        let of = named("Pod edu--prod/web: failed to count 1/2 of a device");
        assert_eq!(of.as_deref(), Some("edu--prod"));
        let name = name_in("Pod edu--prod/web: failed to count 1/2: of a device");
        assert_eq!(name, Some("web"));
        assert_eq!(name_in("failed"), None);
        assert_eq!(named("Pod kube-system/web: failed"), None);
        assert_eq!(named("Pod /web: failed for edu--prod/web"), None);
        assert_eq!(named("failed"), None);
    }

    #[test]
    fn that_an_object_counts_again_is_told_once_an_hour_and_covers_all_that_was_not_told() {
        let uncounted = Uncounted {
            told: Second::new(100),
            why: Some("b".to_owned()),
            again: None,
            ended: None,
            namespace: None,
        };
        let at = Second::new;
        // the first time at once
        let first = uncounted.mended(false, at(500));
        assert_eq!((first.told, &first.why), (at(500), &None));
        assert_eq!(first.ended, Some(at(500)));
        // and then in turn, until the hour is over
        let uncounted = Uncounted {
            told: at(520),
            why: Some("b".to_owned()),
            ..first
        };
        let waits = uncounted.mended(false, at(530));
        assert_eq!((waits.told, waits.again), (at(520), Some(at(530))));
        assert!(waits.why.is_some() && !waits.is_left_out());
        let relapsed = waits.relapsed("c".to_owned());
        assert!(relapsed.is_left_out());
        assert_eq!(relapsed.told, at(520), "the next gap covers it");
        let waits = relapsed.mended(false, at(900)).mended(false, at(4099));
        assert_eq!(waits.again, Some(at(900)));
        let told = waits.mended(false, at(4100));
        assert_eq!((told.told, &told.why), (at(900), &None));
        assert_eq!(told.ended, Some(at(4100)));
        // what is gone is told at once
        let gone = relapsed.mended(true, at(901));
        assert_eq!((gone.told, &gone.why), (at(901), &None));
        // a restart knows when it was told last
        let gaps = [
            gap("pods/a", 500, gap::COUNTED),
            gap("pods/a", 520, gap::UNCOUNTED),
        ];
        let all = recalled("pods", gaps.iter());
        let known = &all["a"];
        assert!(!known.may_end(at(4099)) && known.may_end(at(4100)));
        // and that it may count by now, which is not so of one whose end was never told
        assert!(known.is_in_doubt());
        let first = [gap("pods/a", 520, gap::UNCOUNTED)];
        assert!(!recalled("pods", first.iter())["a"].is_in_doubt());
    }

    #[test]
    fn what_a_source_could_not_count_has_a_last_gap_when_the_source_ends() {
        let why = "Bucket edu--prod/files: failed to count";
        let gaps = [
            gap("meter/b/m/a", 100, &format!("{}{why}", gap::UNCOUNTED)),
            gap("meter/b/m/b", 100, &format!("{}{why}", gap::UNCOUNTED)),
            gap("meter/b/m/b", 200, &format!("{}{why}", gap::COUNTED)),
            gap("meter/b/m", 250, gap::FORGOTTEN),
            gap("meter/b/n/c", 100, &format!("{}{why}", gap::UNCOUNTED)),
        ];
        let last = left_over("meter/b/m", gaps.iter(), Second::new(900));
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].source, "meter/b/m/a");
        assert_eq!((last[0].from.get(), last[0].to.get()), (100, 900));
        let told = format!("{}{why}", gap::COUNTED);
        assert_eq!(last[0].reason, told);
        let all: Vec<&GapDoc> = gaps.iter().chain(&last).collect();
        let again = left_over("meter/b/m", all.into_iter(), Second::new(950));
        assert!(again.is_empty(), "it is told once");
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
