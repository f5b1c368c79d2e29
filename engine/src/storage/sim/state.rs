//! All that the simulated machine has: its files, its names, its faults, its clock of effects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Weak};

use fastrand::Rng;

use super::super::Entry;
use super::super::beacon::Words;
use super::super::raw::Heap;
use super::fault::{Fault, FaultPlan, Gone, Operation};
use super::image::Image;
use super::names::{self, FileId, Names};
use super::survivors::{Chooser, InFlight, Lister, Survivors};
use super::{PAGE_BYTES, SECTOR_BYTES};

/// The simulated machine.
#[derive(Debug)]
pub(super) struct State {
    /// Draws what happens while the machine runs.
    pub(super) rng: Rng,
    /// Draws what crashes leave, apart: looking at a crash does not change how the run goes on.
    crash_rng: Rng,
    /// Draws the ids of new logs.
    id_rng: Rng,
    pub(super) effects: u64,
    /// The count of effects at which the next one meets the power cut.
    pub(super) crash_at: Option<u64>,
    pub(super) is_down: bool,
    /// The process that runs; what others opened is dead.
    pub(super) process: u32,
    /// Which taking of a folder's lock holds it.
    pub(super) locks: BTreeMap<String, u64>,
    pub(super) locks_taken: u64,
    /// Which boot of which machine this is.
    pub(super) boot: u128,
    /// What the live writer of a folder, or a dead one, says to its readers.
    pub(super) beacons: BTreeMap<String, Words>,
    pub(super) capacity: Option<u64>,
    /// Whether what pages held at earlier syncs is kept.
    keeps_history: bool,
    faults: Vec<FaultPlan>,
    /// Those for calls of bystanders.
    faults_beside: Vec<FaultPlan>,
    pub(super) names: Names,
    files: BTreeMap<FileId, SimInode>,
    next_id: FileId,
    /// The machine before each effect, where somebody wants to have that.
    crash_points: Option<Vec<State>>,
    /// Told of each call.
    observer: Option<Observer>,
    /// After so many more calls the process is killed.
    kill_in: Option<u64>,
}

/// Processes from this number on stand beside the one that writes, and live as long as the machine.
pub(super) const BYSTANDERS: u32 = 1 << 31;

/// Tells the boots of simulated machines from no boot at all.
const BOOT: u64 = 0x5155_4950_5542_4f54;

