//! The operators, the database, and what everybody looks at.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use leasehold_api::charging::{Statement, StatementState};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::fact::{Fact, FactKind};
use leasehold_store::{FactFilter, Place, Store, StoreError};
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{
    LONG, NAMESPACE, OperatorOptions, OperatorProcess, PostgresDatabase, PostgresServer, Session,
    User, eventually,
};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _, Row as _};

/// What each department leases.
pub const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
/// The pod of the first operator, and that of the second.
pub const PODS: [&str; 2] = ["leasehold-0", "leasehold-1"];
/// Why an operator that stands by is not ready.
const STANDS_BY: &str = "starting: another operator has the ledger open";
/// The Lease of the operator, in its namespace.
const HEARTBEAT: &str = "leasehold-heartbeat";

/// Rows of each epoch, the first of them and the last.
const EPOCHS: &str = "SELECT epoch, COUNT(*) AS rows, MIN(seq) AS first, MAX(seq) AS last FROM chain \
     GROUP BY epoch ORDER BY epoch";
/// Rows of an epoch behind a row of a newer one.
const OLDER: &str =
    "SELECT COUNT(*) FROM chain a JOIN chain b ON b.seq = a.seq + 1 WHERE b.epoch < a.epoch";

/// What was written in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub number: i64,
    pub rows: i64,
    pub first: i64,
    pub last: i64,
}

/// Where all of it happens.
pub struct Ground {
    /// The control plane, with the first operator.
    pub stage: &'static Stage,
    /// The server of the ledger.
    pub server: &'static PostgresServer,
    /// The ledger.
    pub database: PostgresDatabase,
    /// An auditor.
    pub auditor: Session,
}

impl Ground {
    /// The platform of the examples, and the first operator with its ledger in a database.
    pub async fn begin() -> Self {
        let stage = Stage::bare().await.unwrap();
        let server = PostgresServer::shared().unwrap();
        let database = tables(stage, server).await;
        {
            let mut first = stage.operator.lock().await;
            first.terminate();
            let options = OperatorOptions::with_ledger(first.ledger().to_owned());
            let options = options.in_database(&database.service).held_by(PODS[0]);
            *first = OperatorProcess::start(stage.rig, options).await.unwrap();
        }
        let policy = Stage::policy().unwrap();
        Box::pin(stage.furnish(&policy)).await.unwrap();
        Self {
            stage,
            server,
            database,
            auditor: stage.user(User::Auditor).await.unwrap(),
        }
    }

    /// Another operator on the same database, once it says that it stands by.
    pub async fn second(&self) -> OperatorProcess {
        let ledger = self.stage.rig.scratch("second").unwrap().join("ledger.db");
        let options = OperatorOptions::with_ledger(ledger);
        let options = options.in_database(&self.database.service).held_by(PODS[1]);
        let second = OperatorProcess::launch(self.stage.rig, options)
            .await
            .unwrap();
        stands_by(&second).await;
        second
    }

    /// A department with a lease that stands.
    pub async fn leased(&self, code: &str, name: &str) -> Office {
        let office = self.stage.office(code, name).await.unwrap();
        let manifest = manifest(&office);
        Box::pin(office.lease(&manifest)).await.unwrap();
        office
    }

    /// Waits until the ledger has the beginning and the end of a pod, each once and as it was, not estimated.
    pub async fn is_recorded(&self, uid: &str) {
        let filter = FactFilter {
            uid: Some(uid.to_owned()),
            ..FactFilter::default()
        };
        let what = format!("all of the pod {uid} in the ledger");
        let seen = self.stage.see(&what, LONG, async || {
            let facts = self.facts(&filter).await.map_err(|e| format!("{e:?}"))?;
            let of_cpu: Vec<&Fact> = facts
                .iter()
                .filter(|fact| fact.meter.to_string() == "pod/cpu")
                .collect();
            match of_cpu.as_slice() {
                [] | [_] => Err(format!("{of_cpu:?}")),
                _ => Ok(of_cpu.into_iter().cloned().collect::<Vec<Fact>>()),
            }
        });
        let of_cpu = seen.await.unwrap();
        let kinds: Vec<FactKind> = of_cpu.iter().map(|fact| fact.kind).collect();
        assert_eq!(kinds, [FactKind::Opened, FactKind::Closed], "{of_cpu:?}");
        let estimated = of_cpu.iter().any(|fact| fact.estimated);
        assert!(!estimated, "{of_cpu:?}");
        assert!(of_cpu[1].at >= of_cpu[0].at, "{of_cpu:?}");
    }

