use leasehold_api::charging::StatementState;
use leasehold_ledger::{canonical::digest_bytes, statement::State};
use serde_json::json;

use super::*;

fn policy_spec(value: Value) -> CloudPolicySpec {
    serde_json::from_value(value).unwrap()
}

fn line(n: usize, filler: usize) -> Value {
    json!({
        "id": format!("oa/vcpu-x86/{n}"), "tenancy": "oa", "system": "oa",
        "contract": "HS-ZFCG-2026-031", "budget": "30227",
        "provider": "hs-bigdata", "item": "vcpu-x86",
        "displayName": "云".repeat(filler), "category": "compute", "basis": "Reserved",
        "unit": "Core·Month", "unitPrice": "46.00", "rates": [digest_bytes(b"rate")],
        "quantity": "1.0", "estimated": false, "grossExact": "46.00", "gross": "46.00",
        "offset": "0.00", "net": "46.00",
        "segments": [{
            "from": "2026-09-01T00:00:00+08:00", "to": "2026-10-01T00:00:00+08:00",
            "quantity": "1", "request": 1, "estimated": false
        }],
        "moreSegments": 0
    })
}

fn statement(lines: usize, filler: usize) -> Statement {
    let gross = money::Money::from_minor(4600 * i64::try_from(lines).unwrap()).to_string();
    let mut statement: Statement = serde_json::from_value(json!({
        "number": "HS-2026-09-gov-office", "state": "Final",
        "period": {
            "name": "2026-09", "from": "2026-09-01", "through": "2026-09-30",
            "timeZone": "Asia/Shanghai", "rehearsal": false,
            "start": "2026-08-31T16:00:00Z", "end": "2026-09-30T16:00:00Z"
        },
        "department": {"name": "gov-office", "displayName": "市政府办"},
        "payee": "hs-bigdata", "currency": "CNY",
        "lines": (1..=lines).map(|n| line(n, filler)).collect::<Vec<_>>(),
        "credits": [],
        "totals": {"gross": gross, "offset": "0.00", "adjustments": "0.00", "net": gross},
        "policy": digest_bytes(b"policy"),
        "chain": {"head": digest_bytes(b"head"), "entry": 118}
    }))
    .unwrap();
    statement.digest = Some(statement.digest().unwrap());
    statement
}

#[test]
fn the_policy_of_the_ledger_has_the_values_of_the_object() {
    let policy = ledger_policy(&policy_spec(json!({
        "period": {"kind": "Rehearsal", "rehearsalSeconds": 90},
        "statementPrefix": "HS",
        "offset": {"capPercent": 50, "classes": ["storage", "compute", "storage"]},
        "credit": {"periods": 24},
        "closing": {"autoAfterDays": 5, "archiveAfterDays": 365},
        "decreaseEffective": "AtOnce",
    })))
    .unwrap();
    assert_eq!(policy.name, "default");
    assert_eq!(policy.time_zone.name(), "Asia/Shanghai");
    assert_eq!(policy.period, PeriodKind::Rehearsal { seconds: 90 });
    assert_eq!(policy.offset_cap_percent, 50);
    assert_eq!(
        policy.offset_classes,
        [book::Category::Compute, book::Category::Storage]
    );
    assert_eq!(policy.credit_periods, 24);
    assert_eq!(policy.auto_close_after_days, Some(5));
    assert_eq!(policy.archive_after_days, Some(365));
    assert_eq!(policy.late_allowance_seconds, 5);
    assert_eq!(policy.decrease_effective, policy::DecreaseEffective::AtOnce);
}

#[test]
fn the_order_in_which_classes_were_typed_does_not_change_the_policys_digest() {
    let digest = |classes: Value| {
        ledger_policy(&policy_spec(json!({"offset": {"classes": classes}})))
            .unwrap()
            .digest()
            .unwrap()
    };
    assert_eq!(
        digest(json!(["compute", "storage"])),
        digest(json!(["storage", "compute"]))
    );
    assert_ne!(
        digest(json!(["compute", "storage"])),
        digest(json!(["compute"]))
    );
}

#[test]
fn a_policy_that_the_ledger_cannot_live_by_is_refused() {
    let refused = |value: Value| ledger_policy(&policy_spec(value)).unwrap_err();
    assert!(matches!(
        refused(json!({"timeZone": "Asia/Peking"})),
        ConvertError::Time { .. }
    ));
    let without_length = json!({"period": {"kind": "Rehearsal"}});
    assert!(matches!(
        refused(without_length),
        ConvertError::RehearsalLength
    ));
}

