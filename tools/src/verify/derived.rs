//! What is derived from segments: their indexes, and the table of the streams.
//!
//! Owns: [`Derived`], [`WrongFile`]. May call: directory, the format. Every byte of such a file is under a
//! checksum, and its header says of which sealed segment it is: so it is compared with the seal that the
//! walk has found. One that is wrong is no damage to the log: it can be made again from the segments.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use quipu_format::SegmentSeq;
use quipu_format::layout::{checkpoint, sidecar};
use quipu_format::sidecar::{
    CheckpointHeader, SealedSegment, Sidecar, SidecarError, SidecarHeader, StreamCheckpoint,
};
use serde::Serialize;

use super::directory::{Directory, STREAM_TABLE, index_name};

/// A derived file that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WrongFile {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Derived {
    /// Segments with an index that is right.
    pub(super) indexes: u64,
    pub(super) wrong: Vec<WrongFile>,
    /// The last sealed segments that were met, the table of the streams being of one of them.
    sealed: Vec<SealedSegment>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wrong(#[from] SidecarError),
    #[error("it says that it has {said} bytes, and has {found}")]
    Length { said: u64, found: u64 },
}

impl Derived {
    /// Looks at the index of a sealed segment, if there is one.
    pub(super) fn index(&mut self, directory: &Directory, sealed: SealedSegment) {
        self.sealed.push(sealed);
        let name = index_name(sealed.sequence);
        let said = |start: &[u8]| SidecarHeader::decode(start).map(|header| header.file_bytes());
        let found = read(&directory.file(&name), sidecar::BYTES, said);
        let found = found.and_then(|bytes| match bytes {
            Some(bytes) => Ok(Sidecar::decode(&bytes, &sealed).map(|_| true)?),
            None => Ok(false),
        });
        match found {
            Ok(is_there) => self.indexes += u64::from(is_there),
            Err(bad) => self.wrong.push(WrongFile { file: name, why: bad.to_string() }),
        }
    }

    /// Looks at the table of the streams, if there is one. Of a segment that was not met, because it has
    /// been dropped, or sealed meanwhile, nothing is known.
    pub(super) fn stream_table(&mut self, directory: &Directory) {
        let said = |start: &[u8]| CheckpointHeader::decode(start).map(|header| header.file_bytes);
        let found = read(&directory.file(STREAM_TABLE), checkpoint::BYTES, said);
        let found = found.and_then(|bytes| {
            let Some(bytes) = bytes else { return Ok(()) };
            let table = StreamCheckpoint::decode(&bytes)?;
            let of = |sealed: &&SealedSegment| sealed.sequence == sequence_of(&table);
            let sealed = self.sealed.iter().find(of);
            Ok(sealed.map_or(Ok(()), |sealed| table.header().check_segment(sealed))?)
        });
        if let Err(bad) = found {
            let file = STREAM_TABLE.to_owned();
            self.wrong.push(WrongFile { file, why: bad.to_string() });
        }
    }
}

fn sequence_of(table: &StreamCheckpoint<'_>) -> SegmentSeq {
    table.header().segment.sequence
}

/// The bytes of a file, if there is one. It is read only if it is as long as its header, its first
/// `header_bytes`, says: a file of holes costs no memory.
fn read(
    path: &Path,
    header_bytes: usize,
    said: impl FnOnce(&[u8]) -> Result<u64, SidecarError>,
) -> Result<Option<Vec<u8>>, Bad> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.by_ref().take(header_bytes as u64).read_to_end(&mut bytes)?;
    let said = said(&bytes)?;
    if said != found {
        return Err(Bad::Length { said, found });
    }
    file.take(said.saturating_sub(header_bytes as u64)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
