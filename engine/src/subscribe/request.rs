//! What is to be subscribed to.
//!
//! Owns: [`Subscribe`], a builder. May call: source, subscription.

use std::ops::RangeBounds;

use quipu_format::{CommitTime, Position};

use super::source::{Live, Source};
use super::subscription::Subscription;
use crate::read::filter::Filter;
use crate::read::query::Query;

/// A subscription to the log, to be narrowed down and then iterated over.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
/// use quipu::{Batch, Delivery, Event, Position};
/// log.append(Batch::new().event("order-1", Event::new("OrderPlaced", "")))?;
/// log.append(Batch::new().event("stock-9", Event::new("StockReserved", "")))?;
/// let mut seen = Vec::new();
/// for delivery in log.subscribe(Position::ZERO).stream_prefix("order-") {
///     match delivery? {
///         Delivery::Event(event) => seen.push(event.stream().to_owned()),
///         Delivery::CaughtUp { .. } => break,
///         _ => {}
///     }
/// }
/// assert_eq!(seen, ["order-1"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a subscription gives nothing until it is iterated over"]
pub struct Subscribe {
    live: Live,
    from: Position,
    query: Query,
    progress_every: u64,
}

/// Said to a subscriber at least so often, in positions, that nothing has come for it.
const PROGRESS_EVERY: u64 = 4096;

impl Subscribe {
    pub(crate) fn new(live: Live, from: Position) -> Self {
        Self { live, from, query: Query::default(), progress_every: PROGRESS_EVERY }
    }

    /// Only events that match this query, which takes the place of all that was asked for before.
    pub fn matching(mut self, query: impl Into<Query>) -> Self {
        self.query = query.into();
        self
    }

    /// Only events of streams whose names begin so.
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.query = self.query.stream_prefix(prefix);
        self
    }

    /// Only events of this type; said several times, of one of these types.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.query = self.query.event_type(event_type);
        self
    }

    /// Only events with this tag; said several times, with all of these tags.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.query = self.query.tag(tag);
        self
    }

    /// Only events committed at these times ([`Query::committed`]).
    pub fn committed(mut self, times: impl RangeBounds<CommitTime>) -> Self {
        self.query = self.query.committed(times);
        self
    }

    /// After so many positions without an event that was asked for, and before twice as many, says how
    /// far it is ([`Delivery::Progress`](crate::Delivery)); 4,096 unless told, at least 1.
    pub fn progress_every(mut self, positions: u64) -> Self {
        self.progress_every = positions.max(1);
        self
    }

    /// Begins.
    pub fn start(self) -> Subscription {
        let Self { live, from, query, progress_every } = self;
        let filter = Filter::new(query, live.index.hasher());
        let source =
            Source::Log { filter, position: from, events: None, end: from, window: progress_every };
        Subscription::new(live, source, progress_every)
    }
}

impl IntoIterator for Subscribe {
    type Item = <Subscription as Iterator>::Item;
    type IntoIter = Subscription;

    fn into_iter(self) -> Subscription {
        self.start()
    }
}
