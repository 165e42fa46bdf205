//! From when a lease is billed, whatever holds it up or interrupts it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::tenancy::Phase;
use leasehold_e2e::Office;
use leasehold_ledger::fact::Interval;
use leasehold_testkit::{LONG, User};

use crate::changes::{Items, cores, open, processors};

#[tokio::test]
async fn what_is_granted_is_billed_although_the_split_holds_another_part_up() {
    let office = open("granted", "水利局").await;
    let with = |cpu: &str, prod: &str, test: &str| {
        let lease = [("vcpu-x86", cpu), ("memory", "8Gi")];
        let prod = [("vcpu-x86", prod), ("memory", "8Gi")];
        let test = [("vcpu-x86", test)];
        office
            .manifest("oa", &lease, &[("prod", &prod), ("test", &test)])
            .unwrap()
    };
    office.lease(&with("8", "7", "1")).await.unwrap();
    let pod = leasehold_testkit::manifests::pod("granted--prod", "busy", "5", "1Gi", None);
    office.staff.create(&pod).await.unwrap();
    let used = office.stage.see("the pod counted", LONG, async || {
        let place = Some("granted--prod");
        let quota = office
            .staff
            .get::<ResourceQuota>(place, "leasehold")
            .await?;
        let used = quota.status.and_then(|status| status.used);
        if cores(used.as_ref()) == 5_000 {
            Ok(())
        } else {
            Err(format!("{used:?}"))
        }
    });
    used.await.unwrap();
    // prod cannot go below the 5 cores that run there, but the lease is 12 now and test gets of it
    office.staff.apply(&with("12", "2", "10")).await.unwrap();
    office.approve("oa", 2).await.unwrap();
    office.refused("oa", "T31").await.unwrap();
    let billed = office.stage.see("the larger lease billed", LONG, async || {
        let found = billed(&office).await;
        let cores = found.get("lease/vcpu-x86").cloned().unwrap_or_default();
        if cores == [8_000, 12_000] {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    billed.await.unwrap();
}

#[tokio::test]
async fn an_operator_killed_while_it_provisions_takes_up_where_it_was() {
    let office = open("killed", "自然资源局").await;
    let lease: &Items<'_> = &[("vcpu-x86", "6"), ("memory", "12Gi")];
    let shares: [&Items<'_>; 2] = [
        &[("vcpu-x86", "4"), ("memory", "8Gi")],
        &[("vcpu-x86", "2"), ("memory", "4Gi")],
    ];
    let manifest = office
        .manifest("oa", lease, &[("prod", shares[0]), ("test", shares[1])])
        .unwrap();
    office.system().await.unwrap();
    office.staff.apply(&manifest).await.unwrap();
    let approval = office.asked("oa", 1).await.unwrap();
    {
        let mut operator = office.stage.operator.lock().await;
        office.stage.approve(User::Office, &approval).await.unwrap();
        for _ in 0..3 {
            operator.kill();
            operator.restart().await.unwrap();
        }
    }
    office.phase("oa", Phase::Active).await.unwrap();
    assert_eq!(processors(&office, "prod").await.unwrap(), (4_000, 4_000));
    assert_eq!(processors(&office, "test").await.unwrap(), (2_000, 2_000));
    let open = office.stage.see("the lease in the ledger", LONG, async || {
        let found = billed(&office).await;
        if found.is_empty() {
            Err("nothing is billed yet".to_owned())
        } else {
            Ok(found)
        }
    });
    let open = open.await.unwrap();
    let expected = BTreeMap::from([
        ("lease/memory".to_owned(), vec![12 << 30]),
        ("lease/vcpu-x86".to_owned(), vec![6_000]),
    ]);
    assert_eq!(open, expected, "each item is billed once, from one instant");
}

/// Quantities of the intervals in the ledger, by meter.
async fn billed(office: &Office) -> BTreeMap<String, Vec<i64>> {
    let folder = office.stage.rig.scratch(&office.code).unwrap();
    let copy = office
        .stage
        .operator
        .lock()
        .await
        .copy_ledger(&folder)
        .unwrap();
    let db = copy.display().to_string();
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let usage = [
        "usage",
        "--db",
        &db,
        "--department",
        &office.code,
        "-o",
        "json",
    ];
    let ran = auditor.leasehold(&usage).await.unwrap().ok().unwrap();
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for interval in ran.json::<Vec<Interval>>().unwrap() {
        found
            .entry(interval.meter.to_string())
            .or_default()
            .push(interval.quantity);
    }
    found
}
