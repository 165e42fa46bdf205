//! The ledger is put back to what it was some time ago, as from a backup, while the cluster went on.
//!
//! What the API server still tells is recorded again as it was; what it should have forgotten would lie in a gap that is
//! named. A decision that was made meanwhile is read from the object that still shows it. Nothing is there twice.

#[cfg(test)]
mod older_ledger {
    use std::fs;
    use std::path::{Path, PathBuf};

    use k8s_openapi::api::core::v1::Pod;
    use leasehold_api::charging::{Approval, Statement};
    use leasehold_api::tenancy::{Phase, Tenancy};
    use leasehold_e2e::{Office, PERIODS, Stage};
    use leasehold_ledger::document::{DecisionDoc, Document, EffectiveDoc, GapDoc};
    use leasehold_ledger::fact::{Fact, FactKind};
    use leasehold_ledger::verify::Report;
    use leasehold_store::{FactFilter, Store, StoreError};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::{LONG, OperatorOptions, OperatorProcess, User, eventually};
    use serde_json::json;

    const CODE: &str = "older";
    const PLACE: &str = "older--prod";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];
    const MORE: [(&str, &str); 2] = [("vcpu-x86", "12"), ("memory", "16Gi")];
    /// The request that is decided after the backup, as decisions are listed.
    const DECIDED: &str = "older/oa/1/2";
    /// How a played pod is told that its lifetime is over.
    const LIFETIME: &str = "kwok.leasehold.dev/lifetime=1";
    const CORES_OF_PODS: &str = "pod/cpu";
    const CORES_LEASED: &str = "lease/vcpu-x86";
    const BOTH: [FactKind; 2] = [FactKind::Opened, FactKind::Closed];

    /// A department with a lease, under a policy of months, so that no period ends meanwhile.
    async fn leased() -> Office {
        let stage = Stage::bare().await.unwrap();
        let mut policy = Stage::policy().unwrap();
        policy["spec"]["period"] = json!({"kind": "Month"});
        stage.furnish(&policy).await.unwrap();
        let office = stage.office(CODE, "市档案馆").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        office
    }

    async fn kubectl(office: &Office, words: &[&str]) {
        let ran = office.staff.kubectl(words, "").await.unwrap();
        ran.ok().unwrap();
    }

    /// Waits until a pod is in a phase. Needs no operator.
    async fn in_phase(office: &Office, name: &str, phase: &str) {
        let what = format!("pod {name} {phase}");
        let seen = eventually(&what, LONG, async || {
            let pod = office.staff.get::<Pod>(Some(PLACE), name).await?;
            let found = pod.status.unwrap_or_default().phase;
            if found.as_deref() == Some(phase) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        });
        seen.await.unwrap();
    }

    /// Runs a pod, which ends by itself after so many seconds if any are given.
    async fn run(office: &Office, name: &str, seconds: Option<u32>) {
        let manifest = pod(PLACE, name, "1", "1Gi", seconds);
        office.staff.create(&manifest).await.unwrap();
        let phase = seconds.map_or("Running", |_| "Succeeded");
        in_phase(office, name, phase).await;
    }

    /// The department's facts of a meter.
    async fn facts(ledger: &Path, meter: &str) -> Result<Vec<Fact>, String> {
        let told = |error: StoreError| error.to_string();
        let store = Store::open_read_only(ledger).await.map_err(told)?;
        let filter = FactFilter {
            department: Some(CODE.to_owned()),
            ..FactFilter::default()
        };
        let found = store.facts(&filter).await.map_err(told)?;
        store.close().await.map_err(told)?;
        let all = found.into_iter().map(|recorded| recorded.value);
        Ok(all.filter(|fact| fact.meter.to_string() == meter).collect())
    }

    /// What the ledger has of the cores of a pod, once that is so much.
    async fn once(ledger: &Path, name: &str, expected: &[FactKind]) -> Vec<Fact> {
        let object = format!("Pod {PLACE}/{name}");
        let what = format!("{expected:?} of {name} in {}", ledger.display());
        let seen = eventually(&what, LONG, async || {
            let mut found = facts(ledger, CORES_OF_PODS).await?;
            found.retain(|fact| fact.subject.object == object);
            if found
                .iter()
                .map(|fact| fact.kind)
                .eq(expected.iter().copied())
            {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        });
        seen.await.unwrap()
    }

    async fn documents<D: Document>(ledger: &Path) -> Vec<D> {
        let store = Store::open_read_only(ledger).await.unwrap();
        let found = store.documents::<D>(None, None).await.unwrap();
        store.close().await.unwrap();
        found.into_iter().map(|recorded| recorded.value).collect()
    }

    /// The decisions on the second request, once it is effective.
    async fn decisions(ledger: &Path) -> Vec<DecisionDoc> {
        let what = format!("the second request effective in {}", ledger.display());
        let seen = eventually(&what, PERIODS, async || {
            let effective = documents::<EffectiveDoc>(ledger).await;
            let of_it = effective
                .iter()
                .filter(|found| found.department == CODE && found.request == 2);
            match of_it.count() {
                1 => Ok(()),
                many => Err(format!("{many} times: {effective:?}")),
            }
        });
        seen.await.unwrap();
        let mut decisions = documents::<DecisionDoc>(ledger).await;
        decisions.retain(|found| found.subject == DECIDED);
        decisions
    }

    /// The lease grows: the department asks, the office decides.
    async fn grows(office: &Office) {
        let more = office.manifest("oa", &MORE, &[("prod", &MORE)]).unwrap();
        office.staff.apply(&more).await.unwrap();
        office.approve("oa", 2).await.unwrap();
        has_grown(office).await;
    }

    async fn has_grown(office: &Office) {
        let grown = |tenancy: &Tenancy| {
            tenancy.status.as_ref().is_some_and(|status| {
                let mut cores = status.approved.iter().filter(|l| &*l.item == "vcpu-x86");
                let is_more = cores.any(|leased| leased.quantity.to_string() == "12");
                status.phase == Phase::Active && is_more
            })
        };
        office.when("oa", "the larger lease", grown).await.unwrap();
    }

    /// A backup beside the running operator, and its head.
    async fn back_up(stage: &Stage, ledger: &Path) -> (PathBuf, String) {
        let folder = stage.rig.scratch("older-backup").unwrap();
        let file = folder.join("backup.db");
        let [from, to] = [ledger, &file].map(|path| path.display().to_string());
        let auditor = stage.user(User::Auditor).await.unwrap();
        let backup = ["backup", "--db", &from, "-f", &to];
        let ran = auditor.leasehold(&backup).await;
        ran.unwrap().ok().unwrap();
        let store = Store::open_read_only(file.as_path()).await.unwrap();
        let (_, head) = store.head().await.unwrap();
        store.close().await.unwrap();
        (file, head.to_string())
    }

    /// The operator goes on with what the backup holds, in another place.
    async fn restored(stage: &Stage, backup: &Path) -> PathBuf {
        let folder = stage.rig.scratch("older-restored").unwrap();
        let ledger = folder.join("ledger.db");
        let [from, to] = [backup, &ledger].map(|path| path.display().to_string());
        let mut operator = stage.operator.lock().await;
        operator.terminate();
        let admin = stage.user(User::Admin).await.unwrap();
        let ran = admin.leasehold(&["restore", &from, "--into", &to]).await;
        ran.unwrap().ok().unwrap();
        let options = OperatorOptions::with_ledger(ledger.clone());
        *operator = OperatorProcess::start(stage.rig, options).await.unwrap();
        ledger
    }

    /// What is told again is what was told, or it is bounded by a gap that is named.
    fn are_caught_up(again: &[Fact], first: &[Fact], gap: Option<&GapDoc>) {
        assert_eq!(again.len(), first.len());
        for (again, first) in again.iter().zip(first) {
            let told = |fact: &Fact| (fact.kind, fact.at, fact.quantity, fact.subject.clone());
            let Some(bounds) = again.bounds else {
                assert_eq!(told(again), told(first));
                continue;
            };
            let gap = gap.expect("an estimate without a gap");
            assert!(bounds.lower <= first.at && first.at <= bounds.upper);
            assert!(bounds.upper <= gap.to, "{again:?} {gap:?}");
        }
    }

    #[tokio::test]
    async fn an_operator_on_a_ledger_from_a_backup_catches_up_and_counts_nothing_twice() {
        let office = leased().await;
        let stage = office.stage;
        let lost = stage.operator.lock().await.ledger().to_owned();
        for name in ["stays", "goes"] {
            run(&office, name, None).await;
            once(&lost, name, &[FactKind::Opened]).await;
        }
        let (backup, head) = back_up(stage, &lost).await;

        // after it: one pod comes and goes, one ends and is taken away, and a request is decided
        run(&office, "between", Some(2)).await;
        let between = once(&lost, "between", &BOTH).await;
        let over = ["annotate", "pod", "goes", "-n", PLACE, LIFETIME];
        kubectl(&office, &over).await;
        in_phase(&office, "goes", "Succeeded").await;
        let goes = once(&lost, "goes", &BOTH).await;
        kubectl(&office, &["delete", "pod", "goes", "-n", PLACE]).await;
        grows(&office).await;
        let decided = decisions(&lost).await;

        let ledger = restored(stage, &backup).await;
        let again = [
            once(&ledger, "between", &BOTH).await,
            once(&ledger, "goes", &BOTH).await,
        ];
        let gaps = documents::<GapDoc>(&ledger).await;
        let gap = gaps.iter().find(|gap| gap.source == "pods");
        are_caught_up(&again[0], &between, gap);
        are_caught_up(&again[1], &goes, gap);
        once(&ledger, "stays", &[FactKind::Opened]).await;

        the_decision_counts_once(&office, &ledger, &decided).await;
        the_month_is_billed_once(&office).await;
        all_is_proven(stage, &head).await;
    }

    /// It is the same person's word on the same paper, and the lease grows once.
    async fn the_decision_counts_once(office: &Office, ledger: &Path, before: &[DecisionDoc]) {
        let again = decisions(ledger).await;
        let told = |found: &DecisionDoc| {
            let DecisionDoc {
                decision,
                decided_by,
                approval_uid,
                order_no,
                ..
            } = found.clone();
            (decision, decided_by, approval_uid, order_no)
        };
        assert_eq!((before.len(), again.len()), (1, 1), "{again:?}");
        assert_eq!(told(&again[0]), told(&before[0]));
        has_grown(office).await;
        let of_cores = facts(ledger, CORES_LEASED).await.unwrap();
        let of_cores: Vec<_> = of_cores
            .iter()
            .map(|fact| (fact.kind, fact.quantity))
            .collect();
        let expected = [(FactKind::Opened, 8_000), (FactKind::Changed, 12_000)];
        assert_eq!(of_cores, expected);
        let place = Some(office.place.as_str());
        let approvals = office.staff.list::<Approval>(place).await.unwrap();
        let asked = approvals
            .iter()
            .filter(|approval| approval.spec.subject.request == 2);
        assert_eq!(asked.count(), 1);
    }

    /// One statement of the department, with one line of what it leases.
    async fn the_month_is_billed_once(office: &Office) {
        let place = Some(office.place.as_str());
        let what = "a statement with the cores";
        let seen = office.stage.see(what, PERIODS, async || {
            let found = office.staff.list::<Statement>(place).await;
            let found = found.map_err(|failure| format!("{failure:?}"))?;
            let lines = found.iter().map(|statement| {
                let lines = statement.spec.lines.iter();
                lines.filter(|line| line.item == "vcpu-x86").count()
            });
            let lines: Vec<usize> = lines.collect();
            if lines == [1] {
                Ok(())
            } else {
                Err(format!("lines of the cores in each statement: {lines:?}"))
            }
        });
        seen.await.unwrap();
    }

    /// The ledger still goes back to what was backed up, and no key was taken by two bodies.
    async fn all_is_proven(stage: &Stage, head: &str) {
        let folder = stage.rig.scratch("older-verified").unwrap();
        let operator = stage.operator.lock().await;
        let copy = operator.copy_ledger(&folder).unwrap().display().to_string();
        let log = fs::read_to_string(operator.log()).unwrap();
        assert!(!log.contains("the ledger holds it since row"), "{log}");
        let auditor = stage.user(User::Auditor).await.unwrap();
        let verify = ["verify", "--db", &copy, "--head", head, "-o", "json"];
        let ran = auditor.leasehold(&verify).await.unwrap();
        let report: Report = ran.ok().unwrap().json().unwrap();
        assert_eq!(report.finding, None);
    }
}
