//! A document of every kind that a ledger knows.

use std::collections::BTreeMap;

use leasehold_ledger::book::Category;
use leasehold_ledger::canonical::{digest_bytes, digest_of};
use leasehold_ledger::document::{
    AcceptanceDoc, BookDoc, ClusterDoc, Decision, DecisionDoc, DeliveredDoc, DepartmentDoc,
    DepartmentLifeDoc, Document, EffectiveDoc, GapAcceptedDoc, GapDoc, GapTreatment,
    IncarnationDoc, LifeStage, LotDevice, LotDoc, NamespaceDoc, NamespaceGoneDoc, PolicyDoc,
    QuestionDoc, ReleaseDoc, ReleaseStage, RequestDoc, SerialDoc, SerialFreedDoc, SnapshotGoneDoc,
    SnapshotRetainedDoc, SuspensionDoc, SuspensionStage, VolumeEnd, VolumeGoneDoc,
    VolumeRetainedDoc,
};
use leasehold_ledger::journal::Entry;
use leasehold_ledger::lot::Lot;
use leasehold_ledger::time::{LocalDate, Second, Span};
use leasehold_store::Record;
use serde_json::json;

use crate::ledger::{SEPTEMBER, book, money, open, policy};

/// Kinds of documents in the ledger, the close, its statements and the archive among them.
pub const KINDS: i64 = 29;
/// The uid of the cluster.
pub const CLUSTER: &str = "5b0c6a2e-0000-4000-8000-000000000001";
/// 2029-09-01 00:00 in Shanghai.
const THREE_YEARS_ON: Second = Second::new(1_882_886_400);
/// Longer than a page of SQLite, so that a document goes over several.
const LONG: usize = 9000;

fn record<D: Document>(document: &D) -> Record {
    Record::document(document).unwrap()
}

/// Rules, prices, departments, credit, and the tenancy up to its leases.
pub fn foundation() -> Vec<Record> {
    let policy = PolicyDoc {
        policy: policy(),
        seen_at: SEPTEMBER,
    };
    let book = BookDoc {
        book: book(),
        published_by: "wang".to_owned(),
        approval: "approval-1".to_owned(),
        at: SEPTEMBER,
    };
    let cluster = ClusterDoc {
        uid: CLUSTER.to_owned(),
        etcd: 1,
        first_seen: SEPTEMBER,
        replaces: None,
    };
    let mut records = vec![record(&cluster), record(&policy), record(&book)];
    for (code, name, parent) in [
        ("city", "市政府", None),
        ("gov-office", "市政府办", Some("city")),
    ] {
        records.push(record(&DepartmentDoc {
            code: code.to_owned(),
            display_name: name.to_owned(),
            budget_unit: Some("101001".to_owned()),
            parent: parent.map(str::to_owned),
            at: SEPTEMBER,
        }));
        records.push(record(&DepartmentLifeDoc {
            code: code.to_owned(),
            uid: format!("{code}-uid"),
            stage: LifeStage::Begun,
            since: SEPTEMBER,
            at: SEPTEMBER,
        }));
    }
    records.extend(credit());
    records.push(record(&open()));
    records.extend(tenancy());
    records
}

/// Two devices: one backs a credit, the claim of the other has ended.
fn credit() -> Vec<Record> {
    let amount = money("219777.76");
    let claim = |serial: &str, contribution: &str| SerialDoc {
        maker: "inspur".to_owned(),
        serial: serial.to_owned(),
        number: 1,
        contribution: contribution.to_owned(),
        uid: "contribution-uid".to_owned(),
        system_uuid: None,
        at: SEPTEMBER,
    };
    let freed = SerialFreedDoc {
        maker: "inspur".to_owned(),
        serial: "SN20240X7C".to_owned(),
        number: 1,
        contribution: "gov-office/withdrawn".to_owned(),
        freed_by: "zhang@gov-office".to_owned(),
        at: SEPTEMBER,
    };
    let lot = LotDoc {
        appraisal_digest: digest_bytes(b"appraisal"),
        receipt_digest: digest_bytes(b"receipt"),
        approval_uid: "approval-2".to_owned(),
        devices: vec![LotDevice {
            maker: "inspur".to_owned(),
            serial: "SN20240X7B".to_owned(),
            value: amount,
        }],
        lot: Lot {
            id: "gov-office/servers-2024".to_owned(),
            department: "gov-office".to_owned(),
            contribution: "servers-2024".to_owned(),
            amount,
            classes: vec![Category::Compute, Category::Storage],
            cap_percent: 50,
            priority: 10,
            sequence: 1,
            span: Span {
                from: SEPTEMBER,
                to: THREE_YEARS_ON,
            },
            through: "2029-08-31".to_owned(),
        },
        at: SEPTEMBER,
    };
    let accepted = decision(
        "HardwareContribution",
        "gov-office/servers-2024/u",
        "approval-2",
    );
    vec![
        record(&claim("SN20240X7B", "gov-office/servers-2024")),
        record(&claim("SN20240X7C", "gov-office/withdrawn")),
        record(&freed),
        record(&accepted),
        record(&lot),
        Record::from(Entry::grant(&lot.lot, SEPTEMBER).unwrap()),
    ]
}

