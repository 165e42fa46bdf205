use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::objects::{Nameable, NamespaceIdentity};

fn namespace(metadata: &Value) -> Namespace {
    let mut namespace = json!({"metadata": {"name": "edu--prod"}});
    for (key, value) in metadata.as_object().into_iter().flatten() {
        namespace["metadata"][key] = value.clone();
    }
    serde_json::from_value(namespace).unwrap()
}

/// Four cores, eight GiB and ten GiB of `ssd`.
fn plan() -> NamespacePlan {
    let identity = NamespaceIdentity {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        system: "oa".to_owned(),
        zone_name: "gov-extranet".to_owned(),
        protection_level: 3,
        pod_security: PodSecurity::Restricted,
        storage_classes: BTreeSet::from(["ssd".to_owned()]),
        extended: BTreeSet::from(["nvidia.com/gpu".to_owned()]),
        nameable: Nameable::default(),
    };
    let hard = Hard::from([
        ("requests.cpu".to_owned(), 4_000),
        ("limits.cpu".to_owned(), 4_000),
        ("requests.memory".to_owned(), 8 << 30),
        ("requests.storage".to_owned(), 10 << 30),
    ]);
    NamespacePlan::new(identity, "prod", hard)
}

fn members() -> Vec<Member> {
    serde_json::from_value(json!([
        {"role": "admin", "group": "edu-admins"},
        {"role": "viewer", "user": "liu@edu"},
    ]))
    .unwrap()
}

fn zone(classes: &[&str]) -> NetworkZoneSpec {
    serde_json::from_value(json!({
        "displayName": "政务外网", "network": "GovExtranet", "protectionLevel": 3,
        "ingressClasses": classes,
    }))
    .unwrap()
}

/// What is found in a bare namespace with these contents.
fn found(contents: &Contents) -> Vec<String> {
    found_by(contents, PodSecurity::Restricted, false)
}

fn found_by(contents: &Contents, pod_security: PodSecurity, metered: bool) -> Vec<String> {
    let (plan, members, zone) = (plan(), members(), zone(&["gov-ingress"]));
    let wanted = Wanted {
        members: &members,
        pod_security,
        zone: &zone,
        leased: Some(Leased {
            plan: &plan,
            metered,
        }),
    };
    findings(&namespace(&json!({})), contents, &wanted)
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A pod that the level `restricted` lets through, with values laid over its spec and its container.
fn pod(spec: &Value, container: &Value) -> Contents {
    let mut pod = json!({
        "metadata": {"name": "web"},
        "spec": {
            "nodeName": "n1",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}},
            }],
        },
        "status": {"phase": "Running"},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    for (key, value) in container.as_object().into_iter().flatten() {
        pod["spec"]["containers"][0][key] = value.clone();
    }
    Contents {
        pods: vec![object(pod)],
        ..Contents::default()
    }
}

fn claim(class: Option<&str>, size: &str) -> PersistentVolumeClaim {
    object(json!({
        "metadata": {"name": "data"},
        "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}},
    }))
}

