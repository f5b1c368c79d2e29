//! The simulated directory and its lock.

use std::io;
use std::sync::Arc;

use super::super::beacon::{BeaconPage, Words};
use super::super::{Access, Directory, DirectoryLock, Entry, File, LockError, StoreMode};
use super::SimDisk;
use super::fault::{Gone, Operation};
use super::file::SimFile;
use super::image::Image;
use super::names::{self, FileId};
use super::state::{SimInode, State};
use crate::sync::Mutex;

impl Directory for SimDisk {
    fn name(&self) -> String {
        "simulated disk".to_owned()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::List, "")?;
        Ok(state.list())
    }

    fn lock(&self) -> Result<Box<dyn DirectoryLock>, LockError> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Lock, "LOCK").map_err(LockError::Io)?;
        if state.lock.is_some() {
            return Err(LockError::Held { pid: Some(self.process) });
        }
        state.locks_taken += 1;
        let number = state.locks_taken;
        state.lock = Some(number);
        Ok(Box::new(SimLock { disk: self.clone(), number }))
    }

    fn is_locked(&self) -> io::Result<bool> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Lock, "LOCK")?;
        Ok(state.lock.is_some())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        names::check(name)?;
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Create, name)?;
        if state.names.find(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.add(SimInode::new(name, Image::default()));
        state.names.create(name, id);
        self.handle(&mut state, id, Access::Write)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        names::check(name)?;
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Open, name)?;
        let id = state.names.find(name)?;
        self.handle(&mut state, id, access)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        names::check(from)?;
        names::check(to)?;
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Rename, from)?;
        let id = state.names.rename(from, to)?;
        to.clone_into(&mut state.file(id)?.0.name);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        names::check(name)?;
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Remove, name)?;
        state.names.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.enter(self.process, Operation::SyncDirectory)?;
        state.sync_names()
    }

    fn names(&self) -> &Mutex<()> {
        &self.names
    }

    fn boot(&self) -> io::Result<u128> {
        Ok(self.state.lock().boot)
    }

    fn open_beacon(&self, _mode: StoreMode) -> io::Result<Box<dyn BeaconPage>> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Open, "SYNCED")?;
        state.beacon.get_or_insert_default();
        Ok(Box::new(SimBeacon { disk: self.clone() }))
    }

    fn read_beacon(&self, _anew: bool) -> io::Result<Option<Words>> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Read, "SYNCED")?;
        Ok(state.beacon)
    }

    fn remove_beacon(&self) {
        let mut state = self.state.lock();
        if state.is_alive(self.process) {
            state.beacon = None;
        }
    }
}

/// The page of the live writer. A store to it is no effect: the system may write it back at any
/// moment, and nothing that recovers reads it.
#[derive(Debug)]
struct SimBeacon {
    disk: SimDisk,
}

impl BeaconPage for SimBeacon {
    fn store(&self, at: usize, words: &[u64]) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        if !state.is_alive(self.disk.process) {
            return Err(Gone::ProcessKilled.into());
        }
        let page = state.beacon.get_or_insert_default();
        page.iter_mut().skip(at).zip(words).for_each(|(place, word)| *place = *word);
        Ok(())
    }
}

impl SimDisk {
    fn handle(&self, state: &mut State, id: FileId, access: Access) -> io::Result<Arc<dyn File>> {
        let kept = Arc::clone(&state.file(id)?.0.handles);
        Ok(Arc::new(SimFile::new(self.clone(), id, access, kept)))
    }
}

/// The lock of a simulated directory. One that outlives its process holds nothing.
#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    number: u64,
}

impl DirectoryLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        state.lock.take_if(|number| *number == self.number);
    }
}
