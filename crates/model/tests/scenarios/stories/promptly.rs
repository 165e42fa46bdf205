//! How soon: what others change is put right within five seconds, and a department that divides its lease anew has its
//! answer within one, also while what it runs comes and goes.

use std::time::Duration;

use leasehold_model::Faults;
use serde_json::{Value, json};

use super::{
    Stage,
    oa::{self, OA, QUOTAS},
    tell,
};
use crate::{
    expect::{TENANCIES, repairable},
    people::{ADMIN, OFFICE, staff},
    world,
};

const PLACE: &str = "edu--prod";
const FENCE: [&str; 3] = ["networkpolicies.networking.k8s.io", PLACE, "leasehold"];
const RIGHTS: [&str; 3] = [
    "rolebindings.rbac.authorization.k8s.io",
    PLACE,
    "leasehold-admins",
];
const LIMITS: [&str; 3] = ["limitranges", PLACE, "leasehold"];
const HOME: [&str; 3] = ["namespaces", "", PLACE];
const THROUGH: &str = "2027-12-31";
/// Within so much time what others change is put right.
const REPAIR: Duration = Duration::from_secs(5);
/// Within so much time a new split is answered.
const ANSWER: Duration = Duration::from_secs(1);
/// So often something changes where pods come and go: more often than the operator waits for more to come.
const BEAT: Duration = Duration::from_millis(100);

/// It leases four cores in one namespace and two in another, and nothing moves.
async fn at_rest(stage: &Stage<'_>) -> Result<(), String> {
    oa::leased(stage, &json!({}), THROUGH).await?;
    // a change of the operator's own making may still be on its way to its caches
    stage.pass(Duration::from_secs(30)).await;
    Ok(())
}

fn kept(stage: &Stage<'_>, at: [&str; 3]) -> Option<Value> {
    stage.find(at).as_ref().map(repairable)
}

/// Something goes on at a quota for so long, as it does when pods come and go.
async fn bustle(stage: &Stage<'_>, quota: [&str; 3], time: Duration) -> Result<(), String> {
    for beat in 0..time.as_millis() / BEAT.as_millis() {
        let note = json!({"metadata": {"annotations": {"example.com/beat": beat.to_string()}}});
        stage.patch(ADMIN, quota, &note)?;
        stage.pass(BEAT).await;
    }
    Ok(())
}

/// So many cores in the first namespace and in the second; memory and storage stay.
fn divided(prod: &str, test: &str) -> Value {
    let mut namespaces = oa::manifest(THROUGH)["spec"]["namespaces"].clone();
    for (number, cores) in [prod, test].into_iter().enumerate() {
        namespaces[number]["share"]["vcpu-x86"] = json!(cores);
    }
    json!({"spec": {"namespaces": namespaces}})
}

/// Cores that the quotas of the two namespaces let pods ask for, as they are written.
fn cores(stage: &Stage<'_>) -> [Value; 2] {
    QUOTAS
        .map(|quota| stage.find(quota).unwrap_or_default()["spec"]["hard"]["requests.cpu"].clone())
}

/// Places and codes of what the operator has written of quotas and of tenancies' statuses, after so many writes.
fn answers(stage: &Stage<'_>, after: usize) -> Vec<(String, u16)> {
    let written = stage.server.written();
    let since = written.into_iter().skip(after);
    since
        .filter(|one| one.resource == QUOTAS[0][0] || one.resource == TENANCIES)
        .map(|one| (one.place, one.code))
        .collect()
}

/// What stands in the way of a new split, as the tenancy tells it.
fn objection(stage: &Stage<'_>) -> String {
    let told = ["Refused", "Waiting"].map(|type_| oa::condition(stage, type_).unwrap_or_default());
    told.concat()
}

/// Somebody who writes to a lease without pause does not keep an order of the office from it.
#[test]
fn a_suspension_takes_effect_on_a_lease_whose_department_never_stops_writing_to_it() {
    tell(async |stage| {
        at_rest(stage).await?;
        let order = json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
            "metadata": {"name": "oa", "namespace": "dept-edu"},
            "spec": {"tenancy": "oa", "reason": "安全整改", "authority": "市政府办 黄政办〔2027〕3号"},
        });
        stage.create(OFFICE, &order)?;
        let pods = |stage: &Stage<'_>| {
            stage.find(QUOTAS[0]).unwrap_or_default()["spec"]["hard"]["pods"].clone()
        };
        let mut beats = 0;
        while pods(stage) != "0" {
            assert!(
                beats < 100,
                "ten seconds of writing, and {} pods may run",
                pods(stage)
            );
            let note =
                json!({"metadata": {"annotations": {"example.com/beat": beats.to_string()}}});
            stage.patch(&staff("edu"), OA, &note)?;
            stage.pass(BEAT).await;
            beats += 1;
        }
        Ok(())
    });
}

