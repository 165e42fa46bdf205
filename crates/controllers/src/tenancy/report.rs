//! What a tenancy's status says, written only when it differs.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join;
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use leasehold_api::{
    conditions::{self, NewCondition, types},
    names,
    tenancy::{
        FinalBill, HistoryEntry, ItemUsage, LeaseItem, NamespaceStatus, PendingChange, PeriodSoFar,
        Phase, QuotationStatus, RequestStatus, RetainedVolume, Tenancy, TenancyStatus,
    },
};
use leasehold_kit::{EventType, ReconcileError};
use leasehold_ledger::{
    document::RequestDoc,
    time::{LocalDate, PeriodKind, Second},
};
use leasehold_planner::rules::Refusal;

use super::{
    final_bill, interim,
    observe::{Life, State},
    provision::acceptance_shown,
    release::sign_off_shown,
    suspension::Suspended,
    turns,
    unpaid::Unpaid,
};
use crate::{Context, Error, books::FINANCE, verdict::told};

/// Things that happened which the status remembers.
const HISTORY: usize = 20;
/// Figures in an otherwise unchanged status are refreshed this seldom, in seconds.
const FIGURES_AGE: i64 = 3600;

/// What one round found out.
#[derive(Default)]
pub struct Report {
    /// Where the tenancy stands.
    pub phase: Phase,
    /// The standing request.
    pub request: Option<RequestStatus>,
    /// Name of the approval that is waited for.
    pub approval: Option<String>,
    /// The role that decides it.
    pub turn: Option<&'static str>,
    /// What the standing request changes.
    pub pending: Vec<PendingChange>,
    /// The lease that is provisioned.
    pub approved: Vec<LeaseItem>,
    /// What the lease costs.
    pub quotation: Option<QuotationStatus>,
    /// The namespaces.
    pub namespaces: Vec<NamespaceStatus>,
    /// Used and granted in each of them, by name.
    pub quotas: BTreeMap<String, String>,
    /// The shares from which capacity has followed use, once they were reached.
    pub split: Option<String>,
    /// Leased and used, per item.
    pub usage: Vec<ItemUsage>,
    /// Leased and used, for the columns.
    pub used: Option<String>,
    /// Since when the release has been asked for.
    pub reclaiming_since: Option<String>,
    /// What the office has said of the release.
    pub release_decision: Option<String>,
    /// What the department must sign before anything is deleted.
    pub unsigned: Option<String>,
    /// What the released tenancy has cost altogether.
    pub final_bill: Option<FinalBill>,
    /// Whether that can be said, and in which words.
    pub billed: Option<(bool, String)>,
    /// Volumes that are kept although the tenancy is released.
    pub retained: Vec<RetainedVolume>,
    /// The suspension that is in force.
    pub suspended: Option<Suspended>,
    /// What the department is told because the term ends soon.
    pub expiring: Option<String>,
    /// Why what runs is to end before the namespaces go, where it is.
    pub ends: Option<Unpaid>,
    /// Whether what is leased is being set up: it is looked at again at once.
    pub underway: bool,
    /// When to look again at the latest.
    pub again: Option<Duration>,
    refused: Vec<String>,
    waits: Vec<String>,
    expired: Vec<String>,
    contested: Vec<String>,
    history: Vec<HistoryEntry>,
    refresh: i64,
}

impl Report {
    /// A report that starts where the last one ended. A month that is played in minutes is looked at once in it at least,
    /// for the figures.
    pub fn new(state: &Life) -> Self {
        let (refresh, again) = match state.policy.period {
            PeriodKind::Rehearsal { seconds } => {
                let played = Duration::from_secs(seconds.into());
                (i64::from(seconds), Some(played))
            }
            PeriodKind::Month | PeriodKind::Day => (FIGURES_AGE, None),
        };
        Self {
            refresh: refresh.min(FIGURES_AGE),
            again,
            ..Self::default()
        }
    }

    /// The request breaks rules; nothing was opened.
    pub fn refuse(&mut self, refusals: &[Refusal]) {
        self.refused
            .extend(refusals.iter().map(ToString::to_string));
    }

    /// A person said no.
    pub fn refuse_decided(&mut self, number: u32, reason: &str, by: &str) {
        self.refused.push(format!(
            "request {number} was rejected by {by}: {reason}. Change the lease, or raise spec.request.attempt to ask again"
        ));
    }

