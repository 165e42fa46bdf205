//! Declared meters: a kind that leasehold does not know is metered and billed to the second, once the platform lets it be read.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use leasehold_api::charging::{Statement, StatementState, SubjectOfDecision};
use leasehold_api::conditions::types;
use leasehold_api::platform::Meter;
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::fact::{Fact, Interval};
use leasehold_ledger::time::{Second, Span};
use leasehold_testkit::manifests::{Days, example};
use leasehold_testkit::{LONG, Session, User, eventually};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::ground::{ends, known_beyond, leased, past, second, server_time, settled, written};

const CODE: &str = "meter-bucket";
const PLACE: &str = "meter-bucket--prod";
const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("bucket", "1Gi")];
const METER: &str = "meter/buckets";
const OBJECT: &str = "Bucket meter-bucket--prod/files";
const BUCKET: &str = "buckets.storage.example.com/files";
/// One cent for a GiB and a second.
const PRICE: &str = "36.00";

static DECLARED: OnceCell<String> = OnceCell::const_new();

#[tokio::test]
async fn a_bucket_is_billed_to_the_second_through_two_changes_of_its_quota_e08_e09() {
    let stage = Stage::shared().await.unwrap();
    let admin = stage.user(User::Admin).await.unwrap();
    let source = declared(stage, &admin).await;
    price(stage).await;
    let office = leased(CODE, "档案局", &LEASE).await;
    let lived = live(&office, &admin, &source).await;

    let found = settled(stage, CODE, METER, 3).await;
    let mut found: Vec<(Span, i64, bool)> = found
        .into_iter()
        .filter(|interval| interval.subject.object == OBJECT)
        .map(|interval: Interval| (interval.span, interval.quantity >> 30, interval.estimated))
        .collect();
    found.sort_by_key(|(span, _, _)| span.from);
    let expected = lived.map(|(span, gib)| (span, gib, false));
    assert_eq!(found, expected);
    bills(&office, &lived).await;
}

fn buckets() -> ApiResource {
    ApiResource {
        group: "storage.example.com".to_owned(),
        version: "v1".to_owned(),
        api_version: "storage.example.com/v1".to_owned(),
        kind: "Bucket".to_owned(),
        plural: "buckets".to_owned(),
    }
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "buckets.storage.example.com"},
        "spec": {
            "group": "storage.example.com", "scope": "Namespaced",
            "names": {"kind": "Bucket", "listKind": "BucketList", "plural": "buckets", "singular": "bucket"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"quota": {"type": "string"}}},
                }}},
            }],
        },
    })
}

/// The meter, when it says so.
async fn says(stage: &Stage, name: &str, what: &str, holds: impl Fn(&Meter) -> bool) -> Meter {
    let auditor = stage.user(User::Auditor).await.unwrap();
    let seen = stage.see(what, LONG, async || {
        let meter = auditor.get::<Meter>(None, name).await?;
        if holds(&meter) {
            Ok(meter)
        } else {
            Err(format!("{:#?}", meter.status))
        }
    });
    seen.await.unwrap()
}

/// The message of a condition, and whether it holds.
fn said(meter: &Meter, type_: &str) -> Option<(bool, String)> {
    let status = meter.status.as_ref()?;
    let mut all = status.conditions.iter();
    let found = all.find(|condition| condition.type_ == type_)?;
    Some((found.status == "True", found.message.clone()))
}

fn is_ready(meter: &Meter) -> bool {
    said(meter, types::READY).is_some_and(|(holds, _)| holds)
}

/// The source of the meter of buckets, once the meters of `examples/` count; whoever asks first declares them.
pub async fn declared(stage: &'static Stage, admin: &Session) -> String {
    let source = DECLARED.get_or_init(|| declare(stage, admin));
    source.await.clone()
}

/// The source of a meter of `examples/`.
pub async fn source_of(stage: &Stage, name: &str) -> String {
    let meter = says(stage, name, "a meter that counts", is_ready).await;
    format!("meter/{name}/{}", meter.metadata.uid.unwrap())
}

/// The kind, the meters of `examples/` and, once these have said what they lack, the right to read; gives the source of
/// the meter of buckets.
async fn declare(stage: &'static Stage, admin: &Session) -> String {
    admin.create(&definition()).await.unwrap();
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/buckets.storage.example.com",
    ];
    admin.kubectl(&established, "").await.unwrap().ok().unwrap();
    let mut meters = example("10-meters.yaml", "").unwrap();
    let role = meters.pop().unwrap();
    let data_centre = stage.user(User::DataCentre).await.unwrap();
    for meter in &meters {
        data_centre.apply(meter).await.unwrap();
    }
    let blind = says(stage, "buckets", "a meter that may not read", |meter| {
        said(meter, types::BLIND).is_some()
    })
    .await;
    let (_, message) = said(&blind, types::BLIND).unwrap();
    let rule =
        "{apiGroups: [\"storage.example.com\"], resources: [buckets], verbs: [get, list, watch]}";
    assert!(message.contains(rule), "{message}");
    let told = eventually("a blind meter in the metrics", LONG, async || {
        let operator = stage.operator.lock().await;
        match operator.counted("leasehold_meter_blind", METER).await? {
            0 => Err("it sees".to_owned()),
            _ => Ok(()),
        }
    });
    told.await.unwrap();

    admin.create(&role).await.unwrap();
    for meter in &meters {
        let name = meter["metadata"]["name"].as_str().unwrap();
        says(stage, name, "a meter that counts", is_ready).await;
    }
    let put_together = admin.get::<ClusterRole>(None, "leasehold-meters").await;
    assert_eq!(put_together.unwrap().rules.unwrap_or_default().len(), 3);
    let meter = says(stage, "buckets", "a meter that sees", is_ready).await;
    assert_eq!(said(&meter, types::BLIND), None);
    let operator = stage.operator.lock().await;
    let blind = operator.counted("leasehold_meter_blind", METER).await;
    assert_eq!(blind.unwrap(), 0);
    format!("{METER}/{}", meter.metadata.uid.unwrap())
}

