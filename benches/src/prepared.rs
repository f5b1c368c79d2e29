//! A file prepared as the engine prepares its segments, for the floors to store into.
//!
//! Owns: [`PreparedFile`]. The only unsafe code of this crate: `fallocate` and a mapping.
#![allow(unsafe_code)] // a floor is bare system calls

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::{Advice, MmapMut};

/// Allocated, touched, synced and mapped; stored into from front to end, and then from the front.
#[derive(Debug)]
pub struct PreparedFile {
    file: File,
    map: MmapMut,
    at: usize,
}

impl PreparedFile {
    /// A new file of `length` bytes, all of them zero, with blocks and with its pages in place.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &Path, length: usize) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let length_c = libc::off_t::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the descriptor is that of `file`, which outlives the call; no memory is passed.
        let answer = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length_c) };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
        let prepared = Self::over(file)?;
        prepared.map.advise(Advice::PopulateWrite)?;
        prepared.file.sync_all()?;
        Ok(prepared)
    }

    /// Over a file as it is, prepared by whom and however. Nobody else may have it.
    ///
    /// # Errors
    /// What the system says.
    pub fn over(file: File) -> io::Result<Self> {
        // SAFETY: the callers have just created the file, in a directory of their own, so that
        // nothing changes or shortens it while it is mapped but this program, which stores through
        // the mapping or the descriptor and reads it only between stores.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { file, map, at: 0 })
    }

    /// Copies `bytes` behind what was stored last.
    pub fn copy(&mut self, bytes: &[u8]) {
        let at = self.place_for(bytes.len());
        if let Some(place) = self.map.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Writes `bytes` there with a system call.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.place_for(bytes.len());
        self.file.write_all_at(bytes, at as u64)
    }

    /// fdatasync.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A second handle on the file.
    ///
    /// # Errors
    /// What the system says.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn place_for(&mut self, length: usize) -> usize {
        assert!(length <= self.map.len(), "the file is made for what is stored into it");
        if self.map.len() - self.at < length {
            self.at = 0;
        }
        let at = self.at;
        self.at += length;
        at
    }
}
