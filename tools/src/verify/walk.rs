//! From the first frame of the log to the first place where none verifies.
//!
//! Owns: [`Walk`], which holds one segment open and one piece of it in memory. May call: directory,
//! streams, the format. Decides nothing: it says where it stopped and why.
//!
//! A walk that has stopped may be run again: it looks at the same place anew, in the files, and goes
//! on if a writer has meanwhile written there.

use std::collections::BTreeMap;

use quipu_format::sidecar::LogBase;
use quipu_format::{
    ByteOffset, Chain, CommitTime, ControlKind, Frame, FrameHeader, FrameKind, LogId, Position,
    Predecessor, Salt, SegmentHeader, SegmentSeq, Step, layout,
};

use super::decide::Fault;
use super::directory::{
    Directory, HeaderState, SegmentFile, VerifyError, segment_name, wrong_magic,
};
use super::streams::Streams;

/// How far the log was followed, and what was met.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    directory: &'a Directory,
    log_id: Option<LogId>,
    sequence: SegmentSeq,
    /// The segment that the walk stands in; `None` before its header was accepted.
    segment: Option<Segment>,
    /// Where the segment before ended.
    before: Option<Predecessor>,
    /// The file that says so of segments that were dropped, and which segment is the first then.
    base: Option<(String, SegmentSeq)>,
    chain: Chain,
    /// That of the first event that is kept: all below was durable.
    first_position: Position,
    streams: Streams,
    pub(super) totals: Totals,
}

#[derive(Debug)]
struct Segment {
    header: SegmentHeader,
    file: SegmentFile,
    salt: Salt,
    offset: ByteOffset,
}

/// What was counted on the way.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) segments: u64,
    pub(super) batches: u64,
    /// Headers and frames, without what is not written yet.
    pub(super) bytes: u64,
    pub(super) first_commit: Option<CommitTime>,
    pub(super) last_commit: Option<CommitTime>,
    /// The position at the last close frame, and whether nothing came after it.
    pub(super) last_close: Option<(Position, bool)>,
    /// Segments whose seal was missing, and was known from the next one's header.
    pub(super) seals_missing: Vec<u64>,
}

/// What one step came to.
enum Advance {
    Went,
    Stopped(Fault),
}

impl<'a> Walk<'a> {
    /// Before the first segment. All segments must bear `log_id`, once one is known.
    pub(super) fn new(directory: &'a Directory, log_id: Option<LogId>) -> Self {
        Self {
            directory,
            log_id,
            sequence: SegmentSeq::ZERO,
            segment: None,
            before: None,
            base: None,
            chain: Chain {
                position: Position::ZERO,
                previous: 0,
                time: CommitTime::ZERO,
                synced_position: Position::ZERO,
            },
            first_position: Position::ZERO,
            streams: Streams::default(),
            totals: Totals::default(),
        }
    }

    /// Begins behind segments that were dropped.
    pub(super) fn begin(&mut self, name: &str, base: &LogBase<'_>) {
        self.sequence = base.first_segment();
        self.chain = base.chain();
        self.first_position = self.chain.position;
        self.before = Some(Predecessor { end: base.seal_end(), checksum: self.chain.previous });
        self.base = Some((name.to_owned(), self.sequence));
        self.streams.begin(base);
    }

    /// The base, if the walk stands at the start of the segment that it names.
    pub(super) fn base_at_start(&self) -> Option<String> {
        let (name, first) = self.base.as_ref()?;
        (self.segment.is_none() && *first == self.sequence).then(|| name.clone())
    }

    /// Whether the walk stands at the very start of the log.
    pub(super) fn is_at_start(&self) -> bool {
        let first = self.base.as_ref().map_or(SegmentSeq::ZERO, |(_, first)| *first);
        self.segment.is_none() && self.sequence == first
    }

    /// Goes on to the next place where no frame verifies; says what is wrong there.
    pub(super) fn run(&mut self) -> Result<Fault, VerifyError> {
        if let Some(segment) = &mut self.segment {
            segment.file.window.forget();
        }
        loop {
            match self.advance()? {
                Advance::Went => {}
                Advance::Stopped(fault) => return Ok(fault),
            }
        }
    }

    /// X: the segment and offset where the walk stands. Offset 0: the segment's own header.
    pub(super) fn place(&self) -> (SegmentSeq, ByteOffset) {
        let offset = self.segment.as_ref().map_or(ByteOffset::ZERO, |segment| segment.offset);
        (self.sequence, offset)
    }

    /// The segment that a seal ends, if the walk stands at the start of the next one.
    pub(super) fn sealed_before(&self) -> Option<String> {
        if self.is_at_start() {
            return None;
        }
        let before = self.segment.is_none().then_some(self.sequence.as_u64())?.checked_sub(1)?;
        Some(segment_name(SegmentSeq::new(before)))
    }

    /// The position of the next event.
    pub(super) fn position(&self) -> Position {
        self.chain.position
    }

    /// The highest synced position on the way.
    pub(super) fn synced_position(&self) -> Position {
        self.chain.synced_position.max(self.first_position)
    }

    pub(super) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn checkpoints(&self) -> BTreeMap<String, u64> {
        self.streams.checkpoints().clone()
    }