#[test]
fn workloads_within_the_lease_stand_in_nobodys_way() {
    let contents = Contents {
        claims: vec![claim(Some("ssd"), "10Gi")],
        services: vec![
            object(json!({"metadata": {"name": "web"}, "spec": {"type": "ClusterIP"}})),
            object(json!({"metadata": {"name": "bare"}, "spec": {"clusterIP": "None"}})),
        ],
        ingresses: vec![object(json!({
            "metadata": {"name": "web"}, "spec": {"ingressClassName": "gov-ingress"},
        }))],
        network_policies: vec![object(json!({
            "metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }))],
        role_bindings: vec![binding("old", "leasehold-tenant-viewer", "User", "liu@edu")],
        ..pod(&json!({}), &json!({}))
    };
    assert_eq!(found(&contents), Vec::<String>::new());
    assert_eq!(refusal("edu--prod", &[]), None);
    let counts = contents.counts();
    let expected = [
        ("pods", 1),
        ("volume claims", 1),
        ("services", 2),
        ("ingresses", 1),
        ("network policies", 1),
        ("role bindings", 1),
    ];
    assert_eq!(counts, expected);
}

fn binding(name: &str, role: &str, kind: &str, subject: &str) -> RoleBinding {
    object(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": kind, "name": subject}],
    }))
}

#[test]
fn rights_that_the_manifest_does_not_give_are_named_with_who_holds_them() {
    let told = |binding: RoleBinding| {
        let contents = Contents {
            role_bindings: vec![binding],
            ..Contents::default()
        };
        found(&contents)
    };
    let strange = binding("ops", "leasehold-tenant-viewer", "User", "wu@elsewhere");
    assert_eq!(
        told(strange),
        ["role binding ops gives ClusterRole leasehold-tenant-viewer to User wu@elsewhere"]
    );
    for (name, role, kind, subject) in [
        // a viewer is no administrator, and a group is no user of its name
        ("a", "leasehold-tenant-admin", "User", "liu@edu"),
        ("b", "leasehold-tenant-admin", "User", "edu-admins"),
        // edit writes network policies
        ("c", "edit", "Group", "edu-admins"),
        ("d", "leasehold-tenant-viewer", "ServiceAccount", "liu@edu"),
    ] {
        let told = told(binding(name, role, kind, subject));
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].contains(subject), "{told:?}");
    }
    let admin = binding("e", "leasehold-tenant-admin", "Group", "edu-admins");
    assert_eq!(told(admin), Vec::<String>::new());
    // the role of a binding cannot change, so nothing may stand under our names
    let ours = binding(
        "leasehold-viewers",
        "leasehold-tenant-admin",
        "Group",
        "edu-admins",
    );
    assert_eq!(
        told(ours),
        ["role binding leasehold-viewers stands where one of leasehold's belongs"]
    );
    let mut own = binding("f", "leasehold-tenant-admin", "Group", "edu-admins");
    own.role_ref.kind = "Role".to_owned();
    assert_eq!(
        told(own).len(),
        1,
        "a Role of that name gives what it likes"
    );
}

#[test]
fn what_would_stay_in_force_beside_the_lease_is_named() {
    let contents = Contents {
        quotas: vec![object(json!({"metadata": {"name": "team"}}))],
        limit_ranges: vec![object(json!({"metadata": {"name": "team"}}))],
        network_policies: vec![
            object(json!({"metadata": {"name": "open"}, "spec": {"egress": [{}]}})),
            object(json!({"metadata": {"name": "leasehold"}, "spec": {"podSelector": {}}})),
        ],
        ..Contents::default()
    };
    assert_eq!(
        found(&contents),
        [
            "quota team would bound it beside the lease",
            "limit range team would go on changing what containers get",
            "network policy open lets traffic past the zone's fence",
            "network policy leasehold stands where the zone's belongs",
        ]
    );
}

#[test]
fn a_pod_that_reaches_out_of_its_containers_is_named_with_the_reason() {
    let none = json!({});
    let cases = [
        (
            json!({"hostNetwork": true}),
            none.clone(),
            "shares the network of its node",
        ),
        (
            json!({"hostPID": true}),
            none.clone(),
            "shares the processes of its node",
        ),
        (
            json!({"hostIPC": true}),
            none.clone(),
            "shares the memory of processes of its node",
        ),
        (
            json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
            none.clone(),
            "mounts a path of its node (root)",
        ),
        (
            none.clone(),
            json!({"ports": [{"containerPort": 80, "hostPort": 8080}]}),
            "takes port 8080 of its node",
        ),
        (
            none.clone(),
            json!({"securityContext": {"allowPrivilegeEscalation": false, "privileged": true,
                "capabilities": {"drop": ["ALL"]}}}),
            "runs privileged (main)",
        ),
        (
            json!({"ephemeralContainers": [{"name": "debug", "securityContext": {
                "privileged": true, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}}}]}),
            none.clone(),
            "runs privileged (debug)",
        ),
        (
            json!({"priorityClassName": "system-node-critical"}),
            none.clone(),
            "has priority class system-node-critical (rule N05)",
        ),
        (
            json!({"resourceClaims": [{"name": "gpu"}]}),
            none.clone(),
            "claims devices (rule N05)",
        ),
        (
            none.clone(),
            json!({"resources": {"limits": {"hugepages-2Mi": "1Gi"}}}),
            "asks for hugepages-2Mi, which is not leased (rule N05)",
        ),
        (
            none.clone(),
            json!({"resources": {"requests": {"ephemeral-storage": "1Gi"}}}),
            "asks for ephemeral-storage, which is not leased (rule N05)",
        ),
        (
            json!({"volumes": [{"name": "share", "nfs": {"server": "s", "path": "/"}}]}),
            none.clone(),
            "mounts share, of a kind that no quota counts (rule N05)",
        ),
    ];
    for level in [PodSecurity::Restricted, PodSecurity::Baseline] {
        for (spec, container, reason) in &cases {
            let told = found_by(&pod(spec, container), level, false);
            assert_eq!(told, [format!("pod web {reason}")], "{level:?}");
        }
    }
    let leased = json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}});
    assert_eq!(found(&pod(&none, &leased)), Vec::<String>::new());
}

