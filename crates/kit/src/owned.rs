//! Which fields of an object each of its writers owns, kept small.
//!
//! The API server notes it in `managedFields`, as sets in the format `FieldsV1`: a map in a map for each level of the
//! object. Held as such maps they are most of what an object takes, some ten kilobytes, and are read only when an
//! object is compared with what it should be. So in caches and lists each set is the text of its JSON, and whoever reads
//! one takes it from here, in whichever form it is.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ObjectMeta};
use serde_json::{Map, Value};

/// Puts every set of fields into its small form. An object that was packed is to be read only: the API server takes none
/// in this form back.
pub(crate) fn pack(meta: &mut ObjectMeta) {
    let entries = meta.managed_fields.iter_mut().flatten();
    for set in entries.filter_map(|entry| entry.fields_v1.as_mut()) {
        if set.0.is_object() {
            *set = FieldsV1(Value::String(set.0.to_string()));
        }
    }
}

/// The fields of a set of an entry in `managedFields`, in either form; none where it is no set.
pub fn fields(set: &Value) -> Option<Cow<'_, Map<String, Value>>> {
    match set {
        Value::Object(fields) => Some(Cow::Borrowed(fields)),
        Value::String(text) => serde_json::from_str(text).ok().map(Cow::Owned),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_packed_set_is_text_and_reads_as_it_did() {
        let set = json!({"f:spec": {"f:hard": {".": {}, "f:requests.cpu": {}}}});
        let mut meta: ObjectMeta = serde_json::from_value(json!({"managedFields": [
            {"manager": "leasehold", "operation": "Apply", "fieldsV1": set},
            {"manager": "kubectl", "operation": "Update"},
        ]}))
        .unwrap();
        pack(&mut meta);
        let once = meta.clone();
        pack(&mut meta);
        assert_eq!(meta, once, "what is packed stays so");
        let entries = meta.managed_fields.unwrap();
        let packed = &entries[0].fields_v1.as_ref().unwrap().0;
        assert!(packed.is_string(), "{packed}");
        assert_eq!(Value::Object(fields(packed).unwrap().into_owned()), set);
        assert_eq!(fields(packed), fields(&set));
        assert_eq!(entries[1].fields_v1, None);
    }

    #[test]
    fn what_is_no_set_names_no_field() {
        for set in [json!("not JSON"), json!("[]"), json!(null), json!([])] {
            assert_eq!(fields(&set), None, "{set}");
        }
    }
}
