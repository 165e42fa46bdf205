use leasehold_api::{charging::Evidence, platform::CloudPolicySpec, tenancy::TenancySpec};
use leasehold_ledger::{
    canonical::digest_bytes,
    document::ReleaseStage,
    money::{Money, Unit},
    time::{LocalDate, Second},
};
use serde_json::json;

use super::*;
use crate::hardware::{AcceptedDevice, Assessment, Offer};

fn asked() -> Asked {
    let spec: TenancySpec = serde_json::from_value(json!({
        "system": "oa", "zone": "gov-extranet",
        "term": {"from": "2026-09-01", "through": "2027-08-31"},
        "contract": "HS-ZFCG-2026-031", "budget": {"code": "30227", "ceiling": "60000.00"},
        "effectiveFrom": "2026-09-11",
        "lease": [{"item": "vcpu-x86", "quantity": "48"}], "namespaces": [{"name": "prod"}],
    }))
    .unwrap();
    Asked::of(&spec)
}

fn request(incarnation: u32) -> RequestDoc {
    RequestDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation,
        request: 2,
        snapshot: asked().snapshot().unwrap(),
        digest: asked().digest().unwrap(),
        requested_by: "zhang@gov-office".to_owned(),
        at: Second::parse("2026-09-10T02:11:09Z").unwrap(),
        quotation: Some(serde_json::to_value(quotation()).unwrap()),
        funds: None,
    }
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

fn quotation() -> Quotation {
    Quotation {
        currency: "CNY".to_owned(),
        monthly: money("4729.60"),
        term: money("56755.20"),
        prices_through: Some(LocalDate::parse("2026-12-31").unwrap()),
        credit_monthly: money("-2364.80"),
        books: vec!["huangshi-2026".to_owned()],
        lines: Vec::new(),
    }
}

fn checks() -> [String; 1] {
    ["  vcpu-x86: 8 of 32 in use (25 %)".to_owned()]
}

fn tenancy(incarnation: u32) -> Approval {
    let change = Change {
        item: "vcpu-x86".to_owned(),
        from: 32_000,
        to: 48_000,
        unit: Unit::Core,
        monthly: money("736.00"),
        once: Money::ZERO,
    };
    tenancy_approval(
        &request(incarnation),
        "u-1",
        "市政府办",
        &[change],
        &checks(),
    )
    .unwrap()
}

#[test]
fn a_request_is_put_to_the_office_in_the_applicants_namespace_undecided() {
    let approval = tenancy(1);
    assert_eq!(approval.metadata.name.as_deref(), Some("oa-2-office"));
    assert_eq!(
        approval.metadata.namespace.as_deref(),
        Some("dept-gov-office")
    );
    let spec = &approval.spec;
    assert_eq!(spec.role, DecisionRole::Office);
    assert_eq!(&*spec.title, "oa request 2: vcpu-x86 32 to 48");
    assert_eq!(&*spec.subject.digest, asked().digest().unwrap().as_str());
    assert_eq!(
        spec.amounts.as_ref().map(|amounts| amounts.term.as_str()),
        Some("56755.20")
    );
    assert!(spec.decision.is_none() && spec.decided_by.is_none() && spec.order_no.is_none());
}

#[test]
fn the_snapshot_says_what_changes_what_it_costs_and_until_when_prices_are_known() {
    let snapshot = tenancy(1).spec.snapshot.to_string();
    for line in [
        "Tenancy oa of gov-office (市政府办), request 2",
        "Asked by zhang@gov-office at 2026-09-10T02:11:09Z",
        "Term 2026-09-01 through 2027-08-31",
        "Contract HS-ZFCG-2026-031, budget 30227",
        "Budget ceiling for the term 60000.00",
        "Effective from 2026-09-11",
        "  vcpu-x86 32 to 48, +736.00 CNY a month",
        "Checks:",
        "  vcpu-x86: 8 of 32 in use (25 %)",
        "  vcpu-x86 48",
        "Monthly 4729.60 CNY",
        "Term 56755.20 CNY",
        "Paid by credit in a month -2364.80 CNY",
        "Prices are published through 2026-12-31 only",
    ] {
        assert!(
            snapshot.lines().any(|found| found == line),
            "{line}\nnot in\n{snapshot}"
        );
    }
}

#[test]
fn the_same_question_is_written_with_the_same_bytes() {
    let bytes = || serde_json::to_vec(&tenancy(1)).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn a_second_life_of_a_name_has_approvals_of_its_own() {
    assert_eq!(tenancy(2).metadata.name.as_deref(), Some("oa.i2-2-office"));
}

fn release(at: i64) -> Approval {
    let release = ReleaseDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        stage: ReleaseStage::Requested,
        round: 0,
        requested_by: "zhang@gov-office".to_owned(),
        at: Second::new(at),
        kept: Vec::new(),
        backup: None,
    };
    release_approval(&release, "u-1", "市政府办", "the system moved", 0).unwrap()
}

