//! A ledger in memory and what stands in it, for the tests of what is read by department.

use leasehold_ledger::{
    document::{Decision, DecisionDoc, IncarnationDoc, ReleaseDoc, ReleaseStage},
    time::Second,
};
use leasehold_store::{Record, Store};

use super::{Books, OFFICE};

/// When everything happens.
pub const AT: Second = Second::new(0);

/// An empty ledger.
pub async fn books() -> Books {
    let store = Store::in_memory().await.unwrap();
    Books::open(store, "cluster", AT).await.unwrap()
}

/// A tenancy's life begins.
pub fn life(department: &str, tenancy: &str, incarnation: u32) -> Record {
    let life = IncarnationDoc {
        department: department.to_owned(),
        tenancy: tenancy.to_owned(),
        incarnation,
        uid: format!("{tenancy}-{incarnation}"),
        at: AT,
    };
    Record::document(&life).unwrap()
}

/// The release of a tenancy of `edu` has come so far.
pub fn release(tenancy: &str, incarnation: u32, stage: ReleaseStage) -> Record {
    let release = ReleaseDoc {
        department: "edu".to_owned(),
        tenancy: tenancy.to_owned(),
        incarnation,
        stage,
        round: 0,
        requested_by: "zhang".to_owned(),
        at: AT,
        kept: Vec::new(),
        backup: None,
    };
    Record::document(&release).unwrap()
}

/// What the office decided on a request, e.g. `edu/oa/1/2`.
pub fn decision(subject: &str, decision: Decision) -> DecisionDoc {
    DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: subject.to_owned(),
        role: OFFICE.to_owned(),
        approval_uid: None,
        decision,
        decided_by: "wang".to_owned(),
        order_no: String::new(),
        reason: String::new(),
        auto: false,
        amount_monthly: None,
        department: None,
        at: AT,
    }
}
