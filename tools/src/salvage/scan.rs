//! One segment, from its first frame to its last byte: what is whole, and what is not.
//!
//! Owns: [`Segment`], [`Gap`], [`scan`]. May call: run, the verifier's files, the format. Decides
//! nothing.
//!
//! Behind a frame that does not verify, the next one is looked for at every multiple of 8. What it
//! must be is fixed by the log's id, the segment and the offset, so that neither the segment's header
//! nor anything in front is needed. A whole frame is never looked into.

use indicatif::ProgressBar;
use quipu_format::zeros::last_nonzero;
use quipu_format::{
    Body, ByteOffset, Chain, Frame, FrameHeader, LogId, Salt, SegmentHeader, SegmentSeq,
    find_header, layout,
};

use super::run::Run;
use crate::verify::VerifyError;
use crate::verify::decide::Fault;
use crate::verify::directory::{HeaderState, SegmentFile};

/// A segment, scanned.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number by the file's name.
    pub(super) file: SegmentSeq,
    pub(super) name: String,
    /// The number that its frames are bound to: that of the name, or of the header of a file that was
    /// given another name.
    pub(super) sequence: SegmentSeq,
    pub(super) length: u64,
    pub(super) header: HeaderState,
    /// The log that the frames are bound to.
    pub(super) log_id: LogId,
    pub(super) gaps: Vec<Gap>,
}

/// A stretch without a whole frame, up to the next one or to the end of the file.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    /// What is wrong at its start.
    pub(super) fault: Fault,
    /// Behind its last byte that is not zero; `from`, if there is none.
    pub(super) content_end: u64,
    /// Begin headers that verify; what follows them does not.
    pub(super) broken: Vec<FrameHeader>,
    /// Where the last of them stands that says that all in front of it had been durable.
    pub(super) settled_at: Option<u64>,
}

impl Segment {
    /// Whether it is zero from end to end.
    pub(super) fn is_empty(&self) -> bool {
        let header_bytes = layout::segment::BYTES as u64;
        let nothing = |gap: &Gap| gap.from == header_bytes && gap.content_end == gap.from;
        let frames = match &self.gaps[..] {
            [] => self.length > header_bytes,
            [gap] => !nothing(gap) || gap.to < self.length,
            _ => true,
        };
        matches!(self.header, HeaderState::Unused) && !frames
    }

    /// The header, if it is this log's and this segment's.
    pub(super) fn own_header(&self) -> Option<&SegmentHeader> {
        match &self.header {
            HeaderState::Activated(header)
                if header.sequence == self.sequence && header.log_id == self.log_id =>
            {
                Some(header)
            }
            _ => None,
        }
    }
}

/// Searched at a time, at the most.
const PIECE_BYTES: usize = 1 << 20;

/// So many bytes for each byte of the file may be read as frames that then do not verify. No crash and
/// no decay comes near it; headers made to lie within one another's frames would take the square of
/// the file's length. Beyond it, a frame that does not verify is skipped as a whole.
const FAILED_BYTES_FACTOR: u64 = 16;

/// Reads `file`, whose frames are bound to `log_id` and `sequence`. The runs are yet to be told which
/// of the segments this is.
pub(super) fn scan(
    file: &mut SegmentFile,
    number: SegmentSeq,
    (log_id, sequence): (LogId, SegmentSeq),
    bar: &ProgressBar,
) -> Result<(Segment, Vec<Run>), VerifyError> {
    let about = Segment {
        file: number,
        name: file.name.clone(),
        sequence,
        length: file.length,
        header: file.header,
        log_id,
        gaps: Vec::new(),
    };
    let start = about.own_header().map(Chain::at_start_of);
    let budget = file.length.saturating_mul(FAILED_BYTES_FACTOR);
    let salt = Salt::new(log_id, sequence);
    let mut scanner = Scanner { file, salt, start, about, runs: Vec::new(), budget };
    let mut at = layout::segment::BYTES as u64;
    bar.inc(at.min(scanner.file.length));
    while at < scanner.file.length {
        let before = at;
        at = match scanner.frame_at(at)? {
            Ok(frame) => scanner.take(at, &frame),
            Err(fault) => scanner.gap(at, fault)?,
        };
        bar.inc(at - before);
    }
    Ok((scanner.about, scanner.runs))
}

struct Scanner<'a> {
    file: &'a mut SegmentFile,
    salt: Salt,
    /// The state behind the segment's header, if there is one.
    start: Option<Chain>,
    about: Segment,
    runs: Vec<Run>,
    /// Bytes that may still be read for frames which do not verify.
    budget: u64,
}

/// A whole frame.
struct Whole {
    header: FrameHeader,
    /// The state behind it.
    chain: Chain,
    /// Whether it follows the run before, which ends where it begins.
    follows: bool,
    /// Whether it follows the segment's header.
    heads: bool,
}

