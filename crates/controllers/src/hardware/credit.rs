//! The credit of a contribution in the ledger: granted once, read for the status, taken back while nothing was used.

use leasehold_api::{charging::Approval, tenancy::CreditStatus};
use leasehold_ledger::{
    canonical::Digest,
    claims::Claims,
    close::{CloseError, lot_states},
    document::{DecisionDoc, LotDevice, LotDoc},
    journal::{Entry, EntryKind, credit_account},
    lot::Lot,
    money::Money,
    policy::Policy,
    time::{Period, Second, Span, TimeError},
};
use leasehold_planner::convert::ledger_categories;
use leasehold_store::{Batch, Record, StoreError};

use super::claim;
use crate::{Context, Error};

/// How often a posting is tried again when the ledger grew meanwhile.
const ATTEMPTS: usize = 8;

/// A granted credit as the ledger has it.
pub struct Credit {
    /// The lot with its evidence.
    pub document: LotDoc,
    /// What became of it.
    pub account: Account,
    /// The entries that took all of it back: one, or none.
    returns: Vec<Entry>,
    /// The ledger's last row before this was read.
    head: u64,
}

/// What became of a lot, by the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Used by closed statements.
    pub applied: Money,
    /// Left.
    pub remaining: Money,
    /// Whether it was taken back.
    pub voided: bool,
}

/// What a grant is made of.
pub struct Grant<'a> {
    /// Code of the department.
    pub department: &'a str,
    /// Name of the contribution.
    pub contribution: &'a str,
    /// Finance's approval, with the terms that finance saw.
    pub approval: &'a Approval,
    /// The decision to be recorded with it.
    pub decision: &'a DecisionDoc,
    /// Sum of the accepted values.
    pub amount: Money,
    /// The accepted devices.
    pub devices: Vec<LotDevice>,
    /// Digest of the appraisal.
    pub appraisal: Digest,
    /// Digest of the receipt.
    pub receipt: Digest,
}

/// The id of a contribution's lot.
pub fn lot_id(department: &str, contribution: &str) -> String {
    format!("{department}/{contribution}")
}

/// The contribution's credit, if it was granted.
pub async fn read(id: &str, context: &Context) -> Result<Option<Credit>, Error> {
    let store = context.books.store();
    let (head, _) = store.head().await?;
    let Some(document) = store.document::<LotDoc>(id).await? else {
        return Ok(None);
    };
    let entries: Vec<Entry> = store
        .entries(None)
        .await?
        .into_iter()
        .map(|recorded| recorded.value)
        .collect();
    let document = document.value;
    let account = account(&document.lot, &entries)
        .map_err(|error| Error::understand(format!("the journal of credit {id}"), error))?;
    let returns = entries
        .into_iter()
        .filter(|entry| entry.takes_back_all(&document.lot))
        .collect();
    Ok(Some(Credit {
        document,
        account,
        returns,
        head,
    }))
}

fn account(lot: &Lot, entries: &[Entry]) -> Result<Account, CloseError> {
    let states = lot_states(std::slice::from_ref(lot), entries)?;
    let remaining = states.first().map_or(Money::ZERO, |state| state.remaining);
    let name = credit_account(&lot.id);
    let used = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Close)
        .flat_map(|entry| &entry.postings)
        .filter(|posting| posting.account == name)
        .map(|posting| posting.amount);
    let voided = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Void)
        .flat_map(|entry| &entry.postings)
        .any(|posting| posting.account == name);
    Ok(Account {
        applied: Money::sum(used)?,
        remaining,
        voided,
    })
}

/// The credit as the status shows it.
pub fn shown(credit: &Credit, policy: &Policy) -> CreditStatus {
    let lot = &credit.document.lot;
    let zone = &policy.time_zone;
    let from = match Period::containing(policy.period, zone, lot.span.from) {
        Ok(first) if !first.rehearsal() => first.first_day().to_string(),
        Ok(_) | Err(_) => lot.span.from.in_zone(zone),
    };
    CreditStatus {
        granted: lot.amount.to_string(),
        applied: credit.account.applied.to_string(),
        remaining: credit.account.remaining.to_string(),
        from,
        through: lot.through.clone(),
    }
}

