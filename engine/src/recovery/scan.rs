//! How far the log verifies, and what stands behind.
//!
//! Owns: [`walk`], which follows the frames from the first segment on and builds the index, passing
//! over sealed segments whose own index proves them whole ([`super::indexes`]), and
//! [`observe`], which looks at everything behind the place where the walk stopped. May call:
//! inventory, window, the format, index. Changes nothing on disk, decides nothing.

use quipu_format::sidecar::SealedSegment;
use quipu_format::zeros::last_nonzero;
use quipu_format::{
    Body, ByteOffset, Chain, ControlKind, Frame, FrameError, FrameKind, Position, Salt,
    SegmentHeader, SegmentSeq, Step, find_evidence, layout,
};

use super::checkpoints::CheckpointWalk;
use super::decide::{Observed, Sighting, WrongMagic};
use super::indexes::{IndexCounts, pass_over};
use super::inventory::{Found, HeaderState, Inventory};
use super::plan::wrong_magic;
use super::stream_table::{self, TableUse};
use super::window::Window;
use crate::error::{Fault, OpenError};
use crate::index::{StreamIndex, Streams, intake};
use crate::segment::landmarks::Landmarks;
use crate::segment::name::segment_name;
use crate::segment::reader::Segment;
use crate::segment::sidecar::SegmentIndex;

/// What was read from the first segment to the place where frames stop verifying.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The segments with frames that were accepted, in order; the last is the one with the stop in
    /// it, unless that stands at a segment's very start.
    pub(crate) accepted: Vec<Accepted>,
    /// The segment that the log begins with,
    pub(crate) first: SegmentSeq,
    /// and the position of its first event, below which all is durable, or was.
    pub(crate) first_position: Position,
    /// Where the segment in front of it ended, if that was dropped.
    dropped_end: Option<ByteOffset>,
    /// Where the walk stopped.
    pub(crate) stop: Stop,
    /// The state of the log there.
    pub(crate) chain: Chain,
    /// What the last frame was, if no batch.
    pub(crate) last_control: Option<ControlKind>,
    pub(crate) batches: u64,
    pub(crate) streams: usize,
    pub(crate) indexes: IndexCounts,
    pub(crate) checkpoints: CheckpointWalk,
    /// What has become of the file of all streams.
    pub(crate) table: TableUse,
    /// Whether it ended at the limit that it was given, and not where frames do not verify.
    pub(crate) is_limited: bool,
}

/// A segment that is part of the log.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) header: SegmentHeader,
    /// Behind its last frame.
    pub(crate) end: ByteOffset,
    /// Where its seal stands, if it has one.
    pub(crate) sealed_at: Option<ByteOffset>,
    /// The seal's bytes, if they were not there and had to be made again.
    pub(crate) healed_seal: Option<[u8; layout::CONTROL_FRAME_BYTES]>,
    /// What its index is bound to, if it is sealed.
    pub(crate) sealed: Option<SealedSegment>,
    /// Its index, by which it was accepted without a scan.
    pub(crate) own: Option<SegmentIndex>,
    pub(crate) landmarks: Landmarks,
}

impl Accepted {
    /// Where a frame stands from which walking forward meets the last event of a sealed segment.
    pub(crate) fn before_last_event(&self) -> ByteOffset {
        let last = self.sealed.and_then(|sealed| sealed.end_position.before());
        last.map_or(Segment::FIRST_FRAME, |last| self.landmarks.before(last))
    }
}

/// X: where the first frame stands that does not verify.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) sequence: SegmentSeq,
    pub(crate) file: String,
    pub(crate) offset: ByteOffset,
    pub(crate) fault: Fault,
}

impl Walk {
    /// Whether nothing has ever been committed.
    pub(crate) fn is_new(&self) -> bool {
        self.batches == 0 && self.checkpoints.len() == 0
    }

