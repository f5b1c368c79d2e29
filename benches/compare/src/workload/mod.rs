//! The workloads: what is done, how much of it, and what it is measured in.
//!
//! Owns: [`Workload`], [`Kind`], [`Fill`], [`Metric`] and the table [`ALL`]. Calls nothing.

use serde::Serialize;

use crate::engine::Durability::{self, Buffered, Durable};
use crate::engine::Need;

mod table;

pub use table::ALL;

/// Streams, unless a workload says otherwise.
pub const STREAMS: u32 = 10_000;

/// Payload bytes, unless a workload says otherwise.
pub const PAYLOAD_BYTES: usize = 256;

/// Events in a large batch.
pub const BATCH_EVENTS: usize = 1_000;

/// Streams that one large batch writes to.
pub const BATCH_STREAMS: u32 = 10;

/// Events of a stream that is read whole.
pub const STREAM_EVENTS: u64 = 100;

/// Tickets that one caller keeps in flight.
pub const IN_FLIGHT_MAX: usize = 8_192;

/// Events that are appended before each crash in W5.
pub const CRASH_EVENTS: u64 = 100_000;

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// As on the command line.
    pub id: &'static str,
    /// What is done, in a few words.
    pub about: &'static str,
    /// What is done.
    pub kind: Kind,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// Only with `--large`: 10 million events of each engine.
    pub large: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Appends that are waited for, by so many threads.
    Append {
        /// What they survive.
        durability: Durability,
        /// How many at once.
        threads: usize,
        /// Events in each batch.
        batch: usize,
    },
    /// Durable appends from one thread with many unanswered.
    Pipeline,
    /// Durable appends of 16 threads, each with an expectation.
    Conditional {
        /// How many of a hundred are refused.
        conflicts_percent: u32,
    },
    /// From the append to a subscriber on another thread.
    Subscribe {
        /// What the appends survive.
        durability: Durability,
    },
    /// Opening a log.
    Open {
        /// Its events.
        events: u64,
        /// Whether its last process ended with the log open.
        after_crash: bool,
    },
    /// Reading all payloads.
    Scan {
        /// Their number.
        events: u64,
    },
    /// Reading streams of [`STREAM_EVENTS`] events at random.
    ReadStreams {
        /// Events in the log.
        events: u64,
    },
    /// Bytes on disk.
    Bytes {
        /// Events in the log.
        events: u64,
        /// Events in each batch.
        batch: usize,
    },
    /// Memory of an open log.
    Memory {
        /// Streams, of one event each.
        streams: u64,
    },
}

/// How a log is filled before it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fill {
    /// In all.
    pub events: u64,
    /// To a batch.
    pub batch: usize,
    /// In all.
    pub streams: u32,
    /// That one batch writes to, the next batch to the next ones.
    pub batch_streams: u32,
    /// Bytes of each payload.
    pub payload_bytes: usize,
}

/// One figure of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// Its name in the JSON lines.
    pub key: &'static str,
    /// Its unit in the table.
    pub unit: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
}

const fn more(key: &'static str, unit: &'static str) -> Metric {
    Metric { key, unit, more_is_better: true }
}

const fn less(key: &'static str, unit: &'static str) -> Metric {
    Metric { key, unit, more_is_better: false }
}

const RATE: Metric = more("events_per_second", "events/s");
const LATENCIES: [Metric; 4] =
    [RATE, less("p50_us", "us"), less("p99_us", "us"), less("p999_us", "us")];

/// The workload of this name.
#[must_use]
pub fn named(id: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.id.eq_ignore_ascii_case(id))
}

