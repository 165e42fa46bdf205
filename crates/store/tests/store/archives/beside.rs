//! Somebody reads the ledger page by page, and between two pages facts leave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use leasehold_ledger::fact::FactKind;
use leasehold_store::{Edge, FactFilter, Keeper, Passage, Place, Store, StoreError};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use super::keepers_place;
use super::months::Months;
use crate::fixtures::{Home, on_both};

on_both!(
    facts_that_are_read_in_pages_are_those_before_or_after_an_archive,
    what_is_archived_while_it_is_recomputed_is_no_damage,
    a_copy_that_is_overtaken_by_an_archive_is_no_copy,
);

/// What reading rows is called.
const ROWS: &str = "read the chain";

/// Archives the oldest month that is due.
fn archive(place: &Place, folder: &TempDir, months: &Months) {
    Runtime::new().unwrap().block_on(async {
        let keeper = Keeper::open(place.clone()).await.unwrap();
        let due = keeper.store().due_archives(30, months.now()).await.unwrap();
        let archived = keeper.archive(&due[0], folder.path(), months.now()).await;
        assert!(archived.unwrap().is_some());
        keeper.close().await.unwrap();
    });
}

/// A ledger with two months of so many pods, as somebody reads it who is overtaken by an archive behind so many calls of a
/// name.
async fn overtaken(home: &Home, pods: u32, doing: &'static str, calls: usize) -> Store {
    let store = home.open().await;
    let mut months = Months::of(&store, pods).await;
    months.play(&store, 2).await;
    store.close().await.unwrap();
    let (place, folder) = (keepers_place(home), tempfile::tempdir().unwrap());
    let left = AtomicUsize::new(calls);
    let gate = move |operation: &'static str, edge: Edge| {
        let is_it = operation == doing && edge == Edge::After;
        if is_it && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // whoever reads stands still meanwhile
            thread::scope(|scope| {
                scope.spawn(|| archive(&place, &folder, &months));
            });
        }
        Passage::Open
    };
    let reading = Store::open_read_only(home.place()).await.unwrap();
    reading.drilled(Handle::current(), Arc::new(gate))
}

async fn facts_that_are_read_in_pages_are_those_before_or_after_an_archive(home: Home) {
    // the last beginning of the first page, which has 2,000, has its end on the second
    for calls in [1, 2] {
        let home = home.another();
        let store = overtaken(&home, 1100, "read facts", calls).await;
        let facts = store.facts(&FactFilter::default()).await.unwrap();
        let of = |kind: FactKind| {
            let facts = facts.iter().filter(|fact| fact.value.kind == kind);
            facts.count()
        };
        // what goes on: the pod that runs for ever and the last one of October
        assert_eq!(of(FactKind::Opened), of(FactKind::Closed) + 2, "{calls}");
        // October's pods, the last one of September, the 110 whose end is estimated, and the one for ever
        assert_eq!(of(FactKind::Opened), 1212, "{calls}");
    }
}

async fn what_is_archived_while_it_is_recomputed_is_no_damage(home: Home) {
    let store = overtaken(&home, 600, ROWS, 1).await;
    let found = store.integrity().await.unwrap();
    assert_eq!((found.rows, found.head), store.head().await.unwrap());
    assert!(!store.holes().await.unwrap().is_empty());
}

async fn a_copy_that_is_overtaken_by_an_archive_is_no_copy(home: Home) {
    // behind the first page of three, and behind the last, when only what is remembered of objects is missing
    for calls in [1, 3] {
        let home = home.another();
        let store = overtaken(&home, 600, ROWS, calls).await;
        let target = home.another();
        let copy = target.open().await;
        let refused = store.copy_into(&copy, |_| ()).await;
        assert!(matches!(refused, Err(StoreError::Moved)), "{refused:?}");
        copy.close().await.unwrap();
        // nobody goes on with it
        let refused = Store::open(target.place()).await;
        assert!(matches!(refused, Err(StoreError::Unfinished { .. })));
        // and the next one has it all
        let target = home.another();
        let copy = target.open().await;
        let copied = store.copy_into(&copy, |_| ()).await.unwrap();
        assert_eq!(copy.integrity().await.unwrap(), copied);
    }
}
