//! Judging what a batch expects of streams.
//!
//! Owns: [`Judged`]. May call: the index, expectations. The writer judges at the commit point; a
//! caller's thread may do so before, and tell what is so for good.

use quipu_format::Position;

use super::batch::Precondition;
use super::expected::FailedPrecondition;
use crate::index::StreamIndex;

/// What came of judging preconditions against all that is stored.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Those that do not hold.
    pub(crate) failed: Vec<FailedPrecondition>,
    /// Everything that was looked at lies below this position.
    pub(crate) end: Position,
}

impl Judged {
    /// Judges all of them.
    pub(crate) fn of(preconditions: &[Precondition], index: &StreamIndex) -> Self {
        let mut judged = Self { failed: Vec::new(), end: Position::ZERO };
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

    /// Whether something failed, all of it by events below `seen` and in a way that no later event
    /// mends: then the writer could say nothing else.
    pub(crate) fn is_refused_for_good(&self, seen: Position) -> bool {
        let for_good = |failed: &FailedPrecondition| {
            failed
                .actual
                .is_some_and(|head| head.position < seen && failed.expected.is_overtaken_by(head))
        };
        !self.failed.is_empty() && self.failed.iter().all(for_good)
    }
}
