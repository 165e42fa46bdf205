//! Bad tenancies that the API server lets through: which rule the operator names, with the value.

use leasehold_api::tenancy::Tenancy;
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_testkit::manifests::{self, Days};
use leasehold_testkit::{LONG, Session, User};
use serde_json::{Value, json};

/// A tenancy that differs from a good one.
struct Wish {
    name: &'static str,
    /// A JSON merge patch for its spec.
    spec: Value,
    /// The rule that refuses it; nothing when something that it names is waited for.
    rule: Option<&'static str>,
    /// What the sentence says of it: the value that was asked, or the object that is missing.
    says: &'static str,
}

fn refused(name: &'static str, rule: &'static str, says: &'static str, spec: Value) -> Wish {
    Wish {
        name,
        spec,
        rule: Some(rule),
        says,
    }
}

fn waits(name: &'static str, says: &'static str, spec: Value) -> Wish {
    Wish {
        name,
        spec,
        rule: None,
        says,
    }
}

/// What a lease of the good manifest costs in its year: 4 × 46.00 + 8 × 17.00 + 20 × 0.70 = 334.00 a month, twelve times.
const TERM_PRICE: &str = "4008.00 CNY for the term";

/// A lease of one item of which nothing is shared out.
fn one(item: &str, quantity: &str) -> Value {
    json!({"lease": [{"item": item, "quantity": quantity}], "namespaces": [{"name": "prod"}]})
}

fn shared(share: &Value) -> Value {
    json!({"namespaces": [{"name": "prod", "share": share}]})
}

fn volume(item: &str, size: &str) -> Value {
    json!({"namespaces": [{
        "name": "prod", "share": {"block-ssd": "20Gi"},
        "volumes": [{"name": "files", "item": item, "size": size}],
    }]})
}

fn term(from: &str, through: &str) -> Value {
    json!({"term": {"from": from, "through": through}})
}

/// 30 February in the term of a year that begins this month.
fn no_day() -> String {
    let from = Days::now().unwrap().term_from().to_string();
    let (year, month): (i32, u32) = (from[..4].parse().unwrap(), from[5..7].parse().unwrap());
    let year = if month <= 2 { year } else { year + 1 };
    format!("{year}-02-30")
}

fn quantities() -> Vec<Wish> {
    let both = json!({
        "lease": [{"item": "vcpu-x86", "quantity": "1"}, {"item": "vcpu-burst", "quantity": "1"}],
        "namespaces": [{"name": "prod"}],
    });
    vec![
        refused(
            "share",
            "T20",
            "1000 of vcpu-x86",
            shared(&json!({"vcpu-x86": "1000"})),
        ),
        refused("item", "T21", "no-such-thing", one("no-such-thing", "1")),
        refused("zero", "T22", "0 of vcpu-x86", one("vcpu-x86", "0")),
        refused("bytes", "T22", "1.5 of memory", one("memory", "1.5")),
        refused("milli", "T22", "500m of memory", one("memory", "500m")),
        refused(
            "huge",
            "T22",
            "999999999999999999P of vcpu-x86",
            one("vcpu-x86", "999999999999999999P"),
        ),
        refused(
            "part",
            "T22",
            "500m of memory in prod",
            shared(&json!({"memory": "500m"})),
        ),
        refused("bases", "T27", "vcpu-burst", both),
        refused(
            "class",
            "T30",
            "volume files of 1Gi in prod on vcpu-x86",
            volume("vcpu-x86", "1Gi"),
        ),
        refused(
            "lost",
            "T30",
            "on no-such-thing",
            volume("no-such-thing", "1Gi"),
        ),
        refused(
            "empty",
            "T30",
            "volume files of 0 in prod",
            volume("block-ssd", "0"),
        ),
        refused(
            "large",
            "T30",
            "1Ti of block-ssd",
            volume("block-ssd", "1Ti"),
        ),
    ]
}

fn days_and_money() -> Vec<Wish> {
    let ceiling = |most: &str| json!({"budget": {"ceiling": most}});
    vec![
        refused(
            "february",
            "T23",
            "the day 2026-02-30",
            term("2026-01-01", "2026-02-30"),
        ),
        refused(
            "over",
            "T23",
            "2020-12-31",
            term("2020-01-01", "2020-12-31"),
        ),
        refused(
            "ages",
            "T34",
            "2099-12-31",
            json!({"term": {"through": "2099-12-31"}}),
        ),
        refused(
            "effect",
            "T06",
            "-02-30",
            json!({"effectiveFrom": no_day()}),
        ),
        refused("poor", "T28", TERM_PRICE, ceiling("0.01")),
        refused("debt", "T28", TERM_PRICE, ceiling("-1.00")),
    ]
}

