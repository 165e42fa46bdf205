//! What the policy approves without a person, and where its ceiling ends: counted over everything that
//! it ever approved for the department and that still stands, not for each request alone.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::charging::{Approval, SubjectOfDecision};
use leasehold_api::tenancy::{Department, Phase, Tenancy};
use leasehold_e2e::Office;
use leasehold_ledger::document::{Decision, DecisionDoc};
use leasehold_store::Store;
use leasehold_testkit::{LONG, User};
use serde_json::{Value, json};

use crate::openings::{apply, nobody_was_asked, open, request_of};

/// 1 × 46.00 + 1 × 17.00 = 63.00 a month: two of them fill the ceiling of 126.00 to the fen.
const SMALL: [(&str, &str); 2] = [("vcpu-x86", "1"), ("memory", "1Gi")];

/// The tenancy stands, and no paper was written for it.
async fn stands_without_anybody(office: &Office, name: &str) {
    let tenancy = office.phase(name, Phase::Active).await.unwrap();
    let request = request_of(&tenancy).unwrap();
    assert_eq!(
        (request.number, request.decision.as_str()),
        (1, "Approved"),
        "{name}"
    );
    assert_eq!(request.approval, None, "somebody was asked about {name}");
}

/// The tenancy's first request waits for a person, who reads this price.
async fn waits_for_the_office(office: &Office, name: &str, monthly: &str) {
    let paper = office.asked(name, 1).await.unwrap();
    assert_eq!(&*paper.spec.amounts.unwrap().monthly, monthly);
    let waits = |tenancy: &Tenancy| {
        request_of(tenancy).is_some_and(|request| request.waiting_for == ["office"])
    };
    let what = format!("tenancy {name} that waits for the office");
    let waiting = office.when(name, &what, waits).await.unwrap();
    assert_eq!(waiting.status.unwrap().phase, Phase::Requested);
}

/// What the ledger has of decisions for the department, by `CODE/TENANCY/LIFE/REQUEST`.
async fn decisions(office: &Office) -> BTreeMap<String, DecisionDoc> {
    let path = office.stage.operator.lock().await.ledger().to_owned();
    let store = Store::open_read_only(&path).await.unwrap();
    let all = store.documents::<DecisionDoc>(None, None).await.unwrap();
    store.close().await.unwrap();
    all.into_iter()
        .map(|recorded| recorded.value)
        .filter(|decision| decision.department.as_ref() == Some(&office.code))
        .map(|decision| (decision.subject.clone(), decision))
        .collect()
}

/// Why the policy said yes, and how much of its ceiling that takes.
fn yes_of_the_policy(decision: &DecisionDoc) -> (&str, String) {
    assert_eq!(decision.decision, Decision::Approved);
    assert!(
        decision.auto && decision.approval_uid.is_none(),
        "{decision:?}"
    );
    assert_eq!(decision.decided_by, "CloudPolicy default");
    let amount = decision.amount_monthly.unwrap();
    (decision.reason.as_str(), amount.to_string())
}

/// The policy's reason for a small lease, with so much standing before.
fn fits_on_top_of(standing: &str) -> String {
    format!(
        "63.00 a month on top of {standing} stays within the ceiling of 126.00 for approvals without a person"
    )
}

/// Waits until the Department shows so much as approved without a person.
async fn shown_as_standing(office: &Office, amount: &str) {
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let what = format!("{amount} that stands without a person");
    let seen = office.stage.see(&what, LONG, async || {
        let found = auditor.get::<Department>(None, &office.code).await?;
        let standing = found.status.and_then(|status| status.auto_approved_monthly);
        if standing.as_deref() == Some(amount) {
            Ok(())
        } else {
            Err(format!("{standing:?}"))
        }
    });
    seen.await.unwrap();
}

/// Papers of the department that nobody has decided.
async fn undecided(office: &Office) -> BTreeSet<String> {
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let all = auditor.list::<Approval>(Some(&office.place)).await.unwrap();
    all.into_iter()
        .filter(|approval| approval.spec.decision.is_none())
        .filter_map(|approval| approval.metadata.name)
        .collect()
}

