//! Requests: numbered, quoted, recorded; decided by a person, by policy, or taken back.

use leasehold_api::{
    charging::{Approval, ApprovalSubject, DecisionSpec},
    tenancy::{
        InformationSystem, PendingChange, Phase, QuotationStatus, QuotedItem, RequestStatus,
    },
};
use leasehold_ledger::{
    document::{Decision, DecisionDoc, IncarnationDoc, RequestDoc},
    lot::LotState,
    money::{Money, format_quantity},
    quote::{Quotation, QuotedLine},
};
use leasehold_planner::{
    approval,
    request::{self, ApprovedPart, Asked, AutoReason, Change, RequestContext, RequestStep},
    rules::Refusal,
};
use leasehold_store::{Batch, Record};

use super::{
    decisions,
    funds::{self, Papers},
    limits,
    observe::State,
    report::Report,
    snapshots,
};
use crate::{
    Context, Error,
    books::{OFFICE, request_subject},
};

/// Attempts to decide by policy while other requests of the department are decided, and to open a request under a limit
/// while others are opened. Each time one of them succeeds, and there are as many at once as reconciles run.
const ATTEMPTS: usize = 64;
/// Steps that one round may take: withdraw, open, decide.
const STEPS: usize = 4;

/// Brings the ledger's record of requests up to what is asked for and what was decided.
pub async fn advance(
    state: &mut State,
    context: &Context,
    report: &mut Report,
) -> Result<(), Error> {
    for _ in 0..STEPS {
        let step = request::step(&state.view, &state.asked)
            .map_err(|error| Error::understand("the recorded requests", error))?;
        let moved = match step {
            RequestStep::Same => false,
            RequestStep::Withdraw { number } => withdraw(state, context, report, number).await?,
            // what is deleted and held asks for nothing more: provided, it would go past rule T12
            RequestStep::Open { .. } | RequestStep::Waits { .. }
                if state.tenancy.metadata.deletion_timestamp.is_some() =>
            {
                false
            }
            RequestStep::Waits { number } => decide(state, context, report, number).await?,
            RequestStep::Rejected { number, reason, by } => {
                report.refuse_decided(number, &reason, &by);
                false
            }
            RequestStep::Open {
                number,
                asked,
                digest,
                supersedes,
            } => {
                let request = RequestDoc {
                    department: state.department.clone(),
                    tenancy: state.name.clone(),
                    incarnation: state.incarnation(),
                    request: number,
                    snapshot: asked
                        .snapshot()
                        .map_err(|error| Error::understand("the requested lease", error))?,
                    digest,
                    requested_by: state.requested_by(),
                    at: state.now,
                    quotation: None,
                    funds: None,
                };
                open(
                    state,
                    context,
                    report,
                    Opening {
                        request,
                        asked: *asked,
                        supersedes,
                    },
                )
                .await?
            }
        };
        if !moved {
            break;
        }
        state.refresh(context).await?;
    }
    describe(state, report);
    Ok(())
}

struct Opening {
    request: RequestDoc,
    asked: Asked,
    supersedes: Option<u32>,
}

async fn withdraw(
    state: &State,
    context: &Context,
    report: &mut Report,
    number: u32,
) -> Result<bool, Error> {
    let Some(request) = state.view.requests.iter().find(|r| r.request == number) else {
        return Ok(false);
    };
    if decisions::came_first(state, context, report, request).await? {
        return Ok(true);
    }
    let decision = withdrawn(state, request, "the approved values were applied again");
    context.books.ensure(&decision, state.now).await?;
    report.happened(
        state,
        &state.requested_by(),
        &format!("request {number} withdrawn"),
    );
    Ok(true)
}

fn withdrawn(state: &State, request: &RequestDoc, reason: &str) -> DecisionDoc {
    DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: request_subject(request),
        role: OFFICE.to_owned(),
        approval_uid: None,
        decision: Decision::Withdrawn,
        decided_by: state.requested_by(),
        order_no: String::new(),
        reason: reason.to_owned(),
        auto: false,
        amount_monthly: None,
        department: Some(state.department.clone()),
        at: state.now,
    }
}