impl Scanner<'_> {
    /// The whole frame at an offset, or what is wrong there.
    fn frame_at(&mut self, at: u64) -> Result<Result<Whole, Fault>, VerifyError> {
        let (salt, offset) = (self.salt, ByteOffset::new(at));
        let header_bytes = layout::header::BYTES as u64;
        let head = self.file.at(at, header_bytes)?;
        let wanted = match FrameHeader::decode(head, salt, offset) {
            Ok(Some(header)) => u64::from(header.frame_bytes),
            Ok(None) => return Ok(Err(Fault::NeverWritten)),
            Err(error) => return Ok(Err(Fault::Frame(error))),
        };
        let frame = match whole_frame(self.file.at(at, wanted)?, salt, offset) {
            Ok(frame) => frame,
            Err(fault) => {
                self.budget = self.budget.saturating_sub(wanted);
                return Ok(Err(fault));
            }
        };
        let before = self.runs.last().filter(|run| run.end == offset && !run.is_sealed());
        let first = self.start.filter(|_| at == layout::segment::BYTES as u64);
        Ok(Ok(Whole {
            header: frame.header,
            chain: chain_behind(&frame),
            follows: before.is_some_and(|run| run.chain.follow(&frame).is_ok()),
            heads: first.is_some_and(|start| start.follow(&frame).is_ok()),
        }))
    }

    /// Adds a whole frame to the run before it, or begins one; where the frame ends.
    fn take(&mut self, at: u64, frame: &Whole) -> u64 {
        let Whole { header, chain, follows, heads } = *frame;
        let (start, events) = (ByteOffset::new(at), u64::from(header.event_count));
        let end = start.plus(u64::from(header.frame_bytes));
        match self.runs.last_mut() {
            Some(run) if follows => {
                run.end = end;
                run.chain = chain;
                run.last = header.kind;
                run.frames += 1;
                run.events += events;
                run.frame_bytes_max = run.frame_bytes_max.max(header.frame_bytes);
            }
            _ => self.runs.push(Run {
                segment: 0,
                sequence: self.about.sequence,
                start,
                end,
                first: header,
                chain,
                last: header.kind,
                heads,
                begins: false,
                predecessor: self.about.own_header().and_then(|own| own.predecessor),
                frames: 1,
                events,
                frame_bytes_max: header.frame_bytes,
            }),
        }
        end.as_u64()
    }

    /// Goes on from a place where no whole frame stands to the next one; where that is.
    fn gap(&mut self, from: u64, fault: Fault) -> Result<u64, VerifyError> {
        let (broken, settled_at) = (Vec::new(), None);
        let mut gap = Gap { from, to: from, fault, content_end: from, broken, settled_at };
        while gap.to < self.file.length {
            let Some(header) = self.next_header(&mut gap)? else { continue };
            // The one at the very start is known not to be whole.
            if gap.to > from && self.frame_at(gap.to)?.is_ok() {
                break;
            }
            let passed = match self.budget {
                0 => u64::from(header.frame_bytes),
                _ => layout::ALIGNMENT as u64,
            };
            if header.settled {
                gap.settled_at = Some(gap.to);
            }
            let header_end = gap.to + passed.max(layout::header::BYTES as u64);
            gap.content_end = header_end.min(self.file.length);
            gap.to = (gap.to + passed).min(self.file.length);
            gap.broken.push(header);
        }
        let to = gap.to;
        self.about.gaps.push(gap);
        Ok(to)
    }

    /// Searches one piece from the end of the gap on, and moves that end: to the first begin header
    /// that verifies, if there is one, else behind the piece.
    fn next_header(&mut self, gap: &mut Gap) -> Result<Option<FrameHeader>, VerifyError> {
        let (from, length) = (gap.to, self.file.length);
        let header_bytes = layout::header::BYTES as u64;
        let bytes = self.file.at(from, header_bytes + layout::ALIGNMENT as u64)?;
        let bytes = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        let found = match last_nonzero(bytes) {
            None => None,
            Some(_) => find_header(bytes, self.salt, ByteOffset::new(from)),
        };
        let end = match &found {
            Some((place, _)) => place.as_u64(),
            // The second: somebody has shortened the file meanwhile.
            None if from + bytes.len() as u64 >= length || bytes.is_empty() => length,
            // A header that stands across the end of the piece is seen whole in the next one.
            None => {
                let searched = (bytes.len() as u64).saturating_sub(header_bytes - 1);
                from + searched.max(1).next_multiple_of(layout::ALIGNMENT as u64)
            }
        };
        let searched = bytes.get(..(end - from) as usize).unwrap_or(bytes);
        if let Some(last) = last_nonzero(searched) {
            gap.content_end = from + last as u64 + 1;
        }
        gap.to = end;
        Ok(found.map(|(_, header)| header))
    }
}

/// The state behind a frame, whatever stands in front of it.
pub(super) fn chain_behind(frame: &Frame<'_>) -> Chain {
    Chain {
        position: frame.header.end_position(),
        previous: frame.commit_checksum(),
        time: frame.header.commit_time,
        synced_position: frame.header.synced_position,
    }
}

/// The frame at the front of `bytes`, every rule of it kept.
fn whole_frame(bytes: &[u8], salt: Salt, offset: ByteOffset) -> Result<Frame<'_>, Fault> {
    let frame = Frame::decode(bytes, salt, offset).map_err(Fault::Frame)?;
    let frame = frame.ok_or(Fault::NeverWritten)?;
    let body = Body::decode(&frame).and_then(|body| body.check());
    body.map_err(|error| Fault::Frame(error.into()))?;
    Ok(frame)
}
