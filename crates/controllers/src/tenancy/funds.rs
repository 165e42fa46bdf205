//! Whether there is money for what the office approves: the second question about a request, to finance.
//!
//! Finance is asked once the office has said yes, and not before: what the office refuses costs nothing, and the question
//! can name whose word it must not be. The ledger gets both words in one transaction, when the second is there: until then
//! the request waits, and may still be withdrawn.

use leasehold_api::{charging::Approval, platform::FundsReview};
use leasehold_ledger::{
    document::{Decision, FundsAsked, RequestDoc},
    quote::Quotation,
};
use leasehold_planner::{
    approval, funds,
    request::{ApprovedPart, Change},
};

use super::{
    decisions,
    observe::State,
    report::Report,
    requests::{approved_part, changes, create_once},
};
use crate::{
    Context, Error,
    books::{FINANCE, OFFICE},
    price_book::finance::take_back,
};

/// The Approvals of a request, as far as they are there.
pub struct Papers {
    /// The office's.
    pub office: Approval,
    /// Finance's, of a request for which there must be money.
    pub finance: Option<Approval>,
}

impl Papers {
    /// What the caches have; nothing while the office has not been asked.
    pub fn known(state: &State, context: &Context, request: &RequestDoc) -> Option<Self> {
        let (approvals, place) = (&context.world.approvals, state.office());
        let get = |name: &str| approvals.get(Some(&place), name);
        let office = get(&approval::request_approval_name(request))?;
        let asked = request.funds.as_ref();
        let finance = asked.and_then(|_| get(&approval::funds_approval_name(request)));
        Some(Self { office, finance })
    }

    /// The same, never from a cache.
    pub async fn fresh(
        state: &State,
        context: &Context,
        request: &RequestDoc,
    ) -> Result<Option<Self>, Error> {
        let place = state.office();
        let name = approval::request_approval_name(request);
        let office = context.kit.get::<Approval>(Some(&place), &name).await?;
        let Some(office) = office else {
            return Ok(None);
        };
        let finance = if request.funds.is_some() {
            let name = approval::funds_approval_name(request);
            context.kit.get::<Approval>(Some(&place), &name).await?
        } else {
            None
        };
        Ok(Some(Self { office, finance }))
    }
}

/// What finance has to confirm of a request that waits for people, by the policy of now.
pub fn asked(
    state: &State,
    part: &ApprovedPart,
    quotation: &Quotation,
) -> Result<Option<FundsAsked>, Error> {
    match state.policy_object.spec.review.funds {
        FundsReview::None => Ok(None),
        FundsReview::Finance => {
            let old = approved_part(state)?;
            let changes = changes(state, old.as_ref(), part)?;
            let is_needed = funds::needed(&changes, old.as_ref(), part);
            Ok(is_needed.then(|| funds::asked(part, quotation)))
        }
    }
}

/// Whose turn it is to decide, and on which Approval.
pub fn turn(
    state: &State,
    request: &RequestDoc,
    papers: Option<&Papers>,
) -> (&'static str, String) {
    let said = papers.and_then(|papers| decisions::word(state, request, &papers.office, OFFICE));
    let is_approved = said.is_some_and(|word| word.decision == Decision::Approved);
    if request.funds.is_some() && is_approved {
        (FINANCE, approval::funds_approval_name(request))
    } else {
        (OFFICE, approval::request_approval_name(request))
    }
}

/// Roles whose decision on a request is missing while it is `turn`'s turn.
pub fn missing(request: &RequestDoc, turn: Option<&str>) -> Vec<String> {
    let all = [OFFICE, FINANCE];
    let missing = match (turn, request.funds.is_some()) {
        (Some(FINANCE), true) => all.get(1..),
        (_, true) => all.get(..),
        (_, false) => all.get(..1),
    };
    let missing = missing.unwrap_or_default().iter();
    missing.map(|role| (*role).to_owned()).collect()
}

/// Names of the Approvals of a request, with the role that decides each.
pub fn names(request: &RequestDoc) -> Vec<(&'static str, String)> {
    let mut names = vec![(OFFICE, approval::request_approval_name(request))];
    if request.funds.is_some() {
        names.push((FINANCE, approval::funds_approval_name(request)));
    }
    names
}

/// Asks finance once the office has said yes, and says of an answer that does not count why not.
pub async fn ask(
    state: &State,
    context: &Context,
    report: &mut Report,
    (request, changes): (&RequestDoc, &[Change]),
    papers: &Papers,
) -> Result<(), Error> {
    let Some(office) = decisions::word(state, request, &papers.office, OFFICE) else {
        return Ok(());
    };
    let wanted = approval::funds_approval(
        request,
        &state.tenancy.metadata.uid.clone().unwrap_or_default(),
        &state.organisation.spec.display_name,
        changes,
        &office,
    );
    let wanted = wanted.map_err(|error| Error::understand("the question to finance", error))?;
    let Some(wanted) = wanted.filter(|_| office.decision == Decision::Approved) else {
        return Ok(());
    };
    let Some(found) = &papers.finance else {
        return create_once(context, &wanted).await;
    };
    let Err(refusal) = approval::funds_answer_counts(&found.spec, &office.decided_by) else {
        return Ok(());
    };
    if found.spec.decision.is_none() {
        // another person has given the office's word since, on a paper that was lost
        return take_back(found, context).await;
    }
    report.refuse(&[refusal]);
    Ok(())
}

/// Whether finance's Approval answers the question that follows from the office's word, which this person gave.
pub fn counts(found: &Approval, office: &str) -> bool {
    approval::funds_answer_counts(&found.spec, office).is_ok()
}

/// What whoever reviews a request wants to know beside what is asked, as far as it is known already.
pub fn checks(state: &State, context: &Context, part: &ApprovedPart) -> Vec<String> {
    let place = Some(state.office());
    let of_department = context.world.tenancies.select(|tenancy| {
        tenancy.metadata.namespace == place && tenancy.spec.system == part.system
    });
    let mut lines = approval::duplicates(part, &state.name, &of_department);
    if state.view.effective().is_some() {
        let status = state.tenancy.status.as_ref();
        let usage = status.map(|status| status.usage.as_slice());
        lines.extend(approval::used(usage.unwrap_or_default()));
    }
    lines
}
