//! Kinds of Kubernetes itself that the meters of `examples/` name: a load balancer, its addresses, and devices that are allocated
//! to a claim.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::resource::v1::ResourceClaim;
use leasehold_e2e::{Office, Stage};
use leasehold_ledger::fact::Fact;
use leasehold_ledger::time::{Second, Span};
use leasehold_testkit::{Failure, LONG, Ran, Session, User, eventually};
use serde_json::{Value, json};

use crate::declared::{declared, source_of};
use crate::ground::{ends, known_beyond, leased, past, second, server_time, settled, written};

const CODE: &str = "meter-named";
const PLACE: &str = "meter-named--prod";
const LEASE: [(&str, &str); 2] = [("vcpu-x86", "2"), ("memory", "4Gi")];
const SERVICE: &str = "Service meter-named--prod/front";
const CLAIM: &str = "ResourceClaim meter-named--prod/cards";
/// Meters and what each of them counts.
const METERS: [(&str, &str); 3] = [
    ("load-balancers", SERVICE),
    ("public-addresses", SERVICE),
    ("gpu-devices", CLAIM),
];
/// What refuses a load balancer in a tenancy, and a hand in its quota.
const REFUSING: [&str; 3] = [
    "leasehold-n07-services",
    "leasehold-n01-in-our-namespaces",
    "leasehold-n01-with-our-label",
];

#[tokio::test]
async fn a_load_balancer_its_addresses_and_devices_of_a_claim_are_counted_from_when_they_are_there()
{
    let stage = Stage::shared().await.unwrap();
    let admin = stage.user(User::Admin).await.unwrap();
    declared(stage, &admin).await;
    let office = leased(CODE, "公共资源交易中心", &LEASE).await;
    let balanced = balance(&office, &admin).await;
    let addressed = address(&admin, balanced).await;
    let allocated = allocate(&admin).await;
    let ends = remove(&office, &admin, allocated).await;

    // one from its creation on; two addresses from when they were written; two devices from their allocation on
    let expected = [(balanced, 1), (addressed, 2), (allocated, 2)];
    for ((meter, object), (begins, quantity)) in METERS.into_iter().zip(expected) {
        let found = settled(stage, CODE, &format!("meter/{meter}"), 1).await;
        let [interval] = found.as_slice() else {
            panic!("{meter}: {found:?}")
        };
        let end = &ends[meter];
        assert_eq!((end.estimated, end.bounds), (false, None), "{end:?}");
        let span = Span::new(begins, end.at);
        assert_eq!(
            (interval.span, interval.quantity),
            (span, quantity),
            "{meter}"
        );
        assert!(!interval.estimated, "{interval:?}");
        assert_eq!(interval.subject.object, object);
        assert_eq!(interval.subject.tenancy, "oa");
    }
}

/// The platform lets the tenancy have a load balancer, which no policy and no quota of ours does: the operator, which would put
/// the quota right at once, is away meanwhile. Gives when it was made.
async fn balance(office: &Office, admin: &Session) -> Second {
    let mut operator = office.stage.operator.lock().await;
    operator.kill();
    enforce(admin, "Audit").await;
    let made = unguarded(admin).await;
    // other tests share the policies and the operator, whatever became of this
    enforce(admin, "Deny").await;
    operator.restart().await.unwrap();
    made.unwrap();
    let service = admin.get::<Service>(Some(PLACE), "front").await.unwrap();
    second(service.metadata.creation_timestamp.as_ref().unwrap())
}

/// The quota and the load balancer, where nothing refuses them.
async fn unguarded(admin: &Session) -> Result<(), Failure> {
    let hard = json!({"spec": {"hard": {"services.loadbalancers": "1"}}});
    let quota = eventually("a quota of one load balancer", LONG, async || {
        let target = "resourcequota/leasehold";
        Ran::succeeded(admin.try_patch(target, &["-n", PLACE], &hard).await)
    });
    quota.await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "front", "namespace": PLACE},
        "spec": {
            // ports of nodes have a quota of zero as well
            "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
            "selector": {"app": "front"}, "ports": [{"port": 80}],
        },
    });
    // the quota counts what it grants after a while
    let made = eventually("a load balancer", LONG, async || {
        Ran::succeeded(admin.try_create(&service).await)
    });
    made.await
}

