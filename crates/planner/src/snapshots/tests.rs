use super::*;

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

/// 2027-01-15T10:00:00Z.
const NOW: Second = Second::new(1_800_007_200);

fn term() -> Term {
    Term {
        cluster: "k".to_owned(),
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 2,
        until: day("2027-02-14"),
        at: NOW,
    }
}

fn claim() -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "files", "namespace": "edu--prod", "uid": "c1"},
        "spec": {"storageClassName": "ssd", "volumeName": "pv-1"},
    }))
    .unwrap()
}

fn disk() -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": {"name": "pv-1", "uid": "v1"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "csi": {"driver": "disks.example", "volumeHandle": "h1"},
            "claimRef": {"namespace": "edu--prod", "name": "files", "uid": "c1"},
        },
    }))
    .unwrap()
}

/// The wish as the API server has it, a minute after it was made, with what the snapshot controller says.
fn asked(status: &Value) -> Value {
    let mut wish = serde_json::to_value(wish(&term(), "edu--prod", "files", "daily")).unwrap();
    wish["metadata"]["uid"] = json!("w1");
    wish["metadata"]["creationTimestamp"] = json!("2027-01-15T09:59:00Z");
    wish["status"] = status.clone();
    wish
}

fn ready() -> Value {
    json!({"boundVolumeSnapshotContentName": "snapcontent-1", "readyToUse": true})
}

fn content() -> Value {
    json!({
        "metadata": {"name": "snapcontent-1", "uid": "s1", "resourceVersion": "7"},
        "spec": {
            "deletionPolicy": "Delete", "driver": "disks.example",
            "source": {"volumeHandle": "h1"},
            "volumeSnapshotRef": {"namespace": "edu--prod", "name": "leasehold-files", "uid": "w1"},
        },
        "status": {"readyToUse": true, "snapshotHandle": "snap-h1"},
    })
}

fn typed(content: &Value) -> VolumeSnapshotContent {
    serde_json::from_value(content.clone()).unwrap()
}

/// How far it is with an hour of patience.
fn looked(wish: Option<&Value>, content: Option<&Value>, volume: &PersistentVolume) -> Progress {
    let wish = wish.map(|wish| serde_json::from_value::<VolumeSnapshot>(wish.clone()).unwrap());
    let content = content.map(typed);
    let taking = Taking {
        claim: &claim(),
        volume,
        wish: wish.as_ref(),
        content: content.as_ref(),
        patience: 3600,
    };
    progress(&term(), &taking)
}

fn waits(progress: &Progress) -> bool {
    matches!(progress, Progress::Waits(..))
}

/// RFC 7386, as far as these patches need it: they take nothing away.
fn merged(base: &Value, patch: &Value) -> Value {
    let Some(fields) = patch.as_object() else {
        return patch.clone();
    };
    let mut all = base.as_object().cloned().unwrap_or_default();
    for (key, value) in fields {
        let before = all.get(key).cloned().unwrap_or_default();
        all.insert(key.clone(), merged(&before, value));
    }
    Value::Object(all)
}

fn recorded(content: &Value) -> SnapshotRetainedDoc {
    let (claim, volume) = (claim(), disk());
    let taking = Taking {
        claim: &claim,
        volume: &volume,
        wish: None,
        content: None,
        patience: 3600,
    };
    document(&term(), &taking, &typed(content)).unwrap()
}

/// The content as it is held, and what is recorded of it.
fn held() -> (Value, SnapshotRetainedDoc) {
    let before = content();
    let document = recorded(&before);
    assert!(!is_held(&document, &typed(&before)));
    let patch = hold(&document, &typed(&before));
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    (merged(&before, &patch), document)
}

fn classes() -> Vec<VolumeSnapshotClass> {
    let class = |name: &str, driver: &str, default: &str| {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {DEFAULT_CLASS: default}},
            "driver": driver,
        }))
        .unwrap()
    };
    vec![
        class("weekly", "disks.example", "false"),
        class("another", "files.example", "true"),
        class("daily", "disks.example", "true"),
        class("b", "archive.example", "false"),
        class("a", "archive.example", "false"),
    ]
}

