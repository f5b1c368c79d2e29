//! The floors: the same bytes with the same promise, and nothing else.
//!
//! Owns: [`Floor`] (one thread, store and sync), [`GroupCommit`] (many threads, one sync for all
//! that wait), [`pipelined`] (one thread that stores while another syncs). May call: prepared. No
//! checks, no index, no checksums, no positions: what a log adds is the distance to these.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;

use parking_lot::{Condvar, Mutex};

use crate::prepared::PreparedFile;

/// How bytes get into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A copy into the mapping.
    Copy,
    /// A positioned write.
    Write,
}

/// One thread that stores, and syncs if it wants to.
#[derive(Debug)]
pub struct Floor {
    file: PreparedFile,
    store: Store,
}

/// The length of a floor's file: that of a segment.
pub const FILE_BYTES: usize = 64 << 20;

impl Floor {
    /// In a new file at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &Path, store: Store) -> io::Result<Self> {
        Ok(Self { file: PreparedFile::new(path, FILE_BYTES)?, store })
    }

    /// Stores `bytes`; they are in the page cache.
    ///
    /// # Errors
    /// What the system says.
    pub fn buffered(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.store {
            Store::Copy => self.file.copy(bytes),
            Store::Write => self.file.write(bytes),
        }
    }

    /// Stores `bytes` and syncs; they are on the device.
    ///
    /// # Errors
    /// What the system says.
    pub fn durable(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffered(bytes)?;
        self.file.sync()
    }
}

/// An ideal group commit: whoever comes stores its bytes; one of those who wait syncs for all.
#[derive(Debug)]
pub struct GroupCommit {
    state: Mutex<GroupState>,
    synced: Condvar,
    file: File,
}

#[derive(Debug)]
struct GroupState {
    floor: Floor,
    stored: u64,
    synced: u64,
    leading: bool,
}

impl GroupCommit {
    /// In a new file at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &Path, store: Store) -> io::Result<Self> {
        let floor = Floor::new(path, store)?;
        let file = floor.file.handle()?;
        let state = GroupState { floor, stored: 0, synced: 0, leading: false };
        Ok(Self { state: Mutex::new(state), synced: Condvar::new(), file })
    }

    /// Stores `bytes` and waits until they are on the device.
    ///
    /// # Errors
    /// What the system says.
    pub fn durable(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.floor.buffered(bytes)?;
        state.stored += 1;
        let mine = state.stored;
        while state.synced < mine {
            if state.leading {
                self.synced.wait(&mut state);
                continue;
            }
            state.leading = true;
            let stored = state.stored;
            drop(state);
            let answer = self.file.sync_data();
            state = self.state.lock();
            state.leading = false;
            state.synced = stored;
            self.synced.notify_all();
            answer?;
        }
        Ok(())
    }
}

/// One thread stores `bytes` again and again, at most `in_flight_max` times ahead of what is on the
/// device, while another syncs without a pause. Ends after `count` times.
///
/// # Errors
/// What the system says.
pub fn pipelined(
    floor: &mut Floor,
    bytes: &[u8],
    in_flight_max: u64,
    count: u64,
) -> io::Result<()> {
    struct Flow {
        stored: u64,
        synced: u64,
    }
    let file = floor.file.handle()?;
    let (flow, changed) = (Mutex::new(Flow { stored: 0, synced: 0 }), Condvar::new());
    thread::scope(|scope| {
        let syncing = scope.spawn(|| -> io::Result<()> {
            loop {
                let mut state = flow.lock();
                while state.stored == state.synced && state.synced < count {
                    changed.wait(&mut state);
                }
                if state.synced == count {
                    return Ok(());
                }
                let stored = state.stored;
                drop(state);
                file.sync_data()?;
                flow.lock().synced = stored;
                changed.notify_all();
            }
        });
        let mut stored = 0;
        while stored < count {
            let room = {
                let mut state = flow.lock();
                while stored - state.synced >= in_flight_max {
                    changed.wait(&mut state);
                }
                (in_flight_max - (stored - state.synced)).min(PIECE).min(count - stored)
            };
            for _ in 0..room {
                floor.buffered(bytes)?;
            }
            stored += room;
            flow.lock().stored = stored;
            changed.notify_all();
        }
        syncing.join().map_err(|_| io::Error::other("the syncing thread panicked"))?
    })
}

/// Stored between two looks at how far the other thread is.
const PIECE: u64 = 64;
