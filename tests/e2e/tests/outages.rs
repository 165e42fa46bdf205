//! The ledger cannot be written, because the disk is full or fails, or its database is away: the operator stays, says so,
//! loses nothing of what happens meanwhile, and goes on by itself.
//!
//! First the ledger is a file, into which the operator may write no byte any more. Then the same ledger goes on in a
//! PostgreSQL server that is killed and comes back. At last it is a file again, on a file system that is full. That one is
//! mounted for it, which takes root: without it the test fails there, and says so.
//!
//! Environment: `LEASEHOLD_AWAY=600` lets each last so many seconds; 15 without it.

#[cfg(test)]
mod outages {
    use std::fs::{self, File};
    use std::io::{ErrorKind, Write as _};
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use leasehold_api::conditions::types;
    use leasehold_api::platform::CloudPolicy;
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::fact::FactKind;
    use leasehold_store::{FactFilter, Place, Roles, Store, StoreError};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::{
        LONG, OperatorOptions, OperatorProcess, PostgresDatabase, PostgresServer, User, eventually,
    };
    use tokio::time::{Instant, sleep};

    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];
    const CODE: &str = "outages";
    const PLACE: &str = "outages--prod";
    /// How long each lasts, unless somebody wants more, in seconds.
    const AWAY: u64 = 15;
    /// What the small file system holds.
    const SIZE: &str = "size=32m";
    /// How the operator says that nothing can be recorded.
    const TROUBLE: &str = "the ledger is in trouble: ";

    fn away() -> Duration {
        let asked = std::env::var("LEASEHOLD_AWAY").ok();
        let seconds = asked.map_or(AWAY, |text| text.parse().unwrap());
        Duration::from_secs(seconds)
    }

    /// Creates a pod that ends by itself, and waits until it has. Needs no operator.
    async fn runs_and_ends(office: &Office, name: &str) -> String {
        let manifest = pod(PLACE, name, "1", "1Gi", Some(2));
        office.staff.create(&manifest).await.unwrap();
        let what = format!("the end of pod {name}");
        let ended = eventually(&what, LONG, async || {
            let pod = office.staff.get::<Pod>(Some(PLACE), name).await?;
            let status = pod.status.unwrap_or_default();
            if status.phase.as_deref() == Some("Succeeded") {
                Ok(pod.metadata.uid.unwrap_or_default())
            } else {
                Err(format!("{:?}", status.phase))
            }
        });
        ended.await.unwrap()
    }

    /// Waits until the ledger has the beginning and the end of a pod, each once and as it was, not estimated.
    async fn is_recorded(stage: &Stage, place: &Place, uid: &str) {
        let told = |error: StoreError| format!("{error:?}");
        let filter = FactFilter {
            uid: Some(uid.to_owned()),
            ..FactFilter::default()
        };
        let seen = stage.see("all of a pod in the ledger", LONG, async || {
            let store = Store::open_read_only(place).await.map_err(told)?;
            let facts = store.facts(&filter).await.map_err(told)?;
            store.close().await.map_err(told)?;
            let of_cpu = facts
                .into_iter()
                .map(|recorded| recorded.value)
                .filter(|fact| fact.meter.to_string() == "pod/cpu")
                .collect::<Vec<_>>();
            match of_cpu.as_slice() {
                [opened, closed] => Ok((opened.clone(), closed.clone())),
                _ => Err(format!("{of_cpu:?}")),
            }
        });
        let (opened, closed) = seen.await.unwrap();
        assert_eq!(opened.kind, FactKind::Opened);
        assert_eq!(closed.kind, FactKind::Closed);
        assert!(!opened.estimated && !closed.estimated, "{closed:?}");
        assert!(closed.at >= opened.at, "{opened:?} {closed:?}");
    }

    /// Version of the policy, and what it says of the ledger: status and since when, while it says anything.
    async fn on_the_policy(stage: &Stage) -> Result<(String, Option<(String, Time)>), String> {
        let auditor = stage.user(User::Auditor).await;
        let auditor = auditor.map_err(|failure| format!("{failure:?}"))?;
        let policy = auditor.get::<CloudPolicy>(None, "default").await?;
        let conditions = policy.status.unwrap_or_default().conditions.into_iter();
        let told = conditions
            .filter(|condition| condition.type_ == types::LEDGER_AVAILABLE)
            .map(|condition| {
                assert_eq!(condition.reason, "NotRecorded");
                (condition.status, condition.last_transition_time)
            })
            .next();
        let version = policy.metadata.resource_version.unwrap_or_default();
        Ok((version, told))
    }

    /// Waits until the operator is in trouble over its ledger, or out of it, by its page, its metric and the policy.
    async fn is_told(stage: &Stage, in_trouble: bool) -> String {
        let what = format!("trouble with the ledger told: {in_trouble}");
        let seen = stage.see(&what, LONG, async || {
            let operator = stage.operator.lock().await;
            let ready = operator.fetch("/readyz").await;
            let told = operator.counted("leasehold_ledger_trouble", "").await?;
            let said = ready.unwrap_or_else(|said| said);
            let (_, shown) = on_the_policy(stage).await?;
            let is_shown = shown.as_ref().is_some_and(|(status, _)| status == "False");
            let is_as_it_should_be = said.contains(TROUBLE) == in_trouble
                && (told == 1) == in_trouble
                && is_shown == in_trouble
                && shown.is_some() == in_trouble;
            if is_as_it_should_be {
                Ok(said)
            } else {
                Err(format!("{said}, metric {told}, on the policy {shown:?}"))
            }
        });
        seen.await.unwrap()
    }

    /// Lets the trouble last, while the operator must stay and must not call itself well. What it says on the policy it says
    /// once.
    async fn lasts(stage: &Stage, since: Instant) {
        let told = on_the_policy(stage).await.unwrap();
        while since.elapsed() < away() {
            {
                let mut operator = stage.operator.lock().await;
                let running = operator.is_running();
                assert!(running, "it ended by itself:\n{}", operator.tail());
                let ready = operator.fetch("/readyz").await;
                assert!(ready.is_err(), "it calls itself ready");
                operator.fetch("/livez").await.unwrap();
            }
            // what lasts is the trouble, nothing is waited for
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(on_the_policy(stage).await.unwrap(), told);
    }

    /// The ledger of the file, in a database.
    async fn moved(stage: &Stage, server: &PostgresServer) -> PostgresDatabase {
        let database = server.database().unwrap();
        let owner: Place = database.owner.parse().unwrap();
        let roles = Roles {
            service: Some(database.service_role.clone()),
            reader: Some(database.reader_role.clone()),
        };
        Store::migrate(&owner, &roles).await.unwrap();
        let mut operator = stage.operator.lock().await;
        operator.terminate();
        let file = Store::open_read_only(operator.ledger()).await.unwrap();
        let service: Place = database.service.parse().unwrap();
        let target = Store::open(&service).await.unwrap();
        file.copy_into(&target, |_| ()).await.unwrap();
        file.close().await.unwrap();
        target.close().await.unwrap();
        let options = OperatorOptions::with_ledger(operator.ledger().to_owned());
        let options = options.in_database(&database.service);
        *operator = OperatorProcess::start(stage.rig, options).await.unwrap();
        database
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ledger_that_cannot_be_written_is_told_and_nothing_is_lost() {
        let stage = Box::pin(Stage::shared()).await.unwrap();
        let office = stage.office(CODE, "气象局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        Box::pin(office.lease(&manifest)).await.unwrap();
        Box::pin(no_room_in_the_file(stage, &office)).await;

        let server = PostgresServer::start().unwrap();
        let database = Box::pin(moved(stage, &server)).await;
        Box::pin(no_server(stage, &office, &server, &database)).await;

        let small = SmallDisk::mount(stage.rig.scratch("small-disk").unwrap());
        Box::pin(no_room_on_the_disk(stage, &office, &database, &small)).await;
    }

    /// A file system of its own, in memory, which is gone with this.
    struct SmallDisk(PathBuf);

    impl SmallDisk {
        fn mount(at: PathBuf) -> Self {
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", SIZE, "leasehold"])
                .arg(&at);
            let ran = mount.output().unwrap();
            assert!(
                ran.status.success(),
                "failed to mount a small file system at {}: {}; a full disk is shown as root alone",
                at.display(),
                String::from_utf8_lossy(&ran.stderr)
            );
            Self(at)
        }

        fn ledger(&self) -> PathBuf {
            self.0.join("ledger.db")
        }

        fn filler(&self) -> PathBuf {
            self.0.join("filler")
        }

        /// Leaves no room for a page.
        fn fill(&self) {
            let mut filler = File::create(self.filler()).unwrap();
            let full = loop {
                if let Err(error) = filler.write_all(&[0; 4096]) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }

        fn make_room(&self) {
            fs::remove_file(self.filler()).unwrap();
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            // whoever still has a file of it open keeps that until its own end
            drop(Command::new("umount").arg("-l").arg(&self.0).output());
        }
    }

    /// The ledger of the database goes on in a file on a disk that others fill.
    async fn no_room_on_the_disk(
        stage: &'static Stage,
        office: &Office,
        database: &PostgresDatabase,
        small: &SmallDisk,
    ) {
        {
            let mut operator = stage.operator.lock().await;
            operator.terminate();
            let reader: Place = database.reader.parse().unwrap();
            let source = Store::open_read_only(&reader).await.unwrap();
            let target = Store::open(small.ledger()).await.unwrap();
            source.copy_into(&target, |_| ()).await.unwrap();
            source.close().await.unwrap();
            target.close().await.unwrap();
            let options = OperatorOptions::with_ledger(small.ledger());
            *operator = OperatorProcess::start(stage.rig, options).await.unwrap();
        }
        let place = Place::from(small.ledger());
        let before = runs_and_ends(office, "before-full").await;
        is_recorded(stage, &place, &before).await;

        small.fill();
        let since = Instant::now();
        let during = runs_and_ends(office, "full").await;
        let said = is_told(stage, true).await;
        assert!(said.contains("database or disk is full"), "{said}");
        lasts(stage, since).await;
        let late = runs_and_ends(office, "full-late").await;

        small.make_room();
        is_told(stage, false).await;
        for uid in [before, during, late] {
            is_recorded(stage, &place, &uid).await;
        }
        let store = Store::open_read_only(&place).await.unwrap();
        store.integrity().await.unwrap();
        store.close().await.unwrap();
        stage.operator.lock().await.terminate();
    }

    async fn no_room_in_the_file(stage: &'static Stage, office: &Office) {
        let place = Place::from(stage.operator.lock().await.ledger());
        let before = runs_and_ends(office, "before").await;
        is_recorded(stage, &place, &before).await;

        stage.operator.lock().await.may_write(false).unwrap();
        let since = Instant::now();
        let during = runs_and_ends(office, "no-room").await;
        let said = is_told(stage, true).await;
        assert!(
            said.contains("(code: "),
            "it says not what SQLite said: {said}"
        );
        lasts(stage, since).await;
        let late = runs_and_ends(office, "no-room-late").await;

        stage.operator.lock().await.may_write(true).unwrap();
        is_told(stage, false).await;
        for uid in [before, during, late] {
            is_recorded(stage, &place, &uid).await;
        }
        let store = Store::open_read_only(&place).await.unwrap();
        store.integrity().await.unwrap();
    }

    async fn no_server(
        stage: &'static Stage,
        office: &Office,
        server: &PostgresServer,
        database: &PostgresDatabase,
    ) {
        let place: Place = database.reader.parse().unwrap();
        let before = runs_and_ends(office, "before-again").await;
        is_recorded(stage, &place, &before).await;

        server.kill();
        let since = Instant::now();
        let during = runs_and_ends(office, "no-server").await;
        let said = is_told(stage, true).await;
        assert!(said.contains("does not answer"), "{said}");
        lasts(stage, since).await;
        let late = runs_and_ends(office, "no-server-late").await;

        server.revive().unwrap();
        is_told(stage, false).await;
        for uid in [before, during, late] {
            is_recorded(stage, &place, &uid).await;
        }
        let store = Store::open_read_only(&place).await.unwrap();
        store.integrity().await.unwrap();
    }
}
