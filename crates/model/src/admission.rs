//! The part of the chart's admission policies that the operator cannot do without.
//!
//! Policies proper are tested on the real API server. Some of them write into objects what the operator reads: who asked
//! for something, who accepted it, who signed it off, and who decided (rule N06). One refusal is what the operator waits for when it starts: nobody writes
//! approvals but the operator, and undecided (rule A07).

use serde_json::Value;

use crate::{
    call::Call,
    object::{at, copy, set, text},
    refusal::Refusal,
    store::is_ending,
};

/// The operator's user, as the API server sees it.
pub const OPERATOR: &str = "system:serviceaccount:leasehold-system:leasehold";
/// Kinds whose authors are written down.
const ASKED_FOR: [&str; 4] = ["Tenancy", "HardwareContribution", "PriceBook", "Suspension"];
const ASKED_BY: [&str; 3] = [
    "metadata",
    "annotations",
    leasehold_api::names::REQUESTED_BY_ANNOTATION,
];
const ACCEPTED_BY: [&str; 3] = [
    "metadata",
    "annotations",
    leasehold_api::names::ACCEPTED_BY_ANNOTATION,
];
const ACCEPTANCE: [&str; 2] = ["spec", "acceptance"];
const SIGNED_OFF_BY: [&str; 3] = [
    "metadata",
    "annotations",
    leasehold_api::names::SIGNED_OFF_BY_ANNOTATION,
];
const SIGN_OFF: [&str; 2] = ["spec", "signOff"];
const DECISION: [&str; 2] = ["spec", "decision"];
const DECIDED_BY: [&str; 2] = ["spec", "decidedBy"];

/// Writes down who asked, who accepted, who signed off and who decided.
pub(crate) fn stamp(call: &Call, object: &mut Value, live: Option<&Value>) {
    if !call.kind.is_custom() || !call.subresource.is_empty() {
        return;
    }
    let author = || Value::String(call.user.clone());
    if ASKED_FOR.contains(&call.kind.kind.as_str()) {
        match live {
            None => set(object, &ASKED_BY, author()),
            Some(live) if call.user != OPERATOR && object.get("spec") != live.get("spec") => {
                set(object, &ASKED_BY, author());
            }
            Some(live) => copy(object, live, &ASKED_BY),
        }
    }
    if call.kind.kind == "Tenancy" {
        speaks(call, object, live, (&ACCEPTANCE, &ACCEPTED_BY));
        speaks(call, object, live, (&SIGN_OFF, &SIGNED_OFF_BY));
    }
    let Some(live) = live else { return };
    let decides = at(object, &DECISION).is_some() && at(live, &DECISION).is_none();
    if call.kind.kind == "Approval" && decides {
        set(object, &DECIDED_BY, author());
    }
}

/// Writes down who wrote this word in a manifest.
fn speaks(
    call: &Call,
    object: &mut Value,
    live: Option<&Value>,
    (word, by): (&[&str; 2], &[&str; 3]),
) {
    let author = || Value::String(call.user.clone());
    let said = at(object, word);
    match live {
        None if said.is_some() => set(object, by, author()),
        None => {}
        Some(live) if call.user != OPERATOR && said != at(live, word) => {
            set(object, by, author());
        }
        Some(live) => copy(object, live, by),
    }
}

/// Refuses approvals that somebody else writes, or that are written decided.
pub(crate) fn review(call: &Call, object: &Value, live: Option<&Value>) -> Result<(), Refusal> {
    let is_decided = at(object, &DECISION).is_some() || at(object, &DECIDED_BY).is_some();
    let is_paper = call.kind.kind == "Approval" && live.is_none();
    if is_paper && (call.user != OPERATOR || is_decided) {
        let why = "rule A07: approvals are written by leasehold alone, and undecided";
        let name = text(object, &["metadata", "name"]);
        return Err(Refusal::forbidden(&call.kind, name, why));
    }
    Ok(())
}

/// Refuses the end of an approval that is evidence, unless its namespace goes.
pub(crate) fn review_end(call: &Call, live: &Value) -> Result<(), Refusal> {
    if call.kind.kind != "Approval" || call.user == NAMESPACE_CONTROLLER || is_ending(live) {
        return Ok(());
    }
    let is_open = at(live, &DECISION).is_none();
    let is_recorded = at(live, &["status", "recordedAt"]).is_some();
    if call.user == OPERATOR && (is_open || is_recorded) {
        return Ok(());
    }
    let why = "rule A07: approvals are kept as evidence and cannot be deleted";
    Err(Refusal::forbidden(&call.kind, &call.name, why))
}

/// Who empties a namespace that ends.
pub(crate) const NAMESPACE_CONTROLLER: &str =
    "system:serviceaccount:kube-system:namespace-controller";