#[tokio::test]
async fn small_leases_need_nobody_until_the_ceiling_is_full_and_a_release_makes_room_again() {
    let office = open("auto", "统计局").await;
    office.system().await.unwrap();
    for name in ["one", "two"] {
        apply(&office, name, &SMALL).await;
        stands_without_anybody(&office, name).await;
    }
    nobody_was_asked(&office).await;
    shown_as_standing(&office, "126.00").await;
    // 126.00 + 63.00 = 189.00 is above the ceiling, although 63.00 alone is not
    apply(&office, "three", &SMALL).await;
    waits_for_the_office(&office, "three", "63.00").await;
    savings_make_no_room(&office).await;
    a_release_makes_room(&office).await;

    let decided = decisions(&office).await;
    let first = fits_on_top_of("0.00");
    let second = fits_on_top_of("63.00");
    let expected = [
        ("auto/one/1/1", first.as_str(), "63.00"),
        ("auto/two/1/1", second.as_str(), "63.00"),
        ("auto/two/1/2", "a decrease needs nobody's approval", "0.00"),
        ("auto/five/1/1", second.as_str(), "63.00"),
    ];
    for (subject, reason, amount) in expected {
        let found = yes_of_the_policy(&decided[subject]);
        assert_eq!(found, (reason, amount.to_owned()), "{subject}");
    }
    // what waits is the office's, whatever room there is by now
    let waiting = ["four-1-office", "three-1-office"].map(str::to_owned);
    assert_eq!(undecided(&office).await, BTreeSet::from(waiting));
}

/// A core less half of it saves 23.00. If that made room, 126.00 − 23.00 + 17.00 = 120.00 would fit.
async fn savings_make_no_room(office: &Office) {
    apply(office, "two", &[("vcpu-x86", "500m"), ("memory", "1Gi")]).await;
    let decided = |tenancy: &Tenancy| {
        request_of(tenancy)
            .is_some_and(|request| request.number == 2 && request.decision == "Approved")
    };
    let what = "a smaller lease that the policy approved";
    office.when("two", what, decided).await.unwrap();
    apply(office, "four", &[("memory", "1Gi")]).await;
    waits_for_the_office(office, "four", "17.00").await;
}

/// Without the first lease 63.00 stands, and another small one fills the ceiling again.
async fn a_release_makes_room(office: &Office) {
    let place = office.place.as_str();
    let words = ["release", "one", "-n", place, "--reason", "done", "--yes"];
    office.staff.leasehold(&words).await.unwrap().ok().unwrap();
    let kind = SubjectOfDecision::Release;
    let paper = office.stage.inbox(kind, "one", 0, Some(place)).await;
    let paper = paper.unwrap();
    office.stage.approve(User::Office, &paper).await.unwrap();
    office.phase("one", Phase::Released).await.unwrap();
    shown_as_standing(office, "63.00").await;
    apply(office, "five", &SMALL).await;
    stands_without_anybody(office, "five").await;
}

#[tokio::test]
async fn leases_that_are_asked_for_at_once_do_not_pass_the_ceiling_together() {
    let office = open("at-once", "税务局").await;
    office.system().await.unwrap();
    let names = ["a", "b", "c", "d", "e"];
    let items = names.map(|name| {
        let manifest = office.manifest(name, &SMALL, &[(name, &SMALL)]);
        manifest.unwrap()
    });
    let list: Value = json!({"apiVersion": "v1", "kind": "List", "items": items});
    office.staff.apply(&list).await.unwrap();
    let mut approved = 0;
    for name in names {
        let answered = |tenancy: &Tenancy| {
            request_of(tenancy).is_some_and(|request| {
                request.decision == "Approved" || request.waiting_for == ["office"]
            })
        };
        let what = format!("tenancy {name} that is approved or waits for a person");
        let tenancy = office.when(name, &what, answered).await.unwrap();
        if request_of(&tenancy).unwrap().decision == "Approved" {
            approved += 1;
        }
    }
    // 2 × 63.00 = 126.00 fills the ceiling, and each of the other three is asked about
    assert_eq!((approved, undecided(&office).await.len()), (2, 3));
    let decided = decisions(&office).await;
    let reasons: BTreeSet<&str> = decided
        .values()
        .map(|decision| yes_of_the_policy(decision).0)
        .collect();
    let (first, second) = (fits_on_top_of("0.00"), fits_on_top_of("63.00"));
    assert_eq!(reasons, BTreeSet::from([first.as_str(), &second]));
}
