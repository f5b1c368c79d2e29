//! The simulated disk: every crash, failed call and decayed sector that a log must live with, from
//! one seed.
//!
//! A [`SimDisk`] is a log's directory in memory. Live bytes, which the running
//! machine sees, and durable bytes, which a power cut leaves, are kept apart. Driven by one thread,
//! the same seed and the same calls give the same bytes; it may be used from several threads.
//!
//! # Crash-testing what is built on Quipu
//!
//! Whoever keeps a log can run it on a simulated disk, cut the power at any moment, let the disk
//! keep any part of what was not synced, and look whether their own promises hold. The same seed
//! gives the same run. `examples/crash_test_your_store.rs` is a whole store that does so.
//!
//! ```
//! use quipu::sim::{SimDisk, Survivors};
//! use quipu::{Batch, Event, Log};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! for seed in 0..100 {
//!     let disk = SimDisk::new(seed);
//!     disk.crash_after(seed); // so many effects on the disk happen, and no more
//!     let mut acknowledged = 0;
//!     if let Ok(log) = Log::open_simulated(&disk, Log::options().segment_bytes(8 << 10)) {
//!         while log.append(Batch::new().event("order-1", Event::new("Placed", "one"))).is_ok() {
//!             acknowledged += 1;
//!         }
//!     }
//!     let disk = disk.reboot(&Survivors::Random); // any part of the unsynced is there
//!     let log = Log::open_simulated(&disk, Log::options().segment_bytes(8 << 10))?;
//!     let found = log.read_stream("order-1", ..).into_iter().count();
//!     assert!(found == acknowledged || found == acknowledged + 1, "seed {seed}");
//! }
//! # Ok(())
//! # }
//! ```
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
//!   length since the last sync may be there, not, or in part. Each create, link, rename and remove
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
//! - **Decay.** [`SimDisk::corrupt`] changes a file at rest, at any moment, also between two
//!   openings: it flips a bit, zeroes a sector, makes it unreadable, puts what was meant for one
//!   sector on another, exchanges two pages, brings back a sector or page as it stood at an earlier
//!   sync, or cuts or lengthens the file. Where two places are involved they may be in two files.
//!   Older versions are there only after [`SimDisk::keep_history`]; without it they cost nothing.
//!   Files can be taken out, put back, and put there by hand ([`SimDisk::read_file`],
//!   [`SimDisk::write_file`]).
//!
//! # What is not modelled
//!
//! Sectors that tear within 512 bytes; a device that loses what it has acknowledged (use
//! [`SimDisk::corrupt`]); folders within folders ([`SimDisk::folder`] is always there); SIGBUS. The
//! lock takes no file, nor does the page by which readers in other processes follow the writer: a
//! power cut leaves what it said last.

use std::fmt;
use std::sync::Arc;

pub use decay::{Decay, Missed, Place};
pub use fault::{Errno, FaultPlan, Operation, is_machine_down};
pub use survivors::{InFlight, Survivors, Unsynced};

pub use super::Entry;
use crate::sync::Mutex;
use image::Image;
use state::{SimInode, State};

mod decay;
mod directory;
mod fault;
mod file;
mod history;
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
    names: Arc<Mutex<()>>,
    process: u32,
    /// Which folder it is: "" or a name and a slash.
    folder: Arc<str>,
}

