//! The names of [`crate::sync`] when tests are built for `loom`.
//!
//! Owns: nothing. Atomics, locks and threads are checked; the queue, the segment list, the index's
//! lock and the clock are the real ones, and no model of `loom` touches them.

use std::time::Duration;

pub(crate) use std::time::Instant;

pub(crate) use arc_swap::ArcSwap;
pub(crate) use crossbeam_channel as channel;
pub(crate) use loom::sync::atomic;
pub(crate) use parking_lot::{RwLock, RwLockReadGuard};

pub(crate) use super::locks::{Condvar, Mutex, MutexGuard, OnceLock};

/// `loom`'s macro is of an edition that takes no `const` block for an expression.
macro_rules! local_to_a_thread {
    ($(static $name:ident: $type:ty = const { $init:expr };)*) => {
        loom::thread_local! { $(static $name: $type = $init;)* }
    };
}
pub(crate) use local_to_a_thread as thread_local;

/// `std::thread` as `loom` has it.
pub(crate) mod thread {
    pub(crate) use loom::thread::*;

    /// May come back at once, as any timeout may.
    pub(crate) fn park_timeout(_timeout: super::Duration) {
        yield_now();
    }
}
