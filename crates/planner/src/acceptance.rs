//! The acceptance of a first lease by its department: what is in place, what was said of it, and what follows.
//!
//! Where the policy bills from the acceptance, the first request of a tenancy's life is *delivered* when its quotas
//! stand, and billed once it is accepted: by the department, or by itself at the instant that was promised with the
//! delivery. A rejection stands until the department accepts; nothing is accepted by itself meanwhile. Once a request of
//! the life is billed, later ones are not accepted separately. See `docs/adr/0019`.

use leasehold_api::{
    names::POLICY_NAME,
    platform::{AcceptancePolicy, BillingStarts},
    tenancy::Acceptance,
};
use leasehold_ledger::{
    document::{AcceptanceDoc, DeliveredDoc},
    time::Second,
};

use crate::{request::LedgerView, rules::Refusal};

/// Seconds of a day, whatever the clocks do.
const DAY: i64 = 86_400;
/// The life that a word is of which names none.
const FIRST: u32 = 1;

/// A first request that is in place and not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The delivery.
    pub delivered: &'a DeliveredDoc,
    /// Its rejection, if it was rejected.
    pub rejected: Option<&'a AcceptanceDoc>,
}

/// What is to be recorded of a delivery now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: nobody said anything, and it is not time yet.
    Waits,
    /// Nothing: the rejection stands.
    Rejected,
    /// This. If it accepts, the request is billed from its instant on.
    Record(AcceptanceDoc),
}

/// The delivery that waits to be accepted, if there is one: the last of a life of which nothing is billed yet.
pub fn delivery(view: &LedgerView) -> Option<Delivery<'_>> {
    if !view.effective.is_empty() {
        return None;
    }
    let delivered = view.delivered.iter().max_by_key(|d| d.request)?;
    let last = view
        .acceptance
        .iter()
        .rfind(|said| said.request == delivered.request);
    Some(Delivery {
        delivered,
        rejected: last.filter(|said| !said.accepted),
    })
}

/// What was given back and is neither accepted nor mended: the first of the words that say so. While it stands, nothing of
/// the tenancy runs, whatever else was asked for and approved meanwhile.
pub fn rejection(view: &LedgerView) -> Option<&AcceptanceDoc> {
    let known = delivery(view)?;
    known.rejected?;
    // no word on it accepts: that would be billed
    view.acceptance
        .iter()
        .find(|said| said.request == known.delivered.request)
}

/// Whether what is provisioned next has to be accepted before it is billed.
pub fn is_demanded(view: &LedgerView, policy: &AcceptancePolicy) -> bool {
    match policy.billing_starts {
        BillingStarts::Accepted => view.effective.is_empty(),
        BillingStarts::Provisioned => false,
    }
}

/// When what is recorded as delivered now counts as accepted by itself. Whatever the delay between what stood and its
/// record, nobody gets fewer days for it.
///
/// A change of a lease that waits to be accepted does not begin the days anew, or one could go on changing and never pay.
/// After a rejection they begin anew: what was mended is tried again.
pub fn until(view: &LedgerView, policy: &AcceptancePolicy, now: Second) -> Second {
    let days = i64::from(policy.auto_after_days);
    let fresh = now.plus(days.saturating_mul(DAY));
    match delivery(view) {
        Some(before) if before.rejected.is_none() => before.delivered.until.max(now),
        Some(_) | None => fresh,
    }
}

impl Delivery<'_> {
    /// What follows from what the department says, the policy and the time.
    ///
    /// A rejection that is seen late counts: the operator may have been away when it was written, and nobody pays for
    /// what was not there. An acceptance that is seen late counts from no later than the promised instant.
    pub fn step(
        &self,
        said: Option<&Acceptance>,
        by: &str,
        policy: &AcceptancePolicy,
        now: Second,
    ) -> Step {
        let until = self.delivered.until;
        if let Some(said) = said.filter(|said| self.is_meant_by(said)) {
            let reason = said.reason.as_ref().map_or("", |reason| reason.as_str());
            let repeated = self.rejected.is_some_and(|before| before.reason == reason);
            let at = match (said.accepted, self.rejected) {
                (false, Some(_)) if repeated => return Step::Rejected,
                (true, None) => now.min(until),
                (_, _) => now,
            };
            return Step::Record(self.word(said.accepted, by, reason, at));
        }
        if self.rejected.is_some() {
            return Step::Rejected;
        }
        let policy_says = |reason: &str, at| {
            let by = format!("CloudPolicy {POLICY_NAME}");
            Step::Record(self.word(true, &by, reason, at))
        };
        if now >= until {
            return policy_says("nobody rejected it in time", until);
        }
        match policy.billing_starts {
            BillingStarts::Accepted => Step::Waits,
            BillingStarts::Provisioned => policy_says("no acceptance is needed any more", now),
        }
    }

    /// Whether this is said of it: what was said of a request of an earlier life counts for no later one.
    fn is_meant_by(&self, said: &Acceptance) -> bool {
        life(said) == self.delivered.incarnation && said.request == self.delivered.request
    }

    fn word(&self, accepted: bool, by: &str, reason: &str, at: Second) -> AcceptanceDoc {
        let DeliveredDoc {
            department,
            tenancy,
            incarnation,
            request,
            ..
        } = self.delivered;
        AcceptanceDoc {
            department: department.clone(),
            tenancy: tenancy.clone(),
            incarnation: *incarnation,
            request: *request,
            accepted,
            by: by.to_owned(),
            reason: reason.to_owned(),
            at,
        }
    }

    /// Why what the department says is about nothing that waits for its word. What it said of a request before, and
    /// what was recorded of it, may stay in the manifest.
    pub fn misaddressed(&self, view: &LedgerView, said: Option<&Acceptance>) -> Option<Refusal> {
        let said = said.filter(|said| !self.is_meant_by(said))?;
        let (number, incarnation) = (self.delivered.request, self.delivered.incarnation);
        let (asked, life) = (said.request, life(said));
        if life != incarnation {
            return Some(Refusal::new(
                "T47",
                format!("an acceptance of request {asked} of incarnation {life}"),
                format!("one of request {number} of incarnation {incarnation}, which is in place"),
                format!(
                    "set spec.acceptance.request to {number} and spec.acceptance.incarnation to {incarnation}, or use leasehold accept"
                ),
            ));
        }
        let is_known = view.acceptance.iter().any(|d| d.request == asked);
        (!is_known).then(|| {
            Refusal::new(
                "T47",
                format!("an acceptance of request {asked}"),
                format!("one of request {number}, which is in place"),
                format!("set spec.acceptance.request to {number}, or use leasehold accept"),
            )
        })
    }
}

/// The life of the tenancy's name of which this is said.
fn life(said: &Acceptance) -> u32 {
    said.incarnation.unwrap_or(FIRST)
}

#[cfg(test)]
mod tests;