/// Records decision, lot and grant in one transaction. A lot is granted once, however often this is tried, and only on
/// devices that back its contribution.
pub async fn grant(grant: &Grant<'_>, policy: &Policy, context: &Context) -> Result<Credit, Error> {
    let id = lot_id(grant.department, grant.contribution);
    let unreadable = |error: &dyn std::error::Error| {
        Error::understand(format!("the terms of credit {id}"), error)
    };
    for _ in 0..ATTEMPTS {
        if let Some(known) = read(&id, context).await? {
            return Ok(known);
        }
        let store = context.books.store();
        // the row after which the credit was granted orders it among others, so nothing may come in between
        let (head, _) = store.head().await?;
        let claims = claim::read(store, head).await?;
        if let Some(device) = claims.lacking(&id, &grant.devices) {
            return Err(Error::understand(
                format!("credit {id}"),
                format!(
                    "device {} does not back it any more; the contribution is assessed again",
                    device.serial
                ),
            ));
        }
        let lot = terms(grant, policy, head).map_err(|error| unreadable(&error))?;
        let at = grant.decision.at;
        let entry = Entry::grant(&lot, at).map_err(|error| unreadable(&error))?;
        let document = LotDoc {
            lot,
            appraisal_digest: grant.appraisal.clone(),
            receipt_digest: grant.receipt.clone(),
            approval_uid: grant.approval.metadata.uid.clone().unwrap_or_default(),
            devices: grant.devices.clone(),
            at,
        };
        let records = vec![
            Record::document(grant.decision)?,
            Record::document(&document)?,
            entry.into(),
        ];
        match store.commit(&Batch::of(records).expecting(head), at).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::understand(
        format!("credit {id}"),
        "the ledger grew at every attempt to grant it; it is tried again",
    ))
}

/// The lot as finance approved it: alive from the first period after the decision, for whole periods.
fn terms(grant: &Grant<'_>, policy: &Policy, head: u64) -> Result<Lot, TimeError> {
    let approved = grant.approval.spec.grants.as_ref();
    let periods = approved.map_or(policy.credit_periods, |terms| terms.periods);
    let (span, through) = life(policy, grant.decision.at, periods)?;
    Ok(Lot {
        id: lot_id(grant.department, grant.contribution),
        department: grant.department.to_owned(),
        contribution: grant.contribution.to_owned(),
        amount: grant.amount,
        classes: approved.map_or_else(
            || policy.offset_classes.clone(),
            |terms| ledger_categories(&terms.classes),
        ),
        cap_percent: approved.map_or(100, |terms| terms.cap_percent),
        priority: 0,
        sequence: head,
        span,
        through,
    })
}

/// From the first instant of the period after `decided`, for so many whole periods; and how its end is written: the
/// last local day, in a rehearsal the end itself.
fn life(policy: &Policy, decided: Second, periods: u32) -> Result<(Span, String), TimeError> {
    let zone = &policy.time_zone;
    let first = Period::containing(policy.period, zone, decided)?.next()?;
    let last = first.nth_after(periods.saturating_sub(1))?;
    let span = Span {
        from: first.span.from,
        to: last.span.to,
    };
    let through = if last.rehearsal() {
        span.to.in_zone(zone)
    } else {
        last.last_day().to_string()
    };
    Ok((span, through))
}

/// Takes a credit back for `by`, if nothing of it was used, and frees the devices that it rested on. The credit as it
/// is then.
pub async fn take_back(id: &str, by: &str, context: &Context) -> Result<Option<Credit>, Error> {
    let store = context.books.store();
    for _ in 0..ATTEMPTS {
        let Some(credit) = read(id, context).await? else {
            return Ok(None);
        };
        let claims = claim::read(store, credit.head).await?;
        let now = context.now();
        let records = taking_back(&credit, &claims, by, now)?;
        if records.is_empty() {
            return Ok(Some(credit));
        }
        let batch = Batch::of(records).expecting(credit.head);
        match store.commit(&batch, now).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::understand(
        format!("credit {id}"),
        "the ledger grew at every attempt to take it back; it is tried again",
    ))
}

