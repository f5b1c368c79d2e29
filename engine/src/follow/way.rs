//! The way along the frames of a log that another process writes.
//!
//! Owns: [`Way`], a place between two frames and the state of the log there, [`Met`]. May call: storage,
//! the format, recovery's window. Reads with positioned reads, changes nothing, takes nothing in.

use std::io;
use std::sync::Arc;

use quipu_format::sidecar::SealedSegment;
use quipu_format::{
    ByteOffset, Chain, ControlKind, Frame, FrameError, FrameKind, Position, Salt, SegmentHeader,
    SegmentSeq, Step, layout,
};

use crate::recovery::Reached;
use crate::recovery::window::Window;
use crate::segment::base::Base;
use crate::segment::name::segment_name;
use crate::segment::reader::Segment;
use crate::storage::{Access, Directory, File};

/// A place between two frames.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) file: Arc<dyn File>,
    pub(super) header: SegmentHeader,
    /// Behind the frame met last.
    pub(super) offset: ByteOffset,
    chain: Chain,
    /// Whether that was the segment's seal.
    is_sealed: bool,
}

/// What stands at a place.
pub(super) enum Met<'w> {
    /// A frame that verifies and follows, and where it stands. The way leads behind it now.
    Frame(Frame<'w>, ByteOffset),
    /// The segment's end: what follows is in the next one.
    Sealed,
    /// Nothing yet.
    Nothing,
    /// Something that does not verify or follow: torn, or not whole yet.
    Bad(FrameError),
}

impl Way {
    /// From where opening has come to.
    pub(super) fn from(reached: &Reached, directory: &dyn Directory) -> io::Result<Self> {
        let Reached { header, offset, is_sealed, chain, .. } = *reached;
        let file = directory.open(&segment_name(header.sequence), Access::Read)?;
        Ok(Self { file, header, offset, chain, is_sealed })
    }

    /// The start of the segment that a base names. `None`: it is not there any more.
    pub(super) fn behind(base: &Base, directory: &dyn Directory) -> io::Result<Option<Self>> {
        let opened = Self::open(base.first, directory)?;
        let follows = |header: &SegmentHeader| {
            header.log_id == base.log_id && base.chain.leads_to(header, base.seal_end)
        };
        Ok(opened.filter(|(_, header)| follows(header)).map(Self::at_start))
    }

    /// The position of the next event.
    pub(super) fn position(&self) -> Position {
        self.chain.position
    }

    /// All below was durable when the frame in front was written.
    pub(super) fn proved(&self) -> Position {
        self.chain.synced_position.min(self.chain.position)
    }

    /// Whether it leads further than another one.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        (other.header.sequence, other.offset) <= (self.header.sequence, self.offset)
    }

    /// A window on the segment, for [`Way::step`].
    pub(super) fn window<'f>(&self, file: &'f dyn File) -> Window<'f> {
        Window::of_pieces(file, self.header.capacity, PIECE_BYTES)
    }

    /// Looks at what stands here, and goes on if it is a frame. `window` is on this segment.
    pub(super) fn step<'w>(&mut self, window: &'w mut Window<'_>) -> io::Result<Met<'w>> {
        if self.is_sealed {
            return Ok(Met::Sealed);
        }
        let salt = Salt::new(self.header.log_id, self.header.sequence);
        let at = self.offset;
        let bytes = window.frame_at(salt, at)?;
        Ok(match self.chain.step(bytes, salt, at) {
            Step::Frame { frame, chain } => {
                self.chain = chain;
                self.offset = at.plus(u64::from(frame.header.frame_bytes));
                self.is_sealed = frame.header.kind == FrameKind::Control(ControlKind::Seal);
                Met::Frame(frame, at)
            }
            Step::NeverWritten => Met::Nothing,
            Step::Bad(error) => Met::Bad(error),
        })
    }

    /// The start of the segment behind this one, which is sealed. `None`: it is not in use yet.
    pub(super) fn next_segment(&self, directory: &dyn Directory) -> io::Result<Option<Self>> {
        let opened = Self::open(self.header.sequence.plus(1), directory)?;
        let follows = |header: &SegmentHeader| {
            header.log_id == self.header.log_id && self.chain.leads_to(header, self.offset)
        };
        Ok(opened.filter(|(_, header)| follows(header)).map(Self::at_start))
    }

    /// The file of a segment that is in use, and its header. Opened each time anew: one that is not in
    /// use yet may be replaced.
    fn open(
        sequence: SegmentSeq,
        directory: &dyn Directory,
    ) -> io::Result<Option<(Arc<dyn File>, SegmentHeader)>> {
        let file = match directory.open(&segment_name(sequence), Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut block = [0; layout::segment::BYTES];
        let length = file.len()?;
        if length < block.len() as u64 {
            return Ok(None);
        }
        file.read_at(0, &mut block)?;
        let Ok(Some(header)) = SegmentHeader::decode(&block) else { return Ok(None) };
        let belongs = header.sequence == sequence && header.capacity == length;
        Ok(belongs.then_some((file, header)))
    }

    fn at_start((file, header): (Arc<dyn File>, SegmentHeader)) -> Self {
        let (chain, offset) = (Chain::at_start_of(&header), Segment::FIRST_FRAME);
        Self { file, header, offset, chain, is_sealed: false }
    }

    /// What the index of this segment is bound to, right behind its seal.
    pub(super) fn sealed(&self) -> SealedSegment {
        let SegmentHeader { log_id, sequence, base_position, .. } = self.header;
        SealedSegment {
            log_id,
            sequence,
            base_position,
            end_position: self.chain.position,
            seal_end: self.offset,
            seal_checksum: self.chain.previous,
        }
    }
}

/// Read at once: a few small groups, and little where there is one.
const PIECE_BYTES: u64 = 16 << 10;
