//! What is refused because of another object, or of what was there before.

use k8s_openapi::api::core::v1::Namespace;
use leasehold_api::charging::SubjectOfDecision;
use leasehold_api::conditions::types;
use leasehold_api::tenancy::{Department, Phase};
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::manifests::{self, Days, Share};
use leasehold_testkit::{LONG, NAMESPACE, User};
use serde_json::{Value, json};

use crate::openings::{nobody_was_asked, open, stage};

const LEASE: [(&str, &str); 1] = [("vcpu-x86", "4")];
/// The share of a namespace that gets nothing.
const NOTHING: &[(&str, &str)] = &[];

/// A tenancy of 4 cores in one namespace of its name.
fn plain(office: &Office, name: &str) -> Value {
    office.manifest(name, &LEASE, &[(name, &LEASE)]).unwrap()
}

/// A zone of protection level 3 with the storage class of the examples.
fn zone(name: &str) -> Value {
    json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "NetworkZone",
        "metadata": {"name": name},
        "spec": {
            "displayName": name, "network": "GovExtranet", "protectionLevel": 3,
            "storageClasses": ["ssd"],
        },
    })
}

#[tokio::test]
async fn a_zone_that_the_cloudlet_does_not_offer_is_refused_until_it_does_t24() {
    let office = open("zones", "规划局").await;
    office.system().await.unwrap();
    let datacentre = office.stage.user(User::DataCentre).await.unwrap();
    datacentre.apply(&zone("backroom")).await.unwrap();
    let mut manifest = plain(&office, "apart");
    manifest["spec"]["zone"] = json!("backroom");
    office.staff.apply(&manifest).await.unwrap();
    let told = office.refused("apart", "T24").await.unwrap();
    assert_eq!(
        told,
        "rule T24: asked zone backroom on cloudlet self, allowed gov-extranet; choose a zone that the cloudlet offers"
    );
    nobody_was_asked(&office).await;
    let offers = json!({"spec": {"zones": ["gov-extranet", "backroom"]}});
    let ran = datacentre
        .try_patch("cloudlets/self", &[], &offers)
        .await
        .unwrap();
    ran.ok().unwrap();
    office.asked("apart", 1).await.unwrap();
}

#[tokio::test]
async fn a_system_above_the_level_of_the_zone_is_refused_and_one_of_its_level_is_not_t25() {
    let office = open("levels", "保密局").await;
    let mut system = manifests::system("levels", "vault");
    system["spec"]["protectionLevel"] = json!(4);
    office.staff.apply(&system).await.unwrap();
    let mut manifest = plain(&office, "vault");
    manifest["spec"]["system"] = json!("vault");
    office.staff.apply(&manifest).await.unwrap();
    let told = office.refused("vault", "T25").await.unwrap();
    assert_eq!(
        told,
        "rule T25: asked protection level 4 for system vault in zone gov-extranet, allowed level 3 and below; choose a zone of at least that level"
    );
    nobody_was_asked(&office).await;
    system["spec"]["protectionLevel"] = json!(3);
    office.staff.apply(&system).await.unwrap();
    office.asked("vault", 1).await.unwrap();
}

/// Publishes a book of the examples' provider with one item that nobody else prices.
async fn sell(stage: &Stage, name: &str, item: &Value, days: [String; 2]) {
    let [from, through] = days;
    let finance = stage.user(User::SUN).await.unwrap();
    let book = json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": name},
        "spec": {
            "provider": "hs-bigdata", "contract": "HS-ZFCG-2026-008",
            "validity": {"from": from, "through": through}, "items": [item],
        },
    });
    finance.apply(&book).await.unwrap();
    let kind = SubjectOfDecision::PriceBook;
    stage
        .decide(User::QIAN, kind, name, NAMESPACE)
        .await
        .unwrap();
    stage.published(name).await.unwrap();
}

#[tokio::test]
async fn an_item_on_a_storage_class_that_the_zone_lacks_is_refused_t26() {
    let office = open("classes", "档案馆").await;
    office.system().await.unwrap();
    let days = Days::now().unwrap();
    let item = json!({
        "name": "block-tape", "displayName": "归档存储", "category": "storage",
        "storageClass": "tape", "unit": "GiB", "per": "Month", "price": "0.05",
    });
    let through = days.term_through().to_string();
    let on_sale = ["2026-01-01".to_owned(), through];
    sell(office.stage, "huangshi-tape", &item, on_sale).await;
    let stored = |item: &str| {
        let lease = [(item, "1Ti")];
        office
            .manifest("kept", &lease, &[("kept", &lease)])
            .unwrap()
    };
    office.staff.apply(&stored("block-tape")).await.unwrap();
    let told = office.refused("kept", "T26").await.unwrap();
    assert_eq!(
        told,
        "rule T26: asked block-tape on storage class tape in zone gov-extranet, allowed ssd; lease an item on a storage class of the zone"
    );
    nobody_was_asked(&office).await;
    office.staff.apply(&stored("block-ssd")).await.unwrap();
    office.asked("kept", 1).await.unwrap();
}

