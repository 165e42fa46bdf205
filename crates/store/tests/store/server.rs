//! What only a server has: roles, connections that break, and an address with a password in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_store::{FactFilter, Place, Roles, Store, StoreError};
use leasehold_testkit::{PostgresDatabase, PostgresServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fixtures::{Home, at, fact, facts, one_of_each, session};

/// What the role of the operator must not do, and a part of the refusal.
const FORBIDDEN: [(&str, &str); 19] = [
    ("UPDATE chain SET inserted_at = 0", "permission denied"),
    ("DELETE FROM chain", "permission denied"),
    ("TRUNCATE chain", "permission denied"),
    ("DROP TABLE chain", "must be owner"),
    ("UPDATE fact SET quantity = 1", "permission denied"),
    ("DELETE FROM fact", "permission denied"),
    ("TRUNCATE fact", "permission denied"),
    ("DELETE FROM document", "permission denied"),
    ("DELETE FROM entry", "permission denied"),
    ("UPDATE posting SET amount = 1", "permission denied"),
    ("UPDATE meta SET value = 'true'", "permission denied"),
    ("DELETE FROM migration", "permission denied"),
    (
        "DROP TRIGGER chain_refuses_change ON chain",
        "must be owner",
    ),
    ("ALTER TABLE chain DISABLE TRIGGER ALL", "must be owner"),
    (
        "SET session_replication_role = replica",
        "permission denied",
    ),
    (
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        "denied",
    ),
    (
        "CREATE TABLE leasehold.stranger (n INTEGER)",
        "permission denied",
    ),
    ("DROP SCHEMA leasehold CASCADE", "must be owner"),
    ("SELECT admit_service('public')", "permission denied"),
];

fn database() -> PostgresDatabase {
    PostgresServer::shared().unwrap().database().unwrap()
}

fn place(url: &str) -> Place {
    url.parse().unwrap()
}

#[tokio::test]
async fn the_role_of_the_operator_appends_and_changes_nothing() {
    let home = Home::server();
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let mut prompt = home.service_prompt().await;
    for (sql, reason) in FORBIDDEN {
        let refused = prompt.run(sql).await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{sql}: {refused}");
    }
    assert_eq!(store.integrity().await.unwrap().rows, 4);
}

#[tokio::test]
async fn a_role_that_could_change_history_is_not_written_with() {
    let database = database();
    let owner = place(&database.owner);
    Store::migrate(&owner, &Roles::default()).await.unwrap();
    let refused = Store::open(&owner).await.unwrap_err();
    let StoreError::TooManyRights { role, .. } = &refused else {
        panic!("expected TooManyRights, got {refused}");
    };
    assert!(database.owner.contains(role.as_str()), "{role}");

    let roles = Roles {
        service: Some(database.service_role.clone()),
        reader: None,
    };
    Store::migrate(&owner, &roles).await.unwrap();
    let service = place(&database.service);
    Store::open(&service).await.unwrap().close().await.unwrap();
    let mut prompt = crate::fixtures::Prompt::Postgres(session(&database.owner).await);
    for grant in ["DELETE ON fact", "UPDATE (quantity) ON fact"] {
        let grant = format!("GRANT {grant} TO {}", database.service_role);
        prompt.run(&grant).await.unwrap();
        let refused = Store::open(&service).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::TooManyRights { .. }),
            "{grant}: {refused}"
        );
        // what was given by hand is taken away again
        Store::migrate(&owner, &roles).await.unwrap();
        let store = Store::open(&service).await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_role_that_could_become_one_that_changes_history_is_not_written_with() {
    let database = database();
    let owner = place(&database.owner);
    let roles = Roles {
        service: Some(database.service_role.clone()),
        reader: None,
    };
    Store::migrate(&owner, &roles).await.unwrap();
    let server = PostgresServer::shared().unwrap();
    let service = &database.service_role;
    // it inherits nothing, and has to change to the other role first
    server
        .run(&format!("ALTER ROLE {service} NOINHERIT"))
        .unwrap();
    let (who, _) = database.owner.split_once(":leasehold@").unwrap();
    let (_, owners) = who.split_once("://").unwrap();
    for other in [owners, "pg_write_all_data"] {
        server.run(&format!("GRANT {other} TO {service}")).unwrap();
        let refused = Store::open(place(&database.service)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::TooManyRights { .. }),
            "{other}: {refused}"
        );
        server
            .run(&format!("REVOKE {other} FROM {service}"))
            .unwrap();
    }
    assert!(Store::open(place(&database.service)).await.is_ok());
}

#[tokio::test]
async fn a_database_without_tables_is_refused_with_the_command_that_makes_them() {
    let database = database();
    for refused in [
        Store::open(place(&database.service)).await.unwrap_err(),
        Store::open_read_only(place(&database.reader))
            .await
            .unwrap_err(),
    ] {
        let told = refused.to_string();
        assert!(told.contains("leasehold ledger migrate"), "{told}");
    }
}

