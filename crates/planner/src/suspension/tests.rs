use std::slice;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The 31st of January 2027, half past two in the afternoon in Shanghai.
const NOW: &str = "2027-01-31T06:30:00Z";

fn day(text: &str) -> LocalDate {
    LocalDate::parse(text).unwrap()
}

fn at(text: &str) -> Second {
    Second::parse(text).unwrap()
}

fn order(name: &str, until: Option<&str>) -> Order {
    Order {
        name: name.to_owned(),
        uid: format!("u-{name}"),
        reason: "安全整改".to_owned(),
        authority: "市政府办 黄政办〔2027〕3号".to_owned(),
        by: "chen@office".to_owned(),
        until: until.map(day),
        is_policy: false,
    }
}

fn record(uid: &str, stage: SuspensionStage, at: &str) -> SuspensionDoc {
    SuspensionDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        name: "oa".to_owned(),
        uid: uid.to_owned(),
        stage,
        reason: "安全整改".to_owned(),
        authority: "市政府办 黄政办〔2027〕3号".to_owned(),
        until: None,
        by: "chen@office".to_owned(),
        at: Second::parse(at).unwrap(),
    }
}

struct Scene {
    zone: Zone,
    essential: Vec<Label>,
    records: Vec<SuspensionDoc>,
    now: Second,
    released: bool,
}

impl Scene {
    fn new() -> Self {
        Self {
            zone: Zone::parse("Asia/Shanghai").unwrap(),
            essential: Vec::new(),
            records: Vec::new(),
            now: at(NOW),
            released: false,
        }
    }

    fn at(mut self, now: &str) -> Self {
        self.now = at(now);
        self
    }

    fn with(mut self, record: SuspensionDoc) -> Self {
        self.records.push(record);
        self
    }

    fn around(&self) -> Circumstances<'_> {
        Circumstances {
            department: "edu",
            tenancy: "oa",
            system: "dispatch",
            incarnation: 1,
            released: self.released,
            essential: &self.essential,
            records: &self.records,
            zone: &self.zone,
            now: self.now,
        }
    }
}

fn rule(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Refused(refusal) => refusal.rule,
        Verdict::InForce => "in force",
        Verdict::Over => "over",
    }
}

#[test]
fn an_order_holds_through_its_last_day_in_the_offices_zone() {
    let order = order("oa", Some("2027-01-31"));
    let on = |now: &str| rule(judge(&order, &Scene::new().at(now).around()));
    assert_eq!(on(NOW), "in force");
    // midnight of Shanghai is four in the afternoon of the same day, by UTC
    assert_eq!(on("2027-01-31T15:59:59Z"), "in force");
    assert_eq!(on("2027-01-31T16:00:00Z"), "over");
    let end = order.end(&Zone::parse("Asia/Shanghai").unwrap());
    assert_eq!(end, Some(at("2027-01-31T16:00:00Z")));
}

#[test]
fn a_last_day_that_does_not_exist_ends_nothing() {
    let object: Suspension = serde_json::from_value(json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
        "metadata": {
            "name": "oa", "namespace": "dept-edu", "uid": "u-1",
            "annotations": {"leasehold.dev/requested-by": "chen@office"},
        },
        "spec": {
            "tenancy": "oa", "reason": "欠费", "authority": "市政府办", "until": "2027-02-30",
        },
    }))
    .unwrap();
    let read = Order::of(&object);
    let expected = Order {
        uid: "u-1".to_owned(),
        reason: "欠费".to_owned(),
        authority: "市政府办".to_owned(),
        ..order("oa", None)
    };
    assert_eq!(read, expected);
}