#[test]
fn the_level_restricted_asks_for_more_than_the_level_baseline() {
    let none = json!({});
    let cases = [
        (
            json!({"securityContext": {}}),
            none.clone(),
            "may run as root (main)",
        ),
        (
            none.clone(),
            json!({"securityContext": {}}),
            "may gain privileges (main)",
        ),
        (
            none.clone(),
            json!({"securityContext": null}),
            "keeps capabilities (main)",
        ),
        (
            none.clone(),
            json!({"securityContext": {"allowPrivilegeEscalation": false, "runAsUser": 0,
                "capabilities": {"drop": ["ALL"]}}}),
            "may run as root (main)",
        ),
    ];
    for (spec, container, reason) in &cases {
        let contents = pod(spec, container);
        let told = found(&contents);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(reason), "{told:?}");
        let baseline = found_by(&contents, PodSecurity::Baseline, false);
        assert_eq!(baseline, Vec::<String>::new());
    }
    let raw = json!({"securityContext": {"allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}});
    let told = found_by(&pod(&none, &raw), PodSecurity::Baseline, false);
    assert_eq!(told, ["pod web has capabilities beyond the usual (main)"]);
}

#[test]
fn a_pod_of_a_daemon_set_is_named_and_one_that_has_ended_is_not() {
    let mut contents = pod(&json!({"hostNetwork": true}), &json!({}));
    let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "u"});
    contents.pods[0].metadata.owner_references = Some(vec![object(owner)]);
    let told = found(&contents);
    let reasons = "belongs to a daemon set, shares the network of its node";
    assert_eq!(told, [format!("pod web {reasons}")]);
    for phase in ["Succeeded", "Failed"] {
        contents.pods[0].status = object(json!({"phase": phase}));
        assert_eq!(found(&contents), Vec::<String>::new());
    }
}

#[test]
fn claims_of_classes_that_are_not_leased_are_named() {
    let told = |claim: PersistentVolumeClaim| {
        let contents = Contents {
            claims: vec![claim],
            ..Contents::default()
        };
        found(&contents)
    };
    assert_eq!(
        told(claim(Some("gold"), "1Gi")),
        ["volume claim data is of storage class gold, which is not leased"]
    );
    assert_eq!(
        told(claim(None, "1Gi")),
        ["volume claim data has no storage class"]
    );
    // the old annotation wins over the field
    let mut claim = claim(Some("ssd"), "1Gi");
    claim.metadata.annotations = Some(BTreeMap::from([(
        "volume.beta.kubernetes.io/storage-class".to_owned(),
        "gold".to_owned(),
    )]));
    assert_eq!(told(claim).len(), 1);
}

#[test]
fn what_is_used_beyond_the_share_is_told_in_the_units_of_the_quota() {
    let five = json!({"resources": {"requests": {"cpu": "5"}, "limits": {"cpu": "5"}}});
    let contents = Contents {
        claims: vec![claim(Some("ssd"), "11Gi")],
        ..pod(&json!({}), &five)
    };
    assert_eq!(
        found(&contents),
        [
            "5 of limits.cpu are in use, its share is 4 (rule T31)",
            "5 of requests.cpu are in use, its share is 4 (rule T31)",
            "11Gi of requests.storage are in use, its share is 10Gi (rule T31)",
        ]
    );
}

