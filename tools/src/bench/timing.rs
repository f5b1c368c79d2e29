//! How long something is done, and how long each time takes.
//!
//! Owns: [`Slice`], [`Timings`]. Calls nothing.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::interrupt;

/// A piece of time to do one thing in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice<'a> {
    pub(super) length: Duration,
    pub(super) interrupted: &'a AtomicBool,
}

/// What a slice came to.
#[derive(Debug, Clone)]
pub(super) struct Timings {
    pub(super) count: u64,
    pub(super) took: Duration,
    /// Of each time, in nanoseconds.
    pub(super) each: Histogram<u64>,
}

impl Slice<'_> {
    /// Does it again and again until the slice is over, and once at least.
    pub(super) fn repeat(
        &self,
        mut once: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Timings> {
        let mut each = empty();
        let started = Instant::now();
        loop {
            interrupt::check(self.interrupted)?;
            let before = Instant::now();
            once()?;
            each.saturating_record(nanos(before.elapsed()));
            let took = started.elapsed();
            if took >= self.length {
                return Ok(Timings { count: each.len(), took, each });
            }
        }
    }
}

impl Timings {
    /// What several threads have done in the same slice.
    pub(super) fn together(all: Vec<Self>) -> Self {
        let mut sum = Self { count: 0, took: Duration::ZERO, each: empty() };
        for one in all {
            sum.count += one.count;
            sum.took = sum.took.max(one.took);
            // Both have the same bounds.
            let _ = sum.each.add(&one.each);
        }
        sum
    }

    pub(super) fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Up to a minute, with three digits.
pub(super) fn empty() -> Histogram<u64> {
    Histogram::new_with_max(MINUTE_NANOS, DIGITS).expect("these bounds are allowed")
}

const MINUTE_NANOS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
