//! The kinds of leasehold.
//!
//! Every kind is a typed custom resource with a description for a department clerk on each field, bounds on
//! every string and list, and a CEL rule for whatever can be decided by looking at one object alone.
//!
//! Architecture invariant: this crate has no client and no runtime; it can be linked by anything that reads or writes
//! our manifests. It knows nothing of planning, money arithmetic or storage.

pub mod charging;
mod choices;
pub mod conditions;
mod messages;
pub mod names;
pub mod platform;
pub mod tenancy;
pub mod text;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

/// Version of all three API groups.
pub const VERSION: &str = "v1alpha1";

/// Every custom resource definition, in the order of the groups and kinds of the reference manual. Their rules say what
/// was asked and what is allowed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        platform::CloudPolicy::crd(),
        platform::Cloudlet::crd(),
        platform::NetworkZone::crd(),
        platform::Suspension::crd(),
        platform::Meter::crd(),
        tenancy::Department::crd(),
        tenancy::InformationSystem::crd(),
        tenancy::Tenancy::crd(),
        tenancy::HardwareContribution::crd(),
        charging::PriceBook::crd(),
        charging::Approval::crd(),
        charging::Appraisal::crd(),
        charging::HandoverReceipt::crd(),
        charging::BillingPeriod::crd(),
        charging::Statement::crd(),
    ];
    for version in definitions
        .iter_mut()
        .flat_map(|d| d.spec.versions.iter_mut())
    {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            without_unsigned_formats(schema);
            choices::without_null(schema);
            messages::compute(schema);
        }
    }
    definitions
}

/// OpenAPI knows no unsigned formats, and the API server warns about them; `minimum` says the same.
fn without_unsigned_formats(schema: &mut JSONSchemaProps) {
    if schema
        .format
        .as_deref()
        .is_some_and(|format| format.starts_with("uint"))
    {
        schema.format = None;
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut())
    {
        without_unsigned_formats(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        without_unsigned_formats(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        without_unsigned_formats(values);
    }
}
