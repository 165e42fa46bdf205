//! Bad contributions, proofs, price books and register entries: what the operator says of them.

use std::fmt::Debug;

use kube::Resource;
use leasehold_api::charging::{Appraisal, HandoverReceipt, PriceBook};
use leasehold_api::tenancy::{HardwareContribution, InformationSystem};
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::manifests::{self, Contributed};
use leasehold_testkit::{LONG, Session, User};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Waits until the conditions of an object say all of this.
async fn told<K>(stage: &Stage, reader: &Session, place: Option<&str>, name: &str, says: &[&str])
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Serialize + Debug,
{
    let what = format!("{} {name} that says {says:?}", K::kind(&()));
    let looking = stage.see(&what, LONG, async || {
        let found = reader.get::<K>(place, name).await?;
        let object = serde_json::to_value(&found).map_err(|error| error.to_string())?;
        let conditions = object["status"]["conditions"].as_array().cloned();
        let messages: Vec<String> = conditions
            .unwrap_or_default()
            .iter()
            .filter_map(|condition| condition["message"].as_str())
            .map(str::to_owned)
            .collect();
        let text = messages.join("\n");
        if says.iter().all(|words| text.contains(words)) {
            Ok(())
        } else {
            Err(text)
        }
    });
    looking.await.unwrap();
}

/// A device that differs from a good one, the rule, and the value that the finding shows.
fn devices() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        ("script", json!({"serial": "市政府办"}), "H01", "市政府办"),
        (
            "hidden",
            json!({"serial": "SN\u{0}BAD\u{202e}77"}),
            "H01",
            "copy it from the label",
        ),
        (
            "maker",
            json!({"maker": "no-such-thing"}),
            "H25",
            "no-such-thing",
        ),
        (
            "february",
            json!({"invoiceDate": "2024-02-30"}),
            "H02",
            "2024-02-30",
        ),
        (
            "old",
            json!({"invoiceDate": "2010-01-01", "acceptedOn": "2010-01-02"}),
            "H02",
            "2010-01-01",
        ),
        (
            "debt",
            json!({"originalPrice": "-52000.00"}),
            "H03",
            "-52000.00",
        ),
        ("gift", json!({"originalPrice": "0.00"}), "H03", "0.00"),
    ]
}

#[tokio::test]
async fn a_bad_device_is_a_finding_with_its_value() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("bad-devices", "地震局").await.unwrap();
    office.system().await.unwrap();
    for (number, (name, device, ..)) in devices().into_iter().enumerate() {
        let serial = format!("SN-DEVICES-{number}");
        let mut offer = manifests::contribution("bad-devices", name, &[&serial]);
        for (field, value) in device.as_object().unwrap() {
            offer["spec"]["devices"][0][field] = value.clone();
        }
        office
            .staff
            .post::<HardwareContribution>(&offer)
            .await
            .unwrap();
    }
    for (name, _, rule, value) in devices() {
        let message = office.finding(name, rule).await.unwrap();
        assert!(message.contains(value), "{name}: {message}");
    }
}

#[tokio::test]
async fn a_contribution_is_told_that_what_it_names_is_unknown() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("bad-names", "气象台").await.unwrap();
    let mut offer = manifests::contribution("bad-names", "servers", &["SN-NAMES-1"]);
    offer["spec"]["system"] = json!("nothing-there");
    offer["spec"]["agency"] = json!("nobody-there");
    office.offer(&offer).await.unwrap();
    let says = [
        "InformationSystem nothing-there does not exist yet",
        "agency nobody-there is not on the list",
    ];
    let place = Some(office.place.as_str());
    told::<HardwareContribution>(stage, &office.staff, place, "servers", &says).await;
}

/// Offers a server of its own for each bad proof.
async fn offered(office: &Office, name: &str) -> (String, String) {
    let serial = format!("SN-PROOF-{}", name.to_uppercase());
    let offer = manifests::contribution(&office.code, name, &[&serial]);
    (office.offer(&offer).await.unwrap(), serial)
}