#[test]
fn an_essential_system_is_not_suspended_by_anybody() {
    let mut scene = Scene::new();
    scene.essential = vec!["health".into(), "dispatch".into()];
    let verdict = judge(&order("oa", None), &scene.around());
    let Verdict::Refused(refusal) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(refusal.rule, "T40");
    for words in ["dispatch", "other than health, dispatch", "Department edu"] {
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
    let policy = ExpiryPolicy {
        notices_days: Vec::new(),
        suspend_after_days: Some(0),
    };
    let long_ago = day("2026-12-31");
    assert_eq!(by_policy(long_ago, false, &policy, &scene.around()), None);
    scene.essential.pop();
    assert!(by_policy(long_ago, false, &policy, &scene.around()).is_some());
}

#[test]
fn what_begins_and_what_ends_is_recorded_once() {
    let orders = [order("oa", Some("2027-03-31"))];
    let scene = Scene::new();
    let first = plan(&orders, &scene.around());
    let begun = SuspensionDoc {
        until: Some(day("2027-03-31")),
        ..record("u-oa", SuspensionStage::Begun, NOW)
    };
    assert_eq!(first.documents, slice::from_ref(&begun));
    assert_eq!(first.shown, Some((orders[0].clone(), at(NOW))));
    assert_eq!(first.next, Some(at("2027-03-31T16:00:00Z")));

    let later = Scene::new().at("2027-02-10T00:00:00Z").with(begun.clone());
    let second = plan(&orders, &later.around());
    assert!(second.documents.is_empty());
    assert_eq!(second.since, Some(at(NOW)));

    // somebody else has made it shorter, and it is over
    let shortened = [Order {
        by: "wang@office".to_owned(),
        ..order("oa", Some("2027-02-09"))
    }];
    let third = plan(&shortened, &later.around());
    assert_eq!((third.shown, third.since, third.next), (None, None, None));
    let ended = SuspensionDoc {
        stage: SuspensionStage::Ended,
        until: Some(day("2027-02-09")),
        by: "wang@office".to_owned(),
        at: at("2027-02-10T00:00:00Z"),
        ..begun
    };
    assert_eq!(third.documents, slice::from_ref(&ended));
    let known = later.with(ended);
    assert!(plan(&shortened, &known.around()).documents.is_empty());
}

#[test]
fn an_object_that_was_deleted_has_ended_as_it_began() {
    let begun = record("u-oa", SuspensionStage::Begun, NOW);
    let scene = Scene::new().at("2027-02-10T00:00:00Z").with(begun.clone());
    let found = plan(&[], &scene.around());
    let ended = SuspensionDoc {
        stage: SuspensionStage::Ended,
        at: at("2027-02-10T00:00:00Z"),
        ..begun
    };
    assert_eq!(found.documents, [ended]);
    assert_eq!(found.shown, None);
}

#[test]
fn what_has_ended_does_not_come_back_and_another_order_does() {
    let scene = Scene::new()
        .with(record(
            "u-oa",
            SuspensionStage::Begun,
            "2027-01-01T00:00:00Z",
        ))
        .with(record(
            "u-oa",
            SuspensionStage::Ended,
            "2027-01-20T00:00:00Z",
        ));
    let around = scene.around();
    let extended = order("oa", Some("2027-06-30"));
    assert_eq!(rule(judge(&extended, &around)), "T42");
    assert_eq!(rule(judge(&order("oa", None), &around)), "T42");
    // left as it was it is over, and nothing is wrong with that
    let past = order("oa", Some("2027-01-19"));
    assert_eq!(rule(judge(&past, &around)), "over");
    let another = Order {
        uid: "u-2".to_owned(),
        ..order("oa", None)
    };
    assert_eq!(rule(judge(&another, &around)), "in force");
}

#[test]
fn an_order_binds_the_life_in_which_it_began_and_ends_with_it() {
    let begun = record("u-oa", SuspensionStage::Begun, NOW);
    let mut scene = Scene::new().with(begun);
    let mut around = scene.around();
    around.incarnation = 2;
    assert_eq!(rule(judge(&order("oa", None), &around)), "over");
    assert_eq!(plan(&[order("oa", None)], &around), Plan::default());
    scene.released = true;
    let found = plan(&[order("oa", None)], &scene.around());
    assert_eq!(found.shown, None);
    assert_eq!(found.documents.len(), 1);
    assert_eq!(found.documents[0].stage, SuspensionStage::Ended);
}

#[test]
fn an_order_that_came_after_the_release_is_none_of_the_next_life() {
    let order = order("oa", None);
    let policy = Order {
        is_policy: true,
        uid: "expiry-2027-01-20".to_owned(),
        ..order.clone()
    };
    let mut scene = Scene::new();
    scene.released = true;
    let orders = [order.clone(), policy];
    let found = plan(&orders, &scene.around());
    let ended = record("u-oa", SuspensionStage::Ended, NOW);
    assert_eq!(found.documents, slice::from_ref(&ended));
    assert_eq!((found.shown, found.next), (None, None));

    let mut scene = scene.with(ended);
    assert!(plan(&orders, &scene.around()).documents.is_empty(), "once");
    scene.released = false;
    let mut next = scene.around();
    next.incarnation = 2;
    assert_eq!(rule(judge(&order, &next)), "over");
    assert_eq!(plan(slice::from_ref(&order), &next), Plan::default());
}

#[test]
fn of_several_the_one_that_ends_last_is_shown_and_all_are_recorded() {
    let policy = Order {
        name: "CloudPolicy default".to_owned(),
        uid: "expiry-2027-01-20".to_owned(),
        is_policy: true,
        ..order("p", None)
    };
    let orders = [
        policy,
        order("b", None),
        order("a", None),
        order("c", Some("2027-12-31")),
    ];
    let found = plan(&orders, &Scene::new().around());
    assert_eq!(
        found.shown.map(|(order, _)| order.name),
        Some("a".to_owned())
    );
    assert_eq!(found.documents.len(), 4);
    assert_eq!(found.next, Some(at("2027-12-31T16:00:00Z")));
}

#[test]
fn the_policy_suspends_after_its_days_until_the_term_is_extended_or_the_release_asked_for() {
    let policy = |days: Option<u16>| ExpiryPolicy {
        notices_days: Vec::new(),
        suspend_after_days: days,
    };
    let scene = Scene::new();
    let on = |through: &str, days: Option<u16>, releasing: bool| {
        by_policy(day(through), releasing, &policy(days), &scene.around())
    };
    // ten whole days go on: the 21st to the 30th; today is the 31st
    let order = on("2027-01-20", Some(10), false).unwrap();
    assert_eq!(order.uid, "expiry-2027-01-20");
    assert_eq!(order.reason, "term ended on 2027-01-20");
    assert_eq!(order.authority, "CloudPolicy default");
    assert_eq!(on("2027-01-20", Some(11), false), None);
    assert_eq!(on("2027-01-20", None, false), None);
    assert_eq!(on("2027-01-20", Some(10), true), None);
    assert_eq!(on("2028-01-20", Some(10), false), None);
}

#[test]
fn the_policys_second_order_for_one_term_has_a_uid_of_its_own() {
    let policy = ExpiryPolicy {
        notices_days: Vec::new(),
        suspend_after_days: Some(0),
    };
    let stages = [SuspensionStage::Begun, SuspensionStage::Ended];
    let mut scene = Scene::new();
    for (known, uid) in [
        (None, "expiry-2027-01-20"),
        (Some("expiry-2027-01-20"), "expiry-2027-01-20-2"),
        (Some("expiry-2027-01-20-2"), "expiry-2027-01-20-3"),
    ] {
        for stage in stages {
            scene
                .records
                .extend(known.map(|uid| record(uid, stage, NOW)));
        }
        let order = by_policy(day("2027-01-20"), false, &policy, &scene.around()).unwrap();
        assert_eq!(order.uid, uid);
        assert_eq!(rule(judge(&order, &scene.around())), "in force");
    }
}

#[test]
fn a_quota_loses_its_pods_and_gets_back_as_many_as_go_with_its_share() {
    let hard = |cores: i64, pods: i64| {
        Hard::from([
            ("requests.cpu".to_owned(), cores),
            ("pods".to_owned(), pods),
            ("secrets".to_owned(), 200),
        ])
    };
    // eight for each core
    assert_eq!(turned(&hard(24_000, 192), true), Some(hard(24_000, 0)));
    assert_eq!(turned(&hard(24_000, 0), false), Some(hard(24_000, 192)));
    assert_eq!(turned(&hard(0, 0), false), Some(hard(0, 8)));
    assert_eq!(turned(&hard(24_000, 0), true), None);
    assert_eq!(turned(&hard(24_000, 192), false), None);
    let nothing = Hard::from([("secrets".to_owned(), 200)]);
    assert_eq!(turned(&nothing, true), None);
}

proptest! {
    #[test]
    fn the_next_look_is_ahead_and_nothing_changes_before_it(
        ends in prop::collection::vec(prop::option::of(0..400_i32), 0..6),
        second in 0..34_560_000_i64,
    ) {
        let first = day("2027-01-01");
        let orders: Vec<Order> = ends
            .iter()
            .enumerate()
            .map(|(number, end)| {
                let mut order = order(&format!("o{number}"), None);
                order.until = end.map(|days| first.add_days(days));
                order
            })
            .collect();
        let mut scene = Scene::new();
        scene.now = scene.zone.local_midnight(first).plus(second);
        let in_force = |scene: &Scene| -> Vec<bool> {
            let around = scene.around();
            orders.iter().map(|order| judge(order, &around) == Verdict::InForce).collect()
        };
        let before = in_force(&scene);
        if let Some(next) = plan(&orders, &scene.around()).next {
            prop_assert!(next > scene.now);
            scene.now = next.plus(-1);
            prop_assert_eq!(&in_force(&scene), &before);
            scene.now = next;
            prop_assert_ne!(&in_force(&scene), &before);
        } else {
            scene.now = Second::MAX;
            prop_assert_eq!(&in_force(&scene), &before);
        }
    }
}
