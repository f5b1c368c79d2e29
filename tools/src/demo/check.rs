//! Compares a log with what its writers were told.
//!
//! Owns: [`Ledger`] (everything that was submitted and acknowledged) and [`Check`] (one pass over the
//! log), [`Violation`]. Uses the engine's reads only.

use std::collections::{HashMap, HashSet};

use quipu::{Log, Position, ReadError, RecordedBatch};

use super::message::{Acknowledgement, Message};
use super::workload::{Order, OrderId, Part};

/// A broken promise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Unreadable(ReadError),
    /// A position was skipped, or given twice.
    #[error("a batch begins at position {found}, the one before ended at {expected}")]
    Gap {
        /// Where it should begin.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// The log is shorter than it was.
    #[error("the log ends at position {found}, it had {expected} events before")]
    Shorter {
        /// Its length before.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// A batch is not there whole, or holds what no writer has put there.
    #[error("the batch at position {position} is not order {id}: {reason}")]
    Torn {
        /// The first position of the batch.
        position: u64,
        /// The order that its first event names.
        id: String,
        /// What does not fit.
        reason: String,
    },
    /// A batch that nobody had submitted.
    #[error("order {0} was never submitted and is there")]
    Invented(OrderId),
    /// A batch that is there twice.
    #[error("order {0} is there twice")]
    Twice(OrderId),
    /// A version was skipped or given twice.
    #[error("stream {stream} goes on with version {found}, expected {expected}")]
    Version {
        /// The stream.
        stream: String,
        /// The version that comes next.
        expected: u64,
        /// The version that is there.
        found: u64,
    },
    /// A batch is elsewhere than its acknowledgement said.
    #[error("order {id} is not where it was acknowledged: {reason}")]
    Moved {
        /// The order.
        id: OrderId,
        /// What differs.
        reason: String,
    },
    /// An acknowledged batch is gone.
    #[error("order {id} was acknowledged at position {position} and is gone")]
    Lost {
        /// The order.
        id: OrderId,
        /// Where it had been.
        position: u64,
    },
}

// By hand: the derive would make it the source besides.
impl From<ReadError> for Violation {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// Everything that writers have said.
#[derive(Debug, Default)]
pub struct Ledger {
    submitted: HashSet<OrderId>,
    acknowledged: HashMap<OrderId, Acknowledgement>,
    refused: u64,
}

/// One pass over the log, which can be gone on with when the log has grown.
#[derive(Debug, Default)]
pub struct Check {
    next_position: u64,
    next_versions: HashMap<String, u64>,
    seen: HashSet<OrderId>,
}

impl Ledger {
    /// Notes what a writer said.
    pub fn note(&mut self, message: Message) {
        match message {
            Message::Submitted(id) => drop(self.submitted.insert(id)),
            Message::Refused(_) => self.refused += 1,
            Message::Acknowledged(told) => drop(self.acknowledged.insert(told.id, told)),
        }
    }

    /// Orders that were submitted.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted.len() as u64
    }

    /// Orders that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// Lost races for stock.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl Check {
    /// Reads what has come since the last call, to the end of the log, and compares it with the
    /// ledger: all that is there had been submitted, and all that was acknowledged is there.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn go_on(&mut self, log: &Log, ledger: &Ledger) -> Result<(), Violation> {
        self.follow(log, ledger)?;
        for (stream, next) in &self.next_versions {
            let found = log.stream_version(stream).map_or(0, |version| version.as_u64() + 1);
            if found != *next {
                let (stream, expected) = (stream.clone(), *next);
                return Err(Violation::Version { stream, expected, found });
            }
        }
        for (id, told) in &ledger.acknowledged {
            if !self.seen.contains(id) {
                return Err(Violation::Lost { id: *id, position: told.first_position });
            }
        }
        Ok(())
    }

    /// As [`Check::go_on`], of a reader that need not see yet what is acknowledged and not durable.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn follow(&mut self, log: &Log, ledger: &Ledger) -> Result<(), Violation> {
        let (expected, found) = (self.next_position, log.end().as_u64());
        if found < expected {
            return Err(Violation::Shorter { expected, found });
        }
        for batch in log.batches(Position::new(expected)..Position::new(found)) {
            self.take(&batch?, ledger)?;
        }
        if self.next_position != found {
            return Err(Violation::Gap { expected: self.next_position, found });
        }
        Ok(())
    }

    /// Batches met so far.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Events met so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.next_position
    }

    /// Streams met so far.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.next_versions.len() as u64
    }

    fn take(&mut self, batch: &RecordedBatch, ledger: &Ledger) -> Result<(), Violation> {
        let (expected, found) = (self.next_position, batch.first_position().as_u64());
        if found != expected {
            return Err(Violation::Gap { expected, found });
        }
        let order = order_of(batch)?;
        let id = order.id;
        if !ledger.submitted.contains(&id) {
            return Err(Violation::Invented(id));
        }
        if !self.seen.insert(id) {
            return Err(Violation::Twice(id));
        }
        let versions = self.take_events(batch, &order)?;
        self.next_position = batch.last_position().as_u64() + 1;
        match ledger.acknowledged.get(&id) {
            Some(told) => compare(told, found, &versions),
            None => Ok(()),
        }
    }

    /// Compares each event with what the order says; gives each stream's new version.
    fn take_events(
        &mut self,
        batch: &RecordedBatch,
        order: &Order,
    ) -> Result<Vec<(String, u64)>, Violation> {
        let position = batch.first_position().as_u64();
        let torn = |reason: String| Violation::Torn { position, id: order.id.to_string(), reason };
        if batch.event_count() != order.event_count() {
            let (found, wanted) = (batch.event_count(), order.event_count());
            return Err(torn(format!("it has {found} events of {wanted}")));
        }
        let mut versions = Vec::new();
        for ((at, event), (stream, event_type)) in (0..).zip(batch.events()?).zip(order.events()) {
            let event = event?;
            if (event.stream(), event.event_type()) != (&*stream, event_type) {
                return Err(torn(format!(
                    "event {at} is {} on {}, not {event_type} on {stream}",
                    event.event_type(),
                    event.stream()
                )));
            }
            let found = event.version();
            // An order is committed only if its streams have not moved since it looked at them.
            let wanted = order.part(at, found.before());
            if serde_json::from_slice::<Part>(event.payload()).ok().as_ref() != Some(&wanted) {
                let payload = String::from_utf8_lossy(event.payload()).into_owned();
                return Err(torn(format!("event {at} holds {payload}, not {wanted:?}")));
            }
            let next = self.next_versions.entry(stream.clone()).or_default();
            if found.as_u64() != *next {
                let (expected, found) = (*next, found.as_u64());
                return Err(Violation::Version { stream, expected, found });
            }
            *next += 1;
            versions.push((stream, found.as_u64()));
        }
        Ok(versions)
    }
}

/// The order that a batch's first event names.
fn order_of(batch: &RecordedBatch) -> Result<Order, Violation> {
    let position = batch.first_position().as_u64();
    let first = batch.events()?.next().transpose()?;
    let payload = first.map_or(&[][..], |event| event.payload());
    let named = serde_json::from_slice::<Part>(payload).ok();
    let id = named.and_then(|part| part.batch.parse().ok());
    id.map(Order::new).ok_or_else(|| Violation::Torn {
        position,
        id: "?".to_owned(),
        reason: format!("its first event holds {}", String::from_utf8_lossy(payload)),
    })
}

/// Compares what a writer was told with what is there.
fn compare(
    told: &Acknowledgement,
    position: u64,
    versions: &[(String, u64)],
) -> Result<(), Violation> {
    let moved = |reason| Err(Violation::Moved { id: told.id, reason });
    if told.first_position != position {
        return moved(format!("position {position} instead of {}", told.first_position));
    }
    if told.versions != versions {
        return moved(format!("versions {versions:?} instead of {:?}", told.versions));
    }
    Ok(())
}
