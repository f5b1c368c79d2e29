//! Writing the new log.
//!
//! Owns: [`Target`] and [`write`]. Calls the engine, and the verifier for a last look.
//!
//! 1. The new log is written to a directory of another name beside, `NEW.unfinished`.
//! 2. It is closed, which makes all of it durable, and verified by the format alone.
//! 3. The directory gets its name, in one step, and that is made durable.
//!
//! So whatever has the name NEW is whole. What is left of an interrupted run says what it is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use quipu::{Batch, Durability, Event, Log};
use quipu_format::{FrameKind, LogId, NamedCheckpoint, Position, layout};

use super::SalvageError;
use super::inventory::Inventory;
use super::replay::{Placed, replay};
use super::run::Run;
use super::scan::Segment;
use super::source::Source;
use super::tally::Tally;
use crate::verify::directory::is_segment_length;
use crate::verify::{self, verify};

/// Where the new log goes.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) directory: &'a Path,
    pub(super) segment_bytes: u64,
}

/// Room that the engine keeps free in a segment, for its header and control frames.
const SEGMENT_OVERHEAD_BYTES: u64 =
    layout::segment::BYTES as u64 + 3 * layout::CONTROL_FRAME_BYTES as u64;

impl<'a> Target<'a> {
    /// A log with segments like those of the old one, or as wanted; but no smaller than its batches
    /// need.
    pub(super) fn new(
        directory: &'a Path,
        wanted: Option<u64>,
        segments: &[Segment],
        taken: &[(usize, &Run)],
    ) -> Self {
        let of_old = segments.iter().rev().filter_map(|segment| {
            segment.own_header().filter(|header| header.capacity == segment.length)
        });
        let of_old = of_old.map(|header| header.capacity).next();
        let longest = taken.iter().map(|(_, run)| u64::from(run.frame_bytes_max)).max();
        let least = longest.unwrap_or(0) + SEGMENT_OVERHEAD_BYTES;
        let segment_bytes = wanted.or(of_old).unwrap_or(DEFAULT_SEGMENT_BYTES).max(least);
        // As the engine rounds it, for the first segment of a log that begins behind a base.
        let segment_bytes = segment_bytes.checked_next_multiple_of(layout::segment::CAPACITY_STEP);
        Self { directory, segment_bytes: segment_bytes.unwrap_or(u64::MAX) }
    }

    fn unfinished(&self) -> PathBuf {
        let mut name = self.directory.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".unfinished");
        self.directory.with_file_name(name)
    }
}

/// For a log of which no segment tells its size: the engine's default.
const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// Writes all that is taken over; the new log's id.
pub(super) fn write(
    target: &Target<'_>,
    source: &Source,
    log: &Inventory,
    taken: &[(usize, &Run)],
    tally: &Tally,
) -> Result<String, SalvageError> {
    let unfinished = target.unfinished();
    fs::create_dir(&unfinished).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SalvageError::Unfinished(unfinished.display().to_string()),
        _ => failed("make", &unfinished)(error),
    })?;
    let written = fill(&unfinished, target, source, log, taken)
        .and_then(|log_id| check(&unfinished, source, log.front.start(), tally).map(|()| log_id))
        .and_then(|log_id| match source.writer() {
            Some(pid) => Err(SalvageError::in_use(source, pid)),
            None => Ok(log_id),
        })
        .and_then(|log_id| name(&unfinished, target.directory).map(|()| log_id));
    if written.is_err() {
        // It is this call's own, and it says what it is if it cannot be removed.
        let _ = fs::remove_dir_all(&unfinished);
    }
    written
}