/// Validates, quotes and records a new request, with the policy's decision where it needs no person.
async fn open(
    state: &State,
    context: &Context,
    report: &mut Report,
    opening: Opening,
) -> Result<bool, Error> {
    let superseded = superseded(state, &opening);
    if let Some(old) = superseded
        && decisions::came_first(state, context, report, old).await?
    {
        return Ok(true);
    }
    let Some(system) = &state.system else {
        report.wait(format!(
            "InformationSystem {} does not exist yet; apply it in this namespace",
            state.tenancy.spec.system
        ));
        return Ok(false);
    };
    let credit = context.books.lots(&state.department).await?;
    let quotation = match validate(state, context, system, (credit.as_slice(), &opening.asked)) {
        Ok(quotation) => quotation,
        Err(refusals) => {
            report.refuse(&refusals);
            return Ok(false);
        }
    };
    let request = RequestDoc {
        funds: funds::asked(state, &opening.asked.part, &quotation)?,
        quotation: Some(
            serde_json::to_value(&quotation)
                .map_err(|error| Error::understand("the quotation", error))?,
        ),
        ..opening.request
    };
    let mut records = beginning(state)?;
    if let Some(old) = superseded {
        let reason = format!("superseded by request {}", request.request);
        records.push(Record::document(&withdrawn(state, old, &reason))?);
    }
    let part = &opening.asked.part;
    let monthly = quotation.monthly;
    let auto = match commit_request(state, context, &request, (part, monthly), records).await? {
        Ok(auto) => auto,
        Err(refusals) => {
            report.refuse(&refusals);
            return Ok(false);
        }
    };
    let what = format!("request {}: {}", request.request, summary(state, part));
    report.happened(state, &request.requested_by, &what);
    if let Some(decision) = auto {
        report.happened(
            state,
            &decision.decided_by,
            &format!("request {} approved: {}", request.request, decision.reason),
        );
    }
    Ok(true)
}

/// The waiting request that a new one takes the place of.
fn superseded<'a>(state: &'a State, opening: &Opening) -> Option<&'a RequestDoc> {
    let number = opening.supersedes?;
    state.view.requests.iter().find(|r| r.request == number)
}

/// The first record of a life, where this request begins it.
fn beginning(state: &State) -> Result<Vec<Record>, Error> {
    if state.view.incarnation.is_some() {
        return Ok(Vec::new());
    }
    let life = IncarnationDoc {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        incarnation: state.incarnation(),
        uid: state.tenancy.metadata.uid.clone().unwrap_or_default(),
        at: state.now,
    };
    Ok(vec![Record::document(&life)?])
}

/// Commits a request after these records, with the policy's decision where it needs no person, and then nobody of
/// finance either; or the refusals of limits that have no room for it. Both hold for what stood when it was read. Only
/// a decision on a tenancy of the department can raise what counts against its ceiling, and only a request what counts
/// against limits: so these make us read again when they come in between, and nothing else does.
async fn commit_request(
    state: &State,
    context: &Context,
    request: &RequestDoc,
    (part, monthly): (&ApprovedPart, Money),
    records: Vec<Record>,
) -> Result<Result<Option<DecisionDoc>, Vec<Refusal>>, Error> {
    let books = &context.books;
    for _ in 0..ATTEMPTS {
        let taken = match limits::check(state, context, part, monthly).await? {
            Ok(taken) => taken,
            Err(refusals) => return Ok(Err(refusals)),
        };
        let standing = books.standing(&state.department).await?;
        let decision = automatic(state, request, part, standing.monthly)?;
        let mut batch = Batch::of(records.clone());
        let mut request = request.clone();
        if decision.is_some() {
            request.funds = None;
        }
        batch.records.push(Record::document(&request)?);
        if let Some(decision) = &decision {
            batch.records.push(Record::document(decision)?);
            batch = standing.hold(batch);
        }
        if let Some(taken) = &taken {
            batch = taken.hold(batch);
        }
        if books.commit_held(batch, state.now).await? {
            return Ok(Ok(decision));
        }
    }
    Err(Error::understand(
        "the department's ceiling and limits",
        "another request was opened or decided at every attempt; it is tried again",
    ))
}

fn validate(
    state: &State,
    context: &Context,
    system: &InformationSystem,
    (credit, asked): (&[LotState], &Asked),
) -> Result<Quotation, Vec<Refusal>> {
    let part = &asked.part;
    let quotation = request::validate(
        asked,
        &RequestContext {
            today: state.policy.time_zone.date_of(state.now),
            zone: &state.zone.spec,
            cloudlet: &state.cloudlet.spec,
            system: &system.spec,
            catalogue: &state.catalogue,
            policy: &state.policy,
            credit,
        },
    )?;
    let items = state.items(part)?;
    leasehold_planner::quota::split(&state.tenancy.spec, part, &items)?;
    let unkept = snapshots::all_refused(state, context, &items);
    if !unkept.is_empty() {
        return Err(unkept);
    }
    limits::check_end(state, part)?;
    Ok(quotation)
}

