//! One device backs one contribution at a time, and for ever once credit of it was used.

use super::*;

const OTHER: &str = "health/servers";

/// The end of the fixture's claim.
fn freed() -> SerialFreedDoc {
    let claim = claimed();
    SerialFreedDoc {
        maker: claim.maker,
        serial: claim.serial,
        number: claim.number,
        contribution: claim.contribution,
        freed_by: "zhang@gov-office".to_owned(),
        at: Second::new(fixture::OCTOBER),
    }
}

/// A claim of the fixture's device by another department.
fn claimed_by_another(number: u32) -> SerialDoc {
    SerialDoc {
        number,
        contribution: OTHER.to_owned(),
        ..claimed()
    }
}

/// The claim of a lot, finance's yes to it, and its grant.
fn credited(claim: &SerialDoc, lot: &LotDoc) -> Writer {
    let mut w = Writer::default();
    credit(&mut w, claim, lot);
    w
}

fn credit(w: &mut Writer, claim: &SerialDoc, lot: &LotDoc) {
    w.document(claim);
    let subject = format!("{}/u", lot.lot.id);
    w.document(&decision(
        "HardwareContribution",
        &subject,
        &lot.approval_uid,
    ));
    w.document(lot);
    w.entry(&Entry::grant(&lot.lot, lot.at).unwrap());
}

fn lot_of_another() -> LotDoc {
    let mut lot = lot_doc();
    lot.lot.id = OTHER.to_owned();
    lot.lot.department = "health".to_owned();
    lot.lot.contribution = "servers".to_owned();
    lot.approval_uid = "approval-3".to_owned();
    lot
}

/// Takes back so much of the fixture's lot, and then frees its device.
fn take_back(w: &mut Writer, amount: &str) {
    let lot = lot_doc().lot;
    let at = Second::new(fixture::OCTOBER);
    w.entry(&Entry::void(&lot, fixture::money(amount), at).unwrap());
    w.document(&freed());
}

#[test]
fn a_device_whose_credit_was_taken_back_unused_backs_another_contribution() {
    let mut w = credited(&claimed(), &lot_doc());
    take_back(&mut w, "219777.76");
    credit(&mut w, &claimed_by_another(2), &lot_of_another());
    assert_eq!(check(w.0, None).finding, None);
}

#[test]
fn a_second_claim_of_a_device_that_backs_a_contribution_is_found_at_its_row() {
    let mut w = credited(&claimed(), &lot_doc());
    w.document(&claimed_by_another(2));
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(
        (finding.seq, finding.what.as_str()),
        (5, "claim of a device")
    );
    assert!(
        finding.found.contains("it backs gov-office/servers-2024"),
        "{finding:?}"
    );
}

#[test]
fn a_device_freed_although_credit_of_it_was_used_is_found_at_its_row() {
    let mut w = Writer(ledger());
    // what the close left of 219777.76
    take_back(&mut w, "217535.63");
    let last = w.0.last().unwrap().chain.seq;
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(finding.seq, last);
    let expected = "the return of all of lot gov-office/servers-2024 before it";
    assert_eq!(finding.expected, expected);
}

#[test]
fn a_device_freed_while_its_credit_stands_is_found_at_its_row() {
    let mut w = credited(&claimed(), &lot_doc());
    w.document(&freed());
    let finding = check(w.0, None).finding.unwrap();
    let what = "end of the claim of gov-office/servers-2024 on inspur/SN20240X7B";
    assert_eq!((finding.seq, finding.what.as_str()), (5, what));
}

#[test]
fn the_end_of_a_claim_that_nobody_made_is_found_at_its_row() {
    let mut w = Writer::default();
    w.document(&claimed_by_another(1));
    w.document(&freed());
    let finding = check(w.0, None).finding.unwrap();
    assert_eq!(
        (finding.seq, finding.what.as_str()),
        (2, "claim of a device")
    );
}

#[test]
fn a_lot_of_a_device_that_does_not_back_its_contribution_is_found_at_its_row() {
    let expected = "a claim of inspur/SN20240X7B before it";
    let unclaimed = {
        let mut w = Writer::default();
        w.document(&accepted());
        w.document(&lot_doc());
        w
    };
    // taken back before the credit, and credited all the same
    let freed_before = {
        let mut w = Writer::default();
        w.document(&claimed());
        w.document(&freed());
        w.document(&accepted());
        w.document(&lot_doc());
        w
    };
    let of_another = credited(&claimed_by_another(1), &lot_doc());
    for (w, seq) in [(unclaimed, 2), (freed_before, 4), (of_another, 3)] {
        let finding = check(w.0, None).finding.unwrap();
        assert_eq!((finding.seq, finding.expected.as_str()), (seq, expected));
    }
}
