//! A file prepared as the engine prepares its segments, for the floors to store into.
//!
//! Owns: [`PreparedFile`], which is the engine's own storage with nothing on top.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use quipu::floor::BareFile;
use quipu::{Preparation, StoreMode};

/// Allocated, touched, synced and mapped; stored into from front to end, and then from the front.
#[derive(Debug)]
pub struct PreparedFile {
    path: PathBuf,
    file: BareFile,
}

impl PreparedFile {
    /// A new file of `length` bytes, all of them zero, with blocks and with its pages in place; in
    /// the place of one that is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &Path, length: usize) -> io::Result<Self> {
        // From an earlier round.
        let _ = std::fs::remove_file(path);
        let file = BareFile::create(path, length as u64, Preparation::Populate)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Over a file as it is, prepared by whom and however.
    ///
    /// # Errors
    /// What the system says.
    pub fn over(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: BareFile::open(path)? })
    }

    /// Copies `bytes` behind what was stored last.
    ///
    /// # Errors
    /// What the system says, when the file is begun anew from its front.
    pub fn copy(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.store(bytes, StoreMode::Mapped)
    }

    /// Writes `bytes` there with a system call.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.store(bytes, StoreMode::Positioned)
    }

    /// fdatasync.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// A second handle on the file, for another thread to sync it with.
    ///
    /// # Errors
    /// What the system says.
    pub fn handle(&self) -> io::Result<File> {
        File::options().read(true).write(true).open(&self.path)
    }

    /// What has been stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }
}
