//! Calls that take no time of a runtime that plays it, and end where a test wants them to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_store::{APPEND, Edge, FactFilter, Passage, Store, StoreError};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

use crate::fixtures::{at, fact, facts};

/// An hour, which is played in a moment.
const HOUR: Duration = Duration::from_secs(3600);

/// A runtime whose time runs, beside the one that a test plays on.
fn aside() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap()
}

/// A runtime whose time jumps to the next timer whenever there is nothing to do.
fn played() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn time_that_is_played_stands_still_while_the_database_works() {
    let aside = aside();
    let asked: Arc<Mutex<Vec<(&'static str, Edge)>>> = Arc::default();
    let told = Arc::clone(&asked);
    let gate = Arc::new(move |operation: &'static str, edge: Edge| {
        told.lock().unwrap().push((operation, edge));
        Passage::Open
    });
    let store = aside.block_on(Store::in_memory()).unwrap();
    let store = store.drilled(aside.handle().clone(), gate);
    let (passed, seen) = played().block_on(async {
        // something that time would jump to
        let timer = tokio::spawn(sleep(HOUR));
        let began = Instant::now();
        let batch = facts([fact("web-1", 7)]);
        store.commit(&batch, at(0)).await.unwrap();
        let seen = store.facts(&FactFilter::default()).await.unwrap();
        let passed = began.elapsed();
        timer.abort();
        (passed, seen.len())
    });
    assert_eq!((passed, seen), (Duration::ZERO, 1));
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked.get(..2),
        Some([(APPEND, Edge::Before), (APPEND, Edge::After)].as_slice())
    );
}

#[test]
fn a_caller_that_dies_at_an_edge_hears_nothing_and_what_was_done_stands() {
    for (dies, rows) in [(Edge::Before, 0), (Edge::After, 1)] {
        let aside = aside();
        let store = aside.block_on(Store::in_memory()).unwrap();
        let gate = Arc::new(move |_: &'static str, edge: Edge| {
            if edge == dies {
                Passage::Closed
            } else {
                Passage::Open
            }
        });
        let drilled = store.clone().drilled(aside.handle().clone(), gate);
        let heard = played().block_on(async {
            let batch = facts([fact("web-1", 7)]);
            timeout(HOUR, drilled.commit(&batch, at(0))).await.is_ok()
        });
        assert!(!heard, "{dies:?}");
        let (head, _) = aside.block_on(store.head()).unwrap();
        assert_eq!(head, rows, "{dies:?}");
    }
}

#[test]
fn a_call_that_is_late_at_an_edge_fails_and_what_was_done_stands() {
    for (late, rows) in [(Edge::Before, 0), (Edge::After, 1)] {
        let aside = aside();
        let store = aside.block_on(Store::in_memory()).unwrap();
        let gate = Arc::new(move |_: &'static str, edge: Edge| {
            if edge == late {
                Passage::Late
            } else {
                Passage::Open
            }
        });
        let drilled = store.clone().drilled(aside.handle().clone(), gate);
        let batch = facts([fact("web-1", 7)]);
        let failed = played().block_on(drilled.commit(&batch, at(0)));
        assert!(
            matches!(failed, Err(StoreError::Deadline { .. })),
            "{late:?}: {failed:?}"
        );
        let (head, _) = aside.block_on(store.head()).unwrap();
        assert_eq!(head, rows, "{late:?}");
    }
}