#[test]
fn whoever_decides_on_a_release_reads_what_the_department_says_of_its_backup_and_decides_on_that() {
    let asked = |backup| {
        let release = ReleaseDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            stage: ReleaseStage::Requested,
            round: 0,
            requested_by: "zhang@gov-office".to_owned(),
            at: Second::new(0),
            kept: Vec::new(),
            backup,
        };
        release_approval(&release, "u-1", "市政府办", "moved", 0).unwrap()
    };
    let said = |uri: &str| {
        asked(Some(leasehold_ledger::document::BackupWord {
            taken: true,
            uri: Some(uri.to_owned()),
            sha256: None,
            at: None,
            because: None,
        }))
    };
    let (silent, here, there) = (asked(None), said("s3://archive/oa"), said("s3://b/oa"));
    let line = "Backup, as the department says: taken, at s3://archive/oa\n";
    assert!(here.spec.snapshot.contains(line), "{}", here.spec.snapshot);
    assert!(!silent.spec.snapshot.contains("Backup"));
    let digest = |asked: &Approval| asked.spec.subject.digest.clone();
    assert_ne!(digest(&silent), digest(&here));
    assert_ne!(
        digest(&there),
        digest(&here),
        "a decision on the one is none on the other"
    );
}

#[test]
fn a_release_that_is_asked_for_after_one_was_taken_back_is_another_question() {
    let name = |incarnation, round, attempt| {
        let release = ReleaseDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation,
            stage: ReleaseStage::Requested,
            round,
            requested_by: "zhang@gov-office".to_owned(),
            at: Second::new(0),
            kept: Vec::new(),
            backup: None,
        };
        let asked = release_approval(&release, "u-1", "市政府办", "moved", attempt).unwrap();
        (asked.metadata.name.unwrap(), asked.spec.subject.digest)
    };
    let (first, second) = (name(1, 0, 0), name(1, 1, 0));
    assert_eq!(second.0, "oa.r2-release-office");
    assert_ne!(first.1, second.1, "a decision on the first is none on it");
    assert_eq!(name(2, 1, 3).0, "oa.i2.r2-release-3-office");
    for (incarnation, round, attempt) in [(1, 0, 0), (1, 1, 4), (2, 0, 0), (2, 11, 3)] {
        let (name, _) = name(incarnation, round, attempt);
        let of = |incarnation| is_about_release(&name, "oa", incarnation);
        assert_eq!(
            [1, 2, 21].map(of),
            [incarnation == 1, incarnation == 2, false],
            "{name}"
        );
        assert!(!is_about_release(&name, "o", incarnation), "{name}");
    }
    assert!(!is_about_release("oa-1-office", "oa", 1), "a request");
}

#[test]
fn a_release_says_why_and_what_is_lost_and_binds_to_the_request_for_it() {
    let approval = release(0);
    assert_eq!(approval.metadata.name.as_deref(), Some("oa-release-office"));
    assert_eq!(approval.spec.subject.kind, SubjectOfDecision::Release);
    assert_eq!(&*approval.spec.subject.requested_by, "zhang@gov-office");
    assert!(
        approval
            .spec
            .snapshot
            .contains("Reason: the system moved\n")
    );
    assert!(approval.spec.snapshot.contains("volumes"));
    assert_ne!(release(1).spec.subject.digest, approval.spec.subject.digest);
}

#[test]
fn a_reason_cannot_pass_for_lines_of_the_snapshot() {
    let lines = vec![
        "Reason: moved\nMonthly 0.00 CNY".to_owned(),
        "Monthly 9.00 CNY".to_owned(),
    ];
    assert_eq!(
        fitted(lines, 1000),
        "Reason: moved Monthly 0.00 CNY\nMonthly 9.00 CNY\n"
    );
}

#[test]
fn a_request_without_a_quotation_has_no_amounts_and_a_broken_one_is_told() {
    let mut old = RequestDoc {
        quotation: None,
        ..request(1)
    };
    let approval = tenancy_approval(&old, "u-1", "市政府办", &[], &[]).unwrap();
    assert!(approval.spec.amounts.is_none());
    assert_eq!(&*approval.spec.title, "oa request 2: other terms");
    old.quotation = Some(json!({"monthly": 3}));
    let error = tenancy_approval(&old, "u-1", "市政府办", &[], &[]).unwrap_err();
    assert!(matches!(error, ApprovalError::Quotation { .. }));
    old.snapshot = json!({});
    let error = tenancy_approval(&old, "u-1", "市政府办", &[], &[]).unwrap_err();
    assert!(matches!(error, ApprovalError::Request(_)));
}

fn offer() -> Offer {
    Offer {
        department: "gov-office".to_owned(),
        name: "servers-2024".to_owned(),
        uid: "u-9".to_owned(),
        spec: serde_json::from_value(json!({
            "system": "oa", "agency": "zhongheng", "devices": [],
        }))
        .unwrap(),
        created: LocalDate::parse("2026-08-01").unwrap(),
        requested_by: "zhang@gov-office".to_owned(),
    }
}