#[test]
fn what_others_change_is_put_right_within_five_seconds() {
    tell(async |stage| {
        at_rest(stage).await?;
        let stranger = json!({
            "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "wu@elsewhere",
        });
        let changes = [
            (FENCE, json!({"spec": {"policyTypes": ["Egress"]}})),
            (
                QUOTAS[0],
                json!({"spec": {"hard": {"requests.cpu": "1", "limits.cpu": "1"}}}),
            ),
            (RIGHTS, json!({"subjects": [stranger]})),
            (
                LIMITS,
                json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1m"}}]}}),
            ),
        ];
        for (at, change) in changes {
            let before = kept(stage, at);
            stage.patch(ADMIN, at, &change)?;
            assert_ne!(kept(stage, at), before, "{at:?}");
            stage.pass(REPAIR).await;
            assert_eq!(kept(stage, at), before, "{at:?}");
        }
        Ok(())
    });
}

#[test]
fn what_others_delete_is_there_again_within_five_seconds() {
    tell(async |stage| {
        at_rest(stage).await?;
        for at in [FENCE, QUOTAS[0], RIGHTS, LIMITS] {
            let before = kept(stage, at);
            assert!(before.is_some(), "{at:?}");
            stage.delete(ADMIN, at)?;
            stage.pass(REPAIR).await;
            assert_eq!(kept(stage, at), before, "{at:?}");
        }
        Ok(())
    });
}

#[test]
fn labels_that_others_take_are_back_within_five_seconds() {
    tell(async |stage| {
        at_rest(stage).await?;
        let labels = [
            (HOME, "pod-security.kubernetes.io/enforce"),
            (HOME, "leasehold.dev/tenancy"),
            (FENCE, "leasehold.dev/managed-by"),
            (QUOTAS[0], "leasehold.dev/managed-by"),
            (RIGHTS, "leasehold.dev/tenancy"),
        ];
        for (at, label) in labels {
            let of = |stage: &Stage<'_>| {
                let found = stage.find(at).unwrap_or_default();
                found["metadata"]["labels"].clone()
            };
            let before = of(stage);
            assert!(!before[label].is_null(), "{at:?} {before}");
            stage.patch(ADMIN, at, &json!({"metadata": {"labels": {label: null}}}))?;
            stage.pass(REPAIR).await;
            assert_eq!(of(stage), before, "{at:?} {label}");
        }
        Ok(())
    });
}

#[test]
fn what_others_change_is_put_right_within_five_seconds_while_pods_come_and_go() {
    tell(async |stage| {
        at_rest(stage).await?;
        bustle(stage, QUOTAS[0], REPAIR).await?;
        let before = kept(stage, FENCE);
        stage.patch(ADMIN, FENCE, &json!({"spec": {"policyTypes": ["Egress"]}}))?;
        bustle(stage, QUOTAS[0], REPAIR).await?;
        assert_eq!(kept(stage, FENCE), before);
        Ok(())
    });
}

#[test]
fn a_stranger_who_writes_without_a_pause_keeps_nobody_from_putting_it_right_and_is_told() {
    tell(async |stage| {
        at_rest(stage).await?;
        let before = kept(stage, FENCE);
        let place = format!("{PLACE}/{}", FENCE[2]);
        let repairs = |stage: &Stage<'_>| {
            let written = stage.server.written();
            let its = written.iter().filter(|one| one.resource == FENCE[0]);
            its.filter(|one| one.place == place).count()
        };
        let others = repairs(stage);
        // ten seconds in which it is never twice the same
        for beat in 0..100 {
            let types = ["Egress", "Ingress"][beat % 2];
            stage.patch(ADMIN, FENCE, &json!({"spec": {"policyTypes": [types]}}))?;
            stage.pass(BEAT).await;
        }
        // five at once, and the next after a pause of ten seconds
        let repairs = repairs(stage) - others;
        assert!((5..=6).contains(&repairs), "{repairs} repairs");
        let told = oa::condition(stage, "Contested").unwrap_or_default();
        assert!(told.contains("last by kubectl"), "{told}");
        stage
            .until("the fence put right", |stage| kept(stage, FENCE) == before)
            .await
    });
}

