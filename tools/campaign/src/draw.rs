//! Where choices come from.
//!
//! Owns: [`Draw`], which a seeded generator and a fuzzer's bytes both are. Calls nothing.

use fastrand::Rng;

/// A source of choices.
pub trait Draw {
    /// A number below `bound`; 0 where that is 0 or 1.
    fn below(&mut self, bound: u64) -> u64;

    /// Whether something happens that happens once in `times`.
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A number from `least` to `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// One of several; there must be one.
    fn choose<'a, T>(&mut self, among: &'a [T]) -> &'a T
    where
        Self: Sized,
    {
        let place = self.below(among.len() as u64) as usize;
        among.get(place).or(among.first()).expect("there is something to choose from")
    }
}

impl Draw for Rng {
    fn below(&mut self, bound: u64) -> u64 {
        if bound < 2 { 0 } else { self.u64(..bound) }
    }
}

/// Choices read from bytes, two for each; when they are used up every choice is 0.
#[derive(Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Draw for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        if bound < 2 {
            return 0;
        }
        let Some((two, rest)) = self.0.split_first_chunk::<2>() else {
            return 0;
        };
        self.0 = rest;
        u64::from(u16::from_le_bytes(*two)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_below_their_bound_and_end_in_zeros() {
        let mut bytes = Bytes(&[255, 255, 7, 0, 9]);
        assert_eq!(bytes.below(100), 65_535 % 100);
        assert_eq!(bytes.below(8), 7);
        assert_eq!((bytes.below(8), bytes.below(0), bytes.below(1)), (0, 0, 0));
        let mut rng = Rng::with_seed(1);
        assert!((0..100).all(|_| rng.below(3) < 3 && (2..=4).contains(&rng.between(2, 4))));
    }
}
