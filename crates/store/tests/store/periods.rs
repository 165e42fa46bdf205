//! Rehearsed and real periods never share a ledger.

use leasehold_ledger::document::PeriodOpenDoc;
use leasehold_ledger::time::PeriodKind;
use leasehold_store::{Batch, Record, StoreError};

use crate::fixtures::{Home, at, fact, on_both, period_open};

on_both!(
    a_ledger_that_has_seen_a_real_period_refuses_a_rehearsal,
    a_rehearsal_refuses_a_real_period_even_after_it_was_opened_again,
    one_batch_with_both_kinds_is_refused_and_leaves_the_ledger_free,
    period_after_period_of_one_kind_is_accepted,
);

const REHEARSAL: PeriodKind = PeriodKind::Rehearsal { seconds: 60 };

fn opening(kind: PeriodKind, seconds: i64) -> Record {
    Record::document(&period_open(kind, at(seconds))).unwrap()
}

async fn a_ledger_that_has_seen_a_real_period_refuses_a_rehearsal(home: Home) {
    let store = home.open().await;
    assert_eq!(store.rehearsal().await.unwrap(), None);
    store
        .commit(&Batch::of(vec![opening(PeriodKind::Month, 0)]), at(0))
        .await
        .unwrap();

    let batch = Batch::of(vec![Record::from(fact("web-1", 7)), opening(REHEARSAL, 0)]);
    let refused = store.commit(&batch, at(1)).await.unwrap_err();

    assert!(
        matches!(
            refused,
            StoreError::MixedRehearsal {
                ledger_rehearses: false,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(
        store.head().await.unwrap().0,
        1,
        "nothing of the batch is written"
    );
    assert_eq!(store.rehearsal().await.unwrap(), Some(false));
}

async fn a_rehearsal_refuses_a_real_period_even_after_it_was_opened_again(home: Home) {
    let store = home.open().await;
    store
        .commit(&Batch::of(vec![opening(REHEARSAL, 0)]), at(0))
        .await
        .unwrap();
    store.close().await.unwrap();

    let store = home.open().await;
    for kind in [PeriodKind::Month, PeriodKind::Day] {
        let refused = store
            .commit(&Batch::of(vec![opening(kind, 0)]), at(1))
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused,
                StoreError::MixedRehearsal {
                    ledger_rehearses: true,
                    ..
                }
            ),
            "{refused}"
        );
    }
    assert_eq!(
        store
            .documents::<PeriodOpenDoc>(None, None)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn one_batch_with_both_kinds_is_refused_and_leaves_the_ledger_free(home: Home) {
    let store = home.open().await;
    let both = Batch::of(vec![opening(REHEARSAL, 0), opening(PeriodKind::Month, 0)]);
    assert!(store.commit(&both, at(0)).await.is_err());
    assert_eq!(store.rehearsal().await.unwrap(), None);
    store
        .commit(&Batch::of(vec![opening(PeriodKind::Month, 0)]), at(1))
        .await
        .unwrap();
}

async fn period_after_period_of_one_kind_is_accepted(home: Home) {
    let store = home.open().await;
    for minute in 0..3 {
        let batch = Batch::of(vec![opening(REHEARSAL, minute * 60)]);
        store.commit(&batch, at(minute * 60)).await.unwrap();
    }
    let opened = store.documents::<PeriodOpenDoc>(None, None).await.unwrap();
    // 12:00 UTC is 20:00 in Asia/Shanghai
    let names: Vec<&str> = opened
        .iter()
        .map(|document| document.value.period.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["r20260905-200000", "r20260905-200100", "r20260905-200200"]
    );
}
