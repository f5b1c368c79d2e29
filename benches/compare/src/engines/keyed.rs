//! What the engines that store by key have in common: giving out positions, and reading by them.
//!
//! Owns: [`Positions`]. Calls nothing.

use parking_lot::{Mutex, MutexGuard};

/// The next position, for engines that let several threads write at once and whose event store
/// would therefore give out positions under a lock of its own.
#[derive(Debug)]
pub(super) struct Positions(Mutex<u64>);

impl Positions {
    /// After `last`, the last one that is stored.
    pub(super) fn after(last: Option<u64>) -> Self {
        Self(Mutex::new(last.map_or(0, |last| last + 1)))
    }

    /// Keeps all others out until the guard goes; whoever stores events moves it on.
    pub(super) fn lock(&self) -> MutexGuard<'_, u64> {
        self.0.lock()
    }
}
