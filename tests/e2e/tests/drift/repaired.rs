//! One change, one repair, one sentence.

use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use leasehold_api::tenancy::Phase;
use leasehold_e2e::{Office, Timing};
use leasehold_testkit::{LONG, Session};
use serde_json::json;

use crate::ground::{FENCE, fence_is_whole, leased, meddle, prod, told};

#[tokio::test]
async fn what_is_changed_is_put_right_and_told_with_the_program_and_the_time() {
    let (office, admin) = leased("drift-told", "发改委").await;
    let place = prod(&office);
    let fence = format!("networkpolicy/{FENCE}");
    let hole = json!({"spec": {"ingress": [{}]}});
    let repair = Timing::begin();
    meddle(&admin, &place, &fence, "night-shift", &hole).await;
    fence_is_whole(&office).await;
    repair.tell("drift: a network policy that was changed put right");
    let sentence = format!("network policy {FENCE} in {place} was changed by night-shift at 20");
    told(&office, &sentence).await;

    let more = json!({"spec": {"hard": {"requests.cpu": "1000"}}});
    let quota = "resourcequota/leasehold";
    let repair = Timing::begin();
    meddle(&admin, &place, quota, "day-shift", &more).await;
    cores(&office, "4").await;
    repair.tell("drift: a quota that was changed put right");
    let sentence = format!("quota leasehold in {place} was changed by day-shift at 20");
    told(&office, &sentence).await;
    warned(&office, &admin).await;
    counted(&office, "NetworkPolicy").await;
    counted(&office, "ResourceQuota").await;
    office.phase("oa", Phase::Active).await.unwrap();
}

