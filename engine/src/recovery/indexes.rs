//! The indexes of sealed segments at opening: a segment that has one is not scanned, one that has
//! none gets one.
//!
//! Owns: [`pass_over`] and [`complete`]. May call: inventory, scan's types, index, segment.
//!
//! Why a segment may be passed over: its index was made from its frames, every one verified, after
//! the segment had been synced, and all in front of it. So all of it was whole and on the device. The
//! index is bound to the checksum of the seal, which covers the whole chain of the segment; header
//! and seal are read, verify, and link to their neighbours. What decays in the frames later is found
//! when they are read, and by the verifier: at opening only if
//! [`Options::verify_on_open`](crate::Options::verify_on_open) says so.
//!
//! | the index | then |
//! |---|---|
//! | belongs to the segment, verifies, goes on where the streams stand | the segment is passed over |
//! | missing, of another state, damaged, unreadable | the segment is scanned, the index made again |

use std::sync::Arc;

use quipu_format::sidecar::{SealedSegment, Section, SidecarError, StreamPositions};
use quipu_format::{ByteOffset, Chain, ControlKind, Frame, FrameKind, Salt, SegmentHeader, layout};

use super::checkpoints::CheckpointWalk;
use super::inventory::{Found, HeaderState};
use super::scan::{Accepted, Walk};
use crate::append::expected::StreamHead;
use crate::index::tail::Tail;
use crate::index::{StreamIndex, StreamNumber, Streams};
use crate::segment::landmarks::Landmarks;
use crate::segment::reader::Segment;
use crate::segment::sidecar::{self, Frames, LoadError, SegmentIndex};
use crate::storage::Directory;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// What has been found of indexes and done about them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IndexCounts {
    /// Belonged to their segments and were used.
    pub(crate) used: usize,
    /// Were there and not usable.
    pub(crate) wrong: usize,
    /// Were made again, or for the first time.
    pub(crate) made: usize,
    /// Of these: could not be stored, and are in memory alone.
    pub(crate) unstored: usize,
}

/// Takes a sealed segment by its index, if it has one that proves enough. The segment's header has
/// been admitted. `None`: the segment is to be scanned.
pub(crate) fn pass_over(
    directory: &dyn Directory,
    (found, header): (&Found, &SegmentHeader),
    next: Option<&Found>,
    index: &StreamIndex,
    walk: &mut Walk,
) -> Option<Accepted> {
    let next = match next?.header {
        HeaderState::Activated(next) => next,
        HeaderState::Unused | HeaderState::Bad(_) => return None,
    };
    let (sealed, chain) = read_seal(found, header, &next)?;
    let loaded = sidecar::load(directory, &sealed, &NEEDED);
    let own = match loaded {
        Ok(own) => own,
        Err(LoadError::Missing) => return None,
        Err(LoadError::Wrong) => {
            walk.indexes.wrong += 1;
            return None;
        }
    };
    if !matches!(take(&own, index, &mut walk.checkpoints), Ok(true)) {
        walk.indexes.wrong += 1;
        return None;
    }
    Some(accept(*header, (own, sealed), chain, walk))
}

/// Takes a sealed segment by the header of its index, where what it says of streams and checkpoints is
/// known from elsewhere. `None`: it has no index that belongs to it.
pub(super) fn pass_over_unread(
    directory: &dyn Directory,
    (found, header): (&Found, &SegmentHeader),
    next: &Found,
    walk: &mut Walk,
) -> Option<SealedSegment> {
    let HeaderState::Activated(next) = next.header else { return None };
    let (sealed, chain) = read_seal(found, header, &next)?;
    let own = sidecar::load(directory, &sealed, &[]).ok()?;
    let accepted = accept(*header, (own, sealed), chain, walk);
    walk.accepted.push(accepted);
    Some(sealed)
}

