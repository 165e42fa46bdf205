use super::*;

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

fn term() -> Term {
    Term {
        cluster: "k".to_owned(),
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 2,
        until: day("2027-02-14"),
        at: Second::new(1_800_000_000),
    }
}

fn claim() -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "files", "namespace": "edu--prod", "uid": "c1"},
        "spec": {"storageClassName": "ssd", "volumeName": "pv-1"},
    }))
    .unwrap()
}

/// A volume of 10 GiB that the claim has.
fn volume() -> Value {
    json!({
        "metadata": {"name": "pv-1", "uid": "v1", "resourceVersion": "7"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": "edu--prod", "name": "files", "uid": "c1", "resourceVersion": "5",
            },
        },
        "status": {"phase": "Bound"},
    })
}

fn typed(volume: &Value) -> PersistentVolume {
    serde_json::from_value(volume.clone()).unwrap()
}

/// RFC 7386, as the API server merges.
fn merged(volume: &Value, patch: &Value) -> Value {
    let Some(fields) = patch.as_object() else {
        return patch.clone();
    };
    let mut fields_of = volume.as_object().cloned().unwrap_or_default();
    for (key, value) in fields {
        if value.is_null() {
            fields_of.remove(key);
        } else {
            let before = fields_of.get(key).cloned().unwrap_or_default();
            fields_of.insert(key.clone(), merged(&before, value));
        }
    }
    Value::Object(fields_of)
}

/// The volume as it is held, and what is recorded of it.
fn held() -> (Value, VolumeRetainedDoc) {
    let before = volume();
    let document = document(&term(), &claim(), &typed(&before)).unwrap();
    assert!(!is_held(&document, &typed(&before)));
    let patch = hold(&document, &typed(&before));
    assert_eq!(
        patch["metadata"]["resourceVersion"], "7",
        "a stranger's change in between is noticed"
    );
    (merged(&before, &patch), document)
}

/// The held volume after its namespace is gone.
fn released() -> (Value, VolumeRetainedDoc) {
    let (mut volume, document) = held();
    volume["status"]["phase"] = json!("Released");
    (volume, document)
}

fn cared(volume: &Value, document: &VolumeRetainedDoc, today: &str) -> Care {
    care(document, Some(&typed(volume)), day(today))
}

