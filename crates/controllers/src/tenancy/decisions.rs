//! What people have decided on requests, brought into the ledger.
//!
//! A person may decide in the moment in which the request goes away: the approved values are applied again, another
//! request takes its place, the release is asked for. Whoever signed a paper is never passed over in silence, so the
//! decision is recorded before the request is taken back, and what was decided stands. What comes later than that is told
//! on the approval (`answers`).

use leasehold_api::charging::{Approval, ApprovalSubject, SubjectOfDecision};
use leasehold_ledger::document::{Decision, DecisionDoc, RequestDoc};
use leasehold_store::Record;

use super::{
    funds::{self, Papers},
    observe::State,
    report::Report,
    requests::decision_of,
};
use crate::{
    Context, Error,
    books::{FINANCE, OFFICE, request_subject},
};

/// Records what people have decided on a request, once whoever has to has decided. Tells whether that is so.
pub async fn record(
    state: &State,
    context: &Context,
    report: &mut Report,
    request: &RequestDoc,
    papers: &Papers,
) -> Result<bool, Error> {
    let words = words(state, request, papers);
    if request.settled(&words).is_none() {
        return Ok(false);
    }
    let words = ensure(state, context, words).await?;
    if request.settled(&words).is_none() {
        return Ok(false);
    }
    for said in &words {
        report.happened(state, &said.decided_by, &happened(request, said));
    }
    Ok(true)
}

/// What the history remembers of a word.
fn happened(request: &RequestDoc, said: &DecisionDoc) -> String {
    let is_one_of_two = request.funds.is_some() && said.decision == Decision::Approved;
    if is_one_of_two && said.role == FINANCE {
        return format!("request {}: there is money for it", request.request);
    }
    if is_one_of_two {
        return format!("request {}: approved by the office", request.request);
    }
    let verb = match said.decision {
        Decision::Approved => "approved",
        Decision::Rejected => "rejected",
        Decision::Withdrawn => "withdrawn",
    };
    format!("request {} {verb}", request.request)
}

/// What a person has said of a request for a role, if that counts.
pub fn word(
    state: &State,
    request: &RequestDoc,
    found: &Approval,
    role: &str,
) -> Option<DecisionDoc> {
    let said = decision_of(found, &subject(request))?;
    Some(DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: request_subject(request),
        role: role.to_owned(),
        approval_uid: found.metadata.uid.clone(),
        department: Some(state.department.clone()),
        at: state.now,
        ..said
    })
}

/// All that was said of a request. Finance's word is one on what the office has approved, with the amount that it
/// confirms.
fn words(state: &State, request: &RequestDoc, papers: &Papers) -> Vec<DecisionDoc> {
    let Some(office) = word(state, request, &papers.office, OFFICE) else {
        return Vec::new();
    };
    let paper = papers.finance.as_ref();
    let paper = paper.filter(|found| funds::counts(found, &office.decided_by));
    let finance = paper.and_then(|found| word(state, request, found, FINANCE));
    let finance = finance.map(|said| DecisionDoc {
        amount_monthly: request.funds.as_ref().map(|funds| funds.monthly),
        ..said
    });
    let second = finance.filter(|_| office.decision == Decision::Approved);
    [office].into_iter().chain(second).collect()
}

/// Writes what of these is not in the ledger yet, in one transaction; gives what it has then.
async fn ensure(
    state: &State,
    context: &Context,
    words: Vec<DecisionDoc>,
) -> Result<Vec<DecisionDoc>, Error> {
    let (mut all, mut records) = (Vec::new(), Vec::new());
    for word in words {
        let books = &context.books;
        let known = books.decision(&word.subject_kind, &word.subject, &word.role);
        if let Some(known) = known.await? {
            all.push(known);
        } else {
            records.push(Record::document(&word)?);
            all.push(word);
        }
    }
    if !records.is_empty() {
        context.books.commit(records, state.now).await?;
    }
    Ok(all)
}

/// What an approval of the request is about. Of which object does not matter to an answer.
fn subject(request: &RequestDoc) -> ApprovalSubject {
    ApprovalSubject {
        kind: SubjectOfDecision::Tenancy,
        name: request.tenancy.as_str().into(),
        uid: "".into(),
        request: request.request,
        digest: request.digest.as_str().into(),
        requested_by: request.requested_by.as_str().into(),
    }
}

/// Records what was decided on a request that is about to be taken back. Tells whether anything was: then it is not
/// taken back.
pub async fn came_first(
    state: &State,
    context: &Context,
    report: &mut Report,
    request: &RequestDoc,
) -> Result<bool, Error> {
    // never from a cache: what was decided a moment ago counts
    match Papers::fresh(state, context, request).await? {
        Some(papers) => record(state, context, report, request, &papers).await,
        None => Ok(false),
    }
}

/// While a tenancy is released nothing new is asked or decided, but what was decided on what was asked before is recorded.
pub async fn settle(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    let Some(open) = state.view.open() else {
        return Ok(());
    };
    let Some(papers) = Papers::known(state, context, open) else {
        return Ok(());
    };
    if record(state, context, report, open, &papers).await? {
        state.refresh(context).await?;
    }
    Ok(())
}
