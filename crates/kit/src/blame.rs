//! Who made an object other than it should be: what `managedFields` tell.
//!
//! Whoever changes a field owns it from then on, and the API server notes under which name and when. A name is that of a
//! program, as `kubectl-edit`: which person used it is known to the API server's audit log alone. Who takes a field away
//! leaves no trace but the hole.

use std::fmt;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry, jiff::Timestamp};
use serde_json::{Map, Value};

use crate::{
    client::Kit,
    difference,
    error::KitError,
    owned,
    write::{Object, json_of, subject},
};

/// Who wrote an object, as its managed fields tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The name under which it was written, as `kubectl-edit`.
    pub manager: String,
    /// How: `Apply` or `Update`.
    pub operation: String,
    /// Through which subresource, if not the object itself.
    pub subresource: Option<String>,
    /// When it wrote last, in whole seconds.
    pub at: Option<Timestamp>,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.manager)?;
        if let Some(subresource) = &self.subresource {
            write!(f, " (through {subresource})")?;
        }
        if let Some(at) = &self.at {
            write!(f, " at {at}")?;
        }
        Ok(())
    }
}

/// How an object as last seen stands to what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as described: an apply would change nothing.
    AsDescribed,
    /// It is not. With whoever changed a field that is described, if somebody did since our own last write.
    Differs(Option<Writer>),
}

impl Kit {
    /// Compares an object as last seen with what it should be, as [`Kit::apply_if_changed`] does, and looks who changed
    /// it.
    pub fn compare<K: Object>(&self, desired: &K, current: &K) -> Result<Standing, KitError> {
        let (subject, _) = subject("compare", desired)?;
        let desired = json_of(&subject, desired)?;
        let there = json_of(&subject, current)?;
        if difference::is_settled(&desired, &there, self.field_manager()) {
            return Ok(Standing::AsDescribed);
        }
        let entries = current.meta().managed_fields.iter().flatten();
        let writer = blame(&desired, &there, entries, self.field_manager());
        Ok(Standing::Differs(writer))
    }

    /// Who made the object other than this part of it should be, if somebody did since our own last write.
    pub fn blame<K: Object>(&self, part: &Value, current: &K) -> Result<Option<Writer>, KitError> {
        let (subject, _) = subject("compare", current)?;
        let there = json_of(&subject, current)?;
        let entries = current.meta().managed_fields.iter().flatten();
        Ok(blame(part, &there, entries, self.field_manager()))
    }

    /// Who made an object that is wholly another's: whoever wrote it last, if none of it was ever applied by us. `None`
    /// too where no managed fields are kept.
    pub fn maker<K: Object>(&self, current: &K) -> Option<Writer> {
        let entries = || current.meta().managed_fields.iter().flatten();
        let ours = entries().any(|entry| entry.manager.as_deref() == Some(self.field_manager()));
        let newest = entries()
            .filter(|entry| entry.subresource.is_none())
            .max_by_key(|entry| time(entry));
        newest.filter(|_| !ours).map(writer)
    }
}

/// The newest of those who own a field that is described and has another value than described, and who have not written
/// before our own last write.
fn blame<'entry>(
    desired: &Value,
    current: &Value,
    entries: impl Iterator<Item = &'entry ManagedFieldsEntry> + Clone,
    manager: &str,
) -> Option<Writer> {
    let is_ours = |entry: &&ManagedFieldsEntry| entry.manager.as_deref() == Some(manager);
    let last = entries.clone().filter(is_ours).filter_map(time).max();
    entries
        .filter(|entry| !is_ours(entry))
        // times are whole seconds: who wrote in the same second may have written after us
        .filter(|entry| last.is_none_or(|last| time(entry).is_none_or(|at| at >= last)))
        .filter(|entry| {
            let set = entry.fields_v1.as_ref();
            let fields = set.and_then(|set| owned::fields(&set.0));
            fields.is_some_and(|fields| takes(&fields, desired, Some(current), ""))
        })
        .max_by_key(|entry| time(entry))
        .map(writer)
}

