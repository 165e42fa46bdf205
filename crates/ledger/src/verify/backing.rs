//! What must stand behind a row before it may be written: decisions behind leases and credit,
//! devices behind credit, the calendar behind periods.
//!
//! Closes are computed again from facts, lots and periods. That proves sums, but not that anybody
//! was allowed to lease, to be credited, to be credited twice for one device or to be billed twice
//! for one day; this does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, chain_of, same};
use crate::book::Book;
use crate::canonical::canonical_json;
use crate::claims::{ClaimError, Claims};
use crate::document::{
    AcceptanceDoc, Decision, DecisionDoc, DeliveredDoc, Document, LotDoc, PeriodOpenDoc,
    RequestDoc, SerialDoc, SerialFreedDoc,
};
use crate::fact::{Fact, FactKind, Meter};
use crate::journal::{Entry, EntryKind, JournalError};
use crate::money::{Money, Unit, format_quantity, parse_quantity};
use crate::time::{Period, Second};

/// What the rows so far allow.
#[derive(Default)]
pub(super) struct Backing {
    /// Leased quantities as they were asked for, by item, by the key of the request.
    requests: BTreeMap<String, BTreeMap<String, String>>,
    /// Keys of the requests that were approved.
    approved: BTreeSet<String>,
    /// Requests of which finance has to confirm that there is money for them, by key, and what was said of each so far.
    funds: BTreeMap<String, (RequestDoc, Vec<DecisionDoc>)>,
    /// From when on requests that had to be accepted may be billed, by their keys; none before they were.
    delivered: BTreeMap<String, Option<Second>>,
    /// Uids of the approvals by which finance accepted hardware.
    accepted: BTreeSet<String>,
    /// Devices and the contributions that they back.
    claims: Claims,
    /// Lots by id.
    lots: BTreeMap<String, LotDoc>,
    /// Ids of the lots of which all was taken back.
    returned: BTreeSet<String>,
    /// Units of items by provider and name, as any book lists them.
    units: BTreeMap<(String, String), BTreeSet<Unit>>,
    /// End and name of every opened period, by its start.
    periods: BTreeMap<Second, (Second, String)>,
}

impl Backing {
    pub(super) fn book(&mut self, book: &Book) {
        for item in &book.items {
            self.units
                .entry((book.provider.clone(), item.name.clone()))
                .or_default()
                .insert(item.unit);
        }
    }

    pub(super) fn request(&mut self, request: &RequestDoc) {
        let leased = quantities(&request.snapshot);
        self.requests.insert(request.key(), leased);
        if request.funds.is_some() {
            let asked = (request.clone(), Vec::new());
            self.funds.insert(request.key(), asked);
        }
    }

    pub(super) fn decision(&mut self, decision: DecisionDoc) {
        if decision.decision != Decision::Approved {
            return;
        }
        match decision.subject_kind.as_str() {
            "Tenancy" => self.approved_by(decision),
            "HardwareContribution" => self.accepted.extend(decision.approval_uid),
            _ => {}
        }
    }

    /// A request is approved once whoever has to has said yes.
    fn approved_by(&mut self, decision: DecisionDoc) {
        let subject = decision.subject.clone();
        if let Some((request, words)) = self.funds.get_mut(&subject) {
            words.push(decision);
            if request.settled(words).is_none() {
                return;
            }
        }
        self.approved.insert(subject);
    }

    pub(super) fn delivered(&mut self, delivered: &DeliveredDoc) {
        self.delivered.insert(delivered.key(), None);
    }

    /// An acceptance needs a delivery, and is given once.
    pub(super) fn acceptance(&mut self, seq: u64, said: &AcceptanceDoc) -> Result<(), Finding> {
        let request = format!(
            "{}/{}/{}/{}",
            said.department, said.tenancy, said.incarnation, said.request
        );
        let what = format!("acceptance of request {request}");
        match self.delivered.get_mut(&request) {
            None => {
                let expected = "its delivery before it";
                Err(Finding::new(seq, what, expected, "none"))
            }
            Some(Some(at)) => {
                let expected = format!("no word after that of {at}");
                Err(Finding::new(seq, what, expected, "one more"))
            }
            Some(since) => {
                *since = said.accepted.then_some(said.at);
                Ok(())
            }
        }
    }

