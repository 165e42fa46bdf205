//! From events of a watch to facts in the ledger.
//!
//! Facts and the version of the event are committed in one transaction, so that a restart resumes exactly after what
//! was recorded. An event that could not be committed is offered again; what is recorded is then read anew, because
//! the answer of a commit may be all that was lost. Nothing is committed for a life of the cluster's database that is
//! over: the ledger refuses it.

mod archived;
mod listing;
mod uncounted;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use kube::ResourceExt;
use leasehold_kit::watch;
use leasehold_ledger::{
    document::{ClusterDoc, GapDoc},
    fact::{Fact, Source, Subject},
    time::{Second, Span},
};
use leasehold_planner::quota;
use leasehold_store::{Batch, Cursor, FactFilter, Record};

use super::{
    gap,
    life::{Life, Seen, Standing, Unseen},
    metered::{Metered, Note},
    places::{Place, Places, may_count},
    pods::{Sight, second},
    restore,
    watermark::Watermarks,
};
use crate::{Context, Error, books::Era};

pub use uncounted::left_over;

/// A cursor that moves without facts is written this seldom, in seconds.
const SAVE: i64 = 3;
/// An object of a namespace that the ledger does not know yet is told of, and its namespace asked for, this seldom, in
/// seconds.
const PATIENCE: i64 = 60;

/// An object whose namespace the ledger does not know yet.
struct Waiting<K> {
    object: K,
    since: Second,
    /// When it was last told of, from the beginning when not yet.
    told: Second,
    listed: bool,
}

/// What seeing an object means.
enum Look {
    /// These facts, maybe none.
    Facts(Vec<Fact>),
    /// It cannot be counted, for this reason.
    Uncountable(String),
    /// The ledger does not know the object's namespace yet.
    Unknown,
}

/// What is to be committed.
#[derive(Default)]
struct News {
    facts: Vec<Fact>,
    /// Gaps that were found.
    gaps: Vec<Record>,
    /// What the gaps say of objects that could not be counted, or cannot.
    uncounted: uncounted::ByUid,
    /// Quotas of namespaces, read for the gaps, by namespace.
    quotas: BTreeMap<Option<String>, Vec<quota::Hard>>,
    /// Objects that need not be kept any longer once this is committed.
    settled: BTreeSet<String>,
}

/// Turns events of one kind into facts.
pub struct Sink<K: Metered> {
    of: K::Of,
    context: Context,
    /// The life of the cluster's database in which it began.
    era: Arc<Era>,
    /// Why the next list makes a gap.
    reason: &'static str,
    marks: Watermarks,
    places: Places,
    /// Objects of tenancies that exist, by uid; `None` until read from the ledger.
    lives: Option<BTreeMap<String, Life>>,
    /// What gaps say of objects that could not be counted, or cannot; `None` until read from the ledger.
    uncounted: Option<uncounted::ByUid>,
    waiting: BTreeMap<String, Waiting<K>>,
    /// Up to when archives have use of what may count anew, as it was at the last list.
    sealed: Option<Second>,
    saved: Second,
    begun: Second,
    /// The version that is being taken.
    taking: String,
    /// Since when the kind is not served, while it is not.
    missing: Option<watching::Missing>,
    /// Since when the watch brings what happens as it happens; `None` until it has brought something.
    awake: Option<Second>,
}