#[tokio::test]
async fn an_item_that_is_priced_later_can_be_leased_from_then_on_t29() {
    let office = open("later", "气象局").await;
    office.system().await.unwrap();
    let days = Days::now().unwrap();
    let first = days.term_from().add_months(2);
    let item = json!({
        "name": "vcpu-next", "displayName": "新一代云主机CPU", "category": "compute",
        "resource": "cpu", "unit": "Core", "per": "Month", "price": "40.00",
    });
    let on_sale = [first.to_string(), days.term_through().to_string()];
    sell(office.stage, "huangshi-next", &item, on_sale).await;
    let lease = [("vcpu-next", "4")];
    let mut manifest = office
        .manifest("next", &lease, &[("next", &lease)])
        .unwrap();
    office.staff.apply(&manifest).await.unwrap();
    let told = office.refused("next", "T29").await.unwrap();
    let offered = format!("allowed a day on which hs-bigdata publishes a price, such as {first};");
    assert!(
        told.starts_with("rule T29: asked vcpu-next from ") && told.contains(&offered),
        "{told}"
    );
    nobody_was_asked(&office).await;
    manifest["spec"]["term"]["from"] = json!(first);
    office.staff.apply(&manifest).await.unwrap();
    office.asked("next", 1).await.unwrap();
}

/// A tenancy of so many namespaces, named by a letter and a number, that share nothing out.
fn many(office: &Office, letter: char, count: usize) -> Value {
    let names: Vec<String> = (0..count)
        .map(|number| format!("{letter}{number}"))
        .collect();
    let shares: Vec<Share<'_>> = names.iter().map(|name| (name.as_str(), NOTHING)).collect();
    office.manifest("oa", &LEASE, &shares).unwrap()
}

#[tokio::test]
async fn a_tenancy_that_renames_its_namespaces_again_and_again_comes_to_an_end_t33() {
    let office = open("many", "信访局").await;
    let seventeen = many(&office, 'a', 17);
    office.lease(&seventeen).await.unwrap();
    // each list has no more than 32 names, both together have 33
    office.staff.apply(&many(&office, 'b', 16)).await.unwrap();
    let told = "rule T33: asked 33 namespaces, those counted that are no longer named, allowed 32 in the life of a tenancy; use the names that are there already";
    office
        .when("oa", "a list of names that is too long", |tenancy| {
            let mut conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
            conditions.any(|condition| {
                condition.type_ == types::WAITING && condition.message.contains(told)
            })
        })
        .await
        .unwrap();
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let made = auditor.list::<Namespace>(None).await.unwrap();
    let ours = made.iter().filter_map(|found| {
        let name = found.metadata.name.as_deref()?;
        name.strip_prefix("many--")
    });
    assert!(ours.clone().all(|short| short.starts_with('a')));
    assert_eq!(ours.count(), 17);
    office.staff.apply(&seventeen).await.unwrap();
    office
        .when("oa", "the names that are there already", |tenancy| {
            tenancy.status.as_ref().is_some_and(|status| {
                let mut conditions = status.conditions.iter();
                status.phase == Phase::Active && !conditions.any(|c| c.message.contains("T33"))
            })
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_office_namespace_that_is_not_ours_is_never_taken_d03() {
    let stage = stage().await;
    // made with the only right that may make such a name, and without our labels
    let maker = stage.rig.service_account().await.unwrap();
    let foreign = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dept-taken"},
    });
    maker.create(&foreign).await.unwrap();
    let chen = stage.user(User::Office).await.unwrap();
    let department = manifests::department("taken", "民宗局");
    chen.apply(&department).await.unwrap();
    let told = "rule D03: asked namespace dept-taken as the office, allowed a namespace that the operator made";
    let refused = stage.see("an office that is not taken", LONG, async || {
        let found = chen.get::<Department>(None, "taken").await?;
        let status = found.status.unwrap_or_default();
        let mut refusals = status.conditions.iter().filter(|condition| {
            condition.type_ == types::REFUSED && condition.message.contains(told)
        });
        match (refusals.next(), &status.office_namespace) {
            (Some(_), None) => Ok(()),
            _ => Err(format!("{status:#?}")),
        }
    });
    refused.await.unwrap();
    let left: Namespace = maker.get(None, "dept-taken").await.unwrap();
    let labels = left.metadata.labels.unwrap_or_default();
    assert!(
        labels.keys().all(|label| !label.contains("leasehold")),
        "{labels:?}"
    );

    // the platform removes it, and the department is looked at again
    let gone = ["delete", "namespace", "dept-taken"];
    maker.kubectl(&gone, "").await.unwrap().ok().unwrap();
    let renamed = manifests::department("taken", "民宗委");
    chen.apply(&renamed).await.unwrap();
    Office::open(stage, "taken").await.unwrap();
}