#[test]
fn a_book_of_the_ledger_has_the_items_of_the_object() {
    let spec: PriceBookSpec = serde_json::from_value(json!({
        "provider": "hs-bigdata", "contract": "HS-ZFCG-2026-001",
        "validity": {"from": "2026-01-01", "through": "2026-12-31"},
        "items": [
            {"name": "block-ssd", "displayName": "SSD云硬盘", "category": "storage",
             "storageClass": "ssd", "unit": "GiB", "per": "Month", "price": "0.70"},
            {"name": "vcpu-burst", "displayName": "按量CPU", "category": "compute",
             "resource": "cpu", "unit": "Core", "per": "Hour",
             "basis": "Metered", "price": "0.096"},
        ],
    }))
    .unwrap();
    let book = ledger_book("huangshi-2026", &spec).unwrap();
    assert!(book.validate().is_empty(), "{:?}", book.validate());
    assert_eq!(book.through, LocalDate::parse("2026-12-31").unwrap());
    assert_eq!(book.tax.as_ref().unwrap().percent, "6");
    assert_eq!(book.items[0].storage_class.as_deref(), Some("ssd"));
    assert_eq!(book.items[0].basis, book::Basis::Reserved);
    assert_eq!(
        (book.items[1].per, book.items[1].basis),
        (book::Per::Hour, book::Basis::Metered)
    );
    assert_eq!(book.items[1].price.micro(), 96_000);
}

#[test]
fn a_book_whose_last_day_does_not_exist_is_refused() {
    let spec: PriceBookSpec = serde_json::from_value(json!({
        "provider": "p", "contract": "c",
        "validity": {"from": "2026-01-01", "through": "2026-02-30"}, "items": [],
    }))
    .unwrap();
    let error = ledger_book("b", &spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to read spec.validity.through of price book b"
    );
}

#[test]
fn a_statement_survives_the_way_to_its_object_and_back() {
    let document = statement(3, 4);
    let spec = statement_spec(&document).unwrap();
    assert_eq!((spec.lines.len(), spec.more_lines), (3, 0));
    assert_eq!(spec.state, StatementState::Final);
    assert_eq!(spec.lines[0].provider, "hs-bigdata");
    assert_eq!(statement_document(&spec).unwrap(), document);
}

#[test]
fn the_gaps_of_a_statement_survive_the_way_and_one_that_is_touched_or_taken_out_is_noticed() {
    let mut document = statement(1, 4);
    document.gaps = serde_json::from_value(json!([
        {"source": "pods", "from": "2026-09-11T00:00:00+08:00", "to": "2026-09-11T00:01:00+08:00",
         "reason": "the changes were gone", "accepted": {"treatment": "Accepted",
         "by": "sun@finance", "orderNo": "51号", "approval": "u-1"}},
        {"source": "claims", "from": "2026-09-12T00:00:00+08:00", "to": "2026-09-12T00:01:00+08:00",
         "reason": "the changes were gone"},
    ]))
    .unwrap();
    document.more_gaps = 2;
    document.digest = Some(document.digest().unwrap());
    let spec = statement_spec(&document).unwrap();
    assert_eq!((spec.gaps.len(), spec.more_gaps), (2, 2));
    assert_eq!(statement_document(&spec).unwrap(), document);
    let mut touched = spec.clone();
    touched.gaps[1].accepted = touched.gaps[0].accepted.clone();
    let mut without = spec;
    without.gaps.clear();
    for altered in [touched, without] {
        let read = statement_document(&altered);
        assert!(
            matches!(read, Err(ConvertError::Altered { .. })),
            "{read:?}"
        );
    }
}

#[test]
fn an_object_whose_amounts_were_touched_does_not_pass_for_the_document() {
    let mut spec = statement_spec(&statement(1, 4)).unwrap();
    spec.lines[0].net = "45.00".to_owned();
    assert!(matches!(
        statement_document(&spec),
        Err(ConvertError::Altered { .. })
    ));
}

#[test]
fn a_long_statement_is_cut_to_200_lines_and_says_how_many_are_missing() {
    let spec = statement_spec(&statement(203, 4)).unwrap();
    assert_eq!((spec.lines.len(), spec.more_lines), (200, 3));
    let error = statement_document(&spec).unwrap_err();
    assert!(
        matches!(error, ConvertError::Incomplete { more: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_statement_of_bulky_lines_stays_under_half_a_mebibyte() {
    // one line takes more than 3 bytes × 2000
    let spec = statement_spec(&statement(150, 2000)).unwrap();
    assert!(serde_json::to_vec(&spec).unwrap().len() < 512 * 1024);
    assert!(spec.more_lines > 0);
    assert_eq!(
        spec.lines.len() + usize::try_from(spec.more_lines).unwrap(),
        150
    );
}

#[test]
fn a_draft_keeps_its_state() {
    let mut document = statement(1, 1);
    document.state = State::Draft;
    document.as_of = Some("2026-09-11T00:00:00+08:00".to_owned());
    let spec = statement_spec(&document).unwrap();
    assert_eq!(spec.state, StatementState::Draft);
    assert_eq!(statement_document(&spec).unwrap(), document);
}