/// Waits until the quota grants so many cores.
async fn cores(office: &Office, amount: &str) {
    let place = prod(office);
    let repaired = office.stage.see("the quota put right", LONG, async || {
        let quota: ResourceQuota = office.staff.get(Some(&place), "leasehold").await?;
        let hard = quota.spec.and_then(|spec| spec.hard).unwrap_or_default();
        let found = hard.get("requests.cpu").map(|cores| cores.0.clone());
        if found.as_deref() == Some(amount) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    repaired.await.unwrap();
}

/// The department finds a warning.
async fn warned(office: &Office, admin: &Session) {
    let found = office.stage.see("a warning of drift", LONG, async || {
        let events = admin.list::<Event>(Some(&office.place)).await;
        let events = events.map_err(|failure| format!("{failure:?}"))?;
        let notes: Vec<String> = events
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("Drift"))
            .filter_map(|event| event.note)
            .collect();
        if notes.iter().any(|note| note.contains("night-shift")) {
            Ok(())
        } else {
            Err(format!("{notes:?}"))
        }
    });
    found.await.unwrap();
}

/// The monitor counts repairs of a kind.
async fn counted(office: &Office, kind: &str) {
    let operator = office.stage.operator.lock().await;
    let label = format!("kind=\"{kind}\"");
    let repairs = operator.counted("leasehold_repairs_total", &label).await;
    assert!(repairs.unwrap() > 0, "{kind}");
}

#[tokio::test]
async fn what_is_deleted_is_made_anew_and_told() {
    let (office, admin) = leased("drift-gone", "财政局").await;
    let place = prod(&office);
    let repair = Timing::begin();
    for target in [
        "rolebinding/leasehold-admins",
        "networkpolicy/leasehold",
        "resourcequota/leasehold",
    ] {
        let gone = ["delete", target, "-n", &place];
        admin.kubectl(&gone, "").await.unwrap().ok().unwrap();
    }
    let back = office.stage.see("everything made anew", LONG, async || {
        let at = Some(place.as_str());
        admin.get::<RoleBinding>(at, "leasehold-admins").await?;
        admin.get::<NetworkPolicy>(at, FENCE).await?;
        admin.get::<ResourceQuota>(at, "leasehold").await?;
        Ok(())
    });
    back.await.unwrap();
    repair.tell("drift: three objects that were deleted, one after the other, made anew");
    for what in [
        "role binding leasehold-admins",
        "network policy leasehold",
        "quota leasehold",
    ] {
        told(&office, &format!("{what} in {place} was deleted ")).await;
    }
    office.phase("oa", Phase::Active).await.unwrap();
}

#[tokio::test]
async fn labels_that_somebody_takes_away_come_back_and_the_namespace_stays_the_tenancys() {
    let (office, admin) = leased("drift-label", "民政局").await;
    let place = prod(&office);
    let before: Namespace = admin.get(None, &place).await.unwrap();
    let taken = [
        // what pods may do there
        "pod-security.kubernetes.io/enforce-",
        // whose it is
        "leasehold.dev/tenancy-",
        // and by which it is found at all
        "leasehold.dev/managed-by-",
    ];
    for label in taken {
        let repair = Timing::begin();
        let unlabel = ["label", "namespace", &place, label];
        admin.kubectl(&unlabel, "").await.unwrap().ok().unwrap();
        let back = office.stage.see("the label", LONG, async || {
            let found: Namespace = admin.get(None, &place).await?;
            if found.metadata.labels == before.metadata.labels {
                Ok(())
            } else {
                Err(format!("without {label}: {:?}", found.metadata.labels))
            }
        });
        back.await.unwrap();
        repair.tell(&format!("drift: the label {label} of a namespace back"));
    }
    told(&office, &format!("namespace {place} was changed")).await;
    let unlabel = [
        "label",
        "resourcequota/leasehold",
        "leasehold.dev/managed-by-",
        "-n",
        &place,
    ];
    admin.kubectl(&unlabel, "").await.unwrap().ok().unwrap();
    let back = office.stage.see("the quota's label", LONG, async || {
        let quota: ResourceQuota = admin.get(Some(&place), "leasehold").await?;
        let labels = quota.metadata.labels.unwrap_or_default();
        if labels.contains_key("leasehold.dev/managed-by") {
            Ok(())
        } else {
            Err(format!("{labels:?}"))
        }
    });
    back.await.unwrap();
    let tenancy = office.phase("oa", Phase::Active).await.unwrap();
    let status = tenancy.status.unwrap();
    let namespaces = status.namespaces;
    assert_eq!(namespaces[0].uid, before.metadata.uid, "{namespaces:?}");
}

#[tokio::test]
async fn what_is_not_ours_is_neither_taken_away_nor_fought_over() {
    let (office, admin) = leased("drift-own", "文旅局").await;
    let place = prod(&office);
    let fence = format!("networkpolicy/{FENCE}");
    let own = json!({"metadata": {
        "labels": {"team": "oa"}, "annotations": {"note": "kept"},
        "finalizers": ["example.com/seen"],
    }});
    for target in [&fence, "resourcequota/leasehold", "limitrange/leasehold"] {
        meddle(&admin, &place, target, "backup", &own).await;
    }
    let label = json!({"metadata": {"labels": {"team": "oa"}, "annotations": {"note": "kept"}}});
    let namespace = format!("namespace/{place}");
    let ran = admin.try_patch(&namespace, &[], &label).await;
    ran.unwrap().ok().unwrap();
    let before = versions(&admin, &place).await;
    for round in 1..=3 {
        office.look_again("oa", round).await.unwrap();
    }
    assert_eq!(versions(&admin, &place).await, before);
    let policy: NetworkPolicy = admin.get(Some(&place), FENCE).await.unwrap();
    let metadata = policy.metadata;
    assert_eq!(metadata.labels.unwrap()["team"], "oa");
    assert_eq!(metadata.annotations.unwrap()["note"], "kept");
    assert_eq!(metadata.finalizers.unwrap(), ["example.com/seen"]);
    let tenancy = office.phase("oa", Phase::Active).await.unwrap();
    let history = tenancy.status.unwrap().history;
    let told = history.iter().find(|entry| entry.what.contains("changed"));
    assert_eq!(told, None);
}

/// Versions of what carries something of others.
async fn versions(admin: &Session, place: &str) -> Vec<Option<String>> {
    let namespace: Namespace = admin.get(None, place).await.unwrap();
    let fence: NetworkPolicy = admin.get(Some(place), FENCE).await.unwrap();
    let quota: ResourceQuota = admin.get(Some(place), "leasehold").await.unwrap();
    [namespace.metadata, fence.metadata, quota.metadata]
        .map(|metadata| metadata.resource_version)
        .into()
}
