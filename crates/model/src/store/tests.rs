//! What the API server does with objects, expected values by the documentation of Kubernetes.

use super::*;
use crate::{
    admission::OPERATOR,
    call::PatchKind,
    chores::Chore,
    object::{at, texts},
};

fn start() -> Store {
    Store::new(Kinds::ours(), Timestamp::UNIX_EPOCH)
}

fn at_second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn call(store: &Store, verb: Verb, kind: &str, place: &str) -> Call {
    let kind = store
        .kinds
        .of("v1", kind)
        .or_else(|| store.kinds.of("tenancy.leasehold.dev/v1alpha1", kind))
        .or_else(|| store.kinds.of("charging.leasehold.dev/v1alpha1", kind))
        .unwrap();
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    Call::new(verb, &kind, namespace, name)
}

/// Creates an object of a manifest without kind.
#[expect(
    clippy::panic_in_result_fn,
    reason = "a refusal is a value here, an answer that is neither is a broken model"
)]
fn create(store: &mut Store, kind: &str, namespace: &str, body: Value) -> Result<Value, Refusal> {
    let call = call(store, Verb::Create, kind, &format!("{namespace}/"));
    let mut body = body;
    body["apiVersion"] = json!(call.kind.api_version());
    body["kind"] = json!(kind);
    let answer = store.handle(&call.with_body(body), Timestamp::UNIX_EPOCH)?;
    assert_eq!(answer.code, 201);
    Ok(answer.body)
}

fn get(store: &mut Store, kind: &str, place: &str) -> Result<Value, Refusal> {
    let call = call(store, Verb::Get, kind, place);
    store
        .handle(&call, Timestamp::UNIX_EPOCH)
        .map(|answer| answer.body)
}

fn merge(store: &mut Store, kind: &str, place: &str, patch: Value) -> Result<Value, Refusal> {
    let call = call(store, Verb::Patch(PatchKind::Merge), kind, place).with_body(patch);
    store.handle(&call, at_second(9)).map(|answer| answer.body)
}

fn delete(store: &mut Store, kind: &str, place: &str, options: Value) -> Result<Value, Refusal> {
    let call = call(store, Verb::Delete, kind, place).with_body(options);
    store.handle(&call, at_second(60)).map(|answer| answer.body)
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"x": "1"}})
}

fn system() -> Value {
    json!({"metadata": {"name": "oa"},
        "spec": {"displayName": "业务系统", "origin": "Existing", "protectionLevel": 3},
        "status": {"conditions": []}})
}

#[test]
fn a_created_object_has_identity_version_and_defaults_and_no_status() {
    let mut store = start();
    let made = create(&mut store, "InformationSystem", "default", system()).unwrap();
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(
        made["metadata"]["creationTimestamp"],
        "1970-01-01T00:00:00Z"
    );
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(
        made["metadata"]["resourceVersion"],
        store.version().to_string()
    );
    assert_eq!(made["spec"]["audience"], "Gov");
    assert!(made.get("status").is_none());
    let other = create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    assert_ne!(made["metadata"]["uid"], other["metadata"]["uid"]);
}

#[test]
fn what_is_in_the_way_of_a_new_object_is_told_by_reason() {
    let mut store = start();
    create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    let twice = create(&mut store, "ConfigMap", "default", map("a")).unwrap_err();
    assert_eq!((twice.code, twice.reason), (409, "AlreadyExists"));
    let nowhere = create(&mut store, "ConfigMap", "away", map("a")).unwrap_err();
    assert_eq!((nowhere.code, nowhere.reason), (404, "NotFound"));
    let name = create(&mut store, "ConfigMap", "default", map("A_")).unwrap_err();
    assert_eq!((name.code, name.reason), (422, "Invalid"));
    let mut wrong = system();
    wrong["spec"]["protectionLevel"] = json!(9);
    let wrong = create(&mut store, "InformationSystem", "default", wrong).unwrap_err();
    assert_eq!(wrong.causes[0].2, "spec.protectionLevel");
}

#[test]
fn generation_follows_what_people_want_and_nothing_else() {
    let mut store = start();
    create(&mut store, "InformationSystem", "default", system()).unwrap();
    let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap();
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "status": {"x": 1}});
    let same = merge(&mut store, "InformationSystem", "default/oa", labelled).unwrap();
    assert_eq!(generation(&same), 1);
    assert!(same.get("status").is_none());
    let wanted = json!({"spec": {"displayName": "别的"}});
    let moved = merge(&mut store, "InformationSystem", "default/oa", wanted).unwrap();
    assert_eq!(generation(&moved), 2);
    let report = json!({"status": {"conditions": []}, "spec": {"displayName": "又一个"}});
    let call = call(
        &store,
        Verb::Patch(PatchKind::Merge),
        "InformationSystem",
        "default/oa",
    );
    let reported = store
        .handle(&call.of("status").with_body(report), at_second(9))
        .unwrap();
    assert_eq!(generation(&reported.body), 2);
    assert_eq!(reported.body["spec"]["displayName"], "别的");
    assert_eq!(reported.body["status"]["conditions"], json!([]));
}

