//! A second directory with the log in it, made while the log is written.
//!
//! Owns: [`run`], [`BackupOptions`], [`BackupReport`], [`BackupProgress`]. May call: storage,
//! segment, recovery's inventory, the format. [`source`] says what is brought over, [`target`] what
//! is there already, [`bring`] links and copies. It shares nothing with the writer but one sync.
//!
//! The order of effects, so that a crash between any two leaves the backup that was there before,
//! or one that says that it is not finished:
//! 1. How far the active segment is stored is looked up, and only then is the log synced: all up to
//!    there is durable, and the backup never holds what a power cut can take from the log.
//! 2. The target is locked and looked at. What cannot be is refused before anything is changed
//!    there; what is there already is kept, and if that is all, only the directory is synced.
//! 3. The empty file `backup.unfinished` is made, durably. From here on nobody opens the target.
//! 4. What an earlier attempt has left there is removed.
//! 5. Each file is brought over: a full segment gets one more name if its index shows that it is
//!    durable and will not be written to again; else it is copied under a temporary name, synced,
//!    read back, verified frame by frame, and renamed. The last one is copied up to its last batch,
//!    with a close frame behind it, which says that all in front of it had been durable.
//!    The base of a log whose front was dropped is stored as the log itself stores it; nothing is
//!    dropped meanwhile.
//! 6. The directory is synced, `backup.unfinished` removed, and the directory synced once more.
//!
//! A linked segment is in two logs. Neither stores other bytes into it: recovery, which alone
//! could, first gives the log a copy of its own ([`crate::recovery`]'s `own`). What the device does
//! to it happens to both; who wants two copies asks for them ([`BackupOptions::copies`]).

mod bring;
mod frames;
mod source;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use quipu_format::{CommitTime, Position};

use crate::error::BackupError;
use crate::storage::Directory;
use bring::Bringer;
use source::Plan;
pub(crate) use source::Source;
use target::Target;

/// How a backup is made, and how far.
///
/// ```
/// use quipu::{BackupOptions, Position};
/// let options = BackupOptions::new().copies().up_to(Position::new(1000));
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupOptions {
    copies: bool,
    end: Option<Position>,
    time: Option<CommitTime>,
}

impl BackupOptions {
    /// Full segments are linked where that can be done; all that is durable is brought over.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies full segments even where they could be linked: twice the room, and two copies where
    /// one device decays. Without this a segment on the same file system is one file with two
    /// names.
    #[must_use]
    pub fn copies(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Brings over only whole batches that end at or before `end`, which is the position of the
    /// first event that is not wanted: the log as it was then. Default: all.
    #[must_use]
    pub fn up_to(mut self, end: Position) -> Self {
        self.end = Some(end);
        self
    }

    /// Brings over only batches that were committed at or before `time`. Default: all.
    #[must_use]
    pub fn up_to_time(mut self, time: CommitTime) -> Self {
        self.time = Some(time);
        self
    }
}

/// What a backup holds, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Where the backup ends: the position that the next event would get.
    pub end: Position,
    /// Segments that were there from an earlier backup.
    pub segments_kept: usize,
    /// Segments that got one more name.
    pub segments_linked: usize,
    /// Segments that were copied, read back and verified; the last one always is, if it has
    /// changed.
    pub segments_copied: usize,
    /// Bytes in the segments that were linked.
    pub bytes_linked: u64,
    /// Bytes that were copied, indexes included.
    pub bytes_copied: u64,
    /// How long it took.
    pub took: Duration,
}

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Bytes of segments brought over so far, linked or copied.
    pub bytes_done: u64,
    /// Bytes of all segments that are to be brought over.
    pub bytes_all: u64,
}

/// Makes a backup, or brings one up to date.
pub(crate) fn run(
    source: &Source,
    directory: Arc<dyn Directory>,
    options: &BackupOptions,
    progress: &mut dyn FnMut(BackupProgress),
) -> Result<BackupReport, BackupError> {
    let began = Instant::now();
    if directory.is(&*source.directory) {
        return Err(BackupError::SameDirectory { directory: directory.name() });
    }
    let target = Target::lock(directory)?;
    let plan = Plan::of(source, options)?;
    let there = target.look(source, &plan)?;
    let mut report = BackupReport {
        end: plan.last.cut.chain.position,
        segments_kept: there.kept.len(),
        segments_linked: 0,
        segments_copied: 0,
        bytes_linked: 0,
        bytes_copied: 0,
        took: Duration::ZERO,
    };
    if there.is_finished(&plan) {
        // The last sync of the backup that made it so may have failed.
        target.sync()?;
    } else {
        target.mark()?;
        target.clear(&there.useless)?;
        let mut bringer = Bringer { source, target: &target, there: &there, report: &mut report };
        bringer.bring_all(&plan, !options.copies, progress)?;
        target.finish()?;
    }
    report.took = began.elapsed();
    Ok(report)
}
