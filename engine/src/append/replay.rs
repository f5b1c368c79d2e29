//! Recognising a batch that is there already.
//!
//! Owns: [`find`]. May call: index, segment, the format. Runs only for a batch that asks for it and
//! whose preconditions have failed.
//!
//! A precondition that places events (`NoStream`, `Exact`, `LastPosition` on a stream that the
//! batch writes) says where the stream's first event of this batch would have gone. So does a
//! checkpoint that is just what it was to be set to: some batch has set it, and that is known. Where
//! neither says it, a query that was to match nothing does: in front of the first event that it matches
//! the batch may have gone, and no further, so that it is looked for there. If the batch stored at that
//! place has, by id, stream and order, exactly the events submitted, and has set exactly their
//! checkpoints, this is it.
//! No cache is involved: what is recognised today is recognised after any number of restarts.

use quipu_format::{
    Body, CommitTime, EncodedBatch, EventId, Frame, FrameKind, Position, StreamTable, Version,
};

use super::batch::Precondition;
use super::expected::ExpectedVersion;
use crate::index::StreamIndex;
use crate::index::history::History;
use crate::segment::reader::Segment;
use crate::segment::set;

/// Where the batch was committed, and when. Its versions are noted in the batch given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(crate) first_position: Position,
    pub(crate) commit_time: CommitTime,
}

/// Why a batch was not committed anew, as far as that tells where it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) preconditions: &'a [Precondition],
    /// The first event that each query has matched.
    pub(crate) matched: &'a [Position],
    /// The first position of the batch that has set each checkpoint to what was given; `None`: it has
    /// no events.
    pub(crate) set_by: &'a [Option<Position>],
}

/// Finds the stored batch that `batch` repeats.
pub(crate) fn find(
    batch: &mut EncodedBatch,
    ids: &[EventId],
    failed: &Failed<'_>,
    index: &StreamIndex,
) -> Option<Original> {
    let Failed { preconditions, matched, set_by } = *failed;
    let segments = index.segments().snapshot();
    let at = {
        let table = batch.streams();
        let placing = |precondition: &&Precondition| is_written(&table, &precondition.stream);
        let of_streams = preconditions.iter().filter(placing).filter_map(|one| place(index, one));
        let mut places = of_streams.chain(set_by.iter().copied());
        let first = match places.next() {
            Some(place) => place?,
            None => matched.iter().copied().min()?,
        };
        // Every stream that is placed must be placed in the same frame, which is checked below by
        // comparing whole batches; one that is not there at all settles it now.
        if places.any(|place| place.is_none()) {
            return None;
        }
        first
    };
    let segment = segments.get(set::holding(&segments, at)?)?;
    let frame = frame_holding(segment, at)?;
    // Behind an event that a query matches it cannot have been committed.
    let is_behind = matched.iter().any(|position| *position < frame.header.first_position);
    if is_behind || !is_same(&frame, batch, ids) || !continues(&frame, batch, preconditions, index)
    {
        return None;
    }
    for stream in 0..batch.stream_count() {
        batch.set_first_version(stream, frame.first_version(stream)?);
    }
    let header = frame.header;
    Some(Original { first_position: header.first_position, commit_time: header.commit_time })
}

/// Where the precondition's stream would have gone on: `None` if it places nothing, `Some(None)` if
/// nothing stands there.
fn place(index: &StreamIndex, precondition: &Precondition) -> Option<Option<Position>> {
    let stream = &precondition.stream;
    let version = match precondition.expected {
        ExpectedVersion::NoStream => Version::ZERO,
        ExpectedVersion::Exact(version) => version.plus(1),
        ExpectedVersion::LastPosition(position) => match version_at(index, stream, position) {
            Some(version) => version.plus(1),
            None => return Some(None),
        },
        ExpectedVersion::Any | ExpectedVersion::StreamExists => return None,
    };
    let history = History::open(index, stream, EVERYTHING).ok();
    Some(history.and_then(|history| history.position(index, version).ok()?))
}

/// Judged against all that is stored, published or not.
const EVERYTHING: Position = Position::new(u64::MAX);

/// Where segment and index are damaged, nothing is recognised.
fn version_at(index: &StreamIndex, stream: &str, position: Position) -> Option<Version> {
    History::open(index, stream, EVERYTHING).ok()?.version_at(index, position).ok()?
}

/// Whether the frame holds exactly these events, by id and stream, in this order, and sets exactly
/// these checkpoints.
fn is_same(frame: &Frame<'_>, batch: &EncodedBatch, ids: &[EventId]) -> bool {
    let Ok(body) = Body::decode(frame) else { return false };
    let Ok(checkpoints) = body.checkpoints() else { return false };
    let (stored, given) = (body.streams(), batch.streams());
    checkpoints.eq(batch.checkpoints())
        && frame.header.event_count as usize == ids.len()
        && stored.len() == given.len()
        && stored.names().eq(given.names())
        && body.events().zip(ids.iter().zip(batch.event_streams())).all(|(event, (id, stream))| {
            event.is_ok_and(|event| event.id == Some(*id) && event.stream == stream)
        })
}

/// Whether the frame stands where every placing precondition would have put it.
fn continues(
    frame: &Frame<'_>,
    batch: &EncodedBatch,
    preconditions: &[Precondition],
    index: &StreamIndex,
) -> bool {
    let table = batch.streams();
    let first_version = |name: &str| {
        let (at, _) = (0_u32..).zip(table.names()).find(|(_, known)| *known == Ok(name))?;
        frame.first_version(at)
    };
    preconditions.iter().filter(|one| is_written(&table, &one.stream)).all(|one| {
        let expected = match one.expected {
            ExpectedVersion::Any | ExpectedVersion::StreamExists => return true,
            ExpectedVersion::NoStream => Some(Version::ZERO),
            ExpectedVersion::Exact(version) => Some(version.plus(1)),
            ExpectedVersion::LastPosition(position) => {
                version_at(index, &one.stream, position).map(|version| version.plus(1))
            }
        };
        expected.is_some() && first_version(&one.stream) == expected
    })
}

fn is_written(table: &StreamTable<'_>, stream: &str) -> bool {
    table.names().any(|name| name == Ok(stream))
}

/// The batch's frame that holds the event at `position`.
fn frame_holding(segment: &Segment, position: Position) -> Option<Frame<'_>> {
    let mut offset = segment.before(position).offset;
    loop {
        let header = segment.header_at(offset).ok()??;
        if header.kind == FrameKind::Batch && position < header.end_position() {
            let frame = segment.frame_at(offset, true).ok()??;
            return (header.first_position <= position).then_some(frame);
        }
        offset = offset.plus(u64::from(header.frame_bytes));
    }
}
