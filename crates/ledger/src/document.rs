//! Everything that the ledger remembers beside facts and journal entries.
//!
//! Documents are append-only and their keys unique: the same key with the same body again is no
//! news, with another body it is an error. What must be able to change (a book's last day, a
//! department's name) has a digest in its key, and the latest by sequence counts. What may also
//! change back (a policy, a department's name) has the instant in its key as well.

mod acceptance;
mod archive;
mod funds;
mod gap;
mod life;
mod listed;
mod question;
mod release;
mod serial;
mod snapshot;
mod suspension;
mod volume;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::book::Book;
use crate::canonical::{CanonicalError, Digest, digest_bytes, digest_of};
use crate::lot::Lot;
use crate::money::Money;
use crate::policy::Policy;
use crate::statement::Totals;
use crate::time::{Period, Second};

pub use acceptance::{AcceptanceDoc, DeliveredDoc};
pub use archive::ArchiveDoc;
pub use funds::FundsAsked;
pub use gap::{GapAcceptedDoc, GapTreatment};
pub use life::{DepartmentLifeDoc, LifeStage};
pub use listed::listed_by;
pub use question::QuestionDoc;
pub use release::{BackupWord, KeptVolume, ReleaseDoc, ReleaseStage};
pub use serial::{SerialDoc, SerialError, SerialFreedDoc, normalise_serial, serial_claim};
pub use snapshot::{SnapshotGoneDoc, SnapshotRetainedDoc};
pub use suspension::{SuspensionDoc, SuspensionStage};
pub use volume::{VolumeEnd, VolumeGoneDoc, VolumeRetainedDoc};

/// A kind of document.
pub trait Document: Serialize + DeserializeOwned {
    /// Name of the kind, a lower-case word with dashes.
    const KIND: &'static str;

    /// Unique among the documents of the kind.
    fn key(&self) -> String;

    /// What people list the document by, e.g. `gov-office/oa`.
    fn subject(&self) -> String;
}

/// The key of a document's chain row: its kind, a slash, its key.
pub fn row_key<D: Document>(document: &D) -> String {
    format!("{}/{}", D::KIND, document.key())
}

/// The kind and the key that [`row_key`] joined.
pub fn split_row_key(row_key: &str) -> Option<(&str, &str)> {
    row_key.split_once('/')
}

fn tenancy_key(department: &str, tenancy: &str, incarnation: u32) -> String {
    format!("{department}/{tenancy}/{incarnation}")
}

/// A digest as part of a key. A document without a digest has no canonical form either and can
/// never be written, so its key does not matter.
fn key_part(digest: Result<Digest, CanonicalError>) -> String {
    digest.map_or_else(|_| "none".to_owned(), |digest| digest.to_string())
}

macro_rules! document {
    ($type:ty, $kind:literal, $this:ident => $key:expr, $subject:expr) => {
        impl Document for $type {
            const KIND: &'static str = $kind;

            fn key(&self) -> String {
                let $this = self;
                $key
            }

            fn subject(&self) -> String {
                let $this = self;
                $subject
            }
        }
    };
}

/// A Kubernetes cluster that was met, and which life of its database.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterDoc {
    /// Uid of the `kube-system` namespace.
    pub uid: String,
    /// Incarnation of its etcd, from 1; a restored backup is a new one.
    pub etcd: u32,
    /// When the ledger first saw it.
    pub first_seen: Second,
    /// Uid of the cluster whose place it took, where a ledger goes on with another cluster: what was known of the objects
    /// of that one is brought to its end. Documents of a first or a restored cluster have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

document!(ClusterDoc, "cluster", d => format!("{}/{}", d.uid, d.etcd), d.uid.clone());

/// A policy that was in force from some instant on; of one name the latest counts.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDoc {
    /// The policy.
    pub policy: Policy,
    /// When the ledger saw it come into force.
    pub seen_at: Second,
}

document!(
    PolicyDoc, "policy",
    d => format!("{}/{}", key_part(digest_of(&d.policy)), d.seen_at),
    d.policy.name.clone()
);

