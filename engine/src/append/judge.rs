//! Judging what a batch expects of streams.
//!
//! Owns: [`Judged`]. May call: the index, expectations. The writer judges at the commit point; a
//! caller's thread may do so before, and tell what is so for good.

use quipu_format::Position;

use super::batch::Precondition;
use super::expected::{FailedPrecondition, RefusedCheckpoint};
use crate::index::StreamIndex;

/// What came of judging preconditions and checkpoints against all that is stored.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Those that do not hold.
    pub(crate) failed: Vec<FailedPrecondition>,
    /// Named checkpoints that would not go forward. By the writer alone.
    pub(crate) refused: Vec<RefusedCheckpoint>,
    /// Everything that was looked at lies below this position,
    pub(crate) end: Position,
    /// and among so many frames.
    pub(crate) frames: u64,
}

impl Judged {
    /// Judges all of them.
    pub(crate) fn of(preconditions: &[Precondition], index: &StreamIndex) -> Self {
        let mut judged = Self::default();
        if preconditions.is_empty() {
            return judged;
        }
        let streams = index.read();
        for Precondition { stream, hash, expected } in preconditions {
            let head = streams.find(*hash, stream).and_then(|number| streams.head(number));
            if let Some(head) = head {
                judged.end = judged.end.max(head.position.plus(1));
            }
            if !expected.holds(head) {
                let (stream, expected) = (stream.clone(), *expected);
                judged.failed.push(FailedPrecondition { stream, expected, actual: head });
            }
        }
        judged
    }

    /// Whether something failed, all of it in a way that no later event mends, and all that was looked
    /// at lies below `seen`, what holds too: then the writer could say nothing else, and nothing that is
    /// said, or left unsaid, can be taken back.
    pub(crate) fn is_refused_for_good(&self, seen: Position) -> bool {
        let for_good = |failed: &FailedPrecondition| {
            failed.actual.is_some_and(|head| failed.expected.is_overtaken_by(head))
        };
        self.end <= seen && !self.failed.is_empty() && self.failed.iter().all(for_good)
    }
}

#[cfg(test)]
mod tests {
    use quipu_format::Version;

    use super::*;
    use crate::append::expected::ExpectedVersion::{
        self, Exact, LastPosition, NoStream, StreamExists,
    };
    use crate::append::expected::StreamHead;

    /// Expectations that have failed of a stream at version 3, whose last event is at position 10.
    fn refused_for_good(failed: &[(ExpectedVersion, bool)], seen: u64) -> bool {
        let head = StreamHead { version: Version::new(3), position: Position::new(10) };
        let failed = failed.iter().map(|(expected, has_events)| FailedPrecondition {
            stream: "order-1".to_owned(),
            expected: *expected,
            actual: has_events.then_some(head),
        });
        let end = Position::new(11);
        let judged = Judged { failed: failed.collect(), end, ..Judged::default() };
        judged.is_refused_for_good(Position::new(seen))
    }

    #[test]
    fn only_what_no_later_event_mends_has_failed_for_good() {
        let version = |version| Exact(Version::new(version));
        let position = |position| LastPosition(Position::new(position));
        for (expected, for_good) in [
            (NoStream, true),
            (version(2), true),
            (version(4), false),
            (position(9), true),
            (position(11), false),
        ] {
            assert_eq!(refused_for_good(&[(expected, true)], 11), for_good, "{expected}");
        }
        for expected in [StreamExists, version(0), position(0)] {
            assert!(!refused_for_good(&[(expected, false)], 11), "{expected} of no stream");
        }
    }

    #[test]
    fn every_one_of_them_must_have_failed_for_good_and_below_what_is_seen() {
        assert!(!refused_for_good(&[], 11), "nothing has failed");
        assert!(refused_for_good(&[(NoStream, true), (NoStream, true)], 11));
        assert!(!refused_for_good(&[(NoStream, true), (StreamExists, false)], 11));
        assert!(!refused_for_good(&[(NoStream, true)], 10), "its last event is not seen yet");
    }
}
