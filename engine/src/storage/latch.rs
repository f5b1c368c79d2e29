//! The latch that stays shut after the first failed write or sync.
//!
//! Owns: the first cause. A failed `fdatasync` marks the pages clean, so that a second one would
//! answer success for bytes that the device does not have; hence nothing here ever opens the latch
//! again. Reopening the log makes a new one.
//!
//! Invariants:
//! - Every [`Latch::check`] after the first [`Latch::trip`] has returned gives that first cause and
//!   no other.
//! - Whoever has the [`Latch::turn`] and finds the latch open may sync: nobody else's sync has failed
//!   and is still to be told of here.

use super::IoError;
use crate::sync::{Mutex, MutexGuard, OnceLock};

/// Set once, by the first failure; read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    first: OnceLock<IoError>,
    syncing: Mutex<()>,
}

impl Latch {
    /// An open latch.
    pub(crate) fn new() -> Self {
        Self { first: OnceLock::new(), syncing: Mutex::new(()) }
    }

    /// Waits until nobody syncs, and keeps others from it until the answer is dropped: a sync that
    /// fails is to have shut the latch before the next one, which would be told of success.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock()
    }

    /// The first cause, where the latch has been tripped.
    pub(crate) fn check(&self) -> Result<(), IoError> {
        match self.first.get() {
            None => Ok(()),
            Some(cause) => Err(cause.clone()),
        }
    }

    /// Shuts the latch. Answers the first cause: `cause` itself, or that of whoever came before.
    pub(crate) fn trip(&self, cause: IoError) -> IoError {
        let tell = |cause| {
            tracing::error!(%cause, "the log takes no more: it is to be opened again");
            cause
        };
        self.first.get_or_init(|| tell(cause)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn cause(operation: &'static str) -> IoError {
        IoError::new(operation, "0001.seg", io::Error::from_raw_os_error(libc::EIO))
    }

    #[test]
    fn a_new_latch_is_open() {
        assert!(Latch::new().check().is_ok());
    }

    #[test]
    fn the_first_cause_stays() {
        let latch = Latch::new();
        assert_eq!(latch.trip(cause("sync")).operation(), "sync");
        assert_eq!(latch.trip(cause("append")).operation(), "sync");
        assert_eq!(latch.check().unwrap_err().operation(), "sync");
    }

    #[test]
    fn threads_that_trip_at_once_all_hear_of_one_cause() {
        let latch = Latch::new();
        let heard: Vec<&'static str> = std::thread::scope(|scope| {
            let tripping: Vec<_> = ["sync", "append", "rename", "create"]
                .into_iter()
                .map(|operation| scope.spawn(|| latch.trip(cause(operation)).operation()))
                .collect();
            tripping.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let first = latch.check().unwrap_err().operation();
        assert!(heard.iter().all(|operation| *operation == first), "{heard:?}");
    }

    #[test]
    fn a_cause_says_what_failed_and_where() {
        assert_eq!(
            cause("sync").to_string(),
            "cannot sync 0001.seg: Input/output error (os error 5)"
        );
    }
}
