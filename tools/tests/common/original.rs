//! What a log held before it was damaged, and which of it is still there: decoded by the format alone.
#![allow(dead_code)] // each test file is a crate of its own and uses some of it
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

use std::ops::Range;

use quipu::{CommitTime, EventId, LogId, RecordedBatch};
use quipu_format::sidecar::LogBase;
use quipu_format::{
    Body, ByteOffset, Chain, FrameKind, Position, Salt, SegmentHeader, SegmentSeq, Step,
};

use super::variants::{Files, segment_name};

/// A whole log.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    pub(crate) log_id: LogId,
    /// The position of the first event, and the segment that it is in.
    pub(crate) first: Position,
    first_segment: usize,
    pub(crate) batches: Vec<OriginalBatch>,
}

/// A batch, and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OriginalBatch {
    pub(crate) sequence: usize,
    pub(crate) place: Range<usize>,
    bytes: Vec<u8>,
    pub(crate) positions: Range<u64>,
    pub(crate) contents: Contents,
}

/// All that a salvage must keep of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) time: CommitTime,
    pub(crate) events: Vec<OriginalEvent>,
}

/// An event, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OriginalEvent {
    stream: String,
    event_type: String,
    id: Option<EventId>,
    tags: Vec<String>,
    metadata: Vec<u8>,
    payload: Vec<u8>,
}

impl Original {
    /// Decodes a log of whole segments.
    pub(crate) fn of(files: &Files) -> Self {
        let base = files.bases().into_iter().find_map(|name| base_in(files, &name));
        let (first_segment, first) = base.unwrap_or((0, Position::ZERO));
        let (log_id, batches) = (LogId::from_bytes([0; 16]), Vec::new());
        let mut original = Self { log_id, first, first_segment, batches };
        let mut log_id = None;
        for (sequence, name) in (first_segment..).zip(files.segments().iter()) {
            assert_eq!(*name, segment_name(sequence), "the log is whole");
            let bytes = files.get(name).unwrap();
            let Some(header) = SegmentHeader::decode(&bytes[..4096]).unwrap() else { break };
            log_id = Some(header.log_id);
            let salt = Salt::new(header.log_id, SegmentSeq::new(sequence as u64));
            let (mut chain, mut at) = (Chain::at_start_of(&header), 4096);
            while let Step::Frame { frame, chain: behind } =
                chain.step(&bytes[at..], salt, ByteOffset::new(at as u64))
            {
                let end = at + frame.header.frame_bytes as usize;
                if frame.header.kind == FrameKind::Batch {
                    let first = chain.position.as_u64();
                    original.batches.push(OriginalBatch {
                        sequence,
                        place: at..end,
                        bytes: bytes[at..end].to_vec(),
                        positions: first..behind.position.as_u64(),
                        contents: Contents::of_body(
                            frame.header.commit_time,
                            &Body::decode(&frame).unwrap(),
                        ),
                    });
                }
                (chain, at) = (behind, end);
                if at >= bytes.len() {
                    break;
                }
            }
        }
        original.log_id = log_id.unwrap();
        original
    }

    pub(crate) fn end(&self) -> Position {
        Position::new(self.batches.last().map_or(self.first.as_u64(), |batch| batch.positions.end))
    }

    /// Whether what outlives the dropped segments is still there, if any were dropped.
    pub(crate) fn has_base(&self, damaged: &Files) -> bool {
        let here = (self.first_segment, self.first);
        let newest = damaged.bases().last().cloned();
        let newest = newest.and_then(|name| name.split('.').next().map(str::to_owned));
        let of_newest = |name: &&String| newest.as_deref().is_some_and(|it| name.starts_with(it));
        let names = damaged.bases();
        let mut copies = names.iter().filter(of_newest).filter_map(|name| base_in(damaged, name));
        self.first == Position::ZERO || copies.any(|copy| copy == here)
    }

    /// The batches of which no byte has changed, in segments that still have their name; or whose
    /// file has another name, and says so in its header, while its own is free.
    pub(crate) fn whole(&self, damaged: &Files) -> Vec<&OriginalBatch> {
        let there = |batch: &&OriginalBatch| {
            let name = segment_name(batch.sequence);
            let own = damaged.get(&name).or_else(|| self.renamed(damaged, batch.sequence));
            own.and_then(|bytes| bytes.get(batch.place.clone())) == Some(&batch.bytes)
        };
        self.batches.iter().filter(there).collect()
    }

    /// The contents of a segment under another name, with nothing of that name's segment in it.
    fn renamed<'f>(&self, damaged: &'f Files, sequence: usize) -> Option<&'f [u8]> {
        damaged.segments().iter().find_map(|name| {
            let bytes = damaged.get(name).unwrap();
            let header = SegmentHeader::decode(bytes.get(..4096)?).ok()??;
            let own = header.sequence.as_u64() == sequence as u64 && header.log_id == self.log_id;
            let other: usize = name.strip_suffix(".seg")?.parse().ok()?;
            let theirs = self.batches.iter().any(|batch| {
                batch.sequence == other && bytes.get(batch.place.clone()) == Some(&batch.bytes)
            });
            (own && !theirs).then_some(bytes)
        })
    }
}

/// The segment that a base is in front of, and where that begins, if the base is right.
fn base_in(files: &Files, name: &str) -> Option<(usize, Position)> {
    let base = LogBase::decode(files.get(name)?).ok()?;
    let first = base.first_segment();
    let number: u64 = name.split('.').next()?.parse().ok()?;
    (number == first.as_u64()).then_some((number as usize, base.chain().position))
}

impl Contents {
    fn of_body(time: CommitTime, body: &Body<'_>) -> Self {
        let events = body.events().map(|event| {
            let event = event.unwrap();
            OriginalEvent {
                stream: body.streams().name(event.stream).unwrap().to_owned(),
                event_type: event.event_type.to_owned(),
                id: event.id,
                tags: event.tags.iter().map(str::to_owned).collect(),
                metadata: event.metadata.to_vec(),
                payload: event.payload.to_vec(),
            }
        });
        Self { time, events: events.collect() }
    }

    /// What the engine gives back.
    pub(crate) fn of_recorded(batch: &RecordedBatch) -> Self {
        let events = batch.events().unwrap().map(|event| {
            let event = event.unwrap();
            OriginalEvent {
                stream: event.stream().to_owned(),
                event_type: event.event_type().to_owned(),
                id: event.id(),
                tags: event.tags().iter().map(str::to_owned).collect(),
                metadata: event.metadata().to_vec(),
                payload: event.payload().to_vec(),
            }
        });
        Self { time: batch.committed_at(), events: events.collect() }
    }
}
