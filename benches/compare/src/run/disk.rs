//! What a log takes on disk.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::engine::Failure;

/// What a directory takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of the blocks that its files have.
    pub(super) disk_bytes: u64,
    /// Bytes of its files up to their last byte that is not zero, but not more than their blocks:
    /// what is prepared for later and not used yet does not count.
    pub(super) used_bytes: u64,
}

/// Of all files below `directory`.
///
/// # Errors
/// What the system says.
pub(super) fn usage(directory: &Path) -> Result<Usage, Failure> {
    let mut usage = Usage::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let below = self::usage(&entry.path())?;
            usage.disk_bytes += below.disk_bytes;
            usage.used_bytes += below.used_bytes;
            continue;
        }
        let file = File::open(entry.path())?;
        let about = file.metadata()?;
        let blocks = about.blocks() * BLOCK_BYTES;
        usage.disk_bytes += blocks;
        usage.used_bytes += length_without_zeros(&file, about.len())?.min(blocks);
    }
    Ok(usage)
}

/// The unit of `st_blocks`, whatever the file system's blocks are.
const BLOCK_BYTES: u64 = 512;

fn length_without_zeros(file: &File, length: u64) -> Result<u64, Failure> {
    const STEP: usize = 1 << 20;
    let mut end = length;
    let mut bytes = vec![0; STEP];
    while end > 0 {
        let start = end.saturating_sub(STEP as u64);
        let piece = bytes.get_mut(..usize::try_from(end - start)?).unwrap_or_default();
        file.read_exact_at(piece, start)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::usage;

    #[test]
    fn zeros_at_the_end_of_a_file_are_not_used() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        let mut bytes = vec![7; 3_000_000];
        bytes.resize(6_000_000, 0);
        fs::write(directory.path().join("below/file"), &bytes).unwrap();
        fs::write(directory.path().join("zeros"), vec![0; 10_000]).unwrap();
        let found = usage(directory.path()).unwrap();
        assert_eq!(found.used_bytes, 3_000_000);
        assert!(found.disk_bytes >= 6_000_000);
    }
}
