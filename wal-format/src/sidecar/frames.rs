//! Where in a sealed segment each batch stands.
//!
//! Owns: [`Frames`], read in place, [`FramePlace`], and [`FramesBuilder`]. May call: cursor, varint,
//! layout.
//!
//! One full entry every 16 batches; between them, the steps from each batch to the next: its
//! events, the way to the next one's offset in units of 8, and that one's commit checksum. By the
//! checksum a reader tells the frame that was sealed from one that stood there before, in a tail
//! that was cut off, and that a device has brought back.

use alloc::vec::Vec;

use super::{SidecarError, varint};
use crate::cursor::Cursor;
use crate::ids::{ByteOffset, Position};
use crate::layout::sidecar::landmark::{self, EVERY};
use crate::layout::{ALIGNMENT, segment};
use crate::search::count_at_or_below;

/// A batch and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    /// The position of its first event.
    pub first_position: Position,
    /// Where its frame begins.
    pub offset: ByteOffset,
    /// Its commit checksum.
    pub checksum: u32,
}

/// The places of all batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames<'a> {
    base: Position,
    count: u64,
    landmarks: &'a [[u8; landmark::BYTES]],
    steps: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Outlines a section.
    pub(super) fn decode(
        section: &'a [u8],
        base: Position,
        count: u64,
    ) -> Result<Self, SidecarError> {
        let mut cursor = Cursor::new(section);
        let landmarks = usize::try_from(count.div_ceil(EVERY as u64)).unwrap_or(usize::MAX);
        let landmarks = cursor.bytes(landmarks.saturating_mul(landmark::BYTES), "frames")?;
        Ok(Self { base, count, landmarks: landmarks.as_chunks().0, steps: cursor.rest() })
    }

    /// The last batch that begins at or before `position`.
    pub(super) fn at_or_before(
        &self,
        position: Position,
    ) -> Result<Option<FramePlace>, SidecarError> {
        let Some(position) = position.as_u64().checked_sub(self.base.as_u64()) else {
            return Ok(None);
        };
        let at = |place: usize| {
            self.landmarks.get(place).map_or(u64::MAX, |at| word(at, landmark::POSITION))
        };
        let behind = count_at_or_below(self.landmarks.len(), position, at);
        let Some(block) = behind.checked_sub(1) else { return Ok(None) };
        let mut walk = self.walk(block)?;
        while let Some(further) = walk.step()?.filter(|further| further.position <= position) {
            walk = further;
        }
        Ok(Some(walk.place(self.base)))
    }

    /// The batches, from the first to the last.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<FramePlace, SidecarError>> + use<'a> {
        let frames = *self;
        (0..frames.landmarks.len()).flat_map(move |block| {
            let mut next = Some(frames.walk(block));
            core::iter::from_fn(move || match next.take()? {
                Ok(walk) => {
                    next = walk.step().transpose();
                    Some(Ok(walk.place(frames.base)))
                }
                Err(error) => Some(Err(error)),
            })
        })
    }

    /// Checks every entry and step. `end` is where the seal ends.
    pub(super) fn check(&self, end: Position, seal_end: ByteOffset) -> Result<(), SidecarError> {
        let mut before: Option<FramePlace> = None;
        let mut count = 0_u64;
        for place in self.iter() {
            let place = place?;
            let follows = match before {
                Some(before) => {
                    place.first_position > before.first_position && place.offset > before.offset
                }
                None => place.first_position == self.base,
            };
            let offset = place.offset.as_u64();
            let within = place.first_position < end
                && offset >= segment::BYTES as u64
                && offset.is_multiple_of(ALIGNMENT as u64)
                && offset < seal_end.as_u64();
            if !follows || !within {
                return Err(SidecarError::Field { field: "frame offset", found: offset });
            }
            before = Some(place);
            count += 1;
        }
        let is_zero = |at: &[u8; landmark::BYTES]| half(at, landmark::RESERVED) == 0;
        if !self.landmarks.iter().all(is_zero) {
            return Err(SidecarError::Field { field: "reserved bytes", found: 1 });
        }
        let mut at = 0;
        for block in 0..self.landmarks.len() {
            let mut walk = self.walk(block)?;
            if self.steps.len() - walk.steps.rest().len() != at {
                return Err(SidecarError::Field { field: "frame step", found: block as u64 });
            }
            while let Some(further) = walk.step()? {
                walk = further;
            }
            at = self.steps.len() - walk.steps.rest().len();
        }
        if at != self.steps.len() || count != self.count {
            return Err(SidecarError::Field { field: "frame step", found: at as u64 });
        }
        Ok(())
    }

    fn walk(&self, block: usize) -> Result<FrameWalk<'a>, SidecarError> {
        let entry = self.landmarks.get(block);
        let at = entry.map_or(u64::MAX, |at| word(at, landmark::STEP));
        let steps = usize::try_from(at).ok().and_then(|at| self.steps.get(at..));
        let (Some(entry), Some(steps)) = (entry, steps) else {
            return Err(SidecarError::Field { field: "frame step", found: at });
        };
        let passed = block as u64 * EVERY as u64;
        Ok(FrameWalk {
            position: word(entry, landmark::POSITION),
            offset: word(entry, landmark::OFFSET),
            checksum: half(entry, landmark::CHECKSUM),
            left: self.count.saturating_sub(passed).min(EVERY as u64) - 1,
            steps: Cursor::new(steps),
        })
    }
}