fn accept(
    header: SegmentHeader,
    (own, sealed): (SegmentIndex, SealedSegment),
    chain: Chain,
    walk: &mut Walk,
) -> Accepted {
    walk.indexes.used += 1;
    walk.batches += own.header().batch_count;
    walk.chain = chain;
    walk.last_control = Some(ControlKind::Seal);
    Accepted {
        header,
        end: sealed.seal_end,
        sealed_at: Some(seal_offset(&sealed)),
        healed_seal: None,
        sealed: Some(sealed),
        own: Some(own),
        landmarks: Landmarks::none(),
    }
}

/// What is read of an index at opening.
const NEEDED: [Section; 3] = [Section::StreamTable, Section::StreamRecords, Section::Checkpoints];

/// Moves streams and checkpoints on as an index says, if all of them go on where they stand; else
/// none.
fn take(
    own: &SegmentIndex,
    index: &StreamIndex,
    checkpoints: &mut CheckpointWalk,
) -> Result<bool, SidecarError> {
    let sidecar = own.sidecar(&NEEDED)?;
    if !checkpoints.goes_on(sidecar.checkpoints())?
        || !index.update(|streams| load_streams(streams, own))?
    {
        return Ok(false);
    }
    checkpoints.pass_over(sidecar.checkpoints())?;
    Ok(true)
}

/// The seal that the next header names, and the state of the log behind it.
fn read_seal(
    found: &Found,
    header: &SegmentHeader,
    next: &SegmentHeader,
) -> Option<(SealedSegment, Chain)> {
    let before = next.predecessor?;
    let sealed = SealedSegment {
        log_id: header.log_id,
        sequence: header.sequence,
        base_position: header.base_position,
        end_position: next.base_position,
        seal_end: before.end,
        seal_checksum: before.checksum,
    };
    let offset = seal_offset(&sealed);
    if sealed.seal_end.as_u64() > header.capacity || offset < Segment::FIRST_FRAME {
        return None;
    }
    let mut bytes = [0; layout::CONTROL_FRAME_BYTES];
    found.open().ok()?.read_at(offset.as_u64(), &mut bytes).ok()?;
    let salt = Salt::new(header.log_id, header.sequence);
    let seal = Frame::decode(&bytes, salt, offset).ok()??;
    let chain = Chain {
        position: seal.header.first_position,
        previous: seal.commit_checksum(),
        time: seal.header.commit_time,
        synced_position: seal.header.synced_position,
    };
    let start = Chain::at_start_of(header);
    let goes_on = seal.header.kind == FrameKind::Control(ControlKind::Seal)
        && chain.position >= start.position
        && chain.time >= start.time
        && chain.synced_position >= start.synced_position
        && chain.leads_to(next, sealed.seal_end);
    goes_on.then_some((sealed, chain))
}

fn seal_offset(sealed: &SealedSegment) -> ByteOffset {
    let bytes = layout::CONTROL_FRAME_BYTES as u64;
    ByteOffset::new(sealed.seal_end.as_u64().saturating_sub(bytes))
}

/// Moves every stream of the segment on, if all of them go on where they stand; else none.
fn load_streams(streams: &mut Streams, own: &SegmentIndex) -> Result<bool, SidecarError> {
    let sidecar = own.sidecar(&[Section::StreamTable, Section::StreamRecords])?;
    let segment = &own.header().segment;
    let mut moved: Vec<Moved<'_>> = Vec::with_capacity(sidecar.streams().len());
    let mut events = 0_u64;
    for found in sidecar.streams() {
        let found = found?;
        let number = streams.find(found.hash.as_u64(), found.name);
        let head = number.and_then(|number| streams.head(number));
        if !goes_on(&found, head) {
            return Ok(false);
        }
        let head = StreamHead { version: found.last_version(), position: found.positions.last() };
        moved.push(Moved { number, hash: found.hash.as_u64(), name: found.name, head });
        events = events.saturating_add(found.positions.len());
    }
    if events != segment.end_position.as_u64() - segment.base_position.as_u64() {
        return Ok(false);
    }
    streams.reserve(moved.iter().filter(|moved| moved.number.is_none()).count());
    for Moved { number, hash, name, head } in moved {
        let number = number.unwrap_or_else(|| streams.find_or_add(hash, name));
        streams.advance(number, head);
    }
    Ok(true)
}

