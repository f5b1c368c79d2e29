//! Locks with the calls of `parking_lot` and the checked locks of a model checker beneath.
//!
//! Owns: [`Mutex`], [`Condvar`], [`OnceLock`], and for `shuttle` [`RwLock`]. May call: the checker.
//!
//! Like `parking_lot`'s, the mutex is not fair: whoever lets go of it may have it again before one
//! that waits. (`shuttle-parking_lot`, which there is to stand in for `parking_lot`, hands every
//! lock to the one that waits longest, takes the lock to tell whether it is taken, and has no
//! condition variable.) Left out: the fair hand-over that `parking_lot` makes now and then, which
//! allows nothing that is not allowed here; and that a reader of an `RwLock` waits behind a writer
//! that waits: no thread holds two of the engine's read locks, and `shuttle` panics if one does.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(quipu_loom)]
use loom::sync as checked;
#[cfg(quipu_shuttle)]
use shuttle::sync as checked;

/// `parking_lot::Mutex`.
#[derive(Default)]
pub(crate) struct Mutex<T> {
    inner: checked::Mutex<T>,
    /// Changed in one step with the lock: there is no place to go on in between.
    held: AtomicBool,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { inner: checked::Mutex::new(value), held: AtomicBool::new(false) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard(inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.inner.try_lock() {
            Ok(inner) => Some(self.guard(inner)),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => {
                Some(self.guard(poisoned.into_inner()))
            }
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// A look that does not take the lock.
    pub(crate) fn is_locked(&self) -> bool {
        #[cfg(quipu_shuttle)]
        shuttle::thread::sleep(std::time::Duration::ZERO); // a place to go on
        self.held.load(Ordering::SeqCst)
    }

    fn guard<'a>(&'a self, inner: checked::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.held.store(true, Ordering::SeqCst);
        MutexGuard { inner: Some(inner), lock: &self.inner, held: &self.held }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// `parking_lot::MutexGuard`.
pub(crate) struct MutexGuard<'a, T> {
    /// `None` only while a condition variable has it, and on the way out.
    inner: Option<checked::MutexGuard<'a, T>>,
    lock: &'a checked::Mutex<T>,
    held: &'a AtomicBool,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect("the guard has the lock")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect("the guard has the lock")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.inner.take());
        self.held.store(false, Ordering::SeqCst);
    }
}

/// `parking_lot::Condvar`.
#[derive(Debug, Default)]
pub(crate) struct Condvar(checked::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(checked::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.inner.take().expect("the guard has the lock");
        guard.held.store(false, Ordering::SeqCst);
        guard.inner = Some(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner));
        guard.held.store(true, Ordering::SeqCst);
    }

    /// May come back at once, as any wait may.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: super::Instant) {
        drop(guard.inner.take());
        guard.held.store(false, Ordering::SeqCst);
        #[cfg(quipu_shuttle)]
        if super::time::runs_out() {
            super::time::advance_to(Some(deadline));
        }
        #[cfg(quipu_loom)]
        let _ = deadline;
        super::thread::yield_now();
        guard.inner = Some(guard.lock.lock().unwrap_or_else(PoisonError::into_inner));
        guard.held.store(true, Ordering::SeqCst);
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// `std::sync::OnceLock`, whose value is seen with the order that `std` promises.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: checked::atomic::AtomicBool,
    setting: checked::Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            is_set: checked::atomic::AtomicBool::new(false),
            setting: checked::Mutex::new(()),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.is_set.load(Ordering::Acquire).then(|| self.value.get()).flatten()
    }

    /// Whoever comes while another makes the value waits for it.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        let value = self.value.get_or_init(make);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceLock").finish_non_exhaustive()
    }
}

/// `parking_lot::RwLock`.
#[cfg(quipu_shuttle)]
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(checked::RwLock<T>);

#[cfg(quipu_shuttle)]
pub(crate) use checked::RwLockReadGuard;

#[cfg(quipu_shuttle)]
impl<T> RwLock<T> {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> checked::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
