//! Billing periods: opened in time, drafts while they run, closed when they are complete and finance says so.
//!
//! The ledger is the truth; BillingPeriod and Statement objects are projections of it and are written anew when they
//! are missing. Which periods there are and which may close is decided by pure functions ([`calendar`]); statements
//! are reckoned by the ledger's own close ([`reckon`]); what cannot be closed is said in words ([`trouble`]).

mod acceptance;
mod asked;
pub mod calendar;
pub mod figures;
pub mod gaps;
mod known;
pub mod late;
mod questions;
pub mod reckon;
pub mod statements;
pub mod status;
mod timing;
pub mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use kube::ResourceExt;
use leasehold_api::{
    charging::{BillingPeriod, BillingPeriodSpec},
    names,
};
use leasehold_kit::Shutdown;
use leasehold_ledger::{
    document::{GapDoc, PeriodCloseDoc, PeriodOpenDoc, PolicyDoc},
    money::Money,
    policy::Policy,
    statement::Chain,
    time::{PeriodKind, Second},
    verify::Records,
};
use leasehold_store::Record;

use crate::{Context, Error, meters::Watermarks};
use asked::asked;
use calendar::{Calendar, Known, Verdict};
use gaps::Accepted;
use late::Late;
use reckon::Outcome;
use status::{Closed, View};
use timing::{RETRY, TICK, TICK_IN_REHEARSAL, next_wait, refresh_age};

/// Changes are answered this late, so that many of them make one round.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Objects that somebody removed are written anew after this many seconds.
const REPAIR: i64 = 600;
/// What failed is tried again after this many seconds when a month is played in minutes.
const RETRY_IN_REHEARSAL: i64 = 5;

/// Opens, drafts and closes periods until the shutdown.
pub async fn run(context: Context, watermarks: Watermarks, shutdown: Shutdown) {
    // a cache that ended must not make the loop spin
    let mut changes = context
        .world
        .periods
        .changes()
        .chain(stream::pending())
        .boxed();
    let mut keeper = Keeper::new(context, watermarks);
    loop {
        let round = tokio::select! {
            biased;
            () = shutdown.wait() => return,
            round = Box::pin(keeper.round()) => round,
        };
        if let Err(error) = round {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "failed to keep the billing periods; tried again");
            keeper.calendar = None;
        }
        tokio::select! {
            // whichever comes, a round follows
            biased;
            () = shutdown.wait() => return,
            () = tokio::time::sleep(keeper.tick) => {}
            _ = changes.next() => tokio::time::sleep(DEBOUNCE).await,
        }
    }
}

/// How a closed period is shown.
#[derive(Clone, Debug)]
struct Published {
    chain: Chain,
    /// Departments whose final statement differs from the ledger.
    altered: BTreeSet<String>,
    /// When its statements are looked at again.
    again: Second,
}

struct Keeper {
    context: Context,
    watermarks: Watermarks,
    /// The periods of the ledger; `None` until read.
    calendar: Option<Calendar>,
    policies: Vec<PolicyDoc>,
    /// Up to when use and leases are complete, as of this round.
    complete: Option<Second>,
    /// The gaps of the ledger, read after `complete`: a source moves on only once its gap is recorded, so that none is
    /// missing up to there.
    gaps: Vec<GapDoc>,
    /// What finance has accepted of them.
    accepted: Accepted,
    verdicts: BTreeMap<String, Verdict>,
    troubles: BTreeMap<String, String>,
    /// When a close that failed is tried again.
    retry: Option<Second>,
    /// Period and time of the last drafts.
    drafted: Option<(String, Second)>,
    /// When drafts are drawn up before they are old: one could not be written, or there is trouble that may be over.
    redraft: Option<Second>,
    /// Seconds from one such drafting to the next; longer each time it was for nothing.
    redraft_wait: i64,
    published: BTreeMap<String, Published>,
    late: Late,
    /// What drafts were reckoned from.
    known: known::Known,
    tick: Duration,
}

