//! From a directory of files to a log that can be trusted.
//!
//! Owns: everything between the lock and the first append. May call: storage, segment, index, the
//! format. Data flows one way:
//!
//! [`inventory`] (which files) -> [`plan`] (do they belong together) -> [`scan`] (how far do the
//! frames verify) -> [`decide`] (torn tail or damage: one table) -> [`repair`] (the only one that
//! changes files) -> [`Recovered`].
//!
//! Invariants:
//! - Nothing on disk is changed before [`decide`] has said what to do; a refused open changes
//!   nothing.
//! - Only [`recover`] makes a [`Recovered`], and only from that a writer can be made.
//! - The page cache is not trusted beyond the last point proved durable: the accepted tail is
//!   stored again and synced before it is served or built upon.
//! - Everything is read with positioned reads: a bad sector is an error, never a signal.

mod checkpoints;
pub(crate) mod decide;
pub(crate) mod indexes;
pub(crate) mod inventory;
mod own;
pub(crate) mod plan;
mod read_only;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod scan;
mod stream_table;
pub(crate) mod window;

use std::sync::Arc;
use std::time::Instant;

use quipu_format::{ByteOffset, Chain, ControlKind, LogId, Position, SegmentHeader, SegmentSeq};

use crate::environment::Environment;
use crate::error::{Damage, Fault, OpenError, Proof};
use crate::index::StreamIndex;
use crate::index::checkpoints::Checkpoints;
use crate::index::table::TableKeeper;
use crate::options::Options;
use crate::segment::landmarks::Landmarks;
use crate::segment::prepare::Preparer;
use crate::segment::reader::Segment;
use crate::segment::writer::ActiveSegment;
use crate::storage::{Access, Directory, IoError};
use decide::{Decision, WrongMagic};
use inventory::{Found, Inventory};
pub(crate) use read_only::recover_read_only;
use report::RecoveryReport;
use scan::{Accepted, Walk};

/// A log whose recovery has finished: the token without which there is no writer.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) report: RecoveryReport,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) index: StreamIndex,
    /// Those that readers see.
    pub(crate) checkpoints: Checkpoints,
    /// Where the log ends for readers.
    pub(crate) end: Position,
    /// Everything below is durable.
    pub(crate) synced: Position,
    /// `None`: opened for reading.
    pub(crate) writer: Option<RecoveredWriter>,
    /// Where a reader goes on as the log grows; `None`: opened for writing, or damaged.
    pub(crate) reached: Option<Reached>,
}

/// Where the log that a reader was given ends.
#[derive(Debug)]
pub(crate) struct Reached {
    /// The header of the last segment.
    pub(crate) header: SegmentHeader,
    /// Behind the last frame in it.
    pub(crate) offset: ByteOffset,
    /// Whether that is its seal.
    pub(crate) is_sealed: bool,
    pub(crate) chain: Chain,
    /// The live writer's session, if it has said how far the log is durable.
    pub(crate) session: Option<u64>,
}

/// What the writer goes on with.
#[derive(Debug)]
pub(crate) struct RecoveredWriter {
    pub(crate) active: ActiveSegment,
    pub(crate) header: SegmentHeader,
    pub(crate) preparer: Preparer,
    /// Whether there are checkpoints that no frame says to be durable.
    pub(crate) is_unwitnessed: bool,
    /// What the file of all streams covers.
    pub(crate) table: TableKeeper,
}

/// Opens the log in a locked directory for writing: finds its end, repairs its tail.
pub(crate) fn recover(
    directory: &Arc<dyn Directory>,
    options: &Options,
    environment: &Environment,
) -> Result<Recovered, OpenError> {
    let started = Instant::now();
    let inventory = Inventory::take(directory, Access::Write)?;
    plan::check(&inventory)?;
    // What is trusted below must be on the device, not only in the page cache of a process that
    // was killed. That goes for names too: it may have been killed between a segment's rename and
    // the directory's sync, and the segment is about to be used.
    directory.sync().map_err(|error| IoError::new("sync", directory.name(), error))?;
    for found in inventory.segments.iter().filter(|found| found.is_activated()) {
        let synced = found.open()?.sync();
        synced.map_err(|error| inventory.error("sync", &found.name, error))?;
    }
    let log_id = match inventory.log_id() {
        Some(log_id) => log_id,
        None => new_log_id(environment)?,
    };
    let mut index = StreamIndex::new(log_id);
    let mut walk = scan::walk(&inventory, &index, options.verify_on_open, None)?;
    let observed = scan::observe(&inventory, &walk)?;
    if let Some(damage) = walk.damage(&inventory, decide::decide(&observed)) {
        return Err(OpenError::Damaged(Box::new(damage)));
    }
    // Only now: a log of which no header is left is damaged, and is no missing one.
    if !options.create && !inventory.has_activated() {
        return Err(OpenError::NoLog { directory: directory.name() });
    }
    let repaired = repair::repair(directory, &inventory, &walk, &observed, options)?;

    let mut report = RecoveryReport::new(&inventory, &walk);
    report.bytes_cut = observed.bytes_after;
    report.seals_made_again = walk.healed_seals();
    report.unfinished_removed = inventory.unfinished.len();
    report.base_unstored = !repaired.base_is_stored;
    let chain = walk.chain;
    let mut preparer = Preparer::new(
        Arc::clone(directory),
        options.segment_bytes,
        options.preparation,
        repaired.unused,
        repaired.next,
    );
    let last = walk.accepted.pop();
    let mut segments = map_all(&inventory, walk.accepted, true)?;
    let (active, header) = match last {
        Some(last) if last.sealed_at.is_none() => {
            resume(directory, &inventory, last, (chain, walk.last_control), options)?
        }
        Some(last) => {
            let before = quipu_format::Predecessor { end: last.end, checksum: chain.previous };
            let header = SegmentHeader {
                base_position: chain.position,
                created_at: chain.time,
                synced_position: chain.synced_position,
                predecessor: Some(before),
                ..last.header
            };
            segments.extend(map_all(&inventory, vec![last], true)?);
            activate(&mut preparer, header, options)?
        }
        None => {
            // Nothing of what was there before is left, not even its id.
            let first = first_header(environment, new_log_id(environment)?);
            index = StreamIndex::new(first.log_id);
            activate(&mut preparer, first, options)?
        }
    };
    let made = indexes::complete(&**directory, true, &segments, &index, || environment.threads());
    report.count_indexes(walk.indexes, made);
    let table = walk.table.keeper(&segments);
    if index.read().tail(header.sequence).is_none() {
        index.update(|streams| streams.begin_segment(header.sequence, header.base_position));
    }
    segments.push(Arc::clone(active.segment()));
    report.log_id = header.log_id;
    report.time_taken = started.elapsed();
    let is_unwitnessed = walk.checkpoints.is_unwitnessed();
    Ok(Recovered {
        report,
        segments,
        index,
        checkpoints: walk.checkpoints.into_checkpoints(None),
        end: chain.position,
        synced: chain.position,
        writer: Some(RecoveredWriter { active, header, preparer, is_unwitnessed, table }),
        reached: None,
    })
}

