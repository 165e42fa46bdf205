//! Snapshots of volumes that outlive their tenancy: whether a storage class has any, how one is wished for, when it is good
//! enough to let the volume go, and what is to be done about one that is kept.
//!
//! A snapshot is held by the deletion policy of its content, as a volume by its reclaim policy: the content goes with its
//! wish, and that with its namespace, unless the policy says otherwise. It is marked by our labels; whoever takes them off
//! has it. Until a snapshot is good the volume is there, and where none gets good the volume stays (`retention`).

mod kinds;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{PersistentVolume, PersistentVolumeClaim},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use leasehold_api::{
    names::{
        DEPARTMENT_LABEL, INCARNATION_LABEL, MANAGED_LABEL, MANAGED_VALUE,
        RETAINED_CLAIM_ANNOTATION, RETAINED_UNTIL_ANNOTATION, TENANCY_LABEL,
    },
    tenancy::{Reclaim, Volume},
};
use leasehold_ledger::{
    document::{SnapshotRetainedDoc, VolumeEnd},
    time::{LocalDate, Second},
};
use serde_json::{Value, json};

pub use self::kinds::{
    ContentSource, ContentSpec, ContentStatus, SnapshotError, SnapshotReference, SnapshotSource,
    SnapshotSpec, SnapshotStatus, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent,
};
use crate::{retention::Term, rules::Refusal, volumes::bytes};

/// The deletion policy that keeps a snapshot.
const RETAIN: &str = "Retain";
/// The deletion policy by which the storage forgets a snapshot with its object.
const DELETE: &str = "Delete";
/// Annotation of the class that a driver's snapshots are of when nobody says which.
const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";
/// A driver's words are told up to so many characters.
const WORDS: usize = 200;

/// What the cluster has for snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Whether it knows the kinds at all.
    pub is_installed: bool,
    /// The classes that there are.
    pub classes: &'a [VolumeSnapshotClass],
}

/// The class that makes snapshots of a driver's volumes: the default one, else the first by name; none where there is none.
pub fn class_for<'a>(driver: &str, classes: &'a [VolumeSnapshotClass]) -> Option<&'a str> {
    let rank = |class: &&VolumeSnapshotClass| {
        let is_default = annotation(&class.metadata, DEFAULT_CLASS) == Some("true");
        (!is_default, class.metadata.name.clone())
    };
    let of_driver = classes.iter().filter(|class| class.driver == driver);
    of_driver.min_by_key(rank)?.metadata.name.as_deref()
}

/// Why no snapshot of a named volume can be promised, if that is asked for. `class` is its storage class; of one that does
/// not exist nothing is known yet, and the volume waits for it anyway.
pub fn refused(
    volume: &Volume,
    place: &str,
    class: Option<&StorageClass>,
    offer: Offer<'_>,
) -> Option<Refusal> {
    let class = class.filter(|_| volume.reclaim == Reclaim::Snapshot)?;
    if class_for(&class.provisioner, offer.classes).is_some() {
        return None;
    }
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let (why, remedy) = if offer.is_installed {
        (
            format!("storage class {name} has no snapshots"),
            format!(
                "ask the data centre for a VolumeSnapshotClass of driver {}",
                class.provisioner
            ),
        )
    } else {
        (
            "this cluster has no snapshots".to_owned(),
            "ask the data centre to install the snapshot controller and its kinds".to_owned(),
        )
    };
    Some(Refusal::new(
        "T43",
        format!("reclaim Snapshot for volume {} in {place}", volume.name),
        format!("Delete or Retain, because {why}"),
        format!("write reclaim: Retain, which keeps the volume itself, or {remedy}"),
    ))
}

/// The driver of a volume, and by what it knows the volume; none for what no driver made.
pub fn driven(volume: &PersistentVolume) -> Option<(&str, &str)> {
    let csi = volume.spec.as_ref()?.csi.as_ref()?;
    Some((csi.driver.as_str(), csi.volume_handle.as_str()))
}

