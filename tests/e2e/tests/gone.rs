//! The operator's watch of pods breaks in the three ways in which it can: the version to go on from is gone, which the API
//! server says by its status or by an event, and the watch stays open and silent. Nothing that was recorded is lost, and a gap
//! is left where changes may be gone, and nowhere else.

#[cfg(test)]
mod gone {
    use std::path::Path;
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::document::GapDoc;
    use leasehold_ledger::fact::{Fact, FactKind};
    use leasehold_ledger::time::{Second, Span};
    use leasehold_store::{FactFilter, Store, StoreError};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::proxy::{Action, Armed, Proxy, Rule, Target, Turn, Verb};
    use leasehold_testkit::{LONG, OperatorOptions, OperatorProcess, Ran, Rig, User, eventually};
    use tokio::sync::Mutex;

    const CODE: &str = "gone";
    const PLACE: &str = "gone--prod";
    /// The only quota there is: eight cores.
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];
    const MILLIS: i64 = 8_000;
    /// So long a watch is silent; the operator gives it up before.
    const SILENT: Duration = Duration::from_secs(60);
    /// A watch that is silent for so long before its version is gone hides some seconds.
    const BEFORE: Action = Action::BlackHole(Duration::from_secs(12));
    /// What happens to one watch after the other, and how many gaps that leaves.
    const CASES: [(&str, &[Action], usize); 3] = [
        ("by-status", &[BEFORE, Action::GoneHttp], 1),
        ("by-event", &[BEFORE, Action::GoneEvent], 1),
        ("silent", &[Action::BlackHole(SILENT)], 0),
    ];

    /// The operator behind a proxy, and a department with a lease.
    struct Scene {
        stage: &'static Stage,
        proxy: Proxy,
        office: Office,
    }

    async fn open() -> Scene {
        let rig = Rig::shared().await.unwrap();
        let folder = rig.scratch("gone").unwrap();
        let proxy = Proxy::start(&rig.upstream(), 1, &folder).await.unwrap();
        let options = OperatorOptions::with_ledger(folder.join("ledger.db")).through(proxy.way());
        let operator = OperatorProcess::start(rig, options).await.unwrap();
        // it ends with this process, as every stage does
        let stage: &'static Stage = Box::leak(Box::new(Stage {
            rig,
            operator: Mutex::new(operator),
        }));
        stage.furnish(&Stage::policy().unwrap()).await.unwrap();
        let office = stage.office(CODE, "林业局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        Box::pin(office.lease(&manifest)).await.unwrap();
        Scene {
            stage,
            proxy,
            office,
        }
    }

    // the proxy and the people must not wait for each other
    #[tokio::test(flavor = "multi_thread")]
    async fn a_broken_watch_of_pods_loses_nothing_and_leaves_a_gap_only_where_changes_may_be_gone()
    {
        let scene = Box::pin(open()).await;
        for (name, actions, gaps) in CASES {
            Box::pin(breaks(&scene, name, actions, gaps)).await;
        }
        // every row is in its chain, and every closed period is what its facts come to
        let folder = scene.stage.rig.scratch("gone-verified").unwrap();
        let copy = scene.stage.operator.lock().await.copy_ledger(&folder);
        let copy = copy.unwrap().display().to_string();
        let auditor = scene.stage.user(User::Auditor).await.unwrap();
        let verified = auditor.leasehold(&["verify", "--db", &copy]).await;
        verified.unwrap().ok().unwrap();
    }

    /// One pod lives on over the trouble, and one comes and ends in it.
    async fn breaks(scene: &Scene, name: &str, actions: &[Action], leaves: usize) {
        let (stage, office) = (scene.stage, &scene.office);
        let ledger = stage.operator.lock().await.ledger().to_owned();
        let [across, within] = ["across", "within"].map(|part| format!("{part}-{name}"));
        let manifest = pod(PLACE, &across, "2", "1Gi", None);
        office.staff.create(&manifest).await.unwrap();
        let running = in_phase(office, &across, "Running").await;
        let known = known_beyond(&ledger, lived(&running).from.plus(2)).await;
        let before = gaps(&ledger).await.unwrap().len();

        let arm = |action: &Action| {
            scene.proxy.arm(Rule {
                target: Target::of(&[Verb::Watch], &["pods"]),
                turn: Turn::First(1),
                action: *action,
            })
        };
        let armed: Vec<Armed> = actions.iter().map(arm).collect();
        befallen(scene, armed[0]).await;
        let manifest = pod(PLACE, &within, "1", "1Gi", Some(2));
        office.staff.create(&manifest).await.unwrap();
        let within_over = in_phase(office, &within, "Succeeded").await;
        let over = "kwok.leasehold.dev/lifetime=1";
        let ends = ["annotate", "pod", &across, "-n", PLACE, over];
        Ran::succeeded(office.staff.kubectl(&ends, "").await).unwrap();
        let across_over = in_phase(office, &across, "Succeeded").await;
        for rule in armed {
            befallen(scene, rule).await;
            assert_eq!(scene.proxy.disarm(rule), 1, "{name}");
        }

        is_recorded(stage, &ledger, &across, &across_over, 2_000).await;
        is_recorded(stage, &ledger, &within, &within_over, 1_000).await;
        // all that the trouble hid is known by now, and so is every gap
        let last = lived(&across_over).to.max(lived(&within_over).to);
        let after = known_beyond(&ledger, last.plus(2)).await;
        let left = gaps(&ledger).await.unwrap().split_off(before);
        assert_eq!(left.len(), leaves, "{name}: {left:?}");
        for gap in left {
            assert_eq!(gap.source, "pods", "{gap:?}");
            // from what was known, to when it was listed; what is known by now may be known by the beat before that
            let bounds = known..=after.plus(5);
            assert!(
                bounds.contains(&gap.from) && bounds.contains(&gap.to) && gap.from < gap.to,
                "{bounds:?}: {gap:?}"
            );
            let cores = MILLIS * gap.to.since(gap.from);
            assert_eq!(gap.upper.get("pod/cpu"), Some(&cores), "{gap:?}");
        }
    }

    /// Waits until the rule has befallen a watch.
    async fn befallen(scene: &Scene, armed: Armed) {
        let seen = eventually("a watch that breaks", LONG, async || {
            match scene.proxy.fired(armed) {
                0 => Err(format!("{:?}", scene.proxy.last())),
                _ => Ok(()),
            }
        });
        seen.await.unwrap();
    }

    /// The pod, once it is in this phase; needs no operator.
    async fn in_phase(office: &Office, name: &str, phase: &str) -> Pod {
        let what = format!("pod {name} in phase {phase}");
        let seen = eventually(&what, LONG, async || {
            let pod = office.staff.get::<Pod>(Some(PLACE), name).await?;
            let status = pod.status.as_ref();
            if status.and_then(|status| status.phase.as_deref()) == Some(phase) {
                Ok(pod)
            } else {
                Err(format!("{:?}", pod.status))
            }
        });
        seen.await.unwrap()
    }

    fn second(time: &Time) -> Second {
        Second::new(time.0.as_second())
    }

    /// From when it was scheduled to when its container finished; to its beginning, if it has not.
    fn lived(pod: &Pod) -> Span {
        let status = pod.status.as_ref().unwrap();
        let mut conditions = status.conditions.iter().flatten();
        let scheduled = conditions
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
        let from = second(scheduled.unwrap().last_transition_time.as_ref().unwrap());
        let finished = status
            .container_statuses
            .iter()
            .flatten()
            .filter_map(|container| container.state.as_ref()?.terminated.as_ref())
            .filter_map(|terminated| terminated.finished_at.as_ref())
            .max();
        Span::new(from, finished.map_or(from, second))
    }

    /// Waits until the ledger has the beginning and the end of a pod, each once and as the control plane recorded it.
    async fn is_recorded(stage: &Stage, ledger: &Path, name: &str, over: &Pod, millis: i64) {
        let seen = stage.see("all of a pod in the ledger", LONG, async || {
            let facts = cores(ledger, name).await?;
            match facts.as_slice() {
                [opened, closed] => Ok([opened.clone(), closed.clone()]),
                _ => Err(format!("{facts:?}")),
            }
        });
        let [opened, closed] = seen.await.unwrap();
        assert_eq!(
            [opened.kind, closed.kind],
            [FactKind::Opened, FactKind::Closed]
        );
        assert_eq!((opened.quantity, opened.estimated), (millis, false));
        let span = lived(over);
        assert_eq!(opened.at, span.from, "{opened:?}");
        // a played node that is short of time may end a pod once more, a second later
        let late = span.to.since(closed.at);
        assert!((0..=1).contains(&late), "{span:?}: {closed:?}");
        assert!(!closed.estimated, "{closed:?}");
    }

    async fn cores(ledger: &Path, name: &str) -> Result<Vec<Fact>, String> {
        let told = |error: StoreError| error.to_string();
        let store = Store::open_read_only(ledger).await.map_err(told)?;
        let filter = FactFilter {
            department: Some(CODE.to_owned()),
            ..FactFilter::default()
        };
        let found = store.facts(&filter).await.map_err(told)?;
        store.close().await.map_err(told)?;
        let object = format!("Pod {PLACE}/{name}");
        Ok(found
            .into_iter()
            .map(|recorded| recorded.value)
            .filter(|fact| fact.subject.object == object && fact.meter.to_string() == "pod/cpu")
            .collect())
    }

    async fn gaps(ledger: &Path) -> Result<Vec<GapDoc>, String> {
        let told = |error: StoreError| error.to_string();
        let store = Store::open_read_only(ledger).await.map_err(told)?;
        let found = store.documents::<GapDoc>(None, None).await.map_err(told)?;
        store.close().await.map_err(told)?;
        Ok(found.into_iter().map(|recorded| recorded.value).collect())
    }

    /// Waits until the ledger knows pods completely beyond an instant; gives up to when it does.
    async fn known_beyond(ledger: &Path, at: Second) -> Second {
        let told = |error: StoreError| error.to_string();
        let what = format!("pods known beyond {at}");
        let seen = eventually(&what, LONG, async || {
            let store = Store::open_read_only(ledger).await.map_err(told)?;
            let found = store.cursor("pods").await.map_err(told)?;
            store.close().await.map_err(told)?;
            let known = found.ok_or("there is no cursor")?.observed_at;
            if known > at {
                Ok(known)
            } else {
                Err(known.to_string())
            }
        });
        seen.await.unwrap()
    }
}
