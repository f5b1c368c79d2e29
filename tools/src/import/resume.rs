//! Which lines are in the log already.
//!
//! Owns: [`Resume`], [`ResumeError`]. May call: line, dropped, the engine's reads. An import that stopped
//! has stored a first part of its lines, in order, perhaps with batches of other writers in between: the
//! lines are a subsequence of the log's batches up to the first one that is not there. From that line on
//! nothing is skipped.
//!
//! Where the front of the log has been dropped, lines may have gone with it, and cannot be compared any
//! more. They are told by their place in their streams: the n-th event that the file has for a stream is
//! that stream's n-th event. That holds as long as nobody else has written to those streams in what was
//! dropped; and it is believed only if the file accounts for every dropped event of each of its streams,
//! and the first line behind is found in what is kept. Else nothing is skipped and nothing appended.

use quipu::{Batches, Log, Position, ReadError};

use super::dropped::{Dropped, Place};
use crate::line::Line;

/// Follows the log beside the lines.
pub(super) struct Resume<'a> {
    front: Option<Front<'a>>,
    /// The batches behind the last one that was met again; `None`: a line was not there.
    batches: Option<Batches>,
}

/// The part of the log that has been dropped.
struct Front<'a> {
    dropped: Dropped<'a>,
    first_available: Position,
    /// Lines that were in it, if the file is what was imported.
    lines: u64,
}

/// Why it cannot be told which lines are there.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResumeError {
    /// What is in the log cannot be read.
    #[error("cannot read what is in the log already: {0}")]
    Read(ReadError),
    /// The lines may be among what was dropped, or not.
    #[error(
        "all below position {first_available} has been dropped from the log, and {what}: which lines are \
         there already cannot be told; nothing was appended. --again appends every line"
    )]
    CannotTell {
        /// The position of the first event that is kept.
        first_available: Position,
        /// What is missing for it.
        what: String,
    },
}

// By hand: the derive would make it the source besides.
impl From<ReadError> for ResumeError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl<'a> Resume<'a> {
    /// Looks for lines among the batches that are in the log now.
    pub(super) fn of(log: &'a Log) -> Self {
        let first_available = log.first_available();
        let front = (first_available > Position::ZERO).then(|| Front {
            dropped: Dropped::of(log),
            first_available,
            lines: 0,
        });
        Self { front, batches: Some(log.batches(first_available..)) }
    }

    /// Takes every line for new.
    pub(super) fn nowhere() -> Self {
        Self { front: None, batches: None }
    }

    /// Whether this line, the next one, is in the log, or was in what has been dropped.
    pub(super) fn has(&mut self, line: &Line<'_>) -> Result<bool, ResumeError> {
        let Some(front) = &mut self.front else { return self.is_kept(line) };
        match front.dropped.place_of(line)? {
            Place::Front => {
                front.lines += 1;
                return Ok(true);
            }
            Place::Across { stream } => {
                let what = format!("only a part of a line's events of {stream:?} would be in that");
                return Err(front.cannot_tell(what));
            }
            Place::Behind => {}
        }
        if let Some(stream) = front.dropped.not_accounted_for() {
            let what = format!("the lines do not account for all that was dropped of {stream:?}");
            return Err(front.cannot_tell(what));
        }
        let is_sure = front.lines == 0;
        let not_found = "the first line behind that is not found in what is kept";
        let error = front.cannot_tell(not_found.to_owned());
        self.front = None;
        match self.is_kept(line)? {
            false if !is_sure => Err(error),
            found => Ok(found),
        }
    }

    /// There are no more lines: whether those that were skipped had been there is known.
    pub(super) fn finish(&self) -> Result<(), ResumeError> {
        match &self.front {
            Some(front) if front.lines > 0 => {
                Err(front.cannot_tell("every line would have been among that".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn is_kept(&mut self, line: &Line<'_>) -> Result<bool, ResumeError> {
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

impl Front<'_> {
    fn cannot_tell(&self, what: String) -> ResumeError {
        ResumeError::CannotTell { first_available: self.first_available, what }
    }
}
