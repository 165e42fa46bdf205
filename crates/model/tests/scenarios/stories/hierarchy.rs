//! Departments under departments: rights that follow moves, circles, limits over a subtree, and the end of a department.

mod crowd;

use std::{collections::BTreeSet, time::Duration};

use leasehold_api::names;
use leasehold_model::Written;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{
    expect::{APPROVALS, TENANCIES},
    people::{ADMIN, OFFICE, staff},
};

const DEPARTMENTS: &str = "departments.tenancy.leasehold.dev";
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
/// A city with two counties, a street in one of them, and a village in the street.
const CODES: [&str; 5] = ["city", "daye", "yangxin", "street", "village"];
const LINKS: [(&str, &str); 4] = [
    ("daye", "city"),
    ("yangxin", "city"),
    ("street", "daye"),
    ("village", "street"),
];

fn office(code: &str) -> String {
    names::office_namespace(code)
}

/// The office changes a department, and the operator has seen it.
async fn change(stage: &Stage<'_>, code: &str, spec: &Value) -> Result<(), String> {
    stage.patch(OFFICE, [DEPARTMENTS, "", code], &json!({"spec": spec}))?;
    let seen = |stage: &Stage<'_>| {
        let found = department(stage, code);
        found["status"]["observedGeneration"] == found["metadata"]["generation"]
    };
    stage.until(&format!("{code} seen with {spec}"), seen).await
}

/// Platform, the five departments, and who is below whom.
async fn furnish(stage: &Stage<'_>) -> Result<(), String> {
    stage.furnish(&json!({}), &CODES).await?;
    for (code, parent) in LINKS {
        change(stage, code, &json!({"parent": parent})).await?;
    }
    oversee(stage, "village", &["city", "daye", "street"]).await?;
    oversee(stage, "yangxin", &["city"]).await
}

