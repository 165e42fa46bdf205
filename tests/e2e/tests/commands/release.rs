//! A lease ends by its department's word and the office's; the office may say no first.

use k8s_openapi::api::core::v1::Namespace;
use leasehold_api::charging::{DecisionRole, SubjectOfDecision};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::Office;
use leasehold_testkit::User;
use serde_json::{Value, json};

use crate::openings::{LEASE, fails, open, refusal};

const RELEASE: SubjectOfDecision = SubjectOfDecision::Release;
const REASON: &str = "系统下线";

/// Nobody but the department asks for it, and not without a reason.
async fn only_the_department_asks(office: &Office) {
    let place = office.place.as_str();
    let words = ["release", "oa", "-n", place, "--reason", REASON, "--yes"];
    let people = [
        (User::Office, r#"cannot patch resource "tenancies""#),
        (User::Auditor, r#"cannot patch resource "tenancies""#),
        (
            User::Outsider("ending"),
            r#"cannot get resource "tenancies""#,
        ),
    ];
    for (user, why) in people {
        let session = office.stage.user(user).await.unwrap();
        fails(&session, &words, why).await;
    }
    let reasonless = ["release", "oa", "-n", place, "--yes"];
    fails(&office.staff, &reasonless, "--reason <TEXT>").await;
    let unknown = ["release", "nothing", "-n", place, "--reason", "x", "--yes"];
    let why = "failed to find tenancy nothing in namespace dept-ending";
    fails(&office.staff, &unknown, why).await;
    let tenancy = office.staff.get::<Tenancy>(Some(place), "oa").await;
    assert_eq!(tenancy.unwrap().spec.release, None);
}

/// The department asks, once; nothing is deleted for it.
async fn the_department_asks_once(office: &Office) {
    let place = office.place.as_str();
    let words = ["release", "oa", "-n", place, "--reason", REASON, "--yes"];
    let json = [&words[..], &["-o", "json"]].concat();
    let ran = office.staff.leasehold(&json).await.unwrap().ok().unwrap();
    let told: Value = ran.json().unwrap();
    let expected = json!({"tenancy": "oa", "namespace": place, "reason": REASON});
    assert_eq!(told, expected);
    office.phase("oa", Phase::Reclaiming).await.unwrap();
    assert!(namespace_is_there(office).await);
    let why = format!("that was asked for already, because of \"{REASON}\"");
    fails(&office.staff, &words, &why).await;
}

async fn namespace_is_there(office: &Office) -> bool {
    let admin = office.stage.user(User::Admin).await.unwrap();
    let found = admin.find::<Namespace>(None, "ending--prod").await;
    found.unwrap().is_some()
}

/// The office says no by command; the department reads why and asks again.
async fn the_office_rejects(office: &Office) {
    let place = office.place.as_str();
    let paper = office.stage.inbox(RELEASE, "oa", 0, Some(place)).await;
    let spec = paper.unwrap().spec;
    assert_eq!(spec.role, DecisionRole::Office);
    assert_eq!(&*spec.subject.requested_by, "zhang@ending");
    assert!(spec.snapshot.contains(REASON), "{}", spec.snapshot);
    let chen = office.stage.user(User::Office).await.unwrap();
    let paper = "oa-release-office";
    let words = [
        "reject",
        paper,
        "-n",
        place,
        "--reason",
        "先迁移数据",
        "--yes",
    ];
    chen.leasehold(&words).await.unwrap().ok().unwrap();
    let why = "the release was rejected by chen@office: 先迁移数据";
    let told = |tenancy: &Tenancy| refusal(tenancy).starts_with(why);
    let what = "a release that was rejected";
    let tenancy = office.when("oa", what, told).await.unwrap();
    // what was asked for is not taken back by the no
    assert_eq!(tenancy.status.unwrap().phase, Phase::Reclaiming);
    let again = json!({"spec": {"request": {"attempt": 1}}});
    let more = ["-n", place];
    let ran = office.staff.try_patch("tcy/oa", &more, &again).await;
    ran.unwrap().ok().unwrap();
}

#[tokio::test]
async fn a_release_that_the_office_rejects_is_asked_for_again_and_then_ends_the_tenancy() {
    let office = open("ending", "商务局").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    only_the_department_asks(&office).await;
    the_department_asks_once(&office).await;
    the_office_rejects(&office).await;
    let place = Some(office.place.as_str());
    let second = office.stage.inbox(RELEASE, "oa", 1, place).await.unwrap();
    let name = second.metadata.name.as_deref();
    assert_eq!(name, Some("oa-release-1-office"));
    assert!(namespace_is_there(&office).await);
    office.stage.approve(User::Office, &second).await.unwrap();
    let released = office.phase("oa", Phase::Released).await.unwrap();
    assert_eq!(refusal(&released), "");
    assert!(!namespace_is_there(&office).await);
}

#[tokio::test]
async fn a_release_is_taken_back_after_the_office_rejects_it_and_not_before() {
    let office = open("staying", "水利局").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let place = office.place.as_str();
    let words = ["release", "oa", "-n", place, "--reason", REASON, "--yes"];
    let asked = office.staff.leasehold(&words).await.unwrap();
    asked.ok().unwrap();
    let said = |word: &'static str| {
        move |tenancy: &Tenancy| {
            let status = tenancy.status.as_ref();
            status.and_then(|status| status.release_decision.as_deref()) == Some(word)
        }
    };
    let what = "a release that nobody has answered";
    office.when("oa", what, said("Undecided")).await.unwrap();
    let (back, more) = (json!({"spec": {"release": null}}), ["-n", place]);
    let early = office.staff.try_patch("tcy/oa", &more, &back).await;
    early.unwrap().refused("rule T03:").unwrap();

    let chen = office.stage.user(User::Office).await.unwrap();
    let paper = "oa-release-office";
    let no = ["reject", paper, "-n", place, "--reason", "先迁移", "--yes"];
    chen.leasehold(&no).await.unwrap().ok().unwrap();
    let what = "a release that was rejected";
    office.when("oa", what, said("Rejected")).await.unwrap();
    let taken_back = office.staff.try_patch("tcy/oa", &more, &back).await;
    taken_back.unwrap().ok().unwrap();
    let tenancy = office.phase("oa", Phase::Active).await.unwrap();
    assert_eq!(refusal(&tenancy), "");
    let status = tenancy.status.unwrap();
    assert_eq!(
        (status.release_decision, status.reclaiming_since),
        (None, None)
    );
    // it may change again, as before it was to end
    let members = json!({"spec": {"members": []}});
    let changed = office.staff.try_patch("tcy/oa", &more, &members).await;
    changed.unwrap().ok().unwrap();
}