impl<K: Metered> Sink<K> {
    /// A sink that goes on where the ledger's cursor of the kind stands; also gives the version to resume from.
    pub async fn resume(
        of: K::Of,
        context: &Context,
        marks: &Watermarks,
    ) -> Result<(Self, Option<String>), Error> {
        // before the cursor: one that is of a later era cannot be moved by this sink
        let era = context.books.cluster();
        let cursor = context.books.store().cursor(K::source(&of)).await?;
        let reason = listing::reason(cursor.as_ref());
        if cursor.is_some() || !K::DECLARED {
            let known = cursor.as_ref().map(|cursor| cursor.observed_at);
            marks.announce(K::source(&of), known);
            K::note(&of, &Note::Begun(None));
        }
        marks.sees(K::label(&of));
        context.measures.blind(K::label(&of), false);
        let mut places = Places::new(context.clone());
        places.load().await?;
        let now = context.now();
        let sink = Self {
            of,
            context: context.clone(),
            era,
            reason,
            marks: marks.clone(),
            places,
            lives: None,
            uncounted: None,
            waiting: BTreeMap::new(),
            sealed: None,
            saved: now,
            begun: now,
            taking: String::new(),
            missing: None,
            awake: None,
        };
        let version = cursor.map(|cursor| cursor.resource_version);
        Ok((sink, version.filter(|version| listing::goes_on(version))))
    }

    async fn sight(&mut self, now: Second, gone: bool, listed: bool) -> Result<Sight, Error> {
        let known_to = self.known_to();
        Ok(Sight {
            now,
            known_to,
            billed: self.places.billed().await?,
            gone,
            listed,
            // what comes after a beat that was made while the watch stood has happened while it stood
            prompt: self.awake.is_some_and(|since| known_to >= Some(since)),
            unbound: self.places.counts_unbound(),
        })
    }

    /// Reads what is open in the ledger, unless it is known.
    async fn load(&mut self) -> Result<(), Error> {
        if self.lives.is_some() {
            return Ok(());
        }
        let mut lives: BTreeMap<String, Life> = BTreeMap::new();
        let store = self.context.books.store();
        for recorded in store.open_objects(K::meters(&self.of)).await? {
            let fact = recorded.value;
            if self.is_ours(&fact) {
                lives
                    .entry(fact.source.uid.clone())
                    .or_default()
                    .note(&fact);
            }
        }
        self.uncounted = Some(self.recall().await?);
        self.lives = Some(lives);
        Ok(())
    }

    /// Whether a fact is of this kind and this cluster, in whichever life of its database.
    fn is_ours(&self, fact: &Fact) -> bool {
        self.era.knows(&fact.source) && K::counts(&self.of, &fact.meter)
    }

    /// What follows for an object of which something is recorded.
    fn follow(
        life: &Life,
        seen: &Seen,
        standing: &Standing,
        subject: Option<&Subject>,
        sight: &Sight,
    ) -> Vec<Fact> {
        if life.is_of(&seen.source) {
            life.facts(seen, standing, subject)
        } else {
            life.after_restore(seen, standing, subject, &Unseen::from(sight))
        }
    }

    fn life(&self, uid: &str) -> Option<&Life> {
        self.lives.as_ref().and_then(|lives| lives.get(uid))
    }

    /// What seeing an object means.
    async fn look(&mut self, object: &K, sight: &Sight) -> Result<Look, Error> {
        let uid = object.uid().unwrap_or_default();
        let namespace = object.namespace().unwrap_or_default();
        if namespace.is_empty() {
            K::note(&self.of, &Note::Homeless);
        }
        if !may_count(&namespace) {
            return Ok(Look::Facts(Vec::new()));
        }
        let standing = match object.standing(&self.of, sight) {
            Ok(standing) => standing,
            Err(error) => {
                let why = format!("{}: {error}", self.seen(object).object);
                return self.uncountable(object, why).await;
            }
        };
        K::note(&self.of, &Note::Counted(&uid));
        let returns = K::DECLARED && !sight.gone;
        let known = self.life(&uid).filter(|life| life.begun());
        if let Some(life) = known.filter(|life| life.is_open() || !returns).cloned() {
            let seen = self.seen(object);
            let known = if life.is_of(&seen.source) {
                life.subject()
            } else {
                life.owner()
            };
            let subject = match known {
                Some(known) => self.places.now(known).await?,
                None => None,
            };
            let facts = Self::follow(&life, &seen, &standing, subject.as_ref(), sight);
            return Ok(Look::Facts(facts));
        }
        if standing.is_nothing() {
            if !sight.gone {
                // seen before it held anything: nothing can be recorded of it
                self.lives.get_or_insert_default().entry(uid).or_default();
            }
            return Ok(Look::Facts(Vec::new()));
        }
        let created = object.creation_timestamp().as_ref().map(second);
        Ok(match self.places.find(&namespace, created).await? {
            Place::Foreign => Look::Facts(Vec::new()),
            Place::Unknown => Look::Unknown,
            Place::Tenancy(subject) => {
                let life = self.history(&uid, &subject).await?;
                let mut seen = self.seen(object);
                let (life, standing) = if returns {
                    self.anew((life, standing), &mut seen, created, sight)
                } else {
                    (life, standing)
                };
                let subject = Some(&*subject);
                Look::Facts(Self::follow(&life, &seen, &standing, subject, sight))
            }
        })
    }