/// What is recorded when a credit is taken back: the return of all of it, and the ends of the claims behind it. Nothing
/// if that is recorded already, or if some of the credit was used or has expired.
fn taking_back(
    credit: &Credit,
    claims: &Claims,
    by: &str,
    now: Second,
) -> Result<Vec<Record>, Error> {
    let lot = &credit.document.lot;
    let mut records = Vec::new();
    let mut returns = credit.returns.clone();
    if !credit.account.voided && credit.is_untouched() {
        let entry = Entry::void(lot, lot.amount, now).map_err(|error| {
            Error::understand(format!("the return of credit {}", lot.id), error)
        })?;
        returns.push(entry.clone());
        records.push(entry.into());
    }
    for end in claims.ends(&lot.id, Some((lot, returns.as_slice())), by, now) {
        records.push(Record::document(&end)?);
    }
    Ok(records)
}

impl Credit {
    /// Whether all of it is left: nothing was used and nothing expired.
    pub fn is_untouched(&self) -> bool {
        self.account.remaining == self.document.lot.amount
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        book::Category,
        canonical::digest_bytes,
        document::SerialDoc,
        journal::transfer,
        policy::{DecreaseEffective, EstimateBound},
        time::{LocalDate, PeriodKind, Zone},
    };

    use super::*;

    fn policy(period: PeriodKind) -> Policy {
        Policy {
            name: "default".to_owned(),
            time_zone: Zone::parse("Asia/Shanghai").unwrap(),
            currency: "CNY".to_owned(),
            period,
            statement_prefix: "HS".to_owned(),
            offset_cap_percent: 50,
            offset_classes: vec![Category::Compute],
            credit_periods: 36,
            late_allowance_seconds: 5,
            estimate_bound: EstimateBound::Lower,
            auto_close_after_days: None,
            archive_after_days: None,
            decrease_effective: DecreaseEffective::NextPeriod,
        }
    }

    fn midnight(day: &str) -> Second {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        zone.local_midnight(LocalDate::parse(day).unwrap())
    }

    fn lot(amount: i64) -> Lot {
        let (span, through) = life(&policy(PeriodKind::Month), midnight("2026-08-20"), 36).unwrap();
        Lot {
            id: "gov-office/servers-2024".to_owned(),
            department: "gov-office".to_owned(),
            contribution: "servers-2024".to_owned(),
            amount: Money::from_minor(amount),
            classes: vec![Category::Compute],
            cap_percent: 100,
            priority: 0,
            sequence: 7,
            span,
            through,
        }
    }

    fn used(lot: &Lot, amount: i64) -> Entry {
        let postings = transfer(
            credit_account(&lot.id),
            "revenue/compute".to_owned(),
            Money::from_minor(amount),
        )
        .unwrap();
        let at = lot.span.from;
        let id = "close/2026-09/gov-office".to_owned();
        Entry::new(
            id,
            EntryKind::Close,
            at,
            lot.department.clone(),
            None,
            postings,
        )
        .unwrap()
    }

    #[test]
    fn thirty_six_months_begin_with_the_month_after_the_decision() {
        let (span, through) = life(&policy(PeriodKind::Month), midnight("2026-08-20"), 36).unwrap();
        assert_eq!(span.from, midnight("2026-09-01"));
        assert_eq!(span.to, midnight("2029-09-01"));
        assert_eq!(through, "2029-08-31");
    }

    #[test]
    fn a_decision_on_the_first_instant_of_a_month_counts_from_the_next() {
        let (span, _) = life(&policy(PeriodKind::Month), midnight("2026-09-01"), 1).unwrap();
        assert_eq!(
            (span.from, span.to),
            (midnight("2026-10-01"), midnight("2026-11-01"))
        );
    }

    #[test]
    fn in_a_rehearsal_a_credit_lives_for_so_many_short_periods() {
        let kind = PeriodKind::Rehearsal { seconds: 60 };
        let decided = midnight("2026-09-01").plus(61);
        let (span, through) = life(&policy(kind), decided, 3).unwrap();
        assert_eq!(span.from, midnight("2026-09-01").plus(120));
        assert_eq!(span.seconds(), 180);
        assert_eq!(through, "2026-09-01T00:05:00+08:00");
    }

    #[test]
    fn what_is_left_and_what_was_used_add_up_to_what_was_granted() {
        let lot = lot(21_977_776);
        let entries = [
            Entry::grant(&lot, Second::new(0)).unwrap(),
            used(&lot, 224_213),
        ];
        let found = account(&lot, &entries).unwrap();
        assert_eq!(found.applied, Money::from_minor(224_213));
        assert_eq!(found.remaining, Money::from_minor(21_753_563));
        assert!(!found.voided);
    }