    /// The department gave back what is in place.
    pub fn refuse_acceptance(&mut self, number: u32, reason: &str, by: &str, command: &str) {
        self.refused.push(format!(
            "request {number} was not accepted by {by}: {reason}. Nobody pays for it, and nothing runs until it is accepted ({command}) or a changed lease is in place; or release the tenancy"
        ));
    }

    /// Whether this namespace exists and is the tenancy's.
    pub fn has_namespace(&self, department: &str, short: &str) -> bool {
        let name = names::tenancy_namespace(department, short);
        self.namespaces
            .iter()
            .any(|found| found.name == name && found.uid.is_some())
    }

    /// Whether a namespace cannot be had until the department or the platform does something.
    pub fn namespace_refused(&self) -> bool {
        let told = self
            .namespaces
            .iter()
            .filter_map(|found| found.message.as_deref());
        told.into_iter().any(|message| message.starts_with("rule "))
    }

    /// A person said no to the release.
    pub fn refuse_release(&mut self, reason: &str, by: &str) {
        self.refused.push(format!(
            "the release was rejected by {by}: {reason}. Raise spec.request.attempt to ask again, or leave spec.release out to keep the tenancy"
        ));
    }

    /// The approved term is over since the end of this day.
    pub fn expire(&mut self, through: LocalDate) {
        self.expired.push(format!(
            "the term ended on {through}; the lease goes on and is billed at the same price; extend spec.term.through or release the tenancy"
        ));
    }

    /// Others change something again and again that is the tenancy's.
    pub fn contest(&mut self, what: String) {
        self.contested.push(what);
    }

    /// How many things are waited for so far.
    pub fn waits_so_far(&self) -> usize {
        self.waits.len()
    }

    /// Forgets what is waited for but these first ones. In a fight it changes with every write of the other side, and a
    /// status that did would be written as often.
    pub fn wait_for_no_more_than(&mut self, first: usize) {
        self.waits.truncate(first);
    }

    /// Something is not in place yet.
    pub fn wait(&mut self, what: impl Into<String>) {
        self.waits.push(what.into());
    }

