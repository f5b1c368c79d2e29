//! Models of what threads share, run by model checkers.
//!
//! Owns: the small lock-free parts under `loom`, which tries every order that the memory model
//! allows (`memory`), and the whole writer on the simulated disk under `shuttle`, which tries many
//! schedules (`schedules`). Each model is a test whose name says what must hold. Built only for a
//! checker, which [`crate::sync`] puts in the place of the real locks and atomics. `.ci/models`
//! runs them all, or by hand:
//!
//! ```sh
//! RUSTFLAGS='--cfg quipu_loom' cargo test -p quipu --lib --profile unasserted model
//! RUSTFLAGS='--cfg quipu_shuttle' cargo test -p quipu --lib model
//! ```
//!
//! A failure under `shuttle` prints its schedule; `QUIPU_SCHEDULE` runs it again.
//!
//! | what | by | not shown |
//! |---|---|---|
//! | landmarks, watermarks, a region's mark, the latch, a ticket | `loom`: all orders of two or three threads | more threads, more steps |
//! | queue, two writer threads, tickets, commits in place, preparation of segments, segment list, sync, close, interval and idle mark, readers | `shuttle`: drawn schedules of up to nine threads | orders weaker than sequential consistency, schedules not drawn, stores while a sync is under way (a call of the simulated disk is one step) |
//! | the same on real files | the thread sanitizer, with a nightly toolchain | races hidden by `tests/thread_sanitizer.supp`, orders that the run did not have |
//!
//! The three overlap where it matters: `loom` shows that a mark promises what was stored before it,
//! `shuttle` that the writer raises its marks in the right places, the sanitizer that no access
//! goes past the marks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

#[cfg(quipu_loom)]
pub(crate) mod memory;
#[cfg(quipu_shuttle)]
mod schedules;