    /// A claim needs a device that backs no contribution.
    pub(super) fn claim(&mut self, seq: u64, claim: SerialDoc) -> Result<(), Finding> {
        let claimed = self.claims.claim(claim);
        claimed.map_err(|error| contradicts(seq, &error))
    }

    /// A claim ends when its contribution was taken back before a credit, or with all of it.
    pub(super) fn freed(&mut self, seq: u64, end: &SerialFreedDoc) -> Result<(), Finding> {
        let id = &end.contribution;
        if self.lots.contains_key(id) && !self.returned.contains(id) {
            let what = format!("end of the claim of {id} on {}/{}", end.maker, end.serial);
            let expected = format!("the return of all of lot {id} before it");
            return Err(Finding::new(seq, what, expected, "none"));
        }
        let ended = self.claims.end(end);
        ended.map_err(|error| contradicts(seq, &error))
    }

    /// A lot needs finance's approval before it, its devices must be worth its amount, and they must
    /// back its contribution.
    pub(super) fn lot(&mut self, seq: u64, lot: LotDoc) -> Result<(), Finding> {
        let id = &lot.lot.id;
        if !self.accepted.contains(&lot.approval_uid) {
            let what = format!("approval of lot {id}");
            let expected = format!("the approval {} of finance before it", lot.approval_uid);
            return Err(Finding::new(seq, what, expected, "none"));
        }
        let what = format!("value of the devices of lot {id}");
        let worth = Money::sum(lot.devices.iter().map(|device| device.value))
            .map_err(|e| Finding::new(seq, &what, lot.lot.amount, chain_of(&e)))?;
        same(seq, what, lot.lot.amount, worth)?;
        if let Some(device) = self.claims.lacking(id, &lot.devices) {
            let what = format!("devices of lot {id}");
            let expected = format!("a claim of {}/{} before it", device.maker, device.serial);
            return Err(Finding::new(seq, what, expected, "none"));
        }
        self.lots.insert(id.clone(), lot);
        Ok(())
    }

    /// A grant or a return of a lot must be the one that the lot's terms give.
    ///
    /// The id of the entry names the lot, and ids are unique, so each happens once. `balance` is
    /// what the journal had left of each lot before the entry, as a balance of its account.
    pub(super) fn credit(
        &mut self,
        seq: u64,
        entry: &Entry,
        balance: &BTreeMap<String, Money>,
    ) -> Result<(), Finding> {
        let what = format!("entry {}", entry.id);
        let named = match entry.kind {
            EntryKind::Grant => entry.id.strip_prefix("grant/"),
            EntryKind::Void => entry.id.strip_prefix("void/"),
            EntryKind::Close | EntryKind::Expire => return Ok(()),
        };
        let Some(document) = named.and_then(|id| self.lots.get(id)) else {
            let expected = "a lot that was recorded before";
            return Err(Finding::new(seq, what, expected, "none"));
        };
        let lot = &document.lot;
        let expected = if entry.kind == EntryKind::Grant {
            Entry::grant(lot, document.at)
        } else {
            let left = balance.get(&lot.id).copied().unwrap_or(Money::ZERO);
            left.checked_neg()
                .map_err(JournalError::from)
                .and_then(|rest| Entry::void(lot, rest, entry.at))
        };
        let unfit = |e: &dyn std::error::Error| {
            let expected = "an entry that follows from its lot";
            Finding::new(seq, &what, expected, chain_of(e))
        };
        let expected = expected.map_err(|e| unfit(&e))?;
        let expected = canonical_json(&expected).map_err(|e| unfit(&e))?;
        let found = canonical_json(entry).map_err(|e| unfit(&e))?;
        same(seq, &what, expected, found)?;
        if entry.takes_back_all(lot) {
            self.returned.insert(lot.id.clone());
        }
        Ok(())
    }

