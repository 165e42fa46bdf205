//! The end of a term is told before it comes, and may stop what runs; an extension ends all talk of it.

use serde_json::{Value, json};

use super::{
    Stage,
    oa::{
        DAY, EDU, HOUR, OA, OFFICE_OF_EDU, both, condition, documents, events, history, in_phase,
        leased, manifest, pods, shown,
    },
    tell,
};
use crate::people::{OFFICE, staff};

/// Nobody is told before the end, and so many whole days after it what runs is stopped.
fn suspends_after(days: u16) -> Value {
    json!({"spec": {"expiry": {"noticesDays": [], "suspendAfterDays": days}}})
}

async fn notice(stage: &Stage<'_>, days: u16) -> Result<(), String> {
    let words = format!("ends on 2027-03-26, in at most {days} days;");
    let what = format!("the notice of {days} days");
    stage
        .until(&what, |stage| {
            condition(stage, "Expiring").is_some_and(|told| told.contains(&words))
        })
        .await?;
    in_phase(stage, "Expiring").await
}

#[test]
fn each_notice_is_told_on_its_day_and_once_whatever_befalls_the_operator() {
    tell(async |stage| {
        // 60 days before the 26th of March is the 25th of January, 30 days the 24th of February
        leased(stage, &json!({}), "2027-03-26").await?;
        // from ten in the morning of the 15th to eleven in the evening of the 24th
        stage.pass(DAY * 9 + HOUR * 13).await;
        assert_eq!(condition(stage, "Expiring"), None);
        assert_eq!(shown(stage, "/phase"), "Active");
        stage.pass(HOUR * 2).await;
        notice(stage, 60).await?;

        stage.operator().stop();
        stage.pass(DAY * 10).await;
        notice(stage, 60).await?;
        assert_eq!(history(stage, "the term ends").len(), 1);
        stage.pass(DAY * 20).await;
        notice(stage, 30).await?;
        stage.operator().stop();
        stage.pass(DAY).await;
        // to the 19th of March
        stage.pass(DAY * 22).await;
        notice(stage, 7).await?;
        stage.pass(DAY * 7).await;
        notice(stage, 7).await?;

        let told = history(stage, "the term ends");
        assert_eq!(told.len(), 3, "{told:?}");
        for (told, days) in told.iter().zip([60, 30, 7]) {
            assert!(told.contains(&format!("at most {days} days")), "{told}");
        }
        let actions = events(stage, "Expiring");
        assert_eq!(actions, ["Within60Days", "Within30Days", "Within7Days"]);

        stage.pass(DAY).await;
        in_phase(stage, "Active").await?;
        assert_eq!(condition(stage, "Expiring"), None);
        let over = condition(stage, "Expired").unwrap_or_default();
        assert!(over.contains("2027-03-26"), "{over}");
        assert_eq!(pods(stage), both(["32", "16"]), "nothing stops by itself");
        Ok(())
    });
}

#[test]
fn the_policy_stops_what_runs_after_its_days_and_a_renewal_lets_it_go_on() {
    tell(async |stage| {
        leased(stage, &suspends_after(3), "2027-01-20").await?;
        // the 21st, 22nd and 23rd are granted
        stage.pass(DAY * 8).await;
        assert!(condition(stage, "Expired").is_some());
        assert_eq!(shown(stage, "/phase"), "Active");
        stage.pass(HOUR * 15).await;
        in_phase(stage, "Suspended").await?;
        let none = both(["0", "0"]);
        stage.until("no pods", |stage| pods(stage) == none).await?;
        let suspension = shown(stage, "/suspension");
        assert_eq!(suspension["name"], "CloudPolicy default");
        assert_eq!(suspension["authority"], "CloudPolicy default");
        assert_eq!(suspension["reason"], "term ended on 2027-01-20");
        let told = condition(stage, "Suspended").unwrap_or_default();
        assert!(told.contains("spec.term.through"), "{told}");

        let longer = json!({"spec": {"term": {"through": "2028-01-20"}}});
        stage.patch(&staff("edu"), OA, &longer)?;
        stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
        in_phase(stage, "Active").await?;
        let usual = both(["32", "16"]);
        stage
            .until("pods again", |stage| pods(stage) == usual)
            .await?;
        for type_ in ["Expired", "Expiring", "Suspended"] {
            assert_eq!(condition(stage, type_), None);
        }
        assert_eq!(history(stage, "renewed"), ["renewed through 2028-01-20"]);
        let keys = documents(stage, "suspension");
        let expected =
            ["Begun", "Ended"].map(|stage| format!("edu/oa/1/expiry-2027-01-20/{stage}"));
        assert_eq!(keys, expected);
        assert_eq!(documents(stage, "effective").len(), 2);
        Ok(())
    });
}

