//! What was recorded: by the API server, the scheduler and the kubelets, whether or not anybody watched.

use leasehold_ledger::time::Span;
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{LONG, User};

use crate::ground::{ended, finish, in_phase, intervals, leased, lived, past, recorded};

const LEASE: [(&str, &str); 2] = [("vcpu-x86", "8"), ("memory", "16Gi")];

#[tokio::test]
async fn a_pod_is_metered_from_the_second_it_was_scheduled_to_the_second_it_finished() {
    let office = leased("meter-once", "统计局", &LEASE).await;
    let (stage, place) = (office.stage, "meter-once--prod");
    let manifest = pod(place, "batch", "1500m", "2Gi", None);
    office.staff.create(&manifest).await.unwrap();
    let running = in_phase(&office.staff, place, "batch", "Running").await;
    let admin = stage.user(User::Admin).await.unwrap();
    past(&admin, recorded(&running).0.unwrap().plus(5)).await;
    let over = finish(&office.staff, place, "batch").await;
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
async fn a_pod_that_ran_and_ended_while_the_operator_was_down_is_metered_by_its_recorded_times() {
    let office = leased("meter-down", "档案局", &LEASE).await;
    let (stage, staff, place) = (office.stage, &office.staff, "meter-down--prod");
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
        pods.push((name, in_phase(staff, place, name, "Succeeded").await));
    }
    operator.restart().await.unwrap();
    drop(operator);
    for ((name, over), quantity) in pods.into_iter().zip([1_000, 2_000]) {
        let object = format!("Pod {place}/{name}");
        let found = ended(stage, "meter-down", "pod/cpu", &object).await;
        let [interval] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            (interval.span, interval.quantity),
            (lived(&over), quantity),
            "{name}"
        );
        assert!(!interval.estimated, "{name}: the times were recorded");
    }
}

#[tokio::test]
async fn a_pod_that_is_never_scheduled_uses_nothing() {
    let office = leased("meter-none", "气象局", &LEASE).await;
    let (stage, staff, place) = (office.stage, &office.staff, "meter-none--prod");
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
