//! Money, prices, exact amounts and quantities: integers and rationals, never floats.

mod quantity;

use std::{fmt, iter::Sum, str::FromStr};

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

pub use quantity::{QuantityError, format_quantity, parse_quantity};

/// Micro-yuan in one yuan: the resolution of [`Price`].
const MICRO: i64 = 1_000_000;
/// Decimals of [`Price`].
const PRICE_DIGITS: usize = 6;
/// Most decimals that a decimal is written with; documents need 15.
const MOST_DIGITS: u32 = 60;
/// Decimals that every decimal shows at least.
const SHOWN_DIGITS: usize = 2;

/// What can go wrong with an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not an amount of money.
    #[error(
        "failed to read the amount {text:?}: write digits with at most two decimals, such as \
         4484.27"
    )]
    Amount {
        /// The text that was given.
        text: String,
    },
    /// The text is not a price.
    #[error(
        "failed to read the price {text:?}: write 0 to 1000000000 with at most six decimals, \
         such as 0.096"
    )]
    Price {
        /// The text that was given.
        text: String,
    },
    /// The text is not a unit.
    #[error("failed to read the unit {text:?}: use Core, GiB or Count")]
    Unit {
        /// The text that was given.
        text: String,
    },
    /// The text is a unit of powers of ten, or another spelling of GiB.
    #[error(
        "failed to read the unit {text:?}: storage and memory are priced in GiB (2^30 bytes); \
         convert the price and use GiB"
    )]
    DecimalUnit {
        /// The text that was given.
        text: String,
    },
    /// The text is not an exact amount.
    #[error("failed to read the exact amount {text:?}: write numerator/denominator, such as 128/3")]
    Exact {
        /// The text that was given.
        text: String,
    },
    /// A division by zero was asked for.
    #[error("failed to divide {numerator} by zero; a period or a unit has no length")]
    ZeroDenominator {
        /// What was to be divided.
        numerator: String,
    },
    /// An amount does not fit in 64 bits of minor units.
    #[error("failed to hold {value}: it is beyond ±92233720368547758.07")]
    Overflow {
        /// The amount, or the sum that was tried.
        value: String,
    },
}

/// An amount in minor units (fen, two decimals) of the policy's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Decimals of an amount.
    pub const DIGITS: u32 = 2;
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of so many minor units.
    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// Whether it is exactly nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is below nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Reads `4484.27`: an optional minus, digits, at most two decimals, nothing else.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (sign, digits) = text
            .strip_prefix('-')
            .map_or(("", text), |rest| ("-", rest));
        scaled(sign, digits, SHOWN_DIGITS)
            .map(Self)
            .ok_or_else(|| MoneyError::Amount {
                text: text.to_owned(),
            })
    }

    /// The sum; an error beyond 64 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_add(other.0)
            .map(Self)
            .ok_or_else(|| MoneyError::Overflow {
                value: format!("{self} + {other}"),
            })
    }

    /// The difference; an error beyond 64 bits.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_sub(other.0)
            .map(Self)
            .ok_or_else(|| MoneyError::Overflow {
                value: format!("{self} - {other}"),
            })
    }

    /// The opposite; an error for the one amount that has none.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        self.0
            .checked_neg()
            .map(Self)
            .ok_or_else(|| MoneyError::Overflow {
                value: format!("the opposite of {self}"),
            })
    }

    /// The sum of all amounts. The order does not matter, not even for whether it overflows.
    pub fn sum<I: IntoIterator<Item = Self>>(amounts: I) -> Result<Self, MoneyError> {
        let total: BigInt = amounts.into_iter().map(|m| BigInt::from(m.0)).sum();
        total
            .to_i64()
            .map(Self)
            .ok_or_else(|| MoneyError::Overflow {
                value: format!("a sum of {total} minor units"),
            })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let minor = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", minor / 100, minor % 100))
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_string!(Money);

/// A unit price in micro-yuan (six decimals), from 0 to 10⁹ yuan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

impl Price {
    /// The highest price: 10⁹ yuan.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// A price of so many micro-yuan.
    pub fn from_micro(micro: i64) -> Result<Self, MoneyError> {
        if (0..=Self::MAX.0).contains(&micro) {
            Ok(Self(micro))
        } else {
            Err(MoneyError::Price {
                text: format!("{micro} micro-yuan"),
            })
        }
    }

    /// The price in micro-yuan.
    pub const fn micro(self) -> i64 {
        self.0
    }

    /// Reads `0.096`: digits with at most six decimals.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        scaled("", text, PRICE_DIGITS)
            .filter(|micro| *micro <= Self::MAX.0)
            .map(Self)
            .ok_or_else(|| MoneyError::Price {
                text: text.to_owned(),
            })
    }

    /// The price as an exact amount of yuan.
    pub fn as_exact(self) -> Exact {
        Exact(BigRational::new(BigInt::from(self.0), BigInt::from(MICRO)))
    }
}