impl Workload {
    /// `W1` of `W1-4KiB`, `W2` of `W2p`.
    #[must_use]
    pub fn group(&self) -> &'static str {
        let digits = self.id.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        self.id.get(..=digits).unwrap_or(self.id)
    }

    /// Whether a word of `--workloads` means this one: its own name, or that of its group.
    #[must_use]
    pub fn is_meant_by(&self, word: &str) -> bool {
        self.id.eq_ignore_ascii_case(word) || self.group().eq_ignore_ascii_case(word)
    }

    /// What an engine must be able to do.
    #[must_use]
    pub fn needs(&self) -> Vec<Need> {
        match self.kind {
            Kind::Append { durability, threads, batch } => {
                let mut needs = match (durability, threads) {
                    (Durable, 1) => vec![Need::Durable, Need::LoneSyncs],
                    (Durable, _) => vec![Need::Durable, Need::SharedSyncs],
                    (Buffered, 1) => vec![Need::Buffered],
                    (Buffered, _) => vec![Need::Buffered, Need::Threads],
                };
                needs.extend((batch > 1).then_some(Need::Batches));
                needs.extend((batch * self.payload_bytes > 6 << 20).then_some(Need::LargeBatches));
                needs
            }
            Kind::Pipeline => vec![Need::Durable, Need::Pipelining],
            Kind::Conditional { .. } => vec![Need::SharedSyncs, Need::Conditions],
            Kind::Subscribe { durability: Durable } => vec![Need::Subscriptions, Need::Durable],
            Kind::Subscribe { .. } => vec![Need::Subscriptions, Need::Buffered],
            Kind::Open { .. } => vec![Need::Batches, Need::Open],
            Kind::Scan { .. } => vec![Need::Scan],
            Kind::ReadStreams { .. } => vec![Need::Streams],
            Kind::Bytes { .. } => vec![Need::Bytes],
            Kind::Memory { .. } => vec![Need::Batches, Need::Open, Need::Streams],
        }
    }

    /// That of the log while it is measured.
    #[must_use]
    pub fn durability(&self) -> Durability {
        match self.kind {
            Kind::Append { durability, .. } | Kind::Subscribe { durability } => durability,
            _ => Durable,
        }
    }

    /// How the log is filled before, with one of so many `parts` of the events.
    #[must_use]
    pub fn fill(&self, parts: u64) -> Option<Fill> {
        let (events, batch, streams) = match self.kind {
            Kind::Open { events, .. } | Kind::Scan { events } => (events, BATCH_EVENTS, STREAMS),
            Kind::Bytes { events, batch } => (events, batch, STREAMS),
            // One event for each of ten streams in a batch, the events of one stream far apart.
            Kind::ReadStreams { events } => {
                (events, BATCH_STREAMS as usize, (events / STREAM_EVENTS) as u32)
            }
            Kind::Memory { streams } => (streams, BATCH_EVENTS, streams as u32),
            _ => return None,
        };
        let streams = match self.kind {
            Kind::ReadStreams { .. } | Kind::Memory { .. } => streams / parts as u32,
            _ => streams,
        };
        // So that no batch is larger than those of W3.
        let batch = batch.min(((6 << 20) / self.payload_bytes).max(1));
        let batch_streams = match self.kind {
            Kind::Memory { .. } => batch as u32,
            _ => BATCH_STREAMS.min(batch as u32),
        };
        let payload_bytes = self.payload_bytes;
        Some(Fill { events: events / parts, batch, streams, batch_streams, payload_bytes })
    }

    /// The figures of a measurement, the first being the one that engines are compared by.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        match self.kind {
            Kind::Append { durability: Durable, .. } => LATENCIES.to_vec(),
            Kind::Append { .. } | Kind::Pipeline => vec![RATE],
            Kind::Scan { .. } => vec![RATE, more("mib_per_second", "MiB/s")],
            Kind::ReadStreams { .. } => vec![RATE, more("streams_per_second", "streams/s")],
            Kind::Conditional { .. } => vec![
                more("decisions_per_second", "decisions/s"),
                more("commits_per_second", "commits/s"),
                less("p50_us", "us"),
                less("p99_us", "us"),
            ],
            Kind::Subscribe { .. } => vec![
                less("p50_us", "us"),
                less("p99_us", "us"),
                less("behind_append_p50_us", "us after the append's return"),
            ],
            Kind::Open { .. } => vec![less("open_ms", "ms"), less("peak_mib", "MiB at most")],
            Kind::Bytes { .. } => vec![
                less("used_bytes", "bytes an event"),
                less("overhead_bytes", "beyond payload, name, type"),
                less("disk_bytes", "with what is prepared"),
            ],
            Kind::Memory { .. } => {
                vec![less("bytes_per_stream", "bytes a stream"), less("peak_mib", "MiB at most")]
            }
        }
    }

    /// Whether one measurement says as much as many.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.kind, Kind::Bytes { .. } | Kind::Memory { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, named};

    #[test]
    fn a_group_means_its_members_and_no_others() {
        let meant = |word: &str| -> Vec<&str> {
            ALL.iter().filter(|found| found.is_meant_by(word)).map(|found| found.id).collect()
        };
        assert_eq!(meant("W1"), ["W1", "W1-64B", "W1-4KiB", "W1-64KiB"]);
        assert_eq!(meant("w10"), ["W10-0", "W10-10", "W10-50"]);
        assert_eq!(meant("W2"), ["W2-16", "W2-64", "W2-256", "W2p"]);
        assert_eq!(meant("W4m"), ["W4m"]);
    }

    #[test]
    fn every_workload_is_found_by_its_name() {
        assert!(
            ALL.iter()
                .all(|workload| named(workload.id).is_some_and(|found| found.id == workload.id))
        );
    }
}
