//! The on-disk format of the Quipu log, version 1.
//!
//! This crate turns batches into frames and bytes into checked frames. It does no I/O, reads no
//! clock, takes no lock, writes no log line and has no unsafe code. Without its default feature `std`
//! it needs `alloc` only; with it, checksums use the processor's instruction. The normative
//! description is `FORMAT.md` beside this crate; a test compares the two.
//!
//! | module | owns |
//! |---|---|
//! | [`layout`] | every offset, size, magic and limit |
//! | [`ids`] | the number types: positions, versions, sequence numbers, offsets, times, ids |
//! | [`cursor`] | the one place that reads integers out of untrusted bytes |
//! | [`checksum`] | CRC32C and how it is bound to log, segment and offset |
//! | [`segment`] | the segment header |
//! | [`frame`] | begin header, commit trailer |
//! | [`control`] | frames without a body: seal, close, mark |
//! | [`named`] | the named checkpoints of a batch |
//! | [`versions`] | the streams' versions, between body and trailer |
//! | [`glance`] | a look at a header without its checksum |
//! | [`body`] | the stream table and the events of a batch, decoded |
//! | [`encode`] | the same, encoded: by the caller, then completed by the writer |
//! | [`scan`] | walking the frames of a segment, and the search for evidence behind a bad one |
//! | [`search`] | finding a place among numbers that rise evenly |
//! | [`sidecar`] | the index of a sealed segment, and the checkpoint of the streams: derived files |
//!
//! Promises, for any input:
//! - decoding never panics, never loops, and allocates nothing in proportion to a number read from
//!   the input;
//! - what a frame decodes to is what was encoded: every byte, padding included, is under a CRC32C
//!   that is bound to the log's id, the segment and the offset;
//! - a half-made encoding never decodes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod body;
pub mod checksum;
pub mod control;
pub mod cursor;
pub mod encode;
pub mod frame;
pub mod glance;
pub mod ids;
pub mod layout;
pub mod named;
pub mod scan;
pub mod search;
pub mod segment;
pub mod sidecar;
pub mod versions;
pub mod zeros;

pub use body::{
    Body, BodyError, EventOutline, Events, Outlines, RecordedEventRef, StreamTable, TagIter, Tags,
};
pub use checksum::Salt;
pub use control::{ControlKind, FrameKind};
pub use cursor::Truncated;
pub use encode::{BatchEncoder, CommitFields, EncodeError, EncodedBatch, EventFields};
pub use frame::{Frame, FrameError, FrameFront, FrameHeader};
pub use glance::HeaderGlance;
pub use ids::{ByteOffset, CommitTime, EventId, LogId, Position, SegmentSeq, Version};
pub use named::{NamedCheckpoint, NamedCheckpoints};
pub use scan::{Chain, Evidence, Step, find_evidence, find_header};
pub use segment::{Predecessor, SegmentHeader, SegmentHeaderError};
pub use versions::FirstVersions;
