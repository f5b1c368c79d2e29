//! The directory of a log: found or made, and locked.
//!
//! Owns: [`os_directory`], [`lock`]. May call: storage.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::error::OpenError;
use crate::storage::os::OsDirectory;
use crate::storage::{Directory, DirectoryLock, IoError, LockError};

pub(super) fn os_directory(path: &Path, create: bool) -> Result<Arc<dyn Directory>, OpenError> {
    let shown = || path.display().to_string();
    let mut is_missing = false;
    // The path, or what stands where one of its parents should be.
    for place in path.ancestors() {
        match std::fs::metadata(place) {
            Ok(about) if about.is_dir() => break,
            Ok(_) => return Err(OpenError::NotADirectory { path: place.display().to_string() }),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => is_missing = true,
                // That it cannot be looked at says nothing about whether it is there.
                _ => return Err(not_writable("open", shown(), error, create)),
            },
        }
    }
    if is_missing && !create {
        return Err(OpenError::NoLog { directory: shown() });
    }
    let opened = match create {
        true => OsDirectory::create_all(path),
        false => OsDirectory::open(path),
    };
    let directory = opened.map_err(|cause| not_writable("open", shown(), cause, create))?;
    Ok(Arc::new(directory))
}

pub(super) fn lock(directory: &dyn Directory) -> Result<Box<dyn DirectoryLock>, OpenError> {
    directory.lock().map_err(|error| match error {
        LockError::Held { pid } => OpenError::InUse { directory: directory.name(), pid },
        LockError::Io(cause) => not_writable("lock", directory.name(), cause, true),
    })
}

/// An error of the system, told apart by whether it is about the right to write.
fn not_writable(
    operation: &'static str,
    directory: String,
    cause: std::io::Error,
    writing: bool,
) -> OpenError {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let refused = matches!(cause.kind(), PermissionDenied | ReadOnlyFilesystem);
    let cause = IoError::new(operation, directory.clone(), cause);
    match refused && writing {
        true => OpenError::NotWritable { directory, cause },
        false => OpenError::Io(cause),
    }
}