    /// All below is proved durable, by what the frames say or by the base.
    pub(crate) fn proved(&self) -> Position {
        self.chain.synced_position.max(self.first_position)
    }

    pub(crate) fn healed_seals(&self) -> usize {
        self.accepted.iter().filter(|accepted| accepted.healed_seal.is_some()).count()
    }
}

/// Follows the log from its start to the first frame that does not verify. `scan_all`: a segment is
/// scanned even where its index says that it was whole. `limit`: nothing is followed that stands behind
/// the last event below it; what a live writer has stored there may not last.
pub(crate) fn walk(
    inventory: &Inventory,
    index: &StreamIndex,
    scan_all: bool,
    limit: Option<Position>,
) -> Result<Walk, OpenError> {
    let mut table = TableUse::NotAsked;
    if !scan_all {
        let mut walk = Walk::from(inventory);
        match stream_table::pass_over(inventory, index, &mut walk) {
            Ok(()) => return walk_on((inventory, index), scan_all, limit, walk),
            Err(error) => table = TableUse::without(&error),
        }
    }
    let mut walk = Walk { table, ..Walk::from(inventory) };
    start(inventory, index, &mut walk)?;
    walk_on((inventory, index), scan_all, limit, walk)
}

/// Takes streams and checkpoints as they were where the log begins.
fn start(inventory: &Inventory, index: &StreamIndex, walk: &mut Walk) -> Result<(), OpenError> {
    let Some(base) = &inventory.base else { return Ok(()) };
    // It has been verified; only memory that forgets can fail here.
    let forgot = |error| inventory.error("read", &base.name, std::io::Error::other(error));
    let view = base.view().map_err(forgot)?;
    walk.checkpoints.begin(view.checkpoints()).map_err(forgot)?;
    let streams = Streams::of_table(view.table()).map_err(forgot)?;
    index.update(|index| *index = streams);
    Ok(())
}

impl Walk {
    /// Where the log begins: at its very start, or behind what its base says was dropped.
    fn from(inventory: &Inventory) -> Self {
        let first = inventory.first();
        let base = inventory.base.as_ref();
        let nothing = Chain {
            position: Position::ZERO,
            previous: 0,
            time: quipu_format::CommitTime::ZERO,
            synced_position: Position::ZERO,
        };
        let chain = base.map_or(nothing, |base| base.chain);
        Self {
            accepted: Vec::new(),
            first,
            first_position: chain.position,
            dropped_end: base.map(|base| base.seal_end),
            stop: Stop::at_start_of(first, Fault::MissingFile),
            chain,
            last_control: None,
            batches: 0,
            streams: 0,
            indexes: IndexCounts::default(),
            checkpoints: CheckpointWalk::default(),
            table: TableUse::NotAsked,
            is_limited: false,
        }
    }
}

/// Goes on behind the segments that have been accepted.
fn walk_on(
    (inventory, index): (&Inventory, &StreamIndex),
    scan_all: bool,
    limit: Option<Position>,
    mut walk: Walk,
) -> Result<Walk, OpenError> {
    let passed = walk.accepted.len();
    let last = walk.accepted.last();
    let mut expected = last.map_or(walk.first, |last| last.header.sequence.plus(1));
    walk.stop = Stop::at_start_of(expected, Fault::MissingFile);
    for (place, found) in inventory.segments.iter().enumerate().skip(passed) {
        if found.sequence != expected {
            break;
        }
        if !walk.accepted.is_empty() && limit.is_some_and(|limit| walk.chain.position >= limit) {
            walk.is_limited = true;
            break;
        }
        let header = match admit(found, &walk) {
            Ok(header) => header,
            Err(fault) => {
                walk.stop.fault = fault;
                break;
            }
        };
        let next = inventory.segments.get(place + 1);
        let next = next.filter(|next| next.sequence == expected.plus(1));
        let passed_over = match scan_all {
            true => None,
            false => pass_over(inventory.directory(), (found, &header), next, index, &mut walk),
        };
        if let Some(accepted) = passed_over {
            walk.accepted.push(accepted);
            expected = expected.plus(1);
            walk.stop = Stop::at_start_of(expected, Fault::MissingFile);
            continue;
        }
        let fault = index.update(|streams| {
            streams.begin_segment(header.sequence, header.base_position);
            let mut scan = SegmentScan { inventory, found, header, index, streams, limit };
            scan.run(next, &mut walk)
        })?;
        if let Some((offset, fault)) = fault {
            walk.stop = Stop { sequence: expected, file: found.name.clone(), offset, fault };
            break;
        }
        index.update(|streams| streams.end_segment(walk.chain.position));
        expected = expected.plus(1);
        walk.stop = Stop::at_start_of(expected, Fault::MissingFile);
    }
    walk.streams = index.read().len();
    Ok(walk)
}

