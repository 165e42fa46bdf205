//! Gaps that finance accepts by an Approval, so that a period can close by itself.
//!
//! One question stands for all gaps of a period that nobody has accepted; it is asked anew when another one is found, and
//! those that are found after a decision are the next question. A rehearsal closes over gaps and asks nobody.

use std::collections::BTreeSet;

use kube::ResourceExt;
use leasehold_api::charging::{Approval, GapTreatmentSpec};
use leasehold_ledger::{
    document::{
        Decision, DecisionDoc, Document, GapAcceptedDoc, GapDoc, GapTreatment, PeriodOpenDoc,
    },
    policy::EstimateBound,
    time::Second,
};
use leasehold_planner::{
    approval::{GapQuestion, gap_approval, listed_first},
    gaps::known_ends,
};
use leasehold_store::{FactFilter, Record, Recorded};

use super::{
    calendar::Calendar,
    gaps::{self, Accepted},
    questions,
};
use crate::{
    Context, Error,
    price_book::finance::{self, Answer},
};

/// Asks finance about the gaps that nobody has accepted, and records what it has said.
pub async fn heed(
    context: &Context,
    calendar: &Calendar,
    gaps: &[GapDoc],
    now: Second,
) -> Result<Accepted, Error> {
    let store = context.books.store();
    let mut accepted = Accepted {
        namespace: context.settings.namespace.clone(),
        ..Accepted::default()
    };
    for recorded in store.documents::<GapAcceptedDoc>(None, None).await? {
        accepted.known.insert(recorded.value.key(), recorded.value);
    }
    // a gap that touches two periods is asked about once, with the earlier one
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for open in calendar.unclosed() {
        if open.period.rehearsal() {
            continue;
        }
        let touching: Vec<&GapDoc> = gaps
            .iter()
            .filter(|gap| gaps::touches(&open.period, gap))
            .collect();
        let waiting: Vec<&GapDoc> = touching
            .iter()
            .copied()
            .filter(|gap| !accepted.has(gap) && asked.insert(gap.key()))
            .collect();
        tend(context, open, [&touching, &waiting], &mut accepted, now).await?;
    }
    let unclosed: BTreeSet<&str> = calendar
        .unclosed()
        .map(|open| open.period.name.as_str())
        .collect();
    questions::end_of_others(context, &unclosed, now).await?;
    Ok(accepted)
}

/// Looks after the question about one period: of the gaps that touch it, those that wait for somebody to accept them.
async fn tend(
    context: &Context,
    open: &PeriodOpenDoc,
    [touching, waiting]: [&[&GapDoc]; 2],
    accepted: &mut Accepted,
    now: Second,
) -> Result<(), Error> {
    let name = &open.period.name;
    let decided = questions::decided(context, name).await?;
    let number = questions::number(context, name, &decided);
    if waiting.is_empty() {
        let asked = questions::asked(context, name, number);
        let Some(found) = asked else { return Ok(()) };
        return questions::end(&found, questions::NOTHING_LEFT, context, now).await;
    }
    let Some(wanted) = question(context, open, number, waiting).await? else {
        return Ok(());
    };
    if was_rejected(&decided, &wanted) {
        return Ok(());
    }
    let (found, part): (_, Vec<&GapDoc>) = match finance::ask(&wanted, context).await? {
        Answer::Waits => {
            let asked = waiting.iter().map(|gap| (gap.key(), wanted.name_any()));
            accepted.asked.extend(asked);
            return Ok(());
        }
        Answer::Decided(found) => (found, waiting.to_vec()),
        // somebody decided before the last of them were found: that decision counts for those that it listed
        Answer::Outdated(found) => {
            let known = known_by(touching, &found, accepted);
            let part = listed(&known, &found)?;
            let left = part.iter().copied().filter(|gap| !accepted.has(gap));
            let part = left.collect();
            (found, part)
        }
    };
    if part.is_empty() {
        return questions::end(&found, questions::OTHERS, context, now).await;
    }
    record(context, open, &part, &found, accepted, now).await
}

/// The gaps that may have been asked about when a question was written: those that had been accepted by then were not.
fn known_by<'a>(
    touching: &[&'a GapDoc],
    question: &Approval,
    accepted: &Accepted,
) -> Vec<&'a GapDoc> {
    let written = question.creation_timestamp();
    let written = written.map(|time| Second::from_timestamp(time.0));
    let was_open = |gap: &&&GapDoc| {
        let known = accepted.known.get(&gap.key());
        known.is_none_or(|known| written.is_some_and(|written| known.at > written))
    };
    touching.iter().filter(was_open).copied().collect()
}