#[tokio::test]
async fn a_role_for_reading_reads_and_a_role_that_was_not_let_in_does_not() {
    let home = Home::server();
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let Home::Server(database) = &home else {
        panic!("it is a server")
    };
    let reader = Store::open_read_only(place(&database.reader))
        .await
        .unwrap();
    assert_eq!(reader.integrity().await.unwrap().rows, 4);
    let backup = Store::in_memory().await.unwrap();
    assert_eq!(reader.copy_into(&backup, |_| ()).await.unwrap().rows, 4);
    let stranger = self::database();
    let elsewhere = database.reader.rsplit_once('/').unwrap().1;
    let (credentials, _) = stranger.reader.rsplit_once('/').unwrap();
    let stranger = place(&format!("{credentials}/{elsewhere}"));
    assert!(Store::open_read_only(stranger).await.is_err());
}

#[tokio::test]
async fn a_migration_is_repeated_without_effect_and_two_at_once_are_one() {
    let database = database();
    let owner = place(&database.owner);
    let roles = Roles {
        service: Some(database.service_role.clone()),
        reader: None,
    };
    let (a, b) = tokio::join!(
        Store::migrate(&owner, &roles),
        Store::migrate(&owner, &roles)
    );
    assert_eq!((a.unwrap(), b.unwrap()), (5, 5));
    assert_eq!(Store::migrate(&owner, &roles).await.unwrap(), 5);
    let store = Store::open(place(&database.service)).await.unwrap();
    assert_eq!(store.head().await.unwrap().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_outlives_the_loss_of_all_its_connections() {
    let home = Home::server();
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    let Home::Server(database) = &home else {
        panic!("it is a server")
    };
    PostgresServer::shared()
        .unwrap()
        .run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            database.service_role
        ))
        .unwrap();
    assert_eq!(store.facts(&FactFilter::default()).await.unwrap().len(), 1);
    let committed = store
        .commit(&facts([fact("web-2", 8)]), at(1))
        .await
        .unwrap();
    assert_eq!(committed.head_seq, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_named_within_the_deadline_and_comes_back_by_itself() {
    let server = PostgresServer::start().unwrap();
    let home = Home::Server(server.database().unwrap());
    let store = home.open().await;
    store.commit(&one_of_each(), at(0)).await.unwrap();
    server.kill();
    let batch = facts([fact("web-2", 8)]);
    let began = std::time::Instant::now();
    let gone = store.commit(&batch, at(1)).await.unwrap_err();
    assert!(matches!(gone, StoreError::Unreachable { .. }), "{gone:?}");
    let gone = Store::open_read_only(home.place()).await.unwrap_err();
    assert!(matches!(gone, StoreError::Unreachable { .. }), "{gone:?}");
    assert!(began.elapsed() < Duration::from_secs(45));

    server.revive().unwrap();
    let committed = store.commit(&batch, at(2)).await.unwrap();
    assert_eq!((committed.appended, committed.head_seq), (vec![5], 5));
    assert_eq!(store.integrity().await.unwrap().rows, 5);
}

/// Stands before a server and passes everything on. A connection on which a commit is sent while `silence` is set goes silent
/// instead: its server never hears of it, and its client never again of anything. Gives the address that leads through it.
async fn wire(url: &str, silence: Arc<AtomicBool>) -> String {
    let (rest, name) = url.rsplit_once('/').unwrap();
    let (who, server) = rest.rsplit_once('@').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("{who}@{}/{name}", listener.local_addr().unwrap());
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass(client, server, Arc::clone(&silence)));
        }
    });
    through
}

async fn pass(mut client: TcpStream, mut server: TcpStream, silence: Arc<AtomicBool>) {
    let (mut asked, mut told) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &asked[..length];
                let commits = sent.windows(6).any(|word| word == b"COMMIT");
                if commits && silence.swap(false, Ordering::SeqCst) {
                    server.shutdown().await.unwrap();
                    std::future::pending::<()>().await;
                }
                if server.write_all(sent).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut told) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&told[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_went_silent_keeps_nobody_from_writing_for_longer_than_it_may_take() {
    let home = Home::server();
    home.migrate().await;
    let Home::Server(database) = &home else {
        panic!("it is a server")
    };
    let silence = Arc::new(AtomicBool::new(false));
    let through = wire(&database.service, Arc::clone(&silence)).await;
    let store = Store::open(place(&through)).await.unwrap();
    store.commit(&one_of_each(), at(0)).await.unwrap();
    silence.store(true, Ordering::SeqCst);
    let batch = facts([fact("web-2", 8)]);
    let hasty = store.clone().with_deadline(Duration::from_secs(2));
    let lost = hasty.commit(&batch, at(1)).await.unwrap_err();
    assert!(matches!(lost, StoreError::Deadline { .. }), "{lost:?}");
    // the writer has one connection
    let committed = store.commit(&batch, at(2)).await.unwrap();
    assert_eq!((committed.appended, committed.head_seq), (vec![5], 5));
}

#[tokio::test]
async fn a_password_is_in_no_error_and_in_nothing_that_is_printed() {
    let database = database();
    let secret = database.service.replace(":leasehold@", ":s3cret@");
    let home = Home::server();
    let store = home.open().await;
    let shown = format!("{} {store:?} {:?}", store.place(), store.place());
    assert!(!shown.contains(":leasehold@"), "{shown}");
    let refused = Store::open(place(&secret)).await.unwrap_err();
    let told = format!("{refused} {refused:?}");
    assert!(!told.contains("s3cret"), "{told}");
}
