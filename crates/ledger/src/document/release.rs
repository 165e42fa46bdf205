//! The return of a tenancy: asked for, taken back after it was rejected, signed off, carried out.

use serde::{Deserialize, Serialize};

use super::{Document, tenancy_key};
use crate::time::Second;

/// How far the return of a tenancy went.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReleaseStage {
    /// The department asked for it.
    Requested,
    /// The department took it back after it was rejected.
    TakenBack,
    /// The department confirmed that everything may be deleted.
    SignedOff,
    /// Nothing is left.
    Released,
}

/// A stage of the return of a tenancy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// The stage reached.
    pub stage: ReleaseStage,
    /// How many releases of this life were taken back before this one was asked for. The first one is written without
    /// it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
    /// User who asked for the release, took it back or signed it off.
    pub requested_by: String,
    /// When the stage was reached.
    pub at: Second,
    /// Volumes that are to be kept, as the manifest named them when the release was asked for; of that stage only. What
    /// the manifest says afterwards takes none of them away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptVolume>,
    /// Where the department says that its data were exported to; of the request only. Requests from before it could be
    /// said have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupWord>,
}

/// What a department says of the backup of its data before they go. Nobody has checked it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupWord {
    /// Whether one was taken.
    pub taken: bool,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// SHA-256 of its content, as `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was taken, as the department wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Why none was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A volume that is to be kept when its tenancy is released.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptVolume {
    /// Namespace of its claim.
    pub namespace: String,
    /// Name of its claim.
    pub claim: String,
    /// Whether a snapshot is to take its place.
    pub snapshot: bool,
}

impl Document for ReleaseDoc {
    const KIND: &'static str = "release";

    /// Ledgers from before a release could be taken back know first ones only, and their keys have no number.
    fn key(&self) -> String {
        let tenancy = tenancy_key(&self.department, &self.tenancy, self.incarnation);
        let key = format!("{tenancy}/{:?}", self.stage);
        if is_first(&self.round) {
            key
        } else {
            format!("{key}/{}", self.round)
        }
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.department, self.tenancy)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_first(round: &u32) -> bool {
    *round == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canonical::canonical_json, document::row_key};

    fn release(stage: ReleaseStage, round: u32) -> ReleaseDoc {
        ReleaseDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            stage,
            round,
            requested_by: "zhang@gov-office".to_owned(),
            at: Second::new(0),
            kept: Vec::new(),
            backup: None,
        }
    }

    #[test]
    fn a_release_that_is_asked_for_again_after_it_was_taken_back_has_a_key_of_its_own() {
        let keys = [
            (ReleaseStage::Requested, 0),
            (ReleaseStage::TakenBack, 0),
            (ReleaseStage::Requested, 1),
            (ReleaseStage::SignedOff, 1),
            (ReleaseStage::Released, 1),
        ]
        .map(|(stage, round)| row_key(&release(stage, round)));
        let expected = [
            "release/gov-office/oa/2/Requested",
            "release/gov-office/oa/2/TakenBack",
            "release/gov-office/oa/2/Requested/1",
            "release/gov-office/oa/2/SignedOff/1",
            "release/gov-office/oa/2/Released/1",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn the_first_release_is_written_as_before_releases_could_be_taken_back() {
        let old = r#"{"at":"1970-01-01T00:00:00Z","department":"gov-office","incarnation":2,"requestedBy":"zhang@gov-office","stage":"Requested","tenancy":"oa"}"#;
        let first = release(ReleaseStage::Requested, 0);
        assert_eq!(canonical_json(&first).unwrap(), old);
        assert_eq!(serde_json::from_str::<ReleaseDoc>(old).unwrap(), first);
        let mut keeps = first.clone();
        keeps.kept.push(KeptVolume {
            namespace: "gov-office--prod".to_owned(),
            claim: "files".to_owned(),
            snapshot: true,
        });
        let text = canonical_json(&keeps).unwrap();
        assert_eq!(serde_json::from_str::<ReleaseDoc>(&text).unwrap(), keeps);
        assert_ne!(text, old, "an answer to the one is none to the other");
        let mut exported = first.clone();
        exported.backup = Some(BackupWord {
            taken: true,
            uri: Some("s3://archive/oa".to_owned()),
            sha256: None,
            at: None,
            because: None,
        });
        let text = canonical_json(&exported).unwrap();
        let said = r#""backup":{"taken":true,"uri":"s3://archive/oa"},"#;
        assert!(text.contains(said), "{text}");
        let read = serde_json::from_str::<ReleaseDoc>(&text).unwrap();
        assert_eq!(read, exported);
    }
}
