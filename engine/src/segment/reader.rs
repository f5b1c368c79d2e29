//! A segment as readers see it.
//!
//! Owns: [`Segment`]: its bytes, its salt, its landmarks. May call: storage, the format. Never
//! knows how far readers may go: that is the watermark's business.

use std::sync::Arc;

use quipu_format::{
    ByteOffset, Frame, FrameError, FrameFront, FrameHeader, HeaderGlance, Position, Salt,
    SegmentHeader, layout,
};

use super::landmarks::Landmarks;
use super::name::segment_name;
use crate::error::ReadError;
use crate::storage::raw::Region;

/// An activated segment.
#[derive(Debug)]
pub(crate) struct Segment {
    header: SegmentHeader,
    salt: Salt,
    region: Arc<Region>,
    landmarks: Landmarks,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, region: Arc<Region>, landmarks: Landmarks) -> Self {
        let salt = Salt::new(header.log_id, header.sequence);
        Self { header, salt, region, landmarks }
    }

    /// The position of the segment's first event.
    pub(crate) fn base_position(&self) -> Position {
        self.header.base_position
    }

    /// What the checksums of this segment's frames are bound to.
    pub(crate) fn salt(&self) -> Salt {
        self.salt
    }

    pub(crate) fn landmarks(&self) -> &Landmarks {
        &self.landmarks
    }

    /// The file's name, for errors.
    pub(crate) fn name(&self) -> String {
        segment_name(self.header.sequence)
    }

    /// The segment's memory.
    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Where frames begin.
    pub(crate) const FIRST_FRAME: ByteOffset = ByteOffset::new(layout::segment::BYTES as u64);

    /// The header of the frame at `offset`; `None` where nothing has been stored yet.
    pub(crate) fn header_at(&self, offset: ByteOffset) -> Result<Option<FrameHeader>, FrameError> {
        match self.bytes_from(offset) {
            [] => Ok(None),
            bytes => FrameHeader::decode(bytes, self.salt, offset),
        }
    }

    /// The frame at `offset`, of which the header alone has been verified; `None` where nothing has
    /// been stored yet.
    #[inline]
    pub(crate) fn front_at(
        &self,
        offset: ByteOffset,
    ) -> Result<Option<FrameFront<'_>>, FrameError> {
        match self.bytes_from(offset) {
            [] => Ok(None),
            bytes => FrameFront::decode(bytes, self.salt, offset),
        }
    }

    /// What the header at `offset` says, unverified; `None` where there is none.
    #[inline]
    pub(crate) fn glance_at(&self, offset: ByteOffset) -> Option<HeaderGlance> {
        let start = offset.as_u64();
        let bytes = self.region.bytes(start..start.checked_add(layout::header::BYTES as u64)?)?;
        HeaderGlance::at(bytes)
    }

    /// Asks for the memory at `offset` without waiting for it, as nothing hangs on the answer.
    #[inline]
    pub(crate) fn touch(&self, offset: ByteOffset) {
        std::hint::black_box(self.bytes_from(offset).first().copied());
    }

    /// The frame at `offset`, its body verified or not; `None` where nothing has been stored yet.
    pub(crate) fn frame_at(
        &self,
        offset: ByteOffset,
        verify: bool,
    ) -> Result<Option<Frame<'_>>, FrameError> {
        match self.bytes_from(offset) {
            [] => Ok(None),
            bytes if verify => Frame::decode(bytes, self.salt, offset),
            bytes => Frame::decode_trusted(bytes, self.salt, offset),
        }
    }

    /// Where the frame that ends at `end` begins; `None` at the segment's first frame.
    pub(crate) fn frame_before(&self, end: ByteOffset) -> Result<Option<ByteOffset>, FrameError> {
        if end <= Self::FIRST_FRAME {
            return Ok(None);
        }
        // The trailer repeats the frame's length in the second half of its last 8 bytes but one.
        let from_end = (layout::trailer::BYTES - layout::trailer::LENGTH) as u64;
        let at = end.as_u64().saturating_sub(from_end);
        let stored = self.region.bytes(at..at.saturating_add(4)).and_then(<[u8]>::first_chunk);
        let length = stored.map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
        match end.as_u64().checked_sub(length) {
            Some(start) if length > 0 && start >= Self::FIRST_FRAME.as_u64() => {
                Ok(Some(ByteOffset::new(start)))
            }
            _ => Err(FrameError::Field { field: "trailer length", found: length }),
        }
    }

    /// An error for a frame of this segment.
    pub(crate) fn damaged(
        &self,
        offset: ByteOffset,
        position: Position,
        fault: FrameError,
    ) -> ReadError {
        ReadError::Damaged { file: self.name(), offset: offset.as_u64(), position, fault }
    }

    /// All that has been stored from `offset` on.
    #[inline]
    fn bytes_from(&self, offset: ByteOffset) -> &[u8] {
        self.region.bytes(offset.as_u64()..self.region.written()).unwrap_or(&[])
    }
}
