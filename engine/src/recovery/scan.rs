//! How far the log verifies, and what stands behind.
//!
//! Owns: [`walk`], which follows the frames from the first segment on and builds the index, passing
//! over sealed segments whose own index proves them whole ([`super::indexes`]), and
//! [`observe`], which looks at everything behind the place where the walk stopped. May call:
//! inventory, window, the format, index. Changes nothing on disk, decides nothing.

use quipu_format::sidecar::SealedSegment;
use quipu_format::{
    Body, ByteOffset, Chain, ControlKind, FrameError, FrameHeader, FrameKind, Position, Salt,
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
use crate::index::{StreamIndex, StreamNumber, Streams};
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

    pub(crate) fn healed_seals(&self) -> usize {
        self.accepted.iter().filter(|accepted| accepted.healed_seal.is_some()).count()
    }
}

/// Follows the log from its start to the first frame that does not verify. `scan_all`: a segment is
/// scanned even where its index says that it was whole.
pub(crate) fn walk(
    inventory: &Inventory,
    index: &StreamIndex,
    scan_all: bool,
) -> Result<Walk, OpenError> {
    let mut table = TableUse::NotAsked;
    if !scan_all {
        let mut walk = Walk::new();
        match stream_table::pass_over(inventory, index, &mut walk) {
            Ok(()) => return walk_on(inventory, index, scan_all, walk),
            Err(error) => table = TableUse::without(&error),
        }
    }
    walk_on(inventory, index, scan_all, Walk { table, ..Walk::new() })
}

impl Walk {
    fn new() -> Self {
        Self {
            accepted: Vec::new(),
            stop: Stop::at_start_of(SegmentSeq::ZERO, Fault::MissingFile),
            chain: Chain {
                position: Position::ZERO,
                previous: 0,
                time: quipu_format::CommitTime::ZERO,
                synced_position: Position::ZERO,
            },
            last_control: None,
            batches: 0,
            streams: 0,
            indexes: IndexCounts::default(),
            checkpoints: CheckpointWalk::default(),
            table: TableUse::NotAsked,
        }
    }
}

/// Goes on behind the segments that have been accepted.
fn walk_on(
    inventory: &Inventory,
    index: &StreamIndex,
    scan_all: bool,
    mut walk: Walk,
) -> Result<Walk, OpenError> {
    let passed = walk.accepted.len();
    let last = walk.accepted.last();
    let mut expected = last.map_or(SegmentSeq::ZERO, |last| last.header.sequence.plus(1));
    walk.stop = Stop::at_start_of(expected, Fault::MissingFile);
    for (place, found) in inventory.segments.iter().enumerate().skip(passed) {
        walk.stop = Stop::at_start_of(expected, Fault::MissingFile);
        if found.sequence != expected {
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
            let mut scan = SegmentScan { inventory, found, header, index, streams };
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
        None => header.predecessor.is_none(),
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
            let bytes = self.frame_bytes(&mut window, salt, offset)?;
            let fault = match chain.step(bytes, salt, offset) {
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
            Some(HeaderState::Activated(next)) if fault.is_some() && seal_fits => {
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

    /// The bytes of the segment from `offset` on: the whole frame there, if its header verifies.
    fn frame_bytes<'w>(
        &self,
        window: &'w mut Window<'_>,
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<&'w [u8], OpenError> {
        let at = offset.as_u64();
        let read = |error| self.inventory.error("read", &self.found.name, error).at(at);
        let head = window.at(at, layout::header::BYTES as u64).map_err(read)?;
        let wanted = match FrameHeader::decode(head, salt, offset) {
            Ok(Some(header)) => u64::from(header.frame_bytes),
            Ok(None) | Err(_) => layout::header::BYTES as u64,
        };
        Ok(window.at(at, wanted).map_err(read)?)
    }

    /// Puts a frame's events into the index, and takes its checkpoints, if the segment can be sealed
    /// behind it, each stream goes on with its next version and each checkpoint goes forward.
    fn take(
        &mut self,
        frame: &quipu_format::Frame<'_>,
        offset: ByteOffset,
        checkpoints: &mut CheckpointWalk,
    ) -> Result<(), FrameError> {
        frame.check_room(offset, self.header.capacity)?;
        let body = Body::decode(frame)?;
        checkpoints.check(&body)?;
        let mut numbers: Vec<(u64, Option<StreamNumber>)> = Vec::new();
        for (at, name) in (0_u32..).zip(body.streams().names()) {
            let name = name?;
            let hash = self.index.hash(name);
            let number = self.streams.find(hash, name);
            let next = number.map(|number| self.streams.next_version(number)).unwrap_or_default();
            let found = frame.first_version(at).unwrap_or_default();
            if found != next {
                let field = "stream version";
                return Err(FrameError::Field { field, found: found.as_u64() });
            }
            numbers.push((hash, number));
        }
        check_distinct(&body, &numbers)?;
        checkpoints.take(frame)?;
        let first = frame.header.first_position;
        for (at, event) in (0_u64..).zip(body.events()) {
            let event = event?;
            let stream = event.stream;
            if let Some((hash, number)) = numbers.get_mut(stream as usize) {
                let name = body.streams().name(stream)?;
                let number = *number.get_or_insert_with(|| self.streams.find_or_add(*hash, name));
                self.streams.push(number, first.plus(at));
            }
            for tag in event.tags {
                self.streams.push_tag(self.index.hasher().tag(tag), first.plus(at));
            }
        }
        Ok(())
    }
}

/// Whether every name of a batch's table is there once: two events would share a version else.
fn check_distinct(
    body: &Body<'_>,
    numbers: &[(u64, Option<StreamNumber>)],
) -> Result<(), FrameError> {
    let mut by_hash: Vec<(u64, u32)> =
        numbers.iter().zip(0_u32..).map(|((hash, _), at)| (*hash, at)).collect();
    by_hash.sort_unstable();
    for pair in by_hash.windows(2) {
        if let [(first_hash, first), (second_hash, second)] = *pair
            && first_hash == second_hash
            && body.streams().name(first)? == body.streams().name(second)?
        {
            return Err(FrameError::Field { field: "stream name", found: u64::from(second) });
        }
    }
    Ok(())
}

/// Looks at everything behind the place where the walk stopped.
pub(crate) fn observe(inventory: &Inventory, walk: &Walk) -> Result<Observed, OpenError> {
    let mut observed = Observed {
        fault: walk.stop.fault,
        position: walk.chain.position,
        evidence: None,
        settled: None,
        sealed_before: None,
        there_behind: None,
        wrong_magic: None,
        unchecked: None,
        bytes_after: 0,
    };
    if let Some(last) = walk.accepted.last().filter(|last| last.sealed_at.is_some()) {
        observed.sealed_before = Some(inventory.path(&segment_name(last.header.sequence)));
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
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
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
