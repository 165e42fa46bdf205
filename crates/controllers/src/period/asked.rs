//! Whether somebody said that a period shall close, and who.

use kube::ResourceExt;
use leasehold_api::{charging::BillingPeriod, names};

/// Who said that a period shall close: whom the API server saw doing so (rule N06). An object that was written before such
/// stamps says only that finance did.
pub fn asked(object: &BillingPeriod) -> Option<String> {
    let stamped = object.annotations().get(names::REQUESTED_BY_ANNOTATION);
    let person = stamped.cloned().unwrap_or_else(|| "finance".to_owned());
    object.spec.close.then_some(person)
}

#[cfg(test)]
mod tests {
    use leasehold_api::charging::BillingPeriodSpec;

    use super::*;

    #[test]
    fn a_close_names_the_person_whom_the_api_server_saw_and_nobody_before_it_is_asked_for() {
        let mut object = BillingPeriod::new("2026-09", BillingPeriodSpec { close: false });
        assert_eq!(asked(&object), None);
        object.spec.close = true;
        assert_eq!(asked(&object).as_deref(), Some("finance"));
        object.annotations_mut().insert(
            names::REQUESTED_BY_ANNOTATION.to_owned(),
            "sun@finance".to_owned(),
        );
        assert_eq!(asked(&object).as_deref(), Some("sun@finance"));
        object.spec.close = false;
        assert_eq!(asked(&object), None);
    }
}
