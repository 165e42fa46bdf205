use std::collections::BTreeMap;

use leasehold_ledger::{
    canonical::digest_bytes,
    document::{Decision, DecisionDoc, RequestDoc},
};
use serde_json::{Value, json};

use super::*;

fn doc(stage: ReleaseStage, round: u32) -> ReleaseDoc {
    ReleaseDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 2,
        stage,
        round,
        requested_by: "zhang@edu".to_owned(),
        at: Second::new(100),
        kept: Vec::new(),
        backup: None,
    }
}

/// A life with an approved request, if there is one, and these stages of its release.
fn view(approved: bool, release: Vec<ReleaseDoc>) -> LedgerView {
    let request = RequestDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 2,
        request: 1,
        snapshot: json!({}),
        digest: digest_bytes(b"1"),
        requested_by: "zhang@edu".to_owned(),
        at: Second::new(0),
        quotation: None,
        funds: None,
    };
    let decision = DecisionDoc {
        subject_kind: "Tenancy".to_owned(),
        subject: "edu/oa/2/1".to_owned(),
        role: "office".to_owned(),
        approval_uid: None,
        decision: Decision::Approved,
        decided_by: "chen@office".to_owned(),
        order_no: String::new(),
        reason: String::new(),
        auto: false,
        amount_monthly: None,
        department: None,
        at: Second::new(1),
    };
    let decisions = BTreeMap::from([(1, decision)]);
    LedgerView {
        requests: vec![request],
        decisions: if approved { decisions } else { BTreeMap::new() },
        release,
        ..LedgerView::default()
    }
}

fn release(backup: &Value) -> Release {
    serde_json::from_value(json!({"reason": "系统下线", "backup": backup})).unwrap()
}

fn policy(demand: &str) -> ReleasePolicy {
    serde_json::from_value(json!({ "backupStatement": demand })).unwrap()
}

fn sign_off(release: u32, incarnation: Option<u32>) -> SignOff {
    SignOff {
        release,
        incarnation,
    }
}

#[test]
fn a_release_lacks_its_statement_only_where_the_policy_requires_it_and_something_was_leased() {
    let (silent, said) = (
        release(&Value::Null),
        release(&json!({"taken": false, "because": "无业务数据"})),
    );
    let lacking = |view: &LedgerView, release, demand| {
        lacks(view, release, &policy(demand)).map(|refusal| refusal.rule)
    };
    let leased = view(true, Vec::new());
    assert_eq!(lacking(&leased, Some(&silent), "Required"), Some("T48"));
    assert_eq!(lacking(&leased, Some(&silent), "Optional"), None);
    assert_eq!(lacking(&leased, Some(&said), "Required"), None);
    assert_eq!(lacking(&leased, None, "Required"), None);
    let never = view(false, Vec::new());
    assert_eq!(lacking(&never, Some(&silent), "Required"), None);
    let asked = view(true, vec![doc(ReleaseStage::Requested, 0)]);
    assert_eq!(
        lacking(&asked, Some(&silent), "Required"),
        None,
        "what is asked for goes on as it was"
    );
    let again = view(
        true,
        vec![
            doc(ReleaseStage::Requested, 0),
            doc(ReleaseStage::TakenBack, 0),
        ],
    );
    assert_eq!(lacking(&again, Some(&silent), "Required"), Some("T48"));
}

#[test]
fn the_policy_asks_for_no_paper_unless_it_says_so() {
    let policy: ReleasePolicy = serde_json::from_value(json!({})).unwrap();
    assert_eq!(policy, ReleasePolicy::default());
    let demands = (policy.backup_statement, policy.sign_off);
    assert_eq!(demands, (Demand::Optional, Demand::Optional));
}

#[test]
fn whoever_decides_reads_all_of_the_statement() {
    let told = |backup: Value| line(&word(&serde_json::from_value::<Backup>(backup).unwrap()));
    let digest = format!("sha256:{}", "a".repeat(64));
    assert_eq!(
        told(
            json!({"taken": true, "uri": "s3://archive/oa", "sha256": digest,
            "at": "2027-01-14T18:00:00+08:00"})
        ),
        format!(
            "Backup, as the department says: taken, at s3://archive/oa, sha256 {digest}, when 2027-01-14T18:00:00+08:00"
        )
    );
    assert_eq!(
        told(json!({"taken": false, "because": "无业务数据"})),
        "Backup, as the department says: none taken, because 无业务数据"
    );
}

