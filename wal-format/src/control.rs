//! Control frames, which hold nothing: seal, close, mark; and how kinds of frames are told apart.
//!
//! Owns: [`FrameKind`], [`ControlKind`], [`ControlFields`], [`control_frame`]. May call: checksum,
//! frame, ids, layout.

use crate::checksum::{Salt, body_checksum};
use crate::frame::{FrameHeader, encode_trailer};
use crate::ids::{ByteOffset, CommitTime, Position};
use crate::layout::{self, header};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// One batch: events, and perhaps named checkpoints.
    Batch,
    /// A batch without events: named checkpoints alone.
    Checkpoints,
    /// A frame without a body.
    Control(ControlKind),
}

/// What a frame without a body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlKind {
    /// The last frame of a sealed segment.
    Seal,
    /// The log was closed; nothing was in flight.
    Close,
    /// Only carries the synced position; an idle log writes one.
    Mark,
}

impl FrameKind {
    /// The kind's byte on disk. 0 is "never written".
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Control(ControlKind::Seal) => 2,
            Self::Control(ControlKind::Close) => 3,
            Self::Control(ControlKind::Mark) => 4,
            Self::Checkpoints => 5,
        }
    }

    /// The kind of a byte.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Batch),
            2 => Some(Self::Control(ControlKind::Seal)),
            3 => Some(Self::Control(ControlKind::Close)),
            4 => Some(Self::Control(ControlKind::Mark)),
            5 => Some(Self::Checkpoints),
            _ => None,
        }
    }
}

/// The bytes of a control frame that stands at `offset`, and its commit checksum.
///
/// A seal is a function of what precedes it and of the next segment's header, so that recovery can
/// make one again that never reached the disk.
#[must_use]
pub fn control_frame(
    kind: ControlKind,
    fields: ControlFields,
    salt: Salt,
    offset: ByteOffset,
) -> ([u8; layout::CONTROL_FRAME_BYTES], u32) {
    let header = FrameHeader {
        frame_bytes: layout::CONTROL_FRAME_BYTES as u32,
        kind: FrameKind::Control(kind),
        settled: fields.settled,
        checkpoint_count: 0,
        event_count: 0,
        stream_count: 0,
        first_position: fields.position,
        commit_time: fields.time,
        synced_position: fields.synced_position,
        previous: fields.previous,
    };
    let (front, header_checksum) = header.encode(salt, offset);
    let (back, commit_checksum) =
        encode_trailer(header_checksum, body_checksum(&[]), &[], header.frame_bytes);
    let mut bytes = [0; layout::CONTROL_FRAME_BYTES];
    let (into_front, into_back) = bytes.split_at_mut(header::BYTES);
    into_front.copy_from_slice(&front);
    into_back.copy_from_slice(&back);
    (bytes, commit_checksum)
}

/// What a control frame says besides its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlFields {
    /// The position of the next event.
    pub position: Position,
    /// The time; not below that of the frame before.
    pub time: CommitTime,
    /// All below is durable.
    pub synced_position: Position,
    /// All in front is durable. A seal never says so: it is made again from what others say.
    pub settled: bool,
    /// The commit checksum of the frame before, or the checksum of the segment's header.
    pub previous: u32,
}
