//! What comes from outside: the time, and the id of a new log.
//!
//! Owns: [`Environment`]. That times never run backwards in the log is the committer's business.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use quipu_format::{CommitTime, LogId};

/// Each holds an index while it is built.
const THREADS_MAX: usize = 16;

/// The system, or a stand-in for logs whose every step must repeat.
#[derive(Debug)]
pub(crate) enum Environment {
    System,
    /// Times are counted, and the id is given.
    #[cfg_attr(not(feature = "sim"), allow(dead_code))] // only simulation repeats itself
    Repeatable {
        ticks: AtomicU64,
        log_id: LogId,
    },
}

impl Environment {
    /// The time, in nanoseconds since the Unix epoch; 0 where the system's clock is before it.
    pub(crate) fn now(&self) -> CommitTime {
        let nanoseconds = match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            Self::Repeatable { ticks, .. } => ticks.fetch_add(1, Ordering::Relaxed),
        };
        CommitTime::new(nanoseconds)
    }

    /// How many threads may work at once where the order of what they do does not matter.
    pub(crate) fn threads(&self) -> usize {
        match self {
            Self::System => {
                std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX)
            }
            Self::Repeatable { .. } => 1,
        }
    }

    /// A number for this opening of a log, another one than that of the opening `before`.
    pub(crate) fn new_session(&self, before: u64) -> u64 {
        let mut drawn = [0; 8];
        match self {
            // Whoever has no random bytes has counted up at least.
            Self::System if getrandom::fill(&mut drawn).is_ok() => u64::from_le_bytes(drawn),
            Self::System | Self::Repeatable { .. } => before.wrapping_add(1),
        }
    }

    /// The id of a new log.
    pub(crate) fn new_log_id(&self) -> io::Result<LogId> {
        match self {
            Self::System => {
                let mut id = [0; 16];
                getrandom::fill(&mut id).map_err(io::Error::other)?;
                Ok(LogId::from_bytes(id))
            }
            Self::Repeatable { log_id, .. } => Ok(*log_id),
        }
    }
}
