//! Making a sidecar.
//!
//! Owns: [`SidecarBuilder`]. May call: body, frame, header, names, frames, filter.

use alloc::vec::Vec;

use super::frames::FramesBuilder;
use super::hash::{NameHasher, NameKind};
use super::header::{SidecarHeader, padding};
use super::names::NamesBuilder;
use super::projections::{CheckpointsBuilder, SetCheckpoint};
use super::{SealedSegment, SidecarError, filter};
use crate::body::Body;
use crate::checksum::crc32c_append;
use crate::frame::Frame;
use crate::ids::{ByteOffset, LogId, Position, Version};
use crate::layout::sidecar;
use crate::named::NamedCheckpoint;

/// Collects the frames of a segment, and makes its sidecar when it is sealed.
///
/// What comes out is decided by the frames, by what is in front of them and by the log's id alone:
/// made again, it is the same byte for byte.
#[derive(Debug)]
pub struct SidecarBuilder {
    base: Position,
    next: Position,
    streams: NamesBuilder,
    tags: NamesBuilder,
    types: NamesBuilder,
    frames: FramesBuilder,
    checkpoints: CheckpointsBuilder,
}

impl SidecarBuilder {
    /// Begins with the first frame of the segment with this base position.
    #[must_use]
    pub fn new(log_id: LogId, base: Position) -> Self {
        let names = |kind| NamesBuilder::new(kind, NameHasher::new(log_id));
        Self {
            base,
            next: base,
            streams: names(NameKind::Stream),
            tags: names(NameKind::Tag),
            types: names(NameKind::EventType),
            frames: FramesBuilder::default(),
            checkpoints: CheckpointsBuilder::default(),
        }
    }

    /// Collects a frame that verifies and follows the one before; it stands at `offset`. A control
    /// frame changes nothing. Payloads are not looked at. After an error nothing good can come of the
    /// builder.
    pub fn push(&mut self, frame: &Frame<'_>, offset: ByteOffset) -> Result<(), SidecarError> {
        let header = &frame.header;
        if header.first_position != self.next {
            let found = header.first_position.as_u64();
            return Err(SidecarError::Field { field: "first position", found });
        }
        let body = Body::decode(frame)?;
        let set_by = (header.event_count > 0).then_some(header.first_position);
        for checkpoint in body.checkpoints()? {
            let NamedCheckpoint { name, position } = checkpoint?;
            self.checkpoints.set(&SetCheckpoint { name, position, set_by });
        }
        if header.event_count == 0 {
            return Ok(());
        }
        let first = header.first_position.as_u64() - self.base.as_u64();
        self.frames.push(first, offset, frame.commit_checksum());
        let mut streams_met = 0;
        for (position, event) in (first..).zip(body.outlines()) {
            let event = event?;
            let name = body.streams().name(event.stream())?;
            let first = frame.first_version(event.stream()).unwrap_or(Version::ZERO);
            let due = self.streams.push_at(name, position, first);
            if event.stream() >= streams_met {
                // The stream's first event here: the frame says which version it has.
                streams_met = event.stream().saturating_add(1);
                if due != first {
                    let found = first.as_u64();
                    return Err(SidecarError::Field { field: "first version", found });
                }
            }
            for tag in event.tags() {
                self.tags.push(tag, position);
            }
            self.types.push(event.event_type()?, position);
        }
        self.next = header.end_position();
        Ok(())
    }

    /// The file's bytes. `previous` gives, from the position of a stream's first event in this
    /// segment, the position of the one in front of it; it is asked where there is one. `None`: that
    /// is not known any more.
    ///
    /// # Panics
    /// If `segment` is not the one whose frames were collected.
    #[must_use]
    pub fn finish(
        mut self,
        segment: &SealedSegment,
        mut previous: impl FnMut(Position) -> Option<Position>,
    ) -> Vec<u8> {
        assert_eq!((self.base, self.next), (segment.base_position, segment.end_position));
        let base = self.base.as_u64();
        let way_back = |first: u64| {
            previous(self.base.plus(first)).map_or(0, |at| base.saturating_sub(at.as_u64()))
        };
        for names in [&mut self.streams, &mut self.tags, &mut self.types] {
            names.sort();
        }
        let Self { streams, tags, types, frames, checkpoints, .. } = self;
        let mut writer = Writer::default();
        writer.bytes.resize(sidecar::BYTES, 0);
        let mut block = Vec::new();
        filter::build(
            &mut block,
            streams.len() + tags.len(),
            streams.hashes().chain(tags.hashes()),
        );
        writer.section(&block);
        let (table, records) = streams.encode(way_back);
        writer.section(&table);
        writer.section(&records);
        for names in [&tags, &types] {
            let (table, records) = names.encode(|_| 0);
            writer.section(&table);
            writer.section(&records);
        }
        let batch_count = frames.count();
        writer.section(&frames.encode());
        block.clear();
        checkpoints.encode(&mut block);
        writer.section(&block);
        let Writer { mut bytes, ends, checksums } = writer;
        let once = "each section was written once";
        let header = SidecarHeader {
            segment: *segment,
            batch_count,
            stream_count: streams.len() as u64,
            tag_count: tags.len() as u64,
            type_count: types.len() as u64,
            checkpoint_count: u32::try_from(checkpoints.len())
                .expect("four thousand million names and their entries do not fit into a segment"),
            ends: ends.try_into().expect(once),
            checksums: checksums.try_into().expect(once),
        };
        if let Some(place) = bytes.first_chunk_mut() {
            *place = header.encode();
        }
        bytes
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    checksums: Vec<u32>,
}

impl Writer {
    fn section(&mut self, section: &[u8]) {
        self.bytes.extend_from_slice(section);
        self.ends.push(self.bytes.len() as u64);
        self.checksums.push(crc32c_append(0, section));
        self.bytes.resize(self.bytes.len() + padding(self.bytes.len()), 0);
    }
}
