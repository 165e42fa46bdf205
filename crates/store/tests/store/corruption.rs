//! What a flipped bit or a tampering hand changed is not trusted.

use std::fmt::Debug;
use std::time::Duration;

use leasehold_ledger::document::{EffectiveDoc, SnapshotGoneDoc};
use leasehold_ledger::verify::verify;
use leasehold_store::{FactFilter, Store, StoreError};
use tokio::time::timeout;

use crate::fixtures::{Home, at, on_both, one_of_each};

/// A check that goes on for longer than this does not end.
const ENDS: Duration = Duration::from_mins(2);

on_both!(
    a_changed_quantity_is_seen_when_the_fact_is_read,
    a_changed_body_is_seen_when_the_document_is_read,
    a_damaged_row_is_told_as_long_as_the_process_lives,
    a_changed_key_is_seen_although_no_body_changed,
    a_changed_subject_is_seen_when_documents_are_listed_by_it,
    a_changed_amount_is_seen_when_the_journal_is_read,
    a_changed_hash_breaks_the_chain_where_it_was_changed,
    a_row_whose_body_is_gone_is_named,
    a_missing_first_row_is_named_by_the_row_that_follows_it,
    a_turned_mark_of_a_rehearsal_is_seen_by_the_period_that_contradicts_it,
    a_number_that_became_enormous_is_found_without_counting_up_to_it,
);

/// A ledger of four rows in which `sql` was run after the triggers of a table were taken away.
async fn tampered(home: &Home, table: &str, sql: &str) -> Store {
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let mut prompt = home.prompt().await;
    prompt.disarm(table).await;
    prompt.run(sql).await.unwrap();
    store
}

fn expect_corrupt<T: Debug>(result: &Result<T, StoreError>, row: u64) {
    let Err(StoreError::Corrupt { seq, .. }) = result else {
        panic!("expected Corrupt at row {row}, got {result:?}");
    };
    assert_eq!(*seq, row);
}

async fn a_changed_quantity_is_seen_when_the_fact_is_read(home: Home) {
    let store = tampered(&home, "fact", "UPDATE fact SET quantity = quantity + 1").await;
    expect_corrupt(&store.facts(&FactFilter::default()).await, 1);
    expect_corrupt(&store.integrity().await, 1);
    // Verification still gets the rows, and names the same one.
    let rows = store.rows(0, 10).await.unwrap();
    let report = verify(rows.into_iter().map(Ok::<_, StoreError>), None);
    assert_eq!(report.finding.map(|finding| finding.seq), Some(1));
}

async fn a_changed_body_is_seen_when_the_document_is_read(home: Home) {
    let store = tampered(
        &home,
        "document",
        "UPDATE document SET body = replace(body, '\"request\":3', '\"request\":2')",
    )
    .await;
    expect_corrupt(
        &store.document::<EffectiveDoc>("gov-office/oa/1/3").await,
        2,
    );
    expect_corrupt(
        &store.documents_under::<EffectiveDoc>("gov-office").await,
        2,
    );
    expect_corrupt(&store.integrity().await, 2);
}

async fn a_damaged_row_is_told_as_long_as_the_process_lives(home: Home) {
    let change = "UPDATE document SET body = replace(body, '\"request\":3', '\"request\":2')";
    let store = tampered(&home, "document", change).await;
    let troubles = store.troubles();
    store.facts(&FactFilter::default()).await.unwrap();
    assert_eq!(troubles.now(), None, "the facts are as they were written");
    let read = store.document::<EffectiveDoc>("gov-office/oa/1/3").await;
    expect_corrupt(&read, 2);
    store.facts(&FactFilter::default()).await.unwrap();
    store.head().await.unwrap();
    let told = troubles.now().unwrap();
    assert!(
        told.starts_with("failed to trust row 2 of the ledger"),
        "{told}"
    );

    // the first damage is kept, so whoever reads otherwise needs a ledger of his own
    let another = home.another();
    let store = tampered(&another, "document", change).await;
    let standing = store.documents_standing::<EffectiveDoc, SnapshotGoneDoc>("gov-office");
    expect_corrupt(&standing.await, 2);
    assert!(store.troubles().is_damaged());
}

async fn a_changed_key_is_seen_although_no_body_changed(home: Home) {
    let store = tampered(
        &home,
        "document",
        "UPDATE document SET key = 'gov-office/oa/1/9' WHERE seq = 2",
    )
    .await;
    expect_corrupt(
        &store.document::<EffectiveDoc>("gov-office/oa/1/9").await,
        2,
    );
    expect_corrupt(&store.integrity().await, 2);
}

async fn a_changed_subject_is_seen_when_documents_are_listed_by_it(home: Home) {
    let store = tampered(
        &home,
        "document",
        "UPDATE document SET subject = 'edu-bureau/web' WHERE seq = 2",
    )
    .await;
    expect_corrupt(
        &store
            .documents::<EffectiveDoc>(Some("edu-bureau/web"), None)
            .await,
        2,
    );
    expect_corrupt(
        &store.documents_under::<EffectiveDoc>("edu-bureau").await,
        2,
    );
}

async fn a_changed_amount_is_seen_when_the_journal_is_read(home: Home) {
    let store = tampered(&home, "posting", "UPDATE posting SET amount = amount * 2").await;
    expect_corrupt(&store.entries(None).await, 3);
    expect_corrupt(&store.integrity().await, 3);
}

async fn a_changed_hash_breaks_the_chain_where_it_was_changed(home: Home) {
    let store = tampered(&home, "chain", "UPDATE chain SET hash = prev WHERE seq = 2").await;
    expect_corrupt(&store.integrity().await, 2);
}

async fn a_row_whose_body_is_gone_is_named(home: Home) {
    let store = tampered(&home, "fact", "DELETE FROM fact").await;
    expect_corrupt(&store.rows(0, 10).await, 1);
    expect_corrupt(&store.integrity().await, 1);
}

async fn a_number_that_became_enormous_is_found_without_counting_up_to_it(home: Home) {
    // one bit of the last row's number is another
    let sql = "UPDATE chain SET seq = seq + 549755813888 WHERE seq = 4";
    let store = tampered(&home, "chain", sql).await;
    let found = timeout(ENDS, store.integrity()).await.expect("it ends");
    let corrupt = matches!(found, Err(StoreError::Corrupt { .. }));
    assert!(corrupt, "{found:?}");
}

async fn a_missing_first_row_is_named_by_the_row_that_follows_it(home: Home) {
    let store = tampered(&home, "fact", "DELETE FROM fact").await;
    let mut prompt = home.prompt().await;
    prompt.disarm("chain").await;
    prompt.run("DELETE FROM chain WHERE seq = 1").await.unwrap();
    expect_corrupt(&store.integrity().await, 2);
}

async fn a_turned_mark_of_a_rehearsal_is_seen_by_the_period_that_contradicts_it(home: Home) {
    let store = tampered(
        &home,
        "meta",
        "UPDATE meta SET value = 'true' WHERE name = 'rehearsal'",
    )
    .await;
    expect_corrupt(&store.integrity().await, 4);
}
