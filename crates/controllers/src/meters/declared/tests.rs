use leasehold_ledger::{
    fact::{Bounds, Fact, FactKind},
    policy::EstimateBound,
};
use serde_json::{Value, json};

use super::*;
use crate::meters::life::{
    Life,
    fixture::{seen, subject},
};

/// 2026-09-01T00:00:00Z.
const START: i64 = 1_788_220_800;

fn at(second: i64) -> Second {
    Second::new(START + second)
}

fn sight(now: i64) -> Sight {
    Sight {
        now: at(now),
        known_to: Some(at(now - 5)),
        billed: EstimateBound::Lower,
        gone: false,
        listed: false,
        prompt: true,
        unbound: false,
    }
}

fn meter(over: &Value) -> Arc<Declared> {
    let mut object = json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Meter",
        "metadata": {"name": "buckets", "uid": "m"},
        "spec": {
            "displayName": "桶", "group": "storage.example.com", "version": "v1", "kind": "Bucket",
            "resource": "buckets", "quantity": {"path": ".spec.quota"}, "unit": "GiB",
        },
    });
    for (key, value) in over.as_object().unwrap() {
        object["spec"][key.as_str()] = value.clone();
    }
    Arc::new(Declared::of(&serde_json::from_value(object).unwrap()).unwrap())
}

/// A bucket that was made at the beginning and written at this second.
fn bucket(quota: &str, written: i64) -> DynamicObject {
    serde_json::from_value(json!({
        "metadata": {
            "name": "b", "namespace": "gov-office--prod", "uid": "u",
            "creationTimestamp": at(0).to_string(),
            "managedFields": [
                {"manager": "kubectl", "time": at(0).to_string()},
                {"manager": "kubectl", "subresource": "status", "time": at(written).to_string()},
            ],
        },
        "spec": {"quota": quota},
    }))
    .unwrap()
}

fn lived(of: &Arc<Declared>, sightings: &[(u64, DynamicObject, Sight)]) -> Vec<Fact> {
    let mut life = Life::default();
    let mut all = Vec::new();
    for (version, object, sight) in sightings {
        let standing = object.standing(of, sight).unwrap();
        let facts = life.facts(&seen(*version), &standing, Some(&subject()));
        facts.iter().for_each(|fact| life.note(fact));
        all.extend(facts);
    }
    all
}

fn told(facts: &[Fact]) -> Vec<(FactKind, Second, i64, bool)> {
    facts
        .iter()
        .map(|f| (f.kind, f.at, f.quantity >> 30, f.estimated))
        .collect()
}

#[test]
fn an_object_counts_from_its_creation_with_every_change_of_its_quantity_to_its_removal() {
    let gone = Sight {
        gone: true,
        ..sight(90)
    };
    let facts = lived(
        &meter(&json!({})),
        &[
            (1, bucket("5Gi", 0), sight(1)),
            (2, bucket("8Gi", 20), sight(21)),
            // a write that changes nothing of the quantity
            (3, bucket("8Gi", 30), sight(31)),
            (4, bucket("2Gi", 50), sight(51)),
            (5, bucket("2Gi", 50), gone),
        ],
    );
    assert_eq!(
        told(&facts),
        [
            (FactKind::Opened, at(0), 5, false),
            (FactKind::Changed, at(20), 8, false),
            (FactKind::Changed, at(50), 2, false),
            (FactKind::Closed, at(90), 0, false),
        ]
    );
    assert_eq!(facts[0].meter.to_string(), "meter/buckets");
}

#[test]
fn an_object_that_has_nothing_to_count_at_first_counts_from_the_write_that_gave_it_something() {
    let meter =
        meter(&json!({"selector": {"matchFields": [{"path": ".spec.quota", "equals": "8Gi"}]}}));
    let facts = lived(
        &meter,
        &[
            (1, bucket("5Gi", 0), sight(1)),
            (2, bucket("8Gi", 20), sight(21)),
            (3, bucket("9Gi", 40), sight(41)),
            (4, bucket("8Gi", 60), sight(61)),
        ],
    );
    assert_eq!(
        told(&facts),
        [
            (FactKind::Opened, at(20), 8, false),
            (FactKind::Changed, at(40), 0, false),
            (FactKind::Changed, at(60), 8, false),
        ]
    );
}

#[test]
fn what_was_there_before_the_meter_counts_from_its_first_list_on() {
    let first = Sight {
        known_to: None,
        listed: true,
        ..sight(500)
    };
    let facts = lived(&meter(&json!({})), &[(1, bucket("5Gi", 20), first)]);
    assert_eq!(told(&facts), [(FactKind::Opened, at(500), 5, false)]);
}

