//! A clock for timeouts that runs as the schedule draws, for `shuttle`.
//!
//! Owns: [`Instant`], and the one clock of a run. May call: the checker's draws, which belong to the
//! schedule and are replayed with it.
//!
//! A timeout may run out at any moment: that takes the clock to its deadline. Between two looks the
//! clock may also jump by itself, unless the model asks it to stand still: then it shows what the
//! timeouts alone have waited for. Left out: that a timeout runs out at all; no model depends on
//! it in bounded time, and a thread that waits with a timeout always draws again.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

/// What [`std::time::Instant`] is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

/// Whether the clock runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It jumps at times.
    Jumping,
    /// It shows what timeouts have waited for.
    Still,
}

// All threads of a run are turns on one thread of the system, and a run never leaves it.
std::thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static PACE: Cell<Pace> = const { Cell::new(Pace::Jumping) };
}

/// A new run begins.
pub(crate) fn restart(pace: Pace) {
    NOW.set(Duration::ZERO);
    PACE.set(pace);
}

/// Draws whether a timeout runs out now.
pub(crate) fn runs_out() -> bool {
    thread_rng().gen_ratio(1, 4)
}

/// A timeout has run out. `None`: it was too far away to be told.
pub(crate) fn advance_to(deadline: Option<Instant>) {
    if let Some(Instant(deadline)) = deadline {
        NOW.set(NOW.get().max(deadline));
    }
}

impl Instant {
    pub(crate) fn now() -> Self {
        if PACE.get() == Pace::Jumping && thread_rng().gen_ratio(1, 8) {
            let jump = thread_rng().gen_range(JUMP_MILLIS);
            NOW.set(NOW.get() + Duration::from_millis(jump));
        }
        Self(NOW.get())
    }

    pub(crate) fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    pub(crate) fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// From less than the shortest timeout to more than most.
const JUMP_MILLIS: RangeInclusive<u64> = 0..=1_000;