    /// Facts of the ledger, as the reader's role reads them.
    pub async fn facts(&self, filter: &FactFilter) -> Result<Vec<Fact>, StoreError> {
        let place: Place = self.database.reader.parse().unwrap();
        let store = Store::open_read_only(place).await?;
        let facts = store.facts(filter).await?;
        store.close().await?;
        Ok(facts.into_iter().map(|recorded| recorded.value).collect())
    }

    /// The first final statement of a department that asks for something.
    pub async fn billed(&self, office: &Office) -> Statement {
        let what = format!("a bill of {}", office.code);
        let seen = self.stage.see(&what, PERIODS, async || {
            let all = office.staff.list::<Statement>(Some(&office.place)).await;
            let mut all = all.map_err(|failure| format!("{failure:?}"))?;
            all.sort_by(|a, b| a.spec.period.start.cmp(&b.spec.period.start));
            let asks = |found: &&Statement| {
                found.spec.state == StatementState::Final && !found.spec.lines.is_empty()
            };
            let bill = all.iter().find(asks).cloned();
            bill.ok_or_else(|| format!("{} statements, none of them is one", all.len()))
        });
        seen.await.unwrap()
    }

    /// Waits until the operator's Lease is signed by a pod.
    pub async fn heart_beats_in(&self, pod: &str) {
        let admin = self.stage.user(User::Admin).await.unwrap();
        let what = format!("a heartbeat of {pod}");
        let seen = self.stage.see(&what, LONG, async || {
            let lease = admin.get::<Lease>(Some(NAMESPACE), HEARTBEAT).await?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            if holder.as_deref() == Some(pod) {
                Ok(())
            } else {
                Err(format!("{holder:?}"))
            }
        });
        seen.await.unwrap();
    }

    /// What was written in each epoch, as the owner of the tables reads it.
    pub async fn epochs(&self) -> Vec<Epoch> {
        let mut owner = self.owner().await;
        let rows = owner.fetch_all(EPOCHS).await.unwrap();
        rows.iter()
            .map(|row| Epoch {
                number: row.get("epoch"),
                rows: row.get("rows"),
                first: row.get("first"),
                last: row.get("last"),
            })
            .collect()
    }

    /// How many rows of an operator stand behind a row of a later one.
    pub async fn rows_of_older_epochs(&self) -> i64 {
        let mut owner = self.owner().await;
        owner.fetch_one(OLDER).await.unwrap().get(0)
    }

    async fn owner(&self) -> PgConnection {
        let options: PgConnectOptions = self.database.owner.parse().unwrap();
        let options = options.options([("search_path", "leasehold")]);
        options.connect().await.unwrap()
    }
}

/// An empty database with the tables of a ledger, made as the manual says.
pub async fn tables(stage: &Stage, server: &PostgresServer) -> PostgresDatabase {
    let database = server.database().unwrap();
    let admin = stage.user(User::Admin).await.unwrap();
    let migrate = [
        "ledger",
        "migrate",
        "--db",
        &database.owner,
        "--service",
        &database.service_role,
        "--reader",
        &database.reader_role,
    ];
    let ran = admin.leasehold(&migrate).await.unwrap().ok().unwrap();
    assert!(ran.stdout.contains(": the schema has version "), "{ran:?}");
    database
}

/// Waits until an operator says that it stands by.
pub async fn stands_by(operator: &OperatorProcess) {
    let seen = eventually("an operator that stands by", LONG, async || match operator
        .fetch("/readyz")
        .await
    {
        Err(said) if said.contains(STANDS_BY) => Ok(()),
        Err(said) => Err(format!("{said}\n{}", operator.tail())),
        Ok(said) => Err(format!("it calls itself {said}")),
    });
    seen.await.unwrap();
}

/// The tenancy of a department.
pub fn manifest(office: &Office) -> Value {
    office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap()
}

/// Creates a pod that ends by itself, and waits until it has. Needs no operator.
pub async fn runs_and_ends(office: &Office, name: &str) -> String {
    let place = format!("{}--prod", office.code);
    let manifest = pod(&place, name, "1", "1Gi", Some(2));
    office.staff.create(&manifest).await.unwrap();
    let what = format!("the end of pod {name}");
    let ended = eventually(&what, LONG, async || {
        let pod = office.staff.get::<Pod>(Some(&place), name).await?;
        let status = pod.status.unwrap_or_default();
        if status.phase.as_deref() == Some("Succeeded") {
            Ok(pod.metadata.uid.unwrap_or_default())
        } else {
            Err(format!("{:?}", status.phase))
        }
    });
    ended.await.unwrap()
}
