//! Bills do not depend on the operator's life: it is killed twenty times while a department leases,
//! changes its lease and runs pods, and every statement is what the recorded times come to.

#[cfg(test)]
mod kills {
    use std::collections::{BTreeMap, BTreeSet};
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    use std::io::Write as _;
    use std::time::{Duration, Instant};

    use leasehold_api::charging::{Statement, StatementState};
    use leasehold_e2e::arithmetic::{Stretch, seam};
    use leasehold_e2e::recount::{Evidence, bounds, evidence, recount, stretch};
    use leasehold_e2e::{Office, PERIODS, Stage};
    use leasehold_ledger::fact::{Interval, Meter};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::{LONG, User, eventually};
    use serde_json::Value;

    /// Department, and scratch folder of its copies of the ledger.
    const CODE: &str = "kills";
    const PLACE: &str = "kills--prod";
    const KILLS: usize = 20;
    /// The kills are spread over so long: nearly two rehearsal months of 60 seconds.
    const SPREAD: Duration = Duration::from_secs(110);
    const PODS: u64 = 8;
    /// The lease changes before this pod.
    const CHANGED_BEFORE: u64 = 3;
    /// Processors before and after the change, in cores and as the ledger counts them.
    const CORES: [(&str, i64); 2] = [("16", 16_000), ("24", 24_000)];

    /// Random numbers that a seed repeats (xorshift by 13, 7 and 17).
    struct Dice(u64);

    impl Dice {
        /// From `LEASEHOLD_SEED`, or from the system's randomness; says which, so that a run can be
        /// repeated.
        fn seeded() -> Self {
            let seed = match std::env::var("LEASEHOLD_SEED") {
                Ok(text) => text
                    .parse::<u64>()
                    .expect("LEASEHOLD_SEED is a whole number"),
                Err(_) => RandomState::new().build_hasher().finish(),
            };
            // zero would give zeros for ever
            let seed = seed.max(1);
            let told = format!("kills: LEASEHOLD_SEED={seed} repeats these instants\n");
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            Self(seed)
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }

        /// When to kill, counted from the beginning, in order.
        fn instants(&mut self) -> Vec<Duration> {
            let spread = u64::try_from(SPREAD.as_millis()).unwrap();
            let mut instants: Vec<Duration> = (0..KILLS)
                .map(|_| Duration::from_millis(self.below(spread)))
                .collect();
            instants.sort();
            instants
        }
    }

    #[tokio::test]
    async fn twenty_kills_change_no_bill_and_lose_no_second() {
        let mut dice = Dice::seeded();
        let stage = Stage::shared().await.unwrap();
        let office = stage.office(CODE, "审计局").await.unwrap();
        let instants = dice.instants();
        let began = Instant::now();
        let story = Box::pin(story(&office, began, &mut dice));
        let killing = Box::pin(kill(stage, began, &instants));
        let (pods, ()) = tokio::join!(story, killing);

        let closed = closed(&office).await;
        let evidence = recorded(&office, &pods).await;
        for statement in &closed {
            recount(statement, &evidence.intervals).unwrap();
            // nobody handed hardware over
            assert_eq!(statement.spec.totals.offset, "0.00");
        }
        let charged = closed.iter().filter(|found| !found.spec.lines.is_empty());
        assert!(charged.count() >= 2, "the story fits into one period");
        leases_have_no_seam(&closed, &evidence.intervals);
        pods_are_counted_once(&pods, &evidence.intervals);
        nothing_is_doubled(stage, &evidence.ledger).await;
    }

    /// Waits until so much time has passed since the beginning.
    async fn passed(what: &str, began: Instant, at: Duration) {
        eventually(what, SPREAD + LONG, async || {
            let elapsed = began.elapsed();
            if elapsed >= at {
                Ok(())
            } else {
                Err(format!("{elapsed:?} of {at:?} have passed"))
            }
        })
        .await
        .unwrap();
    }

    async fn kill(stage: &Stage, began: Instant, instants: &[Duration]) {
        for (number, at) in instants.iter().enumerate() {
            passed(&format!("the instant of kill {number}"), began, *at).await;
            let mut operator = stage.operator.lock().await;
            operator.kill();
            operator.restart().await.unwrap();
        }
    }

    /// What the department does meanwhile; gives the names of its pods.
    async fn story(office: &Office, began: Instant, dice: &mut Dice) -> BTreeSet<String> {
        office.lease(&manifest(office, CORES[0].0)).await.unwrap();
        let mut pods = BTreeSet::new();
        for number in 0..PODS {
            let turn = Duration::from_secs(10 * number);
            passed(&format!("the turn of pod {number}"), began, turn).await;
            if number == CHANGED_BEFORE {
                change(office).await;
            }
            let name = format!("batch-{number}");
            let lifetime = u32::try_from(2 + dice.below(20)).unwrap();
            let batch = pod(PLACE, &name, "1", "1Gi", Some(lifetime));
            office.staff.create(&batch).await.unwrap();
            pods.insert(name);
        }
        pods
    }

    fn manifest(office: &Office, cores: &str) -> Value {
        let lease = [
            ("vcpu-x86", cores),
            ("memory", "32Gi"),
            ("block-ssd", "1Ti"),
        ];
        office.manifest("oa", &lease, &[("prod", &lease)]).unwrap()
    }