#[tokio::test]
async fn a_bad_proof_is_a_finding_of_the_contribution_that_it_speaks_of() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("bad-proofs", "测绘院").await.unwrap();
    office.system().await.unwrap();
    let appraiser = stage.user(User::Appraiser).await.unwrap();
    let appraisals = [
        (
            "price",
            json!({"devices": [{"value": "52000.01"}]}),
            "H03",
            "52000.01",
        ),
        (
            "debt",
            json!({"devices": [{"value": "-1.00"}]}),
            "H03",
            "-1.00",
        ),
        (
            "foreign",
            json!({"devices": [{"serial": "SN-FOREIGN"}]}),
            "H07",
            "not offered",
        ),
        (
            "february",
            json!({"validThrough": "2099-02-30"}),
            "H04",
            "2099-02-30",
        ),
    ];
    for (name, patch, rule, says) in &appraisals {
        let (uid, serial) = offered(&office, name).await;
        let of = Contributed {
            code: &office.code,
            name,
            uid: &uid,
        };
        let mut manifest = manifests::appraisal(of, name, &[(&serial, "20000.00")]).unwrap();
        lay(&mut manifest["spec"], patch);
        appraiser.post::<Appraisal>(&manifest).await.unwrap();
        let message = office.finding(name, rule).await.unwrap();
        assert!(message.contains(says), "{name}: {message}");
    }
    let data_centre = stage.user(User::DataCentre).await.unwrap();
    let receipts = [
        ("early", json!({"arrivedOn": "2020-01-01"}), "2020-01-01"),
        ("never", json!({"arrivedOn": "2026-02-30"}), "2026-02-30"),
        (
            "other",
            json!({"devices": [{"serial": "SN-OTHER"}]}),
            "not offered",
        ),
    ];
    for (name, patch, says) in &receipts {
        let (uid, serial) = offered(&office, name).await;
        let of = Contributed {
            code: &office.code,
            name,
            uid: &uid,
        };
        let mut manifest = manifests::receipt(of, name, &[(&serial, "no-such-node")]).unwrap();
        lay(&mut manifest["spec"], patch);
        data_centre
            .post::<HandoverReceipt>(&manifest)
            .await
            .unwrap();
        let message = office.finding(name, "H06").await.unwrap();
        assert!(message.contains(says), "{name}: {message}");
    }
}

/// Lays fields over an object; a list is laid over entry by entry.
fn lay(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                lay(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(target), Value::Array(patch)) => {
            for (entry, value) in target.iter_mut().zip(patch) {
                lay(entry, value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

#[tokio::test]
async fn a_bad_price_book_is_rejected_with_the_place_and_the_value() {
    let stage = Stage::shared().await.unwrap();
    let finance = stage.user(User::SUN).await.unwrap();
    let good = manifests::example("03-prices.yaml", "").unwrap().remove(0);
    let books = [
        (
            "bad-day",
            json!({"validity": {"from": "2026-02-30"}}),
            ["spec.validity.from", "2026-02-30", "write an existing day"],
        ),
        (
            "bad-tax",
            json!({"tax": {"percent": "999.99"}}),
            ["tax.percent", "999.99", "0 to 100"],
        ),
        (
            "bad-unit",
            json!({"items": [{"unit": "GiB"}]}),
            ["items[0].unit", "GiB", "use Core"],
        ),
        (
            "bad-twin",
            json!({"provider": "hs-bigdata"}),
            ["rule B11: asked ", "huangshi-2026", "validity.through"],
        ),
    ];
    for (name, patch, _) in &books {
        let mut book = good.clone();
        book["metadata"]["name"] = json!(name);
        book["spec"]["provider"] = json!("bad-books");
        lay(&mut book["spec"], patch);
        finance.post::<PriceBook>(&book).await.unwrap();
    }
    for (name, _, says) in &books {
        told::<PriceBook>(stage, &finance, None, name, says).await;
    }
}

#[tokio::test]
async fn an_entry_of_the_register_waits_for_the_departments_that_it_names() {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office("bad-register", "编办").await.unwrap();
    let mut system = manifests::system("bad-register", "oa");
    system["spec"]["costShares"] = json!([{"department": "nobody-there", "percent": 100}]);
    office.staff.apply(&system).await.unwrap();
    let says = ["Department nobody-there of spec.costShares does not exist yet"];
    let place = Some(office.place.as_str());
    told::<InformationSystem>(stage, &office.staff, place, "oa", &says).await;
}
