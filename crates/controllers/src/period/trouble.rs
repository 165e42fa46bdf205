//! Why a period cannot be closed, in words that name who does what.

use std::error::Error;

use leasehold_ledger::{close::CloseError, rating::RatingError, time::Zone, verify::ReplayError};

use crate::verdict::told;

/// The words for a close that failed.
pub fn of_close(error: &CloseError, zone: &Zone) -> String {
    match error {
        CloseError::Rating(RatingError::NoPrice {
            department,
            tenancy,
            item,
            from,
            to,
        }) => {
            let first = zone.date_of(*from);
            let last = zone.date_of(to.plus(-1));
            format!(
                "rule E01: {department}/{tenancy} leases {item}, but no price of it is published from {first} through {last}; finance publishes a price book of its provider that covers these days"
            )
        }
        CloseError::Currency {
            book,
            expected,
            found,
            ..
        } => format!(
            "rule E02: price book {book} is in {found}, but the policy's currency is {expected}; finance ends the book and publishes one in {expected}"
        ),
        CloseError::Books(_) => format!(
            "rule E03: the published price books contradict each other: {}; finance ends one of them",
            told(error)
        ),
        CloseError::Rating(RatingError::Mixed { .. } | RatingError::Money(_))
        | CloseError::Lot { .. }
        | CloseError::Facts(_)
        | CloseError::Credits(_)
        | CloseError::Statement(_)
        | CloseError::Journal(_)
        | CloseError::Canonical(_)
        | CloseError::Money(_) => contradiction(error),
    }
}

/// The words for a ledger that does not hold what a close needs.
pub fn of_replay(error: &ReplayError) -> String {
    contradiction(error)
}

fn contradiction(error: &dyn Error) -> String {
    format!(
        "rule E04: the ledger contradicts itself: {}; the platform runs leasehold verify and restores a good copy",
        told(error)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_ledger::{
        book::BookError,
        fact::FactError,
        time::{LocalDate, Second},
    };

    #[test]
    fn a_missing_price_names_the_tenancy_the_item_the_days_and_the_remedy() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        // 2026-09-05 00:00 to 2026-09-08 00:00 in Shanghai
        let error = CloseError::Rating(RatingError::NoPrice {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            item: "vcpu-x86".to_owned(),
            from: Second::new(1_788_192_000 + 4 * 86_400),
            to: Second::new(1_788_192_000 + 7 * 86_400),
        });
        assert_eq!(
            of_close(&error, &zone),
            "rule E01: gov-office/oa leases vcpu-x86, but no price of it is published from 2026-09-05 through 2026-09-07; finance publishes a price book of its provider that covers these days"
        );
    }

    #[test]
    fn a_book_in_another_currency_is_named_with_both_and_who_ends_it() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let error = CloseError::Currency {
            period: "2026-09".to_owned(),
            book: "abroad".to_owned(),
            expected: "CNY".to_owned(),
            found: "USD".to_owned(),
        };
        assert_eq!(
            of_close(&error, &zone),
            "rule E02: price book abroad is in USD, but the policy's currency is CNY; finance ends the book and publishes one in CNY"
        );
    }

    #[test]
    fn two_books_that_price_an_item_on_one_day_are_both_named() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let error = CloseError::Books(BookError::Overlap {
            first: "one".to_owned(),
            second: "two".to_owned(),
            provider: "hs-bigdata".to_owned(),
            item: "vcpu-x86".to_owned(),
            day: LocalDate::parse("2026-09-05").unwrap(),
        });
        let words = of_close(&error, &zone);
        assert!(words.starts_with("rule E03: "), "{words}");
        assert!(
            words.contains("one and two both price hs-bigdata/vcpu-x86 on 2026-09-05"),
            "{words}"
        );
    }

    #[test]
    fn a_contradiction_names_every_cause_once() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let error = CloseError::Facts(FactError::NotOpen {
            key: "c/1/u".to_owned(),
        });
        let words = of_close(&error, &zone);
        assert!(words.starts_with("rule E04: "), "{words}");
        assert_eq!(words.matches("c/1/u").count(), 1, "{words}");
    }
}
