use k8s_openapi::api::networking::v1::NetworkPolicy;
use leasehold_api::{
    platform::NetworkZoneSpec,
    tenancy::{Administrator, Department, Reclaim},
};
use leasehold_ledger::{
    book::{Basis, Category, Item, Per},
    money::Price,
};
use serde_json::{Value, json};

use super::{
    reachability::{Endpoint, Port, reaches},
    *,
};

fn identity(department: &str, system: &str, zone: &str) -> NamespaceIdentity {
    NamespaceIdentity {
        department: department.to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        system: system.to_owned(),
        zone_name: zone.to_owned(),
        protection_level: 3,
        pod_security: PodSecurity::Restricted,
        storage_classes: BTreeSet::from(["ssd".to_owned(), "hdd".to_owned()]),
        extended: BTreeSet::new(),
        nameable: Nameable::default(),
    }
}

fn plan(department: &str, system: &str, zone: &str, short: &str) -> NamespacePlan {
    NamespacePlan::new(identity(department, system, zone), short, Hard::new())
}

fn prod() -> NamespacePlan {
    plan("gov-office", "oa", "gov-extranet", "prod")
}

fn zone(value: &Value) -> NetworkZoneSpec {
    let mut spec = json!({
        "displayName": "政务外网", "network": "GovExtranet", "protectionLevel": 3,
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), value.as_object()) {
        spec.extend(more.clone());
    }
    serde_json::from_value(spec).unwrap()
}

fn pod(plan: &NamespacePlan) -> Endpoint {
    let mut namespace_labels = plan.labels.clone();
    namespace_labels.insert("kubernetes.io/metadata.name".to_owned(), plan.name.clone());
    Endpoint {
        namespace: plan.name.clone(),
        namespace_labels,
        pod_labels: BTreeMap::new(),
    }
}

fn foreign(namespace: &str, app: &str) -> Endpoint {
    Endpoint {
        namespace: namespace.to_owned(),
        namespace_labels: labels([("kubernetes.io/metadata.name", namespace.to_owned())]),
        pod_labels: labels([("k8s-app", app.to_owned())]),
    }
}

const HTTP: Port<'_> = Port {
    protocol: "TCP",
    number: 8080,
};
const DNS: Port<'_> = Port {
    protocol: "UDP",
    number: 53,
};