    /// Adds to the news what seeing an object means. Tells whether the ledger knows to whom it counts.
    async fn see(&mut self, object: &K, sight: &Sight, news: &mut News) -> Result<bool, Error> {
        let uid = object.uid().unwrap_or_default();
        match self.look(object, sight).await? {
            Look::Unknown => return Ok(false),
            Look::Uncountable(why) => self.begins(object, why, sight, news)?,
            Look::Facts(facts) => {
                news.facts.extend(facts);
                self.counts(&uid, sight.gone, sight.now, news)?;
            }
        }
        news.settled.insert(uid);
        Ok(true)
    }

    /// What is recorded of an object that is not open.
    async fn history(&mut self, uid: &str, subject: &Subject) -> Result<Life, Error> {
        if let Some(life) = self.life(uid) {
            return Ok(life.clone());
        }
        let filter = FactFilter {
            department: Some(subject.department.clone()),
            tenancy: Some(subject.tenancy.clone()),
            uid: Some(uid.to_owned()),
            ..FactFilter::default()
        };
        let recorded = self.context.books.store().facts(&filter).await?;
        let life = Life::of(
            recorded
                .iter()
                .map(|r| &r.value)
                .filter(|fact| self.is_ours(fact)),
        );
        self.lives
            .get_or_insert_default()
            .insert(uid.to_owned(), life.clone());
        Ok(life)
    }

    /// Reads at once what is recorded of many objects.
    async fn histories(&mut self, uids: &BTreeSet<String>) -> Result<(), Error> {
        let unknown: Vec<&str> = uids
            .iter()
            .map(String::as_str)
            .filter(|uid| self.life(uid).is_none())
            .collect();
        let mut found: BTreeMap<String, Life> = BTreeMap::new();
        let store = self.context.books.store();
        for recorded in store.facts_of(&unknown).await? {
            let fact = recorded.value;
            if self.is_ours(&fact) {
                found
                    .entry(fact.source.uid.clone())
                    .or_default()
                    .note(&fact);
            }
        }
        let unknown: Vec<String> = unknown.into_iter().map(str::to_owned).collect();
        let lives = self.lives.get_or_insert_default();
        for uid in unknown {
            let life = found.remove(&uid).unwrap_or_default();
            lives.insert(uid, life);
        }
        Ok(())
    }

