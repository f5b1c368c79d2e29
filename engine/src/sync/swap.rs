//! A value that is taken and replaced in one step, with the calls of `arc-swap`, for `shuttle`.
//!
//! Owns: [`ArcSwap`]. Nobody waits: the lock inside is never held where another thread may go on.
//! Left out: what `arc-swap` does about counts of references.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shuttle::thread;

/// `arc_swap::ArcSwap`.
#[derive(Debug)]
pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        thread::sleep(Duration::ZERO); // a place to go on
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.load_full()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        thread::sleep(Duration::ZERO); // a place to go on
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}
