//! Places that cannot be: round in a circle, too deep down, above one's own department above.

use leasehold_api::conditions::types;
use leasehold_testkit::{User, manifests};
use serde_json::json;

use crate::openings::{change, open, open_below, reads, said, shows};

#[tokio::test]
async fn departments_that_go_round_in_a_circle_are_refused_with_the_chain_until_it_is_opened_d06() {
    let (first, second) = (open("huan-a", "甲区").await, open("huan-b", "乙区").await);
    let stage = first.stage;
    let below = open_below("huan-c", "丙街", "huan-b").await;
    reads(stage, &second.staff, &below.place, true).await;
    change(stage, "huan-a", &json!({"parent": "huan-b"})).await;
    reads(stage, &second.staff, &first.place, true).await;
    change(stage, "huan-b", &json!({"parent": "huan-a"})).await;
    for (code, chain) in [
        ("huan-a", "huan-a → huan-b → huan-a"),
        ("huan-b", "huan-b → huan-a → huan-b"),
    ] {
        let told = format!("rule D06: asked {chain} as departments above each other, allowed");
        shows(stage, code, "the chain of the circle", |status| {
            said(status, types::REFUSED).starts_with(&told)
                && said(status, types::REFUSED).contains("spec.parent")
        })
        .await;
    }
    shows(stage, "huan-c", "whose circle it is below", |status| {
        said(status, types::WAITING).contains("huan-b → huan-a → huan-b")
            && said(status, types::REFUSED).is_empty()
    })
    .await;
    reads(stage, &second.staff, &below.place, false).await;
    reads(stage, &second.staff, &first.place, false).await;
    // offices go on
    below.system().await.unwrap();

    change(stage, "huan-b", &json!({"parent": null})).await;
    for code in ["huan-a", "huan-b", "huan-c"] {
        shows(stage, code, "no circle any more", |status| {
            said(status, types::REFUSED).is_empty() && said(status, types::WAITING).is_empty()
        })
        .await;
    }
    reads(stage, &second.staff, &below.place, true).await;
    reads(stage, &second.staff, &first.place, true).await;
}

#[tokio::test]
async fn eight_above_are_overseers_and_a_ninth_is_refused_d07() {
    let top = open("shen-0", "市").await;
    let stage = top.stage;
    let chen = stage.user(User::Office).await.unwrap();
    for depth in 1..10 {
        let mut manifest = manifests::department(&format!("shen-{depth}"), "下级");
        manifest["spec"]["parent"] = json!(format!("shen-{}", depth - 1));
        chen.apply(&manifest).await.unwrap();
    }
    reads(stage, &top.staff, "dept-shen-8", true).await;
    shows(stage, "shen-8", "a place that is deep enough", |status| {
        said(status, types::REFUSED).is_empty() && status.office_namespace.is_some()
    })
    .await;
    shows(stage, "shen-9", "a place that is too deep", |status| {
        said(status, types::REFUSED)
            .starts_with("rule D07: asked 9 departments above shen-9, allowed 8;")
            && status.office_namespace.is_some()
    })
    .await;
    reads(stage, &top.staff, "dept-shen-9", false).await;
}

#[tokio::test]
async fn a_county_is_not_below_a_street_and_a_street_is_below_a_county_d08() {
    let street = open("ji-jie", "街道").await;
    let stage = street.stage;
    change(stage, "ji-jie", &json!({"level": "Township"})).await;
    let county = open("ji-xian", "县").await;
    let below = json!({"level": "County", "parent": "ji-jie"});
    change(stage, "ji-xian", &below).await;
    shows(stage, "ji-xian", "levels that are turned round", |status| {
        said(status, types::REFUSED).starts_with(
            "rule D08: asked ji-xian of level County below ji-jie of level Township, allowed level Township or a lower one;",
        )
    })
    .await;
    reads(stage, &street.staff, &county.place, false).await;

    change(stage, "ji-xian", &json!({"parent": null})).await;
    change(stage, "ji-jie", &json!({"parent": "ji-xian"})).await;
    reads(stage, &county.staff, &street.place, true).await;
    for code in ["ji-xian", "ji-jie"] {
        shows(stage, code, "levels in order", |status| {
            said(status, types::REFUSED).is_empty()
        })
        .await;
    }
}
