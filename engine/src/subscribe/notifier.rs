//! Wakes whoever waits for the end of the log to move.
//!
//! Owns: [`Notifier`]. Calls nothing of the engine.
//!
//! An append costs one look at a counter while nobody waits, and one wake-up in bulk if somebody
//! does, however many they are: those in threads share a condition variable, whose `notify_all` hands
//! them from one to the next, and futures leave a waker each.
//!
//! Invariant: nobody sleeps through a change. Whoever wants to wait is counted first and looks again
//! then; whoever changes something does that first and looks at the counter then. With a fence between
//! the two steps on either side, one of them sees the other.

use std::collections::HashMap;
use std::task::Waker;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sync::{Condvar, Instant, Mutex};

/// Who waits, and how they are woken.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    /// Threads that wait, or are about to, and wakers.
    waiting: AtomicUsize,
    closed: AtomicBool,
    wakers: Mutex<Wakers>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wakers {
    next: u64,
    by_place: HashMap<u64, Waker>,
}

/// The place of a future among those who wait.
#[derive(Debug)]
pub(crate) struct WakerPlace(u64);

impl Notifier {
    /// Something that is waited for has changed.
    pub(crate) fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let woken = {
            let mut wakers = self.wakers.lock();
            let woken = std::mem::take(&mut wakers.by_place);
            self.waiting.fetch_sub(woken.len(), Ordering::Relaxed);
            self.changed.notify_all();
            woken
        };
        woken.into_values().for_each(crate::append::ticket::wake);
    }

    /// How many wait, or are about to.
    pub(crate) fn waiting(&self) -> usize {
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed)
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.notify();
    }

    /// Whether nothing more will come. Asked before the last look at what has come.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Blocks until `is_over`, which is looked at after every change. `false`: the deadline came.
    pub(crate) fn wait(&self, deadline: Option<Instant>, is_over: impl Fn() -> bool) -> bool {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut wakers = self.wakers.lock();
        let over = loop {
            if is_over() {
                break true;
            }
            match deadline {
                None => self.changed.wait(&mut wakers),
                Some(deadline) if deadline <= Instant::now() => break false,
                Some(deadline) => {
                    self.changed.wait_until(&mut wakers, deadline);
                }
            }
        };
        drop(wakers);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        over
    }

    /// Leaves a waker, to be woken at the next change. What is waited for is looked at again
    /// afterwards.
    pub(crate) fn register(&self, place: &mut Option<WakerPlace>, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        let WakerPlace(at) = *place.get_or_insert_with(|| {
            wakers.next += 1;
            WakerPlace(wakers.next)
        });
        if wakers.by_place.insert(at, waker.clone()).is_none() {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        drop(wakers);
        fence(Ordering::SeqCst);
    }

    /// Takes the waker back.
    pub(crate) fn forget(&self, place: Option<WakerPlace>) {
        let Some(WakerPlace(at)) = place else { return };
        let forgotten = self.wakers.lock().by_place.remove(&at);
        if forgotten.is_some() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