/// The policy's own approval: of a decrease, or of what stays with all that stands below the department's ceiling.
fn automatic(
    state: &State,
    request: &RequestDoc,
    part: &ApprovedPart,
    standing: Money,
) -> Result<Option<DecisionDoc>, Error> {
    let old = approved_part(state)?;
    let changes = changes(state, old.as_ref(), part)?;
    let direction = request::direction(&changes, old.as_ref(), part);
    let increase = request::monthly_increase(&changes);
    let ceiling = Money::parse(&state.policy_object.spec.auto_approval.ceiling_monthly)
        .map_err(|error| Error::understand("autoApproval.ceilingMonthly", error))?;
    let Some(reason) = request::auto_approval(ceiling, standing, increase, direction) else {
        return Ok(None);
    };
    let reason_text = match reason {
        AutoReason::Decrease => "a decrease needs nobody's approval".to_owned(),
        AutoReason::UnderCeiling => format!(
            "{increase} a month on top of {standing} stays within the ceiling of {ceiling} for approvals without a person"
        ),
    };
    let amount = match reason {
        AutoReason::UnderCeiling => increase,
        AutoReason::Decrease => Money::ZERO,
    };
    Ok(Some(DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: request_subject(request),
        role: OFFICE.to_owned(),
        approval_uid: None,
        decision: Decision::Approved,
        decided_by: "CloudPolicy default".to_owned(),
        order_no: String::new(),
        reason: reason_text,
        auto: true,
        amount_monthly: Some(amount),
        department: Some(state.department.clone()),
        at: state.now,
    }))
}

/// What a lease changes against another.
pub fn changes(
    state: &State,
    old: Option<&ApprovedPart>,
    new: &ApprovedPart,
) -> Result<Vec<Change>, Error> {
    request::changes(old, new, &state.prices(new))
        .map_err(|refusal| Error::understand("the requested change", refusal))
}

/// The lease that was approved last.
pub fn approved_part(state: &State) -> Result<Option<ApprovedPart>, Error> {
    state.view.approved().map(part_of).transpose()
}

/// The lease that a recorded request asked for.
pub fn part_of(request: &RequestDoc) -> Result<ApprovedPart, Error> {
    Asked::read(request)
        .map(|asked| asked.part)
        .map_err(|error| Error::understand(format!("request {}", request_subject(request)), error))
}

fn summary(state: &State, part: &ApprovedPart) -> String {
    let old = approved_part(state).ok().flatten();
    match changes(state, old.as_ref(), part) {
        Ok(changes) if !changes.is_empty() => changes
            .iter()
            .map(|change| {
                format!(
                    "{} {} to {}",
                    change.item,
                    format_quantity(change.from, change.unit),
                    format_quantity(change.to, change.unit)
                )
            })
            .collect::<Vec<_>>()
            .join(", "),
        _ => "term, contract or budget changed".to_owned(),
    }
}

/// Writes the undecided Approval if it is not there, and records the decision once people have made it.
async fn decide(
    state: &State,
    context: &Context,
    report: &mut Report,
    number: u32,
) -> Result<bool, Error> {
    let Some(request) = state.view.requests.iter().find(|r| r.request == number) else {
        return Ok(false);
    };
    let part = part_of(request)?;
    let old = approved_part(state)?;
    let changes = changes(state, old.as_ref(), &part)?;
    let papers = Papers::known(state, context, request);
    report.waits_for(request, funds::turn(state, request, papers.as_ref()));
    let Some(papers) = papers else {
        let wanted = approval::tenancy_approval(
            request,
            &state.tenancy.metadata.uid.clone().unwrap_or_default(),
            &state.organisation.spec.display_name,
            &changes,
            &funds::checks(state, context, &part),
        )
        .map_err(|error| Error::understand("the approval to be written", error))?;
        create_once(context, &wanted).await?;
        return Ok(false);
    };
    if decisions::record(state, context, report, request, &papers).await? {
        return Ok(true);
    }
    funds::ask(state, context, report, (request, &changes), &papers).await?;
    Ok(false)
}