/// Name of the wish for a snapshot of a claim.
pub fn name_for(claim: &str) -> String {
    format!("leasehold-{claim}")
}

/// The wish for a snapshot of a claim, of this class.
pub fn wish(term: &Term, place: &str, claim: &str, class: &str) -> VolumeSnapshot {
    let labels = marks(&term.department, &term.tenancy, term.incarnation);
    VolumeSnapshot {
        api_version: <VolumeSnapshot as k8s_openapi::Resource>::API_VERSION.to_owned(),
        kind: <VolumeSnapshot as k8s_openapi::Resource>::KIND.to_owned(),
        metadata: ObjectMeta {
            name: Some(name_for(claim)),
            namespace: Some(place.to_owned()),
            labels: Some(owned(labels)),
            ..ObjectMeta::default()
        },
        spec: SnapshotSpec {
            source: SnapshotSource {
                persistent_volume_claim_name: Some(claim.to_owned()),
                volume_snapshot_content_name: None,
            },
            volume_snapshot_class_name: Some(class.to_owned()),
        },
        status: None,
    }
}

/// A claim that is to go, with its volume, and what there is of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Taking<'a> {
    /// The claim.
    pub claim: &'a PersistentVolumeClaim,
    /// Its volume.
    pub volume: &'a PersistentVolume,
    /// The wish, if there is one.
    pub wish: Option<&'a VolumeSnapshot>,
    /// The content that the wish names, if it is there.
    pub content: Option<&'a VolumeSnapshotContent>,
    /// Seconds for which it is waited, from the wish on.
    pub patience: u32,
}

/// How far a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was not wished for yet.
    Unasked,
    /// It is not good yet; until when it is waited for, and what was said of it.
    Waits(Second, Option<String>),
    /// It is good: a volume can be made of it.
    Good,
    /// It cannot be had, for this reason, and the volume itself is to be kept.
    Failed(String),
}

/// Looks how far a snapshot is. What a wish says of itself is not enough, for others may write it: its content, which only
/// the platform and the snapshot controller write, must be of this very volume and this very wish, and ready as well.
pub fn progress(term: &Term, taking: &Taking<'_>) -> Progress {
    if driven(taking.volume).is_none() {
        return Progress::Failed("no driver that makes snapshots made the volume".to_owned());
    }
    let Some(wish) = taking.wish else {
        return Progress::Unasked;
    };
    if !is_ours(term, taking.claim, wish) {
        let name = wish.metadata.name.as_deref().unwrap_or_default();
        return Progress::Failed(format!("another VolumeSnapshot has the name {name}"));
    }
    if wish.metadata.deletion_timestamp.is_some() {
        return Progress::Failed("its VolumeSnapshot is being deleted".to_owned());
    }
    if taking
        .content
        .is_some_and(|content| is_good(taking, wish, content))
    {
        return Progress::Good;
    }
    let asked = wish.metadata.creation_timestamp.as_ref();
    let asked = asked.map_or(term.at, |time| Second::from_timestamp(time.0));
    let end = asked.plus(i64::from(taking.patience));
    let said = error_of(wish);
    if end > term.at {
        return Progress::Waits(end, said);
    }
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    Progress::Failed(format!(
        "no snapshot was ready after {} s{said}",
        taking.patience
    ))
}

/// Whether the wish is the operator's, of this life of the tenancy and of this claim.
fn is_ours(term: &Term, claim: &PersistentVolumeClaim, wish: &VolumeSnapshot) -> bool {
    let marks = marks(&term.department, &term.tenancy, term.incarnation);
    is_marked(&wish.metadata, &marks)
        && wish.spec.source.persistent_volume_claim_name == claim.metadata.name
}