impl Keeper {
    fn new(context: Context, watermarks: Watermarks) -> Self {
        Self {
            context,
            watermarks,
            calendar: None,
            policies: Vec::new(),
            complete: None,
            gaps: Vec::new(),
            accepted: Accepted::default(),
            verdicts: BTreeMap::new(),
            troubles: BTreeMap::new(),
            retry: None,
            drafted: None,
            redraft: None,
            redraft_wait: RETRY,
            published: BTreeMap::new(),
            late: Late::default(),
            known: known::Known::default(),
            tick: TICK,
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        let Some(policy) = self.context.books.policy().await? else {
            return Ok(());
        };
        let rehearsal = matches!(policy.period, PeriodKind::Rehearsal { .. });
        self.tick = if rehearsal { TICK_IN_REHEARSAL } else { TICK };
        let now = self.context.now();
        let mut calendar = match self.calendar.take() {
            Some(calendar) => calendar,
            None => self.load().await?,
        };
        self.open(&mut calendar, &policy, now).await?;
        self.complete = self.complete_to(now);
        self.gaps = self.read_gaps().await?;
        self.accepted = acceptance::heed(&self.context, &calendar, &self.gaps, now).await?;
        let closed = self.close(&mut calendar, rehearsal, now).await?;
        self.measure(&calendar).await?;
        self.late
            .read(self.context.books.store(), &calendar)
            .await?;
        self.miss_drafts(&calendar, now);
        self.draft(&calendar, &policy, closed, now).await?;
        self.publish(&calendar, now).await?;
        self.show(&calendar, now).await;
        if closed {
            statements::prune(&self.context, &calendar).await;
        }
        self.calendar = Some(calendar);
        Ok(())
    }

    async fn load(&self) -> Result<Calendar, Error> {
        let store = self.context.books.store();
        let mut calendar = Calendar::default();
        for recorded in store.documents::<PeriodOpenDoc>(None, None).await? {
            calendar.opened.push(recorded.value);
        }
        calendar.opened.sort_by_key(|open| open.period.span.from);
        for recorded in store.documents::<PeriodCloseDoc>(None, None).await? {
            calendar
                .closed
                .insert(recorded.value.name.clone(), recorded);
        }
        Ok(calendar)
    }

    /// Up to when all is known that a close counts: use by the watches, leases by the operator itself.
    fn complete_to(&self, now: Second) -> Option<Second> {
        let tenancies = &self.context.world.tenancies;
        let leased = self.context.leases.complete_to(now, |department, tenancy| {
            let namespace = names::office_namespace(department);
            tenancies.get(Some(&namespace), tenancy).is_some()
        });
        self.context.measures.leased_to(leased);
        calendar::complete(self.watermarks.complete_to(), leased)
    }

    /// Tells the gaps that are still to be accepted and the length of the ledger as metrics.
    async fn measure(&self, calendar: &Calendar) -> Result<(), Error> {
        let periods = calendar.unclosed().map(|open| &open.period);
        let measures = &self.context.measures;
        measures.gaps_open(gaps::open(periods, &self.accepted.open(&self.gaps)));
        let (rows, _) = self.context.books.store().head().await?;
        measures.ledger_rows(rows);
        Ok(())
    }

    async fn read_gaps(&self) -> Result<Vec<GapDoc>, Error> {
        let store = self.context.books.store();
        let recorded = store.documents::<GapDoc>(None, None).await?;
        Ok(recorded.into_iter().map(|found| found.value).collect())
    }

    /// Opens every period that has begun.
    async fn open(
        &mut self,
        calendar: &mut Calendar,
        policy: &Policy,
        now: Second,
    ) -> Result<(), Error> {
        let last = calendar.opened.last().map(|open| &open.period);
        let missing = calendar::missing(last, policy, now)
            .map_err(|error| Error::understand("the policy's period", error))?;
        let documents = self
            .context
            .books
            .store()
            .documents::<PolicyDoc>(None, None)
            .await?;
        self.policies = documents
            .into_iter()
            .map(|recorded| recorded.value)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut opened = Vec::new();
        for period in missing {
            let Some(governing) = calendar::governing(&self.policies, period.span.from) else {
                return Ok(());
            };
            let policy = governing.digest()?;
            opened.push(PeriodOpenDoc {
                period,
                policy,
                at: now,
            });
        }
        let records = opened
            .iter()
            .map(Record::document)
            .collect::<Result<Vec<_>, _>>()?;
        self.context.books.commit(records, now).await?;
        for open in &opened {
            tracing::info!(period = open.period.name, "period opened");
        }
        calendar.opened.extend(opened);
        Ok(())
    }

    /// Closes every period that may close, in order. Tells whether any was closed.
    async fn close(
        &mut self,
        calendar: &mut Calendar,
        rehearsal: bool,
        now: Second,
    ) -> Result<bool, Error> {
        let unclosed: Vec<PeriodOpenDoc> = calendar.unclosed().cloned().collect();
        let mut any = false;
        let mut earlier: Option<String> = None;
        for open in unclosed {
            let name = open.period.name.clone();
            let verdict = self.verdict(&open, earlier.as_deref(), now)?;
            let mut closed = false;
            if let Verdict::Due(by) = &verdict
                && self.retry.is_none_or(|retry| retry <= now)
            {
                closed = self.close_one(calendar, &open, by, now).await?;
                let wait = if rehearsal { RETRY_IN_REHEARSAL } else { RETRY };
                self.retry = (!closed).then(|| now.plus(wait));
            }
            any |= closed;
            if closed {
                self.verdicts.remove(&name);
                self.troubles.remove(&name);
            } else {
                self.verdicts.insert(name.clone(), verdict);
                earlier.get_or_insert(name);
            }
        }
        Ok(any)
    }

    fn verdict(
        &self,
        open: &PeriodOpenDoc,
        earlier: Option<&str>,
        now: Second,
    ) -> Result<Verdict, Error> {
        let period = &open.period;
        let Some(policy) = calendar::policy_of(&self.policies, &open.policy)? else {
            let what = format!("period {}", period.name);
            return Err(Error::understand(what, "its policy is not in the ledger"));
        };
        let object = self.context.world.periods.get(None, &period.name);
        let known = Known {
            asked: object.and_then(|object| asked(&object)),
            complete_to: self.complete,
            gap: gaps::any(period, &self.accepted.open(&self.gaps)),
        };
        let verdict = calendar::verdict(period, policy, &known, now);
        Ok(match (verdict, earlier) {
            (Verdict::Due(_) | Verdict::WaitsForFinance, Some(earlier)) => {
                Verdict::WaitsFor(earlier.to_owned())
            }
            (verdict, _) => verdict,
        })
    }

    async fn close_one(
        &mut self,
        calendar: &mut Calendar,
        open: &PeriodOpenDoc,
        by: &str,
        now: Second,
    ) -> Result<bool, Error> {
        let store = self.context.books.store();
        let name = &open.period.name;
        let clock = self.context.kit.clock();
        let begun = clock.monotonic();
        match Box::pin(reckon::close_period(store, open, by, now)).await? {
            Outcome::Closed => {
                let took = clock.monotonic().saturating_sub(begun);
                self.context.measures.period_closed(took);
                let close = store.document::<PeriodCloseDoc>(name).await?;
                let close =
                    close.ok_or_else(|| Error::understand("a close", "it is not in the ledger"))?;
                tracing::info!(period = name, by, gross = %close.value.totals.gross, "period closed");
                calendar.closed.insert(name.clone(), close);
                Ok(true)
            }
            Outcome::Refused(words) => {
                tracing::warn!(period = name, why = words, "period cannot be closed");
                self.troubles.insert(name.clone(), words);
                Ok(false)
            }
            Outcome::Overtaken => Ok(false),
        }
    }

    /// Asks for drafts when a department has none of the running period, as one that is new.
    fn miss_drafts(&mut self, calendar: &Calendar, now: Second) {
        let (Some(running), Some((_, drafted))) = (calendar.running(now), &self.drafted) else {
            return;
        };
        let world = &self.context.world;
        let missing = world.departments.select(|_| true).iter().any(|department| {
            let office = names::office_namespace(&department.name_any());
            let stands = department
                .status
                .as_ref()
                .is_some_and(|status| status.office_namespace.is_some());
            let period = &running.period.name;
            stands && world.statements.get(Some(&office), period).is_none()
        });
        if missing && self.redraft.is_none() {
            self.redraft = Some(now.max(drafted.plus(self.redraft_wait)));
        }
    }

    /// Draws up drafts of what is not closed, and the figures, if it is time for it.
    async fn draft(
        &mut self,
        calendar: &Calendar,
        policy: &Policy,
        closed: bool,
        now: Second,
    ) -> Result<(), Error> {
        let Some(running) = calendar.running(now) else {
            return Ok(());
        };
        let age = refresh_age(policy.period);
        let old = self
            .drafted
            .as_ref()
            // also where the clock was set back behind the last ones
            .is_none_or(|(period, at)| {
                *period != running.period.name || !(0..age).contains(&now.since(*at))
            });
        let wanted = self.redraft.is_some_and(|at| at <= now);
        if !closed && !old && !wanted {
            return Ok(());
        }
        // drafts that were written before this process began, and those beside the ones that are missing, are left until
        // they are old
        let least_age = if self.drafted.is_none() || (wanted && !closed && !old) {
            age
        } else {
            0
        };
        let store = self.context.books.store().clone();
        let (through, _) = store.head().await?;
        let since = calendar
            .unclosed()
            .next()
            .map_or(now, |open| open.period.span.from);
        let known = std::mem::take(&mut self.known);
        let records = known.grown(&store, through, since).await?;
        let as_of = self.complete.map_or(now, |complete| complete.min(now));
        let open: Vec<PeriodOpenDoc> = calendar.unclosed().cloned().collect();
        let (drafts, records) = tokio::task::spawn_blocking(move || {
            let mut drafts = Vec::new();
            for open in open {
                let until = as_of.max(open.period.span.from);
                let draft = reckon::reckon(&open, &records, through, Some(until));
                drafts.push((open.period.name, draft));
            }
            (drafts, records)
        })
        .await
        .map_err(|error| Error::understand("drafts", error))?;
        let mut so_far = BTreeMap::new();
        let mut all = true;
        for (name, draft) in drafts {
            match draft {
                Ok(draft) => {
                    self.troubles.remove(&name);
                    let statements = &draft.statements;
                    all &=
                        statements::write_drafts(&self.context, statements, now, least_age).await;
                    if name == running.period.name {
                        so_far = figures::so_far(&name, &draft.statements, as_of)
                            .map_err(|error| Error::understand("a draft", error))?;
                    }
                }
                Err(words) => {
                    self.troubles.insert(name, words);
                }
            }
        }
        if let Some(credit) = credit_left(&records, now) {
            self.context.figures.replace(so_far, credit);
        }
        self.known = known::Known::of(records, through);
        self.drafted = Some((running.period.name.clone(), now));
        let again = !all || !self.troubles.is_empty();
        // counted from after the work, which takes long on a large ledger
        let after = self.context.now();
        self.redraft = again.then(|| after.plus(self.redraft_wait));
        self.redraft_wait = next_wait(self.redraft_wait, again);
        Ok(())
    }

    /// Writes the statements of closed periods that are not there.
    async fn publish(&mut self, calendar: &Calendar, now: Second) -> Result<(), Error> {
        for open in calendar.kept() {
            let name = &open.period.name;
            let Some(close) = calendar.closed.get(name) else {
                continue;
            };
            let chain = match self.published.get(name) {
                Some(published) if now < published.again => continue,
                Some(published) => published.chain.clone(),
                None => statements::chain_after(self.context.books.store(), close).await?,
            };
            let wanting = statements::write_finals(&self.context, close, &chain).await?;
            let pause = if wanting.missing.is_empty() {
                REPAIR
            } else {
                RETRY
            };
            let published = Published {
                chain,
                altered: wanting.altered,
                again: now.plus(pause),
            };
            self.published.insert(name.clone(), published);
        }
        let kept: BTreeSet<&String> = calendar.kept().map(|open| &open.period.name).collect();
        self.published.retain(|name, _| kept.contains(name));
        Ok(())
    }

    /// Writes the periods' objects and their status. One that cannot be written does not keep the others from theirs.
    async fn show(&self, calendar: &Calendar, now: Second) {
        for open in calendar.kept() {
            if let Err(error) = self.show_one(calendar, open, now).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(period = open.period.name, error, "failed to write a period");
            }
        }
    }

