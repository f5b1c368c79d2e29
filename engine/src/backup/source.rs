//! What is brought over: the one list of a backup's files.
//!
//! Owns: [`Source`], a log as a backup sees it; [`Plan`] and its parts. May call: frames, segment,
//! storage. Changes nothing.

use std::sync::Arc;

use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::sidecar::{CheckpointHeader, SealedSegment};
use quipu_format::{
    ByteOffset, Chain, CommitTime, ControlKind, FrameError, Position, Salt, SegmentHeader,
    SegmentSeq, layout,
};

use super::BackupOptions;
use super::frames::{Frames, Met};
use crate::error::BackupError;
use crate::segment::base::{self, BadCopy, Base};
use crate::segment::name::STREAM_TABLE;
use crate::segment::reader::Segment;
use crate::storage::{Access, Directory, File, IoError};

/// A log at one moment.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// So much of the last of them is durable.
    pub(crate) written: u64,
    /// Nothing behind it is taken.
    pub(crate) end: Position,
}

/// What is brought over.
#[derive(Debug)]
pub(super) struct Plan {
    /// What outlives the segments that the log has dropped, if it has dropped any.
    pub(super) base: Option<Base>,
    /// Full segments, as they are.
    pub(super) whole: Vec<Whole>,
    /// The one behind them, up to some batch.
    pub(super) last: Last,
}

/// A full segment.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) segment: Arc<Segment>,
    pub(super) sealed: SealedSegment,
    /// The header of the next one, which names its seal.
    pub(super) next: SegmentHeader,
}

/// The last segment of a backup.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) segment: Arc<Segment>,
    pub(super) cut: Cut,
}

/// Where a backup ends: behind a batch, or a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) offset: ByteOffset,
    pub(super) chain: Chain,
}

impl Plan {
    /// All of the log up to where it is durable, or as far as is wanted.
    pub(super) fn of(source: &Source, options: &BackupOptions) -> Result<Self, BackupError> {
        let end = options.end.unwrap_or(source.end).min(source.end);
        let time = options.time.unwrap_or(CommitTime::new(u64::MAX));
        let base = source.base()?;
        if let Some(Base { chain, .. }) = &base
            && (chain.position > end || chain.time > time)
        {
            return Err(BackupError::Truncated { first_available: chain.position });
        }
        let mut whole = Vec::new();
        let mut segments = source.segments.iter().peekable();
        while let Some(segment) = segments.next() {
            let next = segments.peek().map(|next| *next.header());
            match (segment.sealed(), next) {
                (Some(sealed), Some(next))
                    if sealed.end_position <= end && next.created_at <= time =>
                {
                    whole.push(Whole { segment: Arc::clone(segment), sealed, next });
                }
                (_, next) => {
                    // Of a segment that has others behind it all that readers see is durable.
                    let written = match next {
                        None => source.written,
                        Some(_) => segment.region().written(),
                    };
                    let cut = cut(source, segment, written, (end, time))?;
                    let last = Last { segment: Arc::clone(segment), cut };
                    return Ok(Self { base, whole, last });
                }
            }
        }
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(source.error("find a segment of", "", missing).into())
    }

    /// The first segment.
    pub(super) fn first(&self) -> SegmentSeq {
        self.base.as_ref().map_or(SegmentSeq::ZERO, |base| base.first)
    }

    /// What is brought over under a sequence number.
    pub(super) fn find(&self, sequence: SegmentSeq) -> Option<Planned<'_>> {
        if self.last.segment.sequence() == sequence {
            return Some(Planned::Last(&self.last));
        }
        let found = self.whole.binary_search_by_key(&sequence, |whole| whole.segment.sequence());
        found.ok().and_then(|place| self.whole.get(place)).map(Planned::Whole)
    }
}

/// What one file of a backup is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Planned<'a> {
    Whole(&'a Whole),
    Last(&'a Last),
}

impl Planned<'_> {
    pub(super) fn header(&self) -> &SegmentHeader {
        match self {
            Self::Whole(whole) => whole.segment.header(),
            Self::Last(last) => last.segment.header(),
        }
    }

    /// So many bytes of it count.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Whole(whole) => whole.sealed.seal_end.as_u64(),
            Self::Last(last) => last.cut.offset.as_u64(),
        }
    }
}