    pub(super) fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    fn advance(&mut self) -> Result<Advance, VerifyError> {
        if self.segment.is_none() {
            return self.enter();
        }
        let Some(fault) = self.take_frame()? else { return Ok(Advance::Went) };
        let Some((next, seal)) = self.missing_seal()? else { return Ok(Advance::Stopped(fault)) };
        // The next header was read after this place was: a writer may have sealed in between.
        if let Some(segment) = &mut self.segment {
            segment.file.window.forget();
        }
        if self.take_frame()?.is_some() {
            self.totals.seals_missing.push(self.sequence.as_u64());
            self.totals.bytes += layout::CONTROL_FRAME_BYTES as u64;
            self.chain.previous = seal.checksum;
            self.chain.time = next.created_at;
            self.chain.synced_position = next.synced_position;
            self.leave(seal);
        }
        Ok(Advance::Went)
    }

    /// Accepts the header of the next segment.
    fn enter(&mut self) -> Result<Advance, VerifyError> {
        let Some(file) = self.directory.open(self.sequence, self.log_id)? else {
            return Ok(Advance::Stopped(Fault::MissingFile));
        };
        let header = match file.header {
            HeaderState::Activated(header) => header,
            HeaderState::Bad(error) if wrong_magic(&file.header).is_some() => {
                return Ok(Advance::Stopped(Fault::Header(error)));
            }
            _ if !file.has_segment_length() => {
                return Ok(Advance::Stopped(Fault::NoSegmentLength { found: file.length }));
            }
            HeaderState::Unused => return Ok(Advance::Stopped(Fault::MissingHeader)),
            HeaderState::Bad(error) => return Ok(Advance::Stopped(Fault::Header(error))),
        };
        if file.length != header.capacity {
            let fault = Fault::Length { expected: header.capacity, found: file.length };
            return Ok(Advance::Stopped(fault));
        }
        let linked = match self.before {
            Some(before) => self.chain.leads_to(&header, before.end),
            None => header.predecessor.is_none(),
        };
        if !linked {
            return Ok(Advance::Stopped(Fault::Unlinked));
        }
        self.log_id = Some(header.log_id);
        self.chain = Chain::at_start_of(&header);
        self.totals.segments += 1;
        self.totals.bytes += layout::segment::BYTES as u64;
        let salt = Salt::new(header.log_id, header.sequence);
        let offset = ByteOffset::new(layout::segment::BYTES as u64);
        self.segment = Some(Segment { header, file, salt, offset });
        Ok(Advance::Went)
    }

    /// Verifies the frame at this place and goes behind it. What is wrong, if there is none.
    fn take_frame(&mut self) -> Result<Option<Fault>, VerifyError> {
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let (salt, offset, capacity) = (segment.salt, segment.offset, segment.header.capacity);
        let bytes = segment.frame_bytes()?;
        let (frame, chain) = match self.chain.step(bytes, salt, offset) {
            Step::Frame { frame, chain } => (frame, chain),
            Step::NeverWritten => return Ok(Some(Fault::NeverWritten)),
            Step::Bad(error) => return Ok(Some(Fault::Frame(error))),
        };
        if let Err(error) = frame.check_room(offset, capacity) {
            return Ok(Some(Fault::Frame(error)));
        }
        if let Err(fault) = self.streams.take(&frame) {
            return Ok(Some(Fault::Stream(fault)));
        }
        self.totals.count(&frame);
        let end = offset.plus(u64::from(frame.header.frame_bytes));
        let sealed = frame.header.kind == FrameKind::Control(ControlKind::Seal);
        self.chain = chain;
        segment.offset = end;
        if sealed {
            self.leave(Predecessor { end, checksum: chain.previous });
        }
        Ok(None)
    }

    /// The next segment's header and what it says of this one's seal, if that seal would stand here
    /// and continue the log: then nothing is missing in front of it.
    fn missing_seal(&self) -> Result<Option<(SegmentHeader, Predecessor)>, VerifyError> {
        let Some(segment) = &self.segment else { return Ok(None) };
        let next = self.directory.open(self.sequence.plus(1), self.log_id)?;
        let Some(HeaderState::Activated(next)) = next.map(|next| next.header) else {
            return Ok(None);
        };
        let named = self.chain.seal_named_by(&next, segment.salt, segment.offset).is_some();
        let fits = |seal: &Predecessor| named && seal.end.as_u64() <= segment.header.capacity;
        Ok(next.predecessor.filter(fits).map(|seal| (next, seal)))
    }

    /// Goes on to the next segment, behind a seal.
    fn leave(&mut self, seal: Predecessor) {
        self.before = Some(seal);
        self.sequence = self.sequence.plus(1);
        self.segment = None;
    }

    /// The name of the file that the walk stands in.
    pub(super) fn file(&self) -> String {
        segment_name(self.sequence)
    }
}

impl Segment {
    /// The bytes from the offset on: the whole frame there, if its header verifies.
    fn frame_bytes(&mut self) -> Result<&[u8], VerifyError> {
        let at = self.offset.as_u64();
        let header_bytes = layout::header::BYTES as u64;
        let head = self.file.at(at, header_bytes)?;
        let wanted = match FrameHeader::decode(head, self.salt, self.offset) {
            Ok(Some(header)) => u64::from(header.frame_bytes),
            Ok(None) | Err(_) => header_bytes,
        };
        self.file.at(at, wanted)
    }
}

impl Totals {
    fn count(&mut self, frame: &Frame<'_>) {
        let header = &frame.header;
        self.bytes += u64::from(header.frame_bytes);
        match header.kind {
            FrameKind::Batch => {
                self.batches += 1;
                self.first_commit.get_or_insert(header.commit_time);
                self.last_commit = Some(header.commit_time);
            }
            FrameKind::Checkpoints => {}
            FrameKind::Control(ControlKind::Close) => {
                self.last_close = Some((header.first_position, true));
                return;
            }
            FrameKind::Control(_) => {}
        }
        if let Some((_, is_last)) = &mut self.last_close {
            *is_last = false;
        }
    }
}