#[test]
fn the_default_class_of_the_driver_makes_the_snapshot_and_else_the_first_by_name() {
    let classes = classes();
    assert_eq!(class_for("disks.example", &classes), Some("daily"));
    assert_eq!(class_for("archive.example", &classes), Some("a"));
    assert_eq!(class_for("tapes.example", &classes), None);
}

fn promised(reclaim: &str, provisioner: &str, offer: Offer<'_>) -> Option<String> {
    let volume: Volume = serde_json::from_value(json!({
        "name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": reclaim,
    }))
    .unwrap();
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {"name": "ssd"}, "provisioner": provisioner,
    }))
    .unwrap();
    refused(&volume, "edu--prod", Some(&class), offer).map(|refusal| refusal.to_string())
}

#[test]
fn a_class_without_snapshots_is_refused_with_what_is_possible_there() {
    let classes = classes();
    let offer = Offer {
        is_installed: true,
        classes: &classes,
    };
    assert_eq!(promised("Snapshot", "disks.example", offer), None);
    assert_eq!(
        promised("Snapshot", "tapes.example", offer).unwrap(),
        "rule T43: asked reclaim Snapshot for volume files in edu--prod, allowed Delete or Retain, because storage class ssd has no snapshots; write reclaim: Retain, which keeps the volume itself, or ask the data centre for a VolumeSnapshotClass of driver tapes.example"
    );
    let nothing = Offer {
        is_installed: false,
        classes: &[],
    };
    assert_eq!(
        promised("Snapshot", "disks.example", nothing).unwrap(),
        "rule T43: asked reclaim Snapshot for volume files in edu--prod, allowed Delete or Retain, because this cluster has no snapshots; write reclaim: Retain, which keeps the volume itself, or ask the data centre to install the snapshot controller and its kinds"
    );
    for reclaim in ["Delete", "Retain"] {
        assert_eq!(
            promised(reclaim, "tapes.example", nothing),
            None,
            "{reclaim}"
        );
    }
    let volume = serde_json::from_value(json!({
        "name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": "Snapshot",
    }));
    let unknown = refused(&volume.unwrap(), "edu--prod", None, nothing);
    assert_eq!(unknown, None, "the class may come yet");
}

#[test]
fn a_wish_names_the_claim_the_class_and_whose_it_is() {
    let wish = serde_json::to_value(wish(&term(), "edu--prod", "files", "daily")).unwrap();
    assert_eq!(
        wish,
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {
                "name": "leasehold-files", "namespace": "edu--prod",
                "labels": {
                    "leasehold.dev/managed-by": "leasehold", "leasehold.dev/department": "edu",
                    "leasehold.dev/tenancy": "oa", "leasehold.dev/incarnation": "2",
                },
            },
            "spec": {
                "source": {"persistentVolumeClaimName": "files"},
                "volumeSnapshotClassName": "daily",
            },
        })
    );
}

#[test]
fn a_snapshot_is_good_when_wish_and_content_say_so_of_each_other_and_of_this_volume() {
    let (wish, volume) = (asked(&ready()), disk());
    let good = looked(Some(&wish), Some(&content()), &volume);
    assert_eq!(good, Progress::Good);
    assert_eq!(looked(None, None, &volume), Progress::Unasked);
    assert!(waits(&looked(Some(&wish), None, &volume)));
    for (pointer, value) in [
        ("/status/readyToUse", json!(false)),
        ("/status", json!({})),
        // the content of another wish, of another volume, of another driver
        ("/spec/volumeSnapshotRef/uid", json!("w2")),
        ("/spec/source/volumeHandle", json!("h2")),
        ("/spec/source", json!({})),
        ("/spec/driver", json!("files.example")),
        ("/metadata/name", json!("snapcontent-2")),
    ] {
        let mut other = content();
        *other.pointer_mut(pointer).unwrap() = value;
        let progress = looked(Some(&wish), Some(&other), &volume);
        assert!(waits(&progress), "{pointer}: {progress:?}");
    }
    let mut ending = content();
    ending["metadata"]["deletionTimestamp"] = json!("2027-01-15T09:59:30Z");
    assert!(waits(&looked(Some(&wish), Some(&ending), &volume)));
    for status in [
        json!({"boundVolumeSnapshotContentName": "snapcontent-1", "readyToUse": false}),
        json!({"boundVolumeSnapshotContentName": "snapcontent-1"}),
        json!({"readyToUse": true}),
        json!(null),
    ] {
        let wish = asked(&status);
        assert!(
            waits(&looked(Some(&wish), Some(&content()), &volume)),
            "{status}"
        );
    }
}