/// A published price book. A later document of the same name closes its validity earlier.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BookDoc {
    /// The book.
    pub book: Book,
    /// The finance person whose approval published it.
    pub published_by: String,
    /// Uid of that approval.
    pub approval: String,
    /// When it was published.
    pub at: Second,
}

document!(
    BookDoc, "book",
    d => format!("{}/{}", d.book.name, key_part(digest_of(&d.book))),
    d.book.name.clone()
);

/// A department as it was known from some instant on.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DepartmentDoc {
    /// Code of the department.
    pub code: String,
    /// Name for people, e.g. 市政府办.
    pub display_name: String,
    /// Budget unit that finance knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_unit: Option<String>,
    /// Code of the department above, if there is one. Documents from before it was recorded have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was seen.
    pub at: Second,
}

impl DepartmentDoc {
    /// Digest of what the document says, without the time of seeing it. A department without one above it has the
    /// digest that it had before parents were recorded: the digest is part of the key of what is in ledgers by now.
    pub fn digest(&self) -> Digest {
        let unit = self.budget_unit.as_deref();
        let parent = match &self.parent {
            Some(parent) => format!("\n{parent:?}"),
            None => String::new(),
        };
        let (code, name) = (&self.code, &self.display_name);
        digest_bytes(format!("{code:?}\n{name:?}\n{unit:?}{parent}").as_bytes())
    }
}

document!(
    DepartmentDoc, "department",
    d => format!("{}/{}/{}", d.code, d.digest(), d.at),
    d.code.clone()
);

/// One life of a tenancy's name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncarnationDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Uid of the Tenancy object, as evidence.
    pub uid: String,
    /// When it was first seen.
    pub at: Second,
}

document!(
    IncarnationDoc, "incarnation",
    d => tenancy_key(&d.department, &d.tenancy, d.incarnation),
    format!("{}/{}", d.department, d.tenancy)
);

/// A numbered request with the readable snapshot of what was asked.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Number of the request, from 1, never reused.
    pub request: u32,
    /// The approved part of the tenancy as it was asked for.
    pub snapshot: Value,
    /// Digest of `snapshot`.
    pub digest: Digest,
    /// User who asked.
    pub requested_by: String,
    /// When the request was opened.
    pub at: Second,
    /// What it would cost, as quoted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotation: Option<Value>,
    /// What finance has to confirm; none where the office's word is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funds: Option<FundsAsked>,
}

document!(
    RequestDoc, "request",
    d => format!("{}/{}", tenancy_key(&d.department, &d.tenancy, d.incarnation), d.request),
    format!("{}/{}", d.department, d.tenancy)
);

/// What a decider said.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Yes.
    Approved,
    /// No.
    Rejected,
    /// The question went away.
    Withdrawn,
}

/// One role's decision on one subject.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionDoc {
    /// `Tenancy`, `HardwareContribution`, `PriceBook`, `Release` or `Gap`.
    pub subject_kind: String,
    /// Which one, e.g. `gov-office/oa/1/2` for request 2 of a tenancy's first life.
    pub subject: String,
    /// The deciding role.
    pub role: String,
    /// Uid of the Approval object; none when it was approved automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_uid: Option<String>,
    /// Yes, no, or gone.
    pub decision: Decision,
    /// User who decided.
    pub decided_by: String,
    /// Number of the paper order behind it.
    pub order_no: String,
    /// The reason given.
    pub reason: String,
    /// Whether the policy's ceiling approved it without a person.
    pub auto: bool,
    /// Monthly amount decided on, for the ceiling of automatic approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_monthly: Option<Money>,
    /// Department concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// When it was decided.
    pub at: Second,
}

document!(
    DecisionDoc, "decision",
    d => format!("{}/{}/{}", d.subject_kind, d.subject, d.role),
    format!("{}/{}", d.subject_kind, d.subject)
);

/// A request became the provisioned one: its quota stood, and where it had to be accepted, it was.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EffectiveDoc {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Number of the request.
    pub request: u32,
    /// The asked start, before which nothing is billed.
    pub not_before: Second,
    /// When the quota stood, by the API server's clock; where it had to be accepted, from when on that counts.
    pub at: Second,
}

