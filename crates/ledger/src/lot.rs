//! Credit lots (以硬件换服务) and the order in which they are burnt.
//!
//! A lot is the credit that one accepted hardware contribution gave to one department. It lives
//! for whole periods, pays only charges of its classes, never splits over another department and
//! never goes below zero. The rules are those of `docs/explanation/charging.md`, "Lots".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::book::Category;
use crate::money::{Money, MoneyError};
use crate::time::{Period, Span};

/// The terms of one credit, fixed when it is granted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lot {
    /// `<department>/<contribution>`, unique over all time.
    pub id: String,
    /// Code of the department that owns the credit.
    pub department: String,
    /// Name of the hardware contribution behind it.
    pub contribution: String,
    /// Accepted value, above zero.
    pub amount: Money,
    /// The classes of charge that the lot may pay.
    pub classes: Vec<Category>,
    /// Share of its eligible charges that the lot may pay in one statement, 0 to 100 percent.
    pub cap_percent: u8,
    /// Lower numbers burn first.
    pub priority: u32,
    /// Grant sequence within the cloud; the last tie-breaker that means something to people.
    pub sequence: u64,
    /// When the lot is alive: whole periods, half-open.
    pub span: Span,
    /// Last local day of `span` as people write it; its end as RFC 3339 in a rehearsal.
    pub through: String,
}

/// A lot and what is left of it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LotState {
    /// The terms.
    pub lot: Lot,
    /// Unused rest, from zero to the lot's amount.
    pub remaining: Money,
}

/// What one lot paid of one statement.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Burn {
    /// Id of the lot.
    pub lot: String,
    /// Place in the burn order of this statement, from 1.
    pub order: u32,
    /// Rest before.
    pub opening: Money,
    /// Paid here.
    pub applied: Money,
    /// Rest after; `opening - applied`.
    pub closing: Money,
    /// The lot's last day, as in [`Lot::through`].
    pub through: String,
    /// What ended the payment, in plain words.
    pub why: String,
    /// Payment by line id; lines that got nothing are left out.
    pub per_line: BTreeMap<String, Money>,
}

/// Why credits could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum LotError {
    /// A share above 100 percent.
    #[error("failed to apply credits: a cap of {percent} % is above 100; correct {of}")]
    Percent {
        /// The refused number.
        percent: u8,
        /// Where it stands.
        of: String,
    },
    /// A charge or a rest below zero.
    #[error("failed to apply credits: {what} is {amount}, below zero; the ledger must be verified")]
    Negative {
        /// The line or the lot.
        what: String,
        /// Its amount.
        amount: Money,
    },
    /// A sum beyond what money can hold.
    #[error("failed to add up the charges that credits may pay")]
    Money(#[from] MoneyError),
    /// More lots than can be numbered.
    #[error("failed to number the lots of one statement; there are more than 4294967295")]
    TooMany,
}

/// Applies a department's lots to the lines of its statement.
///
/// A lot counts if it is alive for the whole period and has a rest. Order: priority, end, fewest
/// classes, grant sequence. Lines are paid largest first, ties by id. The statement as a whole is
/// capped at `cap_percent` of the gross of all lines that any counting lot may pay, and each lot at
/// its own share of the lines that it may pay; both rounded down.
pub fn burn(
    period: &Period,
    lines: &[(String, Category, Money)],
    lots: &[LotState],
    cap_percent: u8,
) -> Result<Vec<Burn>, LotError> {
    check(lines, lots, cap_percent)?;
    let counting = in_burn_order(period, lots);
    let any = |category: Category| counting.iter().any(|s| s.lot.classes.contains(&category));
    let base = gross_of(lines, any)?;
    let cap = share(base, cap_percent);
    let mut room = cap;
    let mut rest = largest_first(lines);
    let mut burns = Vec::with_capacity(counting.len());
    for (position, state) in counting.iter().enumerate() {
        let own_base = gross_of(lines, |c| state.lot.classes.contains(&c))?;
        let own_cap = share(own_base, state.lot.cap_percent);
        let budget = state.remaining.min(own_cap).min(room);
        let (per_line, applied) = pay(&state.lot, budget, &mut rest)?;
        room = room.checked_sub(applied)?;
        let eligible_left = rest
            .iter()
            .any(|r| r.left > Money::ZERO && state.lot.classes.contains(&r.category));
        let why = if applied == state.remaining {
            "lot used up".to_owned()
        } else if !eligible_left {
            "no eligible charge left".to_owned()
        } else if room == Money::ZERO {
            format!("cap {cap_percent} % of {base}, rounded down")
        } else {
            format!(
                "lot's cap {} % of {own_base}, rounded down",
                state.lot.cap_percent
            )
        };
        burns.push(Burn {
            lot: state.lot.id.clone(),
            order: u32::try_from(position.saturating_add(1)).map_err(|_| LotError::TooMany)?,
            opening: state.remaining,
            applied,
            closing: state.remaining.checked_sub(applied)?,
            through: state.lot.through.clone(),
            why,
            per_line,
        });
    }
    Ok(burns)
}