#[test]
fn what_the_driver_says_is_told_while_it_is_waited_for_and_when_patience_is_over() {
    let mut wish = asked(&json!({"error": {"message": "storage is full,\n  try later"}}));
    let expected = Progress::Waits(
        NOW.plus(3540),
        Some("storage is full, try later".to_owned()),
    );
    assert_eq!(looked(Some(&wish), None, &disk()), expected);
    // to the second
    for (made, failed) in [
        ("2027-01-15T09:00:01Z", false),
        ("2027-01-15T09:00:00Z", true),
    ] {
        wish["metadata"]["creationTimestamp"] = json!(made);
        let progress = looked(Some(&wish), None, &disk());
        assert_eq!(!waits(&progress), failed, "{made}: {progress:?}");
    }
    assert_eq!(
        looked(Some(&wish), None, &disk()),
        Progress::Failed(
            "no snapshot was ready after 3600 s: storage is full, try later".to_owned()
        )
    );
    // one that got good while nobody looked is good all the same
    wish["status"] = ready();
    assert_eq!(
        looked(Some(&wish), Some(&content()), &disk()),
        Progress::Good
    );
}

#[test]
fn a_wish_of_somebody_else_and_a_volume_of_no_driver_are_not_waited_for() {
    for (pointer, value) in [
        ("/metadata/labels/leasehold.dev~1managed-by", json!("me")),
        ("/metadata/labels/leasehold.dev~1incarnation", json!("1")),
        ("/spec/source/persistentVolumeClaimName", json!("logs")),
    ] {
        let mut wish = asked(&ready());
        *wish.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            looked(Some(&wish), Some(&content()), &disk()),
            Progress::Failed("another VolumeSnapshot has the name leasehold-files".to_owned()),
            "{pointer}"
        );
    }
    let mut ending = asked(&ready());
    ending["metadata"]["deletionTimestamp"] = json!("2027-01-15T09:59:30Z");
    let progress = looked(Some(&ending), Some(&content()), &disk());
    assert!(matches!(progress, Progress::Failed(_)), "{progress:?}");
    let mut undriven = disk();
    undriven.spec.as_mut().unwrap().csi = None;
    let progress = looked(None, None, &undriven);
    assert!(matches!(progress, Progress::Failed(_)), "{progress:?}");
}

#[test]
fn a_content_is_held_by_its_policy_and_marked_with_whose_it_is_and_until_when() {
    let (held, document) = held();
    assert!(is_held(&document, &typed(&held)));
    assert_eq!(held["spec"]["deletionPolicy"], "Retain");
    assert_eq!(
        held["metadata"]["labels"],
        json!({
            "leasehold.dev/managed-by": "leasehold", "leasehold.dev/department": "edu",
            "leasehold.dev/tenancy": "oa", "leasehold.dev/incarnation": "2",
        })
    );
    assert_eq!(
        held["metadata"]["annotations"],
        json!({
            "leasehold.dev/retained-until": "2027-02-14",
            "leasehold.dev/retained-claim": "edu--prod/files",
        })
    );
    assert_eq!(
        (
            document.volume.as_str(),
            document.bytes,
            document.handle.as_str()
        ),
        ("pv-1", 10 << 30, "snap-h1")
    );
    // a last day that an earlier round wrote stays, one of another life does not
    let mut earlier = held.clone();
    earlier["metadata"]["annotations"]["leasehold.dev/retained-until"] = json!("2027-02-01");
    assert_eq!(recorded(&earlier).until, day("2027-02-01"));
    earlier["metadata"]["labels"]["leasehold.dev/incarnation"] = json!("1");
    assert_eq!(recorded(&earlier).until, day("2027-02-14"));
}

