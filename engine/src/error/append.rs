//! Why an append, a check or a sync was not acknowledged.
//!
//! Owns: [`AppendError`], [`InvalidBatch`], [`Outcome`]. Calls nothing.

use std::fmt;

use quipu_format::{EncodeError, Position};

use super::IoError;
use super::read::ReadError;
use crate::append::expected::{
    ExpectedVersion, FailedPrecondition, FailedQuery, RefusedCheckpoint,
};

/// Why a batch was not acknowledged.
///
/// The one question a caller must answer is whether the batch may be in the log after all:
/// [`AppendError::outcome`] says so. Cheap to clone: every waiter of a failed group gets one.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// One or more preconditions did not hold; all of them are listed. Nothing was written. Read
    /// the streams again and decide anew.
    #[error("{}", Joined(.0))]
    PreconditionFailed(Box<[FailedPrecondition]>),
    /// One or more queries that were to match nothing match an event; all of them are listed, and the
    /// preconditions on streams that did not hold. Nothing was written. Read again and decide anew.
    #[error("{}{}{}", Joined(.queries), if .streams.is_empty() { "" } else { "; " }, Joined(.streams))]
    QueryMatched {
        /// The queries; at least one.
        queries: Box<[FailedQuery]>,
        /// The preconditions on streams, as in [`AppendError::PreconditionFailed`].
        streams: Box<[FailedPrecondition]>,
    },
    /// One or more named checkpoints would not go forward; all of them are listed, and the
    /// preconditions that did not hold. Nothing was written. Read the checkpoint again: whoever has
    /// set it has done this work, or more.
    #[error(
        "{}{}{}{}{}",
        Joined(.checkpoints),
        if .queries.is_empty() { "" } else { "; " }, Joined(.queries),
        if .streams.is_empty() { "" } else { "; " }, Joined(.streams)
    )]
    CheckpointRefused {
        /// The checkpoints; at least one.
        checkpoints: Box<[RefusedCheckpoint]>,
        /// The preconditions on queries, as in [`AppendError::QueryMatched`].
        queries: Box<[FailedQuery]>,
        /// The preconditions on streams, as in [`AppendError::PreconditionFailed`].
        streams: Box<[FailedPrecondition]>,
    },
    /// What a precondition asks about cannot be read. Nothing was written. Run the verifier, unless it is
    /// gone by [`Log::truncate_before`](crate::Log::truncate_before).
    #[error("a precondition could not be judged: {0}")]
    NotJudged(ReadError),
    /// The batch breaks a rule or a limit. Nothing was written. Mend the caller.
    #[error("the batch is invalid: {0}")]
    InvalidBatch(InvalidBatch),
    /// The batch does not fit into a segment. Nothing was written. Split it, or open the log with
    /// larger segments.
    #[error("the batch takes {frame_bytes} bytes, a segment has room for {frame_bytes_max}")]
    TooLarge {
        /// What the batch takes.
        frame_bytes: u64,
        /// What fits.
        frame_bytes_max: u64,
    },
    /// There is no room for another segment. Nothing was written, and nothing is latched: make
    /// room and append again.
    #[error("the disk is full, the batch was not written: {0}")]
    Full(IoError),
    /// Another segment could not be prepared, for a reason other than room. Nothing was written,
    /// and nothing is latched: append again.
    #[error("no segment could be prepared, the batch was not written: {0}")]
    NoSegment(IoError),
    /// The log was opened for reading only. Nothing was written.
    #[error("the log is open for reading only")]
    ReadOnly,
    /// The log was closed before the batch was looked at. Nothing was written.
    #[error("the log is closed")]
    Closed,
    /// The ticket was polled again after it had given its answer.
    #[error("the ticket has given its answer before")]
    AnswerTaken,
    /// An earlier write or sync failed and the log takes no more. Nothing of this batch was
    /// written. Reads of what was durable go on; open the log again to go on writing.
    #[error("the log stopped after a failed write, open it again: {0}")]
    Poisoned(IoError),
    /// A write or sync failed after the batch may have reached the disk: it is there whole or not
    /// at all, and opening the log again settles which. Retry only what is idempotent.
    #[error("it is unknown whether the batch was committed, open the log again: {0}")]
    OutcomeUnknown(IoError),
}

/// The kinds of [`AppendError`], for a caller that only wants to know what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AppendErrorKind {
    /// The log is not as expected: read again and decide anew.
    Precondition,
    /// The batch or the call cannot be: mend the caller.
    Misuse,
    /// No room, or no segment for another reason: append again later.
    Unavailable,
    /// The log is closed, or has stopped after a failure: open it again.
    Stopped,
    /// The log is damaged where it was to be read: verify, restore.
    Damage,
    /// The batch may be there: open the log again and look.
    OutcomeUnknown,
}

