//! Ownership of fields, expected values by the documentation of server-side apply.

use super::*;
use crate::kinds::Kinds;

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        subresource: "",
        now: Timestamp::UNIX_EPOCH,
    }
}

fn map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn kind(name: &str) -> std::sync::Arc<Kind> {
    Kinds::ours().of("v1", name).unwrap()
}

fn applied(live: &Value, data: &Value, manager: &str, force: bool) -> Result<Value, Refusal> {
    apply(live, &map(data), &kind("ConfigMap"), writer(manager), force)
}

fn born(data: &Value, manager: &str) -> Value {
    applied(&unborn(&kind("ConfigMap")), data, manager, false).unwrap()
}

#[test]
fn a_field_that_is_no_longer_applied_goes() {
    let first = born(&json!({"x": "1", "y": "2"}), "one");
    let second = applied(&first, &json!({"x": "1"}), "one", false).unwrap();
    assert_eq!(second["data"], json!({"x": "1"}));
}

#[test]
fn a_field_that_another_applies_too_stays() {
    let first = born(&json!({"x": "1", "y": "2"}), "one");
    let shared = applied(&first, &json!({"y": "2"}), "two", false).unwrap();
    let second = applied(&shared, &json!({"x": "1"}), "one", false).unwrap();
    assert_eq!(second["data"], json!({"x": "1", "y": "2"}));
    let third = applied(&second, &json!({}), "two", false).unwrap();
    assert_eq!(third["data"], json!({"x": "1"}));
}

#[test]
fn a_field_of_another_is_a_conflict_unless_forced_and_then_it_changes_hands() {
    let first = born(&json!({"x": "1"}), "one");
    let refusal = applied(&first, &json!({"x": "2"}), "two", false).unwrap_err();
    assert_eq!(refusal.code, 409);
    assert_eq!(refusal.causes[0].2, ".data.x");
    let second = applied(&first, &json!({"x": "2"}), "two", true).unwrap();
    assert_eq!(second["data"], json!({"x": "2"}));
    let managers: Vec<&str> = second["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert_eq!(managers, ["two"]);
}

#[test]
fn the_same_value_makes_no_conflict_and_two_owners() {
    let first = born(&json!({"x": "1"}), "one");
    let second = applied(&first, &json!({"x": "1"}), "two", false).unwrap();
    let entries = second["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(entry["fieldsV1"], json!({"f:data": {"f:x": {}}}));
    }
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let first = born(&json!({"x": "1"}), "one");
    let later = Writer {
        now: Timestamp::from_second(60).unwrap(),
        ..writer("one")
    };
    let again = apply(
        &first,
        &map(&json!({"x": "1"})),
        &kind("ConfigMap"),
        later,
        true,
    )
    .unwrap();
    assert_eq!(again, first);
}

#[test]
fn an_update_takes_what_it_changes_and_an_apply_does_not_remove_it() {
    let first = born(&json!({"x": "1", "y": "1"}), "one");
    let mut updated = first.clone();
    set(&mut updated, &["data", "y"], json!("2"));
    set(&mut updated, &["data", "z"], json!("3"));
    update(&first, &mut updated, &kind("ConfigMap"), writer("two"));
    let refusal = applied(&updated, &json!({"x": "1", "y": "1"}), "one", false).unwrap_err();
    assert_eq!(refusal.causes.len(), 1);
    let applied = applied(&updated, &json!({"x": "1"}), "one", false).unwrap();
    assert_eq!(applied["data"], json!({"x": "1", "y": "2", "z": "3"}));
}

#[test]
fn a_created_object_of_ours_is_owned_down_to_its_parts() {
    let kind = Kinds::ours()
        .of("tenancy.leasehold.dev/v1alpha1", "InformationSystem")
        .unwrap();
    let mut object = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind,
        "metadata": {"name": "oa", "namespace": "dept-edu"},
        "spec": {"displayName": "业务系统"}, "status": {"phase": "x"},
    });
    update(&unborn(&kind), &mut object, &kind, writer("kubectl"));
    assert_eq!(
        object["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {".": {}, "f:displayName": {}}})
    );
}

#[test]
fn a_reference_to_an_owner_is_owned_as_a_whole() {
    let mut object = map(&json!({"x": "1"}));
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}]);
    set(&mut object, &["metadata", "ownerReferences"], reference);
    let kind = kind("ConfigMap");
    update(&unborn(&kind), &mut object, &kind, writer("one"));
    assert_eq!(
        object["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"],
        json!({"f:ownerReferences": {".": {}, "k:{\"uid\":\"u\"}": {}}})
    );
}

#[test]
fn a_status_is_owned_apart_from_the_object() {
    let kind = kind("ResourceQuota");
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": {"pods": "1"}}});
    let first = apply(&unborn(&kind), &object, &kind, writer("one"), true).unwrap();
    let mut counted = first.clone();
    set(
        &mut counted,
        &["status"],
        json!({"hard": {"pods": "1"}, "used": {"pods": "0"}}),
    );
    let through_status = Writer {
        subresource: "status",
        ..writer("counter")
    };
    update(&first, &mut counted, &kind, through_status);
    let entries = counted["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["subresource"], "status");
    assert_eq!(
        entries[1]["fieldsV1"]["f:status"]["f:used"],
        json!({".": {}, "f:pods": {}})
    );
}

#[test]
fn conditions_of_two_managers_live_side_by_side() {
    let kind = Kinds::ours()
        .of("tenancy.leasehold.dev/v1alpha1", "Tenancy")
        .unwrap();
    let status = |type_: &str| {
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {},
            "status": {"conditions": [{"type": type_, "status": "True"}]}})
    };
    let by = |manager| Writer {
        subresource: "status",
        ..writer(manager)
    };
    let first = apply(&unborn(&kind), &status("Ready"), &kind, by("one"), true).unwrap();
    let second = apply(&first, &status("Moot"), &kind, by("two"), true).unwrap();
    assert_eq!(second["status"]["conditions"].as_array().unwrap().len(), 2);
    let empty = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "status": {}});
    let third = apply(&second, &empty, &kind, by("one"), true).unwrap();
    assert_eq!(
        third["status"]["conditions"],
        json!([{"type": "Moot", "status": "True"}])
    );
}
