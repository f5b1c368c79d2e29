//! What a caller expects of a stream, and what is.
//!
//! Owns: [`ExpectedVersion`], [`StreamHead`], [`FailedPrecondition`], [`FailedQuery`]. May call: ids of the
//! format, the query.
//! Judging is pure: an expectation and a head give yes or no.

use std::fmt;

use quipu_format::{Position, Version};

use crate::read::query::Query;

/// What must hold of a stream for a batch to be committed.
///
/// Judged by the one writer at the commit point, against everything committed before the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpectedVersion {
    /// Anything; never fails.
    Any,
    /// The stream has no event yet.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream's last event has exactly this version.
    Exact(Version),
    /// The stream's last event is exactly the one at this position.
    LastPosition(Position),
}

/// The last event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHead {
    /// Its version, which is the stream's.
    pub version: Version,
    /// Its position.
    pub position: Position,
}

impl ExpectedVersion {
    /// Whether a stream with this last event (or without any) is as expected.
    ///
    /// ```
    /// use quipu::ExpectedVersion;
    /// assert!(ExpectedVersion::NoStream.holds(None));
    /// assert!(!ExpectedVersion::StreamExists.holds(None));
    /// ```
    #[must_use]
    pub fn holds(self, head: Option<StreamHead>) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => head.is_none(),
            Self::StreamExists => head.is_some(),
            Self::Exact(version) => head.is_some_and(|head| head.version == version),
            Self::LastPosition(position) => head.is_some_and(|head| head.position == position),
        }
    }
}

impl ExpectedVersion {
    /// Whether this can never hold again of a stream that has got so far: it only goes on.
    pub(crate) fn is_overtaken_by(self, head: StreamHead) -> bool {
        match self {
            Self::Any | Self::StreamExists => false,
            Self::NoStream => true,
            Self::Exact(version) => head.version > version,
            Self::LastPosition(position) => head.position > position,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::NoStream => f.write_str("no events"),
            Self::StreamExists => f.write_str("at least one event"),
            Self::Exact(version) => write!(f, "version {version}"),
            Self::LastPosition(position) => write!(f, "the last event at position {position}"),
        }
    }
}

/// A precondition that did not hold, with what was expected and what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedPrecondition {
    /// The stream.
    pub stream: String,
    /// What the caller expected.
    pub expected: ExpectedVersion,
    /// The stream's last event; `None`: the stream has no events.
    pub actual: Option<StreamHead>,
}

impl fmt::Display for FailedPrecondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, expected, actual } = self;
        match (actual, expected) {
            (Some(head), ExpectedVersion::LastPosition(_)) => {
                write!(f, "stream {stream:?} has its last event at position {}", head.position)?;
            }
            (Some(head), _) => write!(f, "stream {stream:?} is at version {}", head.version)?,
            (None, _) => write!(f, "stream {stream:?} has no events")?,
        }
        match expected {
            ExpectedVersion::Any => f.write_str(", expected anything"),
            ExpectedVersion::NoStream => f.write_str(", expected no events"),
            ExpectedVersion::StreamExists => f.write_str(", expected some"),
            ExpectedVersion::Exact(version) if actual.is_some() => {
                write!(f, ", expected {version}")
            }
            ExpectedVersion::Exact(version) => write!(f, ", expected version {version}"),
            ExpectedVersion::LastPosition(position) if actual.is_some() => {
                write!(f, ", expected {position}")
            }
            ExpectedVersion::LastPosition(position) => {
                write!(f, ", expected the last one at position {position}")
            }
        }
    }
}

/// A query that was to match nothing ([`Batch::expect_none`](crate::Batch::expect_none)), and an event
/// that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedQuery {
    /// The query.
    pub query: Query,
    /// It was to match no event at this position or behind it.
    pub after: Position,
    /// The first event there that it matches.
    pub position: Position,
}

impl fmt::Display for FailedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { query, after, position } = self;
        write!(f, "event {position} matches {query}, expected none from position {after} on")
    }
}

/// A named checkpoint that would not go forward ([`Batch::checkpoint`](crate::Batch::checkpoint)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCheckpoint {
    /// Its name.
    pub name: String,
    /// What it was to be set to.
    pub given: Position,
    /// What it is: `given` or more. If it is `given`, the same has perhaps been done before.
    pub actual: Position,
}

impl fmt::Display for RefusedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, given, actual } = self;
        write!(f, "checkpoint {name:?} is at {actual} and goes forward only, it was given {given}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u64, position: u64) -> Option<StreamHead> {
        Some(StreamHead { version: Version::new(version), position: Position::new(position) })
    }

    #[test]
    fn every_expectation_is_judged_against_every_state_of_a_stream() {
        use ExpectedVersion::{Any, Exact, LastPosition, NoStream, StreamExists};
        let absent = None;
        let present = head(3, 17);
        for (expected, of_absent, of_present) in [
            (Any, true, true),
            (NoStream, true, false),
            (StreamExists, false, true),
            (Exact(Version::new(3)), false, true),
            (Exact(Version::new(2)), false, false),
            (Exact(Version::new(4)), false, false),
            (LastPosition(Position::new(17)), false, true),
            (LastPosition(Position::new(3)), false, false),
        ] {
            assert_eq!(expected.holds(absent), of_absent, "{expected:?} of no stream");
            assert_eq!(expected.holds(present), of_present, "{expected:?} of version 3");
        }
    }

    #[test]
    fn a_refused_checkpoint_says_what_is_and_what_was_given() {
        let (given, actual) = (Position::new(4), Position::new(7));
        let refused = RefusedCheckpoint { name: "totals".to_owned(), given, actual };
        let text = "checkpoint \"totals\" is at 7 and goes forward only, it was given 4";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn a_failed_precondition_says_what_is_and_what_was_expected() {
        let text = |expected, actual| {
            FailedPrecondition { stream: "order-1".to_owned(), expected, actual }.to_string()
        };
        use ExpectedVersion::{Exact, LastPosition, NoStream, StreamExists};
        let at = head(3, 17);
        assert_eq!(
            text(Exact(Version::new(1)), at),
            "stream \"order-1\" is at version 3, expected 1"
        );
        assert_eq!(text(NoStream, at), "stream \"order-1\" is at version 3, expected no events");
        assert_eq!(
            text(LastPosition(Position::new(4)), at),
            "stream \"order-1\" has its last event at position 17, expected 4"
        );
        assert_eq!(
            text(Exact(Version::new(1)), None),
            "stream \"order-1\" has no events, expected version 1"
        );
        assert_eq!(text(StreamExists, None), "stream \"order-1\" has no events, expected some");
        assert_eq!(
            text(LastPosition(Position::new(4)), None),
            "stream \"order-1\" has no events, expected the last one at position 4"
        );
    }
}
