//! Quipu: an embedded write-ahead-log storage engine for event stores.
//!
//! A program links it in and appends batches of events over many streams. A batch is committed
//! whole or not at all, is refused if a stream is not as the caller expected or something has come that
//! a query of the caller's matches, takes consecutive places in one gapless global order, and once
//! acknowledged survives a power cut.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("data");
//! use quipu::{Batch, Event, ExpectedVersion, Log, Version};
//!
//! let log = Log::open(&path)?;
//! log.append(
//!     Batch::new()
//!         .expect("order-1", ExpectedVersion::NoStream)
//!         .event("order-1", Event::new("OrderPlaced", r#"{"item":9}"#))
//!         .event("stock-9", Event::new("StockReserved", r#"{"order":1}"#)),
//! )?;
//! for event in log.read_stream("order-1", ..) {
//!     let event = event?;
//!     println!("{} {} {:?}", event.position(), event.event_type(), event.payload());
//! }
//! assert_eq!(log.stream_version("stock-9"), Some(Version::new(0)));
//! log.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! | once the call has returned | killed process | operating system crash | power cut |
//! |---|---|---|---|
//! | `append` under [`Durability::Sync`] | kept | kept | kept |
//! | `append` under [`Durability::Buffered`] | kept | may be lost | may be lost |
//! | [`Log::sync`], for all before it | kept | kept | kept |
//!
//! What is lost is lost from the end: the history is always a prefix, in whole batches. What had
//! been durable and is damaged later is reported, never shortened or skipped in silence.
//!
//! # The data path
//!
//! ```text
//!  caller's thread            writer's threads, in turns              disk
//!  ---------------            --------------------------              ----
//!  Batch: encode,   --> queue --> committer: preconditions,
//!  checksum                       position, version, time;
//!                                 one copy ------------------------> active segment
//!                                 publisher: one fdatasync --------> device
//!  Ticket           <------------ synced, then visible, then told
//!
//!  Log::read  <--- snapshot of segment list and end; frames decoded in place, no copy
//! ```
//!
//! The parts, each with what it may call in its own documentation: storage <- segment <- append,
//! read, recovery <- log. The format on disk is the crate [`quipu_format`].

#![warn(missing_docs)]

mod append;
mod backup;
mod environment;
mod error;
mod follow;
mod index;
mod log;
#[cfg(all(test, any(quipu_loom, quipu_shuttle)))]
mod models;
mod options;
mod read;
mod recovery;
mod retention;
mod segment;
mod stats;
mod storage;
mod subscribe;
mod sync;
mod watermark;

pub use append::batch::Batch;
pub use append::event::{Event, EventData};
pub use append::expected::{
    ExpectedVersion, FailedPrecondition, FailedQuery, RefusedCheckpoint, StreamHead,
};
pub use append::receipt::Receipt;
pub use append::ticket::Ticket;
pub use backup::{BackupOptions, BackupProgress, BackupReport};
pub use error::{
    AppendError, AppendErrorKind, BackupError, BackupErrorKind, Damage, Fault, InvalidBatch,
    IoError, OpenError, OpenErrorKind, Outcome, Proof, ReadError, ReadErrorKind, TruncateError,
};
pub use log::Log;
pub use options::{Durability, Options};
pub use quipu_format::{ByteOffset, CommitTime, EventId, LogId, Position, TagIter, Tags, Version};
pub use read::batch::{BatchEvent, BatchEvents, RecordedBatch};
pub use read::batches::Batches;
pub use read::events::{Read, ReadEvents};
pub use read::query::{Query, QueryItem};
pub use read::recorded::RecordedEvent;
pub use read::stream::{ReadStream, ReadStreamEvents};
pub use recovery::report::{LogEnd, RecoveryReport};
pub use retention::Truncation;
pub use stats::{Latencies, Stats};
pub use storage::{Preparation, StoreMode};
pub use subscribe::Delivery;
pub use subscribe::request::Subscribe;
pub use subscribe::subscription::{Canceller, NothingYet, Subscription};

#[cfg(feature = "sim")]
pub use storage::sim;

/// The storage beneath the engine, bare, for benchmarks that show what the engine adds (feature
/// `floor`).
#[cfg(feature = "floor")]
pub mod floor {
    pub use crate::storage::floor::BareFile;
}

/// Compiles and runs the sample in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// Compiles the calls on the page for those who come from other stores.
#[cfg(doctest)]
#[doc = include_str!("../COMING_FROM.md")]
mod coming_from {}
