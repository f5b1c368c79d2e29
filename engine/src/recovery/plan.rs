//! Whether the files of a directory belong together.
//!
//! Owns: [`check`], which refuses what can be no crash's doing: files of another kind, another log,
//! another release, under another name. Pure. Files that a crash can explain pass, whatever state
//! they are in: those are for the scan.

use quipu_format::{SegmentHeaderError, layout};

use super::inventory::{HeaderState, Inventory};
use crate::error::OpenError;

/// Refuses a directory with files that do not belong there.
pub(crate) fn check(inventory: &Inventory) -> Result<(), OpenError> {
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
            HeaderState::Bad(source) => match source {
                SegmentHeaderError::Magic { found } if !is_half_written(found) => {
                    return Err(OpenError::NotASegment { file: file(), source });
                }
                SegmentHeaderError::FormatVersion { .. }
                | SegmentHeaderError::RequiredFeatures { .. } => {
                    return Err(OpenError::Unsupported { file: file(), source });
                }
                // Half written, or damaged: for the scan to find out.
                _ => {}
            },
        }
    }
    Ok(())
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