fn patch_of(care: Care) -> Value {
    match care {
        Care::Mend(_, patch) | Care::Reclaim(_, patch) | Care::LetGo(patch) => patch,
        other @ (Care::Stands | Care::Taken(_) | Care::Over(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_volume_is_held_by_its_policy_and_labelled_with_whose_it_was_and_until_when() {
    let (volume, document) = held();
    assert_eq!(
        volume["metadata"]["labels"],
        json!({
            "leasehold.dev/managed-by": "leasehold", "leasehold.dev/department": "edu",
            "leasehold.dev/tenancy": "oa", "leasehold.dev/incarnation": "2",
        })
    );
    assert_eq!(
        volume["metadata"]["annotations"],
        json!({
            "leasehold.dev/retained-until": "2027-02-14",
            "leasehold.dev/reclaim-policy": "Delete",
        })
    );
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    assert!(is_held(&document, &typed(&volume)));
    assert_eq!((document.bytes, document.class.as_str()), (10 << 30, "ssd"));
    assert_eq!(document.key(), "k/v1/c1");
}

#[test]
fn what_an_earlier_round_wrote_on_the_volume_is_recorded_and_not_what_it_looks_like_now() {
    let (volume, first) = held();
    // the operator died before it recorded anything, and it is another day
    let later = Term {
        until: day("2027-03-01"),
        ..term()
    };
    let second = document(&later, &claim(), &typed(&volume)).unwrap();
    assert_eq!(second.policy, "Delete", "not the Retain that we wrote");
    assert_eq!(second.until, first.until);
    // marks of another life of the name say nothing of this one's last day
    let other = Term {
        incarnation: 3,
        ..later
    };
    let third = document(&other, &claim(), &typed(&volume)).unwrap();
    assert_eq!(
        (third.policy.as_str(), third.until),
        ("Delete", other.until)
    );
    assert!(!is_held(&third, &typed(&volume)));
}

#[test]
fn a_volume_that_is_not_the_claims_is_never_held_for_it() {
    for claim_ref in [
        json!(null),
        json!({"namespace": "edu--prod", "name": "files", "uid": "another"}),
        json!({"namespace": "edu--prod", "name": "files"}),
    ] {
        let mut volume = volume();
        volume["spec"]["claimRef"] = claim_ref;
        assert_eq!(document(&term(), &claim(), &typed(&volume)), None);
    }
}

#[test]
fn a_volume_that_is_held_is_let_alone_until_its_last_day_is_over() {
    let (volume, document) = released();
    for today in ["2027-01-15", "2027-02-14"] {
        assert_eq!(cared(&volume, &document, today), Care::Stands, "{today}");
    }
    let patch = patch_of(cared(&volume, &document, "2027-02-15"));
    let after = merged(&volume, &patch);
    assert_eq!(after["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    // the cluster deletes it now, which takes a while
    assert_eq!(cared(&after, &document, "2027-02-15"), Care::Stands);
    assert_eq!(
        care(&document, None, day("2027-02-15")),
        Care::Over(VolumeEnd::Deleted)
    );
}

#[test]
fn a_later_day_on_the_volume_counts_and_an_earlier_one_is_put_right() {
    let (mut volume, document) = released();
    let until = "/metadata/annotations/leasehold.dev~1retained-until";
    *volume.pointer_mut(until).unwrap() = json!("2028-01-01");
    assert_eq!(cared(&volume, &document, "2027-12-31"), Care::Stands);
    patch_of(cared(&volume, &document, "2028-01-02"));
    for bad in ["2027-01-16", "soon", "2027-02-30"] {
        *volume.pointer_mut(until).unwrap() = json!(bad);
        let mended = merged(&volume, &patch_of(cared(&volume, &document, "2027-01-20")));
        assert_eq!(mended.pointer(until).unwrap(), "2027-02-14", "{bad}");
    }
}

#[test]
fn a_claim_that_was_cleared_is_put_back_with_its_uid_before_anybody_gets_the_volume() {
    for (claim_ref, phase) in [
        (json!(null), "Available"),
        // reserved for somebody whose claim is not bound yet
        (
            json!({"kind": "PersistentVolumeClaim", "namespace": "health--prod", "name": "files"}),
            "Available",
        ),
        (
            json!({"namespace": "edu--prod", "name": "files", "uid": "c2", "resourceVersion": "9"}),
            "Released",
        ),
    ] {
        let (mut volume, document) = released();
        volume["spec"]["claimRef"] = claim_ref;
        volume["status"]["phase"] = json!(phase);
        let mended = merged(&volume, &patch_of(cared(&volume, &document, "2027-01-20")));
        assert_eq!(
            mended["spec"]["claimRef"],
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": "edu--prod", "name": "files", "uid": "c1",
            })
        );
        // also when its time is over: data are deleted, not handed on
        patch_of(cared(&volume, &document, "2027-12-31"));
    }
}

#[test]
fn a_volume_that_another_claim_has_is_reported_and_not_torn_away() {
    let (mut volume, document) = released();
    volume["spec"]["claimRef"] = json!({"namespace": "health--prod", "name": "files", "uid": "c9"});
    volume["status"]["phase"] = json!("Bound");
    let Care::Taken(sentence) = cared(&volume, &document, "2027-12-31") else {
        panic!("it was touched");
    };
    assert!(
        sentence.starts_with("volume pv-1 is kept for edu/oa and is bound to health--prod/files"),
        "{sentence}"
    );
}

#[test]
fn what_a_stranger_changes_is_put_right() {
    for (pointer, value) in [
        ("/spec/persistentVolumeReclaimPolicy", json!("Delete")),
        (
            "/metadata/labels/leasehold.dev~1department",
            json!("health"),
        ),
        ("/metadata/annotations", json!({})),
    ] {
        let (mut volume, document) = released();
        *volume.pointer_mut(pointer).unwrap() = value;
        let mended = merged(&volume, &patch_of(cared(&volume, &document, "2027-01-20")));
        assert!(is_held(&document, &typed(&mended)), "{pointer}");
    }
}

#[test]
fn who_takes_the_label_off_has_the_volume() {
    let (mut volume, document) = released();
    let labels = volume["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove("leasehold.dev/managed-by");
    // bound to somebody or to nobody
    for claim_ref in [json!(null), json!({"name": "files", "uid": "c9"})] {
        volume["spec"]["claimRef"] = claim_ref;
        assert_eq!(
            cared(&volume, &document, "2027-01-20"),
            Care::Over(VolumeEnd::HandedOver)
        );
    }
}

#[test]
fn a_volume_of_that_name_that_is_another_one_is_not_the_volume() {
    let (mut volume, document) = released();
    volume["metadata"]["uid"] = json!("v2");
    assert_eq!(
        cared(&volume, &document, "2027-01-20"),
        Care::Over(VolumeEnd::Deleted)
    );
}

#[test]
fn what_its_class_keeps_anyway_is_left_to_the_platform() {
    let mut before = volume();
    before["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
    let document = document(&term(), &claim(), &typed(&before)).unwrap();
    assert!(
        !is_held(&document, &typed(&before)),
        "it is not marked, and nobody would look after it"
    );
    let mut volume = merged(&before, &hold(&document, &typed(&before)));
    volume["status"]["phase"] = json!("Released");
    assert_eq!(cared(&volume, &document, "2027-02-14"), Care::Stands);
    let after = merged(&volume, &patch_of(cared(&volume, &document, "2027-02-15")));
    assert_eq!(after["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(after["metadata"]["annotations"], json!({}));
    assert_eq!(
        cared(&after, &document, "2027-02-15"),
        Care::Over(VolumeEnd::HandedOver)
    );
}