fn decision(kind: &str, subject: &str, approval: &str) -> DecisionDoc {
    DecisionDoc {
        subject_kind: kind.to_owned(),
        subject: subject.to_owned(),
        role: "office".to_owned(),
        approval_uid: Some(approval.to_owned()),
        decision: Decision::Approved,
        decided_by: "wang".to_owned(),
        order_no: "黄政办〔2026〕12号".to_owned(),
        reason: String::new(),
        auto: false,
        amount_monthly: Some(money("4484.27")),
        department: Some("gov-office".to_owned()),
        at: SEPTEMBER,
    }
}

/// The tenancy: asked for, approved, delivered, accepted, effective.
fn tenancy() -> Vec<Record> {
    let (department, tenancy) = ("gov-office".to_owned(), "oa".to_owned());
    let snapshot = json!({
        "lease": [
            {"item": "vcpu-x86", "quantity": "32"},
            {"item": "memory", "quantity": "64Gi"},
            {"item": "block-ssd", "quantity": "2Ti"},
        ],
        "remarks": "办".repeat(LONG),
    });
    let life = IncarnationDoc {
        department: department.clone(),
        tenancy: tenancy.clone(),
        incarnation: 1,
        uid: "tenancy-uid".to_owned(),
        at: SEPTEMBER,
    };
    let request = RequestDoc {
        department: department.clone(),
        tenancy: tenancy.clone(),
        incarnation: 1,
        request: 1,
        digest: digest_of(&snapshot).unwrap(),
        snapshot,
        requested_by: "zhang@gov-office".to_owned(),
        at: SEPTEMBER,
        quotation: None,
        funds: None,
    };
    let question = QuestionDoc {
        namespace: "dept-gov-office".to_owned(),
        name: "oa-1-office".to_owned(),
        number: 1,
        asks: digest_bytes(b"32 cores"),
        at: SEPTEMBER,
    };
    let delivered = DeliveredDoc {
        department: department.clone(),
        tenancy: tenancy.clone(),
        incarnation: 1,
        request: 1,
        at: SEPTEMBER,
        until: SEPTEMBER.plus(604_800),
    };
    let accepted = AcceptanceDoc {
        department: department.clone(),
        tenancy: tenancy.clone(),
        incarnation: 1,
        request: 1,
        accepted: true,
        by: "zhang@gov-office".to_owned(),
        reason: String::new(),
        at: SEPTEMBER,
    };
    let effective = EffectiveDoc {
        department,
        tenancy,
        incarnation: 1,
        request: 1,
        not_before: SEPTEMBER,
        at: SEPTEMBER,
    };
    vec![
        record(&life),
        record(&request),
        record(&question),
        record(&decision("Tenancy", "gov-office/oa/1/1", "approval-3")),
        record(&delivered),
        record(&accepted),
        record(&effective),
    ]
}

/// What else happens to a tenancy and to what is observed of it.
pub fn lives() -> Vec<Record> {
    let mut records = places();
    records.extend(orders());
    records.extend(kept());
    records
}

