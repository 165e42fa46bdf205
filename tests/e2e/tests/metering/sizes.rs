//! What a pod reserves, where it is not just what its containers ask for: containers that run before the
//! others, containers that run beside them, the overhead of a runtime class, a pod that asks as a whole, and
//! devices that are a resource of their node.
//!
//! The numbers are worked out here by hand, and Kubernetes' own quota counts the same.

use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::charging::SubjectOfDecision;
use leasehold_api::names::QUOTA_NAME;
use leasehold_e2e::{Office, Stage};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_testkit::manifests::{Days, pod};
use leasehold_testkit::{LONG, Ran, User};
use serde_json::{Value, json};

use crate::ground::{finish, in_phase, leased, lived, settled};

const CODE: &str = "meter-sizes";
const PLACE: &str = "meter-sizes--prod";
const LEASE: [(&str, &str); 2] = [("vcpu-x86", "16"), ("memory", "32Gi")];
/// A MiB in bytes.
const MIB: i64 = 1 << 20;
/// The runtime class; it takes 250m and 120Mi of its own for each pod.
const BOXED: &str = "boxed";

/// A pod and what it reserves: thousandths of a core, MiB.
struct Case {
    name: &'static str,
    manifest: Value,
    millis: i64,
    mebibytes: i64,
}

/// Whether an init container ends before the others begin, or runs beside them.
#[derive(Clone, Copy)]
enum Runs {
    Before,
    Beside,
}

/// An init container that Pod Security lets in.
fn init(name: &str, runs: Runs, cpu: &str, memory: &str) -> Value {
    let mut container = json!({
        "name": name, "image": "registry.example/init:1",
        "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": cpu, "memory": memory},
            "limits": {"cpu": cpu, "memory": memory},
        },
    });
    if let Runs::Beside = runs {
        container["restartPolicy"] = json!("Always");
    }
    container
}

/// A pod whose main container asks for so much, with something laid into its spec.
fn case(name: &'static str, asks: [&str; 2], laid: (&str, Value), reserves: (i64, i64)) -> Case {
    let mut manifest = pod(PLACE, name, asks[0], asks[1], None);
    manifest["spec"][laid.0] = laid.1;
    Case {
        name,
        manifest,
        millis: reserves.0,
        mebibytes: reserves.1,
    }
}

/// Pods with containers that run before the main one, or beside it.
fn with_init_containers() -> [Case; 4] {
    let inits = |containers: &[Value]| ("initContainers", Value::from(containers.to_vec()));
    let large = init("set-up", Runs::Before, "3", "1Gi");
    let set_up = init("set-up", Runs::Before, "2", "2Gi");
    let beside = init("sidecar", Runs::Beside, "500m", "512Mi");
    let sidecar = init("sidecar", Runs::Beside, "500m", "128Mi");
    let sidecar_first = inits(&[sidecar.clone(), set_up.clone()]);
    let sidecar_last = inits(&[set_up, sidecar]);
    [
        // max(3, 1); max(1024, 2048)
        case("first", ["1", "2Gi"], inits(&[large]), (3_000, 2_048)),
        // 1 + 0.5; 1024 + 512
        case("beside", ["1", "1Gi"], inits(&[beside]), (1_500, 1_536)),
        // the set-up runs beside the sidecar: max(1 + 0.5, 0.5 + 2); max(1024 + 128, 128 + 2048)
        case("sidecar-first", ["1", "1Gi"], sidecar_first, (2_500, 2_176)),
        // it is over before the sidecar begins: max(1 + 0.5, 2); max(1024 + 128, 2048)
        case("sidecar-last", ["1", "1Gi"], sidecar_last, (2_000, 2_048)),
    ]
}

/// Pods that take or ask for something as a whole.
fn as_a_whole() -> [Case; 2] {
    let class = ("runtimeClassName", json!(BOXED));
    let size = json!({"cpu": "2", "memory": "2Gi"});
    let whole = ("resources", json!({"requests": size, "limits": size}));
    [
        // 1 + 0.25; 1024 + 120
        case("boxed", ["1", "1Gi"], class, (1_250, 1_144)),
        // what the pod asks for, whatever its container does
        case("whole", ["500m", "512Mi"], whole, (2_000, 2_048)),
    ]
}

