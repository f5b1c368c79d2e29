//! Copying a file of a log, byte by byte.
//!
//! Owns: [`copy`]. May call: storage. What is zero is left a hole: a segment that is going to be
//! written to gets its blocks when it is mapped for that.

use quipu_format::zeros::last_nonzero;
use std::io;

use crate::storage::File;

/// Which half of a copy failed, and where.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read { offset: u64, error: io::Error },
    Write { offset: u64, error: io::Error },
}

/// Copied at a time. Small: large writes make large folios of the page cache, and later small
/// stores then dirty all of one.
const PIECE_BYTES: u64 = 16 << 10;

/// Copies the first `bytes` of one file into another, which is empty, and gives that `length`
/// bytes.
pub(crate) fn copy(
    from: &dyn File,
    file: &dyn File,
    bytes: u64,
    length: u64,
) -> Result<(), CopyError> {
    let mut piece = vec![0; usize::try_from(bytes.min(PIECE_BYTES)).unwrap_or(0)];
    let mut stored_to = 0;
    let mut offset = 0;
    while offset < bytes {
        let wanted = usize::try_from((bytes - offset).min(PIECE_BYTES)).unwrap_or(0);
        let Some(now) = piece.get_mut(..wanted) else { break };
        from.read_at(offset, now).map_err(|error| CopyError::Read { offset, error })?;
        if last_nonzero(now).is_some() {
            file.write_at(offset, now).map_err(|error| CopyError::Write { offset, error })?;
            stored_to = offset + wanted as u64;
        }
        offset += wanted as u64;
    }
    if let Some(offset) = length.checked_sub(1).filter(|_| stored_to < length) {
        file.write_at(offset, &[0]).map_err(|error| CopyError::Write { offset, error })?;
    }
    Ok(())
}
