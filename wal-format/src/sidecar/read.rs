//! A sidecar in place.
//!
//! Owns: [`Sidecar`]. May call: header, names, positions, frames, filter.

use super::filter::Filter;
use super::frames::{FramePlace, Frames};
use super::hash::{NameHash, NameHasher, NameKind};
use super::header::{Section, SidecarHeader};
use super::names::{NamedPositions, Names, StreamPositions};
use super::projections::SetCheckpoints;
use super::{SealedSegment, SidecarError, filter};
use crate::cursor::Truncated;
use crate::ids::Position;
use crate::layout::{self, sidecar::entry};

/// The index of one sealed segment, borrowed from its file's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sidecar<'a> {
    header: SidecarHeader,
    bytes: &'a [u8],
}

impl<'a> Sidecar<'a> {
    /// Verifies every byte of a file, and that it is the index of `expected`.
    pub fn decode(bytes: &'a [u8], expected: &SealedSegment) -> Result<Self, SidecarError> {
        let sidecar = Self::decode_trusted(bytes, expected)?;
        for section in Section::ALL {
            sidecar.header.verify(section, sidecar.section(section))?;
        }
        Ok(sidecar)
    }

    /// As [`Sidecar::decode`], but takes the sections on trust: for a file that this process has
    /// verified before. Header, length and padding are checked.
    pub fn decode_trusted(bytes: &'a [u8], expected: &SealedSegment) -> Result<Self, SidecarError> {
        let header = SidecarHeader::decode(bytes)?;
        header.check_segment(expected)?;
        let sidecar = Self::with_header(header, bytes)?;
        for section in Section::ALL {
            let end = usize::try_from(header.range(section).end).unwrap_or(usize::MAX);
            let padding = bytes.get(end..layout::aligned(end)).unwrap_or(&[]);
            if padding.iter().any(|byte| *byte != 0) {
                return Err(SidecarError::Field { field: "padding", found: end as u64 });
            }
        }
        Ok(sidecar)
    }

    /// The sidecar whose header has been decoded and compared before; its bytes are as long as the
    /// header says. For a file that is looked into again and again.
    pub fn with_header(header: SidecarHeader, bytes: &'a [u8]) -> Result<Self, SidecarError> {
        let (length, needed) = (bytes.len() as u64, header.file_bytes());
        if length < needed {
            let needed = usize::try_from(needed).unwrap_or(usize::MAX);
            return Err(Truncated { field: "index", needed, had: bytes.len() }.into());
        }
        if length > needed {
            return Err(SidecarError::Field { field: "file length", found: length });
        }
        Ok(Self { header, bytes })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &SidecarHeader {
        &self.header
    }

    /// `false`: no stream's name or tag has this hash.
    #[must_use]
    pub fn may_hold(&self, hash: NameHash) -> bool {
        Filter::new(self.section(Section::Filter)).may_hold(hash)
    }

    /// A stream's events in this segment.
    pub fn stream(
        &self,
        hash: NameHash,
        name: &str,
    ) -> Result<Option<StreamPositions<'a>>, SidecarError> {
        self.names(NameKind::Stream).find_stream(hash, name)
    }