#[test]
fn a_write_that_changes_nothing_moves_no_version() {
    let mut store = start();
    create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    let before = store.version();
    merge(
        &mut store,
        "ConfigMap",
        "default/a",
        json!({"data": {"x": "1"}}),
    )
    .unwrap();
    assert_eq!(store.version(), before);
}

#[test]
fn an_update_of_an_old_version_is_a_conflict_and_of_ours_needs_a_version() {
    let mut store = start();
    let old = create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    merge(
        &mut store,
        "ConfigMap",
        "default/a",
        json!({"data": {"x": "2"}}),
    )
    .unwrap();
    let stale = call(&store, Verb::Update, "ConfigMap", "default/a").with_body(old.clone());
    let refusal = store.handle(&stale, at_second(9)).unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (409, "Conflict"));
    let mut free = old;
    drop(
        free["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("resourceVersion"),
    );
    let free = call(&store, Verb::Update, "ConfigMap", "default/a").with_body(free);
    assert!(store.handle(&free, at_second(9)).is_ok());

    let made = create(&mut store, "InformationSystem", "default", system()).unwrap();
    let mut free = made;
    drop(
        free["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("resourceVersion"),
    );
    let free = call(&store, Verb::Update, "InformationSystem", "default/oa").with_body(free);
    assert_eq!(store.handle(&free, at_second(9)).unwrap_err().code, 422);
}

#[test]
fn a_finalizer_keeps_an_object_until_it_is_taken_off() {
    let mut store = start();
    let mut held = map("a");
    held["metadata"]["finalizers"] = json!(["leasehold.dev/a"]);
    create(&mut store, "ConfigMap", "default", held).unwrap();
    let ending = delete(&mut store, "ConfigMap", "default/a", json!({})).unwrap();
    assert_eq!(
        ending["metadata"]["deletionTimestamp"],
        "1970-01-01T00:01:00Z"
    );
    let more = json!({"metadata": {"finalizers": ["leasehold.dev/a", "leasehold.dev/b"]}});
    let refusal = merge(&mut store, "ConfigMap", "default/a", more).unwrap_err();
    assert_eq!(refusal.code, 422);
    let none = json!({"metadata": {"finalizers": null}});
    let answer = merge(&mut store, "ConfigMap", "default/a", none).unwrap();
    assert!(texts(&answer, &["metadata", "finalizers"]).is_empty());
    // it goes without having been stored once more
    assert_eq!(
        meta(&answer, "resourceVersion"),
        meta(&ending, "resourceVersion")
    );
    assert_eq!(
        get(&mut store, "ConfigMap", "default/a").unwrap_err().code,
        404
    );
    let last = store.events_after(1).unwrap().last().unwrap();
    assert_eq!(last.kind, EventKind::Deleted);
    assert_eq!(
        texts(&last.object, &["metadata", "finalizers"]),
        ["leasehold.dev/a"]
    );
    assert_eq!(
        meta(&last.object, "resourceVersion"),
        last.version.to_string()
    );
}

#[test]
fn a_delete_meant_for_another_object_is_a_conflict() {
    let mut store = start();
    create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    let meant = json!({"preconditions": {"uid": "another"}});
    let refusal = delete(&mut store, "ConfigMap", "default/a", meant).unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (409, "Conflict"));
    let trial = delete(
        &mut store,
        "ConfigMap",
        "default/a",
        json!({"dryRun": ["All"]}),
    );
    assert_eq!(trial.unwrap()["status"], "Success");
    assert!(get(&mut store, "ConfigMap", "default/a").is_ok());
}

