//! Where a subscription's events come from: one snapshot of the log after the other.
//!
//! Owns: [`Live`] (the parts of a log that are read from), [`Source`]. May call: read, watermarks.
//!
//! Invariant: a snapshot is read to its end before the next is taken, which begins where it ended.

use std::sync::Arc;

use quipu_format::{Position, Version};

use super::notifier::Notifier;
use crate::error::ReadError;
use crate::follow::Follower;
use crate::follow::poller::Bell;
use crate::index::StreamIndex;
use crate::read::events::ReadEvents;
use crate::read::filter::Filter;
use crate::read::recorded::RecordedEvent;
use crate::read::snapshot::Snapshot;
use crate::read::stream::{ReadStream, ReadStreamEvents};
use crate::segment::set::SegmentSet;
use crate::watermark::Watermarks;

/// The parts of a log that subscriptions need. They do not keep it open.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) segments: Arc<SegmentSet>,
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) index: Arc<StreamIndex>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) verify: bool,
    /// Whether anything will come: not if the log is damaged.
    pub(crate) grows: bool,
    /// Of a log that another process writes.
    pub(crate) follows: Option<Follows>,
}

/// How a log that another process writes is followed.
#[derive(Debug, Clone)]
pub(crate) struct Follows {
    pub(crate) follower: Arc<Follower>,
    pub(crate) bell: Arc<Bell>,
}

impl Live {
    pub(crate) fn end(&self) -> Position {
        self.watermarks.published()
    }

    /// Looks whether another process has written more.
    pub(crate) fn look(&self) {
        if let Some(Follows { follower, .. }) = &self.follows {
            follower.look();
        }
    }

    /// Sees to it that somebody looks while this caller waits, who has been counted by the notifier.
    pub(crate) fn have_looked(&self) {
        if let Some(Follows { bell, .. }) = &self.follows {
            bell.ring();
        }
    }

    /// Whether another process has written what cannot be followed.
    pub(crate) fn has_failed(&self) -> bool {
        self.follows.as_ref().is_some_and(|follows| follows.follower.has_failed())
    }

    /// Why.
    pub(crate) fn failure(&self) -> Option<ReadError> {
        self.follows.as_ref()?.follower.failure()
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.segments, &self.watermarks, self.verify)
    }
}

/// What is subscribed to, and how far it has been given.
#[derive(Debug)]
pub(crate) enum Source {
    Log {
        /// `None`: all pass.
        filter: Option<Arc<Filter>>,
        /// All below has been given, or was not asked for.
        position: Position,
        events: Option<ReadEvents>,
        /// Where `events` ends.
        end: Position,
        /// Looked at in one go where a filter may let nothing pass.
        window: u64,
    },
    Stream {
        name: String,
        /// All below has been given.
        version: Version,
        events: Option<ReadStreamEvents>,
        /// All of the stream below has been looked at.
        position: Position,
    },
}

/// What a source has found.
pub(crate) enum Found {
    Event(RecordedEvent),
    /// A part of the log has been looked at, to here, and there is more.
    More,
    /// All that was there.
    End,
}

impl Source {
    /// All below has been given, or was not asked for.
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Log { position, .. } | Self::Stream { position, .. } => *position,
        }
    }

    /// The next event of what is there.
    pub(crate) fn next(&mut self, live: &Live) -> Result<Found, ReadError> {
        match self {
            Self::Log { filter, position, events, end, window } => {
                let reading = events.get_or_insert_with(|| {
                    let snapshot = live.snapshot();
                    *end = match filter {
                        None => snapshot.end,
                        Some(_) => snapshot
                            .end
                            .min(Position::new(position.as_u64().saturating_add(*window))),
                    };
                    let range = position.as_u64()..end.as_u64();
                    ReadEvents::new(snapshot, (&live.index, filter.clone()), range, false, u64::MAX)
                });
                match reading.next() {
                    Some(event) => {
                        let event = event?;
                        *position = event.position().plus(1);
                        Ok(Found::Event(event))
                    }
                    None => {
                        *events = None;
                        *position = (*position).max(*end);
                        Ok(if *position < live.end() { Found::More } else { Found::End })
                    }
                }
            }
            Self::Stream { name, version, events, position } => {
                if events.is_none() && *position >= live.end() {
                    return Ok(Found::End);
                }
                let reading = events.get_or_insert_with(|| {
                    let snapshot = live.snapshot();
                    *position = snapshot.end;
                    let index = Arc::clone(&live.index);
                    let range = version.as_u64()..u64::MAX;
                    ReadStream::new(snapshot, index, name, range).into_iter()
                });
                match reading.next() {
                    Some(event) => {
                        let event = event?;
                        *version = event.version().plus(1);
                        Ok(Found::Event(event))
                    }
                    None => {
                        *events = None;
                        Ok(if *position < live.end() { Found::More } else { Found::End })
                    }
                }
            }
        }
    }
}
