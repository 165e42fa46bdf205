//! Chance that is the same on every run.

/// A stream of numbers that follows from its seed alone (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, the bound; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// Whether something happens that happens so many times in a thousand. Nothing is drawn for what never happens, so
    /// that switching one fault off does not shift the others.
    pub fn happens(&mut self, permille: u16) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }

    /// One of several; none of nothing.
    pub fn pick<'list, T>(&mut self, list: &'list [T]) -> Option<&'list T> {
        let bound = u64::try_from(list.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.below(bound)).ok()?;
        list.get(index)
    }

    /// A stream of its own for a part of the whole.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self(self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..8).map(|_| chance.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // the first number of splitmix64 for seed 0, as published with the algorithm
        assert_eq!(Chance::new(0).draw(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn what_never_happens_draws_nothing() {
        let mut chance = Chance::new(1);
        assert!(!chance.happens(0));
        assert_eq!(chance.draw(), Chance::new(1).draw());
        assert!(Chance::new(1).happens(1000));
    }

    #[test]
    fn only_what_is_there_is_picked() {
        let mut chance = Chance::new(3);
        assert_eq!(chance.pick::<u8>(&[]), None);
        for _ in 0..20 {
            assert!([1, 2, 3].contains(chance.pick(&[1, 2, 3]).unwrap()));
        }
    }
}
