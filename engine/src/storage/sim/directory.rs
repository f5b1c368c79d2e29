//! The simulated directory and its lock.

use std::any::Any;
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
        match self.folder.trim_end_matches('/') {
            "" => "simulated disk".to_owned(),
            folder => format!("simulated disk/{folder}"),
        }
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::List, "")?;
        Ok(state.list(&self.folder))
    }

    fn lock(&self) -> Result<Box<dyn DirectoryLock>, LockError> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Lock, "LOCK").map_err(LockError::Io)?;
        if state.locks.contains_key(&*self.folder) {
            return Err(LockError::Held { pid: Some(self.process) });
        }
        state.locks_taken += 1;
        let number = state.locks_taken;
        state.locks.insert(self.folder.to_string(), number);
        Ok(Box::new(SimLock { disk: self.clone(), number }))
    }

    fn is_locked(&self) -> io::Result<bool> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Lock, "LOCK")?;
        Ok(state.locks.contains_key(&*self.folder))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let name = &*self.path_of(name)?;
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
        let name = &*self.path_of(name)?;
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Open, name)?;
        let id = state.names.find(name)?;
        self.handle(&mut state, id, access)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (&*self.path_of(from)?, &*self.path_of(to)?);
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Rename, from)?;
        let id = state.names.rename(from, to)?;
        to.clone_into(&mut state.file(id)?.0.name);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = &*self.path_of(name)?;
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Remove, name)?;
        state.names.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.enter(self.process, Operation::SyncDirectory)?;
        state.sync_names(&self.folder)
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        let name = &*self.path_of(name)?;
        let file: &dyn Any = file;
        let file = file.downcast_ref::<SimFile>().filter(|file| file.is_of(self));
        let id = file.ok_or(io::ErrorKind::CrossesDevices)?.id();
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Link, name)?;
        if state.names.find(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.link(id, name);
        Ok(())
    }

    fn is(&self, other: &dyn Directory) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<Self>().is_some_and(|other| {
            Arc::ptr_eq(&self.state, &other.state) && self.folder == other.folder
        })
    }

    fn naming(&self) -> &Mutex<()> {
        &self.names
    }

    fn boot(&self) -> io::Result<u128> {
        Ok(self.state.lock().boot)
    }

    fn open_beacon(&self, _mode: StoreMode) -> io::Result<Box<dyn BeaconPage>> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Open, "SYNCED")?;
        state.beacons.entry(self.folder.to_string()).or_default();
        Ok(Box::new(SimBeacon { disk: self.clone() }))
    }

    fn read_beacon(&self, _anew: bool) -> io::Result<Option<Words>> {
        let mut state = self.state.lock();
        state.begin(self.process, Operation::Read, "SYNCED")?;
        Ok(state.beacons.get(&*self.folder).copied())
    }

    fn remove_beacon(&self) {
        let mut state = self.state.lock();
        if state.is_alive(self.process) {
            state.beacons.remove(&*self.folder);
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
        let page = state.beacons.entry(self.disk.folder.to_string()).or_default();
        page.iter_mut().skip(at).zip(words).for_each(|(place, word)| *place = *word);
        Ok(())
    }
}

impl SimDisk {
    fn path_of(&self, name: &str) -> io::Result<String> {
        names::check(name)?;
        Ok(self.within(name))
    }

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
        state.locks.retain(|_, number| *number != self.number);
    }
}
