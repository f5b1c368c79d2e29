//! Whether the files of a directory belong together.
//!
//! Owns: [`check`], which refuses an unfinished backup, files of another log, another release, under
//! another name, and a directory without any segment in it; [`wrong_magic`]. Pure. What a crash or decay can explain
//! passes, whatever state it is in: that is for the scan.

use quipu_format::{SegmentHeaderError, layout};

use super::inventory::{Found, HeaderState, Inventory};
use crate::error::OpenError;

/// Refuses a directory with files that do not belong there.
pub(crate) fn check(inventory: &Inventory) -> Result<(), OpenError> {
    if inventory.is_unfinished_backup {
        // What is there so far may look like a whole, shorter log.
        return Err(OpenError::UnfinishedBackup {
            directory: inventory.directory_name().to_owned(),
        });
    }
    let wrong = |found: &Found| Some((inventory.path(&found.name), wrong_magic(found.header)?));
    let wrong: Option<Vec<_>> = inventory.segments.iter().map(wrong).collect();
    if let Some((file, cause)) = wrong.and_then(|all| all.into_iter().next()) {
        return Err(OpenError::NotASegment { file, cause });
    }
    let log_id = inventory.log_id();
    for found in &inventory.segments {
        let file = || inventory.path(&found.name);
        match found.header {
            HeaderState::Unused => {}
            HeaderState::Activated(header) => {
                if header.sequence != found.sequence {
                    return Err(OpenError::Misnamed { file: file(), found: header.sequence });
                }
                if let Some(expected) = log_id.filter(|expected| *expected != header.log_id) {
                    let (file, found) = (file(), header.log_id);
                    return Err(OpenError::ForeignSegment { file, expected, found });
                }
            }
            HeaderState::Bad(cause) => match cause {
                SegmentHeaderError::FormatVersion { .. }
                | SegmentHeaderError::RequiredFeatures { .. } => {
                    return Err(OpenError::Unsupported { file: file(), cause });
                }
                // Half written, damaged or foreign: for the scan to find out.
                _ => {}
            },
        }
    }
    Ok(())
}

/// What is wrong with a magic that is neither right nor half written: no store was torn to leave it,
/// and no unused segment has it.
pub(crate) fn wrong_magic(header: HeaderState) -> Option<SegmentHeaderError> {
    match header {
        HeaderState::Bad(error @ SegmentHeaderError::Magic { found }) => {
            (!is_half_written(found)).then_some(error)
        }
        _ => None,
    }
}

/// Whether the system may have written the block back in the middle of the store that brought the
/// header: then some bytes of the magic are there, and the others still zero.
fn is_half_written(magic: [u8; 8]) -> bool {
    let whole = layout::segment::MAGIC_VALUE;
    magic.iter().zip(whole).all(|(found, expected)| *found == 0 || *found == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_of_which_some_bytes_are_not_there_yet_is_half_written() {
        for found in [*b"Q\0\0\0\0\0\0\0", *b"QUIPUSE\0", *b"\0\0\0\0\0SEG", *b"QUIPUSEG"] {
            assert!(is_half_written(found), "{found:?}");
        }
        for found in [*b"PK\x03\x04\0\0\0\0", *b"QUIPUSEX", *b"quipuseg"] {
            assert!(!is_half_written(found), "{found:?}");
        }
    }
}