/// Groups that oversee a department, by the binding in its office.
fn overseers(stage: &Stage<'_>, code: &str) -> Vec<String> {
    let place = office(code);
    let found = stage.find([BINDINGS, &place, "leasehold-overseers"]);
    let subjects = found.and_then(|binding| binding["subjects"].as_array().cloned());
    subjects
        .unwrap_or_default()
        .iter()
        .map(|subject| subject["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until exactly the staff of these departments oversees one.
async fn oversee(stage: &Stage<'_>, code: &str, above: &[&str]) -> Result<(), String> {
    let wanted: Vec<String> = above.iter().map(|code| format!("{code}-admins")).collect();
    let what = format!("{code} overseen by {wanted:?}");
    stage
        .until(&what, |stage| overseers(stage, code) == wanted)
        .await
}

fn department(stage: &Stage<'_>, code: &str) -> Value {
    stage.find([DEPARTMENTS, "", code]).unwrap_or_default()
}

fn tenancy(stage: &Stage<'_>, code: &str, name: &str) -> Value {
    let place = office(code);
    stage.find([TENANCIES, &place, name]).unwrap_or_default()
}

/// The message of a condition that holds; empty when none does.
fn said(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition["type"] == type_ && condition["status"] == "True")
        .filter_map(|condition| condition["message"].as_str())
        .collect()
}

/// A tenancy of so many cores in one namespace.
fn lease(code: &str, name: &str, cores: &str) -> Value {
    json!({
        "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Tenancy",
        "metadata": {"name": name, "namespace": office(code)},
        "spec": {
            "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
            "term": {"from": "2027-01-01", "through": "2027-12-31"},
            "contract": "HS-ZFCG-2026-031", "budget": {"code": "30227"},
            "lease": [{"item": "vcpu-x86", "quantity": cores}],
            "namespaces": [{"name": name, "share": {"vcpu-x86": cores}}],
            "members": [{"role": "admin", "group": format!("{code}-admins")}],
        },
    })
}

fn ask(stage: &Stage<'_>, code: &str, name: &str, cores: &str) -> Result<(), String> {
    stage.create(&staff(code), &lease(code, name, cores))
}

/// The department wants another number of cores.
fn ask_for(stage: &Stage<'_>, code: &str, name: &str, cores: &str) -> Result<(), String> {
    let spec = lease(code, name, cores)["spec"].clone();
    let patch = json!({"spec": {"lease": spec["lease"], "namespaces": spec["namespaces"]}});
    stage.patch(&staff(code), [TENANCIES, &office(code), name], &patch)
}

/// Whether the tenancy stands with so many cores.
fn stands(stage: &Stage<'_>, code: &str, name: &str, cores: &str) -> bool {
    let status = &tenancy(stage, code, name)["status"];
    status["phase"] == "Active" && status["approved"][0]["quantity"] == cores
}

/// Writes of the operator to role bindings since a moment, by namespace.
fn bindings_written(before: usize, stage: &Stage<'_>) -> BTreeSet<String> {
    let written = stage.server.written();
    let since = written.iter().skip(before);
    let place = |written: &Written| {
        let (namespace, _) = written.place.split_once('/').unwrap();
        namespace.to_owned()
    };
    since
        .filter(|written| written.resource == BINDINGS)
        .map(place)
        .collect()
}

#[test]
fn rights_from_above_follow_a_department_that_moves_and_nobody_elses_are_touched() {
    tell(async |stage| {
        furnish(stage).await?;
        let below = |code: &str| {
            let found = stage.find(["namespaces", "", &office(code)]);
            found.unwrap_or_default()["metadata"]["annotations"]["leasehold.dev/below"].clone()
        };
        stage
            .until("the city's office told", |_| {
                below("city") == "daye,yangxin"
            })
            .await?;
        stage.pass(Duration::from_secs(60)).await;
        let before = stage.server.written().len();
        change(stage, "street", &json!({"parent": "yangxin"})).await?;
        oversee(stage, "street", &["city", "yangxin"]).await?;
        oversee(stage, "village", &["city", "street", "yangxin"]).await?;
        stage
            .until("the offices above told", |_| {
                below("daye") == "" && below("yangxin") == "street"
            })
            .await?;
        stage.pass(Duration::from_secs(60)).await;
        let written = bindings_written(before, stage);
        let expected = ["dept-street", "dept-village"].map(str::to_owned);
        assert_eq!(written, BTreeSet::from(expected));
        // recorded, with the place
        let rows = stage.rows();
        let recorded: Vec<Value> = rows
            .iter()
            .filter(|row| row.chain.key.starts_with("department/street/"))
            .map(|row| serde_json::from_str::<Value>(&row.body).unwrap()["parent"].clone())
            .collect();
        assert_eq!(recorded, [Value::Null, json!("daye"), json!("yangxin")]);
        // without one above it, only those below are overseen, by it alone
        change(stage, "street", &json!({"parent": null})).await?;
        oversee(stage, "street", &[]).await?;
        oversee(stage, "village", &["street"]).await?;
        let gone = stage.find([BINDINGS, "dept-street", "leasehold-overseers"]);
        assert_eq!(gone, None, "a binding of nobody is left");
        Ok(())
    });
}

#[test]
fn whoever_administers_a_department_above_is_let_in_and_out_below_and_a_binding_is_mended() {
    tell(async |stage| {
        furnish(stage).await?;
        let administrators = json!([
            {"kind": "Group", "name": "city-admins"}, {"kind": "User", "name": "chen@city"},
        ]);
        change(stage, "city", &json!({"administrators": administrators})).await?;
        for code in ["daye", "yangxin", "street", "village"] {
            let what = format!("a new administrator of the city in {code}");
            let told = |stage: &Stage<'_>| overseers(stage, code).contains(&"chen@city".to_owned());
            stage.until(&what, told).await?;
        }
        let place = office("village");
        stage.delete(ADMIN, [BINDINGS, &place, "leasehold-overseers"])?;
        stage
            .until("the binding made anew", |stage| {
                overseers(stage, "village").len() == 4
            })
            .await?;
        let administrators = json!([{"kind": "Group", "name": "city-admins"}]);
        change(stage, "city", &json!({"administrators": administrators})).await?;
        oversee(stage, "village", &["city", "daye", "street"]).await
    });
}

#[test]
fn in_a_circle_and_below_it_nobody_oversees_and_leases_go_on_and_all_of_it_is_mended() {
    tell(async |stage| {
        furnish(stage).await?;
        change(stage, "city", &json!({"parent": "street"})).await?;
        for (code, chain) in [
            ("city", "city → street → daye → city"),
            ("daye", "daye → city → street → daye"),
            ("street", "street → daye → city → street"),
        ] {
            let what = format!("{code} refused with {chain}");
            let told = |stage: &Stage<'_>| {
                let refused = said(&department(stage, code), "Refused");
                refused.contains("rule D06:") && refused.contains(chain)
            };
            stage.until(&what, told).await?;
            oversee(stage, code, &[]).await?;
        }
        oversee(stage, "village", &[]).await?;
        let told = |stage: &Stage<'_>| {
            let village = department(stage, "village");
            said(&village, "Waiting").contains("street → daye → city → street")
                && said(&village, "Refused").is_empty()
        };
        stage.until("the village told whose circle", told).await?;
        // its own office works all the same
        ask(stage, "village", "oa", "2")?;
        stage.approve("dept-village", "oa-1-office").await?;
        stage
            .until("the lease of the village", |stage| {
                stands(stage, "village", "oa", "2")
            })
            .await?;
        change(stage, "city", &json!({"parent": null})).await?;
        oversee(stage, "village", &["city", "daye", "street"]).await?;
        for code in CODES {
            let told = |stage: &Stage<'_>| said(&department(stage, code), "Refused").is_empty();
            stage.until("no refusal any more", told).await?;
        }
        Ok(())
    });
}