#[test]
fn a_held_content_stands_through_its_last_day_and_goes_in_two_steps() {
    let (held, document) = held();
    let cared = |content: &Value, today: &str| care(&document, Some(&typed(content)), day(today));
    assert_eq!(cared(&held, "2027-02-14"), Care::Stands);
    let Care::LetGo(patch) = cared(&held, "2027-02-15") else {
        panic!("it stays");
    };
    let mut let_go = merged(&held, &patch);
    assert_eq!(let_go["spec"]["deletionPolicy"], "Delete");
    assert_eq!(cared(&let_go, "2027-02-15"), Care::Delete);
    let_go["metadata"]["deletionTimestamp"] = json!("2027-02-15T00:00:00Z");
    assert_eq!(cared(&let_go, "2027-02-15"), Care::Stands);
    assert_eq!(
        care(&document, None, day("2027-02-15")),
        Care::Over(VolumeEnd::Deleted)
    );
    // deleting the definition of the kind deletes its objects, and not what is in the storage
    assert_eq!(
        care(&document, None, day("2027-02-14")),
        Care::Over(VolumeEnd::Orphaned)
    );
    let mut later = held;
    later["metadata"]["annotations"]["leasehold.dev/retained-until"] = json!("2027-03-01");
    assert_eq!(cared(&later, "2027-03-01"), Care::Stands);
}

#[test]
fn what_a_stranger_changes_on_a_held_content_is_mended_and_who_takes_the_label_off_has_it() {
    let (held, document) = held();
    for (pointer, value) in [
        ("/spec/deletionPolicy", json!("Delete")),
        (
            "/metadata/labels/leasehold.dev~1department",
            json!("health"),
        ),
        ("/metadata/annotations", json!({})),
        (
            "/metadata/annotations/leasehold.dev~1retained-until",
            json!("2027-01-20"),
        ),
    ] {
        let mut changed = held.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let Care::Mend(patch) = care(&document, Some(&typed(&changed)), day("2027-01-20")) else {
            panic!("{pointer} is let alone");
        };
        let mended = merged(&changed, &patch);
        assert!(is_held(&document, &typed(&mended)), "{pointer}");
    }
    let mut taken = held.clone();
    let labels = taken["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove("leasehold.dev/managed-by");
    // also when its day is over
    assert_eq!(
        care(&document, Some(&typed(&taken)), day("2027-12-31")),
        Care::Over(VolumeEnd::HandedOver)
    );
    let mut another = held;
    another["metadata"]["uid"] = json!("s2");
    assert_eq!(
        care(&document, Some(&typed(&another)), day("2027-12-31")),
        Care::Over(VolumeEnd::Deleted)
    );
}

#[test]
fn what_was_marked_for_a_claim_is_known_without_its_wish_and_nothing_else_is() {
    let (held, document) = held();
    let (claim, volume) = (claim(), disk());
    let known = |content: &Value| {
        let content = typed(content);
        let taking = Taking {
            claim: &claim,
            volume: &volume,
            wish: None,
            content: Some(&content),
            patience: 3600,
        };
        marked(&term(), &taking, &content)
    };
    assert_eq!(known(&held), Some(document.clone()));
    // somebody has set its policy back, or it is on its way out: it is ours all the same
    let mut changed = held.clone();
    changed["spec"]["deletionPolicy"] = json!("Delete");
    changed["metadata"]["deletionTimestamp"] = json!("2027-01-15T09:59:30Z");
    assert_eq!(known(&changed), Some(document));

    assert_eq!(known(&content()), None, "nobody marked it");
    for (at, other) in [
        ("/metadata/labels/leasehold.dev~1managed-by", "platform"),
        ("/metadata/labels/leasehold.dev~1incarnation", "1"),
        (
            "/metadata/annotations/leasehold.dev~1retained-claim",
            "edu--prod/mail",
        ),
        ("/spec/source/volumeHandle", "h2"),
        ("/spec/driver", "tapes.example"),
    ] {
        let mut another = held.clone();
        *another.pointer_mut(at).unwrap() = json!(other);
        assert_eq!(known(&another), None, "{at}");
    }
}
