//! Numbered requests: what needs approval, what a department asks for now, and what follows.
//!
//! Every change of the approved part of a tenancy opens a request with a number that is never used
//! again. Applying the approved values again withdraws it; after a refusal, raising
//! `spec.request.attempt` asks again. What is provisioned is the snapshot of an approved request.
//! See `docs/explanation/requests.md`.

mod change;
mod check;
#[cfg(test)]
pub(crate) mod fixture;

use std::collections::BTreeMap;

use leasehold_api::{
    tenancy::{Budget, LeaseItem, TenancySpec, Term},
    text::{Code, Day, Label},
};
use leasehold_ledger::{
    canonical::{CanonicalError, Digest, digest_of},
    document::{
        AcceptanceDoc, Decision, DecisionDoc, DeliveredDoc, EffectiveDoc, IncarnationDoc,
        ReleaseDoc, ReleaseStage, RequestDoc,
    },
    money::{Unit, parse_quantity},
    time::Second,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use change::{
    AutoReason, Change, Direction, HOURS_OF_A_MONTH, Items, Prices, auto_approval, base_quantity,
    changes, direction, items_of, monthly, monthly_increase, shrinks,
};
pub use check::{LONGEST_TERM_MONTHS, RequestContext, validate};

/// What can go wrong with requests.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The snapshot of a request in the ledger is not one of ours.
    #[error("failed to read the snapshot of request {request} of {subject}; verify the ledger")]
    Snapshot {
        /// The tenancy.
        subject: String,
        /// Number of the request.
        request: u32,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The request cannot be written as JSON.
    #[error("failed to write the snapshot of a request")]
    Write(#[source] serde_json::Error),
    /// The digest could not be computed.
    #[error("failed to compute the digest of a request")]
    Canonical(#[from] CanonicalError),
}

/// The part of a tenancy that needs approval.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedPart {
    /// Name of the information system.
    pub system: Label,
    /// Name of the network zone.
    pub zone: Label,
    /// Name of the cloudlet.
    pub cloudlet: Label,
    /// First and last day.
    pub term: Term,
    /// Number of the contract.
    pub contract: Code,
    /// Budget that pays.
    pub budget: Budget,
    /// What is leased, by item; quantities as they were typed.
    pub lease: Vec<LeaseItem>,
}

impl ApprovedPart {
    /// The part of this manifest that needs approval, its items sorted.
    pub fn of(spec: &TenancySpec) -> Self {
        let mut lease = spec.lease.clone();
        lease.sort_by(|a, b| a.item.cmp(&b.item));
        Self {
            system: spec.system.clone(),
            zone: spec.zone.clone(),
            cloudlet: spec.cloudlet.clone(),
            term: spec.term.clone(),
            contract: spec.contract.clone(),
            budget: spec.budget.clone(),
            lease,
        }
    }

    /// Whether both ask for the same. The spelling of a quantity makes no difference: `2Ti` and
    /// `2048Gi` need no new approval.
    pub fn same_as(&self, other: &Self) -> bool {
        self.same_terms(other)
            && self.lease.len() == other.lease.len()
            && self
                .lease
                .iter()
                .zip(&other.lease)
                .all(|(a, b)| a.item == b.item && same_quantity(&a.quantity, &b.quantity))
    }

    /// Whether both agree in everything but the leased quantities.
    pub fn same_terms(&self, other: &Self) -> bool {
        self.system == other.system
            && self.zone == other.zone
            && self.cloudlet == other.cloudlet
            && self.term == other.term
            && self.contract == other.contract
            && self.budget == other.budget
    }
}

/// Quantities are compared as numbers; the finest unit first, the coarser one for what is too
/// large for it.
fn same_quantity(a: &str, b: &str) -> bool {
    a == b
        || [Unit::Core, Unit::Count].into_iter().any(|unit| {
            matches!((parse_quantity(a, unit), parse_quantity(b, unit)), (Ok(a), Ok(b)) if a == b)
        })
}

/// What a request asks for: the snapshot that is shown, decided and kept.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The part that needs approval.
    #[serde(flatten)]
    pub part: ApprovedPart,
    /// How often the department has asked again after a refusal.
    #[serde(default)]
    pub attempt: u32,
    /// First day of the change, if it shall not count as soon as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Day>,
}

impl Asked {
    /// What this manifest asks for.
    pub fn of(spec: &TenancySpec) -> Self {
        Self {
            part: ApprovedPart::of(spec),
            attempt: spec.request.attempt,
            effective_from: spec.effective_from.clone(),
        }
    }

    /// What a request of the ledger asked for.
    pub fn read(request: &RequestDoc) -> Result<Self, RequestError> {
        Self::deserialize(&request.snapshot).map_err(|source| RequestError::Snapshot {
            subject: format!("{}/{}", request.department, request.tenancy),
            request: request.request,
            source,
        })
    }

    /// The snapshot as the ledger keeps it.
    pub fn snapshot(&self) -> Result<Value, RequestError> {
        serde_json::to_value(self).map_err(RequestError::Write)
    }

    /// Digest of the snapshot: what an approval binds to.
    pub fn digest(&self) -> Result<Digest, RequestError> {
        Ok(digest_of(self)?)
    }
}

/// What the ledger knows of one tenancy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerView {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// The newest life of the name, if there was one.
    pub incarnation: Option<IncarnationDoc>,
    /// Requests of that life, by number.
    pub requests: Vec<RequestDoc>,
    /// Decisions of that life, by number of the request: the word that decided each.
    pub decisions: BTreeMap<u32, DecisionDoc>,
    /// All words of people and policy on requests of that life, by number; what follows from them are the decisions.
    pub words: BTreeMap<u32, Vec<DecisionDoc>>,
    /// Requests of that life that became the provisioned ones.
    pub effective: Vec<EffectiveDoc>,
    /// First requests of that life that were in place and had to be accepted.
    pub delivered: Vec<DeliveredDoc>,
    /// What was said of them, in order.
    pub acceptance: Vec<AcceptanceDoc>,
    /// How far the release of that life went.
    pub release: Vec<ReleaseDoc>,
}