/// Appends every batch and closes the log.
fn fill(
    directory: &Path,
    target: &Target<'_>,
    source: &Source,
    log: &Inventory,
    taken: &[(usize, &Run)],
) -> Result<String, SalvageError> {
    let Inventory { front, segments, .. } = log;
    let mut checkpoints = BTreeMap::new();
    if let Some(base) = front.view().filter(|_| is_segment_length(target.segment_bytes)) {
        let mut log_id = [0; 16];
        let drawn = getrandom::fill(&mut log_id).map_err(io::Error::other);
        drawn.map_err(failed("draw an id for", directory))?;
        let stored = front.store(directory, LogId::from_bytes(log_id), target.segment_bytes);
        stored.map_err(failed("write the beginning of", directory))?;
        let set = base.checkpoints().flatten();
        checkpoints.extend(set.map(|set| (set.name.to_owned(), set.position)));
    }
    source.stages.begin("writing", taken.iter().map(|(_, run)| run.bytes()).sum());
    let options = Log::options().segment_bytes(target.segment_bytes);
    let log = options.durability(Durability::Buffered).open(directory)?;
    replay(source, segments, taken.iter().copied(), |_, placed| {
        let batch = batch_of(placed, &mut checkpoints)?;
        if let Some(batch) = batch.filter(|batch| batch.frame_bytes() > EMPTY_BYTES) {
            log.append(batch)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let log_id = log.recovery_report().log_id.to_string();
    log.close()?;
    Ok(log_id)
}

/// What a batch takes that has neither events nor checkpoints.
const EMPTY_BYTES: usize = layout::CONTROL_FRAME_BYTES;

/// The batch as it was: its events in their order and its checkpoints, at its time. Of frames that
/// contradict others a checkpoint may not rise above those in front, `checkpoints`: it is left out.
fn batch_of(
    placed: &Placed<'_>,
    checkpoints: &mut BTreeMap<String, Position>,
) -> Result<Option<Batch>, SalvageError> {
    if matches!(placed.frame.header.kind, FrameKind::Control(_)) {
        return Ok(None);
    }
    let mut batch = Batch::new().committed_at(placed.frame.header.commit_time);
    for checkpoint in placed.body.checkpoints().map_err(|_| placed.changed())? {
        let NamedCheckpoint { name, position } = checkpoint.map_err(|_| placed.changed())?;
        if checkpoints.get(name).is_none_or(|before| *before < position) {
            checkpoints.insert(name.to_owned(), position);
            batch = batch.checkpoint(name, position);
        }
    }
    for event in placed.body.events() {
        let event = event.map_err(|_| placed.changed())?;
        let stream = placed.body.streams().name(event.stream).map_err(|_| placed.changed())?;
        let mut out = Event::new(event.event_type, event.payload).metadata(event.metadata);
        if let Some(id) = event.id {
            out = out.id(id);
        }
        for tag in event.tags {
            out = out.tag(tag);
        }
        batch.push(stream, &out);
    }
    Ok(Some(batch))
}

/// The verifier must find there what was to be written.
fn check(
    directory: &Path,
    source: &Source,
    start: Position,
    tally: &Tally,
) -> Result<(), SalvageError> {
    let is_watched = !source.stages.bar().is_hidden();
    source.stages.end();
    let report = if is_watched { verify::watched(directory)? } else { verify(directory)? };
    let found = (report.batches, report.events, report.streams as u64);
    let whole = report.ok && report.closed && report.first_available == start.as_u64();
    let same = found == (tally.batches, start.as_u64() + tally.events, tally.streams)
        && report.checkpoints == tally.checkpoints;
    match whole && same {
        true => Ok(()),
        false => Err(SalvageError::NotAsWritten(report.verdict())),
    }
}

/// Gives the directory its name, durably; an empty one of that name gives way.
fn name(unfinished: &Path, directory: &Path) -> Result<(), SalvageError> {
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let sync = || File::open(parent)?.sync_all();
    sync().map_err(failed("sync", parent))?;
    fs::rename(unfinished, directory).map_err(failed("name", directory))?;
    sync().map_err(failed("sync", parent))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SalvageError {
    let path = path.display().to_string();
    move |cause| SalvageError::Io { what, path, cause }
}