/// Whether a file can go on where the walk stands: gives its header.
pub(super) fn admit(found: &Found, walk: &Walk) -> Result<SegmentHeader, Fault> {
    // Says more than its length, which is another one if the whole file is foreign.
    if let Some(error) = wrong_magic(found.header) {
        return Err(Fault::Header(error));
    }
    let header = match found.header {
        HeaderState::Activated(header) => header,
        _ if !is_segment_length(found.length) => {
            return Err(Fault::NoSegmentLength { found: found.length });
        }
        HeaderState::Unused => return Err(Fault::MissingHeader),
        HeaderState::Bad(error) => return Err(Fault::Header(error)),
    };
    if found.length != header.capacity {
        return Err(Fault::Length { expected: header.capacity, found: found.length });
    }
    let linked = match walk.accepted.last() {
        None => match walk.dropped_end {
            None => header.predecessor.is_none(),
            Some(end) => walk.chain.leads_to(&header, end),
        },
        Some(before) => walk.chain.leads_to(&header, before.end),
    };
    if linked { Ok(header) } else { Err(Fault::Unlinked) }
}

/// Whether a segment may be so long. One has its length before it has its name.
fn is_segment_length(length: u64) -> bool {
    use layout::segment::{CAPACITY_MAX, CAPACITY_MIN, CAPACITY_STEP};
    (CAPACITY_MIN..=CAPACITY_MAX).contains(&length) && length.is_multiple_of(CAPACITY_STEP)
}

impl Stop {
    fn at_start_of(sequence: SegmentSeq, fault: Fault) -> Self {
        Self { sequence, file: segment_name(sequence), offset: ByteOffset::ZERO, fault }
    }
}

/// The scan of one segment.
struct SegmentScan<'a> {
    inventory: &'a Inventory,
    found: &'a Found,
    header: SegmentHeader,
    index: &'a StreamIndex,
    streams: &'a mut Streams,
    limit: Option<Position>,
}

