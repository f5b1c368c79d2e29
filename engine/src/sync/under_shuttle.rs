//! The names of [`crate::sync`] when tests are built for `shuttle`.
//!
//! Owns: nothing. Every use of a lock, an atomic, the queue or the segment list is a place where
//! another thread may go on. `shuttle` takes every atomic access for sequentially consistent: what
//! weaker orders allow is for `loom` to show.

pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::thread_local;

pub(crate) use super::locks::{Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard};
pub(crate) use super::swap::ArcSwap;
pub(crate) use super::time::Instant;

/// `std::thread` as `shuttle` has it, but with timeouts that run out.
pub(crate) mod thread {
    use std::time::Duration;

    pub(crate) use shuttle::thread::*;

    use crate::sync::time;

    /// Waits for nothing: comes back because the time ran out, or for no reason, as a park may.
    pub(crate) fn park_timeout(timeout: Duration) {
        let deadline = time::Instant::now().checked_add(timeout);
        if time::runs_out() {
            time::advance_to(deadline);
        }
        yield_now();
    }
}
