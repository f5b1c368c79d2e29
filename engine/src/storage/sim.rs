//! The simulated disk: every crash, failed call and decayed sector that a log must live with, from
//! one seed.
//!
//! A [`SimDisk`] is a [`Directory`](super::Directory) in memory. Live bytes, which the running
//! machine sees, and durable bytes, which a power cut leaves, are kept apart. Driven by one thread,
//! the same seed and the same calls give the same bytes; it may be used from several threads.
//!
//! # The faults
//!
//! - **Crash.** An *effect* is one create, prepare, store, sync, rename, remove or directory sync.
//!   [`SimDisk::crash_after`] lets so many more of them happen; the next does not, and from then
//!   on every call fails (see [`is_machine_down`]).
//! - **What a crash leaves.** [`SimDisk::reboot`] makes the disk that the machine finds when it
//!   comes up. All that was under a successful sync is there. Of what was stored since, each
//!   512-byte sector holds, independently, what it held at that sync, what it held last, or what
//!   it held in between: the system may write a page back at any moment, also in the middle of a
//!   store, and at every store the seed decides whether that is kept as a possibility. A
//!   length since the last sync may be there, not, or in part. Each create, rename and remove
//!   since the last directory sync is there or not, whatever became of the others.
//! - **Which of them** is up to [`Survivors`]: none, all, drawn by the seed, or an explicit choice
//!   for each of [`SimDisk::in_flight`], for tests that try them all. A crashed disk can be
//!   rebooted any number of times: each gives a disk of its own. [`SimDisk::if_rebooted`] gives
//!   them without a crash.
//! - **A failed sync** (by [`SimDisk::fail`]) leaves any of the above on disk and drops the dirty
//!   marks: the next sync succeeds without writing them, while every read goes on showing them,
//!   also to the next process ([`SimDisk::restart_process`]).
//! - **Failed calls.** A [`FaultPlan`] makes the n-th call of a kind fail, once or from then on,
//!   with `EIO`, `ENOSPC`, `EMFILE` or `EINTR`; a positioned store may have stored a part by then.
//!   [`SimDisk::set_capacity`] makes the disk run full by itself, and gives it room again.
//!   A store into a mapping cannot fail, other than by a crash.
//! - **Decay.** [`SimDisk::corrupt`] flips a bit, zeroes a sector, or makes it unreadable. Files can be
//!   taken out, put back, and put there by hand ([`SimDisk::read_file`], [`SimDisk::write_file`]).
//!
//! # What is not modelled
//!
//! Sectors that tear within 512 bytes; a device that loses what it has acknowledged (use
//! [`SimDisk::corrupt`]); directories within the directory; SIGBUS. The lock takes no file.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

pub use decay::Decay;
pub use fault::{Errno, FaultPlan, Operation, is_machine_down};
pub use survivors::{InFlight, Survivors, Unsynced};

use super::Entry;
use image::Image;
use state::{SimInode, State};

mod decay;
mod directory;
mod fault;
mod file;
mod image;
mod names;
mod state;
mod survivors;
#[cfg(test)]
mod tests;

/// A handle on a simulated disk, as one boot and one process of the machine see it.
///
/// Clones are handles of the same process. After [`SimDisk::restart_process`] only the new handle,
/// and what was opened through it, can touch files. What steers the simulation ([`SimDisk::fail`],
/// [`SimDisk::effects`], [`SimDisk::read_file`] and so on) works on any handle, in any state.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    process: u32,
}

impl SimDisk {
    /// An empty disk whose every draw comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(seed))
    }

    fn with(state: State) -> Self {
        let process = state.process;
        Self { state: Arc::new(Mutex::new(state)), process }
    }

    /// How many effects have happened since the machine came up.
    pub fn effects(&self) -> u64 {
        self.state.lock().effects
    }

    /// Cuts the power after `effects` more effects: the one after them does not happen.
    pub fn crash_after(&self, effects: u64) {
        let mut state = self.state.lock();
        state.crash_at = Some(state.effects.saturating_add(effects));
    }

    /// Cuts the power now.
    pub fn crash(&self) {
        self.state.lock().is_down = true;
    }

    /// Whether the power is cut.
    pub fn is_down(&self) -> bool {
        self.state.lock().is_down
    }

    /// The disk that the machine finds after a power cut, which this makes if there was none yet.
    /// It is a disk of its own, without fault plans: this one stays as it crashed and can be
    /// rebooted again, with other survivors.
    pub fn reboot(&self, survivors: &Survivors) -> Self {
        let mut state = self.state.lock();
        state.is_down = true;
        Self::with(state.rebooted(survivors))
    }

    /// The disk that the machine would find after a power cut at this moment. Unlike
    /// [`SimDisk::reboot`] it cuts no power: one run can be looked at after each of its effects.
    pub fn if_rebooted(&self, survivors: &Survivors) -> Self {
        Self::with(self.state.lock().rebooted(survivors))
    }

    /// What a crash at this moment may leave or take, in the order in which [`Survivors::Chosen`]
    /// chooses.
    pub fn in_flight(&self) -> Vec<InFlight> {
        self.state.lock().in_flight()
    }

    /// Kills the process and starts the next: locks are released, what was open fails from then
    /// on, and the machine's view of the files stays as it was.
    pub fn restart_process(&self) -> Self {
        let process = self.state.lock().restart_process();
        Self { state: Arc::clone(&self.state), process }
    }

    /// Adds a plan for calls to fail. With several that fit a call, the first added is taken.
    pub fn fail(&self, plan: FaultPlan) {
        self.state.lock().faults.push(plan);
    }

    /// Drops every fault plan.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// How many bytes fit, in pages of 4 KiB; `None` (as at first) for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes taken by files, in whole pages.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Every file, as the running machine sees it.
    pub fn files(&self) -> Vec<Entry> {
        self.state.lock().list()
    }

    /// A file's bytes, as the running machine sees them.
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        self.state.lock().named(name).map(|inode| inode.image.live().to_vec())
    }

    /// A file's bytes that are sure to survive a crash. Its name need not be.
    pub fn durable_file(&self, name: &str) -> Option<Vec<u8>> {
        self.state.lock().named(name).map(|inode| inode.image.durable().to_vec())
    }

    /// Puts a file there, durable with its name, in place of what had that name. No effect.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state.lock();
        let id = state.add(SimInode::new(name, Image::holding(bytes)));
        state.names.put(name, id);
    }

    /// Takes a file away, durably. Answers whether there was one. No effect.
    pub fn remove_file(&self, name: &str) -> bool {
        self.state.lock().names.take(name)
    }

    /// Lets a file decay at rest: what it holds live and durable both. Mappings made before do not
    /// show it. Answers whether the file is there and long enough.
    pub fn corrupt(&self, name: &str, decay: Decay) -> bool {
        self.state.lock().named_mut(name).is_some_and(|inode| inode.decay(decay))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("process", &self.process)
            .field("effects", &state.effects)
            .field("is_down", &state.is_down)
            .field("files", &state.list().len())
            .finish()
    }
}

/// Bytes of a sector: what a crash leaves whole.
pub const SECTOR_BYTES: usize = 512;

/// Bytes of a page: what the system writes back.
pub const PAGE_BYTES: usize = 4096;
