//! Price books: checked against the rules and against each other, published by a second person of finance.
//!
//! A book counts once the ledger has it, together with the decision that published it. What the object says afterwards
//! changes nothing but an earlier end; whoever deletes the object takes no price back.

pub(crate) mod finance;
mod judge;
mod publish;

use std::sync::Arc;

use futures::stream::BoxStream;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::charging::{Approval, BookPhase, PriceBook, PriceBookStatus};
use leasehold_kit::{EventType, Shutdown, cache::Changed};
use leasehold_ledger::{
    book::Book,
    canonical::Digest,
    document::{BookDoc, Decision, DecisionDoc},
    policy::Policy,
    time::Second,
};
use leasehold_planner::{approval, convert::ledger_book};

use self::{finance::Answer, judge::Standing, publish::Published};
use crate::{
    Context, Error, World,
    books::FINANCE,
    verdict::{Verdict, told},
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.price_books.clone();
    wake::run("price-book", context, own, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<PriceBook>> {
    wake::any(vec![
        wake::named(&world.price_books, world.approvals.changes(), of_approval),
        wake::every(&world.price_books, world.periods.changes(), is_undecided),
        wake::every(
            &world.price_books,
            world.price_books.changes(),
            is_undecided,
        ),
        wake::every(&world.price_books, world.meters.changes(), is_undecided),
        wake::every(&world.price_books, world.policies.changes(), |_| true),
    ])
}

/// The book that finance's approval of this name decides on.
fn of_approval(changed: &Changed) -> Vec<Ref<PriceBook>> {
    changed
        .name
        .strip_prefix("pb-")
        .and_then(|rest| rest.strip_suffix("-finance"))
        .map(Ref::<PriceBook>::new)
        .into_iter()
        .collect()
}

fn is_undecided(book: &PriceBook) -> bool {
    book.status
        .as_ref()
        .is_none_or(|status| status.phase != BookPhase::Published)
}

/// What a round found out about a book.
struct Found {
    phase: BookPhase,
    digest: Option<String>,
    published_by: Option<String>,
    approval: Option<String>,
    verdict: Verdict,
}

impl Found {
    fn waiting(digest: Option<&Digest>, sentence: String) -> Self {
        let mut verdict = Verdict::default();
        verdict.wait(sentence);
        Self {
            phase: BookPhase::WaitingForPublication,
            digest: digest.map(ToString::to_string),
            published_by: None,
            approval: None,
            verdict,
        }
    }

    fn rejected(digest: Option<&Digest>, sentences: Vec<String>) -> Self {
        let mut verdict = Verdict::default();
        sentences
            .into_iter()
            .for_each(|sentence| verdict.refuse(sentence));
        Self {
            phase: BookPhase::Rejected,
            digest: digest.map(ToString::to_string),
            published_by: None,
            approval: None,
            verdict,
        }
    }

    fn published(digest: &Digest, recorded: &BookDoc) -> Self {
        let message = format!(
            "{} published it; its prices count from {} through {}",
            recorded.published_by, recorded.book.from, recorded.book.through
        );
        Self {
            phase: BookPhase::Published,
            digest: Some(digest.to_string()),
            published_by: Some(recorded.published_by.clone()),
            approval: None,
            verdict: Verdict::fine("Published", message),
        }
    }

    fn asked_by(self, approval: &str) -> Self {
        Self {
            approval: Some(approval.to_owned()),
            ..self
        }
    }
}

async fn reconcile(object: Arc<PriceBook>, context: Context) -> Result<Action, Error> {
    let found = look(&object, &context).await?;
    let old = object.status.clone().unwrap_or_default();
    let mut new = PriceBookStatus {
        observed_generation: object.metadata.generation,
        phase: found.phase,
        digest: found.digest,
        published_by: found.published_by,
        approval: found.approval.or_else(|| old.approval.clone()),
        conditions: old.conditions.clone(),
    };
    let now = context.now().timestamp();
    found
        .verdict
        .write(&mut new.conditions, object.metadata.generation, now);
    if new != old {
        if new.phase != old.phase || object.status.is_none() {
            let type_ = match new.phase {
                BookPhase::Rejected => EventType::Warning,
                BookPhase::WaitingForPublication | BookPhase::Published => EventType::Normal,
            };
            let reason = format!("{:?}", new.phase);
            let (_, note) = found.verdict.summary();
            context
                .kit
                .event(&*object, type_, &reason, "Publish", note)
                .await;
        }
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    Ok(wake::later())
}

async fn look(object: &PriceBook, context: &Context) -> Result<Found, Error> {
    let name = object.name_any();
    let policy = match context.world.valid_policy() {
        Ok((_, policy)) => policy,
        Err(sentence) => return Ok(Found::waiting(None, sentence)),
    };
    let book = match ledger_book(&name, &object.spec) {
        Ok(book) => book,
        Err(error) => return Ok(Found::rejected(None, vec![told(&error)])),
    };
    let digest = book.digest()?;
    if let Some(recorded) = publish::recorded(&name, context).await? {
        return known(&book, &digest, recorded, &policy, context).await;
    }
    let subject = subject(
        &name,
        object.metadata.uid.as_deref().unwrap_or_default(),
        &digest,
    );
    if let Some(decision) = context
        .books
        .decision("PriceBook", &subject, FINANCE)
        .await?
    {
        // a book is recorded with its approval, so what is recorded without a book is a rejection
        return rejected_by_finance(&digest, &decision, object, context).await;
    }
    let hindrances = publish::hindrances(&book, &policy, context).await?;
    if !hindrances.is_empty() {
        let namespace = &context.settings.namespace;
        finance::take_back_undecided(namespace, &approval_name(&name), context).await?;
        return Ok(Found::rejected(Some(&digest), hindrances));
    }
    ask(object, &book, &digest, &policy, context).await
}

/// What the decision on one content of one object is recorded under.
fn subject(name: &str, uid: &str, digest: &Digest) -> String {
    format!("{name}/{uid}/{digest}")
}

fn approval_name(book: &str) -> String {
    format!("pb-{book}-finance")
}

/// A book whose name the ledger knows.
async fn known(
    book: &Book,
    digest: &Digest,
    recorded: BookDoc,
    policy: &Policy,
    context: &Context,
) -> Result<Found, Error> {
    let now = context.now();
    let today = policy.time_zone.date_of(now);
    match judge::against_record(book, &recorded.book, today) {
        Standing::Same => {
            let loaded = context
                .books
                .prices()
                .books
                .iter()
                .any(|known| known == book);
            if !loaded {
                context.books.reload_prices(&policy.time_zone).await?;
            }
            mark_published(&recorded, context).await?;
            Ok(Found::published(digest, &recorded))
        }
        Standing::EndsEarlier => {
            let recorded = publish::end_earlier(book, &recorded, policy, now, context).await?;
            Ok(Found::published(digest, &recorded))
        }
        Standing::Refused(refusal) => {
            let digest = recorded.book.digest()?;
            let mut found = Found::published(&digest, &recorded);
            found.verdict.refuse(refusal.to_string());
            Ok(found)
        }
    }
}

async fn mark_published(recorded: &BookDoc, context: &Context) -> Result<(), Error> {
    let namespace = &context.settings.namespace;
    let name = approval_name(&recorded.book.name);
    finance::mark_recorded(namespace, &name, &recorded.approval, recorded.at, context).await
}

async fn rejected_by_finance(
    digest: &Digest,
    decision: &DecisionDoc,
    object: &PriceBook,
    context: &Context,
) -> Result<Found, Error> {
    let name = approval_name(&object.name_any());
    let uid = decision.approval_uid.as_deref().unwrap_or_default();
    let namespace = &context.settings.namespace;
    finance::mark_recorded(namespace, &name, uid, decision.at, context).await?;
    let sentence = format!(
        "{} said no: {}. Load another book under another name",
        decision.decided_by, decision.reason
    );
    Ok(Found::rejected(Some(digest), vec![sentence]).asked_by(&name))
}

/// Asks finance to publish, or does what finance decided.
async fn ask(
    object: &PriceBook,
    book: &Book,
    digest: &Digest,
    policy: &Policy,
    context: &Context,
) -> Result<Found, Error> {
    let wanted = question(object, book, context).await?;
    let name = wanted.name_any();
    let waiting = || {
        let sentence = format!(
            "waits for a second person of finance: leasehold approve {name} -n {}",
            context.settings.namespace
        );
        Found::waiting(Some(digest), sentence).asked_by(&name)
    };
    let found = match finance::ask(&wanted, context).await? {
        Answer::Waits => return Ok(waiting()),
        Answer::Outdated(outdated) => {
            set_aside(&outdated, context).await?;
            return Ok(waiting());
        }
        Answer::Decided(found) => found,
    };
    if let Err(refusal) = finance::check(&found) {
        let sentence = refusal.to_string();
        context
            .kit
            .event(&*found, EventType::Warning, "Refused", "Decide", &sentence)
            .await;
        finance::take_back(&found, context).await?;
        let mut waits = waiting();
        waits.verdict.refuse(sentence);
        return Ok(waits);
    }
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let now = context.now();
    let Some(decision) = finance::decision(&found, subject(&book.name, uid, digest), None, now)
    else {
        return Ok(waiting());
    };
    if decision.decision != Decision::Approved {
        let decision = context.books.ensure(&decision, now).await?;
        return rejected_by_finance(digest, &decision, object, context).await;
    }
    match publish::publish(book, &decision, policy, context).await? {
        Published::Yes(recorded) => {
            mark_published(&recorded, context).await?;
            Ok(Found::published(digest, &recorded).asked_by(&name))
        }
        Published::Hindered(sentences) => {
            finance::mark_refused(&found, &sentences.join("; "), context).await?;
            Ok(Found::rejected(Some(digest), sentences).asked_by(&name))
        }
    }
}

/// The question to finance: the book, and what it changes against the prices before it.
async fn question(object: &PriceBook, book: &Book, context: &Context) -> Result<Approval, Error> {
    let published = context.books.published_books().await?;
    approval::book_approval(
        object,
        book,
        &published,
        &finance::requested_by(object),
        &context.settings.namespace,
    )
    .map_err(|error| Error::understand("the approval to be written", error))
}

/// A decision on an earlier content of the name is kept, and its object makes room for the question that stands.
async fn set_aside(outdated: &Approval, context: &Context) -> Result<(), Error> {
    let about = &outdated.spec.subject;
    let now: Second = context.now();
    let subject = format!("{}/{}/{}", about.name, about.uid, about.digest);
    if let Some(decision) = finance::decision(outdated, subject, None, now) {
        context.books.ensure(&decision, now).await?;
    }
    finance::take_back(outdated, context).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_approval_wakes_the_book_that_it_decides_on() {
        let changed = |name: &str| Changed {
            uid: None,
            namespace: Some("leasehold".to_owned()),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            generation: Some(1),
            gone: false,
        };
        let found = of_approval(&changed(&approval_name("hs-2026")));
        assert_eq!(found, [Ref::<PriceBook>::new("hs-2026")]);
        assert!(of_approval(&changed("hwc-servers-2024-finance")).is_empty());
    }

    #[test]
    fn each_content_of_each_object_is_decided_for_itself() {
        let one = leasehold_ledger::canonical::digest_bytes(b"1");
        let two = leasehold_ledger::canonical::digest_bytes(b"2");
        assert_ne!(subject("b", "u", &one), subject("b", "u", &two));
        assert_ne!(subject("b", "u", &one), subject("b", "v", &one));
    }
}