#[test]
fn of_two_leases_asked_for_at_once_under_one_limit_one_is_refused_until_the_other_gives_way() {
    tell(async |stage| {
        furnish(stage).await?;
        // 8 × 46.00
        change(stage, "daye", &json!({"limits": {"monthly": "368.00"}})).await?;
        // 5 × 46.00 each, and in another county as well, where nothing is limited
        let asked = [("street", "oa"), ("village", "oa"), ("yangxin", "oa")];
        for (code, name) in asked {
            ask(stage, code, name, "5")?;
        }
        let refused = |stage: &Stage<'_>| -> Vec<&'static str> {
            let below = ["street", "village"].into_iter();
            below
                .filter(|code| {
                    let told = said(&tenancy(stage, code, "oa"), "Refused");
                    told.starts_with("rule T50: asked 230.00 a month")
                })
                .collect()
        };
        let waits = |stage: &Stage<'_>, code: &str| {
            tenancy(stage, code, "oa")["status"]["request"]["decision"] == "Undecided"
        };
        stage
            .until("one of both refused and the other asked about", |stage| {
                let full = refused(stage);
                full.len() == 1
                    && ["street", "village"]
                        .into_iter()
                        .all(|code| full.contains(&code) || waits(stage, code))
                    && waits(stage, "yangxin")
            })
            .await?;
        let full = refused(stage)[0];
        let other = if full == "street" {
            "village"
        } else {
            "street"
        };
        let told = said(&tenancy(stage, full, "oa"), "Refused");
        let words = [
            "460.00 together with what daye and those below it lease".to_owned(),
            "allowed 368.00 a month by spec.limits of department daye".to_owned(),
            format!("of which 230.00 is taken: 230.00 by oa of {other} (waits)"),
        ];
        for words in words {
            assert!(told.contains(&words), "{words:?} is not in {told}");
        }
        let place = office(full);
        assert_eq!(stage.find([APPROVALS, &place, "oa-1-office"]), None);

        // 3 × 46.00 make room: 138.00 + 230.00 are the limit to the fen
        ask_for(stage, other, "oa", "3")?;
        stage
            .until("the question to the office about the other", |stage| {
                waits(stage, full) && waits(stage, other)
            })
            .await?;
        stage.approve(&office(other), "oa-2-office").await?;
        stage.approve(&place, "oa-1-office").await?;
        stage
            .until("both leases", |stage| {
                stands(stage, other, "oa", "3") && stands(stage, full, "oa", "5")
            })
            .await?;
        sums(stage).await
    });
}

