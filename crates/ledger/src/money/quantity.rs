//! Quantities as Kubernetes writes them, to and from whole base units.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero};

use super::Unit;

/// What can go wrong with a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text is not a quantity as Kubernetes writes it.
    #[error(
        "failed to read the quantity {text:?}: write it as Kubernetes does, such as 48, 500m or \
         64Gi"
    )]
    Malformed {
        /// The text that was given.
        text: String,
    },
    /// The quantity is below zero.
    #[error("failed to accept the quantity {text:?}: it is below zero")]
    Negative {
        /// The text that was given.
        text: String,
    },
    /// The quantity is finer than the ledger counts.
    #[error("failed to accept the quantity {text:?}: it is not a whole number of {base}")]
    Remainder {
        /// The text that was given.
        text: String,
        /// What the ledger counts in.
        base: &'static str,
    },
    /// The quantity does not fit in 64 bits.
    #[error(
        "failed to accept the quantity {text:?}: it is more than {} {base}",
        i64::MAX
    )]
    Overflow {
        /// The text that was given.
        text: String,
        /// What the ledger counts in.
        base: &'static str,
    },
}

/// Longest quantity that is read, and the largest power of ten in one: far beyond 64 bits.
const QUANTITY_LIMIT: usize = 40;

/// Reads a Kubernetes quantity (`48`, `500m`, `64Gi`, `1.5Gi`, `2e3`) to base units of `unit`:
/// thousandths of a core, bytes, pieces. Exact: what is finer than a base unit is refused.
pub fn parse_quantity(text: &str, unit: Unit) -> Result<i64, QuantityError> {
    let malformed = || QuantityError::Malformed {
        text: text.to_owned(),
    };
    if text.len() > QUANTITY_LIMIT {
        return Err(malformed());
    }
    if let Some(base) = plain(text, unit) {
        return Ok(base);
    }
    let (negative, unsigned) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end).ok_or_else(malformed)?;
    let value = decimal(number)
        .zip(multiplier(suffix))
        .map(|(number, factor)| number * factor)
        .ok_or_else(malformed)?;
    if negative && !value.is_zero() {
        return Err(QuantityError::Negative {
            text: text.to_owned(),
        });
    }
    let base_units = match unit {
        Unit::Core => value * BigRational::from_integer(BigInt::from(1000)),
        Unit::GiB | Unit::Count => value,
    };
    if !base_units.is_integer() {
        return Err(QuantityError::Remainder {
            text: text.to_owned(),
            base: unit.base_name(),
        });
    }
    base_units
        .to_integer()
        .to_i64()
        .ok_or_else(|| QuantityError::Overflow {
            text: text.to_owned(),
            base: unit.base_name(),
        })
}

/// What nearly every quantity is, without arithmetic of any size: digits and a suffix that makes whole base units of them.
/// `None` of every other, and of what does not fit.
fn plain(text: &str, unit: Unit) -> Option<i64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(end)?;
    let factor = match (unit, suffix) {
        (Unit::Core, "") => 1000,
        (Unit::Core, "m") | (Unit::GiB | Unit::Count, "") => 1,
        (Unit::GiB | Unit::Count, suffix) => {
            let binary = BINARY.iter().find(|(name, _)| *name == suffix);
            binary.map(|(_, size)| *size)?
        }
        (Unit::Core, _) => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

/// Binary suffixes of Kubernetes, largest first, with their sizes in bytes.
const BINARY: [(&str, i64); 6] = [
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];

/// Writes base units as Kubernetes would: `48`, `500m`, `64Gi`; bytes that are not a multiple of
/// 1024 as a plain number.
pub fn format_quantity(base: i64, unit: Unit) -> String {
    match unit {
        Unit::Core if base % 1000 == 0 => (base / 1000).to_string(),
        Unit::Core => format!("{base}m"),
        Unit::GiB if base != 0 => BINARY
            .iter()
            .find(|(_, size)| base.checked_rem(*size) == Some(0))
            .and_then(|(suffix, size)| base.checked_div(*size).map(|n| format!("{n}{suffix}")))
            .unwrap_or_else(|| base.to_string()),
        Unit::GiB | Unit::Count => base.to_string(),
    }
}

/// `12.5` without sign; at least one digit; a point needs digits on one side, as in Kubernetes.
fn decimal(text: &str) -> Option<BigRational> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains('.') {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let numerator: BigInt = digits.parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    Some(BigRational::new(numerator, BigInt::from(10).pow(places)))
}

/// The factor of a suffix of Kubernetes: binary, decimal, or a power of ten.
fn multiplier(suffix: &str) -> Option<BigRational> {
    if let Some((_, size)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some(BigRational::from_integer(BigInt::from(*size)));
    }
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?,
    };
    let power = exponent.unsigned_abs();
    if usize::try_from(power).ok()? > QUANTITY_LIMIT {
        return None;
    }
    let power = BigInt::from(10).pow(power);
    Some(if exponent < 0 {
        BigRational::new(BigInt::from(1), power)
    } else {
        BigRational::from_integer(power)
    })
}
