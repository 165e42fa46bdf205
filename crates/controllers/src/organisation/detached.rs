//! Tenancies that the ledger bills although their object is gone.
//!
//! Whoever removes the definition of a kind removes all its objects, past every admission policy. That ends no lease:
//! quotas stand, billing goes on, and the department is told what to do.

use std::collections::BTreeSet;

use leasehold_api::names;
use leasehold_ledger::document::IncarnationDoc;
use leasehold_planner::request::LedgerView;

use crate::{Context, Error};

/// Names of the department's tenancies that are billed without an object, sorted.
pub async fn find(code: &str, context: &Context) -> Result<Vec<String>, Error> {
    let office = names::office_namespace(code);
    let known = context
        .books
        .store()
        .documents_under::<IncarnationDoc>(code)
        .await?;
    let absent: BTreeSet<String> = known
        .into_iter()
        .map(|recorded| recorded.value.tenancy)
        .filter(|tenancy| {
            context
                .world
                .tenancies
                .get(Some(&office), tenancy)
                .is_none()
        })
        .collect();
    let mut found = Vec::new();
    for tenancy in absent {
        if is_billed(&context.books.view(code, &tenancy).await?) {
            found.push(tenancy);
        }
    }
    Ok(found)
}

/// Whether a lease was provisioned and has not ended.
fn is_billed(view: &LedgerView) -> bool {
    view.effective().is_some() && !view.released()
}

/// What the department is told.
pub fn sentence(tenancies: &[String]) -> String {
    format!(
        "billed although the object is gone: {}; apply the tenancy again to go on with it, then release it if it is to end",
        tenancies.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        canonical::digest_bytes,
        document::{EffectiveDoc, ReleaseDoc, ReleaseStage, RequestDoc},
        time::Second,
    };

    use super::*;

    fn view(effective: bool, stages: &[ReleaseStage]) -> LedgerView {
        let at = Second::new(0);
        let (department, tenancy) = ("gov-office".to_owned(), "oa".to_owned());
        LedgerView {
            requests: vec![RequestDoc {
                department: department.clone(),
                tenancy: tenancy.clone(),
                incarnation: 1,
                request: 1,
                snapshot: serde_json::Value::Null,
                digest: digest_bytes(b"1"),
                requested_by: "zhang".to_owned(),
                at,
                quotation: None,
                funds: None,
            }],
            effective: effective
                .then(|| EffectiveDoc {
                    department: department.clone(),
                    tenancy: tenancy.clone(),
                    incarnation: 1,
                    request: 1,
                    not_before: at,
                    at,
                })
                .into_iter()
                .collect(),
            release: stages
                .iter()
                .map(|stage| ReleaseDoc {
                    department: department.clone(),
                    tenancy: tenancy.clone(),
                    incarnation: 1,
                    stage: *stage,
                    round: 0,
                    requested_by: "zhang".to_owned(),
                    at,
                    kept: Vec::new(),
                    backup: None,
                })
                .collect(),
            department,
            tenancy,
            ..LedgerView::default()
        }
    }

    #[test]
    fn a_lease_is_billed_from_its_provisioning_until_it_is_released() {
        assert!(!is_billed(&view(false, &[])));
        assert!(is_billed(&view(true, &[])));
        assert!(is_billed(&view(true, &[ReleaseStage::Requested])));
        assert!(!is_billed(&view(
            true,
            &[ReleaseStage::Requested, ReleaseStage::Released]
        )));
    }
}
