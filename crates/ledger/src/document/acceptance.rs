//! The delivery of a tenancy's first lease, and what its department said of it.

use serde::{Deserialize, Serialize};

use super::{Document, tenancy_key};
use crate::time::Second;

/// A first request is in place, and the department has to accept it before anything of it is billed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveredDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Number of the request.
    pub request: u32,
    /// When its quota stood, by the API server's clock.
    pub at: Second,
    /// When it counts as accepted unless it was rejected before: promised at the delivery, whatever the policy says later.
    pub until: Second,
}

impl Document for DeliveredDoc {
    const KIND: &'static str = "delivered";

    fn key(&self) -> String {
        let life = tenancy_key(&self.department, &self.tenancy, self.incarnation);
        format!("{life}/{}", self.request)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

/// A delivered request was accepted or rejected. Of several on one request the last counts.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptanceDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Number of the delivered request.
    pub request: u32,
    /// Whether it was accepted. From then on it is billed.
    pub accepted: bool,
    /// User who said so, or the policy.
    pub by: String,
    /// The reason given; empty if none was.
    pub reason: String,
    /// From when on it counts.
    pub at: Second,
}

impl Document for AcceptanceDoc {
    const KIND: &'static str = "acceptance";

    fn key(&self) -> String {
        let life = tenancy_key(&self.department, &self.tenancy, self.incarnation);
        format!("{life}/{}/{}", self.request, self.at)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::row_key, *};

    #[test]
    fn a_request_is_delivered_once_and_may_be_rejected_before_it_is_accepted() {
        let at = Second::new(0);
        let delivered = DeliveredDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            request: 3,
            at,
            until: at.plus(604_800),
        };
        let again = DeliveredDoc {
            at: at.plus(5),
            ..delivered.clone()
        };
        assert_eq!(row_key(&delivered), "delivered/edu/oa/2/3");
        assert_eq!(again.key(), delivered.key());
        let rejected = AcceptanceDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            request: 3,
            accepted: false,
            by: "zhang@edu".to_owned(),
            reason: "too slow".to_owned(),
            at,
        };
        let accepted = AcceptanceDoc {
            accepted: true,
            at: at.plus(60),
            ..rejected.clone()
        };
        assert_eq!(
            row_key(&rejected),
            "acceptance/edu/oa/2/3/1970-01-01T00:00:00Z"
        );
        assert_ne!(accepted.key(), rejected.key());
        assert_eq!(accepted.subject(), delivered.subject());
    }
}
