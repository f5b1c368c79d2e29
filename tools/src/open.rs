//! Opening a log.
//!
//! Owns: [`open_for_reading`], [`open_with`], [`open_for_writing`], [`open_as_it_is`]. Calls the engine.

use std::path::Path;

use anyhow::Context;
use quipu::{Log, OpenError, Options};

use crate::outcome::{Misuse, Outcome};
use crate::verify::directory::is_segment_length;

/// Opens a log for reading only. A damaged one is served up to the damage, which is said on stderr
/// and is the outcome.
pub(crate) fn open_for_reading(directory: &Path) -> anyhow::Result<(Log, Outcome)> {
    open_with(Log::options(), directory)
}

/// The same with options of the caller's.
pub(crate) fn open_with(options: Options, directory: &Path) -> anyhow::Result<(Log, Outcome)> {
    let log = options
        .open_read_only(directory)
        .with_context(|| format!("cannot open {} for reading", directory.display()))?;
    let outcome = match &log.recovery_report().damage {
        Some(damage) => {
            eprintln!("quipu: {damage}");
            Outcome::Wrong
        }
        None => Outcome::Fine,
    };
    Ok((log, outcome))
}

/// Opens a log for writing, with segments of this size, and makes it if it is not there.
pub(crate) fn open_for_writing(
    directory: &Path,
    segment_bytes: Option<u64>,
) -> anyhow::Result<Log> {
    let mut options = Log::options();
    if let Some(bytes) = segment_bytes {
        options = options.segment_bytes(bytes);
    }
    match options.open(directory) {
        Err(error @ OpenError::Option { .. }) => Err(Misuse::new(error)),
        opened => opened.with_context(|| format!("cannot open {}", directory.display())),
    }
}

/// Opens a log that is there for writing, with segments like its last one: of another size, a prepared
/// segment would be made anew.
///
/// # Errors
/// As of [`Options::open`].
pub(crate) fn open_as_it_is(directory: &Path) -> anyhow::Result<Log> {
    let mut options = Log::options().create(false);
    // What cannot be listed cannot be opened either, which says why.
    let listed = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let is_segment =
        |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "seg");
    let last = listed.filter(is_segment).max_by_key(std::fs::DirEntry::file_name);
    let about = last.and_then(|last| last.metadata().ok());
    if let Some(bytes) = about.map(|about| about.len()).filter(|bytes| is_segment_length(*bytes)) {
        options = options.segment_bytes(bytes);
    }
    Ok(options.open(directory)?)
}
