//! Volumes that outlive their tenancy: how one is held, and what is to be done about one that is held.
//!
//! A volume that was released is bound to nobody and stays so, because its claim's uid stands in it: the cluster binds it
//! to no other claim. It is held by its reclaim policy, and marked by our labels; whoever takes the labels off has it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use leasehold_api::names::{
    DEPARTMENT_LABEL, INCARNATION_LABEL, MANAGED_LABEL, MANAGED_VALUE, RECLAIM_POLICY_ANNOTATION,
    RETAINED_UNTIL_ANNOTATION, TENANCY_LABEL,
};
use leasehold_ledger::{
    document::{Document, VolumeEnd, VolumeRetainedDoc},
    time::{LocalDate, Second},
};
use serde_json::{Value, json};

use crate::volumes::{bytes, class_of};

/// The reclaim policy that keeps a volume.
const RETAIN: &str = "Retain";
/// Phase of a volume that a claim has.
const BOUND: &str = "Bound";

/// For whom and until when a volume is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the name, from 1.
    pub incarnation: u32,
    /// Last day on which it is held.
    pub until: LocalDate,
    /// Now.
    pub at: Second,
}

/// What is recorded of a volume that is to be held; none if the volume is not the claim's.
///
/// What an earlier round has written on the volume stays as it is: the last day, and the policy before.
pub fn document(
    term: &Term,
    claim: &PersistentVolumeClaim,
    found: &PersistentVolume,
) -> Option<VolumeRetainedDoc> {
    let (meta, claimed) = (&found.metadata, &claim.metadata);
    let claim_uid = claimed.uid.clone()?;
    if claim_of(found).and_then(|claim| claim.uid.as_ref()) != Some(&claim_uid) {
        return None;
    }
    let spec = found.spec.as_ref()?;
    let before = annotation(found, RECLAIM_POLICY_ANNOTATION).filter(|_| is_marked(found));
    let ours = is_kept_for(term, found);
    let until = annotated_day(found).filter(|_| ours).unwrap_or(term.until);
    Some(VolumeRetainedDoc {
        cluster: term.cluster.clone(),
        department: term.department.clone(),
        tenancy: term.tenancy.clone(),
        incarnation: term.incarnation,
        namespace: claimed.namespace.clone().unwrap_or_default(),
        claim: claimed.name.clone().unwrap_or_default(),
        claim_uid,
        volume: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone()?,
        class: class_of(claim).to_owned(),
        bytes: bytes(spec.capacity.as_ref()),
        policy: before.unwrap_or(policy(found)).to_owned(),
        until,
        at: term.at,
    })
}

/// Whether a volume is held as the document says.
pub fn is_held(document: &VolumeRetainedDoc, found: &PersistentVolume) -> bool {
    policy(found) == RETAIN
        && marks(document)
            .iter()
            .all(|(key, value)| label(found, key) == Some(value))
        && annotated_day(found).is_some_and(|day| day >= document.until)
        && annotation(found, RECLAIM_POLICY_ANNOTATION).is_some()
}

/// Whether an earlier round has told a volume to stay for this life of the tenancy.
pub fn is_kept_for(term: &Term, found: &PersistentVolume) -> bool {
    is_marked(found)
        && labels(term)
            .iter()
            .all(|(key, value)| label(found, key) == Some(value))
}

/// Whether a volume stays when its claim goes, whatever anybody does.
pub fn stays_anyway(found: &PersistentVolume) -> bool {
    policy(found) == RETAIN
}

/// The merge patch that holds a volume. It is refused if the volume has changed meanwhile.
pub fn hold(document: &VolumeRetainedDoc, found: &PersistentVolume) -> Value {
    json!({
        "metadata": {
            "resourceVersion": found.metadata.resource_version,
            "labels": marks(document),
            "annotations": {
                RETAINED_UNTIL_ANNOTATION: last_day(document, found).to_string(),
                RECLAIM_POLICY_ANNOTATION: document.policy,
            },
        },
        "spec": {"persistentVolumeReclaimPolicy": RETAIN},
    })
}

/// What is to be done about a volume that is held.
#[derive(Clone, Debug, PartialEq)]
pub enum Care {
    /// Nothing.
    Stands,
    /// It is not as it should be: what is wrong, and the merge patch that mends it.
    Mend(String, Value),
    /// It is not its claim's any more, and the next claim could get it: what is wrong, and the merge patch that mends it.
    Reclaim(String, Value),
    /// Its last day is over: the merge patch that lets it go.
    LetGo(Value),
    /// Somebody else has it, and nothing can be mended without harm: what is wrong, and what to do.
    Taken(String),
    /// It is no longer held.
    Over(VolumeEnd),
}