fn references() -> Vec<Wish> {
    vec![
        refused(
            "elsewhere",
            "T24",
            "zone bad-zone on cloudlet self",
            json!({"zone": "bad-zone"}),
        ),
        refused(
            "secret",
            "T25",
            "protection level 4",
            json!({"system": "secret"}),
        ),
        waits(
            "no-zone",
            "NetworkZone nothing-there does not exist yet",
            json!({"zone": "nothing-there"}),
        ),
        waits(
            "no-site",
            "Cloudlet nothing-there does not exist yet",
            json!({"cloudlet": "nothing-there"}),
        ),
        waits(
            "no-system",
            "InformationSystem nothing-there does not exist yet",
            json!({"system": "nothing-there"}),
        ),
    ]
}

/// A system above every zone, and a zone that the cloudlet does not offer.
async fn ground(office: &Office) {
    office.system().await.unwrap();
    let mut secret = manifests::system(&office.code, "secret");
    secret["spec"]["protectionLevel"] = json!(4);
    office.staff.apply(&secret).await.unwrap();
    let zone = json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "NetworkZone",
        "metadata": {"name": "bad-zone"},
        "spec": {"displayName": "互联网区", "network": "Internet", "protectionLevel": 4},
    });
    let data_centre = office.stage.user(User::DataCentre).await.unwrap();
    data_centre.apply(&zone).await.unwrap();
}

async fn ask(office: &Office, wish: &Wish) {
    let lease = [("vcpu-x86", "4"), ("memory", "8Gi"), ("block-ssd", "20Gi")];
    let mut manifest = office
        .manifest(wish.name, &lease, &[("prod", &lease)])
        .unwrap();
    merge(&mut manifest["spec"], &wish.spec);
    office.staff.post::<Tenancy>(&manifest).await.unwrap();
}

/// A JSON merge patch that takes nothing away.
fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Waits until the tenancy's conditions say something.
async fn told(stage: &Stage, staff: &Session, place: &str, wish: &Wish) {
    let what = format!("tenancy {} that waits for what it names", wish.name);
    let looking = stage.see(&what, LONG, async || {
        let tenancy = staff.get::<Tenancy>(Some(place), wish.name).await?;
        let conditions = tenancy.status.map(|status| status.conditions);
        let mut conditions = conditions.iter().flatten();
        if conditions.any(|condition| condition.message.contains(wish.says)) {
            Ok(())
        } else {
            Err(format!("{conditions:?}"))
        }
    });
    looking.await.unwrap();
}

#[tokio::test]
async fn what_only_the_operator_can_judge_is_refused_by_the_rule_that_it_breaks() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("bad-judged", "党史办").await.unwrap();
    ground(&office).await;
    let wishes: Vec<Wish> = [quantities(), days_and_money(), references()]
        .into_iter()
        .flatten()
        .collect();
    for wish in &wishes {
        ask(&office, wish).await;
    }
    for wish in &wishes {
        let Some(rule) = wish.rule else {
            told(stage, &office.staff, &office.place, wish).await;
            continue;
        };
        let sentence = office.refused(wish.name, rule).await.unwrap();
        let of_rule = format!("rule {rule}: asked ");
        let (_, asked) = sentence
            .split_once(&of_rule)
            .unwrap_or_else(|| panic!("{sentence}"));
        let (value, rest) = asked
            .split_once(", allowed ")
            .unwrap_or_else(|| panic!("{sentence}"));
        assert!(value.contains(wish.says), "{}: {sentence}", wish.name);
        let (allowed, remedy) = rest
            .split_once("; ")
            .unwrap_or_else(|| panic!("{sentence}"));
        assert!(
            !allowed.is_empty() && !remedy.is_empty(),
            "{}: {sentence}",
            wish.name
        );
    }
    // nothing of it was put before a person
    let auditor = stage.user(User::Auditor).await.unwrap();
    let approvals = ["get", "approvals", "-n", &office.place, "-o", "name"];
    let found = auditor.kubectl(&approvals, "").await.unwrap().ok().unwrap();
    assert_eq!(found.stdout, "");
    // while all of it is there, the department leases something good
    let lease = [("vcpu-x86", "1")];
    let good = office
        .manifest("good", &lease, &[("good", &lease)])
        .unwrap();
    office.staff.apply(&good).await.unwrap();
    office.approve("good", 1).await.unwrap();
    let phase = leasehold_api::tenancy::Phase::Active;
    tokio::time::timeout(PERIODS, office.phase("good", phase))
        .await
        .unwrap()
        .unwrap();
}