document!(
    EffectiveDoc, "effective",
    d => format!("{}/{}", tenancy_key(&d.department, &d.tenancy, d.incarnation), d.request),
    format!("{}/{}", d.department, d.tenancy)
);

/// A namespace that belongs to a tenancy, by uid.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceDoc {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Uid of the namespace.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// When it was created.
    pub at: Second,
}

document!(
    NamespaceDoc, "namespace",
    d => format!("{}/{}", d.cluster, d.uid),
    format!("{}/{}", d.department, d.tenancy)
);

/// A namespace that was seen to be gone.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceGoneDoc {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Uid of the namespace.
    pub uid: String,
    /// When it was gone.
    pub at: Second,
}

document!(
    NamespaceGoneDoc, "namespace-gone",
    d => format!("{}/{}", d.cluster, d.uid),
    d.cluster.clone()
);

/// One accepted device of a lot.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LotDevice {
    /// Maker, as the cloud policy lists it.
    pub maker: String,
    /// Serial number as [`normalise_serial`] gives it.
    pub serial: String,
    /// Accepted value.
    pub value: Money,
}

/// A granted lot with its evidence.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LotDoc {
    /// The terms.
    pub lot: Lot,
    /// Digest of the appraisal that was accepted.
    pub appraisal_digest: Digest,
    /// Digest of the receipt of the devices.
    pub receipt_digest: Digest,
    /// Uid of finance's approval.
    pub approval_uid: String,
    /// The devices that passed; their values add up to the lot's amount.
    pub devices: Vec<LotDevice>,
    /// When it was granted.
    pub at: Second,
}

document!(LotDoc, "lot", d => d.lot.id.clone(), d.lot.department.clone());

/// A time in which a source could not be observed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GapDoc {
    /// Name of the source.
    pub source: String,
    /// First instant not observed.
    pub from: Second,
    /// First instant observed again.
    pub to: Second,
    /// Why.
    pub reason: String,
    /// What can have lived unseen at most, by meter, in base units times seconds.
    pub upper: BTreeMap<String, i64>,
    /// When the gap was found.
    pub at: Second,
}

document!(GapDoc, "gap", d => format!("{}/{}/{}", d.source, d.from, d.to), d.source.clone());

/// A period was opened: its bounds and the policy that governs it are fixed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodOpenDoc {
    /// The period with its bounds as instants.
    pub period: Period,
    /// Digest of the policy in force at its first instant.
    pub policy: Digest,
    /// When it was opened.
    pub at: Second,
}

document!(PeriodOpenDoc, "period-open", d => d.period.name.clone(), d.period.name.clone());

/// A period was closed: what was known then is fixed, and so are its statements.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeriodCloseDoc {
    /// Name of the period.
    pub name: String,
    /// Sequence of the last chain row that the close took into account.
    pub fact_seq: u64,
    /// Who closed it.
    pub closed_by: String,
    /// Sum over all statements.
    pub totals: Totals,
    /// Digest of each department's statement.
    pub statements: BTreeMap<String, Digest>,
    /// How many gaps touch the period; each statement names them. Closes from before statements did have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u32>,
    /// Hash of the chain's last row before this one.
    pub chain: Digest,
    /// When it was closed.
    pub at: Second,
}

document!(PeriodCloseDoc, "period-close", d => d.name.clone(), d.name.clone());

#[cfg(test)]
mod tests {
    use super::*;

    fn department(name: &str, at: i64) -> DepartmentDoc {
        DepartmentDoc {
            code: "gov-office".to_owned(),
            display_name: name.to_owned(),
            budget_unit: None,
            parent: None,
            at: Second::new(at),
        }
    }

    #[test]
    fn a_department_that_gets_its_old_name_back_has_a_key_of_its_own() {
        let (first, back) = (department("市政府办", 1), department("市政府办", 9));
        assert_eq!(first.digest(), back.digest());
        assert_ne!(first.key(), back.key());
        assert_ne!(first.digest(), department("市府办公室", 1).digest());
        assert_eq!(
            first.key(),
            format!("gov-office/{}/1970-01-01T00:00:01Z", first.digest())
        );
    }