    async fn change(office: &Office) {
        let cores = CORES[1].0;
        office.staff.apply(&manifest(office, cores)).await.unwrap();
        office.approve("oa", 2).await.unwrap();
        office
            .when("oa", "the larger lease", |tenancy| {
                let mut approved = tenancy.status.iter().flat_map(|status| &status.approved);
                approved.any(|held| &*held.item == "vcpu-x86" && held.quantity.to_string() == cores)
            })
            .await
            .unwrap();
    }

    /// All closed statements, once the newest one that is there now is closed.
    async fn closed(office: &Office) -> Vec<Statement> {
        let (staff, place) = (&office.staff, Some(office.place.as_str()));
        let newest = office.stage.see("a statement", LONG, async || {
            let all = staff.list::<Statement>(place).await;
            let all = all.map_err(|failure| format!("{failure:?}"))?;
            let starts = all.into_iter().map(|found| found.spec.period.start);
            starts.max().ok_or_else(|| "there is none".to_owned())
        });
        let newest = newest.await.unwrap();
        office
            .stage
            .see("the newest statement closed", PERIODS, async || {
                let all = staff.list::<Statement>(place).await;
                let mut all = all.map_err(|failure| format!("{failure:?}"))?;
                all.retain(|found| found.spec.state == StatementState::Final);
                if all.iter().any(|found| found.spec.period.start == newest) {
                    Ok(all)
                } else {
                    Err(format!("{} closed, none from {newest}", all.len()))
                }
            })
            .await
            .unwrap()
    }

    /// The ledger, once it has the end of every pod.
    async fn recorded(office: &Office, pods: &BTreeSet<String>) -> Evidence {
        office
            .stage
            .see("the end of every pod in the ledger", LONG, async || {
                let found = evidence(office.stage, CODE, &office.code).await;
                let found = found.map_err(|failure| format!("{failure:?}"))?;
                let counted = counted(&found.intervals);
                let open = |interval: &&Interval| {
                    interval.open && matches!(interval.meter, Meter::Pod { .. })
                };
                let open = found.intervals.iter().filter(open).count();
                if open == 0 && counted.keys().eq(expected(pods).keys()) {
                    Ok(found)
                } else {
                    Err(format!("{open} open, {counted:?}"))
                }
            })
            .await
            .unwrap()
    }

    /// How many intervals each pod has of each meter.
    fn counted(intervals: &[Interval]) -> BTreeMap<(String, String), usize> {
        let mut counted: BTreeMap<(String, String), usize> = BTreeMap::new();
        for interval in intervals {
            if matches!(interval.meter, Meter::Pod { .. }) {
                let key = (interval.subject.object.clone(), interval.meter.to_string());
                *counted.entry(key).or_default() += 1;
            }
        }
        counted
    }

    /// One interval for each pod and meter.
    fn expected(pods: &BTreeSet<String>) -> BTreeMap<(String, String), usize> {
        let meters = ["pod/cpu", "pod/memory"];
        let of = |name: &String| {
            let object = format!("Pod {PLACE}/{name}");
            meters.map(|meter| ((object.clone(), meter.to_owned()), 1))
        };
        pods.iter().flat_map(of).collect()
    }

    fn pods_are_counted_once(pods: &BTreeSet<String>, intervals: &[Interval]) {
        assert_eq!(counted(intervals), expected(pods));
        for interval in intervals {
            if matches!(interval.meter, Meter::Pod { .. }) {
                // each pod is still there, so its true times are
                assert!(!interval.estimated, "{interval:?}");
            }
        }
    }

    /// From the first second of the lease to the end of the last bill each second counts once.
    fn leases_have_no_seam(closed: &[Statement], intervals: &[Interval]) {
        let ends = closed.iter().map(|found| bounds(found).unwrap().1);
        let end = ends.max().unwrap();
        let mut leases: BTreeMap<&str, Vec<Stretch>> = BTreeMap::new();
        for interval in intervals {
            if let Meter::Lease { item } = &interval.meter {
                leases.entry(item).or_default().push(stretch(interval));
            }
        }
        let mut quantities: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (item, mut stretches) in leases {
            assert_eq!(seam(&stretches), None, "{item}");
            stretches.sort_by_key(|stretch| stretch.from);
            let last = stretches.last().unwrap();
            assert!(last.to >= end, "{item} ends at {}, before {end}", last.to);
            stretches.dedup_by_key(|stretch| stretch.quantity);
            // the change is in a period that was billed
            assert!(stretches.iter().all(|stretch| stretch.from < end));
            let found = stretches.iter().map(|stretch| stretch.quantity);
            quantities.insert(item, found.collect());
        }
        let expected = BTreeMap::from([
            ("vcpu-x86", CORES.map(|(_, counted)| counted).to_vec()),
            ("memory", vec![32 << 30]),
            ("block-ssd", vec![1 << 40]),
        ]);
        assert_eq!(quantities, expected);
    }

    /// Every row of the ledger is in its chain, and no fact is there twice.
    async fn nothing_is_doubled(stage: &Stage, ledger: &str) {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let verified = auditor.leasehold(&["verify", "--db", ledger]).await;
        verified.unwrap().ok().unwrap();
    }
}