#[test]
fn a_namespace_says_whose_it_is_and_what_it_leases() {
    let namespace = namespace(&prod());
    let labels = namespace.metadata.labels.unwrap();
    assert_eq!(namespace.metadata.name.as_deref(), Some("gov-office--prod"));
    for (key, value) in [
        ("leasehold.dev/managed-by", "leasehold"),
        ("leasehold.dev/department", "gov-office"),
        ("leasehold.dev/tenancy", "oa"),
        ("leasehold.dev/incarnation", "1"),
        ("leasehold.dev/system", "oa"),
        ("leasehold.dev/zone", "gov-extranet"),
        ("leasehold.dev/protection-level", "3"),
        ("leasehold.dev/namespace-role", "tenancy"),
        ("pod-security.kubernetes.io/enforce", "restricted"),
        ("pod-security.kubernetes.io/audit", "restricted"),
        ("pod-security.kubernetes.io/warn", "restricted"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    let annotations = namespace.metadata.annotations.unwrap();
    assert_eq!(annotations["leasehold.dev/storage-classes"], "hdd,ssd");
    assert_eq!(annotations["leasehold.dev/extended-resources"], "");
    assert!(namespace.metadata.owner_references.is_none());
}

#[test]
fn a_namespace_says_what_its_zone_and_its_department_let_workloads_name() {
    let zone = zone(&json!({
        "nodeSelector": {"zone": "gov-extranet", "rack": "r07"},
        "tolerations": ["example.com/zone", "dedicated"],
        "priorityClasses": ["low"],
        "runtimeClasses": ["boxed"],
        "ingressClasses": ["public", "inner"],
    }));
    let mut identity = identity("gov-office", "oa", "gov-extranet");
    let domains = ["oa.city.example", "gov-office.city.example"];
    identity.nameable = Nameable::of(&zone, domains.map(str::to_owned).into());
    let plan = NamespacePlan::new(identity, "prod", Hard::new());
    let annotations = namespace(&plan).metadata.annotations.unwrap();
    for (key, value) in [
        ("leasehold.dev/node-selector", "rack=r07,zone=gov-extranet"),
        ("leasehold.dev/tolerations", "dedicated,example.com/zone"),
        ("leasehold.dev/priority-classes", "low"),
        ("leasehold.dev/runtime-classes", "boxed"),
        ("leasehold.dev/ingress-classes", "inner,public"),
        (
            "leasehold.dev/domains",
            "gov-office.city.example,oa.city.example",
        ),
    ] {
        assert_eq!(
            annotations.get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
}

#[test]
fn what_a_zone_lets_nobody_name_is_said_so_that_an_older_word_does_not_stand() {
    let annotations = namespace(&prod()).metadata.annotations.unwrap();
    for name in [
        "node-selector",
        "tolerations",
        "priority-classes",
        "runtime-classes",
        "ingress-classes",
        "domains",
    ] {
        let key = format!("leasehold.dev/{name}");
        assert_eq!(annotations.get(&key).map(String::as_str), Some(""), "{key}");
    }
}

#[test]
fn a_quota_writes_amounts_as_kubernetes_does() {
    let hard = Hard::from([
        ("requests.cpu".to_owned(), 1500),
        ("requests.memory".to_owned(), 64 << 30),
        ("services.loadbalancers".to_owned(), 0),
    ]);
    let quota = quota(&prod(), &hard);
    assert_eq!(
        quota.metadata.namespace.as_deref(),
        Some("gov-office--prod")
    );
    let written: Vec<(String, String)> = quota
        .spec
        .unwrap()
        .hard
        .unwrap()
        .into_iter()
        .map(|(key, q)| (key, q.0))
        .collect();
    let expected = [
        ("requests.cpu", "1500m"),
        ("requests.memory", "64Gi"),
        ("services.loadbalancers", "0"),
    ];
    assert_eq!(
        written,
        expected.map(|(key, text)| (key.to_owned(), text.to_owned()))
    );
}

fn limits(cpu: i64, memory: i64) -> LimitRangeItem {
    let hard = Hard::from([
        ("requests.cpu".to_owned(), cpu),
        ("requests.memory".to_owned(), memory),
    ]);
    let range = limit_range(&prod(), &ContainerDefaults::default(), &hard).unwrap();
    range.spec.unwrap().limits.remove(0)
}

fn amount(of: Option<&BTreeMap<String, Quantity>>, key: &str) -> String {
    of.and_then(|amounts| amounts.get(key))
        .map(|quantity| quantity.0.clone())
        .unwrap_or_default()
}

#[test]
fn a_container_that_asks_for_nothing_gets_the_default_but_no_more_than_there_is() {
    let roomy = limits(4000, 8 << 30);
    assert_eq!(amount(roomy.default_request.as_ref(), "cpu"), "100m");
    assert_eq!(amount(roomy.default.as_ref(), "memory"), "128Mi");
    let narrow = limits(50, 0);
    assert_eq!(amount(narrow.default.as_ref(), "cpu"), "50m");
    assert_eq!(amount(narrow.default.as_ref(), "memory"), "1Mi");
}

#[test]
fn a_container_cannot_ask_for_nothing_at_all() {
    let least = limits(4000, 8 << 30).min.unwrap();
    assert_eq!(amount(Some(&least), "cpu"), "1m");
    assert_eq!(amount(Some(&least), "memory"), "1Mi");
}

#[test]
fn ephemeral_storage_gets_a_default_where_it_is_leased() {
    let hard = Hard::from([("requests.ephemeral-storage".to_owned(), 100 << 20)]);
    let range = limit_range(&prod(), &ContainerDefaults::default(), &hard).unwrap();
    let item = range.spec.unwrap().limits.remove(0);
    assert_eq!(amount(item.default.as_ref(), "ephemeral-storage"), "100Mi");
}

#[test]
fn unreadable_defaults_of_the_policy_are_refused() {
    let defaults = ContainerDefaults {
        cpu: "1.0001".into(),
        memory: "128Mi".into(),
    };
    assert_eq!(
        limit_range(&prod(), &defaults, &Hard::new())
            .unwrap_err()
            .rule,
        "T22"
    );
}

fn member(role: MemberRole, user: Option<&str>, group: Option<&str>) -> Member {
    Member {
        role,
        user: user.map(Into::into),
        group: group.map(Into::into),
    }
}

#[test]
fn people_get_the_roles_of_leasehold_and_the_control_plane_gets_none() {
    let bindings = role_bindings(
        &prod(),
        &[
            member(MemberRole::Admin, None, Some("gov-office-admins")),
            member(MemberRole::Admin, Some("zhang@gov-office"), None),
            member(MemberRole::Admin, Some("zhang@gov-office"), None),
            member(MemberRole::Admin, None, Some("system:authenticated")),
        ],
    );
    assert_eq!(bindings.len(), 1);
    assert_eq!(
        bindings[0].metadata.name.as_deref(),
        Some("leasehold-admins")
    );
    assert_eq!(bindings[0].role_ref.name, "leasehold-tenant-admin");
    assert_eq!(bindings[0].role_ref.kind, "ClusterRole");
    let subjects: Vec<(&str, &str)> = bindings[0]
        .subjects
        .iter()
        .flatten()
        .map(|subject| (subject.kind.as_str(), subject.name.as_str()))
        .collect();
    assert_eq!(
        subjects,
        [("User", "zhang@gov-office"), ("Group", "gov-office-admins")]
    );
}

#[test]
fn the_office_belongs_to_the_departments_administrators() {
    let spec = json!({
        "displayName": "市政府办",
        "administrators": [{"kind": "Group", "name": "gov-office-admins"}],
    });
    let department = Department::new("gov-office", serde_json::from_value(spec).unwrap());
    let office = office_namespace(&department, &Kin::default());
    assert_eq!(office.metadata.name.as_deref(), Some("dept-gov-office"));
    assert_eq!(
        office.metadata.labels.unwrap()["leasehold.dev/namespace-role"],
        "office"
    );
    assert_eq!(
        office.metadata.annotations.unwrap()["leasehold.dev/below"],
        ""
    );
    let bindings = office_role_bindings(&department, &Kin::default());
    assert_eq!(bindings.len(), 1);
    assert_eq!(
        bindings[0].metadata.namespace.as_deref(),
        Some("dept-gov-office")
    );
    assert_eq!(bindings[0].role_ref.name, "leasehold-department");
}

#[test]
fn those_above_oversee_an_office_each_once_and_nobody_of_the_control_plane() {
    let spec = json!({
        "displayName": "东岳路街道", "administrators": [{"kind": "Group", "name": "street-admins"}],
    });
    let department = Department::new("street", serde_json::from_value(spec).unwrap());
    let person = |kind: &str, name: &str| -> Administrator {
        serde_json::from_value(json!({"kind": kind, "name": name})).unwrap()
    };
    let kin = Kin {
        overseers: vec![
            person("Group", "daye-admins"),
            person("User", "chen@city"),
            person("Group", "system:authenticated"),
            person("User", "chen@city"),
            person("Group", "city-admins"),
        ],
        below: vec!["east".to_owned(), "west".to_owned()],
    };
    let office = office_namespace(&department, &kin);
    assert_eq!(
        office.metadata.annotations.unwrap()["leasehold.dev/below"],
        "east,west"
    );
    let bindings = office_role_bindings(&department, &kin);
    let names: Vec<_> = bindings
        .iter()
        .filter_map(|binding| binding.metadata.name.as_deref())
        .collect();
    assert_eq!(names, OFFICE_ROLE_BINDINGS);
    assert_eq!(bindings[1].role_ref.name, "leasehold-overseer");
    assert_eq!(
        bindings[1].metadata.labels.as_ref().unwrap()["leasehold.dev/department"],
        "street"
    );
    let people: Vec<(&str, &str)> = bindings[1]
        .subjects
        .iter()
        .flatten()
        .map(|subject| (subject.kind.as_str(), subject.name.as_str()))
        .collect();
    assert_eq!(
        people,
        [
            ("User", "chen@city"),
            ("Group", "city-admins"),
            ("Group", "daye-admins")
        ]
    );
}

fn ssd() -> Items {
    let item = Item {
        name: "block-ssd".to_owned(),
        display_name: "SSD云硬盘".to_owned(),
        category: Category::Storage,
        resource: None,
        storage_class: Some("ssd".to_owned()),
        meter: None,
        unit: Unit::GiB,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse("0.70").unwrap(),
    };
    Items::from([("block-ssd".to_owned(), item)])
}

#[test]
fn a_named_volume_claims_its_size_from_the_class_of_its_item() {
    let wanted = Volume {
        name: "files".into(),
        item: "block-ssd".into(),
        size: "1024Gi".into(),
        reclaim: Reclaim::Delete,
    };
    let claims = volumes(&prod(), std::slice::from_ref(&wanted), &ssd()).unwrap();
    let spec = claims[0].spec.clone().unwrap();
    assert_eq!(claims[0].metadata.name.as_deref(), Some("files"));
    assert_eq!(spec.storage_class_name.as_deref(), Some("ssd"));
    assert_eq!(
        amount(spec.resources.unwrap().requests.as_ref(), "storage"),
        "1Ti"
    );
    let stray = Volume {
        item: "memory".into(),
        ..wanted
    };
    assert_eq!(volumes(&prod(), &[stray], &ssd()).unwrap_err().rule, "T30");
}

/// The policies of several namespaces of one zone together.
fn all_policies(plans: &[&NamespacePlan], zone: &NetworkZoneSpec) -> Vec<NetworkPolicy> {
    plans
        .iter()
        .map(|plan| network_policy(plan, zone))
        .collect()
}

#[test]
fn a_system_reaches_itself_and_nobody_else() {
    let (prod, test) = (prod(), plan("gov-office", "oa", "gov-extranet", "test"));
    let other_system = plan("gov-office", "archive", "gov-extranet", "archive");
    let other_department = plan("finance", "oa", "gov-extranet", "prod");
    let other_zone = plan("gov-office", "oa", "internet", "web");
    let namespaces = [&prod, &test, &other_system, &other_department, &other_zone];
    let policies = all_policies(&namespaces, &zone(&json!({})));
    let from = pod(&prod);
    assert!(reaches(&policies, &from, &from, HTTP));
    assert!(reaches(&policies, &from, &pod(&test), HTTP));
    for stranger in [&other_system, &other_department, &other_zone] {
        assert!(
            !reaches(&policies, &from, &pod(stranger), HTTP),
            "{}",
            stranger.name
        );
        assert!(
            !reaches(&policies, &pod(stranger), &from, HTTP),
            "{}",
            stranger.name
        );
    }
}

#[test]
fn tenancies_of_one_system_in_one_zone_are_one_network() {
    let another = |zone: &str, short: &str| {
        let identity = NamespaceIdentity {
            tenancy: "oa-archive".to_owned(),
            incarnation: 3,
            ..identity("gov-office", "oa", zone)
        };
        NamespacePlan::new(identity, short, Hard::new())
    };
    let (prod, archive) = (prod(), another("gov-extranet", "archive"));
    let elsewhere = another("internet", "web");
    assert_ne!(prod.identity.tenancy, archive.identity.tenancy);
    let policies = all_policies(&[&prod, &archive, &elsewhere], &zone(&json!({})));
    let reach =
        |from: &NamespacePlan, to: &NamespacePlan| reaches(&policies, &pod(from), &pod(to), HTTP);
    assert!(reach(&prod, &archive) && reach(&archive, &prod));
    assert!(!reach(&archive, &elsewhere) && !reach(&elsewhere, &archive));
}

#[test]
fn a_namespace_without_our_labels_does_not_get_in_although_it_is_not_isolated() {
    let prod = prod();
    let policies = all_policies(&[&prod], &zone(&json!({})));
    assert!(!reaches(
        &policies,
        &foreign("default", "web"),
        &pod(&prod),
        HTTP
    ));
    let mut forged = foreign("default", "web");
    forged
        .namespace_labels
        .insert(SYSTEM_LABEL.to_owned(), "oa".to_owned());
    assert!(!reaches(&policies, &forged, &pod(&prod), HTTP));
}

#[test]
fn only_the_name_service_is_asked_for_names() {
    let prod = prod();
    let policies = all_policies(&[&prod], &zone(&json!({})));
    let dns = foreign("kube-system", "kube-dns");
    let tcp = Port {
        protocol: "TCP",
        ..DNS
    };
    assert!(reaches(&policies, &pod(&prod), &dns, DNS));
    assert!(reaches(&policies, &pod(&prod), &dns, tcp));
    assert!(!reaches(&policies, &pod(&prod), &dns, HTTP));
    assert!(!reaches(
        &policies,
        &pod(&prod),
        &foreign("kube-system", "etcd"),
        DNS
    ));
    assert!(!reaches(
        &policies,
        &pod(&prod),
        &foreign("default", "kube-dns"),
        DNS
    ));
}

#[test]
fn there_is_a_way_out_only_where_the_zone_has_a_gateway() {
    let prod = prod();
    let gateway = foreign("egress", "gateway");
    let closed = all_policies(&[&prod], &zone(&json!({})));
    assert!(!reaches(&closed, &pod(&prod), &gateway, HTTP));
    let way_out = json!({
        "egressGateway": {"namespace": "egress", "podLabels": {"k8s-app": "gateway"}},
    });
    let open = all_policies(&[&prod], &zone(&way_out));
    assert!(reaches(&open, &pod(&prod), &gateway, HTTP));
    assert!(!reaches(
        &open,
        &pod(&prod),
        &foreign("egress", "other"),
        HTTP
    ));
    assert!(
        !reaches(&open, &gateway, &pod(&prod), HTTP),
        "out is not in"
    );
}

#[test]
fn there_is_a_way_in_only_for_the_ingress_gateway_that_the_zone_names() {
    let prod = prod();
    let controller = foreign("ingress", "controller");
    let closed = all_policies(&[&prod], &zone(&json!({})));
    assert!(!reaches(&closed, &controller, &pod(&prod), HTTP));
    let both = json!({
        "egressGateway": {"namespace": "egress", "podLabels": {"k8s-app": "gateway"}},
        "ingressGateway": {"namespace": "ingress", "podLabels": {"k8s-app": "controller"}},
    });
    let open = all_policies(&[&prod], &zone(&both));
    assert!(reaches(&open, &controller, &pod(&prod), HTTP));
    for other in [
        foreign("ingress", "other"),
        foreign("default", "controller"),
    ] {
        assert!(!reaches(&open, &other, &pod(&prod), HTTP), "{other:?}");
    }
    assert!(
        !reaches(&open, &pod(&prod), &controller, HTTP),
        "in is not out"
    );
}

#[test]
fn the_same_input_gives_the_same_objects() {
    let twice = || serde_json::to_string(&network_policy(&prod(), &zone(&json!({})))).unwrap();
    assert_eq!(twice(), twice());
}
