//! Charges so far and credit left, from a draft.

use std::collections::BTreeMap;

use leasehold_ledger::{
    close::{CloseError, lot_states},
    journal::Entry,
    lot::Lot,
    money::{Money, MoneyError},
    statement::Statement,
    time::Second,
    verify::Records,
};

use crate::figures::SoFar;

/// Decimal places of a quantity that is shown.
const PLACES: usize = 3;

/// Charges so far by department and tenancy.
pub fn so_far(
    period: &str,
    drafts: &[Statement],
    as_of: Second,
) -> Result<BTreeMap<(String, String), SoFar>, MoneyError> {
    let mut figures: BTreeMap<(String, String), SoFar> = BTreeMap::new();
    for statement in drafts {
        for line in &statement.lines {
            let key = (statement.department.name.clone(), line.tenancy.clone());
            let figure = figures.entry(key).or_insert_with(|| SoFar {
                period: period.to_owned(),
                gross: Money::ZERO,
                items: BTreeMap::new(),
                as_of,
            });
            figure.gross = figure.gross.checked_add(line.gross)?;
            let quantity = format!("{} {}", shortened(&line.quantity), line.unit);
            figure
                .items
                .entry(line.item.clone())
                .or_default()
                .push(quantity);
        }
    }
    Ok(figures)
}

/// A decimal number with at most three places, the rest of them left out: it is shown, and nothing is reckoned with it.
fn shortened(number: &str) -> &str {
    let Some(point) = number.find('.') else {
        return number;
    };
    let end = number.len().min(point.saturating_add(1 + PLACES));
    let kept = number.get(..end).unwrap_or(number);
    kept.trim_end_matches('0').trim_end_matches('.')
}

/// What is left of each department's credit, of lots that have not ended.
pub fn credit_left(records: &Records, now: Second) -> Result<BTreeMap<String, Money>, CloseError> {
    let lots: Vec<Lot> = records.lots.iter().map(|(_, lot)| lot.clone()).collect();
    let entries: Vec<Entry> = records
        .entries
        .iter()
        .map(|(_, entry)| entry.clone())
        .collect();
    let mut left: BTreeMap<String, Money> = BTreeMap::new();
    for state in lot_states(&lots, &entries)? {
        if state.lot.span.to <= now {
            continue;
        }
        let sum = left
            .entry(state.lot.department.clone())
            .or_insert(Money::ZERO);
        *sum = sum.checked_add(state.remaining)?;
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_ledger::{book::Category, time::Span};

    fn lot(name: &str, minor: i64, from: i64, to: i64) -> Lot {
        Lot {
            id: format!("gov-office/{name}"),
            department: "gov-office".to_owned(),
            contribution: name.to_owned(),
            amount: Money::from_minor(minor),
            classes: vec![Category::Compute],
            cap_percent: 100,
            priority: 1,
            sequence: 1,
            span: Span::new(Second::new(from), Second::new(to)),
            through: "2029-08-31".to_owned(),
        }
    }

    #[test]
    fn quantities_are_shown_with_three_places_and_without_idle_zeros() {
        for (number, shown) in [
            ("15.612903225806", "15.612"),
            ("2.000000000001", "2"),
            ("0.250", "0.25"),
            ("46.0", "46"),
            ("7", "7"),
            ("100", "100"),
        ] {
            assert_eq!(shortened(number), shown);
        }
    }

    #[test]
    fn credit_left_adds_up_lots_that_have_not_ended() {
        let lots = [
            lot("a", 100, 0, 1000),
            lot("b", 30, 900, 2000),
            lot("c", 7, 0, 10),
        ];
        let entries = lots
            .iter()
            .map(|lot| Entry::grant(lot, Second::new(0)).unwrap())
            .collect::<Vec<_>>();
        let records = Records {
            lots: (1..).zip(lots).collect(),
            entries: (10..).zip(entries).collect(),
            ..Records::default()
        };
        let left = credit_left(&records, Second::new(10)).unwrap();
        assert_eq!(left["gov-office"], Money::from_minor(130));
    }
}