    #[test]
    fn a_policy_that_comes_back_has_a_key_of_its_own() {
        let policy = crate::close::fixture::policy();
        let digest = policy.digest().unwrap();
        let seen = |at: i64| PolicyDoc {
            policy: policy.clone(),
            seen_at: Second::new(at),
        };
        assert_eq!(seen(1).key(), format!("{digest}/1970-01-01T00:00:01Z"));
        assert_ne!(seen(1).key(), seen(9).key());
    }

    #[test]
    fn two_gaps_that_begin_at_one_instant_are_two_documents() {
        let gap = |to: i64| GapDoc {
            source: "pods".to_owned(),
            from: Second::new(1),
            to: Second::new(to),
            reason: String::new(),
            upper: BTreeMap::new(),
            at: Second::new(to),
        };
        assert_eq!(
            gap(5).key(),
            "pods/1970-01-01T00:00:01Z/1970-01-01T00:00:05Z"
        );
        assert_ne!(gap(5).key(), gap(6).key());
    }

    #[test]
    fn a_department_that_gains_a_budget_unit_has_another_key() {
        let mut with_unit = department("市政府办", 1);
        with_unit.budget_unit = Some("101001".to_owned());
        assert_ne!(with_unit.key(), department("市政府办", 1).key());
    }

    #[test]
    fn a_department_that_moves_is_recorded_anew_and_one_without_a_parent_keeps_its_old_digest() {
        let alone = department("市政府办", 1);
        // what was hashed before parents were recorded
        let before = digest_bytes("\"gov-office\"\n\"市政府办\"\nNone".as_bytes());
        assert_eq!(alone.digest(), before);
        let below = |parent: &str| DepartmentDoc {
            parent: Some(parent.to_owned()),
            ..department("市政府办", 1)
        };
        assert_ne!(below("city").digest(), before);
        assert_ne!(below("city").digest(), below("county").digest());
        // nothing else that a department may say looks the same
        let mut disguised = department("市政府办", 1);
        disguised.budget_unit = Some("1\")\n\"city".to_owned());
        let mut honest = below("city");
        honest.budget_unit = Some("1".to_owned());
        assert_ne!(disguised.digest(), honest.digest());
        let old = r#"{"code":"edu","displayName":"教育局","at":"2026-09-01T00:00:00Z"}"#;
        let read: DepartmentDoc = serde_json::from_str(old).unwrap();
        assert_eq!(read.parent, None);
        let written = crate::canonical::canonical_json(&read).unwrap();
        assert!(!written.contains("parent"), "{written}");
    }

    #[test]
    fn requests_and_releases_are_keyed_by_tenancy_incarnation_and_step() {
        let release = ReleaseDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            stage: ReleaseStage::Released,
            round: 0,
            requested_by: "zhang".to_owned(),
            at: Second::new(0),
            kept: Vec::new(),
            backup: None,
        };
        assert_eq!(row_key(&release), "release/gov-office/oa/2/Released");
        let effective = EffectiveDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 2,
            request: 3,
            not_before: Second::new(0),
            at: Second::new(0),
        };
        assert_eq!(
            split_row_key(&row_key(&effective)),
            Some(("effective", "gov-office/oa/2/3"))
        );
    }

    #[test]
    fn a_document_with_a_field_that_nobody_knows_is_refused() {
        let text = r#"{"uid":"u","etcd":1,"firstSeen":"2026-09-01T00:00:00Z","more":1}"#;
        assert!(serde_json::from_str::<ClusterDoc>(text).is_err());
        let text = r#"{"uid":"u","etcd":1,"firstSeen":"2026-09-01T00:00:00Z"}"#;
        let read: ClusterDoc = serde_json::from_str(text).unwrap();
        assert_eq!(read.key(), "u/1");
        // what stands in ledgers by now keeps its digest
        assert_eq!(
            crate::canonical::canonical_json(&read).unwrap(),
            r#"{"etcd":1,"firstSeen":"2026-09-01T00:00:00Z","uid":"u"}"#
        );
    }
}