struct Rest<'a> {
    id: &'a str,
    category: Category,
    gross: Money,
    left: Money,
}

fn check(
    lines: &[(String, Category, Money)],
    lots: &[LotState],
    cap_percent: u8,
) -> Result<(), LotError> {
    if cap_percent > 100 {
        return Err(LotError::Percent {
            percent: cap_percent,
            of: "the policy".to_owned(),
        });
    }
    for (id, _, gross) in lines {
        if *gross < Money::ZERO {
            return Err(LotError::Negative {
                what: format!("line {id}"),
                amount: *gross,
            });
        }
    }
    for state in lots {
        let id = &state.lot.id;
        if state.lot.cap_percent > 100 {
            return Err(LotError::Percent {
                percent: state.lot.cap_percent,
                of: format!("lot {id}"),
            });
        }
        if state.remaining < Money::ZERO {
            return Err(LotError::Negative {
                what: format!("the rest of lot {id}"),
                amount: state.remaining,
            });
        }
    }
    Ok(())
}

fn in_burn_order<'a>(period: &Period, lots: &'a [LotState]) -> Vec<&'a LotState> {
    let whole = &period.span;
    let mut counting: Vec<&LotState> = lots
        .iter()
        .filter(|s| s.lot.span.contains_span(whole))
        .filter(|s| s.remaining > Money::ZERO)
        .collect();
    counting.sort_by(|a, b| {
        let (a, b) = (&a.lot, &b.lot);
        a.priority
            .cmp(&b.priority)
            .then_with(|| a.span.to.cmp(&b.span.to))
            .then_with(|| a.classes.len().cmp(&b.classes.len()))
            .then_with(|| a.sequence.cmp(&b.sequence))
            .then_with(|| a.id.cmp(&b.id))
    });
    counting
}

fn largest_first(lines: &[(String, Category, Money)]) -> Vec<Rest<'_>> {
    let mut rest: Vec<Rest<'_>> = lines
        .iter()
        .map(|(id, category, gross)| Rest {
            id,
            category: *category,
            gross: *gross,
            left: *gross,
        })
        .collect();
    rest.sort_by(|a, b| b.gross.cmp(&a.gross).then_with(|| a.id.cmp(b.id)));
    rest
}

