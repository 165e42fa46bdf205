//! How a department ends.

use k8s_openapi::api::core::v1::Namespace;
use leasehold_api::charging::Statement;
use leasehold_api::tenancy::{Department, DepartmentPhase, Phase};
use leasehold_testkit::{LONG, User};
use serde_json::json;

use crate::openings::{LEASE, apply, change, is_approved, open, open_below, shows};

#[tokio::test]
async fn a_department_that_ends_leases_nothing_more_gives_back_and_is_deleted_then_t52_d09() {
    let county = open("xian-z", "县").await;
    let stage = county.stage;
    let street = open_below("jie-z", "要撤并的街道", "xian-z").await;
    let manifest = street.manifest("oa", &LEASE, &[("oa", &LEASE)]).unwrap();
    street.lease(&manifest).await.unwrap();
    let admin = stage.user(User::Admin).await.unwrap();
    let delete = ["delete", "dept/jie-z", "--wait=false"];
    let ran = admin.kubectl(&delete, "").await.unwrap();
    let told = "rule D09: department jie-z is Active and is not to end; set spec.end, release its tenancies (leasehold release NAME -n dept-jie-z)";
    ran.refused(told).unwrap();

    let end = json!({"end": {"reason": "机构改革，并入县本级", "successor": "xian-z"}});
    change(stage, "jie-z", &end).await;
    shows(stage, "jie-z", "the department ending", |status| {
        status.phase == DepartmentPhase::Ending
    })
    .await;
    let ran = admin.kubectl(&delete, "").await.unwrap();
    ran.refused("rule D09: department jie-z is Ending;")
        .unwrap();

    let more = [("vcpu-x86", "6"), ("memory", "8Gi")];
    apply(&street, "oa", &more).await;
    let told = street.refused("oa", "T52").await.unwrap();
    assert_eq!(
        told,
        "rule T52: asked vcpu-x86 4 to 6 for department jie-z, allowed what it has and less, because it ends; lease it \
         in department xian-z, which goes on with the work of jie-z"
    );
    let less = [("vcpu-x86", "2"), ("memory", "8Gi")];
    apply(&street, "oa", &less).await;
    street
        .when("oa", "less, approved by the policy", |tenancy| {
            is_approved(tenancy, 2)
        })
        .await
        .unwrap();

    let gone = street.give_back("oa").await.unwrap();
    assert_eq!(gone.status.unwrap().phase, Phase::Released);
    shows(stage, "jie-z", "the department ended", |status| {
        status.phase == DepartmentPhase::Ended
    })
    .await;
    admin.kubectl(&delete, "").await.unwrap().ok().unwrap();
    let deleted = stage.see("no department any more", LONG, async || {
        let found = admin.find::<Department>(None, "jie-z").await;
        match found.map_err(|failure| format!("{failure:?}"))? {
            None => Ok(()),
            Some(found) => Err(format!("{found:?}")),
        }
    });
    deleted.await.unwrap();
    // what it did and owes is where it was, for those who could read it
    let office: Namespace = admin.get(None, &street.place).await.unwrap();
    assert_eq!(office.metadata.deletion_timestamp, None);
    let bills = county.staff.list::<Statement>(Some(&street.place)).await;
    assert!(!bills.unwrap().is_empty());
}
