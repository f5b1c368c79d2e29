//! Many seeds, on all cores.
//!
//! Owns: [`Campaign`], [`Failure`]. May call: run, shrink, parallel.
//!
//! A seed decides everything of its case: the same seed gives the same script, the same states and
//! the same digest, on however many threads.

use fastrand::Rng;

use crate::effort::Effort;
use crate::explore::Explorer;
use crate::parallel::{Cases, caught};
use crate::run::run;
use crate::script::Script;
use crate::shrink::shrink;
use crate::tally::Tally;
use crate::violation::Found;

/// What to try.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// No seed is begun once so many states have been tried.
    pub states_max: u64,
    /// On so many threads.
    pub threads: usize,
    /// How much at each place.
    pub effort: Effort,
}

/// A seed with which a promise was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The smallest script that still fails.
    pub script: Script,
    /// What is wrong, and the way to it, in that script.
    pub found: Found,
    /// What has been tried until then.
    pub tally: Tally,
}

impl Campaign {
    /// Runs it. `progress` is called now and then with what has been counted so far.
    ///
    /// # Errors
    /// The first failure that was met.
    pub fn run(&self, progress: impl Fn(&Tally) + Sync) -> Result<Tally, Box<Failure>> {
        let Self { first_seed, seeds, states_max, threads, effort } = self;
        let seed_of = |number| first_seed.wrapping_add(number);
        let cases = Cases { count: *seeds, states_max: *states_max, threads: *threads };
        let tried = cases.run(progress, |number, tally| {
            let (counted, outcome) = one(seed_of(number), effort);
            *tally = counted;
            outcome
        });
        tried.map_err(|failed| {
            let (number, found, tally) = *failed;
            let seed = seed_of(number);
            let (script, found) = smallest(seed, found, effort);
            Box::new(Failure { seed, script, found, tally })
        })
    }
}

/// The script of a seed: every other one has calls that fail.
#[must_use]
pub fn script_of(seed: u64) -> Script {
    Script::draw(&mut Rng::with_seed(seed), seed % 2 == 1)
}

/// Runs one seed.
///
/// # Errors
/// The promise that is broken, beside what has been tried.
pub fn one(seed: u64, effort: &Effort) -> (Tally, Result<(), Found>) {
    attempt(&script_of(seed), seed, effort)
}

/// Runs a script, its states drawn from `seed`.
pub fn attempt(script: &Script, seed: u64, effort: &Effort) -> (Tally, Result<(), Found>) {
    let mut explorer = Explorer::new(seed, effort.clone());
    let outcome = caught(|| run(script, &mut explorer));
    (explorer.tally, outcome)
}

/// Makes the script of a failing seed smaller. Other scripts draw other states: each is tried with
/// several seeds.
fn smallest(seed: u64, found: Found, effort: &Effort) -> (Script, Found) {
    shrink(script_of(seed), found, SHRINK_ATTEMPTS, |script| {
        (0..SEEDS_EACH).find_map(|other| attempt(script, seed ^ other, effort).1.err())
    })
}

/// Scripts that are tried to make a failing one smaller.
const SHRINK_ATTEMPTS: u32 = 400;

/// Seeds with which each of them is tried.
const SEEDS_EACH: u64 = 2;
