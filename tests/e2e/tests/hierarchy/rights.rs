//! Whoever administers a department sees what is leased and paid in everything below it, and nothing else.

use leasehold_api::charging::Statement;
use leasehold_api::tenancy::{Department, Tenancy};
use leasehold_e2e::PERIODS;
use leasehold_testkit::{User, manifests};
use serde_json::{Value, json};

use crate::openings::{LEASE, change, forbidden, open, open_below, reads};

#[tokio::test]
async fn the_administrators_of_a_county_see_the_leases_and_bills_of_its_subtree_and_nothing_else() {
    let county = open("xian", "阳新县").await;
    let (stage, xian) = (county.stage, &county.staff);
    let street = open_below("xiang", "兴国镇", "xian").await;
    let village = open_below("cun", "官桥村", "xiang").await;
    let neighbour = open("linxian", "大冶市").await;
    let manifest = street.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    street.lease(&manifest).await.unwrap();
    for office in [&street, &village] {
        reads(stage, xian, &office.place, true).await;
    }
    let place = Some(street.place.as_str());
    let oa: Tenancy = xian.get(place, "oa").await.unwrap();
    assert_eq!(&*oa.spec.lease[0].item, "vcpu-x86");
    let bill = stage.see("a statement of the street", PERIODS, async || {
        let all = xian.list::<Statement>(place).await;
        let all = all.map_err(|failure| format!("{failure:?}"))?;
        let own = all.iter().find(|bill| bill.spec.department.name == "xiang");
        own.map(|_| ()).ok_or_else(|| format!("{all:?}"))
    });
    bill.await.unwrap();

    // a neighbour's, the whole cloud's, what runs, and what is secret
    for words in [
        ["get", "tenancies", "-n", &neighbour.place],
        ["get", "statements", "-n", &neighbour.place],
        ["get", "secrets", "-n", &street.place],
        ["get", "configmaps", "-n", &street.place],
        ["get", "pods", "-n", "xiang--prod"],
        ["get", "secrets", "-n", "xiang--prod"],
        ["get", "resourcequotas", "-n", "xiang--prod"],
    ] {
        forbidden(xian, &words).await;
    }
    for kind in ["tenancies", "statements", "departments"] {
        forbidden(xian, &["get", kind, "-A"]).await;
    }
    writes_nothing(xian, &street.place).await;
    // and nobody looks up
    reads(stage, &street.staff, &county.place, false).await;
    reads(stage, &village.staff, &street.place, false).await;
    lists(&county).await;
}

/// No write of anything in an office that somebody oversees.
async fn writes_nothing(who: &leasehold_testkit::Session, place: &str) {
    let more = ["-n", place];
    let lease = json!({"spec": {"contract": "HS-2"}});
    let ran = who.try_patch("tcy/oa", &more, &lease).await.unwrap();
    ran.refused("forbidden").unwrap();
    let yes = json!({"spec": {"decision": "Approved", "orderNo": "1"}});
    let ran = who.try_patch("apv/oa-1-office", &more, &yes).await.unwrap();
    ran.refused("forbidden").unwrap();
    forbidden(who, &["delete", "tcy/oa", "-n", place]).await;
    let ran = who.try_create(&manifests::system("xiang", "own")).await;
    ran.unwrap().refused("forbidden").unwrap();
    let department = json!({"spec": {"displayName": "own"}});
    let ran = who.try_patch("dept/xiang", &[], &department).await.unwrap();
    ran.refused("forbidden").unwrap();
}

/// What the command line lists below the county, for its own people and for the office.
async fn lists(county: &leasehold_e2e::Office) {
    let (stage, xian) = (county.stage, &county.staff);
    let words = ["tenancies", "--under", "xian", "-o", "json"];
    let ran = xian.leasehold(&words).await.unwrap().ok().unwrap();
    let listed: Value = ran.json().unwrap();
    assert_eq!(listed["tenancies"].as_array().unwrap().len(), 1);
    let oa = &listed["tenancies"][0];
    assert_eq!(
        (&oa["department"], &oa["name"]),
        (&json!("xiang"), &json!("oa"))
    );
    assert_eq!(oa["monthly"], "320.00");
    assert_eq!(listed["unread"], json!([]));

    let words = ["departments", "-n", &county.place, "-o", "json"];
    let ran = xian.leasehold(&words).await.unwrap().ok().unwrap();
    let listed: Value = ran.json().unwrap();
    let codes = |listed: &Value| -> Vec<String> {
        let all = listed["departments"].as_array().unwrap().iter();
        all.map(|seen| seen["department"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(codes(&listed), ["xian", "xiang", "cun"]);
    let top = &listed["departments"][0];
    assert_eq!(top.get("monthly"), None, "sums that may not be read");
    assert_eq!(listed["unread"], json!([]));

    let words = ["tenancies", "--under", "linxian"];
    let ran = xian.leasehold(&words).await.unwrap();
    ran.with_code(1).unwrap().refused("forbidden").unwrap();

    let chen = stage.user(User::Office).await.unwrap();
    let words = ["departments", "--under", "xian", "-o", "json"];
    let ran = chen.leasehold(&words).await.unwrap().ok().unwrap();
    let listed: Value = ran.json().unwrap();
    assert_eq!(codes(&listed), ["xian", "xiang", "cun"]);
    assert_eq!(listed["departments"][1]["monthly"], "320.00");
}

#[tokio::test]
async fn rights_go_with_a_department_that_moves_and_with_an_administrator_who_leaves() {
    let (east, west) = (open("dong", "东区").await, open("xi", "西区").await);
    let stage = east.stage;
    let street = open_below("jie", "和平街", "dong").await;
    let village = open_below("she", "和平社区", "jie").await;
    for office in [&street, &village] {
        reads(stage, &east.staff, &office.place, true).await;
        reads(stage, &west.staff, &office.place, false).await;
    }
    change(stage, "jie", &json!({"parent": "xi"})).await;
    for office in [&street, &village] {
        reads(stage, &west.staff, &office.place, true).await;
        reads(stage, &east.staff, &office.place, false).await;
    }
    let other = json!({"administrators": [{"kind": "Group", "name": "others"}]});
    change(stage, "xi", &other).await;
    reads(stage, &west.staff, &village.place, false).await;
    // the street's own people are where they were
    reads(stage, &street.staff, &village.place, true).await;

    // the binding is leasehold's alone
    let admin = stage.user(User::Admin).await.unwrap();
    let words = [
        "delete",
        "rolebinding",
        "leasehold-overseers",
        "-n",
        &village.place,
    ];
    let ran = admin.kubectl(&words, "").await.unwrap();
    ran.refused("rule N01:").unwrap();
    let chen = stage.user(User::Office).await.unwrap();
    let found: Department = chen.get(None, "she").await.unwrap();
    assert_eq!(found.spec.parent.as_deref(), Some("jie"));
}
