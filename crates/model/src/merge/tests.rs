//! Merging of lists by keys, expected values by the documented rules of server-side apply.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fields::path;

fn schema() -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "n": {"type": "integer"},
        "list": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "v": {"type": "integer"}, "w": {"type": "integer"},
            }}},
        "free": {"type": "object", "additionalProperties": {"type": "string"}},
        "whole": {"type": "array", "items": {"type": "integer"}},
    }}}})
}

fn names(value: &Value) -> Vec<&str> {
    let items = value["spec"]["list"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

fn list(names: &[&str]) -> Value {
    let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    json!({"spec": {"list": items}})
}

#[test]
fn items_are_merged_by_their_keys_and_whole_lists_are_replaced() {
    let schema = schema();
    let left = json!({"spec": {"list": [{"name": "a", "v": 1}, {"name": "b", "v": 2}],
        "whole": [1, 2], "free": {"x": "1"}}});
    let right =
        json!({"spec": {"list": [{"name": "b", "w": 3}], "whole": [3], "free": {"y": "2"}}});
    assert_eq!(
        merge(&left, &right, Shape::Root(Some(&schema))),
        json!({"spec": {"list": [{"name": "a", "v": 1}, {"name": "b", "v": 2, "w": 3}],
            "whole": [3], "free": {"x": "1", "y": "2"}}})
    );
}

#[test]
fn shared_items_take_the_order_of_the_applied_list() {
    let schema = schema();
    let shape = Shape::Root(Some(&schema));
    let merged = |left: &[&str], right: &[&str]| merge(&list(left), &list(right), shape);
    assert_eq!(
        names(&merged(&["a", "b", "c"], &["c", "a"])),
        ["b", "c", "a"]
    );
    assert_eq!(names(&merged(&["a", "b"], &["b", "x"])), ["a", "b", "x"]);
    assert_eq!(names(&merged(&["a", "b"], &["x", "a"])), ["x", "a", "b"]);
}

#[test]
fn a_comparison_names_what_is_new_other_and_gone() {
    let schema = schema();
    let left = json!({"spec": {"n": 1, "list": [{"name": "a", "v": 1}], "free": {"x": "1"}}});
    let right = json!({"spec": {"n": 2, "list": [{"name": "b"}], "whole": [1]}});
    let found = compare(&left, &right, Shape::Root(Some(&schema)));
    assert_eq!(found.modified.to_json(), json!({"f:spec": {"f:n": {}}}));
    assert_eq!(
        found.added.to_json(),
        json!({"f:spec": {"f:whole": {}, "f:list": {
            "k:{\"name\":\"b\"}": {".": {}, "f:name": {}}}}})
    );
    assert_eq!(
        found.removed.to_json(),
        json!({"f:spec": {"f:free": {".": {}, "f:x": {}}, "f:list": {
            "k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:v": {}}}}})
    );
}

#[test]
fn an_apply_owns_leaves_entries_and_items_but_not_the_named_fields_above() {
    let schema = schema();
    let value = json!({"spec": {"n": 1, "list": [{"name": "a"}], "free": {"x": "1"}}});
    let set = fields_of(&value, Shape::Root(Some(&schema)));
    assert_eq!(
        set.to_json(),
        json!({"f:spec": {"f:n": {}, "f:free": {"f:x": {}},
            "f:list": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}}}}})
    );
    let all = with_named(&set, Shape::Root(Some(&schema)));
    for way in [&["spec"][..], &["spec", "free"], &["spec", "list"]] {
        assert!(all.contains(&path(way)), "{way:?}");
    }
}

#[test]
fn fields_taken_out_leave_their_neighbours() {
    let schema = schema();
    let shape = Shape::Root(Some(&schema));
    let value = json!({"spec": {"n": 1, "free": {"x": "1", "y": "2"}}});
    let out: FieldSet = [path(&["spec", "free", "x"])].into_iter().collect();
    assert_eq!(
        without(&value, shape, &out).unwrap(),
        json!({"spec": {"n": 1, "free": {"y": "2"}}})
    );
    let all: FieldSet = [path(&["spec"])].into_iter().collect();
    assert_eq!(without(&value, shape, &all), None);
}

proptest! {
    #[test]
    fn whatever_is_merged_holds_every_item_once_and_those_applied_in_their_order(
        left in proptest::sample::subsequence(vec!["a", "b", "c", "d", "e"], 0..=5).prop_shuffle(),
        right in proptest::sample::subsequence(vec!["a", "b", "c", "d", "e"], 1..=5).prop_shuffle(),
    ) {
        let schema = schema();
        let merged = merge(&list(&left), &list(&right), Shape::Root(Some(&schema)));
        let found = names(&merged);
        let distinct: BTreeSet<&str> = left.iter().chain(&right).copied().collect();
        prop_assert_eq!(found.len(), distinct.len());
        prop_assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), distinct);
        let applied: Vec<&str> = found.into_iter().filter(|name| right.contains(name)).collect();
        prop_assert_eq!(applied, right);
    }
}
