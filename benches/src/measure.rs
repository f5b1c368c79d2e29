//! Taking turns and counting.
//!
//! Owns: [`rate`] and [`rate_of_threads`] (how often something was done in a second), [`Ratios`]
//! (median, least and most of several rounds). Calls nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Anything that can go wrong in a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often a second `once` is done, over at least `duration`.
///
/// # Errors
/// The first failure of `once`.
pub fn rate(
    duration: Duration,
    mut once: impl FnMut() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut count = 0_u64;
    loop {
        once()?;
        count += 1;
        let taken = started.elapsed();
        if taken >= duration {
            return Ok(count as f64 / taken.as_secs_f64());
        }
    }
}

/// As [`rate`], from several threads at once; each is told its number.
///
/// # Errors
/// The first failure of `once`.
pub fn rate_of_threads(
    duration: Duration,
    threads: usize,
    once: impl Fn(usize) -> Result<(), Failure> + Sync,
) -> Result<f64, Failure> {
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let count = thread::scope(|scope| {
        let (once, over) = (&once, &over);
        let run = move |thread| {
            let mut count = 0_u64;
            while !over.load(Ordering::Relaxed) {
                once(thread)?;
                count += 1;
            }
            Ok::<u64, Failure>(count)
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        thread::sleep(duration);
        over.store(true, Ordering::Relaxed);
        let mut total = 0;
        for thread in running {
            total += thread.join().map_err(|_| Failure::from("a thread panicked"))??;
        }
        Ok::<u64, Failure>(total)
    })?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// One workload over several rounds: the engine's rates and the floor's, in pairs.
#[derive(Debug, Clone, Default)]
pub struct Ratios {
    engine: Vec<f64>,
    floor: Vec<f64>,
}

impl Ratios {
    /// Adds one round.
    pub fn add(&mut self, engine: f64, floor: f64) {
        self.engine.push(engine);
        self.floor.push(floor);
    }

    /// Median rates of the engine and of the floor.
    #[must_use]
    pub fn medians(&self) -> (f64, f64) {
        (spread(&self.engine).0, spread(&self.floor).0)
    }

    /// How many times the floor's time the engine takes: median, least and most of the rounds.
    #[must_use]
    pub fn ratio(&self) -> (f64, f64, f64) {
        let ratios: Vec<f64> =
            self.engine.iter().zip(&self.floor).map(|(engine, floor)| floor / engine).collect();
        spread(&ratios)
    }
}

/// Median, least and most.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)))
}