#[test]
fn a_department_that_moves_away_makes_room_for_those_that_stay_within_seconds() {
    tell(async |stage| {
        furnish(stage).await?;
        // 8 × 46.00
        change(stage, "daye", &json!({"limits": {"monthly": "368.00"}})).await?;
        ask(stage, "street", "oa", "5")?;
        stage.approve("dept-street", "oa-1-office").await?;
        stage
            .until("5 cores", |stage| stands(stage, "street", "oa", "5"))
            .await?;
        ask(stage, "daye", "oa", "5")?;
        let refused = |stage: &Stage<'_>| {
            said(&tenancy(stage, "daye", "oa"), "Refused").starts_with("rule T50:")
        };
        stage.until("a full limit", refused).await?;
        change(stage, "street", &json!({"parent": "yangxin"})).await?;
        // long before everything is looked at without a reason
        stage.pass(Duration::from_secs(60)).await;
        let asked = tenancy(stage, "daye", "oa");
        assert_eq!(asked["status"]["request"]["decision"], "Undecided");
        Ok(())
    });
}

/// What the departments say they lease: 8 cores below daye and 5 that wait in yangxin.
async fn sums(stage: &Stage<'_>) -> Result<(), String> {
    let shown = |stage: &Stage<'_>, code: &str| {
        let status = &department(stage, code)["status"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&status["leased"]["monthly"]),
            text(&status["subtree"]["monthly"]),
        )
    };
    let expected = [
        ("city", "0.00", "598.00"),
        ("daye", "0.00", "368.00"),
        ("yangxin", "230.00", "230.00"),
    ];
    for (code, own, subtree) in expected {
        let what = format!("{own} and {subtree} of {code}");
        let wanted = (own.to_owned(), subtree.to_owned());
        stage
            .until(&what, |stage| shown(stage, code) == wanted)
            .await?;
    }
    let city = department(stage, "city");
    assert_eq!(city["status"]["subtree"]["departments"], 5);
    assert_eq!(city["status"]["subtree"]["tenancies"], 3);
    let daye = department(stage, "daye");
    assert_eq!(daye["status"]["subtree"]["limit"], "368.00");
    assert_eq!(said(&daye, "OverLimit"), "");

    // a limit that is lowered below what is leased takes nothing away, and is told
    let lowered = json!({"limits": {
        "monthly": "300.00", "items": [{"item": "vcpu-x86", "quantity": "6"}],
    }});
    change(stage, "daye", &lowered).await?;
    let told = |stage: &Stage<'_>| {
        let told = said(&department(stage, "daye"), "OverLimit");
        told.contains("368.00 a month is leased here and below, the limit is 300.00")
            && told.contains("8 of vcpu-x86 is leased here and below, the limit is 6")
    };
    stage.until("too much leased", told).await
}

#[test]
fn a_decrease_goes_through_where_too_much_is_leased_and_the_limit_of_an_item_counts_below() {
    tell(async |stage| {
        furnish(stage).await?;
        ask(stage, "street", "oa", "8")?;
        stage.approve("dept-street", "oa-1-office").await?;
        stage
            .until("8 cores", |stage| stands(stage, "street", "oa", "8"))
            .await?;
        let limits = json!({"items": [{"item": "vcpu-x86", "quantity": "4"}]});
        change(stage, "city", &json!({"limits": limits})).await?;
        stage
            .until("too much leased in the city", |stage| {
                said(&department(stage, "city"), "OverLimit").contains("the limit is 4")
            })
            .await?;
        ask_for(stage, "street", "oa", "9")?;
        let refused = |stage: &Stage<'_>| {
            let told = said(&tenancy(stage, "street", "oa"), "Refused");
            told.starts_with("rule T51: asked 9 of vcpu-x86 for oa of street")
                && told.contains("allowed 4 of vcpu-x86 by spec.limits of department city")
        };
        stage.until("an increase refused", refused).await?;
        ask_for(stage, "street", "oa", "6")?;
        stage
            .until("6 cores, which are still too many", |stage| {
                stands(stage, "street", "oa", "6")
            })
            .await?;
        // the street leaves for a county without a limit, and may lease again what it likes
        change(stage, "yangxin", &json!({"parent": null})).await?;
        change(stage, "street", &json!({"parent": "yangxin"})).await?;
        oversee(stage, "street", &["yangxin"]).await?;
        ask_for(stage, "street", "oa", "9")?;
        stage.approve("dept-street", "oa-3-office").await?;
        stage
            .until("9 cores", |stage| stands(stage, "street", "oa", "9"))
            .await
    });
}

