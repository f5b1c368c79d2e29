//! Which subsets of the unsynced are tried at a crash.
//!
//! Owns: [`Subsets`]. May call: draw, the simulated disk's list of what is in flight.
//!
//! Where few things are in flight all subsets are tried; else none, all, and a weighted sample, in
//! which the sectors of a page are found alike more often than not.

use fastrand::Rng;
use quipu::sim::{InFlight, PAGE_BYTES, Unsynced};

use crate::draw::Draw;

/// Subsets of what is in flight, each a version for each thing.
#[derive(Debug)]
pub struct Subsets<'a> {
    in_flight: &'a [InFlight],
    /// The next one in order, or how many have been drawn.
    next: u64,
    count: u64,
    is_all: bool,
}

impl<'a> Subsets<'a> {
    /// All subsets, if there are no more than `all_max`; else `sampled`.
    #[must_use]
    pub fn new(in_flight: &'a [InFlight], all_max: u64, sampled: u64) -> Self {
        let product = in_flight.iter().try_fold(1_u64, |product, thing| {
            product.checked_mul(thing.versions as u64).filter(|product| *product <= all_max)
        });
        let (count, is_all) = product.map_or((sampled, false), |product| (product, true));
        Self { in_flight, next: 0, count, is_all }
    }

    /// Whether every subset is among them.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// The next one.
    pub fn next(&mut self, rng: &mut Rng) -> Option<Vec<usize>> {
        if self.next >= self.count {
            return None;
        }
        let number = self.next;
        self.next += 1;
        Some(match (self.is_all, number) {
            (true, number) => self.numbered(number),
            (false, 0) => vec![0; self.in_flight.len()],
            (false, 1) => self.in_flight.iter().map(|thing| thing.versions - 1).collect(),
            (false, _) => sample(self.in_flight, rng),
        })
    }

    /// The n-th, things being digits.
    fn numbered(&self, mut number: u64) -> Vec<usize> {
        let digit = |thing: &InFlight| {
            let versions = thing.versions as u64;
            let digit = number % versions;
            number /= versions;
            digit as usize
        };
        self.in_flight.iter().map(digit).collect()
    }
}

/// Draws one subset: a weight first, then each page whole or torn, each other thing for itself.
#[must_use]
pub fn sample(in_flight: &[InFlight], rng: &mut Rng) -> Vec<usize> {
    let percent = *rng_choose(rng, &WEIGHTS);
    let mut page_before = None;
    let mut page_fate = None;
    let mut chosen = Vec::with_capacity(in_flight.len());
    for InFlight { what, versions } in in_flight {
        let page = match what {
            Unsynced::Sector { file, offset } => Some((file, offset / PAGE_BYTES as u64)),
            _ => None,
        };
        if page.is_none() || page != page_before {
            let is_torn = rng.one_in(3);
            page_fate = (page.is_some() && !is_torn).then(|| rng.below(100) < percent);
        }
        page_before = page;
        let survives = page_fate.unwrap_or_else(|| rng.below(100) < percent);
        chosen.push(match survives {
            false => 0,
            true if *versions > 2 && rng.one_in(2) => rng.between(1, *versions as u64 - 1) as usize,
            true => versions - 1,
        });
    }
    chosen
}

/// What is left, in words.
#[must_use]
pub fn describe(in_flight: &[InFlight], chosen: &[usize]) -> String {
    let left = in_flight.iter().zip(chosen).filter(|(_, version)| **version > 0);
    let names: Vec<String> = left
        .map(|(thing, version)| match *version + 1 == thing.versions {
            true => name(&thing.what),
            false => format!("{} (an earlier version)", name(&thing.what)),
        })
        .collect();
    match names.len() {
        0 => format!("of {} things in flight nothing is left", in_flight.len()),
        _ => {
            format!("of {} things in flight these are left: {}", in_flight.len(), names.join(", "))
        }
    }
}

fn name(what: &Unsynced) -> String {
    match what {
        Unsynced::Create(file) | Unsynced::Link(file) => format!("the name {file}"),
        Unsynced::Rename { to, .. } => format!("the new name {to}"),
        Unsynced::Remove(file) => format!("the removal of {file}"),
        Unsynced::Length(file) => format!("the length of {file}"),
        Unsynced::Sector { file, offset } => format!("{file} at {offset}"),
        _ => "something".to_owned(),
    }
}

fn rng_choose<'a, T>(rng: &mut Rng, among: &'a [T]) -> &'a T {
    rng.choose(among)
}

/// The chances that a sample draws from, in percent.
const WEIGHTS: [u64; 5] = [5, 25, 50, 75, 95];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sectors(count: u64, versions: usize) -> Vec<InFlight> {
        let sector = |number| Unsynced::Sector { file: "f".to_owned(), offset: number * 512 };
        (0..count).map(|number| InFlight { what: sector(number), versions }).collect()
    }

    fn all(in_flight: &[InFlight], all_max: u64, sampled: u64) -> (bool, Vec<Vec<usize>>) {
        let mut rng = Rng::with_seed(3);
        let mut subsets = Subsets::new(in_flight, all_max, sampled);
        let is_all = subsets.is_all();
        (is_all, std::iter::from_fn(|| subsets.next(&mut rng)).collect())
    }

    #[test]
    fn few_things_are_tried_in_every_combination() {
        let (is_all, found) = all(&sectors(3, 3), 27, 5);
        let distinct: BTreeSet<_> = found.iter().collect();
        assert!(is_all && found.len() == 27 && distinct.len() == 27);
        assert_eq!(all(&[], 1, 5), (true, vec![vec![]]));
    }

    #[test]
    fn of_many_things_none_and_all_are_tried_and_a_sample() {
        let (is_all, found) = all(&sectors(40, 2), 1024, 9);
        assert!(!is_all && found.len() == 9);
        assert_eq!((&found[0], &found[1]), (&vec![0; 40], &vec![1; 40]));
        assert!(found[2..].iter().any(|one| one.contains(&0) && one.contains(&1)));
    }
}
