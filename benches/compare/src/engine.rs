//! What a workload asks of an engine.
//!
//! Owns: [`Engine`] (one open log), [`Adapter`] (an engine's name, what it cannot do, and how it is
//! opened), the events and answers that go between. May call: payloads.

use std::path::Path;

use crate::payloads::Supply;

/// Anything that can go wrong in a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What an append must survive when it has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut.
    Durable,
    /// A killed process, but no power cut: the bytes are with the kernel.
    Buffered,
}

/// One event to append.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The stream's number; its name is [`StreamName`].
    pub stream: u32,
    /// What the event carries.
    pub payload: &'a [u8],
}

/// The type of every event.
pub const EVENT_TYPE: &str = "OrderPlaced";

/// The name of a stream, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct StreamName([u8; StreamName::BYTES]);

impl StreamName {
    /// Length of every name.
    pub const BYTES: usize = 15;

    /// Of the stream with this number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        let mut name = *b"order-000000000";
        let mut rest = number;
        for digit in name.iter_mut().rev() {
            if rest == 0 {
                break;
            }
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(name)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What the stream of a batch's first event must be like for the batch to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// Its last event is the one whose append answered with this mark; `None`: it has no events.
    Last(Option<Mark>),
}

/// What names the last event of a stream to its engine: a version or a position.
pub type Mark = u64;

/// The answer to an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log. The mark names the last event of the batch.
    Committed(Mark),
    /// The expectation was not met, and nothing was written.
    Refused,
}

/// Something a workload needs and not every engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Appends that survive a power cut.
    Durable,
    /// The same, from one thread, one at a time.
    LoneSyncs,
    /// The same, from several threads at once.
    SharedSyncs,
    /// Appends that survive a killed process and need no sync.
    Buffered,
    /// Appends from several threads at once that need no sync.
    Threads,
    /// Batches of several events that are committed whole or not at all.
    Batches,
    /// Batches of 100 events of 64 KiB.
    LargeBatches,
    /// Appends that are waited for later.
    Pipelining,
    /// Being opened, as an effort of its own.
    Open,
    /// Reading everything, from the front.
    Scan,
    /// Reading one stream.
    Streams,
    /// Bytes on disk that say something.
    Bytes,
    /// Refusing an append whose expectation is not met.
    Conditions,
    /// Being told of what is committed.
    Subscriptions,
}

/// An engine, apart from any log.
#[derive(Debug)]
pub struct Adapter {
    /// As on the command line.
    pub name: &'static str,
    /// How an append is made durable, in a few words.
    pub durable_by: &'static str,
    /// What it cannot do, each with the reason.
    pub lacks: &'static [(Need, &'static str)],
    /// Whether it is a bare floor and no engine to be ahead of.
    pub is_floor: bool,
    /// Opens the log in a directory that exists; makes it if there is none.
    pub open: Open,
}

impl Adapter {
    /// Why a workload with these needs cannot run.
    #[must_use]
    pub fn lacking(&self, needs: &[Need]) -> Option<&'static str> {
        let found = self.lacks.iter().find(|(need, _)| needs.contains(need));
        found.map(|(_, reason)| *reason)
    }
}

/// Opens a log.
pub type Open = fn(&Path, Setup) -> Result<Box<dyn Engine>, Failure>;

/// What is known when a log is opened.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// That of all appends to come.
    pub durability: Durability,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// What comes after is reading only.
    pub reads_only: bool,
}

/// One open log.
pub trait Engine: Send + Sync {
    /// Appends one batch under the durability of the [`Setup`]. Threads that append at the same time
    /// never touch the same stream.
    ///
    /// # Errors
    /// What the engine says.
    fn append(&self, events: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure>;

    /// Appends each event of `supply` as a batch of its own, with at most `in_flight_max` of them
    /// unanswered, and returns when all are.
    ///
    /// # Errors
    /// What the engine says.
    fn pipeline(&self, supply: &mut Supply, in_flight_max: usize) -> Result<(), Failure> {
        let _ = (supply, in_flight_max);
        Err("no pipelining".into())
    }

    /// Hands every payload to `each`, in the order of the log where there is one.
    ///
    /// # Errors
    /// What the engine says.
    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure>;

    /// Hands every payload of a stream to `each`, in order.
    ///
    /// # Errors
    /// What the engine says.
    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let _ = (stream, each);
        Err("no streams".into())
    }

    /// Hands every payload that is committed from now on to `each`, on a thread of its own, until
    /// it says `false`.
    ///
    /// # Errors
    /// What the engine says.
    fn subscribe(&self, each: Subscriber) -> Result<(), Failure> {
        let _ = each;
        Err("no subscriptions".into())
    }

    /// How many events are in the log, found by looking at each where the engine can.
    ///
    /// # Errors
    /// What the engine says.
    fn count(&self) -> Result<u64, Failure> {
        let mut count = 0;
        self.scan(&mut |_| count += 1)?;
        Ok(count)
    }

    /// Closes the log as its engine wants it to be closed.
    ///
    /// # Errors
    /// What the engine says.
    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

/// What a subscription calls with each event; it ends when the answer is `false`.
pub type Subscriber = Box<dyn FnMut(&[u8]) -> bool + Send>;

#[cfg(test)]
mod tests {
    use super::StreamName;

    #[test]
    fn names_of_streams_have_one_length_and_sort_as_their_numbers() {
        let names = [0, 1, 9, 10, 99_999, 10_000_000].map(StreamName::new);
        assert_eq!(names[0].as_str(), "order-000000000");
        assert_eq!(names[5].as_str(), "order-010000000");
        assert!(names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
    }
}