fn is_good(taking: &Taking<'_>, wish: &VolumeSnapshot, content: &VolumeSnapshotContent) -> bool {
    let status = wish.status.as_ref();
    let bound = status.and_then(|status| status.bound_volume_snapshot_content_name.as_ref());
    let said = content.status.as_ref();
    status.and_then(|status| status.ready_to_use) == Some(true)
        && said.and_then(|said| said.ready_to_use) == Some(true)
        && bound == content.metadata.name.as_ref()
        && wish.metadata.uid.is_some()
        && content.spec.volume_snapshot_ref.uid == wish.metadata.uid
        && is_of(taking.volume, content)
        && content.metadata.deletion_timestamp.is_none()
}

/// Whether a content is of this very volume.
fn is_of(volume: &PersistentVolume, content: &VolumeSnapshotContent) -> bool {
    let (spec, handle) = (&content.spec, content.spec.source.volume_handle.as_deref());
    driven(volume).is_some()
        && driven(volume) == handle.map(|handle| (spec.driver.as_str(), handle))
}

/// What the driver said last, in one line that is not endless and no list of sentences.
fn error_of(wish: &VolumeSnapshot) -> Option<String> {
    let error = wish.status.as_ref()?.error.as_ref()?;
    let message = error.message.as_deref().filter(|text| !text.is_empty())?;
    let line: Vec<&str> = message.split_whitespace().collect();
    let line = line.join(" ").replace(';', ",");
    Some(line.chars().take(WORDS).collect())
}

/// What is recorded of a good snapshot that is to be held; none where an identifier is missing.
///
/// A last day that an earlier round has written on it stays.
pub fn document(
    term: &Term,
    taking: &Taking<'_>,
    content: &VolumeSnapshotContent,
) -> Option<SnapshotRetainedDoc> {
    let (claimed, spec) = (&taking.claim.metadata, taking.volume.spec.as_ref()?);
    let marks = marks(&term.department, &term.tenancy, term.incarnation);
    let ours = is_marked(&content.metadata, &marks);
    let until = annotated_day(content).filter(|_| ours);
    let said = content.status.as_ref();
    let handle = said.and_then(|said| said.snapshot_handle.clone());
    Some(SnapshotRetainedDoc {
        cluster: term.cluster.clone(),
        department: term.department.clone(),
        tenancy: term.tenancy.clone(),
        incarnation: term.incarnation,
        namespace: claimed.namespace.clone()?,
        claim: claimed.name.clone()?,
        claim_uid: claimed.uid.clone()?,
        volume: taking.volume.metadata.name.clone()?,
        bytes: bytes(spec.capacity.as_ref()),
        content: content.metadata.name.clone()?,
        uid: content.metadata.uid.clone()?,
        driver: content.spec.driver.clone(),
        handle: handle.unwrap_or_default(),
        until: until.unwrap_or(term.until),
        at: term.at,
    })
}

/// What is recorded of a content that an earlier round has marked for this claim, whatever became of its wish since; none
/// of any other content.
pub fn marked(
    term: &Term,
    taking: &Taking<'_>,
    content: &VolumeSnapshotContent,
) -> Option<SnapshotRetainedDoc> {
    let document = document(term, taking, content)?;
    let claim = claim_of(&document);
    let is_it = is_marked(&content.metadata, &marks_of(&document))
        && annotation(&content.metadata, RETAINED_CLAIM_ANNOTATION) == Some(claim.as_str())
        && is_of(taking.volume, content);
    is_it.then_some(document)
}

/// Whether a snapshot is held as the document says.
pub fn is_held(document: &SnapshotRetainedDoc, content: &VolumeSnapshotContent) -> bool {
    let claim = claim_of(document);
    content.spec.deletion_policy == RETAIN
        && content.metadata.deletion_timestamp.is_none()
        && is_marked(&content.metadata, &marks_of(document))
        && annotation(&content.metadata, RETAINED_CLAIM_ANNOTATION) == Some(claim.as_str())
        && annotated_day(content).is_some_and(|day| day >= document.until)
}