impl SegmentScan<'_> {
    /// Follows the frames. `None`: to the seal. Else where it stopped, and why.
    fn run(
        &mut self,
        next: Option<&Found>,
        walk: &mut Walk,
    ) -> Result<Option<(ByteOffset, Fault)>, OpenError> {
        let salt = Salt::new(self.header.log_id, self.header.sequence);
        let file = self.found.open()?;
        let mut window = Window::new(&*file, self.found.length);
        let mut chain = Chain::at_start_of(&self.header);
        let landmarks = super::landmarks_of(self.found);
        let mut offset = Segment::FIRST_FRAME;
        let mut sealed_at = None;
        let mut last_control = None;
        let fault = loop {
            if sealed_at.is_some() {
                break None;
            }
            walk.is_limited = self.limit.is_some_and(|limit| chain.position >= limit);
            if walk.is_limited {
                break Some((offset, Fault::NeverWritten));
            }
            let read =
                |error| self.inventory.error("read", &self.found.name, error).at(offset.as_u64());
            let bytes = window.frame_at(salt, offset).map_err(read)?;
            let fault = match chain.step(bytes, salt, offset) {
                Step::Frame { chain: after, .. } if after.position > self.limit.unwrap_or(END) => {
                    walk.is_limited = true;
                    Fault::NeverWritten
                }
                Step::Frame { frame, chain: after } => {
                    match self.take(&frame, offset, &mut walk.checkpoints) {
                        Ok(()) => {
                            if frame.header.kind == FrameKind::Batch {
                                landmarks.note(frame.header.first_position, offset);
                                walk.batches += 1;
                            }
                            last_control = match frame.header.kind {
                                FrameKind::Batch | FrameKind::Checkpoints => None,
                                FrameKind::Control(kind) => Some(kind),
                            };
                            if last_control == Some(ControlKind::Seal) {
                                sealed_at = Some(offset);
                            }
                            chain = after;
                            offset = offset.plus(u64::from(frame.header.frame_bytes));
                            continue;
                        }
                        Err(error) => Fault::Frame(error),
                    }
                }
                Step::NeverWritten => Fault::NeverWritten,
                Step::Bad(error) => Fault::Frame(error),
            };
            break Some((offset, fault));
        };
        let mut accepted = Accepted {
            header: self.header,
            end: offset,
            sealed_at,
            healed_seal: None,
            sealed: None,
            own: None,
            landmarks,
        };
        let seal_end = offset.plus(layout::CONTROL_FRAME_BYTES as u64);
        let seal_fits = seal_end.as_u64() <= self.found.length;
        let healed = match next.map(|next| next.header) {
            Some(HeaderState::Activated(next))
                if fault.is_some() && seal_fits && !walk.is_limited =>
            {
                chain.seal_named_by(&next, salt, offset).map(|seal| (seal, next))
            }
            _ => None,
        };
        if let Some((seal, next)) = healed {
            // Nothing in front of the seal is missing: the next header says what it was.
            accepted.sealed_at = Some(offset);
            accepted.healed_seal = Some(seal);
            accepted.end = seal_end;
            chain.previous = next.predecessor.map_or(chain.previous, |before| before.checksum);
            chain.time = next.created_at;
            chain.synced_position = next.synced_position;
            last_control = Some(ControlKind::Seal);
        }
        accepted.sealed = accepted.sealed_at.map(|_| SealedSegment {
            log_id: self.header.log_id,
            sequence: self.header.sequence,
            base_position: self.header.base_position,
            end_position: chain.position,
            seal_end: accepted.end,
            seal_checksum: chain.previous,
        });
        walk.accepted.push(accepted);
        walk.chain = chain;
        walk.last_control = last_control;
        Ok(if healed.is_some() { None } else { fault })
    }

    /// Puts a frame's events into the index, and takes its checkpoints, each of which must go forward.
    fn take(
        &mut self,
        frame: &Frame<'_>,
        offset: ByteOffset,
        checkpoints: &mut CheckpointWalk,
    ) -> Result<(), FrameError> {
        checkpoints.check(&Body::decode(frame)?)?;
        intake::take(self.index, self.streams, (frame, offset), self.header.capacity)?;
        checkpoints.take(frame)
    }
}

/// No position is behind it.
const END: Position = Position::new(u64::MAX);