    /// A person must decide.
    pub fn waits_for(&mut self, request: &RequestDoc, (role, approval): (&'static str, String)) {
        let who = if role == FINANCE { role } else { "the office" };
        self.waits.push(format!(
            "request {} waits for {who}: leasehold approve {approval} -n {}",
            request.request,
            names::office_namespace(&request.department)
        ));
        (self.turn, self.approval) = (Some(role), Some(approval));
    }

    /// Looks again after this long at the latest.
    pub fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |known| known.min(after)));
    }

    /// Remembers something that happened.
    pub fn happened(&mut self, state: &Life, who: &str, what: &str) {
        let entry = HistoryEntry {
            at: state.now.to_string(),
            who: who.to_owned(),
            what: what.to_owned(),
        };
        self.history.push(entry);
    }

    /// Writes the status if it says anything new, and tells about a new phase.
    pub async fn write(self, state: &State, context: &Context) -> Result<(), Error> {
        let tenancy = &state.tenancy;
        let old = tenancy.status.clone().unwrap_or_default();
        let underway = self.underway;
        let new = self.status(state, context, &old);
        if new == old || (underway && interim::may_wait(&old, &new, state.now)) {
            return Ok(());
        }
        // neither waits for the other: an event is best effort, and the status does not depend on it
        let ((), written) = join(
            tell(tenancy, &old, &new, context),
            context
                .kit
                .patch_status(tenancy, tenancy.status.as_ref(), &new),
        )
        .await;
        written?;
        Ok(())
    }

    /// Adds to the status what happened, what is waited for and what failed, and leaves the rest as it was: the round ended
    /// early, and knows nothing else for sure.
    ///
    /// Nothing is written for other words of the same failure: every write wakes the tenancy at once, and one whose words
    /// change every time, with the port of a connection for instance, would never come to its pause.
    pub async fn write_failed(
        self,
        state: &State,
        context: &Context,
        error: &Error,
    ) -> Result<(), Error> {
        let tenancy = &state.tenancy;
        let old = tenancy.status.clone().unwrap_or_default();
        let mut new = old.clone();
        remember(&mut new.history, self.history);
        let (generation, now) = (tenancy.metadata.generation, state.now.timestamp());
        if let Some(sentence) = failure(error) {
            if !self.waits.is_empty() {
                let (type_, reason) = (types::WAITING, "Waiting");
                flag(&mut new, type_, &self.waits, reason, generation, now);
            }
            let (type_, reason) = (types::FAILED, error.reason());
            if new != old || !is_told(&old, reason, generation) {
                flag(&mut new, type_, &[sentence], reason, generation, now);
            }
        }
        if new == old {
            return Ok(());
        }
        let kit = &context.kit;
        kit.patch_status(tenancy, tenancy.status.as_ref(), &new)
            .await?;
        Ok(())
    }

    fn status(mut self, state: &State, context: &Context, old: &TenancyStatus) -> TenancyStatus {
        let (ready, reason, message) = self.verdict();
        // in one order whatever round found them in which, so that nothing is written for the order alone
        self.namespaces
            .sort_by(|one, other| one.name.cmp(&other.name));
        let suspended = self.suspended.as_ref().map(Suspended::sentence);
        let mut new = TenancyStatus {
            observed_generation: state.tenancy.metadata.generation,
            phase: self.phase_shown(),
            incarnation: state.view.incarnation.as_ref().map(|doc| doc.incarnation),
            request: self.request,
            pending: self.pending,
            approved: self.approved,
            acceptance: acceptance_shown(state),
            quotation: self.quotation,
            period: old.period.clone(),
            credit_left: old.credit_left.clone(),
            used: old.used.clone(),
            usage: old.usage.clone(),
            namespaces: as_shown(self.namespaces, &old.namespaces),
            split: followed(self.split, state, old),
            reclaiming_since: self.reclaiming_since,
            release_decision: self.release_decision,
            sign_off: sign_off_shown(state),
            final_bill: self.final_bill,
            retained: self.retained,
            suspension: self.suspended.map(|suspended| suspended.shown),
            history: old.history.clone(),
            conditions: old.conditions.clone(),
        };
        remember(&mut new.history, self.history);
        let generation = state.tenancy.metadata.generation;
        let now = state.now.timestamp();
        let condition = NewCondition {
            type_: types::READY,
            holds: ready,
            reason: &reason,
            message: &message,
        };
        conditions::set(&mut new.conditions, &condition, generation, now);
        // quotas move with use, and with somebody who writes back
        let is_calm = self.contested.is_empty() && state.tenancy.spec.rebalance.is_none();
        let flags = [
            (types::REFUSED, self.refused, "RuleBroken"),
            (types::WAITING, self.waits, "Waiting"),
            (types::EXPIRED, self.expired, "TermOver"),
            (types::EXPIRING, Vec::from_iter(self.expiring), "TermEnds"),
            (types::SUSPENDED, Vec::from_iter(suspended), "Ordered"),
            (types::CONTESTED, self.contested, "WrittenBack"),
            (types::UNSIGNED, Vec::from_iter(self.unsigned), "GraceOver"),
            // this round came to its end
            (types::FAILED, Vec::new(), "Failed"),
        ];
        for (type_, sentences, reason) in flags {
            flag(&mut new, type_, &sentences, reason, generation, now);
        }
        final_bill::flag(&mut new, self.billed, generation, now);
        let turned = turns::history(old, &new, state.now);
        remember(&mut new.history, turned);
        let stale = old
            .usage
            .first()
            .and_then(|usage| Second::parse(&usage.as_of).ok())
            .map_or(!self.usage.is_empty(), |then| {
                // also where the clock was set back behind it
                !(0..self.refresh).contains(&state.now.since(then))
            });
        let untold = interim::is_untold(&new.namespaces, &self.quotas, is_calm);
        if stale || untold || new != *old {
            for namespace in &mut new.namespaces {
                namespace.quota = self.quotas.get(&namespace.name).cloned();
            }
            figures(&mut new, state, context, self.usage, self.used);
        }
        new
    }

    fn verdict(&self) -> (bool, String, String) {
        let suspended = self.suspended.as_ref().map(Suspended::sentence);
        if let Some(suspended) = suspended.filter(|_| self.phase_shown() == Phase::Suspended) {
            return (false, "Suspended".to_owned(), suspended);
        }
        if let Some(first) = self.refused.first() {
            return (false, "Refused".to_owned(), first.clone());
        }
        if let Some(first) = self.contested.first() {
            return (false, types::CONTESTED.to_owned(), first.clone());
        }
        if let Some(first) = self.waits.first() {
            return (false, "Waiting".to_owned(), first.clone());
        }
        match self.phase {
            Phase::Active => (
                true,
                "Active".to_owned(),
                match self.expired.first().or(self.expiring.as_ref()) {
                    Some(expired) => expired.clone(),
                    None => "everything that is leased is in place".to_owned(),
                },
            ),
            Phase::Released => (
                false,
                "Released".to_owned(),
                "the tenancy has ended; a new object of this name is a new tenancy".to_owned(),
            ),
            Phase::Requested
            | Phase::Refused
            | Phase::Approved
            | Phase::Provisioned
            | Phase::Changing
            | Phase::Expiring
            | Phase::Suspended
            | Phase::Reclaiming => (
                false,
                format!("{:?}", self.phase),
                "being worked on".to_owned(),
            ),
        }
    }

    fn phase_shown(&self) -> Phase {
        let nothing_stands = matches!(self.phase, Phase::Requested) && self.approved.is_empty();
        let stands = matches!(self.phase, Phase::Active | Phase::Changing);
        if nothing_stands && !self.refused.is_empty() {
            Phase::Refused
        } else if stands && self.suspended.is_some() {
            Phase::Suspended
        } else if self.phase == Phase::Active && self.expiring.is_some() {
            Phase::Expiring
        } else {
            self.phase
        }
    }
}