#[test]
fn use_from_before_is_no_use_of_a_lease_that_is_billed_by_use() {
    let idle = found_by(&Contents::default(), PodSecurity::Restricted, true);
    assert_eq!(idle, Vec::<String>::new());
    let running = pod(&json!({}), &json!({}));
    let told = found_by(&running, PodSecurity::Restricted, true);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("billed by use"), "{told:?}");
}

#[test]
fn ways_in_from_outside_are_named() {
    let service = |spec: Value| object(json!({"metadata": {"name": "web"}, "spec": spec}));
    let contents = Contents {
        services: vec![
            service(json!({"type": "NodePort"})),
            service(json!({"type": "LoadBalancer"})),
            service(json!({"type": "ExternalName", "externalName": "a.example.com"})),
            service(json!({"externalIPs": ["192.0.2.7"]})),
        ],
        ingresses: vec![
            object(json!({"metadata": {"name": "a"}, "spec": {"ingressClassName": "public"}})),
            object(json!({"metadata": {"name": "b"}, "spec": {}})),
        ],
        ..Contents::default()
    };
    assert_eq!(
        found(&contents),
        [
            "service web is of type NodePort (rule N07)",
            "service web is of type LoadBalancer (rule N07)",
            "service web is of type ExternalName (rule N07)",
            "service web claims 192.0.2.7 outside of the cluster (rule N07)",
            "ingress a is of class \"public\", which the zone does not offer (rule N09)",
            "ingress b is of class \"\", which the zone does not offer (rule N09)",
        ]
    );
    // a zone that names no classes publishes nothing
    let (members, zone) = (members(), zone(&[]));
    let wanted = Wanted {
        members: &members,
        pod_security: PodSecurity::Restricted,
        zone: &zone,
        leased: None,
    };
    let told = findings(&namespace(&json!({})), &contents, &wanted);
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn objects_with_finalizers_that_nobody_takes_away_are_named_each_by_its_kind() {
    let mut contents = Contents {
        claims: vec![claim(Some("ssd"), "1Gi")],
        services: vec![object(json!({"metadata": {"name": "web"}, "spec": {}}))],
        ingresses: vec![object(json!({
            "metadata": {"name": "web"}, "spec": {"ingressClassName": "gov-ingress"},
        }))],
        network_policies: vec![object(json!({"metadata": {"name": "deny"}}))],
        role_bindings: vec![binding("old", "leasehold-tenant-viewer", "User", "liu@edu")],
        ..pod(&json!({}), &json!({}))
    };
    // it holds the namespace as well when it has ended
    contents.pods[0].status = object(json!({"phase": "Succeeded"}));
    let job = "batch.kubernetes.io/job-tracking";
    let bear = |contents: &mut Contents, finalizers: &[&str]| {
        let finalizers: Vec<String> = finalizers.iter().map(|&one| one.to_owned()).collect();
        for metadata in [
            &mut contents.role_bindings[0].metadata,
            &mut contents.network_policies[0].metadata,
            &mut contents.pods[0].metadata,
            &mut contents.claims[0].metadata,
            &mut contents.services[0].metadata,
            &mut contents.ingresses[0].metadata,
        ] {
            metadata.finalizers = Some(finalizers.clone());
        }
    };
    bear(&mut contents, &["foregroundDeletion", "orphan"]);
    assert_eq!(found(&contents), Vec::<String>::new());
    bear(&mut contents, &["orphan", "example.com/never"]);
    let things = [
        "role binding old",
        "network policy deny",
        "pod web",
        "volume claim data",
        "service web",
        "ingress web",
    ];
    let expected = things.map(|thing| {
        format!("finalizer example.com/never on {thing} would keep the namespace from going after a release (rule N10)")
    });
    assert_eq!(found(&contents), expected);
    // each of the control plane's own on its own kind
    bear(&mut contents, &["kubernetes.io/pvc-protection"]);
    assert_eq!(found(&contents).len(), 5);
    bear(&mut contents, &[job]);
    assert_eq!(found(&contents).len(), 6);
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": true});
    contents.pods[0].metadata.owner_references = Some(vec![object(owner)]);
    assert_eq!(found(&contents).len(), 5);
}

#[test]
fn hosts_are_looked_at_once_the_domains_of_the_department_are_known() {
    let contents = Contents {
        ingresses: vec![object(json!({
            "metadata": {"name": "web"},
            "spec": {"ingressClassName": "gov-ingress", "rules": [{"host": "oa.edu.example"}]},
        }))],
        ..Contents::default()
    };
    assert_eq!(
        found(&contents),
        ["ingress web is published under oa.edu.example (rule N09)"]
    );
    let (mut plan, members, zone) = (plan(), members(), zone(&["gov-ingress"]));
    plan.identity.nameable.domains = BTreeSet::from(["edu.example".to_owned()]);
    let told = |leased: Option<Leased<'_>>| {
        let wanted = Wanted {
            members: &members,
            pod_security: PodSecurity::Restricted,
            zone: &zone,
            leased,
        };
        findings(&namespace(&json!({})), &contents, &wanted)
    };
    let leased = Leased {
        plan: &plan,
        metered: false,
    };
    assert_eq!(told(Some(leased)), Vec::<String>::new());
    assert_eq!(told(None), Vec::<String>::new());
}