impl fmt::Display for Price {
    /// At least two decimals, then no zeros at the end: `46.00`, `0.70`, `0.096`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % 1_000_000);
        f.pad(&format!(
            "{}.{}",
            self.0 / 1_000_000,
            trimmed(&fraction, SHOWN_DIGITS)
        ))
    }
}

impl FromStr for Price {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_string!(Price);

/// An exact rational: an amount in yuan or a quantity before its one rounding.
///
/// In JSON it is `numerator/denominator` in lowest terms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(BigRational);

impl Exact {
    /// Nothing.
    pub fn zero() -> Self {
        Self(BigRational::zero())
    }

    /// The quotient of two integers, reduced.
    pub fn from_ratio(numerator: BigInt, denominator: BigInt) -> Result<Self, MoneyError> {
        if denominator.is_zero() {
            return Err(MoneyError::ZeroDenominator {
                numerator: numerator.to_string(),
            });
        }
        Ok(Self(BigRational::new(numerator, denominator)))
    }

    /// A whole number.
    pub fn from_integer(value: i64) -> Self {
        Self(BigRational::from_integer(BigInt::from(value)))
    }

    /// An amount of money in yuan.
    pub fn from_money(amount: Money) -> Self {
        Self(BigRational::new(BigInt::from(amount.0), BigInt::from(100)))
    }

    /// The rational itself.
    pub fn as_ratio(&self) -> &BigRational {
        &self.0
    }

    /// Whether it is exactly nothing.
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The exact sum.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        Self(&self.0 + &other.0)
    }

    /// The exact difference.
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// The exact product.
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        Self(&self.0 * &other.0)
    }

    /// Rounded to minor units, halves away from zero: the one rounding of a line.
    pub fn round_half_up(&self) -> Result<Money, MoneyError> {
        self.to_money(&self.minor().round())
    }

    /// Rounded down to minor units: how caps on credit are computed.
    pub fn floor(&self) -> Result<Money, MoneyError> {
        self.to_money(&self.minor().floor())
    }

    /// A plain decimal with at most `places` decimals, halves away from zero, zeros at the end cut
    /// down to two decimals: `46.00`, `42.666666666667`. More than 60 places are written as 60.
    pub fn to_decimal(&self, places: u32) -> String {
        self.to_decimal_with(places, 2)
    }

    /// As [`Exact::to_decimal`], but with zeros at the end cut down to `least` decimals.
    pub fn to_decimal_with(&self, places: u32, least: u32) -> String {
        let places = places.min(MOST_DIGITS);
        let least = least.min(MOST_DIGITS);
        let scale = BigRational::from_integer(BigInt::from(10).pow(places));
        let rounded = (&self.0 * &scale).round().to_integer();
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        let least = usize::try_from(least).unwrap_or(usize::MAX);
        let width = places.saturating_add(1);
        let digits = format!("{:0>width$}", rounded.magnitude().to_string());
        let point = digits.len().saturating_sub(places);
        let (whole, fraction) = digits
            .split_at_checked(point)
            .unwrap_or((digits.as_str(), ""));
        let sign = if rounded.is_negative() { "-" } else { "" };
        let fraction = format!("{:0<least$}", trimmed(fraction, least));
        if fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }

    /// The value in minor units, not yet rounded.
    fn minor(&self) -> BigRational {
        &self.0 * &BigRational::from_integer(BigInt::from(100))
    }

    fn to_money(&self, minor: &BigRational) -> Result<Money, MoneyError> {
        minor
            .to_integer()
            .to_i64()
            .map(Money)
            .ok_or_else(|| MoneyError::Overflow {
                value: self.to_decimal(2),
            })
    }
}

