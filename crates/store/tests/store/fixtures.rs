//! Facts, documents and entries for the tests, and a ledger file to put them in.

use std::path::{Path, PathBuf};

use leasehold_ledger::canonical::digest_bytes;
use leasehold_ledger::document::{EffectiveDoc, PeriodOpenDoc};
use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
use leasehold_ledger::journal::{Entry, EntryKind, Posting};
use leasehold_ledger::money::Money;
use leasehold_ledger::time::{Period, PeriodKind, Second, Zone};
use leasehold_store::{Batch, Record, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

/// A ledger file in a folder of its own, which goes with it.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.path()).await.unwrap()
    }

    /// A connection past the store, as a person with a SQL prompt has one.
    pub(crate) async fn prompt(&self) -> SqliteConnection {
        prompt(&self.path()).await
    }
}

/// A connection to any SQLite file, without enforced references.
pub(crate) async fn prompt(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(false)
        .connect()
        .await
        .unwrap()
}

/// Noon UTC of 5 September 2026, plus some seconds.
pub(crate) fn at(seconds: i64) -> Second {
    Second::parse("2026-09-05T12:00:00Z").unwrap().plus(seconds)
}

/// The opening of a pod's CPU use by 市政府办's office automation: 500 milli-cores.
pub(crate) fn fact(uid: &str, version: u32) -> Fact {
    Fact {
        source: Source {
            cluster: "6a1f".to_owned(),
            etcd: 1,
            uid: uid.to_owned(),
            version: version.to_string(),
        },
        meter: Meter::Pod {
            resource: "cpu".to_owned(),
        },
        kind: FactKind::Opened,
        at: at(i64::from(version)),
        quantity: 500,
        subject: Subject {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "市政府办公自动化".to_owned(),
            provider: "provider-a".to_owned(),
            contract: "2026-017".to_owned(),
            budget: "2010302".to_owned(),
            request: 3,
            object: format!("Pod gov-office--prod/{uid}"),
        },
        estimated: false,
        bounds: None,
        evidence: "status.conditions[PodScheduled]".to_owned(),
    }
}

/// A request of a tenancy of 市政府办 that became effective.
pub(crate) fn effective(tenancy: &str, request: u32) -> EffectiveDoc {
    EffectiveDoc {
        department: "gov-office".to_owned(),
        tenancy: tenancy.to_owned(),
        incarnation: 1,
        request,
        not_before: at(0),
        at: at(i64::from(request)),
    }
}

/// The close of a period: 44.84 owed for compute.
pub(crate) fn entry(period: &str) -> Entry {
    let posting = |account: &str, minor| Posting {
        account: account.to_owned(),
        amount: Money::from_minor(minor),
    };
    Entry::new(
        format!("close/{period}/gov-office"),
        EntryKind::Close,
        at(0),
        "gov-office".to_owned(),
        Some(period.to_owned()),
        vec![
            posting("ar/gov-office", 4484),
            posting("revenue/compute", -4484),
        ],
    )
    .unwrap()
}

/// The opening of the period of this kind that contains the instant.
pub(crate) fn period_open(kind: PeriodKind, instant: Second) -> PeriodOpenDoc {
    let zone = Zone::parse("Asia/Shanghai").unwrap();
    PeriodOpenDoc {
        period: Period::containing(kind, &zone, instant).unwrap(),
        policy: digest_bytes(b"policy"),
        at: instant,
    }
}

/// A batch of facts.
pub(crate) fn facts(facts: impl IntoIterator<Item = Fact>) -> Batch {
    Batch::of(facts.into_iter().map(Record::from).collect())
}

/// One record of each table, and the mark of a real ledger.
pub(crate) fn one_of_each() -> Batch {
    Batch::of(vec![
        Record::from(fact("web-1", 7)),
        Record::document(&effective("oa", 3)).unwrap(),
        Record::from(entry("2026-08")),
        Record::document(&period_open(PeriodKind::Month, at(0))).unwrap(),
    ])
}
