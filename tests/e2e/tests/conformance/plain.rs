//! Answers and objects without what differs by nature: uids and versions become words, times go, and so does what the
//! cluster's own controllers enter.

use std::collections::BTreeSet;

use leasehold_api::names::{
    ACCEPTED_BY_ANNOTATION, REQUESTED_BY_ANNOTATION, SIGNED_OFF_BY_ANNOTATION,
};
use serde_json::{Map, Value, json};

use crate::book::{Book, items};
use crate::place::{Place, text};

/// Field managers of the plays begin with this; others are controllers of the cluster.
const OWN_MANAGERS: &str = "cf-";
/// What the API server adds when it skips rules because a schema is broken. It names no field.
const SKIPPED: &str = "some validation rules were not checked";

/// What one side said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The code of HTTP; 0 when there was no answer.
    pub code: u16,
    /// The body.
    pub body: Value,
}

/// An answer to a call at a place, as it compares with that of the other side.
pub fn answer(place: &Place, answer: &Answer, book: &Book, prefix: &str) -> Value {
    let Answer { code, body } = answer;
    if text(body, "/kind") == "Status" {
        return json!({"code": code, "status": status(place, body, book)});
    }
    let Some(items) = items(body) else {
        return json!({"code": code, "object": object(place, body, book)});
    };
    let own = items
        .iter()
        .filter(|item| !place.is_foreign(item, prefix))
        .map(|item| {
            let mut plain = object(place, item, book);
            // the API server says what they are in lists of our kinds alone
            drop_field(&mut plain, "apiVersion");
            drop_field(&mut plain, "kind");
            plain
        })
        .collect::<Vec<_>>();
    json!({"code": code, "kind": body["kind"], "apiVersion": body["apiVersion"], "items": own})
}

/// Whether it was carried out, and why not.
pub fn verdict(answer: &Answer) -> Value {
    let Answer { code, body } = answer;
    if text(body, "/status") == "Failure" {
        json!({"code": code, "refusal": refusal(body)})
    } else {
        json!({"code": code})
    }
}

fn status(place: &Place, body: &Value, book: &Book) -> Value {
    if text(body, "/status") == "Failure" {
        return refusal(body);
    }
    let mut details = body["details"].clone();
    let uid = text(&details, "/uid").to_owned();
    if let Some(details) = details.as_object_mut() {
        details.retain(|_, value| value.as_str() != Some(""));
        if !uid.is_empty() {
            let word = book.word(&place.path(), "uid", &uid);
            details.insert("uid".to_owned(), json!(word));
        }
    }
    json!({"status": body["status"], "details": details})
}

fn refusal(body: &Value) -> Value {
    let reason = text(body, "/reason");
    let causes: BTreeSet<(String, String)> = body
        .pointer("/details/causes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|cause| !text(cause, "/message").contains(SKIPPED))
        .map(cause)
        .collect();
    let mut plain = json!({"reason": reason, "causes": causes});
    // quotas and namespaces say in words alone why
    if reason == "Forbidden" {
        plain["message"] = body["message"].clone();
    }
    plain
}

/// The field of a cause, and what it says if that is a rule of ours or the owner of a field.
fn cause(cause: &Value) -> (String, String) {
    let message = text(cause, "/message");
    let said = if let Some(start) = message.find("rule ") {
        &message[start..]
    } else if text(cause, "/reason") == "FieldManagerConflict" {
        // who owns it; since when and through which version is told of some owners only
        let end = message.match_indices('"').nth(1);
        end.map_or(message, |(end, _)| &message[..=end])
    } else {
        ""
    };
    // the root has no name
    let field = text(cause, "/field").replace("<nil>", "");
    (field, said.to_owned())
}

fn object(place: &Place, object: &Value, book: &Book) -> Value {
    let path = place.of(object).path();
    let mut plain = bare(place, object);
    for field in ["uid", "resourceVersion"] {
        let value = text(object, &format!("/metadata/{field}"));
        if !value.is_empty() {
            plain["metadata"][field] = json!(book.word(&path, field, value));
        }
    }
    plain
}

/// An object as it compares with that of the other side, but for its uid and version.
pub fn bare(place: &Place, object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(metadata) = plain.get_mut("metadata").and_then(Value::as_object_mut) {
        tidy(metadata);
    }
    if place.is_namespace() {
        drop_deletion_conditions(&mut plain);
    }
    plain
}

fn tidy(metadata: &mut Map<String, Value>) {
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if let Some(time) = metadata.get_mut(field).filter(|time| time.is_string()) {
            *time = json!("a time");
        }
    }
    let prefix = metadata.get("generateName").and_then(Value::as_str);
    if let Some(prefix) = prefix.map(str::to_owned) {
        let name = metadata.get("name").and_then(Value::as_str);
        if name.is_some_and(|name| name.starts_with(&prefix)) {
            metadata.insert("name".to_owned(), json!(format!("{prefix}…")));
        }
    }
    let owners = metadata.get_mut("ownerReferences");
    for owner in owners.and_then(Value::as_array_mut).into_iter().flatten() {
        owner["uid"] = json!("a uid");
    }
    unstamp(metadata);
    if let Some(entries) = metadata.remove("managedFields") {
        let own = managers(&entries);
        if !own.is_empty() {
            metadata.insert("managedFields".to_owned(), json!(own));
        }
    }
}

