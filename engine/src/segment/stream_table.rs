//! The file that holds all streams as they were at the end of a sealed segment.
//!
//! Owns: [`load`] and [`store`]. May call: sidecar's way to store a file, storage, the format. Derived, as an
//! index is: whoever finds none, or one that does not verify, does without.

use std::io;

use quipu_format::sidecar::{CheckpointHeader, StreamCheckpoint};

use super::name::{STREAM_TABLE, UNFINISHED_STREAM_TABLE};
use super::sidecar::{LoadError, store_file};
use crate::storage::{Access, Directory};

/// The bytes of the file, every one of them verified. Read with positioned reads: a bad sector is an
/// error, no signal.
pub(crate) fn load(directory: &dyn Directory) -> Result<Vec<u8>, LoadError> {
    let file = match directory.open(STREAM_TABLE, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoadError::Missing),
        opened => opened?,
    };
    let length = file.len()?;
    let mut header = vec![0; HEADER_BYTES.min(usize::try_from(length).unwrap_or(HEADER_BYTES))];
    file.read_at(0, &mut header)?;
    // So that no more is made room for than the file says twice that it has.
    if CheckpointHeader::decode(&header)?.file_bytes != length {
        return Err(LoadError::Wrong);
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| LoadError::Wrong)?];
    file.read_at(0, &mut bytes)?;
    StreamCheckpoint::decode(&bytes)?;
    Ok(bytes)
}

/// Stores the file in the place of the one before.
pub(crate) fn store(directory: &dyn Directory, bytes: &[u8]) -> io::Result<()> {
    let stored = store_file(directory, UNFINISHED_STREAM_TABLE, STREAM_TABLE, bytes);
    stored.map(drop).inspect_err(|_| {
        // What counts is the failure; a leftover that stays is removed on open.
        let _ = directory.remove(UNFINISHED_STREAM_TABLE);
    })
}

const HEADER_BYTES: usize = quipu_format::layout::checkpoint::BYTES;
