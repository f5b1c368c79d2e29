//! The index of one sealed segment: its sidecar, mapped or in memory.
//!
//! Owns: [`SegmentIndex`], [`build`] (from [`Frames`]), [`store`] (as a file), [`load`]. May call:
//! reader, storage, the format. The format's checks make any bytes safe to look into; a section's
//! checksum is verified once, before it is first used.
//!
//! The order of effects when a file is stored, so that a crash leaves a whole file or a leftover:
//! written under a temporary name, synced, renamed, the directory synced. Whoever stores one has
//! synced the segment before.

use std::io;
use std::sync::Arc;

use quipu_format::sidecar::{
    FramePlace, NameHash, SealedSegment, Section, Sidecar, SidecarBuilder, SidecarError,
    SidecarHeader, StreamPositions,
};
use quipu_format::{ByteOffset, Chain, FrameError, FrameFront, Position, Salt, Step, layout};

use super::name::{sidecar_name, unfinished_sidecar_name};
use super::reader::Segment;
use crate::error::ReadError;
use crate::storage::raw::Region;
use crate::storage::{Access, Directory, File};
use crate::sync::atomic::{AtomicU32, Ordering};

/// The index of one sealed segment.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    header: SidecarHeader,
    bytes: Bytes,
    /// A bit for each section that has been verified.
    verified: AtomicU32,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Arc<Region>),
    Memory(Box<[u8]>),
}

impl SegmentIndex {
    /// One that was just built.
    pub(crate) fn in_memory(sealed: SealedSegment, bytes: Vec<u8>) -> Self {
        let header = SidecarHeader::decode(&bytes).expect("the builder wrote this header");
        debug_assert_eq!(header.segment, sealed);
        Self { header, bytes: Bytes::Memory(bytes.into()), verified: AtomicU32::new(u32::MAX) }
    }

    /// Maps a file whose header has been read.
    pub(crate) fn map(file: &dyn File, header: SidecarHeader) -> io::Result<Self> {
        let (region, _) = file.map(header.file_bytes(), Access::Read)?;
        Ok(Self { header, bytes: Bytes::Mapped(region), verified: AtomicU32::new(0) })
    }

    /// What it is bound to.
    pub(crate) fn header(&self) -> &SidecarHeader {
        &self.header
    }

    /// Whether the segment may hold a stream or tag with this hash.
    pub(crate) fn may_hold(&self, hash: NameHash) -> Result<bool, SidecarError> {
        Ok(self.sidecar(&[Section::Filter])?.may_hold(hash))
    }

    /// A stream's events in the segment.
    pub(crate) fn stream(
        &self,
        hash: NameHash,
        name: &str,
    ) -> Result<Option<StreamPositions<'_>>, SidecarError> {
        self.sidecar(&[Section::StreamTable, Section::StreamRecords])?.stream(hash, name)
    }

    /// The last batch that begins at or before `position`.
    pub(crate) fn frame_before(
        &self,
        position: Position,
    ) -> Result<Option<FramePlace>, SidecarError> {
        self.sidecar(&[Section::Frames])?.frame_before(position)
    }

    /// The sidecar, these sections of it verified.
    pub(crate) fn sidecar(&self, sections: &[Section]) -> Result<Sidecar<'_>, SidecarError> {
        let bytes = match &self.bytes {
            Bytes::Mapped(region) => region.bytes(0..region.written()).unwrap_or_default(),
            Bytes::Memory(bytes) => bytes,
        };
        let sidecar = Sidecar::with_header(self.header, bytes)?;
        for section in sections {
            let bit = 1 << *section as u32;
            if self.verified.load(Ordering::Relaxed) & bit == 0 {
                self.header.verify(*section, sidecar.section(*section))?;
                self.verified.fetch_or(bit, Ordering::Relaxed);
            }
        }
        Ok(sidecar)
    }
}

/// Where the frames of a segment come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    /// From the disk: every byte is verified.
    Found,
    /// This process has stored them, or verified them when it opened the log: headers are verified,
    /// bodies are taken as they are. Whoever reads one verifies it.
    Known,
}

impl Frames {
    /// What stands at `offset`, as [`Chain::step`] has it.
    fn step<'a>(self, chain: &Chain, bytes: &'a [u8], salt: Salt, offset: ByteOffset) -> Step<'a> {
        if self == Self::Found {
            return chain.step(bytes, salt, offset);
        }
        let front = FrameFront::decode(bytes, salt, offset);
        let frame = front.and_then(|front| front.map(FrameFront::trust).transpose());
        let next = |frame| chain.follow(&frame).map(|chain| Step::Frame { frame, chain });
        match frame {
            Ok(Some(frame)) => next(frame).unwrap_or_else(Step::Bad),
            Ok(None) => Step::NeverWritten,
            Err(error) => Step::Bad(error),
        }
    }
}