/// The merge patch that holds a snapshot. It is refused if the content has changed meanwhile.
pub fn hold(document: &SnapshotRetainedDoc, content: &VolumeSnapshotContent) -> Value {
    json!({
        "metadata": {
            "resourceVersion": content.metadata.resource_version,
            "labels": marks_of(document),
            "annotations": {
                RETAINED_UNTIL_ANNOTATION: last_day(document, content).to_string(),
                RETAINED_CLAIM_ANNOTATION: claim_of(document),
            },
        },
        "spec": {"deletionPolicy": RETAIN},
    })
}

/// What is to be done about a snapshot that is held.
#[derive(Clone, Debug, PartialEq)]
pub enum Care {
    /// Nothing.
    Stands,
    /// It is not as it should be: the merge patch that mends it.
    Mend(Value),
    /// Its last day is over: the merge patch by which the storage forgets it with its object.
    LetGo(Value),
    /// That was seen to be so: its object goes.
    Delete,
    /// It is no longer held.
    Over(VolumeEnd),
}

/// Looks after a snapshot that is held. `found` is the content of that name, if there is one.
///
/// The operator had it made and therefore deletes it, whatever the class does with snapshots that others had made. In two
/// steps: an object that is deleted while its policy is Retain leaves the data in the storage, and nobody knows of them.
pub fn care(
    document: &SnapshotRetainedDoc,
    found: Option<&VolumeSnapshotContent>,
    today: LocalDate,
) -> Care {
    let is_it = |found: &&VolumeSnapshotContent| found.metadata.uid.as_ref() == Some(&document.uid);
    let Some(found) = found.filter(is_it) else {
        // held by Retain until then, it leaves its data behind, whoever deletes it
        let end = if today > document.until {
            VolumeEnd::Deleted
        } else {
            VolumeEnd::Orphaned
        };
        return Care::Over(end);
    };
    if label(&found.metadata, MANAGED_LABEL) != Some(MANAGED_VALUE) {
        return Care::Over(VolumeEnd::HandedOver);
    }
    if found.metadata.deletion_timestamp.is_some() {
        return Care::Stands;
    }
    if today > last_day(document, found) {
        if found.spec.deletion_policy == DELETE {
            return Care::Delete;
        }
        return Care::LetGo(json!({
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "spec": {"deletionPolicy": DELETE},
        }));
    }
    if is_held(document, found) {
        return Care::Stands;
    }
    Care::Mend(hold(document, found))
}

/// The last day on which a snapshot is held: a later one that somebody wrote on it counts.
pub fn last_day(document: &SnapshotRetainedDoc, content: &VolumeSnapshotContent) -> LocalDate {
    annotated_day(content).map_or(document.until, |day| day.max(document.until))
}

type Marks = BTreeMap<&'static str, String>;

/// What a wish and a held content are marked with.
fn marks(department: &str, tenancy: &str, incarnation: u32) -> Marks {
    BTreeMap::from([
        (MANAGED_LABEL, MANAGED_VALUE.to_owned()),
        (DEPARTMENT_LABEL, department.to_owned()),
        (TENANCY_LABEL, tenancy.to_owned()),
        (INCARNATION_LABEL, incarnation.to_string()),
    ])
}

fn marks_of(document: &SnapshotRetainedDoc) -> Marks {
    marks(
        &document.department,
        &document.tenancy,
        document.incarnation,
    )
}

fn owned(marks: Marks) -> BTreeMap<String, String> {
    let marks = marks.into_iter();
    marks.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn is_marked(meta: &ObjectMeta, marks: &Marks) -> bool {
    marks
        .iter()
        .all(|(key, value)| label(meta, key) == Some(value.as_str()))
}

/// Namespace and name of the claim.
fn claim_of(document: &SnapshotRetainedDoc) -> String {
    format!("{}/{}", document.namespace, document.claim)
}

fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

fn annotated_day(content: &VolumeSnapshotContent) -> Option<LocalDate> {
    LocalDate::parse(annotation(&content.metadata, RETAINED_UNTIL_ANNOTATION)?).ok()
}

#[cfg(test)]
mod tests;
