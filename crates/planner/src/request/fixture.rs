//! What the ledger has of the first life of a tenancy `oa`, for the tests of everything that reads it.

use leasehold_ledger::{
    document::{Decision, DecisionDoc, EffectiveDoc, RequestDoc},
    time::Second,
};
use serde_json::{Value, json};

use super::Asked;

/// When everything happens.
pub const AT: Second = Second::new(0);

/// A snapshot of this lease until this day.
pub fn asked(lease: &[(&str, &str)], through: &str) -> Asked {
    let lease: Vec<Value> = lease
        .iter()
        .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
        .collect();
    serde_json::from_value(json!({
        "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
        "term": {"from": "2026-09-01", "through": through},
        "contract": "HS-1", "budget": {"code": "30227"}, "lease": lease,
    }))
    .unwrap()
}

/// A request that nobody has quoted.
pub fn request(department: &str, number: u32, asked: &Asked) -> RequestDoc {
    RequestDoc {
        department: department.to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: number,
        snapshot: asked.snapshot().unwrap(),
        digest: asked.digest().unwrap(),
        requested_by: format!("zhang@{department}"),
        at: AT,
        quotation: None,
        funds: None,
    }
}

/// What the office decided on a request.
pub fn decided(department: &str, number: u32, decision: Decision) -> DecisionDoc {
    DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: format!("{department}/oa/1/{number}"),
        role: "office".to_owned(),
        approval_uid: None,
        decision,
        decided_by: "wang@office".to_owned(),
        order_no: String::new(),
        reason: String::new(),
        auto: false,
        amount_monthly: None,
        department: None,
        at: AT,
    }
}

/// That a request stands.
pub fn effective(department: &str, number: u32) -> EffectiveDoc {
    EffectiveDoc {
        department: department.to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: number,
        not_before: AT,
        at: AT,
    }
}
