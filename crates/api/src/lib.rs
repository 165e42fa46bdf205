//! The kinds of leasehold.
//!
//! Every kind is a typed custom resource with a description for a department clerk on each field, bounds on
//! every string and list, and a CEL rule for whatever can be decided by looking at one object alone.
//!
//! Architecture invariant: this crate has no client and no runtime; it can be linked by anything that reads or writes
//! our manifests. It knows nothing of planning, money arithmetic or storage.

pub mod charging;
pub mod conditions;
pub mod names;
pub mod platform;
pub mod tenancy;
pub mod text;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Version of all three API groups.
pub const VERSION: &str = "v1alpha1";

/// Every custom resource definition, in the order of the groups and kinds of the reference manual.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        platform::CloudPolicy::crd(),
        platform::Cloudlet::crd(),
        platform::NetworkZone::crd(),
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
    ]
}