#[test]
fn a_namespace_ends_after_its_content_and_takes_nothing_in_meanwhile() {
    let mut store = start();
    create(
        &mut store,
        "Namespace",
        "",
        json!({"metadata": {"name": "a"}}),
    )
    .unwrap();
    store.settle(Timestamp::UNIX_EPOCH);
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["leasehold.dev/a"]);
    create(&mut store, "ConfigMap", "a", held).unwrap();
    let ending = delete(&mut store, "Namespace", "a", json!({})).unwrap();
    assert_eq!(ending["status"]["phase"], "Terminating");
    let refusal = create(&mut store, "ConfigMap", "a", map("late")).unwrap_err();
    assert_eq!(refusal.code, 403);
    assert_eq!(refusal.causes[0].0, "NamespaceTerminating");
    store.settle(at_second(61));
    let held = get(&mut store, "Namespace", "a").unwrap();
    let remaining = &held["status"]["conditions"][3];
    assert_eq!(remaining["type"], "NamespaceContentRemaining");
    assert_eq!(
        remaining["message"],
        "Some resources are remaining: configmaps. has 1 resource instances"
    );
    let none = json!({"metadata": {"finalizers": null}});
    merge(&mut store, "ConfigMap", "a/held", none).unwrap();
    store.settle(at_second(62));
    assert_eq!(get(&mut store, "Namespace", "a").unwrap_err().code, 404);
    assert!(store.objects().all(|(key, _)| key.namespace != "a"));
}

fn pod(cpu: &str) -> Value {
    json!({"metadata": {"name": format!("p{cpu}")}, "spec": {"containers": [{"name": "main",
        "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}]}})
}

#[test]
fn a_quota_bounds_from_when_it_is_counted() {
    let mut store = start();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "3"}}});
    create(&mut store, "ResourceQuota", "default", quota).unwrap();
    // nobody has counted it yet, and so it bounds nothing
    create(&mut store, "Pod", "default", pod("2")).unwrap();
    store.settle(at_second(1));
    let counted = get(&mut store, "ResourceQuota", "default/q").unwrap();
    assert_eq!(counted["status"]["used"], json!({"requests.cpu": "2"}));
    let refusal = create(&mut store, "Pod", "default", pod("1500m")).unwrap_err();
    assert_eq!(refusal.code, 403);
    assert!(
        refusal.message.ends_with(
            "exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=2, limited: requests.cpu=3"
        ),
        "{}",
        refusal.message
    );
    create(&mut store, "Pod", "default", pod("1")).unwrap();
    let counted = get(&mut store, "ResourceQuota", "default/q").unwrap();
    assert_eq!(counted["status"]["used"], json!({"requests.cpu": "3"}));
    let silent = json!({"metadata": {"name": "s"}, "spec": {"containers": [{"name": "main"}]}});
    let refusal = create(&mut store, "Pod", "default", silent).unwrap_err();
    assert!(
        refusal
            .message
            .contains("must specify requests.cpu for: main")
    );
    delete(&mut store, "Pod", "default/p2", json!({})).unwrap();
    store.settle(at_second(2));
    let counted = get(&mut store, "ResourceQuota", "default/q").unwrap();
    assert_eq!(counted["status"]["used"], json!({"requests.cpu": "1"}));
}

#[test]
fn a_pod_on_a_node_gets_time_to_end() {
    let mut store = start();
    let mut running = pod("1");
    running["spec"]["nodeName"] = json!("n1");
    create(&mut store, "Pod", "default", running).unwrap();
    let ending = delete(&mut store, "Pod", "default/p1", json!({})).unwrap();
    // asked for at 60 s, with the usual 30 s
    assert_eq!(
        ending["metadata"]["deletionTimestamp"],
        "1970-01-01T00:01:30Z"
    );
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 30);
    delete(
        &mut store,
        "Pod",
        "default/p1",
        json!({"gracePeriodSeconds": 0}),
    )
    .unwrap();
    assert_eq!(get(&mut store, "Pod", "default/p1").unwrap_err().code, 404);
}

#[test]
fn an_object_goes_when_every_owner_is_gone() {
    let mut store = start();
    let owner = create(&mut store, "ConfigMap", "default", map("owner")).unwrap();
    let mut owned = map("owned");
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap",
        "name": "owner", "uid": owner["metadata"]["uid"]}]);
    create(&mut store, "ConfigMap", "default", owned).unwrap();
    store.settle(at_second(1));
    assert!(get(&mut store, "ConfigMap", "default/owned").is_ok());
    delete(&mut store, "ConfigMap", "default/owner", json!({})).unwrap();
    // another of the same name is no owner
    create(&mut store, "ConfigMap", "default", map("owner")).unwrap();
    let is_due = |chore: &Chore| matches!(chore, Chore::Collect(key) if key.name == "owned");
    assert!(store.chores().iter().any(is_due));
    store.settle(at_second(2));
    assert_eq!(
        get(&mut store, "ConfigMap", "default/owned")
            .unwrap_err()
            .code,
        404
    );
}

