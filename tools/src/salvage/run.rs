//! Frames that are linked, one to the next.
//!
//! Owns: [`Run`] (within one segment), [`Strand`] (over segments), and [`clash`], which says why two
//! cannot be of one log. May call: the format. Pure.
//!
//! A frame names its predecessor's checksum, so that a run is whole in itself. Between two runs
//! something is missing, or one of them is no part of the log: a frame of a tail that was cut off
//! long ago, which a device has brought back. What never runs backwards tells them apart.

use std::ops::Range;

use quipu_format::{
    ByteOffset, Chain, CommitTime, ControlKind, FrameHeader, FrameKind, Position, Predecessor,
    Salt, SegmentHeader, SegmentSeq, layout,
};

use super::scan::Segment;

/// Whole frames of one segment, each following the one before it.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Which of the scanned segments it stands in.
    pub(super) segment: usize,
    pub(super) sequence: SegmentSeq,
    pub(super) start: ByteOffset,
    /// Behind the last frame.
    pub(super) end: ByteOffset,
    pub(super) first: FrameHeader,
    /// The state behind the last frame.
    pub(super) chain: Chain,
    pub(super) last: FrameKind,
    /// Whether it begins behind the segment's header, and follows it.
    pub(super) heads: bool,
    /// Whether it is the first of the whole log.
    pub(super) begins: bool,
    /// The seal that this header names; none in segment 0.
    pub(super) predecessor: Option<Predecessor>,
    pub(super) frames: u64,
    pub(super) events: u64,
    /// The longest frame.
    pub(super) frame_bytes_max: u32,
}

impl Run {
    pub(super) fn is_sealed(&self) -> bool {
        self.last == FrameKind::Control(ControlKind::Seal)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end.as_u64() - self.start.as_u64()
    }

    /// Where it begins.
    pub(super) fn place(&self) -> (SegmentSeq, u64) {
        (self.sequence, self.start.as_u64())
    }

    /// Where it ends.
    pub(super) fn place_behind(&self) -> (SegmentSeq, u64) {
        (self.sequence, self.end.as_u64())
    }
}

/// Runs that are linked over the segments' ends: each ends in a seal that the next segment's header
/// names, be it there or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strand {
    /// Which runs, in the order of their places.
    pub(super) runs: Range<usize>,
    pub(super) events: u64,
    pub(super) frames: u64,
    /// Whether it is the log's beginning: linked to the header of its first segment.
    pub(super) is_first: bool,
    /// Where its first event is.
    pub(super) position: Position,
    /// All of it below was durable, by what it says itself. Recovery never cuts off what something
    /// says was durable: so none of that is of a tail that was cut off, and what is above may be.
    pub(super) durable_to: Position,
}

impl Strand {
    /// A strand of these runs.
    pub(super) fn of(all: &[Run], runs: Range<usize>) -> Self {
        let own = all.get(runs.clone()).unwrap_or_default();
        Self {
            events: own.iter().map(|run| run.events).sum(),
            frames: own.iter().map(|run| run.frames).sum(),
            is_first: own.first().is_some_and(|run| run.begins),
            position: own.first().map_or(Position::ZERO, |run| run.first.first_position),
            durable_to: own.last().map_or(Position::ZERO, |run| run.chain.synced_position),
            runs,
        }
    }

    /// Whether the event at this position of it is known to have been durable.
    pub(super) fn is_durable(&self, position: Position) -> bool {
        position < self.durable_to
    }
}

/// Puts the runs together, which are in the order of their places.
pub(super) fn strands(segments: &[Segment], runs: &[Run]) -> Vec<Strand> {
    let mut starts: Vec<usize> = (0..runs.len()).collect();
    starts.retain(|at| {
        let before = at.checked_sub(1).and_then(|before| runs.get(before));
        !before.zip(runs.get(*at)).is_some_and(|(before, run)| continues(segments, before, run))
    });
    let ends = starts.iter().copied().skip(1).chain([runs.len()]);
    starts.iter().zip(ends).map(|(start, end)| Strand::of(runs, *start..end)).collect()
}

/// Whether `next` goes on where the segment of `run` ends, by the header in between.
fn continues(segments: &[Segment], run: &Run, next: &Run) -> bool {
    if !next.heads || next.sequence != run.sequence.plus(1) {
        return false;
    }
    let front = segments.get(run.segment);
    let header = segments.get(next.segment).and_then(Segment::own_header);
    front.zip(header).is_some_and(|(front, header)| is_linked(run, front.length, header))
}

/// Whether a run, in a file of `length` bytes, is the last of its segment by the next one's header:
/// its seal is there, or it is lost and can have been nowhere else.
pub(super) fn is_linked(run: &Run, length: u64, next: &SegmentHeader) -> bool {
    if run.is_sealed() {
        return run.chain.leads_to(next, run.end);
    }
    let salt = Salt::new(next.log_id, run.sequence);
    let fits = run.end.plus(layout::CONTROL_FRAME_BYTES as u64).as_u64() <= length;
    fits && run.chain.seal_named_by(next, salt, run.end).is_some()
}

/// Why two runs of different strands cannot both be of one log. What is said fits either of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Clash {
    #[error("other frames take positions from {found} on, or up to {before}, too")]
    Position { before: Position, found: Position },
    #[error("times run backwards between them and other frames: {found} behind {before}")]
    Time { before: CommitTime, found: CommitTime },
    #[error("synced positions run backwards between them and others: {found} behind {before}")]
    Synced { before: Position, found: Position },
    #[error("a seal stands between them and other frames")]
    BehindSeal,
    #[error("they adjoin other frames, and the one behind does not follow the one in front")]
    Unlinked,
    #[error("version {version} of stream {stream:?} stands in other frames, too")]
    Version { stream: String, version: u64 },
}

/// Whether `back`, which stands behind `front` and is not linked to it, can be of the same log.
pub(super) fn clash(front: &Run, back: &Run) -> Option<Clash> {
    let same_segment = front.sequence == back.sequence;
    if same_segment && front.is_sealed() {
        return Some(Clash::BehindSeal);
    }
    let (before, found) = (front.chain.position, back.first.first_position);
    if found < before {
        return Some(Clash::Position { before, found });
    }
    let (before, found) = (front.chain.time, back.first.commit_time);
    if found < before {
        return Some(Clash::Time { before, found });
    }
    let (before, found) = (front.chain.synced_position, back.first.synced_position);
    if found < before {
        return Some(Clash::Synced { before, found });
    }
    let next_segment = front.sequence.plus(1) == back.sequence;
    let unlinked = if same_segment && front.end == back.start {
        back.first.previous != front.chain.previous
    } else {
        let seal = Some(Predecessor { end: front.end, checksum: front.chain.previous });
        next_segment && front.is_sealed() && back.heads && back.predecessor != seal
    };
    unlinked.then_some(Clash::Unlinked)
}
