//! Fields with a list of values that may be left out, and what null means there.
//!
//! The API server looks for null among the values, and does not find it even where it is listed. What is not nullable it
//! drops when it is null, before it asks anybody. So such a field is never nullable: `field: null` is nothing, and no
//! policy that asks whether a field is there (`has`) takes null for somebody's choice. A server-side apply drops nothing:
//! there null is refused as no value of the field's type, and the field is left out instead.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Takes null from every field with a list of values.
pub(crate) fn without_null(schema: &mut JSONSchemaProps) {
    if schema.enum_.is_some() {
        schema.nullable = None;
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut())
    {
        without_null(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        without_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        without_null(values);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn changed(schema: &Value) -> Value {
        let mut schema: JSONSchemaProps = serde_json::from_value(schema.clone()).unwrap();
        without_null(&mut schema);
        serde_json::to_value(schema).unwrap()
    }

    #[test]
    fn what_has_a_list_of_values_is_never_null_wherever_it_stands_and_the_rest_may_be() {
        let around = |choice: &Value| {
            let below = json!({"type": "object", "nullable": true, "properties": {
                "network": choice, "reason": {"type": "string", "nullable": true},
            }});
            json!({"type": "object", "properties": {
                "network": choice,
                "list": {"type": "array", "nullable": true, "items": below},
                "map": {"type": "object", "additionalProperties": below},
            }})
        };
        let written = json!({"type": "string", "nullable": true, "enum": ["A", "B"]});
        let held = json!({"type": "string", "enum": ["A", "B"]});
        assert_eq!(changed(&around(&written)), around(&held));
        assert_eq!(changed(&around(&held)), around(&held));
    }
}
