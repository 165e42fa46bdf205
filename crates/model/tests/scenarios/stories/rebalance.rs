//! A lease follows its use where the department lets it, and what several tenancies lease adds up for their system.

use std::time::Duration;

use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{
    expect::TENANCIES,
    people::{ADMIN, staff},
    script::{Lessee, Wish},
    world,
};

const HOUR: Duration = Duration::from_secs(3600);
const SYSTEMS: &str = "informationsystems.tenancy.leasehold.dev";

fn lessee(name: &str, shorts: &[&str]) -> Lessee {
    Lessee {
        code: "edu",
        name: name.to_owned(),
        shorts: shorts.iter().map(|short| (*short).to_owned()).collect(),
        keeps: false,
    }
}

/// Two namespaces with 32 cores, 64 GiB of memory and 20 GiB of storage each, rebalanced by use.
fn rebalanced() -> Value {
    let wish = Wish {
        shares: vec![[32, 64, 20], [32, 64, 20]],
        spare: [0; 3],
    };
    let mut manifest = world::tenancy(&lessee("oa", &["prod", "test"]), &wish);
    manifest["spec"]["rebalance"] = json!({"by": "Use"});
    manifest
}

fn is_active(stage: &Stage<'_>, at: [&str; 3]) -> bool {
    stage.find(at).unwrap_or_default()["status"]["phase"] == "Active"
}

/// Cores that a namespace has, once they count.
fn cores(stage: &Stage<'_>, namespace: &str) -> Option<String> {
    let quota = stage.find(["resourcequotas", namespace, "leasehold"])?;
    let [spec, status] = ["spec", "status"].map(|part| &quota[part]["hard"]["requests.cpu"]);
    (spec == status).then(|| spec.as_str().unwrap_or_default().to_owned())
}

fn have(stage: &Stage<'_>, prod: &str, test: &str) -> bool {
    let found = ["edu--prod", "edu--test"].map(|namespace| cores(stage, namespace));
    found == [prod, test].map(|cores| Some(cores.to_owned()))
}

/// Pods of four cores in the first namespace, by number.
fn run(stage: &Stage<'_>, numbers: std::ops::Range<u32>) -> Result<(), String> {
    for number in numbers {
        let pod = manifests::pod("edu--prod", &format!("p{number}"), "4", "1Gi", None);
        stage.create(ADMIN, &pod)?;
    }
    Ok(())
}

#[test]
fn capacity_goes_where_it_is_used_and_back_when_the_department_divides_anew() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        let office = manifests::office("edu");
        let at = [TENANCIES, office.as_str(), "oa"];
        stage.create(&staff("edu"), &rebalanced())?;
        stage.approve(&office, "oa-1-office").await?;
        stage
            .until("the lease", |stage| is_active(stage, at))
            .await?;
        assert!(have(stage, "32", "32"));
        let told = stage.find(at).unwrap_or_default();

        // 32 are used of 32: twice a head-room of 8 more
        run(stage, 0..8)?;
        stage
            .until("room for more", |stage| have(stage, "48", "16"))
            .await?;
        // 48 are used of 48; the other keeps a quarter of its share
        run(stage, 8..12)?;
        stage
            .until("all that can be had", |stage| have(stage, "56", "8"))
            .await?;
        let now = stage.find(at).unwrap_or_default();
        assert_eq!(
            told, now,
            "what moves with use is not written down each time"
        );

        for number in 0..12 {
            stage.delete(ADMIN, ["pods", "edu--prod", &format!("p{number}")])?;
        }
        stage.pass(HOUR * 2).await;
        assert!(have(stage, "56", "8"), "nobody is short, so nothing moves");
        let now = stage.find(at).unwrap_or_default();
        let quota = &now["status"]["namespaces"][0]["quota"];
        assert_eq!(quota, "cpu 0/56, memory 0/64Gi, ssd 0/20Gi");

        let mut anew = rebalanced();
        for (place, share) in ["40", "24"].into_iter().enumerate() {
            anew["spec"]["namespaces"][place]["share"]["vcpu-x86"] = json!(share);
        }
        let anew = json!({"spec": {"namespaces": anew["spec"]["namespaces"]}});
        stage.patch(&staff("edu"), at, &anew)?;
        stage
            .until("the new shares", |stage| {
                have(stage, "40", "24") && is_active(stage, at)
            })
            .await?;
        // and use is followed from there, also by an operator that was started anew
        stage.operator().stop();
        run(stage, 20..30)?;
        stage
            .until("room for more again", |stage| have(stage, "58", "6"))
            .await
    });
}

