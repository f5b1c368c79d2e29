//! How a new segment gets its blocks.
//!
//! The end is the same either way: every byte has a block and reads as zero, and the page cache
//! holds small pages. The one thing never done is to fill with large buffered writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::super::Preparation;
use super::super::raw;

/// Gives the empty `file`, which was at `path` when it was opened, `length` bytes of zeros.
pub(super) fn fill(file: &File, path: &Path, length: u64, how: Preparation) -> io::Result<()> {
    match how {
        _ if length == 0 => Ok(()),
        Preparation::Populate => fill_by_touching(file, length),
        Preparation::DirectZeros => fill_directly(file, path, length),
    }
}

fn fill_by_touching(file: &File, length: u64) -> io::Result<()> {
    match raw::allocate(file, length) {
        // The file is still empty: touched pages would have no blocks, so it is written out.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            return write_zeros(file, 0, length);
        }
        answer => answer?,
    }
    // Not an answer to give up on: an old kernel says EINVAL, and what a device or a quota has
    // against it the writes say in the proper words.
    raw::populate_for_writing(file).or_else(|_| write_zeros(file, 0, length))
}

fn fill_directly(file: &File, path: &Path, length: u64) -> io::Result<()> {
    let mut filled = 0;
    if let Some(direct) = reopen_direct(file, path) {
        let buffer = vec![0_u8; DIRECT_BYTES + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        let aligned = buffer.get(start..).and_then(|from| from.get(..DIRECT_BYTES));
        while let Some(zeros) = aligned.and_then(|zeros| zeros.get(..chunk_at(filled, length))) {
            if zeros.is_empty() {
                break;
            }
            match direct.write_at(zeros, filled) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(stored) => filled += stored as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Refused after all; what is left goes through the page cache. So does the rest
                // behind a short write, which need not end where a direct one may start.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                Err(error) => return Err(error),
            }
        }
    }
    write_zeros(file, filled, length)
}

/// The next direct write's length: whole blocks only, 0 at the end of them.
fn chunk_at(filled: u64, length: u64) -> usize {
    let left = length - filled;
    let whole = left - left % ALIGNMENT as u64;
    whole.min(DIRECT_BYTES as u64) as usize
}

/// A second handle on `file` that writes past the page cache, where the file system has that.
fn reopen_direct(file: &File, path: &Path) -> Option<File> {
    let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    let (ours, found) = (file.metadata().ok()?, direct.metadata().ok()?);
    // The name may have gone to another file since.
    (ours.dev() == found.dev() && ours.ino() == found.ino()).then_some(direct)
}

fn write_zeros(file: &File, from: u64, length: u64) -> io::Result<()> {
    let zeros = [0_u8; BUFFERED_BYTES];
    let mut offset = from;
    while offset < length {
        let count = (length - offset).min(BUFFERED_BYTES as u64) as usize;
        file.write_all_at(zeros.get(..count).unwrap_or_default(), offset)?;
        offset += count as u64;
    }
    Ok(())
}

/// One buffered write of the fill. Larger ones make large folios in the page cache, of which one
/// small store then dirties all.
const BUFFERED_BYTES: usize = 16 << 10;

/// One direct write of the fill; these leave no folios.
const DIRECT_BYTES: usize = 1 << 20;

/// What memory and offsets of direct writes are aligned to: enough for every device's blocks.
const ALIGNMENT: usize = 4096;
