//! Where the writer gets its next segment from.
//!
//! Owns: [`SegmentSource`] and its two kinds: [`Background`], whose thread prepares segments ahead
//! of need, and [`Inline`], which prepares them when asked, for a log without threads. May call:
//! prepare, latch.
//!
//! A sealed segment comes back here once, to be synced off the writer's path: its frames are
//! durable by then or with the group's own sync, but its seal may not be. Until it is, recovery can
//! make the seal again from the next segment's header. Then it gets its index ([`AfterSeal`]), when
//! no segment is to be prepared.

use std::collections::VecDeque;
use std::sync::Arc;

use super::prepare::{Prepared, Preparer};
use super::reader::Segment;
use crate::stats::Counters;
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

/// What is done with a segment once it is sealed and on the device, with all in front of it.
pub(crate) trait AfterSeal: std::fmt::Debug + Send {
    /// Called once for each, in order, on the thread that prepares segments.
    fn sealed_and_synced(&self, segment: &Arc<Segment>);
}

/// A sealed segment whose seal is not known to be durable.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) file: Arc<dyn File>,
    pub(crate) segment: Arc<Segment>,
}

impl Sealed {
    /// Syncs it. A failure shuts the latch: what the device holds is not known any more. Gives the
    /// segment if all of it is on the device.
    fn sync(self, latch: &Latch) -> Option<Arc<Segment>> {
        let _turn = latch.turn();
        if let Err(error) = self.file.sync() {
            latch.trip(IoError::new("sync", self.segment.name(), error));
        }
        // An earlier failure may have been about this very segment, or one in front of it.
        latch.check().is_ok().then_some(self.segment)
    }
}

/// Prepares segments when asked: for a log without threads, on the simulated disk.
#[derive(Debug)]
pub(crate) struct Inline {
    preparer: Preparer,
    latch: Arc<Latch>,
    after_seal: Box<dyn AfterSeal>,
    sealed: Option<Sealed>,
}

impl Inline {
    pub(crate) fn new(
        preparer: Preparer,
        latch: Arc<Latch>,
        after_seal: Box<dyn AfterSeal>,
    ) -> Self {
        Self { preparer, latch, after_seal, sealed: None }
    }

    fn finish_sealed(&mut self) {
        if let Some(segment) = self.sealed.take().and_then(|sealed| sealed.sync(&self.latch)) {
            self.after_seal.sealed_and_synced(&segment);
        }
    }
}

impl SegmentSource for Inline {
    fn take(&mut self) -> Result<Prepared, IoError> {
        // The seal before last: late on purpose, as a background thread may be.
        self.finish_sealed();
        self.preparer.prepare()
    }

    fn retire(&mut self, sealed: Sealed) {
        self.sealed = Some(sealed);
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.finish_sealed();
    }
}

/// So many sealed segments may wait for their index, which takes memory meanwhile; who seals one
/// more waits.
const UNINDEXED_MAX: usize = 16;

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
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Prepared>,
    sealed: VecDeque<Sealed>,
    /// Synced, and without an index.
    synced: VecDeque<Arc<Segment>>,
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
        after_seal: Box<dyn AfterSeal>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            counters,
        });
        let thread = thread::Builder::new().name("quipu-prepare".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(preparer, ahead, &latch, &*after_seal)
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
                self.shared.counters.ready(state.ready.len());
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
        let mut state = self.shared.state.lock();
        while state.sealed.len() + state.synced.len() >= UNINDEXED_MAX {
            self.shared.changed.wait(&mut state);
        }
        state.sealed.push_back(sealed);
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
    fn run(&self, mut preparer: Preparer, ahead: usize, latch: &Latch, after_seal: &dyn AfterSeal) {
        let mut state = self.state.lock();
        loop {
            if let Some(sealed) = state.sealed.pop_front() {
                drop(state);
                let synced = sealed.sync(latch);
                state = self.state.lock();
                state.synced.extend(synced);
                self.changed.notify_all();
            } else if !state.stopped && state.ready.len() < ahead && state.failure.is_none() {
                drop(state);
                let prepared = preparer.prepare();
                state = self.state.lock();
                match prepared {
                    Ok(prepared) => {
                        state.ready.push_back(prepared);
                        self.counters.ready(state.ready.len());
                    }
                    Err(failure) => state.failure = Some(failure),
                }
                self.changed.notify_all();
            } else if let Some(segment) = state.synced.pop_front() {
                drop(state);
                after_seal.sealed_and_synced(&segment);
                state = self.state.lock();
                self.changed.notify_all();
            } else if state.stopped {
                return;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}
