//! Finding a place among sorted numbers that rise evenly.
//!
//! Owns: [`count_at_or_below`]. May call: nothing.

/// How many of `count` sorted numbers are at or below `wanted`; `at` has each by its place.
///
/// Frames of one log are much of a length, so that the place can be guessed from the ends, and a
/// wrong guess is left behind in steps that double: a search by halves alone would touch a dozen
/// cache lines each time. Numbers that are not sorted make the answer wrong, and nothing else: it is
/// at most `count`, and found in as many steps as the logarithm of `count` allows.
///
/// ```
/// use quipu_format::search::count_at_or_below;
/// let numbers = [10_u64, 20, 25, 40];
/// let found = |wanted| count_at_or_below(numbers.len(), wanted, |place| numbers[place]);
/// assert_eq!((found(9), found(10), found(26), found(90)), (0, 1, 3, 4));
/// ```
#[must_use]
pub fn count_at_or_below(count: usize, wanted: u64, at: impl Fn(usize) -> u64) -> usize {
    let Some(last) = count.checked_sub(1) else { return 0 };
    let first = at(0);
    let Some(above) = wanted.checked_sub(first) else { return 0 };
    let span = at(last).saturating_sub(first).max(1);
    let guess = (above as f64 / span as f64 * last as f64) as usize;
    // Of the places, `low` is at or below what is wanted, and `high`, if there is one, above it.
    let (mut low, mut high, mut step) = (guess.min(last), count, 1);
    while low > 0 && at(low) > wanted {
        (high, low) = (low, low.saturating_sub(step));
        step *= 2;
    }
    while low + step < high && at(low + step) <= wanted {
        low += step;
        step *= 2;
    }
    high = high.min(low + step);
    while high - low > 1 {
        let middle = low.midpoint(high);
        match at(middle) <= wanted {
            true => low = middle,
            false => high = middle,
        }
    }
    low + 1
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use alloc::vec::Vec;
    use core::cell::Cell;

    use super::*;

    fn numbers(count: usize, mut next: impl FnMut() -> u64) -> Vec<u64> {
        let mut number = 5;
        core::iter::repeat_with(|| {
            number += next();
            number
        })
        .take(count)
        .collect()
    }

    fn drawn(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        }
    }

    #[test]
    fn the_search_finds_what_halving_finds_however_uneven_the_numbers() {
        for spread in [1, 3, 1000, 1 << 30] {
            let mut draw = drawn(spread);
            let numbers = numbers(300, || 1 + draw() % spread);
            for count in [0, 1, 2, 3, 299, 300] {
                let numbers = &numbers[..count];
                let near = numbers.iter().flat_map(|number| [number - 1, *number, number + 1]);
                for wanted in near.chain([0, 4, u64::MAX]) {
                    let halved = numbers.partition_point(|number| *number <= wanted);
                    let found = count_at_or_below(count, wanted, |place| numbers[place]);
                    assert_eq!(found, halved, "{wanted} of {count}, spread {spread}");
                }
            }
        }
    }

    #[test]
    fn even_numbers_take_a_few_looks_and_no_numbers_more_than_their_logarithm_allows() {
        let looks = |numbers: &[u64], wanted| {
            let looks = Cell::new(0);
            let at = |place: usize| {
                looks.set(looks.get() + 1);
                numbers[place]
            };
            let _ = count_at_or_below(numbers.len(), wanted, at);
            looks.get()
        };
        let mut draw = drawn(3);
        let even: Vec<u64> = (0..5000).map(|place| 10 * place + draw() % 10).collect();
        let steep: Vec<u64> = (0..64).map(|power| 1 << power).collect();
        let flat: Vec<u64> = steep.iter().rev().map(|number| u64::MAX - number).collect();
        let disorder: Vec<u64> = core::iter::repeat_with(&mut draw).take(5000).collect();
        for (numbers, looks_max) in
            [(&even, 6), (&steep, 3 * 8), (&flat, 3 * 8), (&disorder, 3 * 15)]
        {
            for wanted in (0..5000).map(|_| numbers[draw() as usize % numbers.len()]) {
                let looks = looks(numbers, wanted);
                assert!(looks <= looks_max, "{looks} looks for {wanted}");
            }
        }
    }

    #[test]
    fn numbers_in_disorder_end_the_search_within_them() {
        let mut draw = drawn(7);
        for count in 0..200 {
            let numbers: Vec<u64> = core::iter::repeat_with(&mut draw).take(count).collect();
            for wanted in [0, draw(), u64::MAX] {
                assert!(count_at_or_below(count, wanted, |place| numbers[place]) <= count);
            }
        }
    }
}
