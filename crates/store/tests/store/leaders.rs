//! One writer after the other: what an older one sends is refused, whenever it comes.

use std::path::PathBuf;
use std::time::Duration;

use leasehold_store::{Batch, FactFilter, Record, Store, StoreError};
use tokio::time::timeout;

use crate::fixtures::{Home, at, effective, fact, facts, on_both, one_of_each};

on_both!(
    every_opening_for_writing_takes_the_next_epoch,
    an_old_writer_that_wakes_up_writes_nothing_and_is_told_who_took_over,
    of_two_writers_no_row_of_the_old_one_stands_behind_a_row_of_the_new_one,
    a_row_of_an_older_epoch_is_refused_by_the_database_itself,
    the_epoch_never_goes_back,
    a_writer_whose_last_rows_are_gone_writes_nothing_over_the_hole,
    a_writer_whose_last_row_was_replaced_by_another_writes_nothing_behind_it,
    a_row_that_another_task_appended_since_is_no_loss,
);

/// Takes away what keeps a second writer out while the first one lives, as a file system that knows no locks does, or a server
/// that has not heard of a paused process for a minute.
async fn unlock(home: &Home) {
    match home {
        Home::File(_) => {
            let mut lock = home.place().file().unwrap().as_os_str().to_owned();
            lock.push(".lock");
            std::fs::remove_file(PathBuf::from(lock)).unwrap();
        }
        Home::Server(_) => {
            let mut prompt = home.service_prompt().await;
            let ended = prompt
                .number(
                    "SELECT COUNT(pg_terminate_backend(l.pid)) FROM pg_locks l \
                     JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() \
                     WHERE l.locktype = 'advisory'",
                )
                .await;
            assert_eq!(ended, 1);
        }
    }
}

fn expect_fenced<T: std::fmt::Debug>(result: Result<T, StoreError>, epochs: (u64, u64)) {
    let Err(StoreError::Fenced {
        own,
        newest,
        holder,
    }) = result
    else {
        panic!("expected Fenced, got {result:?}");
    };
    assert_eq!((own, newest), epochs);
    let process = format!("process {}", std::process::id());
    assert!(holder.starts_with(&process), "{holder}");
}

async fn every_opening_for_writing_takes_the_next_epoch(home: Home) {
    for epoch in 1..=3 {
        let store = home.open().await;
        assert_eq!(store.epoch(), Some(epoch));
        store.close().await.unwrap();
    }
    let reader = Store::open_read_only(home.place()).await.unwrap();
    assert_eq!(reader.epoch(), None);
}

async fn an_old_writer_that_wakes_up_writes_nothing_and_is_told_who_took_over(home: Home) {
    let old = home.open().await;
    old.commit(&one_of_each(), at(0)).await.unwrap();
    unlock(&home).await;
    let new = home.open().await;
    assert_eq!((old.epoch(), new.epoch()), (Some(1), Some(2)));
    let silent = timeout(Duration::from_millis(50), old.superseded()).await;
    assert!(silent.is_err(), "nobody has told it yet");

    let late = facts([fact("web-2", 8)]);
    expect_fenced(old.commit(&late, at(1)).await, (1, 2));
    // what is known already is refused as well: a cursor may come with it
    expect_fenced(old.commit(&one_of_each(), at(1)).await, (1, 2));
    timeout(Duration::from_secs(5), old.clone().superseded())
        .await
        .unwrap();

    assert_eq!(new.head().await.unwrap().0, 4);
    new.commit(&late, at(2)).await.unwrap();
    assert_eq!(new.integrity().await.unwrap().rows, 5);
}

async fn of_two_writers_no_row_of_the_old_one_stands_behind_a_row_of_the_new_one(home: Home) {
    let old = home.open().await;
    let writing = tokio::spawn(async move {
        for n in 0..10_000 {
            if let Err(refused) = old
                .commit(&facts([fact(&format!("old-{n}"), n)]), at(0))
                .await
            {
                return (n, refused);
            }
        }
        panic!("nobody took over");
    });
    unlock(&home).await;
    let new = home.open().await;
    for n in 0..20 {
        let batch = facts([fact(&format!("new-{n}"), n)]);
        new.commit(&batch, at(1)).await.unwrap();
    }
    let (written, refused) = writing.await.unwrap();
    expect_fenced::<()>(Err(refused), (1, 2));

    let uids: Vec<String> = new
        .facts(&FactFilter::default())
        .await
        .unwrap()
        .into_iter()
        .map(|recorded| recorded.value.source.uid)
        .collect();
    let mut expected: Vec<String> = (0..written).map(|n| format!("old-{n}")).collect();
    expected.extend((0..20).map(|n| format!("new-{n}")));
    assert_eq!(uids, expected);
    let mut prompt = home.prompt().await;
    let mixed = prompt
        .number(
            "SELECT COUNT(*) FROM chain a JOIN chain b ON b.seq = a.seq + 1 WHERE b.epoch < a.epoch",
        )
        .await;
    assert_eq!(mixed, 0);
}