fn places() -> Vec<Record> {
    let namespace = |name: &str| NamespaceDoc {
        cluster: CLUSTER.to_owned(),
        uid: format!("{name}-uid"),
        name: format!("gov-office--{name}"),
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        at: SEPTEMBER,
    };
    let gone = NamespaceGoneDoc {
        cluster: CLUSTER.to_owned(),
        uid: "test-uid".to_owned(),
        at: SEPTEMBER.plus(9000),
    };
    vec![
        record(&namespace("prod")),
        record(&namespace("test")),
        record(&gone),
    ]
}

fn orders() -> Vec<Record> {
    let gap = GapDoc {
        source: "pods".to_owned(),
        from: SEPTEMBER.plus(100),
        to: SEPTEMBER.plus(700),
        reason: "410".to_owned(),
        upper: BTreeMap::from([("pod/cpu".to_owned(), 600_000)]),
        at: SEPTEMBER.plus(700),
    };
    let decided = DecisionDoc {
        role: "finance".to_owned(),
        decided_by: "sun".to_owned(),
        order_no: String::new(),
        amount_monthly: None,
        department: None,
        ..decision("Gap", "default/2026-09", "approval-4")
    };
    let accepted = GapAcceptedDoc {
        gap: gap.key(),
        source: gap.source.clone(),
        period: "2026-09".to_owned(),
        treatment: GapTreatment::Estimated,
        decided_by: "sun".to_owned(),
        order_no: String::new(),
        approval_uid: "approval-4".to_owned(),
        at: SEPTEMBER.plus(9000),
    };
    let suspension = SuspensionDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        name: "oa".to_owned(),
        uid: "suspension-uid".to_owned(),
        stage: SuspensionStage::Begun,
        reason: "安全整改".to_owned(),
        authority: "市政府办".to_owned(),
        until: None,
        by: "chen@office".to_owned(),
        at: SEPTEMBER.plus(9000),
    };
    let release = ReleaseDoc {
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        stage: ReleaseStage::Requested,
        round: 0,
        requested_by: "zhang@gov-office".to_owned(),
        kept: Vec::new(),
        backup: None,
        at: SEPTEMBER.plus(9000),
    };
    vec![
        record(&gap),
        record(&decided),
        record(&accepted),
        record(&suspension),
        record(&release),
    ]
}

fn kept() -> Vec<Record> {
    let until = LocalDate::parse("2027-02-14").unwrap();
    let volume = VolumeRetainedDoc {
        cluster: CLUSTER.to_owned(),
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        namespace: "gov-office--prod".to_owned(),
        claim: "files".to_owned(),
        claim_uid: "claim-uid".to_owned(),
        volume: "pv-1".to_owned(),
        uid: "volume-uid".to_owned(),
        class: "ssd".to_owned(),
        bytes: 10 << 30,
        policy: "Delete".to_owned(),
        until,
        at: SEPTEMBER,
    };
    let volume_gone = VolumeGoneDoc {
        cluster: volume.cluster.clone(),
        department: volume.department.clone(),
        tenancy: volume.tenancy.clone(),
        volume: volume.volume.clone(),
        uid: volume.uid.clone(),
        claim_uid: volume.claim_uid.clone(),
        end: VolumeEnd::Deleted,
        at: SEPTEMBER.plus(1),
    };
    let snapshot = SnapshotRetainedDoc {
        cluster: CLUSTER.to_owned(),
        department: "gov-office".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        namespace: "gov-office--prod".to_owned(),
        claim: "files".to_owned(),
        claim_uid: "claim-uid".to_owned(),
        volume: "pv-1".to_owned(),
        bytes: 10 << 30,
        content: "snapcontent-1".to_owned(),
        uid: "snapshot-uid".to_owned(),
        driver: "disks.example".to_owned(),
        handle: "snap-1".to_owned(),
        until,
        at: SEPTEMBER,
    };
    let snapshot_gone = SnapshotGoneDoc {
        cluster: snapshot.cluster.clone(),
        department: snapshot.department.clone(),
        tenancy: snapshot.tenancy.clone(),
        content: snapshot.content.clone(),
        uid: snapshot.uid.clone(),
        end: VolumeEnd::HandedOver,
        at: SEPTEMBER.plus(1),
    };
    vec![
        record(&volume),
        record(&volume_gone),
        record(&snapshot),
        record(&snapshot_gone),
    ]
}