impl Walk {
    /// The error for a log that this walk cannot be the whole of.
    fn damage(&self, inventory: &Inventory, decision: Decision) -> Option<Damage> {
        let stop = &self.stop;
        let (file, offset, fault, proof) = match decision {
            Decision::Clean | Decision::Cut => return None,
            Decision::Refuse(proof) => {
                (inventory.path(&stop.file), stop.offset.as_u64(), stop.fault, proof)
            }
            Decision::RefuseFile(WrongMagic { file, error }) => {
                (file, 0, Fault::Header(error), Proof::WrongMagic)
            }
        };
        Some(Damage { file, offset, position: self.chain.position, fault, proof })
    }
}

/// Maps sealed segments, or all of them for reading.
fn map_all(
    inventory: &Inventory,
    accepted: Vec<Accepted>,
    seals_are_stored: bool,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let map = |accepted: Accepted| {
        let found = inventory.get(accepted.header.sequence)?;
        // A seal that was made again is there once it has been repaired; for reading only, where
        // nobody looks for seals, no seal is asked for.
        let end = match accepted.sealed_at {
            Some(offset) if !seals_are_stored => offset,
            _ => accepted.end,
        };
        let mapped = found.open()?.map(end.as_u64(), Access::Read);
        let (region, _) = mapped.map_err(|error| inventory.error("map", &found.name, error))?;
        if let Some(own) = accepted.own {
            return Ok(Arc::new(Segment::passed_over(accepted.header, region, own)));
        }
        let segment = Segment::new(accepted.header, region, accepted.landmarks);
        if let Some(sealed) = accepted.sealed {
            segment.seal(sealed);
        }
        Ok(Arc::new(segment))
    };
    accepted.into_iter().map(map).collect()
}

/// Maps the segment that the writer goes on with: a file of this log alone.
fn resume(
    directory: &Arc<dyn Directory>,
    inventory: &Inventory,
    last: Accepted,
    (chain, last_control): (Chain, Option<ControlKind>),
    options: &Options,
) -> Result<(ActiveSegment, SegmentHeader), OpenError> {
    let found = inventory.get(last.header.sequence)?;
    let file = own::open_own(directory, inventory, found)?;
    let mapped = file.map(last.end.as_u64(), Access::Write);
    let (region, writer) = mapped.map_err(|error| inventory.error("map", &found.name, error))?;
    let Some(writer) = writer else {
        let error = std::io::Error::other("mapped for writing, but there is no writer");
        return Err(inventory.error("map", &found.name, error).into());
    };
    let segment = Arc::new(Segment::new(last.header, region, last.landmarks));
    let mode = options.store_mode;
    let active = ActiveSegment::resume(segment, file, writer, mode, chain, last_control);
    Ok((active, last.header))
}

/// Makes the next segment the active one, durably: before the first batch, once. Its number and its
/// size are those of the file, whatever the header says.
fn activate(
    preparer: &mut Preparer,
    header: SegmentHeader,
    options: &Options,
) -> Result<(ActiveSegment, SegmentHeader), OpenError> {
    let prepared = preparer.prepare()?;
    let name = crate::segment::name::segment_name(prepared.sequence);
    let error = |error| IoError::new("write the header of", &name, error);
    let header = SegmentHeader {
        sequence: prepared.sequence,
        capacity: prepared.region.capacity(),
        ..header
    };
    let active = ActiveSegment::activate(prepared, &header, options.store_mode).map_err(error)?;
    active.file().sync().map_err(error)?;
    Ok((active, header))
}

fn new_log_id(environment: &Environment) -> Result<LogId, OpenError> {
    let drawn = environment.new_log_id();
    Ok(drawn.map_err(|error| IoError::new("draw random bytes from", "the system", error))?)
}

/// The header of a new log's first segment.
fn first_header(environment: &Environment, log_id: LogId) -> SegmentHeader {
    SegmentHeader {
        log_id,
        sequence: SegmentSeq::ZERO,
        capacity: quipu_format::layout::segment::CAPACITY_MIN,
        base_position: Position::ZERO,
        created_at: environment.now(),
        synced_position: Position::ZERO,
        predecessor: None,
        optional_features: 0,
    }
}

/// Makes the landmarks of a segment that is being scanned.
fn landmarks_of(found: &Found) -> Landmarks {
    Landmarks::new(found.length)
}
