//! Where commit times come from.
//!
//! Owns: [`Clock`]. That times never run backwards in the log is the committer's business.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use quipu_format::CommitTime;

/// The system's clock, or a counter for logs whose every step must repeat.
#[derive(Debug)]
pub(crate) enum Clock {
    System,
    #[cfg_attr(not(feature = "sim"), allow(dead_code))] // only simulation counts
    Counting(AtomicU64),
}

impl Clock {
    /// The time, in nanoseconds since the Unix epoch; 0 where the system's clock is before it.
    pub(crate) fn now(&self) -> CommitTime {
        let nanoseconds = match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            Self::Counting(ticks) => ticks.fetch_add(1, Ordering::Relaxed),
        };
        CommitTime::new(nanoseconds)
    }
}
