//! What threads share, in one place, so that model checkers can stand in for it.
//!
//! Owns: the names under which the engine takes locks, atomics, the queue, threads and the clock
//! of timeouts. Calls nothing of the engine. In every normal build, tests included, the names are
//! those of `std`, `parking_lot`, `crossbeam-channel` and `arc-swap`, re-exported and nothing else.
//!
//! | built by | the names are | what it shows |
//! |---|---|---|
//! | `cargo` as usual | the real ones | what the tests in `tests/` show |
//! | tests with `--cfg quipu_loom` | those of `loom` where it has them | every order that the memory model allows, of small parts |
//! | tests with `--cfg quipu_shuttle` | those of `shuttle`, and the queue, the list and the clock made of them | many schedules of the whole writer |
//!
//! The models themselves are in `crate::models`, which says how to run them.
//!
//! Invariant: whatever two threads of the engine both touch goes through here, so that there is no
//! step of one that a checker cannot put between two steps of the other. What is left out: counts
//! of references (`Arc`, `Weak`), the counter that stands in for the clock of commit times, and
//! real files.

#[cfg(not(all(test, any(quipu_loom, quipu_shuttle))))]
mod plain {
    pub(crate) use std::sync::{OnceLock, atomic};
    pub(crate) use std::time::Instant;
    pub(crate) use std::{thread, thread_local};

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use crossbeam_channel as channel;
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard};
}
#[cfg(not(all(test, any(quipu_loom, quipu_shuttle))))]
pub(crate) use plain::*;

#[cfg(all(test, quipu_loom))]
mod under_loom;
#[cfg(all(test, quipu_loom))]
pub(crate) use under_loom::*;

#[cfg(all(test, quipu_shuttle))]
mod under_shuttle;
#[cfg(all(test, quipu_shuttle))]
pub(crate) use under_shuttle::*;

#[cfg(all(test, quipu_shuttle))]
pub(crate) mod channel;
#[cfg(all(test, any(quipu_loom, quipu_shuttle)))]
mod locks;
#[cfg(all(test, quipu_shuttle))]
mod swap;
#[cfg(all(test, quipu_shuttle))]
pub(crate) mod time;
