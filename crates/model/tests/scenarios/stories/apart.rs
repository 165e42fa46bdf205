//! A namespace of a tenancy in which something fails keeps nothing from the others, and the status says what it is.

use std::time::Duration;

use leasehold_model::Faults;
use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{
    expect::TENANCIES,
    people::staff,
    script::{Lessee, Wish},
    world,
};

const CODE: &str = "edu";
const SHORTS: [&str; 3] = ["dev", "prod", "test"];
const QUOTAS: &str = "resourcequotas";
/// Cores of the lease.
const LEASED: i64 = 10;

/// The lease of ten cores, divided so.
fn divided(cores: [u32; 3]) -> Value {
    let lessee = Lessee {
        code: CODE,
        name: "oa".to_owned(),
        shorts: SHORTS.map(str::to_owned).to_vec(),
        keeps: false,
    };
    let wish = Wish {
        shares: vec![[2, 8, 10]; 3],
        spare: [0; 3],
    };
    let mut manifest = world::tenancy(&lessee, &wish);
    manifest["spec"]["lease"][0]["quantity"] = json!(LEASED.to_string());
    for (place, cores) in cores.into_iter().enumerate() {
        manifest["spec"]["namespaces"][place]["share"]["vcpu-x86"] = json!(cores.to_string());
    }
    manifest
}

fn status(stage: &Stage<'_>) -> Value {
    let office = manifests::office(CODE);
    let found = stage.find([TENANCIES, &office, "oa"]).unwrap_or_default();
    found["status"].clone()
}

/// What a condition of the tenancy says, while it holds.
fn said(stage: &Stage<'_>, type_: &str) -> Option<String> {
    let status = status(stage);
    let mut conditions = status["conditions"].as_array()?.iter();
    let found = conditions.find(|found| found["type"] == type_ && found["status"] == "True")?;
    found["message"].as_str().map(str::to_owned)
}

/// Cores in what a quota says in this part; 0 before it says anything.
fn cores(quota: &Value, part: &str) -> i64 {
    let found = quota[part]["hard"]["requests.cpu"].as_str();
    found.map_or(0, |cores| cores.parse().unwrap())
}

/// Whether the namespaces have so many cores each, which count. Together they never may have more than is leased.
fn have(stage: &Stage<'_>, expected: [i64; 3]) -> bool {
    let quotas = SHORTS.map(|short| {
        let quota = stage.find([QUOTAS, &format!("{CODE}--{short}"), "leasehold"]);
        let quota = quota.unwrap_or_default();
        ["spec", "status"].map(|part| cores(&quota, part))
    });
    let held: i64 = quotas.iter().map(|[spec, status]| spec.max(status)).sum();
    assert!(held <= LEASED, "{held} cores of {LEASED}: {quotas:?}");
    quotas == expected.map(|cores| [cores; 2])
}

#[test]
fn a_quota_that_cannot_be_written_holds_up_who_waits_for_it_and_nobody_else_and_is_told() {
    tell(async |stage| {
        stage.furnish(&json!({}), &[CODE]).await?;
        let office = manifests::office(CODE);
        let at = [TENANCIES, office.as_str(), "oa"];
        stage.create(&staff(CODE), &divided([4, 2, 4]))?;
        stage.approve(&office, "oa-1-office").await?;
        let in_force =
            |stage: &Stage<'_>| status(stage)["phase"] == "Active" && have(stage, [4, 2, 4]);
        stage.until("the lease in force", in_force).await?;
        assert_eq!(said(stage, "Failed"), None);

        // somebody's webhook for quotas does not work, in the first of the two that shall give
        let barred = Faults::default().barring(QUOTAS, "edu--dev");
        stage.server.set_faults(barred);
        let anew = json!({"spec": {"namespaces": divided([2, 5, 3])["spec"]["namespaces"]}});
        stage.patch(&staff(CODE), at, &anew)?;
        let apart = |stage: &Stage<'_>| have(stage, [4, 3, 3]);
        stage.until("what the other one gave", apart).await?;
        let told = |stage: &Stage<'_>| {
            let failed = said(stage, "Failed").unwrap_or_default();
            failed.contains("ResourceQuota edu--dev/leasehold: ") && failed.contains("tried again")
        };
        stage.until("what failed in the status", told).await?;
        for _ in 0..120 {
            stage.pass(Duration::from_secs(1)).await;
            assert!(apart(stage), "it is not given twice");
        }
        assert!(told(stage));
        let waits = said(stage, "Waiting").unwrap_or_default();
        assert!(waits.contains("prod waits for 2 of "), "{waits}");

        stage.server.set_faults(Faults::default());
        let whole = |stage: &Stage<'_>| have(stage, [2, 5, 3]) && said(stage, "Failed").is_none();
        stage.until("the new division", whole).await?;
        let active = |stage: &Stage<'_>| {
            status(stage)["phase"] == "Active" && said(stage, "Waiting").is_none()
        };
        stage.until("a lease that is whole again", active).await
    });
}