/// What is told of a failure. Nothing of one that says only that others were faster, that the server asks for fewer calls, is
/// away or gives no answer, and nothing of the ledger's: that concerns everybody, and is told by the operator's metrics.
fn failure(error: &Error) -> Option<String> {
    match error {
        Error::Kit(error)
            if error.is_conflict() || matches!(error.code(), None | Some(429 | 503 | 504)) =>
        {
            None
        }
        Error::Store(_) => None,
        Error::Kit(_) | Error::Canonical(_) | Error::Understand { .. } => {
            Some(format!("{}; it is tried again", told(error)))
        }
    }
}

/// Whether the status tells already of a failure for this reason, of what is asked for now.
fn is_told(status: &TenancyStatus, reason: &str, generation: Option<i64>) -> bool {
    let mut conditions = status.conditions.iter();
    let failed = conditions.find(|condition| condition.type_ == types::FAILED);
    failed.is_some_and(|failed| {
        failed.status == "True"
            && failed.reason == reason
            && failed.observed_generation == generation
    })
}

/// Adds what happened, and forgets what is older than the last [`HISTORY`] things.
fn remember(history: &mut Vec<HistoryEntry>, happened: Vec<HistoryEntry>) {
    history.extend(happened);
    let surplus = history.len().saturating_sub(HISTORY);
    history.drain(..surplus);
}

/// Tells of a new phase, of a refusal or a fight in other words than before, and of a term that is over.
async fn tell(tenancy: &Tenancy, old: &TenancyStatus, new: &TenancyStatus, context: &Context) {
    let kit = &context.kit;
    turns::tell(tenancy, old, new, context).await;
    // these two say what they have to say by their conditions
    let is_turn = matches!(new.phase, Phase::Expiring | Phase::Suspended);
    if (new.phase != old.phase || tenancy.status.is_none()) && !is_turn {
        let reason = format!("{:?}", new.phase);
        let note = said(new, types::READY).unwrap_or(&reason);
        kit.event(tenancy, EventType::Normal, &reason, "Reconcile", note)
            .await;
    }
    for type_ in [types::REFUSED, types::EXPIRED, types::CONTESTED] {
        let Some(note) = said(new, type_) else {
            continue;
        };
        if said(old, type_) != Some(note) {
            kit.event(tenancy, EventType::Warning, type_, rule_of(note), note)
                .await;
        }
    }
}

/// The rule that a sentence names: events of one reason and one action are counted as one, with the first one's words.
fn rule_of(sentence: &str) -> &str {
    let named = sentence
        .strip_prefix("rule ")
        .and_then(|rest| rest.split_once(':'));
    named.map_or("Reconcile", |(id, _)| id)
}