#[test]
fn the_policy_stops_neither_an_essential_system_nor_what_is_given_back() {
    tell(async |stage| {
        leased(stage, &suspends_after(0), "2027-01-20").await?;
        let essential = json!({"spec": {"essentialSystems": ["oa"]}});
        stage.patch(OFFICE, EDU, &essential)?;
        stage.pass(DAY * 6).await;
        assert!(condition(stage, "Expired").is_some());
        assert_eq!(shown(stage, "/phase"), "Active");
        assert!(documents(stage, "suspension").is_empty());

        stage.patch(OFFICE, EDU, &json!({"spec": {"essentialSystems": []}}))?;
        in_phase(stage, "Suspended").await?;
        let release = json!({"spec": {"release": {"reason": "系统下线"}}});
        stage.patch(&staff("edu"), OA, &release)?;
        stage
            .until("the end of the suspension", |stage| {
                condition(stage, "Suspended").is_none()
            })
            .await?;
        assert_eq!(documents(stage, "suspension").len(), 2);
        Ok(())
    });
}

/// Nothing was stopped, and nobody says that the term is over.
fn goes_on(stage: &Stage<'_>) {
    assert!(documents(stage, "suspension").is_empty());
    assert_eq!(shown(stage, "/suspension"), Value::Null);
    for type_ in ["Expired", "Expiring", "Suspended"] {
        assert_eq!(condition(stage, type_), None, "{type_}");
    }
    assert_eq!(pods(stage), both(["32", "16"]));
}

#[test]
fn a_renewal_that_is_approved_for_a_later_day_is_no_reason_to_stop_anything_until_then() {
    tell(async |stage| {
        leased(stage, &suspends_after(0), "2027-01-20").await?;
        let longer = json!({"spec": {
            "term": {"through": "2027-12-20"}, "effectiveFrom": "2027-01-25",
        }});
        stage.patch(&staff("edu"), OA, &longer)?;
        stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
        // to the 23rd: the old term is over, and the new one does not stand yet
        stage.pass(DAY * 8).await;
        goes_on(stage);
        assert_eq!(documents(stage, "effective").len(), 1);
        // to the 26th
        stage.pass(DAY * 3).await;
        stage
            .until("the new term", |stage| {
                documents(stage, "effective").len() == 2
            })
            .await?;
        goes_on(stage);
        assert_eq!(history(stage, "renewed"), ["renewed through 2027-12-20"]);
        Ok(())
    });
}

#[test]
fn a_renewal_with_less_than_before_counts_from_the_next_month_and_stops_nothing_until_then() {
    tell(async |stage| {
        let mut policy = suspends_after(0);
        policy["spec"]["decreaseEffective"] = json!("NextPeriod");
        leased(stage, &policy, "2027-01-20").await?;
        let mut smaller = manifest("2027-12-20")["spec"].clone();
        smaller["lease"][1]["quantity"] = json!("10Gi");
        smaller["namespaces"][0]["share"]["memory"] = json!("6Gi");
        let patch = json!({"spec": {
            "term": smaller["term"], "lease": smaller["lease"], "namespaces": smaller["namespaces"],
        }});
        stage.patch(&staff("edu"), OA, &patch)?;
        stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
        stage.pass(DAY * 8).await;
        goes_on(stage);
        assert_eq!(documents(stage, "effective").len(), 1);
        // to the 2nd of February
        stage.pass(DAY * 10).await;
        stage
            .until("the smaller lease", |stage| {
                documents(stage, "effective").len() == 2
            })
            .await?;
        goes_on(stage);
        Ok(())
    });
}

#[test]
fn a_renewal_that_a_wrong_split_keeps_from_standing_stops_nothing() {
    tell(async |stage| {
        leased(stage, &suspends_after(0), "2027-01-20").await?;
        let longer = json!({"spec": {"term": {"through": "2027-12-20"}}});
        stage.patch(&staff("edu"), OA, &longer)?;
        stage
            .until("the request", |stage| {
                documents(stage, "request").len() == 2
            })
            .await?;
        let good = manifest("2027-12-20")["spec"]["namespaces"].clone();
        let mut wrong = good.clone();
        wrong[0]["share"]["vcpu-x86"] = json!("400");
        stage.patch(&staff("edu"), OA, &json!({"spec": {"namespaces": wrong}}))?;
        stage.approve(OFFICE_OF_EDU, "oa-2-office").await?;
        stage.pass(DAY * 8).await;
        goes_on(stage);
        assert_eq!(documents(stage, "effective").len(), 1);
        stage.patch(&staff("edu"), OA, &json!({"spec": {"namespaces": good}}))?;
        stage
            .until("the new term", |stage| {
                documents(stage, "effective").len() == 2
            })
            .await?;
        in_phase(stage, "Active").await
    });
}
