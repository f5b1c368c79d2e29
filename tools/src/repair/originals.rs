//! Files kept as they were before a repair.
//!
//! Owns: [`keep`]. Calls the system.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;

use crate::verify::{Report, Tail};

/// Copies every file that a repair may change into a new folder beside the log, and makes the copies
/// durable. Where they are.
pub(super) fn keep(directory: &Path, found: &Report) -> anyhow::Result<PathBuf> {
    let _lock = lock(directory)?;
    let folder = new_folder(directory)?;
    let mut first = found.seals_missing.first().map(|sequence| format!("{sequence:020}.seg"));
    if let Tail::Torn { file, .. } = &found.tail {
        first = Some(first.map_or_else(|| file.clone(), |seal| seal.min(file.clone())));
    }
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        let is_changed = match shown.strip_suffix(".seg").is_some() {
            true => first.as_deref().is_some_and(|first| *shown >= *first),
            false => {
                shown.ends_with(".tmp")
                    || found.base_copies_wrong.iter().any(|it| *it == shown)
                    || found.derived_wrong.iter().any(|it| it.file == shown)
            }
        };
        if is_changed && entry.metadata()?.is_file() {
            let copy = folder.join(&name);
            let context = || format!("cannot copy {shown} to {}", folder.display());
            fs::copy(entry.path(), &copy).with_context(context)?;
            File::open(&copy).and_then(|file| file.sync_all()).with_context(context)?;
        }
    }
    for folder in [Some(folder.as_path()), folder.parent()].into_iter().flatten() {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.with_context(|| format!("cannot sync {}", folder.display()))?;
    }
    Ok(folder)
}

/// Nobody writes while the originals are copied: the lock is that of the engine's writers.
fn lock(directory: &Path) -> anyhow::Result<Option<File>> {
    let Ok(file) = File::open(directory.join("LOCK")) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            bail!("{} is in use by another process, which repairs by itself", directory.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", directory.display()))
        }
    }
}

/// A new folder beside the log, named after it and the time.
fn new_folder(directory: &Path) -> anyhow::Result<PathBuf> {
    let directory =
        directory.canonicalize().with_context(|| format!("cannot find {}", directory.display()))?;
    let name = directory.file_name().map_or_else(|| "log".into(), |name| name.to_string_lossy());
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let beside = directory.parent().unwrap_or(&directory);
    for number in 1_u32.. {
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        let folder = beside.join(format!("{name}.before-repair-{time}{again}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", folder.display()));
            }
        }
    }
    bail!("too many folders beside {}", directory.display())
}
