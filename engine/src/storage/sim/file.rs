//! One simulated file: reads, stores, syncs, mappings.

use std::io;
use std::sync::Arc;

use super::super::raw::{Heap, Region, RegionWriter};
use super::super::{Access, File, Preparation, StoreMode};
use super::SimDisk;
use super::fault::{Errno, Fault, Gone, Operation};
use super::names::FileId;
use super::state::{BYSTANDERS, SimInode, State};
use super::survivors::Chooser;

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    id: FileId,
    access: Access,
    /// Keeps the file while it has no name.
    _kept: Arc<()>,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, id: FileId, access: Access, kept: Arc<()>) -> Self {
        Self { disk, id, access, _kept: kept }
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// Whether it is on the machine of `disk`.
    pub(super) fn is_of(&self, disk: &SimDisk) -> bool {
        Arc::ptr_eq(&self.disk.state, &disk.state)
    }

    /// For calls that fail without a trace.
    fn begin(&self, state: &mut State, operation: Operation) -> io::Result<()> {
        match self.begin_traced(state, operation)? {
            None => Ok(()),
            Some(fault) => Err(fault.error),
        }
    }

    /// For calls that leave something behind when they fail.
    fn begin_traced(&self, state: &mut State, operation: Operation) -> io::Result<Option<Fault>> {
        let process = self.disk.process;
        state.enter(process, operation)?;
        if state.faults(process).is_empty() {
            return Ok(None);
        }
        let name = state.file(self.id)?.0.name.clone();
        Ok(state.strike(process, operation, &name))
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Stores into the page cache, all of it or what a fault or a full disk allows.
    fn store(
        &self,
        state: &mut State,
        offset: u64,
        parts: &[&[u8]],
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let wanted: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let length = state.file(self.id)?.0.image.live().length();
        let end = offset.checked_add(wanted).ok_or(io::ErrorKind::FileTooLarge)?;
        let affordable = state.affordable(length, end).saturating_sub(offset);
        let (inode, rng) = state.file(self.id)?;
        let (stored, outcome) = match fault {
            Some(Fault { error, stored_bytes, .. }) => {
                let stored = stored_bytes.unwrap_or_else(|| rng.u64(0..=wanted));
                (stored.min(affordable), Err(error))
            }
            None if affordable < wanted => (affordable, Err(Errno::NoSpace.error())),
            None => (wanted, Ok(())),
        };
        if stored == wanted {
            inode.image.store(offset, parts, rng);
        } else {
            let bytes = parts.concat();
            inode.image.store(offset, &[bytes.get(..stored as usize).unwrap_or_default()], rng);
        }
        inode.unreadable.retain(|sector| !SimInode::sectors(offset, stored).contains(sector));
        outcome
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        self.begin(&mut state, Operation::Length)?;
        Ok(state.file(self.id)?.0.image.live().length())
    }

    fn names(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        self.begin(&mut state, Operation::Length)?;
        Ok(state.names.count(self.id) as u64)
    }

    fn prepare(&self, length: u64, _how: Preparation) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state.lock();
        let fault = self.begin_traced(&mut state, Operation::Prepare)?;
        if state.file(self.id)?.0.image.live().length() != 0 {
            return Err(invalid("only an empty file can be prepared"));
        }
        let affordable = state.affordable(0, length);
        let (inode, rng) = state.file(self.id)?;
        if fault.is_none() && affordable == length {
            inode.image.grow(length, rng);
            return Ok(());
        }
        let some = rng.u64(0..=affordable);
        inode.image.grow(some, rng);
        Err(fault.map_or_else(|| Errno::NoSpace.error(), |fault| fault.error))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.begin(&mut state, Operation::Read)?;
        let inode = state.file(self.id)?.0;
        let sectors = SimInode::sectors(offset, into.len() as u64);
        if inode.unreadable.range(sectors).next().is_some() {
            return Err(Errno::Io.error());
        }
        if !inode.image.live().read(offset, into) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state.lock();
        let fault = self.begin_traced(&mut state, Operation::Write)?;
        let heap = state.file(self.id)?.0.heap.upgrade();
        if heap.as_ref().is_some_and(|heap| offset < heap.highest_mark()) {
            return Err(invalid("bytes at or above the given offset have been handed out"));
        }
        let outcome = self.store(&mut state, offset, &[bytes], fault);
        if let Some(heap) = heap {
            refresh(&heap, state.file(self.id)?.0);
        }
        outcome
    }

    fn store_again(&self, offset: u64, length: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state.lock();
        let fault = self.begin_traced(&mut state, Operation::Write)?;
        let mut bytes = vec![0; length as usize];
        if !state.file(self.id)?.0.image.live().read(offset, &mut bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.store(&mut state, offset, &[&bytes], fault)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let fault = self.begin_traced(&mut state, Operation::Sync)?;
        let (inode, rng) = state.file(self.id)?;
        match fault {
            None => {
                inode.image.sync();
                Ok(())
            }
            Some(fault) => {
                inode.image.fail_sync(&inode.name, &mut Chooser::new(&fault.survivors, rng));
                Err(fault.error)
            }
        }
    }

    fn map(&self, written: u64, access: Access) -> io::Result<(Arc<Region>, Option<RegionWriter>)> {
        if access == Access::Write {
            self.check_writable()?;
        }
        let mut state = self.disk.state.lock();
        self.begin(&mut state, Operation::Map)?;
        let inode = state.file(self.id)?.0;
        let length = inode.image.live().length();
        if self.disk.process >= BYSTANDERS {
            // The mapping of another process: it shows what the file holds whenever it is raised.
            let heap = Heap::new(length as usize);
            refresh(&heap, inode);
            return Region::map_heap(&heap, written, access);
        }
        let mapped = inode.heap.upgrade().filter(|heap| heap.capacity() == length);
        let heap = mapped.unwrap_or_else(|| Heap::new(length as usize));
        inode.heap = Arc::downgrade(&heap);
        refresh(&heap, inode);
        Region::map_heap(&heap, written, access)
    }

    fn raise(&self, region: &Region, written: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        if !state.is_alive(self.disk.process) {
            return Err(Gone::ProcessKilled.into());
        }
        if let Some(heap) = region.heap() {
            refresh(heap, state.file(self.id)?.0);
        }
        region.raise(written);
        Ok(())
    }

    fn append(&self, to: &mut RegionWriter, parts: &[&[u8]], mode: StoreMode) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.enter(self.disk.process, Operation::Append)?;
        let inode = state.file(self.id)?.0;
        if !inode.heap.upgrade().is_some_and(|heap| to.is_over(heap.marks())) {
            return Err(invalid("the region is a mapping of another file"));
        }
        let fault = match mode.is_positioned(to.fitting(parts)?) {
            false => None,
            true => {
                let name = inode.name.clone();
                state.strike(self.disk.process, Operation::Append, &name)
            }
        };
        self.store(&mut state, to.written(), parts, fault)?;
        Ok(to.copy(parts)?)
    }
}

/// Brings what the file holds into the memory, as far as nobody has been promised it. While a
/// writer lives it alone brings bytes there, and readers see them when it has.
fn refresh(heap: &Heap, inode: &SimInode) {
    let promised = heap.highest_mark();
    for (offset, bytes) in inode.image.live().pages() {
        let skipped = promised.saturating_sub(offset).min(bytes.len() as u64);
        let rest = bytes.get(skipped as usize..).unwrap_or_default();
        if !rest.is_empty() && heap.store(offset + skipped, rest).is_err() {
            return;
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
