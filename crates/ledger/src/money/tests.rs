use proptest::prelude::*;
use serde_json::json;

use super::*;

fn ratio(numerator: i64, denominator: i64) -> Exact {
    Exact::from_ratio(BigInt::from(numerator), BigInt::from(denominator)).unwrap()
}

#[test]
fn amounts_are_read_strictly_and_shown_with_two_decimals() {
    for (text, minor, shown) in [
        ("4484.27", 448_427, "4484.27"),
        ("-0.05", -5, "-0.05"),
        ("7", 700, "7.00"),
        ("7.5", 750, "7.50"),
        ("0", 0, "0.00"),
        ("-92233720368547758.08", i64::MIN, "-92233720368547758.08"),
    ] {
        let amount = Money::parse(text).unwrap();
        assert_eq!(
            (amount.minor(), amount.to_string().as_str()),
            (minor, shown)
        );
    }
    for bad in [
        "",
        "-",
        ".",
        "1.",
        ".5",
        "1.234",
        "+1",
        "1,000",
        " 1",
        "1e3",
        "--1",
        "007",
        "1.-5",
        "92233720368547758.08",
        "１",
    ] {
        assert!(Money::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_sum_overflows_only_when_its_result_does() {
    let max = Money::from_minor(i64::MAX);
    let one = Money::from_minor(1);
    let minus = Money::from_minor(-1);
    assert_eq!(Money::sum([max, one, minus]).unwrap(), max);
    assert!(Money::sum([max, one]).is_err());
    assert!(max.checked_add(one).is_err());
    assert!(Money::from_minor(i64::MIN).checked_neg().is_err());
    assert_eq!(one.checked_sub(minus), Ok(Money::from_minor(2)));
}

#[test]
fn prices_show_at_least_two_decimals_and_no_zeros_after_them() {
    for (text, shown) in [
        ("46", "46.00"),
        ("46.0", "46.00"),
        ("0.7", "0.70"),
        ("0.096", "0.096"),
        ("0.000001", "0.000001"),
        ("1000000000", "1000000000.00"),
    ] {
        assert_eq!(Price::parse(text).unwrap().to_string(), shown);
    }
    for bad in ["-1", "0.0000001", "1000000000.000001", "1e2", ""] {
        assert!(Price::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(Price::parse("0.096").unwrap().as_exact(), ratio(12, 125));
}

#[test]
fn halves_are_rounded_away_from_zero_and_caps_down() {
    // 0.125 and 0.375 yuan lie between two fen
    assert_eq!(ratio(1, 8).round_half_up().unwrap(), Money::from_minor(13));
    assert_eq!(
        ratio(-1, 8).round_half_up().unwrap(),
        Money::from_minor(-13)
    );
    assert_eq!(ratio(3, 8).floor().unwrap(), Money::from_minor(37));
    assert_eq!(ratio(1, 3).round_half_up().unwrap(), Money::from_minor(33));
    assert!(ratio(i64::MAX, 1).round_half_up().is_err());
    assert!(Exact::from_ratio(BigInt::from(1), BigInt::from(0)).is_err());
}

#[test]
fn thirty_two_then_forty_eight_cores_give_the_amounts_of_the_worked_example() {
    // (32 × 10 days + 48 × 20 days) ÷ 30 days = 128/3 core months, at 46 yuan
    let quantity = ratio(32 * 10 + 48 * 20, 30);
    let amount = quantity.mul(&Price::parse("46").unwrap().as_exact());
    assert_eq!(quantity.to_decimal(12), "42.666666666667");
    assert_eq!(amount.to_decimal(15), "1962.666666666666667");
    assert_eq!(amount.round_half_up().unwrap().to_string(), "1962.67");
}

#[test]
fn decimals_are_plain_and_keep_their_least_number_of_places() {
    assert_eq!(ratio(46, 1).to_decimal(15), "46.00");
    assert_eq!(ratio(64, 1).to_decimal_with(12, 1), "64.0");
    assert_eq!(ratio(7, 1).to_decimal_with(0, 0), "7");
    assert_eq!(ratio(-1, 400).to_decimal(4), "-0.0025");
    assert_eq!(ratio(-1, 400).to_decimal(2), "0.00");
    assert_eq!(ratio(1999, 1000).to_decimal(2), "2.00");
    assert_eq!(ratio(2, 3).to_decimal(1), "0.70");
}

#[test]
fn exact_amounts_have_one_spelling_in_json() {
    assert_eq!(serde_json::to_value(ratio(256, 6)).unwrap(), json!("128/3"));
    assert_eq!(
        serde_json::from_value::<Exact>(json!("128/3")).unwrap(),
        ratio(128, 3)
    );
    for bad in ["256/6", "1/0", "1", "1/-2", "a/b"] {
        assert!(
            serde_json::from_value::<Exact>(json!(bad)).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn decimal_units_are_refused_with_the_unit_to_use_instead() {
    for bad in ["GB", "gb", "G", "TB", "Gi", "TiB", "MB", "gib", "B"] {
        let error = serde_json::from_value::<Unit>(json!(bad))
            .unwrap_err()
            .to_string();
        assert!(error.contains("use GiB"), "{bad}: {error}");
    }
    let error = serde_json::from_value::<Unit>(json!("Pod"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Core, GiB or Count") && !error.contains("2^30"),
        "{error}"
    );
    assert!("".parse::<Unit>().is_err());
}

#[test]
fn quantities_are_read_to_base_units_exactly() {
    for (text, unit, base) in [
        ("48", Unit::Core, 48_000),
        ("500m", Unit::Core, 500),
        ("0.1", Unit::Core, 100),
        (".5", Unit::Core, 500),
        ("2.", Unit::Core, 2000),
        ("1k", Unit::Core, 1_000_000),
        ("64Gi", Unit::GiB, 68_719_476_736),
        ("2Ti", Unit::GiB, 2_199_023_255_552),
        ("1.5Gi", Unit::GiB, 1_610_612_736),
        ("1G", Unit::GiB, 1_000_000_000),
        ("1E", Unit::GiB, 1_000_000_000_000_000_000),
        ("1e3", Unit::Count, 1000),
        ("2E+2", Unit::Count, 200),
        ("3000m", Unit::Count, 3),
        ("-0", Unit::Count, 0),
    ] {
        assert_eq!(parse_quantity(text, unit), Ok(base), "{text}");
    }
}

#[test]
fn quantities_that_the_ledger_cannot_hold_are_refused_by_their_fault() {
    let fault = |text: &str, unit| parse_quantity(text, unit).unwrap_err();
    assert!(matches!(
        fault("100u", Unit::Core),
        QuantityError::Remainder { .. }
    ));
    assert!(matches!(
        fault("0.3Ki", Unit::GiB),
        QuantityError::Remainder { .. }
    ));
    assert!(matches!(
        fault("500m", Unit::Count),
        QuantityError::Remainder { .. }
    ));
    assert!(matches!(
        fault("-1", Unit::Core),
        QuantityError::Negative { .. }
    ));
    assert!(matches!(
        fault("8Ei", Unit::GiB),
        QuantityError::Overflow { .. }
    ));
    assert!(matches!(
        fault("1e40", Unit::Count),
        QuantityError::Overflow { .. }
    ));
    for bad in [
        "", ".", "m", "1.2.3", "1GB", "1 Gi", "+1", "1e", "1e3k", "1e99", "0x10", "１",
    ] {
        assert!(
            matches!(fault(bad, Unit::GiB), QuantityError::Malformed { .. }),
            "{bad}"
        );
    }
}

#[test]
fn quantities_are_written_in_the_canonical_form_of_kubernetes() {
    for (base, unit, text) in [
        (48_000, Unit::Core, "48"),
        (500, Unit::Core, "500m"),
        (1_500, Unit::Core, "1500m"),
        (0, Unit::Core, "0"),
        (68_719_476_736, Unit::GiB, "64Gi"),
        (2_199_023_255_552, Unit::GiB, "2Ti"),
        (1_610_612_736, Unit::GiB, "1536Mi"),
        (1_025, Unit::GiB, "1025"),
        (0, Unit::GiB, "0"),
        (7, Unit::Count, "7"),
    ] {
        assert_eq!(format_quantity(base, unit), text);
    }
}

proptest! {
    #[test]
    fn every_amount_survives_being_written_and_read(minor in any::<i64>()) {
        let amount = Money::from_minor(minor);
        prop_assert_eq!(Money::parse(&amount.to_string()), Ok(amount));
        prop_assert_eq!(Exact::from_money(amount).round_half_up(), Ok(amount));
        prop_assert_eq!(Exact::from_money(amount).floor(), Ok(amount));
        prop_assert_eq!(Exact::from_money(amount).to_decimal(15), amount.to_string());
    }

    #[test]
    fn every_price_survives_being_written_and_read(micro in 0..=1_000_000_000_000_000_i64) {
        let price = Price::from_micro(micro).unwrap();
        prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
        prop_assert_eq!(price.as_exact().to_decimal(6), price.to_string());
    }

    #[test]
    fn every_quantity_survives_being_written_and_read(base in 0..=i64::MAX) {
        for unit in [Unit::Core, Unit::GiB, Unit::Count] {
            prop_assert_eq!(parse_quantity(&format_quantity(base, unit), unit), Ok(base));
        }
    }

    #[test]
    fn rounding_half_up_agrees_with_integer_arithmetic(n in 0..1_000_000_000_i64, d in 1..100_000_i64) {
        // floor((200 n + d) / 2 d) is the nearest fen with halves up
        prop_assert_eq!(ratio(n, d).round_half_up().unwrap().minor(), (200 * n + d) / (2 * d));
        prop_assert_eq!(ratio(n, d).floor().unwrap().minor(), 100 * n / d);
    }
}