/// Somebody with every right gives a namespace so many cores.
fn meddle(stage: &Stage<'_>, namespace: &str, cores: &str) -> Result<(), String> {
    let hard = json!({"requests.cpu": cores, "limits.cpu": cores});
    let at = ["resourcequotas", namespace, "leasehold"];
    stage.patch(ADMIN, at, &json!({"spec": {"hard": hard}}))
}

/// How often the history tells of the quota of a namespace.
fn told(stage: &Stage<'_>, namespace: &str) -> usize {
    let office = manifests::office("edu");
    let found = stage.find([TENANCIES, office.as_str(), "oa"]);
    let found = found.unwrap_or_default();
    let history = found["status"]["history"].as_array();
    let begins = format!("quota leasehold in {namespace} was changed by kubectl at 2027-01-15T");
    history
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["what"].as_str())
        .filter(|what| what.starts_with(&begins))
        .count()
}

#[test]
fn what_others_move_within_the_lease_is_no_split_and_is_put_back_and_told() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        let office = manifests::office("edu");
        stage.create(&staff("edu"), &rebalanced())?;
        stage.approve(&office, "oa-1-office").await?;
        let at = [TENANCIES, office.as_str(), "oa"];
        stage
            .until("the lease", |stage| is_active(stage, at))
            .await?;
        run(stage, 0..8)?;
        stage
            .until("room for more", |stage| have(stage, "48", "16"))
            .await?;
        // 40 of 48 would do for the 32 that are used; an operator that was started anew knows the split by looking
        for (number, anew) in [(1, false), (2, true)] {
            if anew {
                stage.operator().stop();
            }
            stage.pass(HOUR).await;
            meddle(stage, "edu--prod", "40")?;
            stage
                .until("what was taken given back", |stage| {
                    told(stage, "edu--prod") == number * 2 - 1 && have(stage, "48", "16")
                })
                .await?;
            stage.pass(HOUR).await;
            meddle(stage, "edu--prod", "40")?;
            meddle(stage, "edu--test", "24")?;
            stage
                .until("what was moved put back", |stage| {
                    let times = ["edu--prod", "edu--test"].map(|place| told(stage, place));
                    times == [number * 2, number] && have(stage, "48", "16")
                })
                .await?;
        }
        Ok(())
    });
}

#[test]
fn what_several_tenancies_of_a_system_lease_adds_up_until_they_are_released() {
    tell(async |stage| {
        stage.furnish(&json!({}), &["edu"]).await?;
        let office = manifests::office("edu");
        let leases = [("oa", "prod", [2, 4, 10]), ("archive", "files", [1, 2, 30])];
        for (name, short, amounts) in leases {
            let wish = Wish {
                shares: vec![amounts],
                spare: [0; 3],
            };
            let manifest = world::tenancy(&lessee(name, &[short]), &wish);
            stage.create(&staff("edu"), &manifest)?;
            stage.approve(&office, &format!("{name}-1-office")).await?;
        }
        let system = [SYSTEMS, office.as_str(), "oa"];
        let says = |stage: &Stage<'_>, total: &str| {
            stage.find(system).unwrap_or_default()["status"]["total"] == total
        };
        stage
            .until("the sum of both", |stage| {
                says(stage, "block-ssd 40Gi, memory 6Gi, vcpu-x86 3")
            })
            .await?;
        let found = stage.find(system).unwrap_or_default();
        let memory = json!({"zone": "gov-extranet", "item": "memory", "quantity": "6Gi",
            "tenancies": 2});
        assert_eq!(found["status"]["leased"][1], memory);

        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(
            &staff("edu"),
            [TENANCIES, office.as_str(), "archive"],
            &release,
        )?;
        stage.approve(&office, "archive-release-office").await?;
        stage
            .until("what is left", |stage| {
                says(stage, "block-ssd 10Gi, memory 4Gi, vcpu-x86 2")
            })
            .await
    });
}