/// Makes the index of a sealed segment from its frames, each verified and followed to the seal.
/// `ways_back` has, for each stream that goes on in it, the positions of its first event here and of
/// the one in front.
pub(crate) fn build(
    segment: &Segment,
    sealed: &SealedSegment,
    ways_back: &[(Position, Position)],
    frames: Frames,
) -> Result<Vec<u8>, ReadError> {
    let mut builder = SidecarBuilder::new(sealed.log_id, sealed.base_position);
    let mut chain = Chain::at_start_of(segment.header());
    let mut offset = Segment::FIRST_FRAME;
    let seal = layout::CONTROL_FRAME_BYTES as u64;
    // A seal that was made again for reading only is not there.
    let end = sealed.seal_end.as_u64().min(segment.region().written());
    while offset.as_u64() < end {
        let damaged = |fault| segment.damaged(offset, chain.position, fault);
        let missing = FrameError::Field { field: "first position", found: chain.position.as_u64() };
        let bytes = segment.region().bytes(offset.as_u64()..end).unwrap_or_default();
        let (frame, behind) = match frames.step(&chain, bytes, segment.salt(), offset) {
            Step::Frame { frame, chain } => (frame, chain),
            Step::NeverWritten => return Err(damaged(missing)),
            Step::Bad(fault) => return Err(damaged(fault)),
        };
        builder.push(&frame, offset).map_err(|error| {
            damaged(match error {
                SidecarError::Body(error) => FrameError::Body(error),
                SidecarError::Field { field, found } => FrameError::Field { field, found },
                _ => missing,
            })
        })?;
        offset = offset.plus(u64::from(frame.header.frame_bytes));
        chain = behind;
    }
    let is_sealed = offset == sealed.seal_end && chain.previous == sealed.seal_checksum;
    let is_unsealed = offset.plus(seal) == sealed.seal_end;
    if chain.position != sealed.end_position || !(is_sealed || is_unsealed) {
        let (expected, found) = (sealed.seal_checksum, chain.previous);
        let fault = FrameError::Previous { expected, found };
        return Err(segment.damaged(offset, chain.position, fault));
    }
    Ok(builder.finish(sealed, |first| {
        let place = ways_back.binary_search_by_key(&first, |(first, _)| *first).ok()?;
        ways_back.get(place).map(|(_, previous)| *previous)
    }))
}

/// Stores an index as a file and maps it.
pub(crate) fn store(
    directory: &dyn Directory,
    sealed: &SealedSegment,
    bytes: &[u8],
) -> io::Result<SegmentIndex> {
    let (temporary, name) =
        (unfinished_sidecar_name(sealed.sequence), sidecar_name(sealed.sequence));
    let stored = store_file(directory, &temporary, &name, bytes);
    let file = stored.inspect_err(|_| {
        // What counts is the failure; a leftover that stays is removed on open.
        let _ = directory.remove(&temporary);
    })?;
    let header = SidecarHeader::decode(bytes).map_err(io::Error::other)?;
    SegmentIndex::map(&*file, header)
}

pub(crate) fn store_file(
    directory: &dyn Directory,
    temporary: &str,
    name: &str,
    bytes: &[u8],
) -> io::Result<Arc<dyn File>> {
    let file = directory.create(temporary)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    let _names = directory.naming().lock();
    directory.rename(temporary, name)?;
    directory.sync()?;
    Ok(file)
}

/// Opens the index of a sealed segment, if there is one that belongs to it. Its header has been
/// verified, and `sections` with positioned reads: a bad sector there is an error, no signal.
pub(crate) fn load(
    directory: &dyn Directory,
    sealed: &SealedSegment,
    sections: &[Section],
) -> Result<SegmentIndex, LoadError> {
    let file = match directory.open(&sidecar_name(sealed.sequence), Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoadError::Missing),
        opened => opened?,
    };
    let length = file.len()?;
    let most = layout::sidecar::BYTES as u64;
    let mut header = vec![0; usize::try_from(length.min(most)).unwrap_or(0)];
    file.read_at(0, &mut header)?;
    let header = SidecarHeader::decode(&header)?;
    header.check_segment(sealed)?;
    if header.file_bytes() != length {
        return Err(SidecarError::Field { field: "file length", found: length }.into());
    }
    let own = SegmentIndex::map(&*file, header)?;
    for section in sections {
        let range = header.range(*section);
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        file.read_at(range.start, &mut bytes)?;
        header.verify(*section, &bytes)?;
    }
    own.sidecar(sections)?;
    Ok(own)
}

/// Why the index of a segment is to be made again.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// There is none.
    Missing,
    /// It does not belong to the segment, or does not verify, or cannot be read.
    Wrong,
}

impl From<io::Error> for LoadError {
    fn from(_: io::Error) -> Self {
        Self::Wrong
    }
}

impl From<SidecarError> for LoadError {
    fn from(_: SidecarError) -> Self {
        Self::Wrong
    }
}