/// Finance publishes a price for what the meter counts.
async fn price(stage: &'static Stage) {
    let days = Days::now().unwrap();
    let book = json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": "buckets"},
        "spec": {
            "provider": "hs-bigdata", "contract": "HS-ZFCG-2026-001",
            "validity": {"from": days.term_from(), "through": days.term_through()},
            "items": [{
                "name": "bucket", "displayName": "对象存储", "category": "storage",
                "meter": "buckets", "unit": "GiB", "per": "Hour", "basis": "Metered", "price": PRICE,
            }],
        },
    });
    let sun = stage.user(User::SUN).await.unwrap();
    sun.apply(&book).await.unwrap();
    let (kind, place) = (SubjectOfDecision::PriceBook, "leasehold-system");
    stage
        .decide(User::QIAN, kind, "buckets", place)
        .await
        .unwrap();
    stage.published("buckets").await.unwrap();
}

/// A bucket is made, grows, shrinks and is removed; gives its stretches in GiB, as the API server has recorded them. The end
/// is the ledger's, between the API server's clock before and after.
async fn live(office: &Office, admin: &Session, source: &str) -> [(Span, i64); 3] {
    let bucket = json!({
        "apiVersion": "storage.example.com/v1", "kind": "Bucket",
        "metadata": {"name": "files", "namespace": PLACE}, "spec": {"quota": "5Gi"},
    });
    admin.create(&bucket).await.unwrap();
    let api: Api<DynamicObject> = Api::namespaced_with(admin.client(), PLACE, &buckets());
    let made = api.get("files").await.unwrap();
    let made = second(made.metadata.creation_timestamp.as_ref().unwrap());
    let grown = resize(admin, &api, made, "8Gi").await;
    let shrunk = resize(admin, &api, grown, "2Gi").await;
    past(admin, shrunk.plus(3)).await;

    let operator = office.stage.operator.lock().await;
    // after a restart it takes a while until the buckets are known up to now
    known_beyond(operator.ledger(), source, server_time(admin).await).await;
    let before = server_time(admin).await;
    let deletion = ["delete", BUCKET, "-n", PLACE];
    admin.kubectl(&deletion, "").await.unwrap().ok().unwrap();
    let seen = eventually("the bucket's end in the ledger", LONG, async || {
        let mut ends = ends(operator.ledger(), CODE, METER).await?;
        ends.remove(OBJECT)
            .ok_or_else(|| "it has no end".to_owned())
    });
    let end: Fact = seen.await.unwrap();
    drop(operator);
    let after = server_time(admin).await;
    let removed = before.plus(-1)..=after.plus(1);
    assert!(removed.contains(&end.at), "{removed:?}: {end:?}");
    assert_eq!((end.estimated, end.bounds), (false, None));
    [
        (Span::new(made, grown), 5),
        (Span::new(grown, shrunk), 8),
        (Span::new(shrunk, end.at), 2),
    ]
}

/// Changes the quota some seconds after an instant; gives when that was written.
async fn resize(admin: &Session, api: &Api<DynamicObject>, after: Second, quota: &str) -> Second {
    past(admin, after.plus(3)).await;
    let patch = json!({"spec": {"quota": quota}});
    let ran = admin.try_patch(BUCKET, &["-n", PLACE], &patch).await;
    ran.unwrap().ok().unwrap();
    let bucket = api.get("files").await.unwrap();
    written(&bucket.metadata, None)
}

/// Every period in which the bucket lived bills it: a cent for each GiB and second.
async fn bills(office: &Office, lived: &[(Span, i64); 3]) {
    let end = lived[2].0.to;
    let closed = office.stage.see("final statements", PERIODS, async || {
        let all = office.staff.list::<Statement>(Some(&office.place)).await;
        let mut all = all.map_err(|failure| format!("{failure:?}"))?;
        all.retain(|statement| statement.spec.state == StatementState::Final);
        if all.iter().any(|statement| period(statement).to >= end) {
            Ok(all)
        } else {
            Err(format!("{} final ones, none up to {end}", all.len()))
        }
    });
    let mut billed = 0;
    for statement in closed.await.unwrap() {
        let span = period(&statement);
        let cents: i64 = lived
            .iter()
            .filter_map(|(stretch, gib)| Some(stretch.intersect(&span)?.seconds() * gib))
            .sum();
        let mut lines = statement.spec.lines.iter();
        let line = lines.find(|line| line.item == "bucket");
        let gross = line.map_or("0.00", |line| line.gross.as_str());
        let expected = format!("{}.{:02}", cents / 100, cents % 100);
        assert_eq!(gross, expected, "{}: {:#?}", statement.spec.number, line);
        assert!(line.is_none_or(|line| !line.estimated));
        billed += cents;
    }
    let all: i64 = lived.iter().map(|(span, gib)| span.seconds() * gib).sum();
    assert_eq!(billed, all, "nothing of it is left out");
}

fn period(statement: &Statement) -> Span {
    let period = &statement.spec.period;
    let at = |text: &str| Second::parse(text).unwrap();
    Span::new(at(&period.start), at(&period.end))
}