async fn a_row_of_an_older_epoch_is_refused_by_the_database_itself(home: Home) {
    let store = home.open().await;
    store.close().await.unwrap();
    let store = home.open().await;
    let document = Record::document(&effective("oa", 3)).unwrap();
    store
        .commit(&Batch::of(vec![document]), at(0))
        .await
        .unwrap();
    let mut prompt = home.service_prompt().await;
    for epoch in [0, 1, 3] {
        let refused = prompt
            .run(&format!(
                "INSERT INTO chain SELECT 2, 'fact', 'k', digest, hash, 'h', 0, {epoch} FROM chain"
            ))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("newest epoch"), "{epoch}: {refused}");
    }
}

async fn the_epoch_never_goes_back(home: Home) {
    let store = home.open().await;
    store.close().await.unwrap();
    let mut prompt = home.prompt().await;
    for sql in [
        "UPDATE leader SET epoch = 0",
        "UPDATE leader SET holder = 'somebody'",
        "DELETE FROM leader",
        "INSERT INTO leader VALUES (1, 9, 'somebody')",
    ] {
        let refused = prompt.run(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only: leader"), "{sql}: {refused}");
    }
}

/// A ledger of five rows whose last one was written by `store`; a statement was carried out at a prompt since.
async fn rewound(home: &Home, sql: &[&str]) -> Store {
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let last = store
        .commit(&facts([fact("web-2", 8)]), at(1))
        .await
        .unwrap();
    assert_eq!(last.head_seq, 5);
    let mut prompt = home.prompt().await;
    prompt.disarm("chain").await;
    prompt.disarm("fact").await;
    for sql in sql {
        prompt.run(sql).await.unwrap();
    }
    store
}

async fn expect_rewound(store: &Store, ends_with: u64) {
    let silent = timeout(Duration::from_millis(50), store.superseded()).await;
    assert!(silent.is_err(), "nobody has told it yet");
    // a place of a watch alone would hide the hole as well
    let place = Batch::default().with_cursor(leasehold_store::Cursor {
        source: "pods".to_owned(),
        resource_version: "900".to_owned(),
        complete_to: None,
        observed_at: at(2),
    });
    for batch in [facts([fact("web-3", 9)]), place] {
        let refused = store.commit(&batch, at(2)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Rewound { seq: 5, head, .. } if head == ends_with),
            "{refused:?}"
        );
    }
    timeout(Duration::from_secs(5), store.superseded())
        .await
        .unwrap();
    assert_eq!(store.head().await.unwrap().0, ends_with);
    assert!(store.cursors().await.unwrap().is_empty());
}

async fn a_writer_whose_last_rows_are_gone_writes_nothing_over_the_hole(home: Home) {
    let gone = [
        "DELETE FROM fact WHERE seq = 5",
        "DELETE FROM chain WHERE seq = 5",
    ];
    let store = rewound(&home, &gone).await;
    expect_rewound(&store, 4).await;
    store.close().await.unwrap();
    // whoever opens the ledger anew knows no more than it says
    let next = home.open().await;
    next.commit(&facts([fact("web-3", 9)]), at(3))
        .await
        .unwrap();
    assert_eq!(next.head().await.unwrap().0, 5);
}

async fn a_writer_whose_last_row_was_replaced_by_another_writes_nothing_behind_it(home: Home) {
    let other = format!("UPDATE chain SET hash = 'sha256:{:064}' WHERE seq = 5", 7);
    let store = rewound(&home, &[other.as_str()]).await;
    expect_rewound(&store, 5).await;
}

async fn a_row_that_another_task_appended_since_is_no_loss(home: Home) {
    let store = home.open().await;
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let batch = facts([fact(&format!("web-{n}"), n)]);
                store.commit(&batch, at(0)).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.head().await.unwrap().0, 8);
    // a batch that appends nothing is refused no more than any other
    let known = store.commit(&facts([fact("web-1", 1)]), at(1)).await;
    assert_eq!(known.unwrap().unchanged, 1);
}
