//! Amounts as Kubernetes writes them, for comparison only.

/// The amount in billionths, if the text is a quantity that is a whole number of them.
///
/// The grammar is that of `resource.Quantity`: a decimal number with a suffix `n u m k M G T P E`, `Ki` to `Ei`, or an
/// exponent.
pub(crate) fn billionths(text: &str) -> Option<i128> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1_i128, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = scale(suffix)?;
    let places = i32::try_from(fraction.len()).ok()?;
    let power = exponent.checked_add(9)?.checked_sub(places)?;
    let scaled = digits.checked_mul(factor)?.checked_mul(sign)?;
    let ten = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        scaled.checked_mul(ten)
    } else {
        (scaled.checked_rem(ten)? == 0)
            .then(|| scaled.checked_div(ten))
            .flatten()
    }
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_amounts_are_equal_however_they_are_written() {
        for (one, other) in [
            ("2", "2000m"),
            ("0.5", "500m"),
            ("1Gi", "1024Mi"),
            ("1Gi", "1073741824"),
            ("1E3", "1k"),
            ("1E", "1000P"),
            ("-1.5", "-1500m"),
            ("1.50Gi", "1536Mi"),
            ("100n", "0.1u"),
            ("+4", "4"),
        ] {
            assert_eq!(
                billionths(one).unwrap(),
                billionths(other).unwrap(),
                "{one} {other}"
            );
        }
        assert_ne!(billionths("1G"), billionths("1Gi"));
        assert_eq!(billionths("1m"), Some(1_000_000));
    }

    #[test]
    fn what_is_not_a_quantity_has_no_amount() {
        for text in [
            "",
            "Container",
            ".",
            "1.2.3",
            "1Q",
            "1e",
            "m",
            "0.1n",
            "1e99",
            "--1",
        ] {
            assert_eq!(billionths(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            billionths(&text);
        }

        #[test]
        fn millis_and_units_agree(units in 0_u32..) {
            prop_assert_eq!(billionths(&format!("{units}")), billionths(&format!("{units}000m")));
        }
    }
}
