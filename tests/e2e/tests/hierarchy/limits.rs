//! What a department and everything below it may lease together.

use leasehold_api::charging::Approval;
use leasehold_api::conditions::types;
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::Office;
use leasehold_testkit::{LONG, User};
use serde_json::{Value, json};

use crate::openings::{LEASE, apply, change, is_approved, open, open_below, said, shows};

/// Approvals that were ever written for a department.
async fn asked_about(office: &Office) -> usize {
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let all = auditor.list::<Approval>(Some(&office.place)).await;
    all.unwrap().len()
}

#[tokio::test]
async fn a_subtree_leases_no_more_than_its_limit_and_is_told_who_has_it_t50() {
    let county = open("xian-e", "有额度的县").await;
    let stage = county.stage;
    let street = open_below("jie-e", "街道", "xian-e").await;
    let village = open_below("cun-e", "村", "jie-e").await;
    // two of 320.00 are a fen too many
    let limits = json!({"limits": {"monthly": "639.99"}});
    change(stage, "xian-e", &limits).await;
    shows(stage, "xian-e", "the limit", |status| {
        let subtree = status.subtree.as_ref();
        subtree.is_some_and(|all| all.departments == 3 && all.limit.as_deref() == Some("639.99"))
    })
    .await;
    for office in [&street, &village] {
        office.system().await.unwrap();
    }
    apply(&street, "oa", &LEASE).await;
    street.asked("oa", 1).await.unwrap();
    apply(&village, "oa", &LEASE).await;
    let told = village.refused("oa", "T50").await.unwrap();
    assert_eq!(
        told,
        "rule T50: asked 320.00 a month for oa of cun-e, 640.00 together with what xian-e and those below it lease, \
         allowed 639.99 a month by spec.limits of department xian-e, of which 320.00 is taken: 320.00 by oa of jie-e \
         (waits); lease less, give something back there, or have the e-government office raise the limit"
    );
    assert_eq!(asked_about(&village).await, 0);
    shows(stage, "xian-e", "what waits counted as taken", |status| {
        let subtree = status.subtree.as_ref();
        subtree.is_some_and(|all| all.monthly == "320.00" && all.tenancies == 1)
    })
    .await;
    // a fen more, and the request opens by itself
    change(stage, "xian-e", &json!({"limits": {"monthly": "640.00"}})).await;
    village.asked("oa", 1).await.unwrap();
    village.approve("oa", 1).await.unwrap();
    village.phase("oa", Phase::Active).await.unwrap();
}

#[tokio::test]
async fn an_item_is_limited_over_a_subtree_and_less_is_always_possible_t51() {
    let county = open("xian-f", "县").await;
    let stage = county.stage;
    let street = open_below("jie-f", "街道", "xian-f").await;
    let manifest = street.manifest("oa", &LEASE, &[("oa", &LEASE)]).unwrap();
    street.lease(&manifest).await.unwrap();
    let limit =
        |cores: &str| json!({"limits": {"items": [{"item": "vcpu-x86", "quantity": cores}]}});
    change(stage, "xian-f", &limit("3")).await;
    shows(stage, "xian-f", "more leased than is allowed", |status| {
        said(status, types::OVER_LIMIT)
            .starts_with("4 of vcpu-x86 is leased here and below, the limit is 3")
    })
    .await;
    apply(&street, "oa", &[("vcpu-x86", "5"), ("memory", "8Gi")]).await;
    let told = street.refused("oa", "T51").await.unwrap();
    assert!(
        told.starts_with(
            "rule T51: asked 5 of vcpu-x86 for oa of jie-f, 5 together with what xian-f and those below it lease, \
             allowed 3 of vcpu-x86 by spec.limits of department xian-f, of which 0 is taken;"
        ),
        "{told}"
    );
    apply(&street, "oa", &[("vcpu-x86", "2"), ("memory", "8Gi")]).await;
    street
        .when("oa", "a smaller lease approved", |tenancy| {
            is_approved(tenancy, 2)
        })
        .await
        .unwrap();
    // once it is in force, one core more is within the limit
    let leased = |tenancy: &Tenancy| {
        let status = tenancy.status.as_ref();
        let cores = status.and_then(|status| status.approved.last());
        cores.is_some_and(|item| &*item.quantity == "2")
    };
    street
        .when("oa", "the smaller lease in force", leased)
        .await
        .unwrap();
    apply(&street, "oa", &[("vcpu-x86", "3"), ("memory", "8Gi")]).await;
    street.asked("oa", 3).await.unwrap();
}

#[tokio::test]
async fn leases_that_are_asked_for_at_once_do_not_pass_a_limit_together() {
    let county = open("xian-g", "县").await;
    let stage = county.stage;
    let streets = [
        open_below("jie-g", "一街", "xian-g").await,
        open_below("jie-h", "二街", "xian-g").await,
        open_below("jie-i", "三街", "xian-g").await,
    ];
    for street in &streets {
        street.system().await.unwrap();
    }
    change(stage, "xian-g", &json!({"limits": {"monthly": "640.00"}})).await;
    shows(stage, "xian-g", "the limit", |status| {
        let subtree = status.subtree.as_ref();
        subtree.is_some_and(|all| all.departments == 4 && all.limit.is_some())
    })
    .await;
    let admin = stage.user(User::Admin).await.unwrap();
    let items: Vec<Value> = streets
        .iter()
        .flat_map(|street| ["a", "b"].map(|name| (street, name)))
        .map(|(street, name)| street.manifest(name, &LEASE, &[(name, &LEASE)]).unwrap())
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    admin.apply(&list).await.unwrap();
    let counted = stage.see("two asked about and four refused", LONG, async || {
        let (mut waiting, mut refused) = (0, 0);
        for street in &streets {
            for name in ["a", "b"] {
                let found = street
                    .staff
                    .get::<Tenancy>(Some(&street.place), name)
                    .await?;
                let status = found.status.unwrap_or_default();
                let full = status.conditions.iter().any(|condition| {
                    condition.type_ == types::REFUSED && condition.message.contains("rule T50:")
                });
                let asked = status
                    .request
                    .is_some_and(|request| request.waiting_for == ["office"]);
                refused += u32::from(full);
                waiting += u32::from(asked);
            }
        }
        if (waiting, refused) == (2, 4) {
            Ok(())
        } else {
            Err(format!("{waiting} wait, {refused} are refused"))
        }
    });
    counted.await.unwrap();
    let mut papers = 0;
    for street in &streets {
        papers += asked_about(street).await;
    }
    assert_eq!(papers, 2);
}
