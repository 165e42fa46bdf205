//! Suspensions: which orders are in force, which one is shown, what the ledger is told, and when
//! to look again.
//!
//! An order that has begun in a tenancy's life begins once and ends once. What has ended does not
//! come back: whoever wants it again writes another order, so that the ledger has both. An order
//! that came after the release has ended without a beginning.

use std::{cmp::Reverse, collections::BTreeSet};

use leasehold_api::{
    names::{POLICY_NAME, REQUESTED_BY_ANNOTATION},
    platform::{ExpiryPolicy, Suspension},
    text::Label,
};
use leasehold_ledger::{
    document::{SuspensionDoc, SuspensionStage},
    time::{LocalDate, Second, Zone},
};

use crate::{
    expiry,
    quota::{self, Hard, PODS},
    rules::Refusal,
};

/// An order that nothing of a tenancy runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Name of the Suspension object, or of the policy.
    pub name: String,
    /// Uid of that object, or what the ledger calls the policy's order.
    pub uid: String,
    /// Why.
    pub reason: String,
    /// Who ordered it, and the number of the paper.
    pub authority: String,
    /// Who wrote it, as the API server saw it.
    pub by: String,
    /// Last day, which is included; none if it lasts until it is lifted.
    pub until: Option<LocalDate>,
    /// Whether the policy gave it.
    pub is_policy: bool,
}

impl Order {
    /// The order that an object gives. A last day that does not exist ends nothing: the kind's own
    /// rule (U03) refuses it, and a slip must not lift what was ordered.
    pub fn of(object: &Suspension) -> Self {
        let metadata = &object.metadata;
        let spec = &object.spec;
        let stamp = metadata.annotations.as_ref();
        let by = stamp.and_then(|all| all.get(REQUESTED_BY_ANNOTATION));
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            reason: spec.reason.to_string(),
            authority: spec.authority.to_string(),
            by: by.cloned().unwrap_or_else(|| "unknown".to_owned()),
            until: spec
                .until
                .as_ref()
                .and_then(|day| LocalDate::parse(day).ok()),
            is_policy: false,
        }
    }

    /// The first instant after it; none if it has no last day.
    pub fn end(&self, zone: &Zone) -> Option<Second> {
        self.until.map(|day| zone.local_midnight(day.next_day()))
    }

    /// Later for what ends later; of two the office's own, then the one whose name comes first.
    fn rank(&self) -> (LocalDate, bool, Reverse<&str>) {
        (
            self.until.unwrap_or(LocalDate::MAX),
            !self.is_policy,
            Reverse(&self.name),
        )
    }
}

/// What orders are measured against.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Code of the department.
    pub department: &'a str,
    /// Name of the tenancy.
    pub tenancy: &'a str,
    /// Its information system.
    pub system: &'a str,
    /// Which life of its name, from 1.
    pub incarnation: u32,
    /// Whether nothing is left of that life.
    pub released: bool,
    /// Systems of the department that are never suspended.
    pub essential: &'a [Label],
    /// What the ledger has of suspensions of the name, in all its lives.
    pub records: &'a [SuspensionDoc],
    /// The office's time zone.
    pub zone: &'a Zone,
    /// Now.
    pub now: Second,
}

impl Circumstances<'_> {
    /// Whether the system is never suspended.
    pub fn is_essential(&self) -> bool {
        self.essential
            .iter()
            .any(|system| system.as_str() == self.system)
    }

    /// The record of a stage of this order in this life.
    pub fn record(&self, uid: &str, stage: SuspensionStage) -> Option<&SuspensionDoc> {
        self.records.iter().find(|document| {
            document.incarnation == self.incarnation
                && document.uid == uid
                && document.stage == stage
        })
    }

    fn has_ended(&self, uid: &str) -> bool {
        self.record(uid, SuspensionStage::Ended).is_some()
    }

    /// Since when an order in force has been so.
    fn since(&self, order: &Order) -> Second {
        let begun = self.record(&order.uid, SuspensionStage::Begun);
        begun.map_or(self.now, |document| document.at)
    }
}

/// What an order comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing may run.
    InForce,
    /// It has ended, or was never more than what has passed.
    Over,
    /// It breaks a rule and has no effect.
    Refused(Refusal),
}

/// What an order comes to now.
pub fn judge(order: &Order, around: &Circumstances<'_>) -> Verdict {
    if around.is_essential() {
        return Verdict::Refused(essential(around));
    }
    // the policy's orders are called by the term, which two lives may share
    let of_another_life = !order.is_policy
        && around.records.iter().any(|document| {
            document.uid == order.uid && document.incarnation != around.incarnation
        });
    let has_passed = order.end(around.zone).is_some_and(|end| end <= around.now);
    if of_another_life || around.released || has_passed {
        return Verdict::Over;
    }
    if around.has_ended(&order.uid) {
        return Verdict::Refused(ended(order));
    }
    Verdict::InForce
}

fn essential(around: &Circumstances<'_>) -> Refusal {
    let Circumstances {
        department,
        tenancy,
        system,
        ..
    } = around;
    let list: Vec<&str> = around.essential.iter().map(Label::as_str).collect();
    Refusal::new(
        "T40",
        format!("a suspension of tenancy {tenancy} of the essential system {system}"),
        format!(
            "tenancies of systems of {department} other than {}",
            list.join(", ")
        ),
        format!(
            "delete the suspension; if {system} is not essential, take it out of spec.essentialSystems of Department {department} first"
        ),
    )
}

