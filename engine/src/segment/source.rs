//! Where the writer gets its next segment from.
//!
//! Owns: [`SegmentSource`] and its two kinds: [`Background`], whose thread prepares segments ahead
//! of need, and [`Inline`], which prepares them when asked, for a log without threads. May call:
//! prepare, latch.
//!
//! A sealed segment comes back here once, to be synced off the writer's path: its frames are
//! durable by then or with the group's own sync, but its seal may not be. Until it is, recovery can
//! make the seal again from the next segment's header.

use std::collections::VecDeque;
use std::sync::Arc;

use super::prepare::{Prepared, Preparer};
use crate::storage::latch::Latch;
use crate::storage::{File, IoError};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex};

/// Gives the writer its next segment, and takes back the one that is full.
pub(crate) trait SegmentSource: Send {
    /// The next segment. Waits if it is being prepared just now. An error has changed nothing:
    /// asked again, it tries again.
    fn take(&mut self) -> Result<Prepared, IoError>;

    /// Syncs a sealed segment, later.
    fn retire(&mut self, sealed: Sealed);
}

/// A sealed segment whose seal is not known to be durable.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) file: Arc<dyn File>,
    pub(crate) name: String,
}

impl Sealed {
    /// Syncs it. A failure shuts the latch: what the device holds is not known any more.
    fn sync(&self, latch: &Latch) {
        let _turn = latch.turn();
        if let Err(error) = self.file.sync() {
            latch.trip(IoError::new("sync", &self.name, error));
        }
    }
}

/// Prepares segments when asked: for a log without threads, on the simulated disk.
#[derive(Debug)]
pub(crate) struct Inline {
    preparer: Preparer,
    latch: Arc<Latch>,
    sealed: Option<Sealed>,
}

impl Inline {
    pub(crate) fn new(preparer: Preparer, latch: Arc<Latch>) -> Self {
        Self { preparer, latch, sealed: None }
    }
}

impl SegmentSource for Inline {
    fn take(&mut self) -> Result<Prepared, IoError> {
        // The seal before last: late on purpose, as a background thread may be.
        if let Some(sealed) = self.sealed.take() {
            sealed.sync(&self.latch);
        }
        self.preparer.prepare()
    }

    fn retire(&mut self, sealed: Sealed) {
        self.sealed = Some(sealed);
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        if let Some(sealed) = self.sealed.take() {
            sealed.sync(&self.latch);
        }
    }
}

/// Prepares segments on a thread of its own, ahead of need.
#[derive(Debug)]
pub(crate) struct Background {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Prepared>,
    sealed: VecDeque<Sealed>,
    /// The last attempt's failure, until somebody asks for a segment again.
    failure: Option<IoError>,
    stopped: bool,
}

impl Background {
    /// Starts the thread, which keeps `ahead` segments ready.
    pub(crate) fn start(
        preparer: Preparer,
        ahead: usize,
        latch: Arc<Latch>,
    ) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::default()), changed: Condvar::new() });
        let thread = thread::Builder::new().name("quipu-prepare".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(preparer, ahead, &latch)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl SegmentSource for Background {
    fn take(&mut self) -> Result<Prepared, IoError> {
        let mut state = self.shared.state.lock();
        // What failed before is tried anew: there may be room by now.
        state.failure = None;
        self.shared.changed.notify_all();
        loop {
            if let Some(prepared) = state.ready.pop_front() {
                self.shared.changed.notify_all();
                return Ok(prepared);
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            self.shared.changed.wait(&mut state);
        }
    }

    fn retire(&mut self, sealed: Sealed) {
        self.shared.state.lock().sealed.push_back(sealed);
        self.shared.changed.notify_all();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, mut preparer: Preparer, ahead: usize, latch: &Latch) {
        let mut state = self.state.lock();
        loop {
            if let Some(sealed) = state.sealed.pop_front() {
                drop(state);
                sealed.sync(latch);
                state = self.state.lock();
            } else if state.stopped {
                return;
            } else if state.ready.len() < ahead && state.failure.is_none() {
                drop(state);
                let prepared = preparer.prepare();
                state = self.state.lock();
                match prepared {
                    Ok(prepared) => state.ready.push_back(prepared),
                    Err(failure) => state.failure = Some(failure),
                }
                self.changed.notify_all();
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}