/// Looks at everything behind the place where the walk stopped.
pub(crate) fn observe(inventory: &Inventory, walk: &Walk) -> Result<Observed, OpenError> {
    let mut observed = Observed {
        fault: walk.stop.fault,
        position: walk.chain.position,
        evidence: None,
        settled: None,
        sealed_before: None,
        base: None,
        there_behind: None,
        wrong_magic: None,
        unchecked: None,
        bytes_after: 0,
    };
    if let Some(last) = walk.accepted.last().filter(|last| last.sealed_at.is_some()) {
        observed.sealed_before = Some(inventory.path(&segment_name(last.header.sequence)));
    }
    if let Some(base) = inventory.base.as_ref().filter(|_| walk.accepted.is_empty()) {
        observed.base = Some(inventory.path(&base.name));
    }
    let log_id = inventory.log_id();
    for found in inventory.segments.iter().filter(|found| found.sequence >= walk.stop.sequence) {
        let stopped_here = found.sequence == walk.stop.sequence;
        let from = if stopped_here { walk.stop.offset } else { ByteOffset::ZERO };
        let mut behind = Behind { inventory, found, from, observed: &mut observed };
        // The first segment is never taken away while there are others, used or not.
        if !stopped_here && (found.is_activated() || walk.accepted.is_empty()) {
            let path = inventory.path(&found.name);
            behind.observed.there_behind.get_or_insert(path);
        }
        if let Some(error) = wrong_magic(found.header) {
            let wrong = || WrongMagic { file: inventory.path(&found.name), error };
            behind.observed.wrong_magic.get_or_insert_with(wrong);
        }
        if let HeaderState::Activated(header) = found.header
            && from == ByteOffset::ZERO
        {
            behind.see(ByteOffset::ZERO, header.synced_position);
        }
        let contents = behind.contents(log_id.map(|id| Salt::new(id, found.sequence)))?;
        if contents && log_id.is_none() {
            observed.unchecked.get_or_insert(inventory.path(&found.name));
        }
    }
    Ok(observed)
}

/// One file behind the stop, or the part of one.
struct Behind<'a> {
    inventory: &'a Inventory,
    found: &'a Found,
    /// X, or the start of a segment behind it.
    from: ByteOffset,
    observed: &'a mut Observed,
}

/// Searched at a time.
const PIECE_BYTES: u64 = 1 << 20;

impl Behind<'_> {
    /// Reads it: counts what is not zero, and searches it for evidence. Whether there is anything in
    /// the blocks of frames.
    fn contents(&mut self, salt: Option<Salt>) -> Result<bool, OpenError> {
        let from = self.from;
        let file = self.found.open()?;
        let mut window = Window::new(&*file, self.found.length);
        let mut at = from.as_u64();
        let (mut last_not_zero, mut frames) = (None, false);
        while at < self.found.length {
            // A header that stands across two pieces is seen whole in the second look.
            let wanted = PIECE_BYTES + layout::header::BYTES as u64;
            let read = window.at(at, wanted);
            let bytes =
                read.map_err(|error| self.inventory.error("read", &self.found.name, error).at(at))?;
            if let Some(last) = last_nonzero(bytes) {
                let last = at + last as u64;
                last_not_zero = Some(last);
                frames |= last >= layout::segment::BYTES as u64;
                let offset = ByteOffset::new(at);
                let evidence = salt.and_then(|salt| find_evidence(bytes, salt, offset));
                if let Some(evidence) = evidence {
                    self.see(evidence.offset, evidence.synced_position);
                    self.see_settled(evidence.settled_at);
                }
            }
            at += PIECE_BYTES;
        }
        if let Some(last) = last_not_zero {
            self.observed.bytes_after += last + 1 - from.as_u64();
        }
        Ok(frames)
    }

    /// Notes a settled frame, if it is behind X: what stands at X it does not speak of.
    fn see_settled(&mut self, settled_at: Option<ByteOffset>) {
        if let Some(at) = settled_at.filter(|at| *at > self.from) {
            let place = || (self.inventory.path(&self.found.name), at.as_u64());
            self.observed.settled.get_or_insert_with(place);
        }
    }

    /// Notes a synced position, if it is the highest so far.
    fn see(&mut self, offset: ByteOffset, synced_position: Position) {
        let higher = |best: &Sighting| best.synced_position < synced_position;
        if self.observed.evidence.as_ref().is_none_or(higher) {
            self.observed.evidence = Some(Sighting {
                file: self.inventory.path(&self.found.name),
                offset: offset.as_u64(),
                synced_position,
            });
        }
    }
}
