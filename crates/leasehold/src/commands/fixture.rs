//! The tenancy that the commands' own tests speak of.

use leasehold_api::tenancy::Tenancy;
use serde_json::json;

/// Tenancy `oa` of the government office, of which the operator has said nothing yet.
pub fn oa() -> Tenancy {
    serde_json::from_value(json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
        "metadata": {"name": "oa", "namespace": "dept-gov-office"},
        "spec": {
            "system": "oa", "zone": "gov-extranet",
            "term": {"from": "2026-09-01", "through": "2027-08-31"},
            "contract": "C", "budget": {"code": "B"},
            "lease": [{"item": "memory", "quantity": "64Gi"}],
            "namespaces": [{"name": "prod"}],
        },
    }))
    .unwrap()
}