impl Default for Exact {
    fn default() -> Self {
        Self::zero()
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::zero(), |total, value| total.add(&value))
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.numer(), self.0.denom())
    }
}

impl FromStr for Exact {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MoneyError::Exact {
            text: text.to_owned(),
        };
        let (numerator, denominator) = text.split_once('/').ok_or_else(malformed)?;
        let numerator: BigInt = numerator.parse().map_err(|_| malformed())?;
        let denominator: BigInt = denominator.parse().map_err(|_| malformed())?;
        let exact = Self::from_ratio(numerator, denominator)?;
        // one value, one spelling: what is read is written back unchanged
        if exact.to_string() == text {
            Ok(exact)
        } else {
            Err(malformed())
        }
    }
}

serde_as_string!(Exact);

/// What a price is for one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A processor core; counted in thousandths.
    Core,
    /// 2³⁰ bytes; counted in bytes.
    GiB,
    /// A piece: a licence, a card, an address, a service.
    Count,
}

impl Unit {
    /// Base units in one unit: 1000 milli-cores, 2³⁰ bytes, 1 piece.
    pub const fn scale(self) -> i64 {
        match self {
            Self::Core => 1000,
            Self::GiB => 1 << 30,
            Self::Count => 1,
        }
    }

    /// The unit as books and statements write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "Core",
            Self::GiB => "GiB",
            Self::Count => "Count",
        }
    }

    /// What [`parse_quantity`] counts in, in plain words.
    const fn base_name(self) -> &'static str {
        match self {
            Self::Core => "thousandths of a core",
            Self::GiB => "bytes",
            Self::Count => "pieces",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Unit {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Core" => Ok(Self::Core),
            "GiB" => Ok(Self::GiB),
            "Count" => Ok(Self::Count),
            _ if is_byte_unit(text) => Err(MoneyError::DecimalUnit {
                text: text.to_owned(),
            }),
            _ => Err(MoneyError::Unit {
                text: text.to_owned(),
            }),
        }
    }
}

serde_as_string!(Unit);

/// Whether somebody meant bytes: B, G, GB, Gi, TB, TiB and the like in any case.
fn is_byte_unit(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let stem = lower.strip_suffix('b').unwrap_or(&lower);
    let stem = stem.strip_suffix('i').unwrap_or(stem);
    matches!(stem, "" | "k" | "m" | "g" | "t" | "p") && !lower.is_empty() && lower != "i"
}

/// Digits with at most `places` decimals as an integer of 10^-places. No empty part, no needless
/// zero in front: one amount, one spelling of its whole part.
fn scaled(sign: &str, text: &str, places: usize) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let padded_with_zeros = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty()
        || padded_with_zeros
        || fraction.len() > places
        || !digits_only(whole)
        || !digits_only(fraction)
    {
        return None;
    }
    format!("{sign}{whole}{fraction:0<places$}").parse().ok()
}

/// The digits without zeros at the end, but not fewer than `least` of them.
fn trimmed(digits: &str, least: usize) -> &str {
    let kept = digits.trim_end_matches('0').len().max(least);
    digits.get(..kept).unwrap_or(digits)
}

#[cfg(test)]
mod tests;