impl LedgerView {
    /// The approved request with the highest number.
    pub fn approved(&self) -> Option<&RequestDoc> {
        self.requests
            .iter()
            .filter(|r| self.decision(r.request) == Some(Decision::Approved))
            .max_by_key(|r| r.request)
    }

    /// The last request, if it is not decided.
    pub fn open(&self) -> Option<&RequestDoc> {
        self.last().filter(|r| self.decision(r.request).is_none())
    }

    /// The provisioned request: the highest number whose quota stood.
    pub fn effective(&self) -> Option<&RequestDoc> {
        let number = self.effective.iter().map(|e| e.request).max()?;
        self.requests.iter().find(|r| r.request == number)
    }

    /// How many releases of this life were taken back.
    pub fn release_round(&self) -> u32 {
        let taken_back = self.release.iter();
        let rounds = taken_back.filter(|r| r.stage == ReleaseStage::TakenBack);
        u32::try_from(rounds.count()).unwrap_or(u32::MAX)
    }

    /// When the last release was taken back, if one was.
    pub fn taken_back_at(&self) -> Option<Second> {
        let stages = self.release.iter();
        let taken_back = stages.filter(|r| r.stage == ReleaseStage::TakenBack);
        taken_back.map(|r| r.at).max()
    }

    /// The release that was asked for and not taken back.
    pub fn release_asked(&self) -> Option<&ReleaseDoc> {
        let round = self.release_round();
        self.release
            .iter()
            .find(|r| r.stage == ReleaseStage::Requested && r.round == round)
    }

    /// Whether a release was asked for, and not taken back.
    pub fn releasing(&self) -> bool {
        self.release_asked().is_some()
    }

    /// Whether nothing is left of this life.
    pub fn released(&self) -> bool {
        self.release
            .iter()
            .any(|r| r.stage == ReleaseStage::Released)
    }

    /// The number that the next request gets.
    pub fn next_number(&self) -> u32 {
        self.last().map_or(0, |r| r.request).saturating_add(1)
    }

