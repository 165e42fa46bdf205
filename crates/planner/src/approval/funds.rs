//! The question to finance whether there is money for a request that the office has approved.

use leasehold_api::{
    charging::{Amounts, Approval, ApprovalSpec, DecisionRole},
    names::office_namespace,
};
use leasehold_ledger::document::{DecisionDoc, RequestDoc};

use super::{
    ApprovalError, change_lines, in_question, placed, quotation_lines, quotation_of, request_lines,
    stem, undecided,
};
use crate::{
    request::{Asked, Change},
    rules::Refusal,
};

/// Name of the question whether there is money for a request. No other question to finance ends so, whatever a tenancy is
/// called.
pub fn funds_approval_name(request: &RequestDoc) -> String {
    let stem = stem(&request.tenancy, request.incarnation);
    format!("{stem}-{}-funds", request.request)
}

/// The question whether there is money for a request to which the office has said yes with this word; none where nobody
/// has to confirm that. The budget and the amounts are those that were recorded with the request.
pub fn funds_approval(
    request: &RequestDoc,
    uid: &str,
    department_name: &str,
    changes: &[Change],
    office: &DecisionDoc,
) -> Result<Option<Approval>, ApprovalError> {
    let Some(funds) = &request.funds else {
        return Ok(None);
    };
    let asked = Asked::read(request)?;
    let quotation = quotation_of(request)?;
    let currency = quotation
        .as_ref()
        .map_or("CNY", |quotation| quotation.currency.as_str());
    let (budget, monthly, term) = (&funds.budget, funds.monthly, funds.term);
    let title = format!(
        "{} request {}: {monthly} a month from budget {budget}",
        request.tenancy, request.request
    );
    let order = match office.order_no.as_str() {
        "" => String::new(),
        order => format!(", {order}"),
    };
    let mut lines = vec![
        format!(
            "Confirm that budget {budget} has {monthly} {currency} a month, {term} {currency} for the term"
        ),
        format!("Approved for the office by {}{order}", office.decided_by),
    ];
    lines.extend(request_lines(request, department_name, &asked));
    lines.extend(change_lines(changes, currency));
    lines.extend(quotation.iter().flat_map(quotation_lines));
    let spec = ApprovalSpec {
        amounts: Some(Amounts {
            monthly: monthly.to_string().into(),
            term: term.to_string().into(),
        }),
        not_by: Some(office.decided_by.as_str().into()),
        ..undecided(
            DecisionRole::Finance,
            in_question(request, uid),
            &title,
            lines,
        )
    };
    Ok(Some(placed(
        &funds_approval_name(request),
        &office_namespace(&request.department),
        &request.department,
        Some(&request.tenancy),
        spec,
    )))
}

/// Whether finance's answer counts beside the yes that this person gave for the office. The API server holds it too.
pub fn funds_answer_counts(found: &ApprovalSpec, office: &str) -> Result<(), Refusal> {
    let by = found.decided_by.as_deref();
    let is_its = found.role == DecisionRole::Finance && found.not_by.as_deref() == Some(office);
    if is_its && by != Some(office) {
        return Ok(());
    }
    Err(Refusal::new(
        "T57",
        format!(
            "a word of finance on request {} of {} by {}",
            found.subject.request,
            found.subject.name,
            by.unwrap_or("nobody")
        ),
        format!("one by somebody else than {office}, who gave the office's, asked after it"),
        "change the lease or spec.effectiveFrom, which opens another request",
    ))
}

#[cfg(test)]
mod tests {
    use leasehold_api::charging::DecisionSpec;
    use leasehold_ledger::{
        document::{Decision, FundsAsked},
        money::Money,
    };

    use super::*;
    use crate::request::fixture;

    fn request() -> RequestDoc {
        let asked = fixture::asked(&[("vcpu-x86", "4")], "2027-08-31");
        RequestDoc {
            funds: Some(FundsAsked {
                budget: "30227".to_owned(),
                monthly: Money::from_minor(18_400),
                term: Money::from_minor(220_800),
            }),
            ..fixture::request("edu", 2, &asked)
        }
    }

    fn office() -> DecisionDoc {
        DecisionDoc {
            order_no: "黄政办〔2026〕12号".to_owned(),
            ..fixture::decided("edu", 2, Decision::Approved)
        }
    }

    fn question(request: &RequestDoc) -> Option<Approval> {
        funds_approval(request, "u-1", "教育局", &[], &office()).unwrap()
    }

    #[test]
    fn finance_reads_how_much_of_which_budget_and_who_approved_it() {
        let found = question(&request()).unwrap();
        assert_eq!(found.metadata.name.as_deref(), Some("oa-2-funds"));
        assert_eq!(found.metadata.namespace.as_deref(), Some("dept-edu"));
        let spec = found.spec;
        assert_eq!(spec.role, DecisionRole::Finance);
        assert_eq!(
            &*spec.title,
            "oa request 2: 184.00 a month from budget 30227"
        );
        let amounts = spec.amounts.unwrap();
        assert_eq!((&*amounts.monthly, &*amounts.term), ("184.00", "2208.00"));
        for line in [
            "Confirm that budget 30227 has 184.00 CNY a month, 2208.00 CNY for the term",
            "Approved for the office by wang@office, 黄政办〔2026〕12号",
            "Tenancy oa of edu (教育局), request 2",
        ] {
            let mut lines = spec.snapshot.lines();
            assert!(
                lines.any(|found| found == line),
                "{line}\nnot in\n{}",
                &*spec.snapshot
            );
        }
    }

    #[test]
    fn it_is_a_question_about_the_very_request_and_not_for_who_gave_the_first_word() {
        let request = request();
        let spec = question(&request).unwrap().spec;
        assert_eq!(&*spec.subject.digest, request.digest.as_str());
        assert_eq!(spec.subject.request, 2);
        assert_eq!(&*spec.subject.requested_by, "zhang@edu");
        assert_eq!(spec.not_by.as_deref(), Some("wang@office"));
    }

    #[test]
    fn nobody_is_asked_where_no_money_is_to_be_confirmed() {
        let request = RequestDoc {
            funds: None,
            ..request()
        };
        assert!(question(&request).is_none());
    }

    #[test]
    fn a_word_counts_from_another_person_on_the_question_that_was_put_after_the_offices_yes() {
        let mut spec = question(&request()).unwrap().spec;
        spec.decision = Some(DecisionSpec::Approved);
        let counts = |change: &dyn Fn(&mut ApprovalSpec)| {
            let mut spec = spec.clone();
            spec.decided_by = Some("qian@finance".into());
            change(&mut spec);
            funds_answer_counts(&spec, "wang@office")
        };
        assert_eq!(counts(&|_| {}), Ok(()));
        let wrong: [&dyn Fn(&mut ApprovalSpec); 4] = [
            &|spec| spec.decided_by = Some("wang@office".into()),
            &|spec| spec.not_by = None,
            &|spec| spec.not_by = Some("li@office".into()),
            &|spec| spec.role = DecisionRole::Office,
        ];
        for change in wrong {
            assert_eq!(counts(change).unwrap_err().rule, "T57");
        }
    }
}