    fn seen(&self, object: &K) -> Seen {
        let version = object.resource_version().unwrap_or_default();
        let name = format!(
            "{} {}/{}",
            K::called(&self.of),
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        self.seen_as(object.uid().unwrap_or_default(), version, name)
    }

    fn seen_as(&self, uid: String, version: String, object: String) -> Seen {
        let source = Source {
            cluster: self.era.uid.clone(),
            etcd: self.era.etcd,
            uid,
            version,
        };
        Seen { source, object }
    }

    /// Keeps an object until the ledger knows its namespace.
    fn keep(&mut self, object: &K, sight: &Sight) {
        let uid = object.uid().unwrap_or_default();
        let known = self.waiting.get(&uid);
        let (since, told) = known.map_or((sight.now, sight.now), |known| (known.since, known.told));
        let waiting = Waiting {
            object: object.clone(),
            since,
            told,
            listed: sight.listed,
        };
        self.waiting.insert(uid, waiting);
    }

    /// The gap that an object leaves which went before the ledger knew its namespace, if that is certainly a tenancy's,
    /// nothing of the object was recorded, and the gap is not recorded yet.
    async fn gone_unknown(&self, object: &K, sight: &Sight) -> Result<Option<Record>, Error> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        tracing::warn!(
            kind = K::called(&self.of),
            namespace,
            name,
            "went before the ledger knew its namespace"
        );
        let held = match object.standing(&self.of, sight) {
            Ok(Standing::Holding(held) | Standing::Over { held, .. }) => held,
            Ok(Standing::Idle) | Err(_) => return Ok(None),
        };
        if !self.places.is_ours(&namespace) {
            return Ok(None);
        }
        let uid = object.uid().unwrap_or_default();
        let filter = FactFilter {
            uid: Some(uid.clone()),
            ..FactFilter::default()
        };
        let store = self.context.books.store();
        let recorded = store.facts(&filter).await?;
        if recorded.iter().any(|found| self.is_ours(&found.value)) {
            return Ok(None);
        }
        let lived = Span::new(held.start.at, sight.now);
        let words = self.seen(object).object;
        let document = gap::of_object(
            K::source(&self.of),
            &uid,
            &words,
            &held.quantities,
            lived,
            sight.now,
        );
        // an attempt whose answer was lost may have recorded it with another end
        let source = Some(document.source.as_str());
        Ok(
            if store.documents::<GapDoc>(source, None).await?.is_empty() {
                Some(Record::document(&document)?)
            } else {
                None
            },
        )
    }

    /// Whether an object whose namespace is still unknown need not be kept: its namespace is certainly no tenancy's.
    /// Asked once in a while; until then, and when the answer is no, the object stays and holds the mark back.
    async fn is_foreign(&mut self, uid: &str, now: Second) -> Result<bool, Error> {
        let Some(waiting) = self.waiting.get_mut(uid) else {
            return Ok(true);
        };
        if (0..=PATIENCE).contains(&now.since(waiting.told)) {
            return Ok(false);
        }
        waiting.told = now;
        let seconds = now.since(waiting.since);
        let namespace = waiting.object.namespace().unwrap_or_default();
        let name = waiting.object.name_any();
        let kind = K::called(&self.of).to_owned();
        if self.places.is_foreign(&namespace).await? {
            tracing::debug!(kind, namespace, name, "the namespace is no tenancy's");
            return Ok(true);
        }
        tracing::warn!(
            kind,
            namespace,
            name,
            seconds,
            "waits for the ledger to know its namespace; no period can be closed meanwhile"
        );
        Ok(false)
    }

    /// Looks again at objects whose namespace was not known, all but one.
    async fn revisit(&mut self, now: Second, but: &str) -> Result<News, Error> {
        let mut news = News::default();
        let uids: Vec<String> = self
            .waiting
            .keys()
            .filter(|uid| *uid != but)
            .cloned()
            .collect();
        for uid in uids {
            let Some((object, listed)) = self
                .waiting
                .get(&uid)
                .map(|waiting| (waiting.object.clone(), waiting.listed))
            else {
                continue;
            };
            let sight = self.sight(now, false, listed).await?;
            if !self.see(&object, &sight, &mut news).await? && self.is_foreign(&uid, now).await? {
                news.settled.insert(uid);
            }
        }
        Ok(news)
    }

