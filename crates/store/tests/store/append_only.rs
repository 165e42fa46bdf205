//! The database itself refuses to change what was written.

use leasehold_store::{Batch, Cursor};

use crate::fixtures::{Home, at, on_both, one_of_each};

on_both!(
    every_update_and_delete_of_every_append_only_table_is_refused,
    an_insertion_that_would_replace_or_amend_history_is_refused,
    the_chain_takes_only_the_next_row_that_links_to_its_head,
    a_cursor_is_the_one_thing_that_moves,
);

/// Statements that must all fail, one group per table.
const FORBIDDEN: [&str; 12] = [
    "UPDATE chain SET inserted_at = 0",
    "DELETE FROM chain",
    "UPDATE fact SET quantity = 1",
    "DELETE FROM fact",
    "UPDATE document SET subject = 'x'",
    "DELETE FROM document",
    "UPDATE entry SET department = 'x'",
    "DELETE FROM entry",
    "UPDATE posting SET amount = 1",
    "DELETE FROM posting",
    "UPDATE meta SET value = 'true'",
    "DELETE FROM meta",
];

/// The same through the back door: an insertion that would replace, or that comes too late.
const DISGUISED: [&str; 7] = [
    "INSERT OR REPLACE INTO chain SELECT seq, kind, key, digest, prev, hash, 0, 1 FROM chain \
     WHERE seq = 1",
    "INSERT OR REPLACE INTO fact SELECT seq, cluster, etcd, uid, version, meter, kind, at, 1, \
     department, tenancy, incarnation, system, provider, contract, budget, request, object, \
     estimated, lower_at, upper_at, evidence FROM fact",
    "INSERT OR REPLACE INTO document SELECT seq, kind, key, subject, '{}' FROM document",
    "INSERT OR REPLACE INTO entry SELECT seq, id, kind, at, 'x', period FROM entry",
    "INSERT OR REPLACE INTO posting SELECT entry, n, account, 1 FROM posting",
    "INSERT INTO posting VALUES (3, 3, 'ar/gov-office', 1)",
    "INSERT OR REPLACE INTO meta VALUES ('rehearsal', 'true')",
];

/// The back door of PostgreSQL.
const DISGUISED_ON_A_SERVER: [&str; 9] = [
    "TRUNCATE chain",
    "TRUNCATE fact, document, entry, posting, meta",
    "INSERT INTO chain SELECT * FROM chain WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET inserted_at = 0",
    "INSERT INTO fact SELECT * FROM fact ON CONFLICT (seq) DO UPDATE SET quantity = 1",
    "INSERT INTO document VALUES (1, 'note', '1', 'x', '{}')",
    "INSERT INTO entry VALUES (1, 'late', 'close', 0, 'gov-office', NULL)",
    "INSERT INTO posting VALUES (3, 3, 'ar/gov-office', 1)",
    "MERGE INTO meta USING (VALUES ('rehearsal')) AS v (name) ON meta.name = v.name \
     WHEN MATCHED THEN UPDATE SET value = 'true'",
    "WITH gone AS (DELETE FROM posting RETURNING entry) SELECT * FROM gone",
];

async fn every_update_and_delete_of_every_append_only_table_is_refused(home: Home) {
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let mut prompt = home.prompt().await;
    for sql in FORBIDDEN {
        let refused = prompt.run(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only: "), "{sql}: {refused}");
    }
    assert_eq!(store.integrity().await.unwrap().rows, 4);
}

async fn an_insertion_that_would_replace_or_amend_history_is_refused(home: Home) {
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let mut prompt = home.prompt().await;
    let disguised: &[&str] = match &home {
        Home::File(_) => &DISGUISED,
        Home::Server(_) => &DISGUISED_ON_A_SERVER,
    };
    for sql in disguised {
        let refused = prompt.run(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only: "), "{sql}: {refused}");
    }
    assert_eq!(store.integrity().await.unwrap().rows, 4);
}

async fn the_chain_takes_only_the_next_row_that_links_to_its_head(home: Home) {
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let mut prompt = home.prompt().await;
    for (sql, reason) in [
        (
            "INSERT INTO chain VALUES (6, 'fact', 'k', 'd', 'p', 'h', 0, 1)",
            "next sequence number",
        ),
        (
            "INSERT INTO chain VALUES (5, 'fact', 'k', 'd', 'p', 'h', 0, 1)",
            "links to its head",
        ),
    ] {
        let refused = prompt.run(sql).await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{sql}: {refused}");
    }
}

async fn a_cursor_is_the_one_thing_that_moves(home: Home) {
    let store = home.open().await;
    for version in ["7", "8"] {
        let cursor = Cursor {
            source: "pods".to_owned(),
            resource_version: version.to_owned(),
            complete_to: None,
            observed_at: at(0),
        };
        let batch = Batch::default().with_cursor(cursor);
        store.commit(&batch, at(0)).await.unwrap();
    }
    let cursor = store.cursor("pods").await.unwrap().unwrap();
    assert_eq!(
        (cursor.resource_version.as_str(), cursor.complete_to),
        ("8", None)
    );
    let mut prompt = home.prompt().await;
    prompt.run("DELETE FROM cursor").await.unwrap();
    assert!(store.cursors().await.unwrap().is_empty());
}