/// Somebody who is told of each call.
pub(super) struct Observer(pub(super) Box<dyn FnMut(Operation) + Send>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// One file, whatever its name.
#[derive(Debug)]
pub(super) struct SimInode {
    pub(super) image: Image,
    /// The name it was created under or last renamed to, for messages and fault plans.
    pub(super) name: String,
    /// The memory that the running process has mapped it to.
    pub(super) heap: Weak<Heap>,
    /// Counts the open handles, which keep a file without a name.
    pub(super) handles: Arc<()>,
    /// Numbers of the sectors that cannot be read.
    pub(super) unreadable: BTreeSet<u64>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            crash_rng: rng.fork(),
            id_rng: rng.fork(),
            rng,
            effects: 0,
            crash_at: None,
            is_down: false,
            process: 1,
            locks: BTreeMap::new(),
            locks_taken: 0,
            boot: u128::from(seed) << 64 | u128::from(BOOT),
            beacons: BTreeMap::new(),
            capacity: None,
            keeps_history: false,
            faults: Vec::new(),
            faults_beside: Vec::new(),
            names: Names::default(),
            files: BTreeMap::new(),
            next_id: 0,
            crash_points: None,
            observer: None,
            kill_in: None,
        }
    }

    /// Every call comes through here first: refused when the machine is down or the process dead,
    /// counted when it is an effect. A bystander's is neither told, nor counted, nor killed.
    pub(super) fn enter(&mut self, process: u32, operation: Operation) -> io::Result<()> {
        if self.is_down {
            return Err(Gone::MachineDown.into());
        }
        if process >= BYSTANDERS {
            return Ok(());
        }
        if process != self.process {
            return Err(Gone::ProcessKilled.into());
        }
        if let Some(Observer(observer)) = &mut self.observer {
            observer(operation);
        }
        match &mut self.kill_in {
            Some(0) => {
                self.restart_process();
                return Err(Gone::ProcessKilled.into());
            }
            Some(calls) => *calls -= 1,
            None => {}
        }
        if operation.is_effect() {
            if self.crash_at == Some(self.effects) {
                self.is_down = true;
                return Err(Gone::MachineDown.into());
            }
            if self.crash_points.is_some() {
                let before = self.copied();
                self.crash_points.get_or_insert_default().push(before);
            }
            self.effects += 1;
        }
        Ok(())
    }

    /// Whether the machine is up and the process lives.
    pub(super) fn is_alive(&self, process: u32) -> bool {
        !self.is_down && (process == self.process || process >= BYSTANDERS)
    }

    /// The plans for calls of a process.
    pub(super) fn faults(&mut self, process: u32) -> &mut Vec<FaultPlan> {
        if process >= BYSTANDERS { &mut self.faults_beside } else { &mut self.faults }
    }

    /// The failure that is planned for this call, if any.
    pub(super) fn strike(
        &mut self,
        process: u32,
        operation: Operation,
        file: &str,
    ) -> Option<Fault> {
        let faults = self.faults(process);
        if faults.is_empty() {
            return None;
        }
        FaultPlan::strike(faults, operation, file)
    }

    /// [`State::enter`] and [`State::strike`] in one, for calls that fail without a trace.
    pub(super) fn begin(
        &mut self,
        process: u32,
        operation: Operation,
        file: &str,
    ) -> io::Result<()> {
        self.enter(process, operation)?;
        self.strike(process, operation, file).map_or(Ok(()), |fault| Err(fault.error))
    }

    pub(super) fn add(&mut self, mut inode: SimInode) -> FileId {
        if self.keeps_history {
            inode.image.keep_history();
        }
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, inode);
        id
    }

    pub(super) fn keep_history(&mut self) {
        self.keeps_history = true;
        for inode in self.files.values_mut() {
            inode.image.keep_history();
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<&SimInode> {
        self.files.get(self.names.live().get(name)?)
    }

    pub(super) fn named_mut(&mut self, name: &str) -> Option<&mut SimInode> {
        self.files.get_mut(self.names.live().get(name)?)
    }

    /// A file, together with the source of draws.
    pub(super) fn file(&mut self, id: FileId) -> io::Result<(&mut SimInode, &mut Rng)> {
        let inode = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        Ok((inode, &mut self.rng))
    }

    pub(super) fn list(&self, folder: &str) -> Vec<Entry> {
        let own = self.names.live().iter().filter(|(name, _)| names::is_in(folder, name));
        let entry = |(name, id): (&String, &FileId)| Entry {
            name: name.strip_prefix(folder).unwrap_or(name).to_owned(),
            length: self.files.get(id).map_or(0, |inode| inode.image.live().length()),
            is_file: true,
        };
        own.map(entry).collect()
    }

    pub(super) fn used(&self) -> u64 {
        let taken = |id| self.files.get(id).map_or(0, |inode| inode.image.live().taken());
        let named: BTreeSet<&FileId> = self.names.live().values().collect();
        named.into_iter().map(taken).sum()
    }

    /// How many of the bytes up to `end` a file can be given, which has `length` of them.
    pub(super) fn affordable(&self, length: u64, end: u64) -> u64 {
        let Some(capacity) = self.capacity else { return end };
        let page = PAGE_BYTES as u64;
        let free = capacity.saturating_sub(self.used()) / page * page;
        end.min(length.div_ceil(page) * page + free)
    }

    pub(super) fn sync_names(&mut self, folder: &str) -> io::Result<()> {
        match self.strike(self.process, Operation::SyncDirectory, folder) {
            None => self.names.sync(folder),
            Some(fault) => {
                self.names.fail_sync(folder, &mut Chooser::new(&fault.survivors, &mut self.rng));
                return Err(fault.error);
            }
        }
        self.files
            .retain(|id, inode| Arc::strong_count(&inode.handles) > 1 || self.names.lead_to(*id));
        Ok(())
    }

    pub(super) fn restart_process(&mut self) -> u32 {
        self.process += 1;
        self.kill_in = None;
        self.locks.clear();
        for inode in self.files.values_mut() {
            // The dead process may still hold a writer in the memory it had mapped.
            inode.heap = Weak::new();
        }
        self.process
    }

    /// A machine of its own that stands where this one does.
    fn copied(&mut self) -> State {
        let copy = |(id, inode): (&FileId, &SimInode)| (*id, inode.copied());
        State {
            rng: self.rng.clone(),
            crash_rng: self.crash_rng.fork(),
            id_rng: self.id_rng.clone(),
            effects: self.effects,
            crash_at: None,
            is_down: self.is_down,
            process: self.process,
            locks: self.locks.clone(),
            locks_taken: self.locks_taken,
            boot: self.boot,
            beacons: self.beacons.clone(),
            capacity: self.capacity,
            keeps_history: self.keeps_history,
            faults: Vec::new(),
            faults_beside: Vec::new(),
            names: self.names.clone(),
            files: self.files.iter().map(copy).collect(),
            next_id: self.next_id,
            crash_points: None,
            observer: None,
            kill_in: None,
        }
    }

    pub(super) fn observe(&mut self, observer: Option<Observer>) {
        self.observer = observer;
    }

    pub(super) fn kill_after(&mut self, calls: u64) {
        self.kill_in = Some(calls);
    }

    /// Begins or ends the taking of crash points.
    pub(super) fn record(&mut self, is_recording: bool) {
        self.crash_points = is_recording.then(Vec::new);
    }

    /// The crash points so far.
    pub(super) fn take_crash_points(&mut self) -> Vec<State> {
        self.crash_points.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn draw_log_id(&mut self) -> [u8; 16] {
        self.id_rng.u128(..).to_le_bytes()
    }

    /// The machine as it comes up after a power cut now.
    pub(super) fn rebooted(&mut self, survivors: &Survivors) -> State {
        let mut next = State::new(self.crash_rng.u64(..));
        next.capacity = self.capacity;
        // Of the boot before, whatever became of the segments.
        next.beacons.clone_from(&self.beacons);
        next.keeps_history = self.keeps_history;
        next.next_id = self.next_id;
        let mut choose = Chooser::new(survivors, &mut self.crash_rng);
        let names = self.names.survive(&mut choose);
        let found: BTreeMap<FileId, &String> = names.iter().map(|(name, id)| (*id, name)).collect();
        for (id, inode) in &self.files {
            // Files that no name leads to are chosen for all the same: what each listed choice
            // stands for does not depend on the others.
            let content = inode.image.survive(&inode.name, &mut choose);
            if let Some(name) = found.get(id) {
                let mut kept = SimInode::new(name, inode.image.rebooted(content));
                kept.unreadable.clone_from(&inode.unreadable);
                next.files.insert(*id, kept);
            }
        }
        next.names = Names::settled(names);
        next
    }

    pub(super) fn in_flight(&self) -> Vec<InFlight> {
        let mut lister = Lister::default();
        self.names.survive(&mut lister);
        for inode in self.files.values() {
            inode.image.survive(&inode.name, &mut lister);
        }
        lister.found
    }
}

impl SimInode {
    pub(super) fn new(name: &str, image: Image) -> Self {
        Self {
            image,
            name: name.to_owned(),
            heap: Weak::new(),
            handles: Arc::new(()),
            unreadable: BTreeSet::new(),
        }
    }

    /// The same file on a copy of the machine, where nobody has it open.
    fn copied(&self) -> Self {
        Self {
            image: self.image.clone(),
            name: self.name.clone(),
            heap: Weak::new(),
            handles: Arc::new(()),
            unreadable: self.unreadable.clone(),
        }
    }

    /// The numbers of the sectors that `length` bytes at `offset` touch.
    pub(super) fn sectors(offset: u64, length: u64) -> std::ops::Range<u64> {
        let sector = SECTOR_BYTES as u64;
        offset / sector..offset.saturating_add(length).div_ceil(sector)
    }
}