/// Creates an approval; one of the same name that is there already is the one that was meant.
pub async fn create_once(context: &Context, wanted: &Approval) -> Result<(), Error> {
    match context.kit.create(wanted).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a person decided on exactly this question, if it was decided by somebody else than the applicant.
pub fn decision_of(found: &Approval, asked: &ApprovalSubject) -> Option<DecisionDoc> {
    let spec = &found.spec;
    let decided_by = spec.decided_by.as_ref()?;
    if !is_same(&spec.subject, asked) || decided_by == &asked.requested_by {
        return None;
    }
    let decision = match spec.decision? {
        DecisionSpec::Approved => Decision::Approved,
        DecisionSpec::Rejected => Decision::Rejected,
    };
    Some(DecisionDoc {
        subject_kind: String::new(),
        subject: String::new(),
        role: String::new(),
        approval_uid: None,
        decision,
        decided_by: decided_by.to_string(),
        order_no: spec.order_no.as_deref().unwrap_or_default().to_owned(),
        reason: spec.reason.as_deref().unwrap_or_default().to_owned(),
        auto: false,
        amount_monthly: None,
        department: None,
        at: leasehold_ledger::time::Second::new(0),
    })
}

/// Whether both are one question. Which object asked is evidence and no part of it: one that was deleted and applied again
/// asks for the same. Number, digest and applicant tell questions of one life apart, and each life has names of its own.
fn is_same(one: &ApprovalSubject, other: &ApprovalSubject) -> bool {
    let but_uid = |subject: &ApprovalSubject| ApprovalSubject {
        uid: other.uid.clone(),
        ..subject.clone()
    };
    but_uid(one) == *other
}

/// Puts the standing request, its price and what it changes into the report.
fn describe(state: &State, report: &mut Report) {
    let standing = state.view.open().or_else(|| state.view.requests.last());
    let Some(request) = standing else { return };
    let decision = state.view.decisions.get(&request.request);
    report.request = Some(RequestStatus {
        number: request.request,
        digest: request.digest.to_string(),
        requested_by: request.requested_by.clone(),
        waiting_for: if decision.is_none() {
            funds::missing(request, report.turn)
        } else {
            Vec::new()
        },
        approval: report.approval.clone(),
        decision: decision.map_or_else(|| "Undecided".to_owned(), |d| format!("{:?}", d.decision)),
    });
    if let Some(quotation) = quotation_of(request) {
        report.quotation = Some(QuotationStatus {
            monthly: quotation.monthly.to_string(),
            term: quotation.term.to_string(),
            prices_through: quotation.prices_through.map(|day| day.to_string()),
            credit_monthly: quotation.credit_monthly.to_string(),
            book: quotation.books.join(", "),
            currency: quotation.currency.clone(),
            items: quotation.lines.into_iter().map(quoted).collect(),
        });
    }
    if decision.is_none() {
        report.pending = pending(state, request).unwrap_or_default();
        report.phase = if state.view.approved().is_some() {
            Phase::Changing
        } else {
            Phase::Requested
        };
    }
}

fn quoted(line: QuotedLine) -> QuotedItem {
    QuotedItem {
        item: line.item,
        display_name: line.display_name,
        quantity: line.quantity,
        unit: line.unit,
        unit_price: line.unit_price.to_string(),
        monthly: line.monthly.to_string(),
    }
}

/// The quotation of a recorded request.
pub fn quotation_of(request: &RequestDoc) -> Option<Quotation> {
    request
        .quotation
        .clone()
        .and_then(|value| serde_json::from_value(value).ok())
}

fn pending(state: &State, request: &RequestDoc) -> Option<Vec<PendingChange>> {
    let part = part_of(request).ok()?;
    let old = approved_part(state).ok()?;
    let changes = changes(state, old.as_ref(), &part).ok()?;
    Some(
        changes
            .iter()
            .map(|change| PendingChange {
                item: change.item.clone(),
                from: format_quantity(change.from, change.unit),
                to: format_quantity(change.to, change.unit),
                monthly: signed(change.monthly),
            })
            .collect(),
    )
}

fn signed(amount: Money) -> String {
    if amount.is_negative() {
        amount.to_string()
    } else {
        format!("+{amount}")
    }
}

#[cfg(test)]
mod tests;
