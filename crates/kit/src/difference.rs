//! Whether an apply would change anything, judged from the object as last seen.

use serde_json::{Map, Value, json};

use crate::{owned, quantity::billionths};

/// Maps whose values are quantities, wherever they stand: `2` and `2000m` are the same there and nowhere else.
const QUANTITIES: [&str; 10] = [
    "hard",
    "limits",
    "requests",
    "capacity",
    "max",
    "min",
    "default",
    "defaultRequest",
    "maxLimitRequestRatio",
    "overhead",
];

/// Lists of a network policy's rules. The API server knows each as one value, which is wholly ours.
const RULES: [&str; 2] = ["ingress", "egress"];

/// How the names of label selectors end. The API server knows them as one value each, which is wholly ours.
const SELECTOR: &str = "elector";

/// Whether every field described is there with the same value, and nothing that `manager` applied before is left out.
pub(crate) fn is_settled(desired: &Value, current: &Value, manager: &str) -> bool {
    is_there(desired, Some(current)) && !leaves_out(desired, current, manager)
}

fn is_there(desired: &Value, current: Option<&Value>) -> bool {
    let Some(fields) = desired.as_object() else {
        return false;
    };
    // the status is not written by an apply of the object
    fields
        .iter()
        .filter(|(key, _)| *key != "status")
        .all(|(key, value)| covers(value, current.and_then(|current| current.get(key)), key, ""))
}

/// Whether `current` has what `desired` says. `own` is the key of the value, `under` the key of the map that holds it;
/// the items of a list count as standing under the key of the list.
pub(crate) fn covers(desired: &Value, current: Option<&Value>, own: &str, under: &str) -> bool {
    match (desired, current) {
        (Value::Null, _) => true,
        // more in a selector selects less
        (selector @ Value::Object(_), current) if own.ends_with(SELECTOR) => {
            without_empty(selector) == current.map_or_else(|| json!({}), without_empty)
        }
        (Value::Object(fields), current) => {
            current.is_none_or(Value::is_object)
                && fields.iter().all(|(key, value)| {
                    covers(
                        value,
                        current.and_then(|current| current.get(key)),
                        key,
                        own,
                    )
                })
        }
        // another field in a rule lets more through
        (rules @ Value::Array(_), Some(there @ Value::Array(_))) if RULES.contains(&own) => {
            without_nothing(rules) == without_nothing(there)
        }
        (Value::Array(items), Some(Value::Array(there))) => {
            items.len() == there.len()
                && items
                    .iter()
                    .zip(there)
                    .all(|(item, there)| covers(item, Some(there), own, under))
        }
        // the API server drops lists that are empty
        (Value::Array(items), None) => items.is_empty(),
        (_, None) => false,
        (desired, Some(there)) => {
            desired == there || (QUANTITIES.contains(&under) && is_same_amount(desired, there))
        }
    }
}

/// A selector as the API server keeps it: without lists and maps that are empty.
fn without_empty(selector: &Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let fields = selector.as_object().into_iter().flatten();
    fields
        .filter(|(_, value)| !empty(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect::<Map<String, Value>>()
        .into()
}

/// A value without nulls and empty lists, at any depth. An empty map may mean everything, and stays.
fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_nothing).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), without_nothing(value)))
            .filter(|(_, value)| !value.is_null() && *value != json!([]))
            .collect::<Map<String, Value>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_same_amount(one: &Value, other: &Value) -> bool {
    let amount = |value: &Value| match value {
        Value::String(text) => billionths(text),
        Value::Number(number) => billionths(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    amount(one).is_some_and(|amount_of_one| Some(amount_of_one) == amount(other))
}

/// Whether an earlier apply of `manager` set a field that `desired` does not name: an apply would remove it.
fn leaves_out(desired: &Value, current: &Value, manager: &str) -> bool {
    let entries = current
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let ours = text("manager") == manager
            && text("operation") == "Apply"
            && text("subresource").is_empty();
        ours && entry
            .get("fieldsV1")
            .and_then(owned::fields)
            .is_some_and(|fields| !names_all(&fields, desired))
    })
}

/// Whether `desired` names every field of the set. The format is that of `FieldsV1`: `f:` a field, `k:` an item by its
/// keys, `v:` an item by its value, `.` the thing itself.
fn names_all(fields: &Map<String, Value>, desired: &Value) -> bool {
    fields.iter().all(|(key, nested)| {
        let there = if let Some(name) = key.strip_prefix("f:") {
            desired.get(name).filter(|value| !value.is_null())
        } else if let Some(keys) = key.strip_prefix("k:") {
            item_with(desired, keys)
        } else if let Some(value) = key.strip_prefix("v:") {
            let value: Option<Value> = serde_json::from_str(value).ok();
            desired
                .as_array()
                .into_iter()
                .flatten()
                .find(|item| Some(*item) == value.as_ref())
        } else {
            return true;
        };
        there.is_some_and(|there| {
            nested
                .as_object()
                .is_none_or(|fields| names_all(fields, there))
        })
    })
}