#[test]
fn capacity_that_a_department_moves_leaves_its_donor_within_a_second() {
    tell(async |stage| {
        at_rest(stage).await?;
        let before = stage.server.written().len();
        stage.patch(&staff("edu"), OA, &divided("3", "3"))?;
        stage.pass(ANSWER).await;
        assert_eq!(cores(stage)[0], "3");
        let first = answers(stage, before).into_iter().next();
        assert_eq!(first, Some((format!("{PLACE}/leasehold"), 200)));
        stage
            .until("the new shares", |stage| cores(stage) == ["3", "3"])
            .await?;
        oa::in_phase(stage, "Active").await
    });
}

#[test]
fn capacity_that_a_department_moves_while_pods_come_and_go_leaves_its_donor_within_a_second() {
    tell(async |stage| {
        at_rest(stage).await?;
        // at whatever point of its round the operator is
        for (round, offset) in [0, 130, 260, 390, 520].into_iter().enumerate() {
            bustle(stage, QUOTAS[1], REPAIR).await?;
            stage.pass(Duration::from_millis(offset)).await;
            let (prod, test) = if round % 2 == 0 {
                ("3", "3")
            } else {
                ("4", "2")
            };
            let donor = round % 2;
            stage.patch(&staff("edu"), OA, &divided(prod, test))?;
            bustle(stage, QUOTAS[1], ANSWER).await?;
            let expected = [prod, test][donor];
            assert_eq!(cores(stage)[donor], expected, "round {round}");
            stage
                .until("the new shares", |stage| cores(stage) == [prod, test])
                .await?;
        }
        Ok(())
    });
}

#[test]
fn a_split_that_takes_away_what_is_used_is_refused_within_a_second() {
    tell(async |stage| {
        at_rest(stage).await?;
        // half a core of the first namespace
        stage.create(&staff("edu"), &world::pod(PLACE))?;
        stage.pass(Duration::from_secs(30)).await;
        let before = stage.server.written().len();
        stage.patch(&staff("edu"), OA, &divided("100m", "5900m"))?;
        stage.pass(ANSWER).await;
        assert!(!answers(stage, before).is_empty(), "no word");
        let told = objection(stage);
        let refused = "rule T31: asked 100m of requests.cpu in prod";
        assert!(told.contains(refused), "{told}");
        Ok(())
    });
}

#[test]
fn a_split_of_more_than_is_leased_is_refused_within_a_second_and_moves_nothing() {
    tell(async |stage| {
        at_rest(stage).await?;
        let before = stage.server.written().len();
        stage.patch(&staff("edu"), OA, &divided("5", "5"))?;
        stage.pass(ANSWER).await;
        let told = objection(stage);
        assert!(told.contains("rule T20"), "{told}");
        let oa = stage.find(OA).unwrap_or_default();
        assert_eq!(
            oa["status"]["observedGeneration"],
            oa["metadata"]["generation"]
        );
        assert_eq!(cores(stage), ["4", "2"]);
        let quota = |place: &str| place.ends_with("/leasehold");
        let moved = answers(stage, before);
        assert!(moved.iter().all(|(place, _)| !quota(place)), "{moved:?}");
        Ok(())
    });
}

/// Resources whose status adds up what tenancies lease once that is decided. A department's counts it from the request on.
const SUMS: [&str; 2] = [
    "cloudlets.platform.leasehold.dev",
    "informationsystems.tenancy.leasehold.dev",
];

/// Which sums the operator has written, after so many writes.
fn sums(stage: &Stage<'_>, after: usize) -> Vec<String> {
    let written = stage.server.written();
    let resources = written.into_iter().skip(after).map(|one| one.resource);
    resources
        .filter(|resource| SUMS.contains(&resource.as_str()))
        .collect()
}

#[test]
fn what_adds_up_waits_while_a_lease_is_set_up_and_is_written_once_it_stands() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        stage.create(&staff("edu"), &oa::manifest(THROUGH))?;
        stage.pass(Duration::from_secs(30)).await;
        // the cluster counts quotas, and all else that a namespace needs, with some seconds in between
        stage.server.set_faults(Faults {
            housekeeping_ms: 4_000,
            ..Faults::default()
        });
        let before = stage.server.written().len();
        stage.approve(oa::OFFICE_OF_EDU, "oa-1-office").await?;
        oa::in_phase(stage, "Approved").await?;
        stage.pass(ANSWER * 5).await;
        assert_eq!(oa::shown(stage, "/phase"), "Approved");
        assert_eq!(sums(stage, before), Vec::<String>::new());
        oa::in_phase(stage, "Active").await?;
        stage.pass(ANSWER).await;
        let mut told = sums(stage, before);
        told.sort();
        assert_eq!(told, SUMS);
        Ok(())
    });
}