    /// Commits facts together with the version that brought them. An object that is kept holds the version back, so
    /// that a restart sees it again.
    async fn commit(&mut self, mut news: News, seen: &watch::Seen) -> Result<(), Error> {
        let now = Second::from_timestamp(seen.at);
        self.goes_on(now, &mut news).await?;
        let News {
            facts,
            gaps,
            uncounted,
            settled,
            quotas: _,
        } = news;
        let kept = self.waiting.keys().any(|uid| !settled.contains(uid));
        // also after a clock that was set back: what stands there is beyond what is known now
        let due = !kept && !(0..SAVE).contains(&now.since(self.saved));
        if !facts.is_empty() || !gaps.is_empty() || due {
            let mut cursors = Vec::new();
            if !kept {
                cursors.push(self.cursor(&seen.version));
                cursors.extend(self.marks.last_beat().map(restore::witness));
            }
            self.record(facts, gaps, cursors, now).await?;
            self.saved = now;
        }
        self.uncounted.get_or_insert_default().extend(uncounted);
        self.waiting.retain(|uid, _| !settled.contains(uid));
        if !kept {
            let source = K::source(&self.of);
            self.marks.reached(source, &seen.version);
            let complete = self.marks.source_complete_to(source);
            let label = K::label(&self.of);
            self.context.measures.metered_to(label, complete);
        }
        Ok(())
    }

    /// Commits the facts that have come together in what a list means, once they are many: a list of everything after a gap
    /// would otherwise be held as facts, as records and as rows at the same time. The cursor keeps up to when all is known,
    /// and has `half_way` in place of a version, from which no watch goes on: whoever dies before the gap is recorded lists
    /// again, and finds in the ledger what was recorded. A first list has no gap before it, and is one commit.
    async fn record_many(
        &mut self,
        news: &mut News,
        half_way: &str,
        now: Second,
    ) -> Result<(), Error> {
        let is_many = news.facts.len() >= self.context.settings.portion.max(1);
        if !is_many || self.known_to().is_none() {
            return Ok(());
        }
        let facts = mem::take(&mut news.facts);
        let mut cursors = vec![self.cursor(half_way)];
        cursors.extend(self.marks.last_beat().map(restore::witness));
        self.record(facts, Vec::new(), cursors, now).await
    }

    /// Commits facts, gaps and cursors, and remembers the facts.
    async fn record(
        &mut self,
        facts: Vec<Fact>,
        gaps: Vec<Record>,
        cursors: Vec<Cursor>,
        now: Second,
    ) -> Result<(), Error> {
        let mut records: Vec<Record> = facts.into_iter().map(Record::from).collect();
        records.extend(gaps);
        let mut batch = Batch::of(records).expecting_latest_of_kind::<ClusterDoc>(self.era.row);
        batch.cursors = cursors;
        if let Err(error) = self.context.books.store().commit(&batch, now).await {
            // it may have been written all the same
            self.lives = None;
            return Err(error.into());
        }
        let facts = || batch.records.iter().filter_map(Record::as_fact);
        self.context
            .measures
            .recorded(facts().map(|fact| fact.kind));
        let lives = self.lives.get_or_insert_default();
        for fact in facts() {
            lives.entry(fact.source.uid.clone()).or_default().note(fact);
        }
        Ok(())
    }

    fn cursor(&self, version: &str) -> Cursor {
        Cursor {
            source: K::source(&self.of).to_owned(),
            resource_version: version.to_owned(),
            complete_to: self.marks.source_complete_to(K::source(&self.of)),
            observed_at: self
                .marks
                .known_to(K::source(&self.of))
                .unwrap_or(self.begun),
        }
    }

    async fn take(&mut self, object: &K, seen: &watch::Seen, gone: bool) -> Result<(), Error> {
        self.load().await?;
        self.taking.clone_from(&seen.version);
        let now = Second::from_timestamp(seen.at);
        let uid = object.uid().unwrap_or_default();
        let sight = self.sight(now, gone, false).await?;
        let mut news = self.revisit(now, &uid).await?;
        if !self.see(object, &sight, &mut news).await? {
            if gone {
                news.gaps.extend(self.gone_unknown(object, &sight).await?);
                self.counts(&uid, true, now, &mut news)?;
                news.settled.insert(uid.clone());
            } else {
                self.keep(object, &sight);
            }
        }
        self.commit(news, seen).await?;
        if gone && let Some(lives) = &mut self.lives {
            lives.remove(&uid);
        }
        Ok(())
    }
}
