//! Metering: what runs is in the ledger to the second, as the API server and the kubelets recorded it.

#[cfg(test)]
mod metering {
    use k8s_openapi::api::core::v1::Pod;
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::fact::Interval;
    use leasehold_ledger::time::{Second, Span};
    use leasehold_testkit::manifests::pod;
    use leasehold_testkit::{LONG, Session, User};

    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];

    async fn leased(stage: &'static Stage, code: &str, name: &str) -> Office {
        let office = stage.office(code, name).await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        office
    }

    /// When the pod was scheduled and, if it has ended, when its last container finished.
    fn recorded(pod: &Pod) -> (Option<Second>, Option<Second>) {
        let Some(status) = &pod.status else {
            return (None, None);
        };
        let scheduled = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
            .and_then(|condition| condition.last_transition_time.as_ref());
        let finished = status
            .container_statuses
            .iter()
            .flatten()
            .filter_map(|container| container.state.as_ref()?.terminated.as_ref())
            .filter_map(|terminated| terminated.finished_at.as_ref())
            .max();
        let second = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| {
            Second::new(time.0.as_second())
        };
        (scheduled.map(second), finished.map(second))
    }

    async fn phase(staff: &Session, place: &str, name: &str, phase: &str) -> Result<Pod, String> {
        let pod = staff.get::<Pod>(Some(place), name).await?;
        let found = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if found == Some(phase) {
            Ok(pod)
        } else {
            Err(format!("{:?}", pod.status))
        }
    }

    /// The intervals that a copy of the ledger has of one pod and meter, as the command line shows them.
    async fn intervals(stage: &Stage, code: &str, meter: &str) -> Result<Vec<Interval>, String> {
        let told = |failure: leasehold_testkit::Failure| format!("{failure:?}");
        let folder = stage.rig.scratch(code).map_err(told)?;
        let copy = stage
            .operator
            .lock()
            .await
            .copy_ledger(&folder)
            .map_err(told)?;
        let auditor = stage.user(User::Auditor).await.map_err(told)?;
        let db = copy.display().to_string();
        let usage = ["usage", "--db", &db, "--department", code, "-o", "json"];
        let ran = auditor.leasehold(&usage).await.map_err(told)?;
        let all: Vec<Interval> = ran.ok().map_err(told)?.json().map_err(told)?;
        Ok(all
            .into_iter()
            .filter(|interval| interval.meter.to_string() == meter)
            .collect())
    }

    /// The intervals of one pod, once the last of them has ended.
    async fn ended(stage: &Stage, code: &str, meter: &str, object: &str) -> Vec<Interval> {
        let what = format!("the end of {object} in the ledger");
        stage
            .see(&what, LONG, async || {
                let mut found = intervals(stage, code, meter).await?;
                found.retain(|interval| interval.subject.object == object);
                let over = found.last().is_some_and(|last| !last.open);
                if over {
                    Ok(found)
                } else {
                    Err(format!("{found:?}"))
                }
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_pod_is_metered_from_the_second_it_was_scheduled_to_the_second_it_finished() {
        let stage = Stage::shared().await.unwrap();
        let office = leased(stage, "meter-once", "统计局").await;
        let place = "meter-once--prod";
        office
            .staff
            .create(&pod(place, "batch", "1500m", "2Gi", Some(7)))
            .await
            .unwrap();
        let over = stage
            .see("a pod that has ended", LONG, async || {
                phase(&office.staff, place, "batch", "Succeeded").await
            })
            .await
            .unwrap();
        let (from, to) = recorded(&over);
        let span = Span::new(from.unwrap(), to.unwrap());
        assert!(span.seconds() >= 5, "{span:?}");
        for (meter, quantity) in [("pod/cpu", 1_500), ("pod/memory", 2 << 30)] {
            let found = ended(stage, "meter-once", meter, "Pod meter-once--prod/batch").await;
            let [interval] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert_eq!(
                (interval.span, interval.quantity),
                (span, quantity),
                "{meter}"
            );
            assert!(!interval.estimated);
            assert_eq!(interval.subject.tenancy, "oa");
        }
    }

    #[tokio::test]
    async fn a_pod_that_ran_and_ended_while_the_operator_was_down_is_metered_by_its_recorded_times()
    {
        let stage = Stage::shared().await.unwrap();
        let office = leased(stage, "meter-down", "档案局").await;
        let (staff, place) = (&office.staff, "meter-down--prod");
        staff
            .create(&pod(place, "across", "1", "1Gi", Some(12)))
            .await
            .unwrap();
        stage
            .see("the pod's beginning in the ledger", LONG, async || {
                let found = intervals(stage, "meter-down", "pod/cpu").await?;
                if found.is_empty() {
                    Err("no interval yet".to_owned())
                } else {
                    Ok(())
                }
            })
            .await
            .unwrap();
        let mut operator = stage.operator.lock().await;
        operator.kill();
        // begins and ends while nobody watches
        staff
            .create(&pod(place, "within", "2", "1Gi", Some(3)))
            .await
            .unwrap();
        let mut pods = Vec::new();
        for name in ["across", "within"] {
            let what = format!("pod {name} that has ended");
            let seen = leasehold_testkit::eventually(&what, LONG, async || {
                phase(staff, place, name, "Succeeded").await
            });
            pods.push((name, seen.await.unwrap()));
        }
        operator.restart().await.unwrap();
        drop(operator);
        for ((name, over), quantity) in pods.into_iter().zip([1_000, 2_000]) {
            let (from, to) = recorded(&over);
            let span = Span::new(from.unwrap(), to.unwrap());
            let object = format!("Pod {place}/{name}");
            let found = ended(stage, "meter-down", "pod/cpu", &object).await;
            let [interval] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert_eq!(
                (interval.span, interval.quantity),
                (span, quantity),
                "{name}"
            );
            assert!(!interval.estimated, "{name}: the times were recorded");
        }
    }

    #[tokio::test]
    async fn a_pod_that_is_never_scheduled_uses_nothing() {
        let stage = Stage::shared().await.unwrap();
        let office = leased(stage, "meter-none", "气象局").await;
        let (staff, place) = (&office.staff, "meter-none--prod");
        let mut stuck = pod(place, "stuck", "1", "1Gi", None);
        stuck["spec"]["nodeSelector"] = serde_json::json!({"there-is": "no-such-node"});
        staff.create(&stuck).await.unwrap();
        // a later pod whose end is known shows that the meter has passed the first
        staff
            .create(&pod(place, "later", "1", "1Gi", Some(2)))
            .await
            .unwrap();
        ended(stage, "meter-none", "pod/cpu", "Pod meter-none--prod/later").await;
        let all = intervals(stage, "meter-none", "pod/cpu").await.unwrap();
        let objects: Vec<&str> = all
            .iter()
            .map(|found| found.subject.object.as_str())
            .collect();
        assert_eq!(objects, ["Pod meter-none--prod/later"]);
    }
}