    /// A lease needs an approved request before it, and is as large as was approved.
    pub(super) fn lease(&self, seq: u64, fact: &Fact) -> Result<(), Finding> {
        let Meter::Lease { item } = &fact.meter else {
            return Ok(());
        };
        let subject = &fact.subject;
        let request = format!(
            "{}/{}/{}/{}",
            subject.department, subject.tenancy, subject.incarnation, subject.request
        );
        let what = format!("request behind {}", fact.key());
        let Some(leased) = self.requests.get(&request) else {
            let expected = format!("request {request} before it");
            return Err(Finding::new(seq, what, expected, "none"));
        };
        if !self.approved.contains(&request) {
            let expected = format!("an approval of request {request} before it");
            return Err(Finding::new(seq, what, expected, "none"));
        }
        self.accepted_before(seq, &request, fact)?;
        if matches!(fact.kind, FactKind::Closed | FactKind::Superseded) {
            return Ok(());
        }
        let Some(asked) = leased.get(item) else {
            return Ok(());
        };
        let listed = (subject.provider.clone(), item.clone());
        let Some(units) = self.units.get(&listed) else {
            return Ok(());
        };
        // a book may count an item in another unit than the one before it
        let fits = |unit: &Unit| parse_quantity(asked, *unit) == Ok(fact.quantity);
        if units.iter().any(fits) {
            return Ok(());
        }
        let what = format!("quantity of {item} of request {request}");
        let found: Vec<String> = units
            .iter()
            .map(|unit| format_quantity(fact.quantity, *unit))
            .collect();
        Err(Finding::new(seq, what, asked, found.join(" or ")))
    }

    /// What its department had to accept is billed from then on, and not before.
    fn accepted_before(&self, seq: u64, request: &str, fact: &Fact) -> Result<(), Finding> {
        let Some(since) = self.delivered.get(request) else {
            return Ok(());
        };
        if since.is_some_and(|since| fact.at >= since) {
            return Ok(());
        }
        let what = format!("acceptance behind {}", fact.key());
        let found = since.map_or_else(|| "none".to_owned(), |since| format!("one of {since}"));
        let expected = format!("one of request {request} by {}", fact.at);
        Err(Finding::new(seq, what, expected, found))
    }

    /// A period must be one of its calendar, and share no second with another one.
    pub(super) fn period(&mut self, seq: u64, open: &PeriodOpenDoc) -> Result<(), Finding> {
        let found = &open.period;
        let what = format!("bounds of period {}", found.name);
        let expected = Period::containing(found.kind, &found.time_zone, found.span.from)
            .map_err(|e| Finding::new(seq, &what, "a period of the calendar", chain_of(&e)))?;
        same(seq, &what, described(&expected), described(found))?;
        // earlier periods share no second with each other, so that the nearest ones suffice
        let before = self.periods.range(..=found.span.from).next_back();
        let after = self.periods.range(found.span.from..).next();
        let overlapping = before
            .filter(|(_, (to, _))| *to > found.span.from)
            .or_else(|| after.filter(|(from, _)| **from < found.span.to));
        if let Some((_, (_, name))) = overlapping {
            let expected = "no second of another period";
            let found = format!("seconds of period {name}");
            return Err(Finding::new(seq, what, expected, found));
        }
        self.periods
            .insert(found.span.from, (found.span.to, found.name.clone()));
        Ok(())
    }
}

/// A claim or its end that does not follow from those before.
fn contradicts(seq: u64, error: &ClaimError) -> Finding {
    let expected = "what follows from the claims before it";
    Finding::new(seq, "claim of a device", expected, chain_of(error))
}

/// What a period is, in one line.
fn described(period: &Period) -> String {
    let Period {
        name,
        kind,
        span,
        time_zone,
    } = period;
    format!(
        "{name} ({kind:?}) from {} to {} in {time_zone}",
        span.from, span.to
    )
}

/// The leased quantities of a request's snapshot, by item, as they were typed.
fn quantities(snapshot: &Value) -> BTreeMap<String, String> {
    let mut quantities = BTreeMap::new();
    let leased = snapshot.get("lease").and_then(Value::as_array);
    for entry in leased.into_iter().flatten() {
        let item = entry.get("item").and_then(Value::as_str);
        let quantity = match entry.get("quantity") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        if let (Some(item), Some(quantity)) = (item, quantity) {
            quantities.insert(item.to_owned(), quantity);
        }
    }
    quantities
}