    /// The events that bear a tag.
    pub fn tag(
        &self,
        hash: NameHash,
        tag: &str,
    ) -> Result<Option<NamedPositions<'a>>, SidecarError> {
        self.names(NameKind::Tag).find(hash, tag)
    }

    /// The events of a type.
    pub fn event_type(
        &self,
        hash: NameHash,
        event_type: &str,
    ) -> Result<Option<NamedPositions<'a>>, SidecarError> {
        self.names(NameKind::EventType).find(hash, event_type)
    }

    /// All streams, in the order of their hashes.
    pub fn streams(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<StreamPositions<'a>, SidecarError>> + use<'a> {
        let names = self.names(NameKind::Stream);
        (0..names.table.len()).map(move |index| names.stream(index))
    }

    /// All tags, in the order of their hashes.
    pub fn tags(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<NamedPositions<'a>, SidecarError>> + use<'a> {
        let names = self.names(NameKind::Tag);
        (0..names.table.len()).map(move |index| names.named(index))
    }

    /// All event types, in the order of their hashes.
    pub fn event_types(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<NamedPositions<'a>, SidecarError>> + use<'a> {
        let names = self.names(NameKind::EventType);
        (0..names.table.len()).map(move |index| names.named(index))
    }

    /// The last batch that begins at or before `position`: the one that holds it, if it is in this
    /// segment.
    pub fn frame_before(&self, position: Position) -> Result<Option<FramePlace>, SidecarError> {
        self.frames()?.at_or_before(position)
    }

    /// All batches, in order.
    pub fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<FramePlace, SidecarError>> + use<'a>, SidecarError>
    {
        Ok(self.frames()?.iter())
    }

    /// The named checkpoints that batches of this segment have set: of each name the last one.
    #[must_use]
    pub fn checkpoints(&self) -> SetCheckpoints<'a> {
        let SidecarHeader { segment, checkpoint_count, .. } = self.header;
        let bytes = self.section(Section::Checkpoints);
        SetCheckpoints::new(bytes, u64::from(checkpoint_count), segment.end_position)
    }

    /// Checks all that can be told without the segment: that the tables are sorted, the hashes those
    /// of the names, the records and steps whole, the filter that of the names. What passes is what
    /// [`SidecarBuilder`](super::SidecarBuilder) would write of what it says.
    pub fn check(&self) -> Result<(), SidecarError> {
        let SidecarHeader { segment, .. } = self.header;
        let hasher = NameHasher::new(segment.log_id);
        let events = segment.end_position.as_u64() - segment.base_position.as_u64();
        for (kind, total) in [
            (NameKind::Stream, Some(events)),
            (NameKind::Tag, None),
            (NameKind::EventType, Some(events)),
        ] {
            let found = self.names(kind).check(&hasher)?;
            if total.is_some_and(|total| total != found) {
                return Err(SidecarError::Field { field: "event count", found });
            }
        }
        self.frames()?.check(segment.end_position, segment.seal_end)?;
        let mut checkpoints = self.checkpoints();
        for found in &mut checkpoints {
            let set_by = found?.set_by;
            if let Some(position) = set_by.filter(|at| *at < segment.base_position) {
                let found = position.as_u64();
                return Err(SidecarError::Field { field: "checkpoint's batch", found });
            }
        }
        if !checkpoints.rest().is_empty() {
            let found = checkpoints.rest().len() as u64;
            return Err(SidecarError::Field { field: "bytes behind the checkpoints", found });
        }
        let hashes = [NameKind::Stream, NameKind::Tag].into_iter().flat_map(|kind| {
            let names = self.names(kind);
            (0..names.table.len()).filter_map(move |index| names.hash_at(index))
        });
        let stored = self.section(Section::Filter);
        let mut expected = alloc::vec::Vec::with_capacity(stored.len());
        let names =
            self.names(NameKind::Stream).table.len() + self.names(NameKind::Tag).table.len();
        filter::build(&mut expected, names, hashes);
        if expected != stored {
            return Err(SidecarError::Field { field: "filter", found: names as u64 });
        }
        Ok(())
    }

    /// A section's bytes.
    #[must_use]
    pub fn section(&self, section: Section) -> &'a [u8] {
        let range = self.header.range(section);
        let bound = |at| usize::try_from(at).unwrap_or(usize::MAX);
        // Decoding has compared the length with the header.
        self.bytes.get(bound(range.start)..bound(range.end)).unwrap_or(&[])
    }

    fn names(&self, kind: NameKind) -> Names<'a> {
        let (table, records) = match kind {
            NameKind::Stream => (Section::StreamTable, Section::StreamRecords),
            NameKind::Tag => (Section::TagTable, Section::TagRecords),
            NameKind::EventType => (Section::TypeTable, Section::TypeRecords),
        };
        let (table, _) = self.section(table).as_chunks::<{ entry::BYTES }>();
        let SealedSegment { base_position: base, end_position: end, .. } = self.header.segment;
        Names { kind, table, records: self.section(records), base, end }
    }

    fn frames(&self) -> Result<Frames<'a>, SidecarError> {
        let base = self.header.segment.base_position;
        Frames::decode(self.section(Section::Frames), base, self.header.batch_count)
    }
}