#[test]
fn an_apply_creates_and_an_uid_keeps_it_from_doing_so() {
    let mut store = start();
    let apply = |store: &Store, body: Value| {
        call(
            store,
            Verb::Patch(PatchKind::Apply),
            "ConfigMap",
            "default/a",
        )
        .with("fieldManager", "leasehold")
        .with("force", "true")
        .with_body(body)
    };
    let mut body = map("a");
    body["apiVersion"] = json!("v1");
    body["kind"] = json!("ConfigMap");
    let mut marked = body.clone();
    marked["metadata"]["uid"] = json!("u1");
    let marked = apply(&store, marked);
    assert_eq!(store.handle(&marked, at_second(1)).unwrap_err().code, 409);
    let call = apply(&store, body);
    let made = store.handle(&call, at_second(1)).unwrap();
    assert_eq!(made.code, 201);
    assert!(at(&made.body, &["spec"]).is_none());
    let version = store.version();
    assert_eq!(store.handle(&call, at_second(2)).unwrap().code, 200);
    assert_eq!(store.version(), version);
    assert_eq!(store.handle(&marked, at_second(3)).unwrap_err().code, 422);
}

#[test]
fn the_status_of_ours_is_written_whatever_uid_stands_beside_it() {
    // The API server copies all but the status from what is there before it looks at anything else.
    let mut store = start();
    create(&mut store, "InformationSystem", "default", system()).unwrap();
    let call = call(
        &store,
        Verb::Patch(PatchKind::Apply),
        "InformationSystem",
        "default/oa",
    );
    let body = json!({"apiVersion": call.kind.api_version(), "kind": "InformationSystem",
        "metadata": {"uid": "another"}, "status": {"conditions": []}});
    let call = call
        .of("status")
        .with("fieldManager", "leasehold")
        .with("force", "true");
    let written = store.handle(&call.with_body(body), at_second(1)).unwrap();
    assert_eq!(written.body["status"]["conditions"], json!([]));
    assert_ne!(written.body["metadata"]["uid"], "another");
}

#[test]
fn who_asks_is_stamped_and_approvals_are_the_operators() {
    let mut store = start();
    let call = call(&store, Verb::Create, "PriceBook", "");
    let body = json!({"apiVersion": call.kind.api_version(), "kind": "PriceBook",
        "metadata": {"name": "b"}, "spec": {"provider": "p", "contract": "c",
        "validity": {"from": "2026-01-01", "through": "2026-12-31"}, "items": [{"name": "v",
        "displayName": "v", "category": "os", "unit": "Count", "per": "Month",
        "price": "1.00"}]}});
    let made = store
        .handle(&call.with_body(body).by("sun@finance"), at_second(1))
        .unwrap();
    let stamp = made.body["metadata"]["annotations"]["leasehold.dev/requested-by"].clone();
    assert_eq!(stamp, "sun@finance");
    let approval = |user: &str, store: &mut Store| {
        let call = super::tests::call(store, Verb::Create, "Approval", "default/");
        let digest = format!("sha256:{}", "0".repeat(64));
        let body = json!({"apiVersion": call.kind.api_version(), "kind": "Approval",
            "metadata": {"name": "a"}, "spec": {"role": "office", "title": "t", "snapshot": "s",
            "subject": {"kind": "Tenancy", "name": "n", "uid": "u", "request": 1,
            "digest": digest, "requestedBy": "r"}}});
        store.handle(&call.with_body(body).by(user), at_second(1))
    };
    assert!(
        approval("chen@office", &mut store)
            .unwrap_err()
            .message
            .contains("rule A07")
    );
    approval(OPERATOR, &mut store).unwrap();
    let decide = super::tests::call(
        &store,
        Verb::Patch(PatchKind::Merge),
        "Approval",
        "default/a",
    );
    let decision = json!({"spec": {"decision": "Approved", "orderNo": "2026-1"}});
    let decided = store.handle(&decide.with_body(decision).by("chen@office"), at_second(2));
    assert_eq!(decided.unwrap().body["spec"]["decidedBy"], "chen@office");
}

#[test]
fn events_are_kept_in_order_until_they_are_compacted() {
    let mut store = start();
    let before = store.version();
    create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    merge(
        &mut store,
        "ConfigMap",
        "default/a",
        json!({"data": {"y": "2"}}),
    )
    .unwrap();
    delete(&mut store, "ConfigMap", "default/a", json!({})).unwrap();
    let kinds: Vec<EventKind> = store
        .events_after(before)
        .unwrap()
        .map(|e| e.kind)
        .collect();
    assert_eq!(
        kinds,
        [EventKind::Added, EventKind::Modified, EventKind::Deleted]
    );
    store.compact(before + 1);
    assert_eq!(store.events_after(before).err().unwrap().code, 410);
    assert_eq!(store.events_after(before + 1).unwrap().count(), 2);
}