/// Whether a batch that was not acknowledged may be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Certainly not there, now or later.
    NotApplied,
    /// There whole or not at all; opening the log again settles which.
    Unknown,
}

impl AppendError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> AppendErrorKind {
        match self {
            Self::PreconditionFailed(_)
            | Self::QueryMatched { .. }
            | Self::CheckpointRefused { .. } => AppendErrorKind::Precondition,
            // What is gone cannot be asked about any more; what is there can.
            Self::NotJudged(ReadError::Truncated { .. }) => AppendErrorKind::Precondition,
            Self::NotJudged(_) => AppendErrorKind::Damage,
            Self::InvalidBatch(_) | Self::TooLarge { .. } | Self::ReadOnly => {
                AppendErrorKind::Misuse
            }
            Self::Full(_) | Self::NoSegment(_) => AppendErrorKind::Unavailable,
            Self::Closed | Self::Poisoned(_) => AppendErrorKind::Stopped,
            Self::OutcomeUnknown(_) | Self::AnswerTaken => AppendErrorKind::OutcomeUnknown,
        }
    }

    /// Whether the batch may be in the log.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::OutcomeUnknown(_) | Self::AnswerTaken => Outcome::Unknown,
            _ => Outcome::NotApplied,
        }
    }

    /// The preconditions on streams that did not hold; empty if that was not the reason.
    #[must_use]
    pub fn failed_preconditions(&self) -> &[FailedPrecondition] {
        match self {
            Self::PreconditionFailed(failed)
            | Self::QueryMatched { streams: failed, .. }
            | Self::CheckpointRefused { streams: failed, .. } => failed,
            _ => &[],
        }
    }

    /// The queries that were to match nothing and match an event; empty if that was not the reason.
    #[must_use]
    pub fn failed_queries(&self) -> &[FailedQuery] {
        match self {
            Self::QueryMatched { queries, .. } | Self::CheckpointRefused { queries, .. } => queries,
            _ => &[],
        }
    }

    /// The named checkpoints that would not go forward; empty if that was not the reason.
    #[must_use]
    pub fn refused_checkpoints(&self) -> &[RefusedCheckpoint] {
        match self {
            Self::CheckpointRefused { checkpoints, .. } => checkpoints,
            _ => &[],
        }
    }
}

/// Which rule a batch breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBatch {
    /// Neither events nor checkpoints nor preconditions.
    #[error("it has neither events nor checkpoints nor preconditions")]
    Empty,
    /// One named checkpoint with two positions.
    #[error("checkpoint {name:?} is given twice, as {first} and as {second}")]
    ContradictoryCheckpoints {
        /// The name.
        name: String,
        /// The position given first.
        first: Position,
        /// The one that differs.
        second: Position,
    },
    /// Two different expectations for one stream.
    #[error("stream {stream:?} has two expectations, {first} and {second}")]
    ContradictoryExpectations {
        /// The stream.
        stream: String,
        /// The first expectation.
        first: ExpectedVersion,
        /// The one that differs.
        second: ExpectedVersion,
    },
    /// [`Batch::idempotent`](crate::Batch::idempotent) was called after the first event.
    #[error("idempotent() must be called before the first event")]
    IdempotentTooLate,
    /// A name, type, tag or the batch itself is too long or too short.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Lists failed preconditions in one line.
struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, failed) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{failed}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use quipu_format::Version;

    use super::*;
    use crate::append::expected::StreamHead;

    fn io_error(number: i32) -> IoError {
        IoError::new("sync", "00000000000000000000.seg", io::Error::from_raw_os_error(number))
    }

    fn failed(stream: &str, version: u64) -> FailedPrecondition {
        let position = Position::new(9);
        FailedPrecondition {
            stream: stream.to_owned(),
            expected: ExpectedVersion::NoStream,
            actual: Some(StreamHead { version: Version::new(version), position }),
        }
    }

    fn refused(name: &str, given: u64) -> RefusedCheckpoint {
        let (given, actual) = (Position::new(given), Position::new(7));
        RefusedCheckpoint { name: name.to_owned(), given, actual }
    }

    fn matched(position: u64) -> FailedQuery {
        let (after, position) = (Position::new(3), Position::new(position));
        FailedQuery { query: crate::Query::new().tag("x"), after, position }
    }

    #[test]
    fn every_error_says_what_it_is_and_what_became_of_the_batch() {
        use AppendErrorKind::{Damage, Misuse, OutcomeUnknown, Precondition, Stopped, Unavailable};
        let contradiction = InvalidBatch::ContradictoryExpectations {
            stream: "a".to_owned(),
            first: ExpectedVersion::NoStream,
            second: ExpectedVersion::Exact(Version::new(3)),
        };
        for (error, kind, text) in [
            (
                AppendError::PreconditionFailed([failed("a", 1), failed("b", 2)].into()),
                Precondition,
                "stream \"a\" is at version 1, expected no events; \
                 stream \"b\" is at version 2, expected no events",
            ),
            (
                AppendError::QueryMatched {
                    queries: [matched(4), matched(9)].into(),
                    streams: Box::default(),
                },
                Precondition,
                "event 4 matches tag \"x\", expected none from position 3 on; \
                 event 9 matches tag \"x\", expected none from position 3 on",
            ),
            (
                AppendError::QueryMatched {
                    queries: [matched(4)].into(),
                    streams: [failed("a", 1)].into(),
                },
                Precondition,
                "event 4 matches tag \"x\", expected none from position 3 on; \
                 stream \"a\" is at version 1, expected no events",
            ),
            (
                AppendError::CheckpointRefused {
                    checkpoints: [refused("p", 4), refused("q", 5)].into(),
                    queries: [matched(4)].into(),
                    streams: [failed("a", 1)].into(),
                },
                Precondition,
                "checkpoint \"p\" is at 7 and goes forward only, it was given 4; \
                 checkpoint \"q\" is at 7 and goes forward only, it was given 5; \
                 event 4 matches tag \"x\", expected none from position 3 on; \
                 stream \"a\" is at version 1, expected no events",
            ),
            (
                AppendError::CheckpointRefused {
                    checkpoints: [refused("p", 4)].into(),
                    queries: Box::default(),
                    streams: Box::default(),
                },
                Precondition,
                "checkpoint \"p\" is at 7 and goes forward only, it was given 4",
            ),
            (
                AppendError::InvalidBatch(InvalidBatch::ContradictoryCheckpoints {
                    name: "p".to_owned(),
                    first: Position::new(4),
                    second: Position::new(5),
                }),
                Misuse,
                "the batch is invalid: checkpoint \"p\" is given twice, as 4 and as 5",
            ),
            (
                AppendError::NotJudged(ReadError::Io(io_error(libc::EIO))),
                Damage,
                "a precondition could not be judged: cannot sync 00000000000000000000.seg: \
                 Input/output error (os error 5)",
            ),
            (
                AppendError::InvalidBatch(InvalidBatch::Empty),
                Misuse,
                "the batch is invalid: it has neither events nor checkpoints nor preconditions",
            ),
            (
                AppendError::InvalidBatch(contradiction),
                Misuse,
                "the batch is invalid: stream \"a\" has two expectations, no events and version 3",
            ),
            (
                AppendError::TooLarge { frame_bytes: 9, frame_bytes_max: 8 },
                Misuse,
                "the batch takes 9 bytes, a segment has room for 8",
            ),
            (AppendError::ReadOnly, Misuse, "the log is open for reading only"),
            (
                AppendError::Full(io_error(libc::ENOSPC)),
                Unavailable,
                "the disk is full, the batch was not written: cannot sync \
                 00000000000000000000.seg: No space left on device (os error 28)",
            ),
            (
                AppendError::NoSegment(io_error(libc::EMFILE)),
                Unavailable,
                "no segment could be prepared, the batch was not written: cannot sync \
                 00000000000000000000.seg: Too many open files (os error 24)",
            ),
            (AppendError::Closed, Stopped, "the log is closed"),
            (
                AppendError::Poisoned(io_error(libc::EIO)),
                Stopped,
                "the log stopped after a failed write, open it again: cannot sync \
                 00000000000000000000.seg: Input/output error (os error 5)",
            ),
            (
                AppendError::OutcomeUnknown(io_error(libc::EIO)),
                OutcomeUnknown,
                "it is unknown whether the batch was committed, open the log again: cannot sync \
                 00000000000000000000.seg: Input/output error (os error 5)",
            ),
            (AppendError::AnswerTaken, OutcomeUnknown, "the ticket has given its answer before"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.source().is_none(), "{text}: what led to it stands in the message");
            let unknown = kind == OutcomeUnknown;
            assert_eq!(error.outcome() == Outcome::Unknown, unknown, "{text}");
        }
    }
}