fn pay(
    lot: &Lot,
    budget: Money,
    rest: &mut [Rest<'_>],
) -> Result<(BTreeMap<String, Money>, Money), LotError> {
    let mut per_line = BTreeMap::new();
    let mut applied = Money::ZERO;
    for line in rest
        .iter_mut()
        .filter(|r| lot.classes.contains(&r.category))
    {
        let take = line.left.min(budget.checked_sub(applied)?);
        if take > Money::ZERO {
            line.left = line.left.checked_sub(take)?;
            applied = applied.checked_add(take)?;
            per_line.insert(line.id.to_owned(), take);
        }
    }
    Ok((per_line, applied))
}

fn gross_of(
    lines: &[(String, Category, Money)],
    wanted: impl Fn(Category) -> bool,
) -> Result<Money, MoneyError> {
    Money::sum(
        lines
            .iter()
            .filter(|(_, c, _)| wanted(*c))
            .map(|(_, _, gross)| *gross),
    )
}

/// `floor(amount × percent / 100)`; amount ≥ 0 and percent ≤ 100 were checked, so it always fits.
fn share(amount: Money, percent: u8) -> Money {
    let scaled = i128::from(amount.minor())
        .saturating_mul(i128::from(percent))
        .div_euclid(100);
    Money::from_minor(i64::try_from(scaled).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{PeriodKind, Second, Zone};

    fn september() -> Period {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        Period::containing(PeriodKind::Month, &zone, Second::new(1_788_192_000)).unwrap()
    }

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    fn state(id: &str, amount: &str, classes: &[Category]) -> LotState {
        let span = september().span;
        LotState {
            lot: Lot {
                id: format!("gov-office/{id}"),
                department: "gov-office".to_owned(),
                contribution: id.to_owned(),
                amount: money(amount),
                classes: classes.to_vec(),
                cap_percent: 100,
                priority: 10,
                sequence: 1,
                span,
                through: "2029-08-31".to_owned(),
            },
            remaining: money(amount),
        }
    }

    fn lines() -> Vec<(String, Category, Money)> {
        vec![
            (
                "oa/memory/1".to_owned(),
                Category::Compute,
                money("1088.00"),
            ),
            (
                "oa/block-ssd/1".to_owned(),
                Category::Storage,
                money("1433.60"),
            ),
            (
                "oa/vcpu-x86/1".to_owned(),
                Category::Compute,
                money("1962.67"),
            ),
        ]
    }

    const BOTH: [Category; 2] = [Category::Compute, Category::Storage];

    #[test]
    fn half_of_the_worked_example_is_paid_rounded_down_and_the_largest_line_comes_first() {
        let lots = [state("servers-2024", "219777.76", &BOTH)];
        let burns = burn(&september(), &lines(), &lots, 50).unwrap();
        assert_eq!(burns.len(), 1);
        let b = &burns[0];
        assert_eq!(b.applied, money("2242.13"));
        assert_eq!(b.closing, money("217535.63"));
        assert_eq!(b.why, "cap 50 % of 4484.27, rounded down");
        let expected: BTreeMap<String, Money> = [
            ("oa/vcpu-x86/1".to_owned(), money("1962.67")),
            ("oa/block-ssd/1".to_owned(), money("279.46")),
        ]
        .into();
        assert_eq!(b.per_line, expected);
    }

    #[test]
    fn a_lot_never_spills_to_a_class_that_it_may_not_pay() {
        let lots = [state("disks", "5000.00", &[Category::Storage])];
        let burns = burn(&september(), &lines(), &lots, 100).unwrap();
        assert_eq!(burns[0].applied, money("1433.60"));
        assert_eq!(burns[0].why, "no eligible charge left");
        assert_eq!(
            burns[0].per_line.keys().collect::<Vec<_>>(),
            ["oa/block-ssd/1"]
        );
    }

    #[test]
    fn the_cap_of_the_statement_counts_only_lines_that_some_lot_may_pay() {
        let lots = [state("disks", "5000.00", &[Category::Storage])];
        let burns = burn(&september(), &lines(), &lots, 50).unwrap();
        assert_eq!(burns[0].applied, money("716.80"));
        assert_eq!(burns[0].why, "cap 50 % of 1433.60, rounded down");
    }

    #[test]
    fn a_lots_own_cap_holds_beside_the_cap_of_the_statement() {
        let mut lot = state("servers-2024", "219777.76", &BOTH);
        lot.lot.cap_percent = 10;
        let burns = burn(&september(), &lines(), &[lot], 50).unwrap();
        assert_eq!(burns[0].applied, money("448.42"));
        assert_eq!(burns[0].why, "lot's cap 10 % of 4484.27, rounded down");
    }

    #[test]
    fn lots_burn_by_priority_then_end_then_fewest_classes_then_sequence() {
        let last = state("a-last-by-priority", "1.00", &BOTH);
        let mut late = state("late", "1.00", &BOTH);
        late.lot.priority = 5;
        late.lot.span.to = Second::new(late.lot.span.to.get() + 1);
        let mut wide = state("wide", "1.00", &BOTH);
        wide.lot.priority = 5;
        let mut narrow_second = state("narrow-2", "1.00", &[Category::Compute]);
        narrow_second.lot.priority = 5;
        narrow_second.lot.sequence = 7;
        let mut narrow_first = state("narrow-1", "1.00", &[Category::Compute]);
        narrow_first.lot.priority = 5;
        narrow_first.lot.sequence = 3;
        let lots = [last, late, wide, narrow_second, narrow_first];
        let burns = burn(&september(), &lines(), &lots, 100).unwrap();
        let order: Vec<(&str, u32)> = burns.iter().map(|b| (b.lot.as_str(), b.order)).collect();
        assert_eq!(
            order,
            [
                ("gov-office/narrow-1", 1),
                ("gov-office/narrow-2", 2),
                ("gov-office/wide", 3),
                ("gov-office/late", 4),
                ("gov-office/a-last-by-priority", 5),
            ]
        );
        assert!(burns.iter().all(|b| b.why == "lot used up"));
    }

    #[test]
    fn a_lot_that_starts_inside_the_period_or_ends_inside_it_does_not_count() {
        let mut early = state("early", "1.00", &BOTH);
        early.lot.span.to = Second::new(early.lot.span.to.get() - 1);
        let mut young = state("young", "1.00", &BOTH);
        young.lot.span.from = Second::new(young.lot.span.from.get() + 1);
        assert!(
            burn(&september(), &lines(), &[early, young], 100)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_used_up_lot_widens_no_cap() {
        let mut used = state("used", "100.00", &[Category::Compute]);
        used.remaining = Money::ZERO;
        let lots = [used, state("disks", "5000.00", &[Category::Storage])];
        let burns = burn(&september(), &lines(), &lots, 50).unwrap();
        assert_eq!(burns.len(), 1);
        assert_eq!(burns[0].applied, money("716.80"));
    }

    #[test]
    fn a_cap_above_one_hundred_percent_is_refused() {
        assert!(matches!(
            burn(&september(), &lines(), &[], 101),
            Err(LotError::Percent { percent: 101, .. })
        ));
    }

    fn category() -> impl Strategy<Value = Category> {
        prop_oneof![
            Just(Category::Compute),
            Just(Category::Storage),
            Just(Category::Network)
        ]
    }

    proptest! {
        #[test]
        fn credits_are_conserved_and_no_line_is_overpaid(
            grosses in prop::collection::vec((category(), 0_i64..1_000_000), 0..8),
            amounts in prop::collection::vec((category(), 1_i64..1_000_000, 0_u8..=100), 0..5),
            cap in 0_u8..=100,
        ) {
            let lines: Vec<(String, Category, Money)> = grosses
                .iter()
                .enumerate()
                .map(|(i, (c, g))| (format!("t{i}/x/1"), *c, Money::from_minor(*g)))
                .collect();
            let lots: Vec<LotState> = amounts
                .iter()
                .enumerate()
                .map(|(i, (c, amount, own))| {
                    let mut s = state(&format!("l{i}"), "1.00", &[*c]);
                    s.lot.amount = Money::from_minor(*amount);
                    s.remaining = s.lot.amount;
                    s.lot.cap_percent = *own;
                    s
                })
                .collect();
            let burns = burn(&september(), &lines, &lots, cap).unwrap();
            let mut paid: BTreeMap<&str, i64> = BTreeMap::new();
            let mut all = 0_i64;
            for b in &burns {
                let of_lines: i64 = b.per_line.values().map(|m| m.minor()).sum();
                prop_assert_eq!(of_lines, b.applied.minor());
                prop_assert_eq!(b.opening.minor(), b.applied.minor() + b.closing.minor());
                prop_assert!(b.closing >= Money::ZERO);
                all += of_lines;
                let class = lots.iter().find(|s| s.lot.id == b.lot).unwrap().lot.classes[0];
                for (id, amount) in &b.per_line {
                    let line = lines.iter().find(|l| &l.0 == id).unwrap();
                    prop_assert_eq!(line.1, class);
                    *paid.entry(id.as_str()).or_default() += amount.minor();
                }
            }
            for (id, _, gross) in &lines {
                prop_assert!(paid.get(id.as_str()).copied().unwrap_or(0) <= gross.minor());
            }
            let eligible: i64 = lines
                .iter()
                .filter(|l| lots.iter().any(|s| s.lot.classes.contains(&l.1)))
                .map(|l| l.2.minor())
                .sum();
            prop_assert!(all * 100 <= eligible * i64::from(cap));
        }

        #[test]
        fn the_order_in_which_lots_and_lines_come_changes_nothing(
            lots in Just(vec![
                state("a", "900.00", &BOTH),
                state("b", "800.00", &[Category::Compute]),
                state("c", "700.00", &[Category::Storage]),
            ]).prop_shuffle(),
            shuffled in Just(lines()).prop_shuffle(),
        ) {
            let mut ordered = lots.clone();
            ordered.sort_by(|a, b| a.lot.id.cmp(&b.lot.id));
            prop_assert_eq!(
                burn(&september(), &shuffled, &lots, 60).unwrap(),
                burn(&september(), &lines(), &ordered, 60).unwrap()
            );
        }
    }
}