    /// What was decided on a request.
    pub fn decision(&self, request: u32) -> Option<Decision> {
        self.decisions.get(&request).map(|d| d.decision)
    }

    /// What a role has said of a request.
    pub fn word(&self, request: u32, role: &str) -> Option<&DecisionDoc> {
        let mut words = self.words.get(&request).into_iter().flatten();
        words.find(|word| word.role == role)
    }

    /// Draws from all words what was decided.
    pub fn settle(&mut self) {
        for request in &self.requests {
            let words = self.words.get(&request.request).map(Vec::as_slice);
            if let Some(settled) = request.settled(words.unwrap_or_default()) {
                self.decisions.insert(request.request, settled.clone());
            }
        }
    }

    fn last(&self) -> Option<&RequestDoc> {
        self.requests.iter().max_by_key(|r| r.request)
    }
}

/// What follows from a manifest and what the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestStep {
    /// It asks for what is approved.
    Same,
    /// It asks for what is approved, and another request waits: that one is withdrawn.
    Withdraw {
        /// Number of the waiting request.
        number: u32,
    },
    /// It asks for what waits for a decision.
    Waits {
        /// Number of the waiting request.
        number: u32,
    },
    /// It asks for what was rejected, and not again.
    Rejected {
        /// Number of the rejected request.
        number: u32,
        /// Why it was rejected.
        reason: String,
        /// Who rejected it.
        by: String,
    },
    /// It asks for something new.
    Open {
        /// Number of the new request.
        number: u32,
        /// What it asks for.
        asked: Box<Asked>,
        /// Digest of that.
        digest: Digest,
        /// The waiting request that it takes the place of.
        supersedes: Option<u32>,
    },
}

/// Decides what a manifest's approved part means.
///
/// An effective day counts as long as the request is open; once it is decided, changing the day
/// alone asks for nothing. A rejected part stays rejected until its attempt is raised or another
/// request was approved in between.
pub fn step(view: &LedgerView, asked: &Asked) -> Result<RequestStep, RequestError> {
    let approved = view.approved();
    let is_approved = match approved {
        Some(request) => Asked::read(request)?.part.same_as(&asked.part),
        None => false,
    };
    let mut supersedes = None;
    if let Some(open) = view.open() {
        let waiting = Asked::read(open)?;
        if waiting.part.same_as(&asked.part) && waiting.effective_from == asked.effective_from {
            return Ok(RequestStep::Waits {
                number: open.request,
            });
        }
        if is_approved {
            return Ok(RequestStep::Withdraw {
                number: open.request,
            });
        }
        supersedes = Some(open.request);
    }
    if is_approved {
        return Ok(RequestStep::Same);
    }
    if supersedes.is_none()
        && let Some(rejected) = standing_rejection(view, approved, asked)?
    {
        return Ok(rejected);
    }
    Ok(RequestStep::Open {
        number: view.next_number(),
        digest: asked.digest()?,
        asked: Box::new(asked.clone()),
        supersedes,
    })
}

/// The rejection of this very part since the last approval, unless the attempt was raised.
fn standing_rejection(
    view: &LedgerView,
    approved: Option<&RequestDoc>,
    asked: &Asked,
) -> Result<Option<RequestStep>, RequestError> {
    let since = approved.map_or(0, |r| r.request);
    let mut newest_first: Vec<&RequestDoc> =
        view.requests.iter().filter(|r| r.request > since).collect();
    newest_first.sort_by_key(|r| std::cmp::Reverse(r.request));
    for request in newest_first {
        let Some(decision) = view.decisions.get(&request.request) else {
            continue;
        };
        if decision.decision != Decision::Rejected {
            continue;
        }
        let before = Asked::read(request)?;
        if before.part.same_as(&asked.part) {
            let standing = asked.attempt <= before.attempt;
            return Ok(standing.then(|| RequestStep::Rejected {
                number: request.request,
                reason: decision.reason.clone(),
                by: decision.decided_by.clone(),
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
