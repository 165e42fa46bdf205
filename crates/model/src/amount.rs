//! Quantities as numbers, for counting against quotas. Written apart from the operator's own arithmetic, which this
//! model is to check.

/// Billionths of one.
pub(crate) type Amount = i128;

/// One.
pub(crate) const ONE: Amount = 1_000_000_000;

/// The amount in billionths, rounded up as the API server does; `None` if it is no quantity.
pub(crate) fn parse(text: &str) -> Option<Amount> {
    let end = text
        .find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = u32::try_from(fraction.len()).ok()?;
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let numerator = value.checked_mul(factor(suffix)?)?;
    let divisor = 10_i128.checked_pow(places)?;
    let amount = numerator.div_euclid(divisor) + i128::from(numerator.rem_euclid(divisor) > 0);
    Some(if negative { -amount } else { amount })
}

/// Billionths that one with this suffix is.
fn factor(suffix: &str) -> Option<i128> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(power) = binary.iter().position(|known| *known == suffix) {
        let power = u32::try_from(power).ok()?;
        return Some(ONE << (10 * (power + 1)));
    }
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if let Some(power) = decimal.iter().position(|known| *known == suffix) {
        return 1000_i128.checked_pow(u32::try_from(power).ok()?);
    }
    let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    10_i128.checked_pow(exponent)?.checked_mul(ONE)
}

/// In the notation of Kubernetes, whole or in thousandths.
pub(crate) fn render(amount: Amount) -> String {
    if amount % ONE == 0 {
        return (amount / ONE).to_string();
    }
    let thousandth = ONE / 1000;
    format!("{}m", (amount + thousandth - 1).div_euclid(thousandth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_the_amounts_that_kubernetes_gives_them() {
        let table = [
            ("2", 2_000_000_000),
            ("500m", 500_000_000),
            ("0.5", 500_000_000),
            ("1Ki", 1024 * ONE),
            ("1.5Gi", 1_610_612_736 * ONE),
            ("1k", 1000 * ONE),
            ("2e3", 2000 * ONE),
            ("-1", -ONE),
            ("1n", 1),
        ];
        for (text, amount) in table {
            assert_eq!(parse(text), Some(amount), "{text}");
        }
        for text in ["", "one", "1.2.3", "1Q", "Gi"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_written_whole_or_in_thousandths() {
        assert_eq!(render(2 * ONE), "2");
        assert_eq!(render(ONE / 2), "500m");
        assert_eq!(render(0), "0");
    }
}
