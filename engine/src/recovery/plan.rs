//! Whether the files of a directory belong together.
//!
//! Owns: [`check`], which refuses what can be no crash's doing: files of another kind, another log,
//! another release, under another name. Pure. Files that a crash can explain pass, whatever state
//! they are in: those are for the scan.

use quipu_format::SegmentHeaderError;

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
                SegmentHeaderError::Magic { .. } => {
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