#[test]
fn a_trial_stores_nothing_and_says_what_would_be() {
    let mut store = start();
    let before = store.version();
    let call = call(&store, Verb::Create, "ConfigMap", "default/").with("dryRun", "All");
    let mut body = map("a");
    body["apiVersion"] = json!("v1");
    body["kind"] = json!("ConfigMap");
    let answer = store.handle(&call.with_body(body), at_second(1)).unwrap();
    assert_eq!(answer.body["data"], json!({"x": "1"}));
    assert_eq!(meta(&answer.body, "resourceVersion"), "");
    assert_eq!(store.version(), before);
    assert!(texts(&answer.body, &["metadata", "finalizers"]).is_empty());
}

#[test]
fn what_is_empty_is_not_stored_but_owned_by_whoever_applied_it() {
    let mut store = start();
    let apply = call(
        &store,
        Verb::Patch(PatchKind::Apply),
        "ConfigMap",
        "default/a",
    );
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {}},
        "data": {}});
    let apply = apply.with("fieldManager", "one").with_body(body);
    let made = store.handle(&apply, at_second(1)).unwrap().body;
    assert!(made.get("data").is_none());
    assert!(at(&made, &["metadata", "labels"]).is_none());
    assert_eq!(
        made["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:data": {}, "f:metadata": {"f:labels": {}}})
    );

    create(&mut store, "ConfigMap", "default", map("b")).unwrap();
    let none = json!({"data": {"x": null}});
    let bare = merge(&mut store, "ConfigMap", "default/b", none).unwrap();
    assert!(bare.get("data").is_none());
    assert!(at(&bare, &["metadata", "managedFields"]).is_none());
    let limits = json!({"metadata": {"name": "l"}});
    let limits = create(&mut store, "LimitRange", "default", limits).unwrap();
    assert_eq!(limits["spec"], json!({"limits": null}));
    assert!(at(&limits, &["metadata", "managedFields"]).is_none());
}

#[test]
fn a_status_of_which_everything_is_taken_is_null() {
    let mut store = start();
    create(&mut store, "InformationSystem", "default", system()).unwrap();
    let apply = |store: &mut Store, status: Value| {
        let call = call(
            store,
            Verb::Patch(PatchKind::Apply),
            "InformationSystem",
            "default/oa",
        );
        let body = json!({"apiVersion": call.kind.api_version(), "kind": "InformationSystem",
            "status": status});
        let call = call
            .of("status")
            .with("fieldManager", "one")
            .with_body(body);
        store.handle(&call, at_second(1)).unwrap().body
    };
    let ready = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "Ok",
        "message": "ok", "lastTransitionTime": "2026-09-01T00:00:00Z"}]});
    apply(&mut store, ready);
    let nothing = apply(&mut store, json!({}));
    assert_eq!(nothing.get("status"), Some(&Value::Null));
}

#[test]
fn an_update_makes_objects_of_a_few_kinds() {
    let mut store = start();
    let mut update = |kind: &str, group: &str| {
        let call = call(&store, Verb::Update, kind, "default/a");
        let body = json!({"apiVersion": group, "kind": kind, "metadata": {"name": "a"}});
        store.handle(&call.with_body(body), at_second(1))
    };
    assert_eq!(update("LimitRange", "v1").unwrap().code, 201);
    assert_eq!(update("LimitRange", "v1").unwrap().code, 200);
    assert_eq!(update("ConfigMap", "v1").unwrap_err().code, 404);
}

#[test]
fn a_quota_that_is_deleted_is_given_back() {
    let mut store = start();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}});
    let made = create(&mut store, "ResourceQuota", "default", quota).unwrap();
    let last = delete(&mut store, "ResourceQuota", "default/q", json!({})).unwrap();
    assert_eq!(meta(&last, "uid"), meta(&made, "uid"));
    assert_eq!(meta(&last, "resourceVersion"), store.version().to_string());
}

#[test]
fn a_json_patch_that_does_not_go_with_the_object_names_no_cause() {
    let mut store = start();
    create(&mut store, "ConfigMap", "default", map("a")).unwrap();
    let call = call(
        &store,
        Verb::Patch(PatchKind::Json),
        "ConfigMap",
        "default/a",
    );
    let patch = json!([{"op": "remove", "path": "/data/y"}]);
    let refusal = store
        .handle(&call.with_body(patch), at_second(1))
        .unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (422, "Invalid"));
    assert!(refusal.causes.is_empty());
}