#[test]
fn a_sign_off_counts_for_the_release_and_the_life_that_it_names_and_once() {
    let asked = view(true, vec![doc(ReleaseStage::Requested, 0)]);
    let recorded = |view: &LedgerView, release, life| {
        let said = sign_off(release, life);
        to_record(view, Some(&said), "li@edu", Second::new(500))
    };
    let word = recorded(&asked, 1, Some(2)).unwrap();
    let expected = ReleaseDoc {
        requested_by: "li@edu".to_owned(),
        at: Second::new(500),
        ..doc(ReleaseStage::SignedOff, 0)
    };
    assert_eq!(word, expected);
    assert_eq!(recorded(&asked, 2, Some(2)), None, "another release");
    assert_eq!(recorded(&asked, 1, None), None, "of the first life");
    assert_eq!(to_record(&asked, None, "li@edu", Second::new(500)), None);
    let nobody = view(true, Vec::new());
    assert_eq!(recorded(&nobody, 1, Some(2)), None, "nothing is asked for");

    let signed = view(true, vec![doc(ReleaseStage::Requested, 0), word]);
    assert!(signed_off(&signed).is_some());
    assert_eq!(recorded(&signed, 1, Some(2)), None, "the first word stays");
    let mut second = signed;
    second.release.push(doc(ReleaseStage::TakenBack, 0));
    second.release.push(doc(ReleaseStage::Requested, 1));
    assert_eq!(signed_off(&second), None, "it was of the one taken back");
    assert_eq!(recorded(&second, 1, Some(2)), None);
    assert_eq!(recorded(&second, 2, Some(2)).map(|doc| doc.round), Some(1));
}

#[test]
fn a_sign_off_of_what_is_not_asked_for_is_pointed_out_and_an_old_one_may_stay() {
    let second = view(
        true,
        vec![
            doc(ReleaseStage::Requested, 0),
            doc(ReleaseStage::TakenBack, 0),
            doc(ReleaseStage::Requested, 1),
        ],
    );
    let rule = |release, life| {
        misaddressed(&second, Some(&sign_off(release, life))).map(|refusal| refusal.rule)
    };
    assert_eq!(rule(3, Some(2)), Some("T49"), "a later release");
    assert_eq!(rule(2, Some(3)), Some("T49"), "a later life");
    assert_eq!(rule(2, Some(2)), None, "the one that is asked for");
    assert_eq!(rule(1, Some(2)), None, "one that was taken back");
    assert_eq!(rule(7, Some(1)), None, "of an earlier life");
    assert_eq!(rule(7, None), Some("T49"), "which life?");
    assert_eq!(rule(2, None), Some("T49"), "which life?");
    assert_eq!(misaddressed(&second, None), None);
    let told = misaddressed(&second, Some(&sign_off(3, Some(2)))).unwrap();
    assert_eq!(
        told.to_string(),
        "rule T49: asked a sign-off of release 3 of incarnation 2, allowed one of release 2 of incarnation 2, which is \
         asked for; correct spec.signOff"
    );
}

#[test]
fn the_department_is_reminded_once_a_week_and_not_between() {
    let since = Second::new(1_000);
    let day = 86_400;
    let at = |seconds| reminder(since, since.plus(seconds));
    let of = |number, days: i64| Reminder {
        number,
        next: since.plus(days * day),
    };
    assert_eq!(at(0), of(0, 7));
    assert_eq!(at(7 * day - 1), of(0, 7));
    assert_eq!(at(7 * day), of(1, 14));
    assert_eq!(at(20 * day), of(2, 21));
    assert_eq!(at(-5), of(0, 7), "a clock that was set back");
}

#[test]
fn the_department_is_told_what_to_type_and_the_words_change_with_each_reminder() {
    let told = |number| {
        let reminder = Reminder {
            number,
            next: Second::new(0),
        };
        let asked = doc(ReleaseStage::Requested, 1);
        sentence(&asked, "dept-edu", "2027-01-20T10:00:00+08:00", &reminder)
    };
    let first = told(0);
    let command = r#"kubectl patch tcy oa -n dept-edu --type=merge -p '{"spec":{"signOff":{"release":2,"incarnation":2}}}'"#;
    assert!(first.ends_with(command), "{first}");
    assert!(!first.contains("reminder"), "{first}");
    let second = told(2);
    assert!(second.contains("signs it off (reminder 2): "), "{second}");
}