#[test]
fn a_department_that_ends_gives_back_what_it_has_and_has_then_ended() {
    tell(async |stage| {
        furnish(stage).await?;
        ask(stage, "street", "oa", "4")?;
        stage.approve("dept-street", "oa-1-office").await?;
        stage
            .until("4 cores", |stage| stands(stage, "street", "oa", "4"))
            .await?;
        let end = json!({"end": {"reason": "机构改革", "successor": "daye"}});
        change(stage, "street", &end).await?;
        let phase = |code: &str| department(stage, code)["status"]["phase"].clone();
        stage
            .until("the department ending", |_| phase("street") == "Ending")
            .await?;
        ask_for(stage, "street", "oa", "6")?;
        ask(stage, "street", "web", "1")?;
        for name in ["oa", "web"] {
            let what = format!("{name} refused and sent to the successor");
            let refused = |stage: &Stage<'_>| {
                let told = said(&tenancy(stage, "street", name), "Refused");
                told.starts_with("rule T52:") && told.contains("lease it in department daye")
            };
            stage.until(&what, refused).await?;
        }
        ask_for(stage, "street", "oa", "2")?;
        stage
            .until("2 cores", |stage| stands(stage, "street", "oa", "2"))
            .await?;
        let released = json!({"spec": {"release": {"reason": "系统下线"}}});
        let place = office("street");
        stage.patch(&staff("street"), [TENANCIES, &place, "oa"], &released)?;
        stage.approve(&place, "oa-release-office").await?;
        stage
            .until("nothing left of the lease", |stage| {
                tenancy(stage, "street", "oa")["status"]["phase"] == "Released"
            })
            .await?;
        // what was refused is still there, and would lease again if the end were taken back
        assert_eq!(phase("street"), "Ending");
        stage.delete(&staff("street"), [TENANCIES, &place, "web"])?;
        // with the street's object, those above would lose sight of the village, and their limits hold on it
        let below = |stage: &Stage<'_>| {
            let told = said(&department(stage, "street"), "Waiting");
            told.contains("below this department are still village") && !told.contains("release")
        };
        stage.until("only the village left", below).await?;
        assert_eq!(phase("street"), "Ending");
        change(stage, "village", &json!({"parent": "daye"})).await?;
        stage
            .until("the department ended", |_| phase("street") == "Ended")
            .await?;
        // and a department that comes below it makes it go on
        change(stage, "village", &json!({"parent": "street"})).await?;
        stage
            .until("the department ending again", |_| {
                phase("street") == "Ending"
            })
            .await?;
        // against the rule, by somebody who may
        stage.delete(ADMIN, [DEPARTMENTS, "", "street"])?;
        let told = |stage: &Stage<'_>| {
            said(&department(stage, "village"), "Waiting").contains("Department street above")
        };
        stage
            .until("the village told that nobody is above it", told)
            .await?;
        stage.pass(Duration::from_secs(700)).await;
        assert!(stage.find(["namespaces", "", &place]).is_some());
        assert!(stage.find([APPROVALS, &place, "oa-1-office"]).is_some());
        Ok(())
    });
}

#[test]
fn a_new_name_is_on_the_next_question_and_the_old_one_stays_on_the_last() {
    tell(async |stage| {
        furnish(stage).await?;
        change(stage, "street", &json!({"displayName": "东岳路街道"})).await?;
        ask(stage, "street", "oa", "2")?;
        stage.approve("dept-street", "oa-1-office").await?;
        stage
            .until("2 cores", |stage| stands(stage, "street", "oa", "2"))
            .await?;
        change(stage, "street", &json!({"displayName": "东岳路街道办事处"})).await?;
        ask_for(stage, "street", "oa", "3")?;
        stage.approve("dept-street", "oa-2-office").await?;
        let place = office("street");
        let snapshot = |name: &str| {
            let found = stage.find([APPROVALS, &place, name]).unwrap_or_default();
            found["spec"]["snapshot"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(snapshot("oa-1-office").contains("(东岳路街道)"));
        assert!(snapshot("oa-2-office").contains("(东岳路街道办事处)"));
        Ok(())
    });
}