fn time(entry: &ManagedFieldsEntry) -> Option<Timestamp> {
    entry.time.as_ref().map(|time| time.0)
}

fn writer(entry: &ManagedFieldsEntry) -> Writer {
    Writer {
        manager: entry.manager.clone().unwrap_or_default(),
        operation: entry.operation.clone().unwrap_or_default(),
        subresource: entry
            .subresource
            .clone()
            .filter(|subresource| !subresource.is_empty()),
        at: time(entry),
    }
}

/// Whether one of these fields is described and has another value than described. `own` is the key of the values.
fn takes(fields: &Map<String, Value>, desired: &Value, current: Option<&Value>, own: &str) -> bool {
    fields.iter().any(|(key, nested)| {
        let (wanted, there, name) = if let Some(name) = key.strip_prefix("f:") {
            let there = current.and_then(|current| current.get(name));
            (desired.get(name), there, name)
        } else if let Some(keys) = key.strip_prefix("k:") {
            let there = current.and_then(|current| difference::item_with(current, keys));
            (difference::item_with(desired, keys), there, own)
        } else {
            return false;
        };
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_null()) else {
            return false;
        };
        let below = nested.as_object();
        match below.filter(|below| below.keys().any(|key| key != ".")) {
            Some(below) => takes(below, wanted, there, name),
            None => !difference::covers(wanted, there, name, own),
        }
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{core::v1::ResourceQuota, networking::v1::NetworkPolicy};
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, Reply};

    /// An entry of `managedFields` at a second of one minute.
    fn entry(manager: &str, operation: &str, second: u32, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "v1",
            "time": format!("2027-01-15T02:00:{second:02}Z"),
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    fn quota(cpu: &str, more: &Value, entries: &[Value]) -> ResourceQuota {
        let mut quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "leasehold", "namespace": "edu--prod",
                "labels": {"leasehold.dev/tenancy": "oa"}},
            "spec": {"hard": {"requests.cpu": cpu, "pods": "8"}},
        });
        if !entries.is_empty() {
            quota["metadata"]["managedFields"] = json!(entries);
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            quota["metadata"][key] = value.clone();
        }
        serde_json::from_value(quota).unwrap()
    }

    fn described() -> ResourceQuota {
        quota("4", &json!({}), &[])
    }

    fn cpu() -> Value {
        json!({"f:spec": {"f:hard": {"f:requests.cpu": {}}}})
    }

    /// What the operator applied: everything but what others have taken.
    fn ours(second: u32, hard: &Value) -> Value {
        let fields = json!({
            "f:metadata": {"f:labels": {"f:leasehold.dev/tenancy": {}}}, "f:spec": {"f:hard": hard},
        });
        entry("leasehold", "Apply", second, &fields)
    }

    fn compared(current: &ResourceQuota) -> Standing {
        let fake = Fake::new(|_| Reply::status(500, "nothing is called"));
        fake.kit().compare(&described(), current).unwrap()
    }

    fn blamed(current: &ResourceQuota) -> Option<String> {
        match compared(current) {
            Standing::AsDescribed => panic!("it is as described"),
            Standing::Differs(writer) => writer.map(|writer| writer.to_string()),
        }
    }

    #[tokio::test]
    async fn whoever_changed_what_is_described_is_named_with_the_time() {
        let pods = json!({"f:pods": {}});
        let entries = [ours(5, &pods), entry("night-shift", "Update", 9, &cpu())];
        let told = blamed(&quota("1000", &json!({}), &entries));
        assert_eq!(told.unwrap(), "night-shift at 2027-01-15T02:00:09Z");
    }

    #[tokio::test]
    async fn whoever_owns_other_fields_is_not_blamed_however_new_they_are() {
        let all = json!({"f:requests.cpu": {}, "f:pods": {}});
        let note = json!({"f:metadata": {"f:annotations": {".": {}, "f:note": {}}}});
        let counted = json!({"f:status": {"f:hard": {"f:requests.cpu": {}}}});
        let mut status = entry("kube-controller-manager", "Update", 9, &counted);
        status["subresource"] = json!("status");
        let entries = [
            ours(5, &all),
            entry("kubectl-annotate", "Update", 8, &note),
            status,
        ];
        // the manifest changed: 2 is what we wrote ourselves, and nobody took it from us
        let current = quota("2", &json!({"annotations": {"note": "x"}}), &entries);
        assert_eq!(blamed(&current), None);
        let settled = quota("4", &json!({"annotations": {"note": "x"}}), &entries);
        assert_eq!(compared(&settled), Standing::AsDescribed);
    }

    #[tokio::test]
    async fn who_wrote_before_our_last_write_is_not_blamed_and_of_several_the_newest_is() {
        let none = json!({});
        let by = |seconds: [u32; 3]| {
            let [us, one, other] = seconds;
            blamed(&quota(
                "9",
                &json!({}),
                &[
                    ours(us, &none),
                    entry("one", "Update", one, &cpu()),
                    entry("other", "Apply", other, &cpu()),
                ],
            ))
        };
        assert_eq!(by([30, 10, 20]), None);
        // in the same second nobody can tell
        assert_eq!(by([10, 10, 9]).unwrap(), "one at 2027-01-15T02:00:10Z");
        assert_eq!(by([10, 20, 30]).unwrap(), "other at 2027-01-15T02:00:30Z");
    }

    #[tokio::test]
    async fn what_was_taken_away_leaves_no_name() {
        let mut current = quota("4", &json!({"labels": {}}), &[ours(5, &json!({}))]);
        current.metadata.labels = None;
        assert_eq!(blamed(&current), None);
    }

    #[tokio::test]
    async fn a_field_that_came_through_a_subresource_says_so() {
        let label = json!({"f:metadata": {"f:labels": {"f:leasehold.dev/tenancy": {}}}});
        let mut door = entry("kubectl-patch", "Update", 9, &label);
        door["subresource"] = json!("status");
        let labels = json!({"labels": {"leasehold.dev/tenancy": "mail"}});
        let told = blamed(&quota("4", &labels, &[door]));
        assert_eq!(
            told.unwrap(),
            "kubectl-patch (through status) at 2027-01-15T02:00:09Z"
        );
    }

    #[tokio::test]
    async fn rules_and_selectors_of_a_network_policy_are_taken_as_a_whole() {
        let fence = |spec: &Value, entries: Option<Value>| -> NetworkPolicy {
            let metadata = json!({"name": "leasehold", "namespace": "edu--prod",
                "managedFields": entries});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
        };
        let desired = json!({"ingress": [], "podSelector": {}, "policyTypes": ["Ingress"]});
        let desired = fence(&desired, None);
        let fake = Fake::new(|_| Reply::status(500, "nothing is called"));
        let kit = fake.kit();
        for (spec, fields) in [
            (
                json!({"ingress": [{}], "podSelector": {}, "policyTypes": ["Ingress"]}),
                json!({"f:ingress": {}}),
            ),
            (
                json!({"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"]}),
                json!({"f:podSelector": {}}),
            ),
        ] {
            let taken = entry("night-shift", "Update", 9, &json!({"f:spec": fields}));
            let current = fence(&spec, Some(json!([taken])));
            let standing = kit.compare(&desired, &current).unwrap();
            let Standing::Differs(Some(writer)) = standing else {
                panic!("{standing:?}")
            };
            assert_eq!(writer.manager, "night-shift");
        }
    }

    #[tokio::test]
    async fn an_object_of_which_nothing_is_ours_names_its_maker() {
        let fake = Fake::new(|_| Reply::status(500, "nothing is called"));
        let kit = fake.kit();
        let theirs = [
            entry("night-shift", "Update", 3, &cpu()),
            entry("day-shift", "Update", 7, &json!({"f:spec": {}})),
        ];
        let maker = kit.maker(&quota("4", &json!({}), &theirs)).unwrap();
        assert_eq!(maker.manager, "day-shift");
        let shared = [theirs[0].clone(), ours(1, &json!({}))];
        assert_eq!(kit.maker(&quota("4", &json!({}), &shared)), None);
        assert_eq!(kit.maker(&described()), None);
    }
}
