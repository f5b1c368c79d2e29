//! The frames of one segment, one after the other.
//!
//! Owns: [`Frames`], which holds one segment open and one piece of it in memory; [`State`], what
//! the frames so far have come to; [`Totals`]. May call: directory, streams, the format. A segment
//! can be walked without the ones in front of it: what they must have come to then stands in its
//! state.

use indicatif::ProgressBar;
use quipu_format::{
    ByteOffset, Chain, CommitTime, ControlKind, Frame, FrameHeader, FrameKind, LogId, Position,
    Predecessor, Salt, SegmentHeader, SegmentSeq, Step, layout,
};

use super::decide::Fault;
use super::directory::{Directory, HeaderState, SegmentFile, VerifyError, wrong_magic};
use super::streams::Streams;

/// A segment whose header verifies, and the place in it that the walk has come to.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) header: SegmentHeader,
    pub(super) file: SegmentFile,
    pub(super) salt: Salt,
    pub(super) offset: ByteOffset,
    /// Up to where the bar has been told of.
    shown: u64,
}

/// What the frames so far have come to.
#[derive(Debug)]
pub(super) struct State {
    pub(super) chain: Chain,
    pub(super) streams: Streams,
    pub(super) totals: Totals,
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
pub(super) enum Taken {
    Frame,
    Seal(Predecessor),
    Stopped(Fault),
}

impl Frames {
    /// Opens a segment and accepts its header as one of the log's, if it is; where it stands in the
    /// log is for the caller to compare.
    pub(super) fn open(
        directory: &Directory,
        sequence: SegmentSeq,
        log_id: Option<LogId>,
    ) -> Result<Result<Self, Fault>, VerifyError> {
        let Some(file) = directory.open(sequence, log_id)? else {
            return Ok(Err(Fault::MissingFile));
        };
        let header = match file.header {
            HeaderState::Activated(header) => header,
            HeaderState::Bad(error) if wrong_magic(&file.header).is_some() => {
                return Ok(Err(Fault::Header(error)));
            }
            _ if !file.has_segment_length() => {
                return Ok(Err(Fault::NoSegmentLength { found: file.length }));
            }
            HeaderState::Unused => return Ok(Err(Fault::MissingHeader)),
            HeaderState::Bad(error) => return Ok(Err(Fault::Header(error))),
        };
        if file.length != header.capacity {
            return Ok(Err(Fault::Length { expected: header.capacity, found: file.length }));
        }
        let salt = Salt::new(header.log_id, header.sequence);
        let offset = ByteOffset::new(layout::segment::BYTES as u64);
        Ok(Ok(Self { header, file, salt, offset, shown: 0 }))
    }

    /// Verifies the frame at this place and goes behind it, if it continues the state.
    pub(super) fn take(
        &mut self,
        state: &mut State,
        bar: &ProgressBar,
    ) -> Result<Taken, VerifyError> {
        let (salt, offset, capacity) = (self.salt, self.offset, self.header.capacity);
        let bytes = self.frame_bytes()?;
        let (frame, chain) = match state.chain.step(bytes, salt, offset) {
            Step::Frame { frame, chain } => (frame, chain),
            Step::NeverWritten => return Ok(Taken::Stopped(Fault::NeverWritten)),
            Step::Bad(error) => return Ok(Taken::Stopped(Fault::Frame(error))),
        };
        if let Err(error) = frame.check_room(offset, capacity) {
            return Ok(Taken::Stopped(Fault::Frame(error)));
        }
        if let Err(fault) = state.streams.take(&frame) {
            return Ok(Taken::Stopped(Fault::Stream(fault)));
        }
        state.totals.count(&frame);
        let end = offset.plus(u64::from(frame.header.frame_bytes));
        let sealed = frame.header.kind == FrameKind::Control(ControlKind::Seal);
        state.chain = chain;
        self.offset = end;
        if sealed || end.as_u64() - self.shown >= SHOWN_BYTES {
            bar.inc(end.as_u64() - self.shown);
            self.shown = end.as_u64();
        }
        Ok(match sealed {
            true => Taken::Seal(Predecessor { end, checksum: chain.previous }),
            false => Taken::Frame,
        })
    }

    /// Goes to a place that a walk of this very segment has come to, which the bar was told of.
    pub(super) fn skip_to(&mut self, offset: ByteOffset) {
        self.offset = offset;
        self.shown = offset.as_u64();
    }

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

/// The bar moves when so much has been verified.
const SHOWN_BYTES: u64 = 1 << 20;

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

    /// Adds what was counted behind this.
    pub(super) fn join(&mut self, behind: Self) {
        let Self { segments, batches, bytes, first_commit, last_commit, last_close, .. } = behind;
        let has_frames = bytes > 0;
        self.segments += segments;
        self.batches += batches;
        self.bytes += bytes;
        self.first_commit = self.first_commit.or(first_commit);
        self.last_commit = last_commit.or(self.last_commit);
        self.last_close = match (last_close, self.last_close) {
            (Some(close), _) => Some(close),
            (None, Some((position, is_last))) => Some((position, is_last && !has_frames)),
            (None, None) => None,
        };
        self.seals_missing.extend(behind.seals_missing);
    }
}