#[test]
fn marks_owners_and_finalizers_of_the_namespace_are_named() {
    let mut marked = namespace(&json!({
        "labels": {"team": "oa", "leasehold.dev/tenancy": "mail"},
        "annotations": {"leasehold.dev/adopt": "edu/oa", "leasehold.dev/storage-classes": "gold", "note": "x"},
        "finalizers": ["example.com/never"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "u"}],
    }));
    marked.spec = object(json!({"finalizers": ["kubernetes", "example.com/later"]}));
    let (members, zone) = (members(), zone(&[]));
    let wanted = Wanted {
        members: &members,
        pod_security: PodSecurity::Restricted,
        zone: &zone,
        leased: None,
    };
    assert_eq!(
        findings(&marked, &Contents::default(), &wanted),
        [
            "the namespace carries label leasehold.dev/tenancy=mail",
            "the namespace carries annotation leasehold.dev/storage-classes",
            "the namespace belongs to ConfigMap gone and would go with it",
            "finalizer example.com/never on the namespace would keep it from going after a release",
            "finalizer example.com/later on the namespace would keep it from going after a release",
        ]
    );
}

#[test]
fn a_refusal_tells_ten_things_and_counts_the_rest() {
    let many: Vec<String> = (1..=12).map(|number| format!("quota q{number}")).collect();
    let told = refusal("edu--prod", &many).unwrap().to_string();
    assert!(
        told.starts_with("rule T56: asked to adopt namespace edu--prod, in which 12 things stand in the way: quota q1; "),
        "{told}"
    );
    assert!(told.contains("quota q10; and 2 more, allowed "), "{told}");
    assert!(!told.contains("q11"), "{told}");
    assert!(
        told.contains("take the annotation leasehold.dev/adopt away"),
        "{told}"
    );
    let one = refusal("edu--prod", &many[..1]).unwrap().to_string();
    assert!(
        one.contains("in which 1 thing stands in the way: quota q1, allowed"),
        "{one}"
    );
}

#[test]
fn only_the_annotation_that_names_this_tenancy_asks_for_it() {
    let asks = |value: &str| {
        let annotated = namespace(&json!({"annotations": {"leasehold.dev/adopt": value}}));
        is_asked_for(&annotated, "edu", "oa")
    };
    assert!(asks("edu/oa"));
    for other in ["edu/mail", "health/oa", "oa", "edu/oa/", "edu--oa", ""] {
        assert!(!asks(other), "{other}");
    }
    assert!(!is_asked_for(&namespace(&json!({})), "edu", "oa"));
}