/// The message of a condition, where there is one.
pub fn said<'a>(status: &'a TenancyStatus, type_: &str) -> Option<&'a str> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.type_ == type_);
    found.map(|condition| condition.message.as_str())
}

fn flag(
    status: &mut TenancyStatus,
    type_: &str,
    sentences: &[String],
    reason: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let (conditions, message) = (&mut status.conditions, sentences.join("; "));
    conditions::flag(conditions, type_, reason, &message, generation, now);
}

/// The shares from which use is followed: those that this round has reached, or that were reached before. None where
/// nothing follows use.
fn followed(reached: Option<String>, state: &State, old: &TenancyStatus) -> Option<String> {
    reached
        .or_else(|| old.split.clone())
        .filter(|_| state.tenancy.spec.rebalance.is_some())
}

/// The namespaces with the figures that were last shown of them.
fn as_shown(mut found: Vec<NamespaceStatus>, old: &[NamespaceStatus]) -> Vec<NamespaceStatus> {
    for namespace in &mut found {
        let shown = old.iter().find(|known| known.name == namespace.name);
        namespace.quota = shown.and_then(|known| known.quota.clone());
    }
    found
}

fn figures(
    status: &mut TenancyStatus,
    state: &State,
    context: &Context,
    usage: Vec<ItemUsage>,
    used: Option<String>,
) {
    let zone = &state.policy.time_zone;
    status.usage = usage;
    status.used = used;
    if let Some(so_far) = context.figures.so_far(&state.department, &state.name) {
        status.period = Some(PeriodSoFar {
            name: so_far.period.clone(),
            gross_so_far: so_far.gross.to_string(),
            usage: so_far.usage(),
            as_of: so_far.as_of.in_zone(zone),
        });
    }
    status.credit_left = context
        .figures
        .credit_left(&state.department)
        .map(|left| left.to_string());
}

/// Writes that the tenancy waits for objects that do not exist yet, and what is ordered of it all the same, where that
/// could be found out.
pub async fn write_waiting(
    tenancy: &Tenancy,
    context: &Context,
    missing: &[String],
    ordered: Option<Report>,
) -> Result<(), Error> {
    let old = tenancy.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = tenancy.meta().generation;
    let mut waits = missing.to_vec();
    if let Some(report) = ordered {
        waits.extend(stopped(report, &old, &mut new, context.now()));
    }
    let message = waits.join("; ");
    let now = context.now().timestamp();
    conditions::clear(&mut new.conditions, types::FAILED);
    let ready = NewCondition {
        type_: types::READY,
        holds: false,
        reason: "Waiting",
        message: &message,
    };
    conditions::set(&mut new.conditions, &ready, tenancy.meta().generation, now);
    flag(
        &mut new,
        types::WAITING,
        &waits,
        "NotThereYet",
        tenancy.meta().generation,
        now,
    );
    if new != old || tenancy.status.is_none() {
        tracing::debug!(tenancy = tenancy.name_any(), message, "waits");
        turns::tell(tenancy, &old, &new, context).await;
        context
            .kit
            .patch_status(tenancy, tenancy.status.as_ref(), &new)
            .await?;
    }
    Ok(())
}

/// Puts what is ordered into a status of which nothing else is known anew; gives what is waited for besides.
fn stopped(
    report: Report,
    old: &TenancyStatus,
    new: &mut TenancyStatus,
    now: Second,
) -> Vec<String> {
    let told = report.suspended.as_ref().map(Suspended::sentence);
    new.phase = match (old.phase, told.is_some()) {
        (Phase::Active | Phase::Changing | Phase::Expiring, true) => Phase::Suspended,
        (Phase::Suspended, false) => Phase::Changing,
        (shown, _) => shown,
    };
    new.suspension = report.suspended.map(|suspended| suspended.shown);
    let (generation, sentences) = (new.observed_generation, Vec::from_iter(told));
    let at = now.timestamp();
    flag(new, types::SUSPENDED, &sentences, "Ordered", generation, at);
    let turned = turns::history(old, new, now);
    remember(&mut new.history, report.history);
    remember(&mut new.history, turned);
    report.waits
}

#[cfg(test)]
mod tests;
