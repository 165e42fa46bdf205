//! Suspensions: that nothing of a tenancy may run for a time, by whose order, and from when to when.

use serde::{Deserialize, Serialize};

use super::{Document, tenancy_key};
use crate::time::{LocalDate, Second};

/// How far a suspension went.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuspensionStage {
    /// It is in force: nothing of the tenancy may run any more.
    Begun,
    /// It has ended. One that was ordered when the tenancy was released already has no beginning.
    Ended,
}

/// A stage of the suspension of a tenancy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuspensionDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Name of the Suspension object, or `CloudPolicy default`.
    pub name: String,
    /// Uid of that object. Of the policy's own, `expiry-` and the last day of the term, from the
    /// second time on with a number behind it.
    pub uid: String,
    /// The stage reached.
    pub stage: SuspensionStage,
    /// Why.
    pub reason: String,
    /// Who ordered it, and the number of the paper.
    pub authority: String,
    /// Its last day as it stood then; none if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<LocalDate>,
    /// User who wrote it, or who moved its last day. Who deleted it is not known here.
    pub by: String,
    /// When the stage was reached.
    pub at: Second,
}

impl Document for SuspensionDoc {
    const KIND: &'static str = "suspension";

    fn key(&self) -> String {
        let tenancy = tenancy_key(&self.department, &self.tenancy, self.incarnation);
        format!("{tenancy}/{}/{:?}", self.uid, self.stage)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::row_key;

    #[test]
    fn a_suspension_begins_once_and_ends_once_for_each_order() {
        let order = |uid: &str, stage: SuspensionStage| SuspensionDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            name: "oa".to_owned(),
            uid: uid.to_owned(),
            stage,
            reason: "安全整改".to_owned(),
            authority: "市政府办".to_owned(),
            until: None,
            by: "chen@office".to_owned(),
            at: Second::new(0),
        };
        let begun = order("u-1", SuspensionStage::Begun);
        assert_eq!(row_key(&begun), "suspension/gov-office/oa/2/u-1/Begun");
        let ended = order("u-1", SuspensionStage::Ended);
        let again = order("u-2", SuspensionStage::Begun);
        assert_ne!(begun.key(), ended.key());
        assert_ne!(begun.key(), again.key());
        assert_eq!(begun.subject(), "gov-office/oa");
    }
}
