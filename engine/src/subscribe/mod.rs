//! Subscriptions: history, then what is appended, without gap or duplicate.
//!
//! Owns: [`Delivery`], what a subscriber gets. The parts: `request` (what is asked for), `source`
//! (where the next event comes from), `subscription` (pulls, waits, ends), `notifier` (wakes whoever
//! waits). May call: read, the watermarks. The writer knows the notifier alone.
//!
//! The subscriber pulls. It reads a snapshot to its end, takes the next one from where that ended,
//! and waits only if there is nothing new: so there is no hand-over from history to live that could
//! lose or repeat an event, a slow subscriber holds nobody up, and there is no queue to overflow.

pub(crate) mod notifier;
pub(crate) mod request;
pub(crate) mod source;
pub(crate) mod subscription;

use quipu_format::Position;

use crate::read::recorded::RecordedEvent;

/// What a subscription gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Delivery {
    /// The next event that was asked for.
    Event(RecordedEvent),
    /// All that was there has been given; from here on events come as they are committed. Once in
    /// the life of a subscription.
    CaughtUp {
        /// The end of the log then.
        position: Position,
    },
    /// Nothing that was asked for has come for a while, and all below this position has been looked
    /// at: a checkpoint may move here.
    Progress {
        /// Where to go on.
        position: Position,
    },
}

impl Delivery {
    /// The event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&RecordedEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::CaughtUp { .. } | Self::Progress { .. } => None,
        }
    }

    /// The event, if it is one.
    #[must_use]
    pub fn into_event(self) -> Option<RecordedEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::CaughtUp { .. } | Self::Progress { .. } => None,
        }
    }

    /// Where a subscription to the log goes on once this has been handled.
    #[must_use]
    pub fn resume_from(&self) -> Position {
        match self {
            Self::Event(event) => event.position().plus(1),
            Self::CaughtUp { position } | Self::Progress { position } => *position,
        }
    }
}