/// The model writes down who asked, who accepted and who signed off, as a policy of the chart does; this plane has no policies.
fn unstamp(metadata: &mut Map<String, Value>) {
    let Some(annotations) = metadata.get_mut("annotations") else {
        return;
    };
    let Some(fields) = annotations.as_object_mut() else {
        return;
    };
    let stamps = [
        REQUESTED_BY_ANNOTATION,
        ACCEPTED_BY_ANNOTATION,
        SIGNED_OFF_BY_ANNOTATION,
    ];
    let stamped = stamps.map(|stamp| fields.remove(stamp).is_some());
    if stamped.contains(&true) && fields.is_empty() {
        metadata.remove("annotations");
    }
}

/// Entries of the plays' own managers, without times and in an order that does not depend on them.
fn managers(entries: &Value) -> Vec<Value> {
    let mut own: Vec<Value> = entries
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| text(entry, "/manager").starts_with(OWN_MANAGERS))
        .map(|entry| {
            let mut entry = entry.clone();
            drop_field(&mut entry, "time");
            same_owners(&mut entry);
            entry
        })
        .collect();
    own.sort_by_cached_key(|entry| {
        ["/manager", "/operation", "/subresource"].map(|field| text(entry, field).to_owned())
    });
    own
}

/// Owners are known by their uids, which each side makes up.
fn same_owners(entry: &mut Value) {
    let owners = entry.pointer_mut("/fieldsV1/f:metadata/f:ownerReferences");
    let Some(owners) = owners.and_then(Value::as_object_mut) else {
        return;
    };
    let (keyed, rest): (Map<String, Value>, Map<String, Value>) = std::mem::take(owners)
        .into_iter()
        .partition(|(key, _)| key.starts_with("k:{"));
    let keyed = keyed.into_values().enumerate();
    owners.extend(rest);
    owners.extend(keyed.map(|(place, fields)| (format!("owner {place}"), fields)));
}

/// How far the deletion of a namespace has come is told by the cluster's controller alone.
fn drop_deletion_conditions(namespace: &mut Value) {
    let conditions = namespace.pointer_mut("/status/conditions");
    let Some(conditions) = conditions.and_then(Value::as_array_mut) else {
        return;
    };
    conditions.retain(|condition| !text(condition, "/type").starts_with("Namespace"));
    if conditions.is_empty() {
        drop_field(&mut namespace["status"], "conditions");
    }
}

/// Takes a field out of an object.
pub fn drop_field(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::new("ConfigMap", "home", "a")
    }

    #[test]
    fn what_differs_by_nature_goes_and_what_does_not_stays() {
        let shown = |uid: &str, version: &str, time: &str| {
            json!({"metadata": {"name": "a", "namespace": "home", "uid": uid, "resourceVersion": version,
                "creationTimestamp": time, "managedFields": [
                    {"manager": "kube-controller-manager", "operation": "Update"},
                    {"manager": "cf-editor", "operation": "Update", "time": time},
                    {"manager": "cf-alpha", "operation": "Apply", "time": "2027"},
                ]}, "data": {"x": "1"}})
        };
        let answered = |version| Answer {
            code: 200,
            body: shown("u", version, "2026"),
        };
        let mut book = Book::default();
        let first = answer(&place(), &answered("5"), &book, "");
        let metadata = &first["object"]["metadata"];
        assert_eq!(metadata["uid"], "new");
        let managers: Vec<&str> = metadata["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["manager"].as_str().unwrap())
            .collect();
        assert_eq!(managers, ["cf-alpha", "cf-editor"]);
        assert_eq!(first["object"]["data"]["x"], "1");
        book.learn(&place(), 200, &answered("5").body);
        let second = answer(&place(), &answered("6"), &book, "");
        let metadata = &second["object"]["metadata"];
        assert_eq!(metadata["uid"], "as before");
        assert_eq!(metadata["resourceVersion"], "new");
    }

    #[test]
    fn a_refusal_keeps_its_fields_and_the_sentences_of_our_rules() {
        let body = json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "message": "long",
        "details": {"causes": [
            {"reason": "FieldValueInvalid", "field": "spec", "message": "Invalid value: \"object\": rule T05: why"},
            {"reason": "FieldValueRequired", "field": "spec.term", "message": "Required value"},
            {"reason": "FieldValueInvalid", "field": "<nil>", "message": "Invalid value: null: some validation rules were not checked because"},
        ]}});
        let told = answer(&place(), &Answer { code: 422, body }, &Book::default(), "");
        assert_eq!(
            told["status"],
            json!({"reason": "Invalid", "causes": [["spec", "rule T05: why"], ["spec.term", ""]]})
        );
    }

    #[test]
    fn a_conflict_keeps_the_owner() {
        let message = "conflict with \"cf-alpha\" using v1 at 2026-01-01T00:00:00Z";
        let told = cause(
            &json!({"reason": "FieldManagerConflict", "field": ".data.x", "message": message}),
        );
        assert_eq!(
            told,
            (
                ".data.x".to_owned(),
                "conflict with \"cf-alpha\"".to_owned()
            )
        );
    }
}