/// Looks after a volume that is held. `found` is the volume of that name, if there is one.
///
/// A volume whose claim was cleared would be anybody's: the next claim of its class and size would get another
/// department's data. The claim is put back, with its uid, which no claim will ever have again.
pub fn care(
    document: &VolumeRetainedDoc,
    found: Option<&PersistentVolume>,
    today: LocalDate,
) -> Care {
    let is_it = |found: &&PersistentVolume| found.metadata.uid.as_ref() == Some(&document.uid);
    let Some(found) = found.filter(is_it) else {
        return Care::Over(VolumeEnd::Deleted);
    };
    if !is_marked(found) {
        return Care::Over(VolumeEnd::HandedOver);
    }
    let claim = claim_of(found);
    if claim.and_then(|claim| claim.uid.as_ref()) != Some(&document.claim_uid) {
        let now = title(claim);
        if phase(found) == BOUND {
            return Care::Taken(format!(
                "volume {} is kept for {} and is bound to {now}: whoever runs there reads its data. If the department got it back, take the label {MANAGED_LABEL} off the volume; else remove that claim's pods and then the claim",
                document.volume,
                document.subject(),
            ));
        }
        return Care::Reclaim(
            format!("its claim was {now}, and the next claim of its class could have got it"),
            claimed_again(document, found),
        );
    }
    if found.metadata.deletion_timestamp.is_some() {
        return Care::Stands;
    }
    if today > last_day(document, found) {
        return let_go(document, found);
    }
    if is_held(document, found) {
        return Care::Stands;
    }
    Care::Mend(
        "its labels or its reclaim policy were changed".to_owned(),
        hold(document, found),
    )
}

/// The last day on which a volume is held: a later one that somebody wrote on it counts.
pub fn last_day(document: &VolumeRetainedDoc, found: &PersistentVolume) -> LocalDate {
    annotated_day(found).map_or(document.until, |day| day.max(document.until))
}

/// Gives the volume back to what it was before. What its class keeps anyway is left to the platform.
fn let_go(document: &VolumeRetainedDoc, found: &PersistentVolume) -> Care {
    let version = &found.metadata.resource_version;
    if document.policy == RETAIN {
        let off: BTreeMap<&str, Value> = marks(document)
            .keys()
            .map(|key| (*key, Value::Null))
            .collect();
        return Care::LetGo(json!({"metadata": {
            "resourceVersion": version,
            "labels": off,
            "annotations": {RETAINED_UNTIL_ANNOTATION: null, RECLAIM_POLICY_ANNOTATION: null},
        }}));
    }
    if policy(found) == document.policy {
        return Care::Stands;
    }
    Care::LetGo(json!({
        "metadata": {"resourceVersion": version},
        "spec": {"persistentVolumeReclaimPolicy": document.policy},
    }))
}

/// The merge patch that puts the recorded claim back into a volume.
fn claimed_again(document: &VolumeRetainedDoc, found: &PersistentVolume) -> Value {
    json!({
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "spec": {"claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": document.namespace, "name": document.claim, "uid": document.claim_uid,
            "resourceVersion": null, "fieldPath": null,
        }},
    })
}

/// What a held volume is marked with.
fn marks(document: &VolumeRetainedDoc) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (MANAGED_LABEL, MANAGED_VALUE.to_owned()),
        (DEPARTMENT_LABEL, document.department.clone()),
        (TENANCY_LABEL, document.tenancy.clone()),
        (INCARNATION_LABEL, document.incarnation.to_string()),
    ])
}

/// The labels that tell for whom a volume is held.
fn labels(term: &Term) -> [(&'static str, String); 3] {
    [
        (DEPARTMENT_LABEL, term.department.clone()),
        (TENANCY_LABEL, term.tenancy.clone()),
        (INCARNATION_LABEL, term.incarnation.to_string()),
    ]
}

/// Whether the volume is in our hands.
fn is_marked(found: &PersistentVolume) -> bool {
    label(found, MANAGED_LABEL).is_some_and(|value| value == MANAGED_VALUE)
}

fn label<'a>(found: &'a PersistentVolume, key: &str) -> Option<&'a String> {
    found.metadata.labels.as_ref()?.get(key)
}

fn annotation<'a>(found: &'a PersistentVolume, key: &str) -> Option<&'a str> {
    let annotations = found.metadata.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

fn annotated_day(found: &PersistentVolume) -> Option<LocalDate> {
    LocalDate::parse(annotation(found, RETAINED_UNTIL_ANNOTATION)?).ok()
}

fn policy(found: &PersistentVolume) -> &str {
    let spec = found.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref())
        .unwrap_or(RETAIN)
}

fn phase(found: &PersistentVolume) -> &str {
    let status = found.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn claim_of(found: &PersistentVolume) -> Option<&ObjectReference> {
    found.spec.as_ref()?.claim_ref.as_ref()
}

fn title(claim: Option<&ObjectReference>) -> String {
    let Some(claim) = claim else {
        return "cleared".to_owned();
    };
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", text(&claim.namespace), text(&claim.name))
}

#[cfg(test)]
mod tests;