/// The item of a list with these keys; a key that the item leaves to its default counts as equal.
pub(crate) fn item_with<'list>(list: &'list Value, keys: &str) -> Option<&'list Value> {
    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
    list.as_array()?.iter().find(|item| {
        keys.iter()
            .all(|(key, value)| item.get(key).is_none_or(|there| there == value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settled(desired: &Value, current: &Value) -> bool {
        is_settled(desired, current, "leasehold")
    }

    #[test]
    fn what_others_added_does_not_matter() {
        let desired = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"n": 1}});
        let current = json!({"metadata": {"name": "a", "uid": "u", "labels": {"x": "1", "y": "2"}},
            "spec": {"n": 1, "defaulted": true}, "status": {"phase": "Active"}});
        assert!(settled(&desired, &current));
    }

    #[test]
    fn a_field_that_is_missing_or_different_matters() {
        let current = json!({"metadata": {"labels": {"x": "1"}}, "spec": {"list": [1, 2]}});
        for desired in [
            json!({"metadata": {"labels": {"x": "2"}}}),
            json!({"metadata": {"labels": {"z": "1"}}}),
            json!({"spec": {"list": [1]}}),
            json!({"spec": {"list": [2, 1]}}),
            json!({"spec": {"list": []}}),
            json!({"spec": {"other": {"deep": 1}}}),
            json!({"spec": 1}),
        ] {
            assert!(!settled(&desired, &current), "{desired}");
        }
    }

    #[test]
    fn empty_things_that_the_server_drops_do_not_matter() {
        let desired = json!({"spec": {"ingress": [], "podSelector": {}, "note": null}});
        assert!(settled(&desired, &json!({"spec": {}})));
        assert!(settled(&desired, &json!({"spec": {"podSelector": {}}})));
    }

    #[test]
    fn what_others_added_to_a_rule_of_a_network_policy_matters() {
        let rules = |port: Value| json!({"spec": {"egress": [{"to": [{"podSelector": {}}], "ports": [port]}]}});
        let ours = json!({"protocol": "UDP", "port": 53, "endPort": null});
        let kept = json!({"protocol": "UDP", "port": 53});
        assert!(settled(&rules(ours.clone()), &rules(kept)));
        let wider = json!({"protocol": "UDP", "port": 53, "endPort": 65535});
        assert!(!settled(&rules(ours), &rules(wider)));
        let all =
            json!({"spec": {"egress": [{"to": [{"podSelector": {}, "namespaceSelector": {}}]}]}});
        let within = json!({"spec": {"egress": [{"to": [{"podSelector": {}}]}]}});
        assert!(!settled(&within, &all));
    }

    #[test]
    fn what_others_added_to_a_selector_or_an_empty_list_matters() {
        let desired = json!({"spec": {"ingress": [], "podSelector": {}}});
        for current in [
            json!({"spec": {"ingress": [{}], "podSelector": {}}}),
            json!({"spec": {"podSelector": {"matchLabels": {"app": "a"}}}}),
        ] {
            assert!(!settled(&desired, &current), "{current}");
        }
        let named =
            json!({"spec": {"podSelector": {"matchLabels": {"app": "a"}, "matchExpressions": []}}});
        let kept = json!({"spec": {"podSelector": {"matchLabels": {"app": "a"}}}});
        assert!(settled(&named, &kept));
    }

    #[test]
    fn quantities_are_compared_by_amount_where_quantities_stand() {
        let current = json!({"spec": {"hard": {"requests.cpu": "2", "pods": "10"}}});
        assert!(settled(
            &json!({"spec": {"hard": {"requests.cpu": "2000m", "pods": 10}}}),
            &current
        ));
        assert!(!settled(
            &json!({"spec": {"hard": {"requests.cpu": "2001m"}}}),
            &current
        ));
        let labelled = json!({"metadata": {"labels": {"size": "2"}}});
        assert!(!settled(
            &json!({"metadata": {"labels": {"size": "2000m"}}}),
            &labelled
        ));
    }

    #[test]
    fn the_items_of_a_limit_range_are_compared_field_by_field() {
        let current = json!({"spec": {"limits": [
            {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]}});
        let desired = |kind: &str, cpu: &str| json!({"spec": {"limits": [{"type": kind, "default": {"cpu": cpu}}]}});
        assert!(settled(&desired("Container", "1000m"), &current));
        assert!(!settled(&desired("Pod", "1"), &current));
        assert!(!settled(&desired("Container", "2"), &current));
    }

    #[test]
    fn a_field_that_we_applied_before_and_leave_out_now_matters() {
        let current = json!({
            "metadata": {"name": "q", "managedFields": [
                {"manager": "other", "operation": "Apply", "fieldsV1": {"f:spec": {"f:scopes": {}}}},
                {"manager": "leasehold", "operation": "Apply", "fieldsV1":
                    {"f:spec": {"f:hard": {".": {}, "f:cpu": {}, "f:pods": {}}}}},
                {"manager": "leasehold", "operation": "Apply", "subresource": "status",
                    "fieldsV1": {"f:status": {"f:phase": {}}}}]},
            "spec": {"hard": {"cpu": "1", "pods": "5"}, "scopes": ["BestEffort"]}});
        assert!(settled(
            &json!({"spec": {"hard": {"cpu": "1", "pods": "5"}}}),
            &current
        ));
        assert!(!settled(&json!({"spec": {"hard": {"cpu": "1"}}}), &current));
    }

    #[test]
    fn items_that_we_applied_are_known_by_their_keys_and_values() {
        let current = json!({
            "metadata": {"finalizers": ["a", "b"], "managedFields": [
                {"manager": "leasehold", "operation": "Apply", "fieldsV1": {
                    "f:metadata": {"f:finalizers": {"v:\"a\"": {}}},
                    "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}}}]},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}});
        let keeps =
            json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"ports": [{"port": 80}]}});
        assert!(settled(&keeps, &current));
        let drops = json!({"metadata": {}, "spec": {"ports": [{"port": 80}]}});
        assert!(!settled(&drops, &current));
        let moves = json!({"metadata": {"finalizers": ["a", "b"]}});
        assert!(!settled(&moves, &current));
    }
}