fn ended(order: &Order) -> Refusal {
    let asked = match order.until {
        Some(day) => format!("suspension {} on through {day}", order.name),
        None => format!("suspension {} on until it is lifted", order.name),
    };
    Refusal::new(
        "T42",
        asked,
        "nothing more, because it has ended",
        "delete it and order another suspension",
    )
}

/// The refusal of an order that is not in an office namespace.
pub fn out_of_place(namespace: &str) -> Refusal {
    Refusal::new(
        "T41",
        format!("a suspension in namespace {namespace}"),
        "the office namespace of the department whose tenancy it names",
        "apply it in dept-CODE",
    )
}

/// The policy's own order, if the term is over for longer than the policy allows.
///
/// Not of an essential system, nor of a tenancy that its department gives back. It ends with the
/// reason for it: the term is extended, the release is asked for, the policy changes.
pub fn by_policy(
    through: LocalDate,
    releasing: bool,
    policy: &ExpiryPolicy,
    around: &Circumstances<'_>,
) -> Option<Order> {
    let from = expiry::suspended_from(through, policy)?;
    if around.zone.date_of(around.now) < from || releasing || around.is_essential() {
        return None;
    }
    let author = format!("CloudPolicy {POLICY_NAME}");
    Some(Order {
        name: author.clone(),
        uid: uid_of_policy(through, around),
        reason: format!("term ended on {through}"),
        authority: author.clone(),
        by: author,
        until: None,
        is_policy: true,
    })
}

/// What the ledger calls the policy's order: each that comes after one that has ended is another.
fn uid_of_policy(through: LocalDate, around: &Circumstances<'_>) -> String {
    let first = format!("expiry-{through}");
    let mut uid = first.clone();
    let mut number = 1_u32;
    while around.has_ended(&uid) {
        number = number.saturating_add(1);
        uid = format!("{first}-{number}");
    }
    uid
}

/// What follows from all orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Of those in force the one that ends last, and since when it has been in force.
    pub shown: Option<(Order, Second)>,
    /// Since when nothing may run: the longest of those in force.
    pub since: Option<Second>,
    /// What the ledger does not have yet.
    pub documents: Vec<SuspensionDoc>,
    /// The next instant at which an order ends by itself.
    pub next: Option<Second>,
}

/// Finds out what is in force, and what the ledger is to be told of it.
pub fn plan(orders: &[Order], around: &Circumstances<'_>) -> Plan {
    let in_force: Vec<&Order> = orders
        .iter()
        .filter(|order| judge(order, around) == Verdict::InForce)
        .collect();
    let mut documents: Vec<SuspensionDoc> = in_force
        .iter()
        .filter(|order| around.record(&order.uid, SuspensionStage::Begun).is_none())
        .map(|order| begins(order, around))
        .collect();
    let running: BTreeSet<&str> = in_force.iter().map(|order| order.uid.as_str()).collect();
    let open = around.records.iter().filter(|document| {
        document.incarnation == around.incarnation
            && document.stage == SuspensionStage::Begun
            && !around.has_ended(&document.uid)
            && !running.contains(document.uid.as_str())
    });
    documents.extend(open.map(|begun| ends(begun, orders, around)));
    documents.extend(too_late(orders, around));
    let shown = in_force.iter().max_by(|a, b| a.rank().cmp(&b.rank()));
    Plan {
        shown: shown.map(|order| ((*order).clone(), around.since(order))),
        since: in_force.iter().map(|order| around.since(order)).min(),
        documents,
        next: in_force
            .iter()
            .filter_map(|order| order.end(around.zone))
            .min(),
    }
}

fn begins(order: &Order, around: &Circumstances<'_>) -> SuspensionDoc {
    SuspensionDoc {
        department: around.department.to_owned(),
        tenancy: around.tenancy.to_owned(),
        incarnation: around.incarnation,
        name: order.name.clone(),
        uid: order.uid.clone(),
        stage: SuspensionStage::Begun,
        reason: order.reason.clone(),
        authority: order.authority.clone(),
        until: order.until,
        by: order.by.clone(),
        at: around.now,
    }
}

/// Orders that nobody knows and that came after the release. The next life of the name must not fall under what was meant
/// for this one, so each has ended with it, without ever having begun.
fn too_late(orders: &[Order], around: &Circumstances<'_>) -> Vec<SuspensionDoc> {
    let came = orders.iter().filter(|order| {
        let is_known = around.records.iter().any(|known| known.uid == order.uid);
        around.released && !order.is_policy && !is_known
    });
    came.map(|order| SuspensionDoc {
        stage: SuspensionStage::Ended,
        ..begins(order, around)
    })
    .collect()
}

/// The end of what had begun. Where the order is still there, with the last day that it has by now
/// and who wrote that.
fn ends(begun: &SuspensionDoc, orders: &[Order], around: &Circumstances<'_>) -> SuspensionDoc {
    let order = orders.iter().find(|order| order.uid == begun.uid);
    SuspensionDoc {
        stage: SuspensionStage::Ended,
        until: order.map_or(begun.until, |order| order.until),
        by: order.map_or_else(|| begun.by.clone(), |order| order.by.clone()),
        at: around.now,
        ..begun.clone()
    }
}

/// The quota with as many pods as it shall have: none while nothing may run, and otherwise as many
/// as go with its share of the lease. None if it has them already, or does not count pods.
pub fn turned(hard: &Hard, suspended: bool) -> Option<Hard> {
    let pods = hard.get(PODS).copied()?;
    let right = if suspended { pods == 0 } else { pods > 0 };
    if right {
        return None;
    }
    let mut turned = hard.clone();
    let pods = if suspended { 0 } else { quota::pods_of(hard) };
    turned.insert(PODS.to_owned(), pods);
    Some(turned)
}

#[cfg(test)]
mod tests;