/// A batch on the way through a block.
#[derive(Debug, Clone)]
struct FrameWalk<'a> {
    position: u64,
    offset: u64,
    checksum: u32,
    left: u64,
    steps: Cursor<'a>,
}

impl FrameWalk<'_> {
    /// The next batch of the block.
    fn step(&self) -> Result<Option<Self>, SidecarError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let mut steps = self.steps.clone();
        let events = varint::take(&mut steps, "frame step")?;
        let bytes = varint::take(&mut steps, "frame step")?.checked_mul(ALIGNMENT as u64);
        let checksum = steps.u32("frame checksum")?;
        let position = self.position.checked_add(events);
        let offset = bytes.and_then(|bytes| self.offset.checked_add(bytes));
        let (Some(position), Some(offset)) = (position, offset) else {
            return Err(SidecarError::Field { field: "frame step", found: events });
        };
        Ok(Some(Self { position, offset, checksum, left, steps }))
    }

    fn place(&self, base: Position) -> FramePlace {
        let first_position = base.plus(self.position);
        let offset = ByteOffset::new(self.offset);
        FramePlace { first_position, offset, checksum: self.checksum }
    }
}

fn word(entry: &[u8; landmark::BYTES], at: usize) -> u64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

fn half(entry: &[u8; landmark::BYTES], at: usize) -> u32 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u32::from_le_bytes(*half))
}

/// The places of all batches, being written.
#[derive(Debug, Default)]
pub(super) struct FramesBuilder {
    count: u64,
    /// The last batch: its position less the base position, and its offset.
    last: (u64, u64),
    landmarks: Vec<u8>,
    steps: Vec<u8>,
}

impl FramesBuilder {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Notes a batch, in the order of positions; `position` is less the base position.
    pub(super) fn push(&mut self, position: u64, offset: ByteOffset, checksum: u32) {
        let offset = offset.as_u64();
        if self.count.is_multiple_of(EVERY as u64) {
            for number in [position, offset, self.steps.len() as u64] {
                self.landmarks.extend_from_slice(&number.to_le_bytes());
            }
            self.landmarks.extend_from_slice(&checksum.to_le_bytes());
            self.landmarks.extend_from_slice(&[0; 4]);
        } else {
            let (before, at) = self.last;
            varint::put(&mut self.steps, position.saturating_sub(before));
            varint::put(&mut self.steps, offset.saturating_sub(at) / ALIGNMENT as u64);
            self.steps.extend_from_slice(&checksum.to_le_bytes());
        }
        self.last = (position, offset);
        self.count += 1;
    }

    pub(super) fn encode(mut self) -> Vec<u8> {
        self.landmarks.append(&mut self.steps);
        self.landmarks
    }
}