    #[test]
    fn a_credit_that_was_taken_back_has_nothing_left_and_nothing_used() {
        let lot = lot(100);
        let at = Second::new(0);
        let entries = [
            Entry::grant(&lot, at).unwrap(),
            Entry::void(&lot, lot.amount, at).unwrap(),
        ];
        let found = account(&lot, &entries).unwrap();
        assert_eq!((found.applied, found.remaining), (Money::ZERO, Money::ZERO));
        assert!(found.voided);
    }

    /// The credit of a lot with this journal.
    fn credit(lot: Lot, entries: &[Entry]) -> Credit {
        let returns = entries.iter().filter(|entry| entry.takes_back_all(&lot));
        Credit {
            account: account(&lot, entries).unwrap(),
            returns: returns.cloned().collect(),
            document: LotDoc {
                lot,
                appraisal_digest: digest_bytes(b"appraisal"),
                receipt_digest: digest_bytes(b"receipt"),
                approval_uid: "approval".to_owned(),
                devices: Vec::new(),
                at: Second::new(0),
            },
            head: 0,
        }
    }

    fn claims() -> Claims {
        let mut claims = Claims::default();
        for serial in ["2102311XYZ001", "2102311XYZ002"] {
            let claim = SerialDoc {
                maker: "huawei".to_owned(),
                serial: serial.to_owned(),
                number: 1,
                contribution: "gov-office/servers-2024".to_owned(),
                uid: "u-1".to_owned(),
                system_uuid: None,
                at: Second::new(0),
            };
            claims.claim(claim).unwrap();
        }
        claims
    }

    /// Kinds and keys of what is recorded when a credit is taken back.
    fn recorded(credit: &Credit, claims: &Claims) -> Vec<String> {
        let records = taking_back(credit, claims, "zhang@gov-office", Second::new(9)).unwrap();
        let name = |record: Record| match record {
            Record::Fact(fact) => fact.key(),
            Record::Document { kind, key, .. } => format!("{kind}/{key}"),
            Record::Entry(entry) => entry.id,
        };
        records.into_iter().map(name).collect()
    }

    #[test]
    fn a_credit_taken_back_unused_frees_its_devices_in_the_same_breath() {
        let lot = lot(100);
        let granted = [Entry::grant(&lot, Second::new(0)).unwrap()];
        let expected = [
            "void/gov-office/servers-2024",
            "serial-freed/huawei/2102311XYZ001",
            "serial-freed/huawei/2102311XYZ002",
        ];
        assert_eq!(recorded(&credit(lot, &granted), &claims()), expected);
    }

    #[test]
    fn a_credit_that_was_taken_back_before_devices_were_freed_frees_them_now_and_once() {
        let lot = lot(100);
        let at = Second::new(0);
        let taken = [
            Entry::grant(&lot, at).unwrap(),
            Entry::void(&lot, lot.amount, at).unwrap(),
        ];
        let credit = credit(lot, &taken);
        let mut claims = claims();
        let expected = [
            "serial-freed/huawei/2102311XYZ001",
            "serial-freed/huawei/2102311XYZ002",
        ];
        assert_eq!(recorded(&credit, &claims), expected);
        for end in claims.ends("gov-office/servers-2024", None, "zhang@gov-office", at) {
            claims.end(&end).unwrap();
        }
        assert!(recorded(&credit, &claims).is_empty());
    }

    #[test]
    fn a_credit_of_which_a_fen_was_used_is_not_taken_back_and_keeps_its_devices() {
        let lot = lot(100);
        let entries = [Entry::grant(&lot, Second::new(0)).unwrap(), used(&lot, 1)];
        assert!(recorded(&credit(lot, &entries), &claims()).is_empty());
    }

    #[test]
    fn a_credit_that_expired_was_not_used() {
        let lot = lot(100);
        let entries = [
            Entry::grant(&lot, Second::new(0)).unwrap(),
            Entry::expire(&lot, Money::from_minor(100), None).unwrap(),
        ];
        let found = account(&lot, &entries).unwrap();
        assert_eq!((found.applied, found.remaining), (Money::ZERO, Money::ZERO));
        assert!(!found.voided);
    }
}