/// A stream that goes on in a segment, by the segment's index.
struct Moved<'a> {
    /// `None`: it is new.
    number: Option<StreamNumber>,
    hash: u64,
    name: &'a str,
    /// Where it ends there.
    head: StreamHead,
}

/// Whether a stream that stands at `head` goes on as its record says.
fn goes_on(found: &StreamPositions<'_>, head: Option<StreamHead>) -> bool {
    match head {
        None => found.first_version.as_u64() == 0,
        Some(head) => {
            found.first_version == head.version.plus(1)
                && found.previous.is_none_or(|previous| previous == head.position)
        }
    }
}

/// Gives each sealed segment that has none its index: one that is there and belongs to it, or a new
/// one, which is stored if there is a directory to store it in. All that is indexed is durable by
/// now, if so.
pub(crate) fn complete(
    directory: &dyn Directory,
    store: bool,
    segments: &[Arc<Segment>],
    index: &StreamIndex,
    threads: impl FnOnce() -> usize,
) -> IndexCounts {
    let mut counts = IndexCounts::default();
    let mut missing = Vec::new();
    for segment in segments.iter().filter(|segment| segment.attached().is_none()) {
        let Some(sealed) = segment.sealed() else { continue };
        match sidecar::load(directory, &sealed, &Section::ALL) {
            Ok(own) => {
                counts.used += 1;
                give(segment, own, index);
            }
            Err(error) => {
                counts.wrong += usize::from(matches!(error, LoadError::Wrong));
                missing.push((segment, sealed));
            }
        }
    }
    let threads = if missing.len() > 1 { threads().min(missing.len()) } else { 1 };
    let makers = Makers { directory, store, index, missing: &missing, next: AtomicUsize::new(0) };
    let made = match threads {
        0 | 1 => vec![makers.run()],
        _ => std::thread::scope(|scope| {
            let run = || makers.run();
            let started: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            // What one that panicked has left over keeps its tail.
            started.into_iter().filter_map(|thread| thread.join().ok()).collect()
        }),
    };
    for IndexCounts { made, unstored, .. } in made {
        counts.made += made;
        counts.unstored += unstored;
    }
    counts
}

/// Those who make missing indexes, each of them one after the other: while one waits for the disk, the
/// others go on.
struct Makers<'a> {
    directory: &'a dyn Directory,
    store: bool,
    index: &'a StreamIndex,
    missing: &'a [(&'a Arc<Segment>, SealedSegment)],
    /// The place of the next one that nobody has taken.
    next: AtomicUsize,
}

impl Makers<'_> {
    /// Makes one index after the other, until all are taken.
    fn run(&self) -> IndexCounts {
        let Self { directory, store, index, missing, next } = self;
        let mut counts = IndexCounts::default();
        while let Some((segment, sealed)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ways_back = index.read().tail(sealed.sequence).map(Tail::ways_back);
            let ways_back = ways_back.unwrap_or_default();
            let built = sidecar::build(segment, sealed, &ways_back, Frames::Found);
            // A segment that does not verify any more keeps its tail, and readers meet the damage.
            let Ok(bytes) = built else { continue };
            counts.made += 1;
            let stored = match store {
                true => sidecar::store(*directory, sealed, &bytes).ok(),
                false => None,
            };
            counts.unstored += usize::from(stored.is_none());
            let own = stored.unwrap_or_else(|| SegmentIndex::in_memory(*sealed, bytes));
            give(segment, own, index);
        }
        counts
    }
}

/// Gives a segment its index, in the place of what was kept in memory.
pub(crate) fn give(segment: &Segment, own: SegmentIndex, index: &StreamIndex) {
    let sequence = own.header().segment.sequence;
    segment.attach(own);
    index.update(|streams| streams.take_tail(sequence));
}
