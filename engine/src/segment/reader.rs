//! A segment as readers see it.
//!
//! Owns: [`Segment`]: its bytes, its salt, its landmarks, its index once it is sealed. May call:
//! sidecar, storage, the format. Never
//! knows how far readers may go: that is the watermark's business.

use std::sync::Arc;

use quipu_format::sidecar::{FramePlace, SealedSegment};
use quipu_format::{
    ByteOffset, Frame, FrameError, FrameFront, FrameHeader, HeaderGlance, Position, Salt,
    SegmentHeader, SegmentSeq, layout,
};

use super::landmarks::Landmarks;
use super::name::segment_name;
use super::sidecar::{self, Frames, SegmentIndex};
use crate::error::ReadError;
use crate::storage::raw::Region;
use crate::sync::RwLock;

/// An activated segment.
#[derive(Debug)]
pub(crate) struct Segment {
    header: SegmentHeader,
    salt: Salt,
    region: Arc<Region>,
    landmarks: Landmarks,
    own: RwLock<Own>,
    /// Whether it was taken by its index when the log was opened: its frames have not been followed.
    passed_over: bool,
}

/// What is known of a segment besides its frames.
#[derive(Debug, Default)]
enum Own {
    /// It is being written.
    #[default]
    Open,
    /// It is sealed, and has no index yet.
    Sealed(SealedSegment),
    /// It is sealed, and has an index.
    Indexed(Arc<SegmentIndex>),
}

/// Where the way to a position begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) offset: ByteOffset,
    /// The frame that stands there, where the segment's index has said so.
    pub(crate) indexed: Option<FramePlace>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, region: Arc<Region>, landmarks: Landmarks) -> Self {
        let salt = Salt::new(header.log_id, header.sequence);
        Self { header, salt, region, landmarks, own: RwLock::default(), passed_over: false }
    }

    /// A segment that was taken by its index, without a scan.
    pub(crate) fn passed_over(
        header: SegmentHeader,
        region: Arc<Region>,
        own: SegmentIndex,
    ) -> Self {
        let mut segment = Self::new(header, region, Landmarks::none());
        segment.passed_over = true;
        segment.attach(own);
        segment
    }

    /// Its header.
    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Its place among the log's segments.
    pub(crate) fn sequence(&self) -> SegmentSeq {
        self.header.sequence
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

    /// A frame from which walking forward meets the one that holds `position`.
    pub(crate) fn before(&self, position: Position) -> Start {
        if !self.passed_over {
            return Start { offset: self.landmarks.before(position), indexed: None };
        }
        if let Some(own) = self.attached()
            && let Ok(Some(place)) = own.frame_before(position)
        {
            return Start { offset: place.offset, indexed: Some(place) };
        }
        Start { offset: Self::FIRST_FRAME, indexed: None }
    }

    /// Notes that nothing is written to it any more.
    pub(crate) fn seal(&self, sealed: SealedSegment) {
        *self.own.write() = Own::Sealed(sealed);
    }

    /// What its index is bound to, once it is sealed.
    pub(crate) fn sealed(&self) -> Option<SealedSegment> {
        match &*self.own.read() {
            Own::Open => None,
            Own::Sealed(sealed) => Some(*sealed),
            Own::Indexed(own) => Some(own.header().segment),
        }
    }

    /// Gives it its index.
    pub(crate) fn attach(&self, own: SegmentIndex) {
        *self.own.write() = Own::Indexed(Arc::new(own));
    }

    /// Its index, if it has one.
    pub(crate) fn attached(&self) -> Option<Arc<SegmentIndex>> {
        match &*self.own.read() {
            Own::Indexed(own) => Some(Arc::clone(own)),
            Own::Open | Own::Sealed(_) => None,
        }
    }

    /// The index of a sealed segment. `remade`: the one that it has is wrong; it is made again from
    /// the frames, in memory.
    pub(crate) fn own_index(&self, remade: bool) -> Result<Arc<SegmentIndex>, ReadError> {
        if let Some(own) = self.attached().filter(|_| !remade) {
            return Ok(own);
        }
        let base = self.base_position();
        let open = FrameError::Field { field: "seal", found: self.region.written() };
        let sealed = self.sealed().ok_or_else(|| self.damaged(Self::FIRST_FRAME, base, open))?;
        let bytes = sidecar::build(self, &sealed, &[], Frames::Found)?;
        let own = Arc::new(SegmentIndex::in_memory(sealed, bytes));
        *self.own.write() = Own::Indexed(Arc::clone(&own));
        Ok(own)
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

    /// Whether a frame that verifies is the one that stood at `offset` when the segment was sealed:
    /// asked of frames that nobody has followed since. `indexed`: what [`Self::before`] has given on
    /// the way here.
    pub(crate) fn check_sealed(
        &self,
        frame: &Frame<'_>,
        offset: ByteOffset,
        indexed: Option<FramePlace>,
    ) -> Result<(), ReadError> {
        if !self.passed_over {
            return Ok(());
        }
        let first_position = frame.header.first_position;
        let checksum = frame.commit_checksum();
        let found = FramePlace { first_position, offset, checksum };
        if indexed == Some(found) {
            return Ok(());
        }
        let place = match self.own_index(false)?.frame_before(first_position) {
            Ok(place) => place,
            // What cannot be read of the index is made again, from frames that follow to the seal.
            Err(_) => self.own_index(true)?.frame_before(first_position).unwrap_or_default(),
        };
        if place == Some(found) {
            return Ok(());
        }
        let computed = place.map_or(0, |place| place.checksum);
        let fault = FrameError::CommitChecksum { stored: checksum, computed };
        Err(self.damaged(offset, first_position, fault))
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