impl SimDisk {
    /// An empty disk whose every draw comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(seed), "".into())
    }

    /// Another folder of the same machine, for a second log: names, lock and directory sync of its
    /// own; faults, effects and crashes are the machine's. It is there from the start, and empty.
    /// Two calls with one name give the same folder.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use quipu::sim::SimDisk;
    /// use quipu::{Batch, Event, Log};
    ///
    /// let disk = SimDisk::new(7);
    /// let log = Log::open_simulated(&disk, Log::options().segment_bytes(8 << 10))?;
    /// log.append(Batch::new().event("a", Event::new("Done", "")))?;
    /// log.backup_simulated(&disk.folder("backup"), &quipu::BackupOptions::new())?;
    /// let backup = Log::open_simulated(&disk.folder("backup"), Log::options())?;
    /// assert_eq!(backup.end(), log.end());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        Self { folder: format!("{name}/").into(), ..self.clone() }
    }

    /// A name as the machine has it.
    fn within(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    /// The id of the next log that is made on this disk.
    pub(crate) fn draw_log_id(&self) -> quipu_format::LogId {
        quipu_format::LogId::from_bytes(self.state.lock().draw_log_id())
    }

    fn with(state: State, folder: Arc<str>) -> Self {
        let process = state.process;
        Self { state: Arc::new(Mutex::new(state)), names: Arc::default(), process, folder }
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

    /// From now on keeps a copy of the machine right before each of its effects, for
    /// [`SimDisk::take_crash_points`]; or no longer.
    pub fn record_crash_points(&self, is_recording: bool) {
        self.state.lock().record(is_recording);
    }

    /// Takes the copies that were kept since the last time, oldest first: one run shows every
    /// place where it could have crashed. Each is a machine of its own, whose power can be cut
    /// ([`SimDisk::if_rebooted`]) or whose process killed ([`SimDisk::restart_process`]), without
    /// fault plans; nothing was opened through it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use quipu::sim::{SimDisk, Survivors};
    /// use quipu::{Batch, Event, Log};
    ///
    /// let disk = SimDisk::new(7);
    /// let log = Log::open_simulated(&disk, Log::options().segment_bytes(8 << 10))?;
    /// disk.record_crash_points(true);
    /// log.append(Batch::new().event("a", Event::new("Done", "")))?;
    /// for machine in disk.take_crash_points() {
    ///     let found = machine.if_rebooted(&Survivors::Random);
    ///     let log = Log::open_simulated(&found, Log::options().segment_bytes(8 << 10))?;
    ///     assert!(log.end().as_u64() <= 1, "the batch is there whole or not at all");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_crash_points(&self) -> Vec<Self> {
        let taken = self.state.lock().take_crash_points();
        taken.into_iter().map(|state| Self::with(state, Arc::clone(&self.folder))).collect()
    }

    /// The disk that the machine finds after a power cut, which this makes if there was none yet.
    /// It is a disk of its own, without fault plans: this one stays as it crashed and can be
    /// rebooted again, with other survivors.
    pub fn reboot(&self, survivors: &Survivors) -> Self {
        let mut state = self.state.lock();
        state.is_down = true;
        Self::with(state.rebooted(survivors), Arc::clone(&self.folder))
    }

    /// The disk that the machine would find after a power cut at this moment. Unlike
    /// [`SimDisk::reboot`] it cuts no power: one run can be looked at after each of its effects.
    pub fn if_rebooted(&self, survivors: &Survivors) -> Self {
        Self::with(self.state.lock().rebooted(survivors), Arc::clone(&self.folder))
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
        Self { process, names: Arc::default(), ..self.clone() }
    }

    /// A process beside the one that writes, for readers that follow it: it lives until the machine
    /// goes down, whatever becomes of the other. Its calls are told to no observer, and fail by plans
    /// that were added to it and by no others. It must not write.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use quipu::sim::SimDisk;
    /// use quipu::{Batch, Event, Log};
    ///
    /// let disk = SimDisk::new(7);
    /// let log = Log::open_simulated(&disk, Log::options().segment_bytes(8 << 10))?;
    /// let reader = Log::open_simulated_read_only(&disk.beside(), Log::options())?;
    /// log.append(Batch::new().event("a", Event::new("Done", "")))?;
    /// assert_eq!(reader.end(), log.synced_end());
    /// let next = disk.restart_process();
    /// assert_eq!(reader.read(..).into_iter().count(), 1, "the writer alone was killed");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { process: state::BYSTANDERS, names: Arc::default(), ..self.clone() }
    }

    /// Kills the process after so many more calls of any kind: the one after them fails, and all
    /// that follow, until [`SimDisk::restart_process`] gives the next process.
    pub fn kill_after(&self, calls: u64) {
        self.state.lock().kill_after(calls);
    }

    /// Tells `observer` of each call from now on, right before anything comes of it and on the
    /// thread that makes it. It must not use the disk.
    pub fn observe(&self, observer: impl FnMut(Operation) + Send + 'static) {
        self.state.lock().observe(Some(state::Observer(Box::new(observer))));
    }

    /// Adds a plan for calls to fail. With several that fit a call, the first added is taken.
    pub fn fail(&self, plan: FaultPlan) {
        self.state.lock().faults(self.process).push(plan);
    }

    /// Drops every fault plan.
    pub fn heal(&self) {
        self.state.lock().faults(self.process).clear();
    }

    /// How many fault plans wait for their call: one that fails a call once has gone with it.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.state.lock().faults(self.process).len()
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
        self.state.lock().list(&self.folder)
    }

    /// A file's bytes, as the running machine sees them.
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        self.state.lock().named(&self.within(name)).map(|inode| inode.image.live().to_vec())
    }

    /// A file's bytes that are sure to survive a crash. Its name need not be.
    pub fn durable_file(&self, name: &str) -> Option<Vec<u8>> {
        self.state.lock().named(&self.within(name)).map(|inode| inode.image.durable().to_vec())
    }

    /// Puts a file there, durable with its name, in place of what had that name. No effect.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let name = &*self.within(name);
        let mut state = self.state.lock();
        let id = state.add(SimInode::new(name, Image::holding(bytes)));
        state.names.put(name, id);
    }

    /// Takes a file away, durably. Answers whether there was one. No effect.
    pub fn remove_file(&self, name: &str) -> bool {
        self.state.lock().names.take(&self.within(name))
    }

    /// Lets a file decay at rest: what it holds live and durable both. Mappings made before do not
    /// show it. Answers whether anything has changed: nothing has where the file is not there, not
    /// long enough, without the older version that is asked for, or was like that before.
    ///
    /// ```
    /// use quipu::sim::{Decay, Place, SimDisk};
    ///
    /// let disk = SimDisk::new(7);
    /// disk.write_file("a", &[1; 8192]);
    /// disk.write_file("b", &[2; 4096]);
    /// assert!(disk.corrupt("a", Decay::SwappedPages { offset: 4096, with: Place::new("b", 0) }));
    /// assert_eq!(disk.read_file("b"), Some(vec![1; 4096]));
    /// assert!(!disk.corrupt("a", Decay::StalePage { offset: 0, back: 1 }), "no history");
    /// ```
    pub fn corrupt(&self, name: &str, decay: Decay) -> bool {
        let mut decay = decay;
        if let Decay::MisdirectedSector { meant_for: place, .. }
        | Decay::SwappedPages { with: place, .. } = &mut decay
        {
            place.file = self.within(&place.file);
        }
        self.state.lock().decay(&self.within(name), &decay)
    }

    /// From now on keeps what each page held before a sync, or a crash, that changed it: the last
    /// 64 versions, on this disk and on those that it is rebooted to.
    pub fn keep_history(&self) {
        self.state.lock().keep_history();
    }

    /// How many older versions are kept of the page around `offset`.
    pub fn older_versions(&self, name: &str, offset: u64) -> usize {
        self.state.lock().older_versions(&self.within(name), offset)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("process", &self.process)
            .field("effects", &state.effects)
            .field("is_down", &state.is_down)
            .field("files", &state.list(&self.folder).len())
            .finish()
    }
}

/// Bytes of a sector: what a crash leaves whole.
pub const SECTOR_BYTES: usize = 512;

/// Bytes of a page: what the system writes back.
pub const PAGE_BYTES: usize = 4096;