/// What the policies do with what they refuse.
async fn enforce(admin: &Session, action: &str) {
    let patch = json!({"spec": {"validationActions": [action]}});
    for name in REFUSING {
        let target = format!("validatingadmissionpolicybinding/{name}");
        let ran = admin.try_patch(&target, &[], &patch).await;
        ran.unwrap().ok().unwrap();
    }
}

/// Some seconds later it has two addresses; gives when.
async fn address(admin: &Session, made: Second) -> Second {
    past(admin, made.plus(3)).await;
    let ingress = json!([{"ip": "203.0.113.7"}, {"ip": "203.0.113.8"}]);
    let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
    report(admin, "service/front", &status).await;
    let service = admin.get::<Service>(Some(PLACE), "front").await.unwrap();
    written(&service.metadata, Some("status"))
}

/// A claim of two devices, which are allocated some seconds later; gives when.
async fn allocate(admin: &Session) -> Second {
    let claim = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"name": "cards", "namespace": PLACE},
        "spec": {"devices": {"requests": [
            {"name": "cards", "exactly": {"deviceClassName": "gpu.example.com", "count": 2}},
            {"name": "net", "exactly": {"deviceClassName": "nic.example.com"}},
        ]}},
    });
    admin.create(&claim).await.unwrap();
    let claim = admin.get::<ResourceClaim>(Some(PLACE), "cards").await;
    let made = claim.unwrap().metadata.creation_timestamp;
    past(admin, second(made.as_ref().unwrap()).plus(3)).await;
    let given = |request: &str, device: &str| json!({"request": request, "driver": "dra.example.com", "pool": "dc1", "device": device});
    // the third is of another class
    let results = [given("cards", "a"), given("cards", "b"), given("net", "c")];
    let status = json!({"status": {"allocation": {"devices": {"results": results}}}});
    report(admin, "resourceclaim/cards", &status).await;
    let claim = admin.get::<ResourceClaim>(Some(PLACE), "cards").await;
    written(&claim.unwrap().metadata, Some("status"))
}

/// What the controller of a kind writes into the status.
async fn report(admin: &Session, target: &str, status: &Value) {
    let how = ["-n", PLACE, "--subresource=status"];
    let ran = admin.try_patch(target, &how, status).await;
    ran.unwrap().ok().unwrap();
}

/// Both are removed under the operator's eyes; gives the ends that the ledger has, by meter. Each lies between the API server's
/// clock before and after.
async fn remove(office: &Office, admin: &Session, newest: Second) -> BTreeMap<&'static str, Fact> {
    let stage = office.stage;
    let mut sources = Vec::new();
    for (meter, _) in METERS {
        sources.push(source_of(stage, meter).await);
    }
    past(admin, newest.plus(3)).await;
    let operator = stage.operator.lock().await;
    let now = server_time(admin).await;
    for source in &sources {
        // after a restart it takes a while until they are known up to now
        known_beyond(operator.ledger(), source, now).await;
    }
    let before = server_time(admin).await;
    let deletion = [
        "delete",
        "service/front",
        "resourceclaim/cards",
        "-n",
        PLACE,
    ];
    admin.kubectl(&deletion, "").await.unwrap().ok().unwrap();
    let mut found = BTreeMap::new();
    for (meter, object) in METERS {
        let of = format!("meter/{meter}");
        let seen = eventually("an end in the ledger", LONG, async || {
            let mut ends = ends(operator.ledger(), CODE, &of).await?;
            ends.remove(object)
                .ok_or_else(|| format!("{object} has no end in {of}"))
        });
        found.insert(meter, seen.await.unwrap());
    }
    drop(operator);
    let removed = before.plus(-1)..=server_time(admin).await.plus(1);
    for end in found.values() {
        assert!(removed.contains(&end.at), "{removed:?}: {end:?}");
    }
    found
}
