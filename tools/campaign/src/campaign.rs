//! Many seeds, on all cores.
//!
//! Owns: [`Campaign`], [`Failure`], [`one`]. May call: run, shrink.
//!
//! A seed decides everything of its case: the same seed gives the same script, the same states and
//! the same digest, on however many threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;

use crate::explore::{Effort, Explorer};
use crate::run::run;
use crate::script::Script;
use crate::shrink::shrink;
use crate::tally::Tally;
use crate::violation::{Found, Violation};

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
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let total = Mutex::new(Tally::default());
        let failed: Mutex<Option<(u64, Found)>> = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds {
                            break;
                        }
                        let seed = self.first_seed.wrapping_add(number);
                        let (tally, outcome) = one(seed, &self.effort);
                        let mut total = total.lock().unwrap_or_else(|held| held.into_inner());
                        total.add(&tally);
                        progress(&total);
                        if total.states >= self.states_max {
                            stop.store(true, Ordering::Relaxed);
                        }
                        if let Err(found) = outcome {
                            stop.store(true, Ordering::Relaxed);
                            let mut failed = failed.lock().unwrap_or_else(|held| held.into_inner());
                            failed.get_or_insert((seed, found));
                        }
                    }
                });
            }
        });
        let tally = total.into_inner().unwrap_or_else(|held| held.into_inner());
        match failed.into_inner().unwrap_or_else(|held| held.into_inner()) {
            None => Ok(tally),
            Some((seed, found)) => {
                let (script, found) = smallest(seed, found, &self.effort);
                Err(Box::new(Failure { seed, script, found, tally }))
            }
        }
    }
}

/// The script of a seed.
#[must_use]
pub fn script_of(seed: u64) -> Script {
    let mut rng = Rng::with_seed(seed);
    let mishaps = seed % 2 == 1;
    Script::draw(&mut rng, mishaps)
}

/// Runs one seed.
pub fn one(seed: u64, effort: &Effort) -> (Tally, Result<(), Found>) {
    attempt(&script_of(seed), seed, effort)
}

/// Runs a script, its states drawn from `seed`. A panic is a violation like any other.
pub fn attempt(script: &Script, seed: u64, effort: &Effort) -> (Tally, Result<(), Found>) {
    let mut explorer = Explorer::new(seed, effort.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| run(script, &mut explorer)));
    let outcome = outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Violation::Panic(message.unwrap_or_default()).into())
    });
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