#[tokio::test]
async fn a_pod_is_metered_at_what_the_scheduler_reserves_for_it() {
    let office = leased(CODE, "机关事务局", &LEASE).await;
    let (stage, staff) = (office.stage, &office.staff);
    let admin = stage.user(User::Admin).await.unwrap();
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
        "metadata": {"name": BOXED}, "handler": BOXED,
        "overhead": {"podFixed": {"cpu": "250m", "memory": "120Mi"}},
    });
    admin.create(&class).await.unwrap();
    let named = json!({"spec": {"runtimeClasses": [BOXED]}});
    let datacentre = stage.user(User::DataCentre).await.unwrap();
    let zone = datacentre.try_patch("networkzones/gov-extranet", &[], &named);
    zone.await.unwrap().ok().unwrap();
    let mut cases = Vec::from(with_init_containers());
    cases.extend(as_a_whole());
    cases.sort_by_key(|case| case.name);
    // rule N05 lets the class in once the namespace says that the zone has it
    let let_in = stage.see("the runtime class for tenants", LONG, async || {
        for case in cases.iter().filter(|case| case.name == "boxed") {
            let asked = staff.dry_create(&case.manifest).await;
            asked
                .and_then(Ran::ok)
                .map_err(|failure| format!("{failure:?}"))?;
        }
        Ok(())
    });
    let_in.await.unwrap();
    for case in &cases {
        staff.create(&case.manifest).await.unwrap();
    }
    for case in &cases {
        in_phase(staff, PLACE, case.name, "Running").await;
    }
    // 3 + 1.5 + 2.5 + 2 + 1.25 + 2 cores; 2048 + 1536 + 2176 + 2048 + 1144 + 2048 MiB
    kubernetes_counts(&office, 12_250, 11_000 * MIB).await;
    let mut expected = [Vec::new(), Vec::new()];
    for case in &cases {
        let over = finish(staff, PLACE, case.name).await;
        let object = format!("Pod {PLACE}/{}", case.name);
        expected[0].push((object.clone(), lived(&over), case.millis));
        expected[1].push((object, lived(&over), case.mebibytes * MIB));
    }
    for (meter, expected) in ["pod/cpu", "pod/memory"].into_iter().zip(expected) {
        let found = settled(stage, CODE, meter, expected.len()).await;
        let found = found.into_iter().map(|interval| {
            assert!(!interval.estimated, "{interval:?}");
            (interval.subject.object, interval.span, interval.quantity)
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{meter}");
    }
}

/// Waits until the namespace's quota has counted so much of what runs.
async fn kubernetes_counts(office: &Office, millis: i64, bytes: i64) {
    let seen = office.stage.see("what the quota counts", LONG, async || {
        let quota = office.staff.get::<ResourceQuota>(Some(PLACE), QUOTA_NAME);
        let quota = quota.await?;
        let used = quota.status.and_then(|status| status.used);
        let used = used.ok_or_else(|| "nothing is counted".to_owned())?;
        let of = |key: &str, unit| parse_quantity(&used[key].0, unit).unwrap();
        let counted = (
            of("requests.cpu", Unit::Core),
            of("requests.memory", Unit::GiB),
        );
        if counted == (millis, bytes) {
            Ok(())
        } else {
            Err(format!("{counted:?}"))
        }
    });
    seen.await.unwrap();
}

/// A resource that only some nodes have.
const CARD: &str = "example.com/gpu";

/// A node has four cards, and finance has published what one costs. Both stay: no other test here counts nodes or prices.
async fn cards_are_offered(stage: &'static Stage) {
    let admin = stage.user(User::Admin).await.unwrap();
    let size = json!({"cpu": "16", "memory": "64Gi", "pods": "100", (CARD): "4"});
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "dc1-r02-n01",
            "labels": {"leasehold.node-restriction.kubernetes.io/zone": "gov-extranet"},
        },
        "status": {"capacity": size, "allocatable": size},
    });
    admin.create(&node).await.unwrap();
    let days = Days::now().unwrap();
    let book = json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": "cards"},
        "spec": {
            "provider": "hs-bigdata", "contract": "HS-ZFCG-2026-001",
            "validity": {"from": days.term_from(), "through": days.term_through()},
            "items": [{
                "name": "gpu-card", "displayName": "加速卡", "category": "compute",
                "resource": CARD, "unit": "Count", "per": "Month", "basis": "Reserved", "price": "1200.00",
            }],
        },
    });
    let sun = stage.user(User::SUN).await.unwrap();
    sun.apply(&book).await.unwrap();
    let kind = SubjectOfDecision::PriceBook;
    let decided = stage.decide(User::QIAN, kind, "cards", "leasehold-system");
    decided.await.unwrap();
    stage.published("cards").await.unwrap();
}

#[tokio::test]
async fn a_pod_with_devices_of_its_node_is_metered_by_the_device_within_what_is_leased() {
    let stage = Stage::shared().await.unwrap();
    cards_are_offered(stage).await;
    let (code, place) = ("meter-cards", "meter-cards--prod");
    let lease = [("vcpu-x86", "4"), ("memory", "8Gi"), ("gpu-card", "3")];
    let office = leased(code, "科学技术局", &lease).await;
    let staff = &office.staff;
    let with_cards = |name: &str, cards: &str| {
        let mut manifest = pod(place, name, "1", "1Gi", None);
        for part in ["requests", "limits"] {
            manifest["spec"]["containers"][0]["resources"][part][CARD] = json!(cards);
        }
        manifest
    };
    staff.create(&with_cards("train", "2")).await.unwrap();
    in_phase(staff, place, "train", "Running").await;
    // three are leased, and two of them are in use
    let more = staff.try_create(&with_cards("more", "2")).await.unwrap();
    more.refused("exceeded quota").unwrap();
    let over = finish(staff, place, "train").await;
    let object = format!("Pod {place}/train");
    for (meter, quantity) in [
        ("pod/example.com/gpu", 2),
        ("pod/cpu", 1_000),
        ("pod/memory", 1_024 * MIB),
    ] {
        let found = settled(stage, code, meter, 1).await;
        let found: Vec<_> = found
            .into_iter()
            .map(|one| (one.subject.object, one.span, one.quantity, one.estimated))
            .collect();
        let expected = (object.clone(), lived(&over), quantity, false);
        assert_eq!(found, [expected], "{meter}");
    }
}
