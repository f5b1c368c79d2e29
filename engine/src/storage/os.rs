//! The real directory and files, on Linux.
//!
//! Owns: paths, descriptors, the lock file, and how a segment gets its blocks. May call: `std`,
//! and [`super::raw`] for what needs unsafe code.
//!
//! Invariants:
//! - Interrupted calls are repeated, but for syncs: those are asked once, and any error is final.
//! - No store through a file goes below what a mapping of it has promised, by whichever handle.
//! - Nothing here shortens a file, removes `LOCK`, or writes when opened for reading.

use std::any::Any;
use std::fs::{self, File as FsFile, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::beacon::{BeaconPage, Words};
use super::raw;
use super::{Access, Directory, DirectoryLock, Entry, File, LockError, StoreMode};
use crate::sync::Mutex;
use beacon::OsBeacon;
pub(crate) use file::OsFile;

mod beacon;
mod file;
mod prepare;
#[cfg(test)]
mod tests;

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct OsDirectory {
    name: String,
    /// Absolute: a later change of the working directory does not matter.
    path: PathBuf,
    handle: FsFile,
    /// The page of the live writer, kept open for those who look often.
    beacon: Mutex<Option<FsFile>>,
    names: Mutex<()>,
}

impl OsDirectory {
    /// Opens an existing directory; it need not be writable.
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let path = fs::canonicalize(path)?;
        let handle = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&path)?;
        let (beacon, names) = (Mutex::new(None), Mutex::new(()));
        Ok(Self { name, path, handle, beacon, names })
    }

    /// Opens a directory, first making it and its missing parents, each durable in its own parent.
    pub(crate) fn create_all(path: impl AsRef<Path>) -> io::Result<Self> {
        make_durably(path.as_ref())?;
        Self::open(path)
    }

    /// The directory's absolute path.
    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is not a plain file name"),
            ));
        }
        Ok(self.path.join(name))
    }
}

impl Directory for OsDirectory {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let about = match entry.metadata() {
                Ok(about) => about,
                // Renamed or removed by a live writer since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                length: about.len(),
                is_file: about.is_file(),
            });
        }
        Ok(entries)
    }

    fn lock(&self) -> Result<Box<dyn DirectoryLock>, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.path.join(LOCK))
            .map_err(LockError::Io)?;
        let mut attempts = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // Perhaps a reader that looks at the lock, which it holds for an instant.
                Err(TryLockError::WouldBlock) if attempts < LOOKS_MAX => {
                    attempts += 1;
                    std::thread::sleep(LOOK);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { pid: pid_in(&file) });
                }
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        // For whoever is refused to read. The lock holds without it, also where the disk is full.
        let _ = write_pid(&mut file);
        Ok(Box::new(OsLock { file }))
    }

    fn is_locked(&self) -> io::Result<bool> {
        // A pipe of this name must not make the open wait for its other end.
        let opened =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(self.path.join(LOCK));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            // Given back at once, with the descriptor.
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path_of(name)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Arc::new(OsFile::new(file, path)?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let path = self.path_of(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            // A pipe of this name must not make the open wait for its other end.
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)?;
        Ok(Arc::new(OsFile::new(file, path)?))
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        let file: &dyn Any = file;
        let file = file.downcast_ref::<OsFile>().ok_or(io::ErrorKind::CrossesDevices)?;
        let path = self.path_of(name)?;
        fs::hard_link(file.path(), &path)?;
        if file.is_at(&path)? {
            return Ok(());
        }
        // The name that it was opened by has gone to another file since.
        let _ = fs::remove_file(&path);
        Err(io::ErrorKind::CrossesDevices.into())
    }

    fn is(&self, other: &dyn Directory) -> bool {
        let other: &dyn Any = other;
        let Some(other) = other.downcast_ref::<Self>() else { return false };
        match (self.handle.metadata(), other.handle.metadata()) {
            (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
            // Where that cannot be told, by their paths, which are without links.
            _ => self.path == other.path,
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path_of(from)?, self.path_of(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path_of(name)?)
    }

    fn sync(&self) -> io::Result<()> {
        raw::sync_all(&self.handle)
    }

    fn naming(&self) -> &Mutex<()> {
        &self.names
    }

    fn boot(&self) -> io::Result<u128> {
        beacon::boot()
    }

    fn open_beacon(&self, mode: StoreMode) -> io::Result<Box<dyn BeaconPage>> {
        Ok(Box::new(OsBeacon::open(&self.path.join(beacon::NAME), mode)?))
    }

    fn read_beacon(&self, anew: bool) -> io::Result<Option<Words>> {
        let mut kept = self.beacon.lock();
        if anew {
            kept.take_if(|file| !beacon::is_named(file));
        }
        if kept.is_none() && anew {
            *kept = beacon::open_to_read(&self.path.join(beacon::NAME))?;
        }
        kept.as_ref().map_or(Ok(None), beacon::read)
    }

    fn remove_beacon(&self) {
        // Readers who find it take nothing from it that is not true.
        let _ = fs::remove_file(self.path.join(beacon::NAME));
    }
}

/// An exclusive `flock` on the file `LOCK`, which holds the process id as decimal text. The kernel
/// releases it with the last descriptor, also when the process is killed.
#[derive(Debug)]
pub(crate) struct OsLock {
    file: FsFile,
}

impl DirectoryLock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        // The file stays: were it removed, one process could hold a lock on the removed file and
        // another on a new one of the same name. Only the pid goes, which is no longer true; that
        // it could not be taken out harms nobody.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// The name of the lock file.
const LOCK: &str = "LOCK";

/// How often a writer tries again when somebody holds the lock, and how long it waits in between:
/// a reader looks at it for microseconds, a writer keeps it.
const LOOKS_MAX: u32 = 5;
const LOOK: Duration = Duration::from_millis(2);

/// A pid has at most 10 digits; a longer file is not ours, and is not read whole.
const PID_BYTES_MAX: u64 = 16;

fn write_pid(file: &mut FsFile) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn pid_in(file: &FsFile) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim_ascii().parse().ok()
}

/// Makes `path` and what is missing above it. A directory's name is durable only when its parent
/// has been synced: without that a power cut takes the whole log with it.
fn make_durably(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if path.is_dir() {
        // Perhaps made by a process that was killed before it could sync the name. Where that may
        // not be done, whoever made the directory has done it.
        let _ = FsFile::open(parent).and_then(|parent| raw::sync_all(&parent));
        return Ok(());
    }
    make_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        answer => answer?,
    }
    FsFile::open(parent).and_then(|parent| raw::sync_all(&parent)).inspect_err(|_| {
        // A second sync would say nothing of this name: the next attempt is to make it anew.
        let _ = fs::remove_dir(path);
    })
}
