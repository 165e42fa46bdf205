//! Questions that were put to people under a name that is not theirs alone.

use serde::{Deserialize, Serialize};

use super::Document;
use crate::{canonical::Digest, time::Second};

/// A question that was put under the name of an Approval. When something else is asked under the name before anybody has
/// decided, that is the next one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuestionDoc {
    /// Namespace of the Approval.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which question under this name it is, from 1.
    pub number: u32,
    /// Digest of what is asked: subject, effect and evidence, without its wording.
    pub asks: Digest,
    /// When it was put.
    pub at: Second,
}

impl Document for QuestionDoc {
    const KIND: &'static str = "question";

    fn key(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.name, self.number)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canonical::digest_bytes, document::row_key};

    #[test]
    fn each_question_under_a_name_has_its_own_number() {
        let question = QuestionDoc {
            namespace: "dept-edu".to_owned(),
            name: "hwc-servers-finance".to_owned(),
            number: 2,
            asks: digest_bytes(b"credit of 40000.00"),
            at: Second::new(7),
        };
        assert_eq!(
            row_key(&question),
            "question/dept-edu/hwc-servers-finance/2"
        );
        assert_eq!(question.subject(), "dept-edu/hwc-servers-finance");
    }
}
