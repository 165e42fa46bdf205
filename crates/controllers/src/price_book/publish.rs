//! Writing price books into the ledger: with the decision that published them, or with an earlier end.

use std::collections::BTreeSet;

use leasehold_ledger::{
    book::Book,
    document::{BookDoc, DecisionDoc, PeriodCloseDoc, PeriodOpenDoc},
    policy::Policy,
    time::{Period, Second},
};
use leasehold_store::{Batch, Record, StoreError};

use super::judge;
use crate::{Context, Error};

/// How often a publication is tried again when the ledger grew meanwhile.
const ATTEMPTS: usize = 8;

/// What became of a publication.
pub enum Published {
    /// The ledger has the book.
    Yes(BookDoc),
    /// A rule hinders it now, though it may not have when finance was asked.
    Hindered(Vec<String>),
}

/// The recorded book of this name, its last document.
pub async fn recorded(name: &str, context: &Context) -> Result<Option<BookDoc>, Error> {
    let all = context
        .books
        .store()
        .documents::<BookDoc>(Some(name), None)
        .await?;
    Ok(all.into_iter().next_back().map(|recorded| recorded.value))
}

/// Every rule that hinders the publication, by what the ledger holds.
pub async fn hindrances(
    book: &Book,
    policy: &Policy,
    context: &Context,
) -> Result<Vec<String>, Error> {
    let published = context.books.published_books().await?;
    let closed = closed_periods(context).await?;
    let declared = judge::declared(&context.world.meters.select(|_| true));
    let mut found = judge::rules(book, &published, &closed, &policy.time_zone);
    found.extend(judge::unmetered(book, &declared));
    Ok(found)
}

async fn closed_periods(context: &Context) -> Result<Vec<Period>, Error> {
    let store = context.books.store();
    let closed: BTreeSet<String> = store
        .documents::<PeriodCloseDoc>(None, None)
        .await?
        .into_iter()
        .map(|recorded| recorded.value.name)
        .collect();
    Ok(store
        .documents::<PeriodOpenDoc>(None, None)
        .await?
        .into_iter()
        .map(|recorded| recorded.value.period)
        .filter(|period| closed.contains(&period.name))
        .collect())
}

/// Writes decision and book in one transaction, refused when anything was written since the rules were checked: of two
/// books that overlap, one is published.
pub async fn publish(
    book: &Book,
    decision: &DecisionDoc,
    policy: &Policy,
    context: &Context,
) -> Result<Published, Error> {
    let store = context.books.store();
    for _ in 0..ATTEMPTS {
        if let Some(known) = recorded(&book.name, context).await? {
            return Ok(Published::Yes(known));
        }
        let (head, _) = store.head().await?;
        let hindrances = hindrances(book, policy, context).await?;
        if !hindrances.is_empty() {
            return Ok(Published::Hindered(hindrances));
        }
        let document = BookDoc {
            book: book.clone(),
            published_by: decision.decided_by.clone(),
            approval: decision.approval_uid.clone().unwrap_or_default(),
            at: decision.at,
        };
        let records = vec![Record::document(decision)?, Record::document(&document)?];
        match store
            .commit(&Batch::of(records).expecting(head), decision.at)
            .await
        {
            Ok(_) => {
                context.books.reload_prices(&policy.time_zone).await?;
                return Ok(Published::Yes(document));
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::understand(
        format!("price book {}", book.name),
        "the ledger grew at every attempt to publish it; it is tried again",
    ))
}

/// Writes that a published book ends earlier; needs nobody's approval, for it takes prices from nobody's past.
pub async fn end_earlier(
    book: &Book,
    recorded: &BookDoc,
    policy: &Policy,
    now: Second,
    context: &Context,
) -> Result<BookDoc, Error> {
    let document = BookDoc {
        book: book.clone(),
        at: now,
        ..recorded.clone()
    };
    let document = context.books.ensure(&document, now).await?;
    context.books.reload_prices(&policy.time_zone).await?;
    Ok(document)
}