#[test]
fn what_a_list_after_a_gap_brings_is_exact_where_it_can_be_and_bounded_where_not() {
    let gap = |known: i64| Sight {
        known_to: Some(at(known)),
        listed: true,
        ..sight(500)
    };
    // made in the gap and not changed since
    let exact = lived(&meter(&json!({})), &[(1, bucket("5Gi", 0), gap(-10))]);
    assert_eq!(told(&exact), [(FactKind::Opened, at(0), 5, false)]);
    // made in the gap and changed in it: when it had this quantity first is not known
    let changed = lived(&meter(&json!({})), &[(1, bucket("5Gi", 300), gap(-10))]);
    let bounds = Bounds {
        lower: at(0),
        upper: at(300),
    };
    assert_eq!(changed[0].bounds, Some(bounds));
    assert_eq!(changed[0].at, at(300));
    // whatever counts one each counts from its creation, however it was written
    let one_each = meter(&json!({"quantity": null, "unit": "Count"}));
    let made = lived(&one_each, &[(1, bucket("5Gi", 300), gap(-10))]);
    assert_eq!((made[0].at, made[0].quantity), (at(0), 1));
    // known before the gap, changed in it
    let over = lived(
        &meter(&json!({})),
        &[
            (1, bucket("5Gi", 0), sight(1)),
            (2, bucket("2Gi", 300), gap(100)),
        ],
    );
    let bounds = Bounds {
        lower: at(100),
        upper: at(300),
    };
    assert_eq!(over[1].bounds, Some(bounds));
    assert_eq!(over[1].at, at(100), "less is billed as early as it may be");
}

#[test]
fn a_removal_that_is_old_news_is_an_estimate() {
    let late = Sight {
        gone: true,
        known_to: Some(at(40)),
        ..sight(4000)
    };
    let facts = lived(
        &meter(&json!({})),
        &[(1, bucket("5Gi", 0), sight(1)), (2, bucket("5Gi", 0), late)],
    );
    let bounds = Bounds {
        lower: at(40),
        upper: at(4000),
    };
    assert_eq!((facts[1].at, facts[1].bounds), (at(40), Some(bounds)));
    // and so is one that was made while nobody watched, be it for seconds
    let away = Sight {
        gone: true,
        prompt: false,
        ..sight(50)
    };
    let facts = lived(
        &meter(&json!({})),
        &[(1, bucket("5Gi", 0), sight(1)), (2, bucket("5Gi", 0), away)],
    );
    let bounds = Bounds {
        lower: at(45),
        upper: at(50),
    };
    assert_eq!((facts[1].at, facts[1].bounds), (at(45), Some(bounds)));
}

#[test]
fn what_cannot_be_counted_is_an_error_until_it_is_removed() {
    let meter = meter(&json!({}));
    assert!(bucket("much", 0).standing(&meter, &sight(1)).is_err());
    let gone = Sight {
        gone: true,
        ..sight(90)
    };
    let facts = lived(
        &meter,
        &[
            (1, bucket("5Gi", 0), sight(1)),
            (3, bucket("much", 20), gone),
        ],
    );
    assert_eq!(facts[1].kind, FactKind::Closed);
}

#[test]
fn a_meter_declared_anew_under_its_name_begins_anew() {
    let object = |uid: &str| -> Kind {
        serde_json::from_value(json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Meter",
            "metadata": {"name": "buckets", "uid": uid},
            "spec": {"displayName": "桶", "version": "v1", "kind": "Service", "resource": "services", "unit": "Count"},
        }))
        .unwrap()
    };
    assert_ne!(source(&object("a")), source(&object("b")));
    let resource = resource(&object("a").spec);
    assert_eq!(
        (resource.group.as_str(), resource.api_version.as_str()),
        ("", "v1")
    );
}

#[test]
fn a_view_remembers_what_hinders_it_until_it_is_over() {
    let declared = meter(&json!({}));
    let lost = Lost {
        code: Some(403),
        message: "no".to_owned(),
        times: 3,
    };
    declared.note(&Note::Begun(Some(at(7))));
    declared.note(&Note::Begun(Some(at(900))));
    assert_eq!(declared.view().since, Some(at(7)));
    declared.note(&Note::Lost(&lost));
    assert!(declared.view().is_blind());
    declared.note(&Note::Heard);
    assert!(!declared.view().is_blind());
    declared.note(&Note::Uncountable("u", "Bucket a--b/c: no"));
    declared.note(&Note::Heard);
    assert!(declared.view().is_blind(), "it is still not counted");
    declared.note(&Note::Counted("u"));
    assert!(!declared.view().is_blind());
    declared.note(&Note::Absent);
    assert!(declared.view().absent && !declared.view().is_blind());
    // an API server that is away says nothing about that
    declared.note(&Note::Lost(&Lost {
        code: None,
        ..lost.clone()
    }));
    assert!(declared.view().absent && !declared.view().is_blind());
    // but one that serves another version does
    declared.note(&Note::Lost(&Lost {
        code: Some(404),
        ..lost
    }));
    assert!(!declared.view().absent && declared.view().is_blind());
}

#[test]
fn a_gap_of_a_meter_that_counts_objects_is_bounded_by_the_quotas_of_their_number() {
    let quotas = [BTreeMap::from([(
        "count/buckets.storage.example.com".to_owned(),
        3,
    )])];
    let most = |over: &Value| DynamicObject::at_most(&meter(over), &quotas, 60);
    // without a quantity each counts as one
    let pieces = most(&json!({"quantity": null, "unit": "Count"}));
    assert_eq!(pieces, BTreeMap::from([("meter/buckets".to_owned(), 180)]));
    // three buckets may be of any size
    assert!(most(&json!({})).is_empty());
}