    async fn show_one(
        &self,
        calendar: &Calendar,
        open: &PeriodOpenDoc,
        now: Second,
    ) -> Result<(), Error> {
        let name = &open.period.name;
        let closed = calendar.closed.get(name);
        let Some(object) = self.object(name).await? else {
            return Ok(());
        };
        let closed = closed
            .zip(self.published.get(name))
            .map(|(close, published)| Closed {
                document: close.value.clone(),
                chain: published.chain.clone(),
                uncorrected: self.late.count(name),
            });
        let running = Verdict::Running;
        let gaps = gaps::of(&open.period, &self.gaps);
        let nobody = BTreeSet::new();
        let altered = self.published.get(name).map(|published| &published.altered);
        let blind = self.watermarks.blindness();
        let view = View {
            open,
            generation: object.metadata.generation,
            verdict: self.verdicts.get(name).unwrap_or(&running),
            closed: closed.as_ref(),
            trouble: self.troubles.get(name).map(String::as_str),
            gaps: &gaps,
            accepted: &self.accepted,
            altered: altered.unwrap_or(&nobody),
            blind: blind.as_deref(),
            complete_to: self.complete,
            now,
        };
        let new = status::status(&view, object.status.as_ref());
        self.context
            .kit
            .patch_status(&object, object.status.as_ref(), &new)
            .await?;
        Ok(())
    }

    /// The period's object; made anew from the ledger when it is missing. None while the cache lags behind. Finance's word is
    /// never written for finance: after a restore of an older ledger it would close a period that nobody asked for.
    async fn object(&self, name: &str) -> Result<Option<BillingPeriod>, Error> {
        if let Some(object) = self.context.world.periods.get(None, name) {
            return Ok(Some(object));
        }
        let object = BillingPeriod::new(name, BillingPeriodSpec { close: false });
        match self.context.kit.create(&object).await {
            Ok(created) => Ok(Some(created)),
            Err(error) if error.is_already_exists() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is left of each department's credit. A ledger that contradicts itself has no such figure; its periods say what is
/// wrong with it, and are not kept from saying so.
fn credit_left(records: &Records, now: Second) -> Option<BTreeMap<String, Money>> {
    match figures::credit_left(records, now) {
        Ok(credit) => Some(credit),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "failed to add up the credit that is left");
            None
        }
    }
}
