//! What is there in the end, in a form in which two departments can be compared.

use leasehold_e2e::Stage;
use leasehold_testkit::User;
use leasehold_testkit::ends::{self, State};
use serde_json::Value;

use crate::course::told;
use crate::kept::without_last_day;

/// What is compared: all that people or the operator make for a department, other than figures that grow with time.
const KINDS: &str = "namespaces,resourcequotas,limitranges,persistentvolumeclaims,persistentvolumes,\
    networkpolicies.networking.k8s.io,rolebindings.rbac.authorization.k8s.io,\
    departments.tenancy.leasehold.dev,informationsystems.tenancy.leasehold.dev,\
    tenancies.tenancy.leasehold.dev,approvals.charging.leasehold.dev";

/// Everything that is there, of all departments.
pub async fn everything(stage: &Stage) -> Result<Vec<Value>, String> {
    // no role of the chart reads all of it
    let admin = stage.user(User::Admin).await.map_err(told)?;
    let get = ["get", KINDS, "--all-namespaces", "-o", "json"];
    let ran = admin.kubectl(&get, "").await.map_err(told)?;
    let list = ran.ok().map_err(told)?.stdout;
    let list = without_last_day(&list)?;
    let list: Value = serde_json::from_str(&list).map_err(|error| error.to_string())?;
    let items = list.get("items").and_then(Value::as_array);
    Ok(items.cloned().unwrap_or_default())
}

/// What is there of one department.
pub fn of(everything: &[Value], code: &str) -> State {
    let its = everything.iter().filter(|object| {
        let metadata = &object["metadata"];
        let mut names = ["name", "namespace"]
            .map(|field| metadata[field].as_str())
            .into_iter();
        names.any(|name| name.is_some_and(|name| name.contains(code)))
    });
    its.map(|object| {
        let object = normal(object, code);
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text);
        (key.join(" "), object)
    })
    .collect()
}

/// An object that can be compared with that of another department.
fn normal(object: &Value, code: &str) -> Value {
    let mut normal = ends::normal(object, Some(code));
    if let Some(observed) = normal.pointer_mut("/status/observedGeneration") {
        // how often people wrote is their matter; that the last time was seen is the operator's
        *observed = Value::Bool(*observed == object["metadata"]["generation"]);
    }
    normal
}

#[cfg(test)]
mod tests {
    use leasehold_testkit::ends::state_difference;
    use serde_json::json;

    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn tenancy(code: &str, uid: &str, minute: u32) -> Value {
        let at = format!("2027-01-15T02:{minute:02}:00Z");
        json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
            "metadata": {
                "name": "oa", "namespace": format!("dept-{code}"), "uid": uid,
                "resourceVersion": minute.to_string(), "generation": 3, "creationTimestamp": at,
                "labels": {"leasehold.dev/department": code},
                "annotations": {"requested-by": format!("zhang@{code}")},
            },
            "spec": {"lease": [{"item": "vcpu-x86", "quantity": "8"}]},
            "status": {
                "observedGeneration": 3, "phase": "Active", "history": [{"at": at}],
                "request": {"digest": format!("sha256:{DIGITS}")},
                "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": at},
                    {"type": "Expired", "status": "False", "message": format!("since {at}")},
                ],
            },
        })
    }

    fn states(found: Value) -> (State, State) {
        let expected = tenancy("calm001", "11111111-2222-3333-4444-555555555555", 1);
        let all = [expected, found];
        (of(&all, "calm001"), of(&all, "wild001"))
    }

    /// What is told of another tenancy with this at this place.
    fn told_of(pointer: &str, value: Value) -> Option<String> {
        let mut other = tenancy("wild001", "66666666-7777-8888-9999-000000000000", 2);
        *other.pointer_mut(pointer).unwrap() = value;
        let (expected, found) = states(other);
        state_difference(&expected, &found)
    }

    #[test]
    fn departments_that_differ_in_code_times_and_identifiers_alone_are_the_same() {
        let mut other = tenancy("wild001", "66666666-7777-8888-9999-000000000000", 2);
        // the order in which conditions came up, and figures of an instant
        let conditions = other.pointer_mut("/status/conditions").unwrap();
        conditions.as_array_mut().unwrap().reverse();
        other["status"]["history"] = json!([]);
        // somebody wrote once more, and it was seen
        other["metadata"]["generation"] = json!(4);
        other["status"]["observedGeneration"] = json!(4);
        let (expected, found) = states(other);
        assert_eq!(state_difference(&expected, &found), None);
        assert_eq!(
            expected.keys().collect::<Vec<_>>(),
            ["Tenancy dept-CODE oa"]
        );
    }

    #[test]
    fn every_other_difference_is_told_with_its_place() {
        let table = [
            ("/spec/lease/0/quantity", json!("9")),
            ("/status/phase", json!("Changing")),
            ("/status/observedGeneration", json!(2)),
            ("/status/conditions/0/status", json!("False")),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations/requested-by", json!("li@wild001")),
            ("/metadata/annotations/requested-by", json!("zhang@wild002")),
        ];
        for (pointer, value) in table {
            let told = told_of(pointer, value).unwrap();
            assert!(told.starts_with("Tenancy dept-CODE oa: at /"), "{told}");
        }
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_named() {
        let (expected, _) = states(Value::Null);
        let told = state_difference(&expected, &State::new()).unwrap();
        assert!(
            told.starts_with("Tenancy dept-CODE oa is missing"),
            "{told}"
        );
        let told = state_difference(&State::new(), &expected).unwrap();
        assert!(
            told.starts_with("Tenancy dept-CODE oa should not be there"),
            "{told}"
        );
    }
}