/// The question about these gaps; none while the period's object is not there.
async fn question(
    context: &Context,
    open: &PeriodOpenDoc,
    number: u32,
    gaps: &[&GapDoc],
) -> Result<Option<Approval>, Error> {
    let period = &open.period;
    let Some(object) = context.world.periods.get(None, &period.name) else {
        return Ok(None);
    };
    let question = GapQuestion {
        period,
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        number,
        gaps,
        bound: bound(context).await?,
        namespace: &context.settings.namespace,
    };
    gap_approval(&question)
        .map(Some)
        .map_err(|error| Error::understand("the approval to be written", error))
}

/// Which bound of an estimate the policy bills.
async fn bound(context: &Context) -> Result<EstimateBound, Error> {
    let policy = context.books.policy().await?;
    Ok(policy.map_or(EstimateBound::Lower, |policy| policy.estimate_bound))
}

/// Whether finance has said no to exactly this.
fn was_rejected(decided: &[Recorded<DecisionDoc>], wanted: &Approval) -> bool {
    let digest: &str = &wanted.spec.subject.digest;
    decided.iter().any(|found| {
        found.value.decision == Decision::Rejected && found.value.subject.ends_with(digest)
    })
}

/// The gaps that a question listed, to which further ones may have come since: as many of the first as give its digest. The
/// object of the period may have been made anew since.
fn listed<'a, 'g>(known: &'a [&'g GapDoc], found: &Approval) -> Result<&'a [&'g GapDoc], Error> {
    let count = listed_first(&found.spec.subject.digest, known)
        .map_err(|error| Error::understand("the gaps that were asked about", error))?;
    Ok(count.and_then(|count| known.get(..count)).unwrap_or(&[]))
}

/// Records a decision with what follows from it, in one transaction.
async fn record(
    context: &Context,
    open: &PeriodOpenDoc,
    gaps: &[&GapDoc],
    found: &Approval,
    accepted: &mut Accepted,
    now: Second,
) -> Result<(), Error> {
    if let Err(refusal) = finance::check(found) {
        return finance::mark_refused(found, &refusal.to_string(), context).await;
    }
    let about = &found.spec.subject;
    let subject = format!("{}/{}/{}", open.period.name, about.request, about.digest);
    let Some(decision) = finance::decision(found, subject, None, now) else {
        return Ok(());
    };
    let mut records = vec![Record::document(&decision)?];
    let mut documents = Vec::new();
    if decision.decision == Decision::Approved {
        let treatment = treatment(found);
        for gap in gaps {
            documents.push(acceptance(open, gap, treatment, &decision, now));
        }
        if treatment == GapTreatment::Accepted {
            records.extend(up_to_what_is_known(context, gaps).await?);
        }
    }
    for document in &documents {
        records.push(Record::document(document)?);
    }
    context.books.commit(records, now).await?;
    let by = &decision.decided_by;
    tracing::info!(period = open.period.name, by, gaps = documents.len(), decision = ?decision.decision, "gaps were decided");
    let known = documents
        .into_iter()
        .map(|document| (document.key(), document));
    accepted.known.extend(known);
    let (name, uid) = (found.name_any(), found.uid().unwrap_or_default());
    finance::mark_recorded(&accepted.namespace, &name, &uid, now, context).await
}

/// What finance chose; without a word, what is known.
fn treatment(found: &Approval) -> GapTreatment {
    match found.spec.treatment {
        Some(GapTreatmentSpec::Estimate) => GapTreatment::Estimated,
        Some(GapTreatmentSpec::Accept) | None => GapTreatment::Accepted,
    }
}

fn acceptance(
    open: &PeriodOpenDoc,
    gap: &GapDoc,
    treatment: GapTreatment,
    decision: &DecisionDoc,
    now: Second,
) -> GapAcceptedDoc {
    GapAcceptedDoc {
        gap: gap.key(),
        source: gap.source.clone(),
        period: open.period.name.clone(),
        treatment,
        decided_by: decision.decided_by.clone(),
        order_no: decision.order_no.clone(),
        approval_uid: decision.approval_uid.clone().unwrap_or_default(),
        at: now,
    }
}

/// Ends that were billed beyond what is known. Under a policy that bills the lower bound there are none, and the facts,
/// which may be many, are not read.
async fn up_to_what_is_known(context: &Context, gaps: &[&GapDoc]) -> Result<Vec<Record>, Error> {
    if bound(context).await? == EstimateBound::Lower {
        return Ok(Vec::new());
    }
    let store = context.books.store();
    let recorded = store.facts(&FactFilter::default()).await?;
    let facts = || recorded.iter().map(|found| &found.value);
    let ends = gaps.iter().flat_map(|gap| known_ends(facts(), gap));
    Ok(ends.map(Record::from).collect())
}
