//! Which lines are in the log already.
//!
//! Owns: [`Resume`]. An import that stopped has stored a first part of its lines, in order, perhaps
//! with batches of other writers in between: the lines are a subsequence of the log's batches up to
//! the first one that is not there. From that line on nothing is skipped.

use quipu::{Batches, Log, ReadError};

use crate::line::Line;

/// Follows the log beside the lines.
pub(super) struct Resume {
    /// The batches behind the last one that was met again; `None`: a line was not there.
    batches: Option<Batches>,
}

impl Resume {
    /// Looks for lines among the batches that are in the log now.
    pub(super) fn of(log: &Log) -> Self {
        Self { batches: Some(log.batches(..)) }
    }

    /// Takes every line for new.
    pub(super) fn nowhere() -> Self {
        Self { batches: None }
    }

    /// Whether this line, the next one, is in the log.
    pub(super) fn has(&mut self, line: &Line<'_>) -> Result<bool, ReadError> {
        let Some(batches) = &mut self.batches else { return Ok(false) };
        for batch in batches {
            if line.is(&batch?)? {
                return Ok(true);
            }
        }
        self.batches = None;
        Ok(false)
    }
}
