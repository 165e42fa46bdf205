//! Lives of departments: since when one is known under its code, and when it ended.

use serde::{Deserialize, Serialize};

use super::Document;
use crate::time::Second;

/// How far the life of a department went.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LifeStage {
    /// It is known.
    Begun,
    /// It has ended, by the office's word, and holds nothing any more. Another of its code is a
    /// younger one.
    Ended,
}

/// A stage of a department's life. That its object is gone ends nothing: one that is made anew goes
/// on with the life that has not ended.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DepartmentLifeDoc {
    /// Code of the department.
    pub code: String,
    /// Uid of the object with which the life began.
    pub uid: String,
    /// The stage reached.
    pub stage: LifeStage,
    /// Since when the department is known: when that object was made, or the ledger's first record
    /// of the code, if that is earlier.
    pub since: Second,
    /// When the stage was reached.
    pub at: Second,
}

impl DepartmentLifeDoc {
    /// The life of one department that goes on, of all that is recorded of it in the order of the
    /// ledger.
    pub fn going_on(all: &[Self]) -> Option<&Self> {
        let mut going_on = None;
        for document in all {
            match document.stage {
                LifeStage::Begun => going_on = Some(document),
                LifeStage::Ended => {
                    going_on = going_on.filter(|begun: &&Self| begun.uid != document.uid);
                }
            }
        }
        going_on
    }
}

impl Document for DepartmentLifeDoc {
    const KIND: &'static str = "department-life";

    fn key(&self) -> String {
        format!("{}/{}/{:?}", self.code, self.uid, self.stage)
    }

    fn subject(&self) -> String {
        self.code.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::row_key;

    fn stage(uid: &str, stage: LifeStage, at: i64) -> DepartmentLifeDoc {
        DepartmentLifeDoc {
            code: "gov-office".to_owned(),
            uid: uid.to_owned(),
            stage,
            since: Second::new(at),
            at: Second::new(at),
        }
    }

    #[test]
    fn a_life_goes_on_until_it_ends_and_the_next_is_another() {
        let (begun, ended) = (LifeStage::Begun, LifeStage::Ended);
        let all = [
            stage("u-1", begun, 1),
            stage("u-1", ended, 5),
            stage("u-2", begun, 9),
        ];
        let going_on = |some: &[DepartmentLifeDoc]| {
            let found = DepartmentLifeDoc::going_on(some);
            found.map(|document| document.since.get())
        };
        assert_eq!(going_on(&[]), None);
        assert_eq!(going_on(&all[..1]), Some(1));
        assert_eq!(going_on(&all[..2]), None);
        assert_eq!(going_on(&all), Some(9));
        assert_eq!(row_key(&all[1]), "department-life/gov-office/u-1/Ended");
        assert_eq!(all[0].subject(), "gov-office");
    }
}
