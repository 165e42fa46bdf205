//! The arithmetic of a bill, a second time: integers alone, and nothing of the ledger's own rating
//! and money, so that a fault in those shows as a difference.
//!
//! The rule is that of `docs/explanation/charging.md`: quantity × price × seconds ÷ seconds of the
//! month, added up over the stretches in which the quantity stood still, rounded once, half up, to
//! fen. Everything is kept over one denominator until that rounding. What does not fit into 128 bits
//! or makes no sense (time that runs backwards, a month of no length) has no result.

/// Millionths of a yuan in one fen.
const MICRO_PER_FEN: u128 = 10_000;

/// A stretch of time in which a quantity stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First second inside, counted from 1970.
    pub from: i64,
    /// First second after.
    pub to: i64,
    /// How much, in base units: thousandths of a core, bytes.
    pub quantity: i64,
}

impl Stretch {
    /// The part of it between two instants, if there is any.
    pub fn within(self, from: i64, to: i64) -> Option<Self> {
        let (from, to) = (self.from.max(from), self.to.min(to));
        (from < to).then_some(Self { from, to, ..self })
    }
}

/// What one unit costs for a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// The price in millionths of a yuan.
    pub micro: u128,
    /// Base units in one unit: 1,000 in a core, 2³⁰ in a GiB.
    pub scale: u128,
}

/// What the stretches cost together, in fen; `month` is the length of the period in seconds.
pub fn amount(stretches: &[Stretch], tariff: Tariff, month: u128) -> Option<u128> {
    let mut sum: u128 = 0;
    for stretch in stretches {
        let seconds = u128::try_from(stretch.to.checked_sub(stretch.from)?).ok()?;
        let quantity = u128::try_from(stretch.quantity).ok()?;
        let cost = quantity.checked_mul(tariff.micro)?.checked_mul(seconds)?;
        sum = sum.checked_add(cost)?;
    }
    let denominator = tariff
        .scale
        .checked_mul(month)?
        .checked_mul(MICRO_PER_FEN)?;
    half_up(sum, denominator)
}

/// The first two neighbours in time, if any, between which time is missing or counted twice.
pub fn seam(stretches: &[Stretch]) -> Option<(Stretch, Stretch)> {
    let mut sorted = stretches.to_vec();
    sorted.sort_by_key(|stretch| (stretch.from, stretch.to));
    let mut after = sorted.iter();
    after.next();
    let pairs = sorted.iter().zip(after);
    pairs
        .map(|(earlier, later)| (*earlier, *later))
        .find(|(earlier, later)| earlier.to != later.from)
}

/// An amount as statements print it, `1962.67`, in fen.
pub fn fen(text: &str) -> Option<u128> {
    let (yuan, fen) = text.split_once('.')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if yuan.is_empty() || fen.len() != 2 || !digits(yuan) || !digits(fen) {
        return None;
    }
    format!("{yuan}{fen}").parse().ok()
}

fn half_up(numerator: u128, denominator: u128) -> Option<u128> {
    let twice = denominator.checked_mul(2)?;
    numerator
        .checked_mul(2)?
        .checked_add(denominator)?
        .checked_div(twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const MONTH: u128 = 30 * 86_400;
    const CORE: Tariff = Tariff {
        micro: 46_000_000,
        scale: 1_000,
    };
    const MEMORY: Tariff = Tariff {
        micro: 17_000_000,
        scale: 1 << 30,
    };
    const SSD: Tariff = Tariff {
        micro: 700_000,
        scale: 1 << 30,
    };

    fn stretch(from: i64, to: i64, quantity: i64) -> Stretch {
        Stretch { from, to, quantity }
    }

    #[test]
    fn the_worked_example_of_a_month_of_thirty_days_comes_out_to_the_fen() {
        let cores = [
            stretch(0, 10 * DAY, 32_000),
            stretch(10 * DAY, 30 * DAY, 48_000),
        ];
        let memory = [stretch(0, 30 * DAY, 64 << 30)];
        let ssd = [stretch(0, 30 * DAY, 2_048 << 30)];
        // 46.00 × (32 × 10 + 48 × 20) ÷ 30 = 1962.666…, 17.00 × 64, 0.70 × 2048
        assert_eq!(amount(&cores, CORE, MONTH), Some(196_267));
        assert_eq!(amount(&memory, MEMORY, MONTH), Some(108_800));
        assert_eq!(amount(&ssd, SSD, MONTH), Some(143_360));
    }

    #[test]
    fn half_a_fen_is_rounded_up_and_less_is_rounded_down_once_over_all_stretches() {
        let price = |micro| Tariff { micro, scale: 1 };
        let whole = [stretch(0, 60, 1)];
        assert_eq!(amount(&whole, price(5_000), 60), Some(1));
        assert_eq!(amount(&whole, price(4_999), 60), Some(0));
        // two stretches of a quarter of a fen each would be nothing if each were rounded
        let halves = [stretch(0, 30, 1), stretch(30, 60, 1)];
        assert_eq!(amount(&halves, price(5_000), 60), Some(1));
    }

    #[test]
    fn what_makes_no_sense_has_no_amount() {
        assert_eq!(amount(&[stretch(60, 0, 1)], CORE, 60), None);
        assert_eq!(amount(&[stretch(0, 60, -1)], CORE, 60), None);
        assert_eq!(amount(&[stretch(0, 60, 1)], CORE, 0), None);
        assert_eq!(amount(&[], CORE, 60), Some(0));
    }

    #[test]
    fn a_stretch_is_cut_to_the_period_and_one_that_only_touches_it_is_outside() {
        let whole = stretch(0, 100, 7);
        assert_eq!(whole.within(40, 60), Some(stretch(40, 60, 7)));
        assert_eq!(whole.within(90, 150), Some(stretch(90, 100, 7)));
        assert_eq!(whole.within(100, 160), None);
    }

    #[test]
    fn a_hole_and_an_overlap_are_seams_and_neighbours_that_touch_are_not() {
        let (first, second) = (stretch(0, 10, 1), stretch(10, 20, 2));
        assert_eq!(seam(&[second, first]), None);
        let hole = stretch(21, 30, 2);
        assert_eq!(seam(&[first, hole, second]), Some((second, hole)));
        let overlap = stretch(19, 30, 2);
        assert_eq!(seam(&[first, second, overlap]), Some((second, overlap)));
    }

    #[test]
    fn amounts_are_read_with_two_decimals_and_in_no_other_spelling() {
        assert_eq!(fen("1962.67"), Some(196_267));
        assert_eq!(fen("0.00"), Some(0));
        for wrong in ["1962", "1962.6", "-1.00", "1,962.67", ".67", "+1.00"] {
            assert_eq!(fen(wrong), None, "{wrong}");
        }
    }
}