fn assessment() -> Assessment {
    let evidence = |kind: &str| Evidence {
        kind: kind.into(),
        name: "e".into(),
        uid: "u".into(),
        digest: digest_bytes(kind.as_bytes()).as_str().into(),
    };
    Assessment {
        accepted: vec![AcceptedDevice {
            maker: "huawei".to_owned(),
            serial: "2102311XYZ001".to_owned(),
            value: money("27472.22"),
            system_uuid: None,
        }],
        amount: money("27472.22"),
        evidence: Some((evidence("Appraisal"), evidence("HandoverReceipt"))),
        ..Assessment::default()
    }
}

fn policy() -> CloudPolicySpec {
    serde_json::from_value(json!({
        "credit": {"periods": 36, "capPercent": 50}, "offset": {"classes": ["compute", "storage"]},
    }))
    .unwrap()
}

#[test]
fn finance_is_asked_for_the_sum_of_the_devices_on_the_policys_terms() {
    let approval = hardware_approval(&offer(), &assessment(), &policy()).unwrap();
    assert_eq!(
        approval.metadata.name.as_deref(),
        Some("hwc-servers-2024-finance")
    );
    assert_eq!(approval.spec.role, DecisionRole::Finance);
    let grant = approval.spec.grants.clone().unwrap();
    assert_eq!(
        (&*grant.amount, &*grant.currency, grant.devices),
        ("27472.22", "CNY", 1)
    );
    assert_eq!(
        (grant.periods, grant.cap_percent, grant.classes.len()),
        (36, 50, 2)
    );
    assert_eq!(approval.spec.evidence.len(), 2);
    assert!(
        approval
            .spec
            .snapshot
            .contains("  huawei 2102311XYZ001 27472.22\n")
    );
}

#[test]
fn another_appraisal_is_another_question() {
    let digest = |assessment: &Assessment| {
        hardware_approval(&offer(), assessment, &policy())
            .unwrap()
            .spec
            .subject
            .digest
    };
    let mut other = assessment();
    if let Some((appraisal, _)) = &mut other.evidence {
        appraisal.digest = digest_bytes(b"another").as_str().into();
    }
    assert_ne!(digest(&assessment()), digest(&other));
}

#[test]
fn nothing_is_asked_about_a_contribution_that_is_not_ready() {
    let waiting = Assessment {
        waits: vec!["a receipt".to_owned()],
        ..assessment()
    };
    let refused = Assessment {
        refused: true,
        ..assessment()
    };
    for not_ready in [waiting, refused, Assessment::default()] {
        let error = hardware_approval(&offer(), &not_ready, &policy()).unwrap_err();
        assert!(matches!(error, ApprovalError::NotReady { .. }));
    }
}

fn decided(decision: DecisionSpec, by: Option<&str>, reason: Option<&str>) -> ApprovalSpec {
    ApprovalSpec {
        decision: Some(decision),
        decided_by: by.map(Into::into),
        reason: reason.map(Into::into),
        ..tenancy(1).spec
    }
}

#[test]
fn an_answer_counts_when_the_question_is_the_same_and_somebody_else_answered() {
    let asked = tenancy(1).spec;
    let check = |now: &ApprovalSpec| check_decision(&asked, now).map_err(|refusal| refusal.rule);
    assert_eq!(check(&asked), Ok(None));
    let wang = Some("wang@office");
    let (yes, no) = (DecisionSpec::Approved, DecisionSpec::Rejected);
    assert_eq!(
        check(&decided(yes, wang, None)),
        Ok(Some(Decision::Approved))
    );
    assert_eq!(
        check(&decided(no, wang, Some("too much"))),
        Ok(Some(Decision::Rejected))
    );
    assert_eq!(check(&decided(no, wang, Some(" "))), Err("A03"));
    assert_eq!(check(&decided(yes, None, None)), Err("A04"));
    assert_eq!(
        check(&decided(yes, Some("zhang@gov-office"), None)),
        Err("A06")
    );
    let mut forged = decided(yes, wang, None);
    forged.subject.digest = digest_bytes(b"another").as_str().into();
    assert_eq!(check(&forged), Err("A02"));
    let mut reworded = decided(yes, wang, None);
    reworded.snapshot = "less".into();
    assert_eq!(check(&reworded), Err("A02"));
}

#[test]
fn texts_are_cut_at_whole_characters_and_lines() {
    assert_eq!(clipped("市政府办", 4), "市政府办");
    assert_eq!(clipped("市政府办公室", 4), "市政府…");
    let lines: Vec<String> = (0..100).map(|n| format!("line {n:04}")).collect();
    assert_eq!(fitted(lines.clone(), 2000).lines().count(), 100);
    let cut = fitted(lines, 280);
    // 200 characters of room, ten for each line
    assert_eq!(cut.lines().count(), 21);
    assert!(
        cut.ends_with("… and 80 more lines, see the object itself\n"),
        "{cut}"
    );
    assert!(cut.chars().count() <= 280);
}