impl Last {
    /// The close frame behind the last batch: all in front of it is durable. None where a writer
    /// has left less room than this engine does.
    pub(super) fn close_frame(&self) -> Option<[u8; layout::CONTROL_FRAME_BYTES]> {
        let Cut { offset, chain } = self.cut;
        let needed = 2 * layout::CONTROL_FRAME_BYTES as u64;
        if offset.as_u64().saturating_add(needed) > self.segment.header().capacity {
            return None;
        }
        let fields = ControlFields {
            position: chain.position,
            time: chain.time,
            synced_position: chain.position,
            settled: true,
            previous: chain.previous,
        };
        let salt: Salt = self.segment.salt();
        Some(control_frame(ControlKind::Close, fields, salt, offset).0)
    }
}

/// The last place behind a batch at which a backup can end.
fn cut(
    source: &Source,
    segment: &Segment,
    written: u64,
    (end, time): (Position, CommitTime),
) -> Result<Cut, BackupError> {
    let file = source.open(&segment.name())?;
    let mut frames = Frames::new(&*file, segment.header());
    let mut cut = Cut { offset: frames.offset, chain: frames.chain };
    while frames.offset.as_u64() < written {
        let (offset, position) = (frames.offset, frames.chain.position);
        let met = frames.pass();
        let met =
            met.map_err(|error| source.error("read", &segment.name(), error).at(offset.as_u64()))?;
        let missing = FrameError::Field { field: "first position", found: position.as_u64() };
        let damaged = |fault| {
            let damaged = segment.damaged(offset, position, fault);
            Err(BackupError::NotWhole(Box::new(damaged)))
        };
        match met {
            Met::Frame(passed) if passed.is(ControlKind::Seal) => break,
            Met::Frame(passed) if passed.bears() => {
                if frames.chain.position > end || frames.chain.time > time {
                    break;
                }
                cut = Cut { offset: frames.offset, chain: frames.chain };
            }
            Met::Frame(_) => {}
            Met::Nothing => return damaged(missing),
            Met::Bad(fault) => return damaged(fault),
        }
    }
    Ok(cut)
}

impl Source {
    /// What stands in front of the first segment; `None`: that is the first that ever was.
    fn base(&self) -> Result<Option<Base>, BackupError> {
        let first = self.segments.first().map_or(SegmentSeq::ZERO, |first| first.sequence());
        if first == SegmentSeq::ZERO {
            return Ok(None);
        }
        let loaded = base::load(&*self.directory, first);
        loaded.map(Some).map_err(|bad| {
            let why = bad.into_iter().next().map(|(name, why)| match why {
                BadCopy::Io(error) => error,
                BadCopy::Wrong(_) | BadCopy::Misnamed(_) => {
                    let wrong = std::io::Error::from(std::io::ErrorKind::InvalidData);
                    self.error("read", &name, wrong)
                }
            });
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            why.unwrap_or_else(|| self.error("find the base of", "", missing)).into()
        })
    }

    /// Opens a file of the log.
    pub(super) fn open(&self, name: &str) -> Result<Arc<dyn File>, IoError> {
        let opened = self.directory.open(name, Access::Read);
        opened.map_err(|error| self.error("open", name, error))
    }

    /// The file of all streams, if it says nothing of segments behind `whole`; and its header.
    pub(super) fn stream_table(&self, whole: &[Whole]) -> Option<(Arc<dyn File>, Vec<u8>)> {
        let directory = &self.directory;
        let file = directory.open(STREAM_TABLE, Access::Read).ok()?;
        let mut header = vec![0; layout::checkpoint::BYTES];
        // Derived: one that cannot be read is left out.
        file.read_at(0, &mut header).ok()?;
        let covers = CheckpointHeader::decode(&header).ok()?;
        let is_covered = |whole: &Whole| {
            let sealed = SealedSegment { base_position: Position::ZERO, ..whole.sealed };
            covers.check_segment(&sealed).is_ok()
        };
        whole.iter().any(is_covered).then_some((file, header))
    }

    /// An error of the system with a file of the log.
    pub(super) fn error(
        &self,
        operation: &'static str,
        name: &str,
        error: std::io::Error,
    ) -> IoError {
        IoError::new(operation, format!("{}/{name}", self.directory.name()), error)
    }
}
