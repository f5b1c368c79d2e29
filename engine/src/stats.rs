//! What a log has done since it was opened, counted.
//!
//! Owns: [`Stats`], a snapshot for callers, and [`Counters`], which the data path raises. Calls
//! nothing of the engine.
//!
//! Counters are raised by whoever publishes, so by one thread at a time, but for one: a load and a
//! store each, and two looks at a clock for a sync. They take no part in any protocol, so they are not
//! `crate::sync`'s: several read together may be of neighbouring moments.

mod latencies;
#[cfg(feature = "metrics")]
mod metrics;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub use latencies::Latencies;
use latencies::LatencyCounters;

/// What a log has done since it was opened, and how it stands: [`Log::stats`](crate::Log::stats).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use quipu::{Batch, Event, ExpectedVersion};
///
/// let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
/// log.append(Batch::new().event("order-1", Event::new("OrderPlaced", "")))?;
/// let again = Batch::new().expect("order-1", ExpectedVersion::NoStream);
/// assert!(log.append(again.event("order-1", Event::new("OrderPlaced", ""))).is_err());
/// let stats = log.stats();
/// assert_eq!((stats.batches, stats.events, stats.refused), (1, 1, 1));
/// assert!(stats.sync_latency.quantile(0.99) <= stats.sync_latency.total() * 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Batches committed.
    pub batches: u64,
    /// Events committed.
    pub events: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Batches that were refused because a precondition failed. A repeated batch that was answered
    /// with its original receipt is none of them.
    pub refused: u64,
    /// Groups of batches that were made visible together; each of a durable log took one sync.
    pub groups: u64,
    /// Batches in the largest group.
    pub group_batches_max: u64,
    /// How long syncs took, and how many there were: those that callers waited for.
    pub sync_latency: Latencies,
    /// Batches that were submitted and not yet looked at by the writer.
    pub queue_depth: usize,
    /// Segments in use.
    pub segments: usize,
    /// Segments that are ready for the writer to go on in.
    pub segments_ready: usize,
    /// Subscriptions that wait for an event just now.
    pub subscriptions_waiting: usize,
}

/// The batches of a group, by what became of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupCounts {
    pub(crate) batches: u64,
    pub(crate) events: u64,
    pub(crate) refused: u64,
}

/// Raised while the log works.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    batches: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    groups: AtomicU64,
    group_batches_max: AtomicU64,
    sync_latency: LatencyCounters,
    segments_ready: AtomicU64,
    /// By callers, several at a time.
    refused_at_once: AtomicU64,
}

impl Counters {
    /// A group has been published. For the publisher alone.
    pub(crate) fn published(&self, group: GroupCounts, bytes: u64) {
        let GroupCounts { batches, events, refused } = group;
        raise(&self.refused, refused);
        if batches > 0 {
            raise(&self.batches, batches);
            raise(&self.events, events);
            raise(&self.bytes, bytes);
            raise(&self.groups, 1);
            let most = self.group_batches_max.load(Relaxed).max(batches);
            self.group_batches_max.store(most, Relaxed);
        }
    }

    /// A batch was refused on its caller's thread.
    pub(crate) fn refused_at_once(&self) {
        self.refused_at_once.fetch_add(1, Relaxed);
    }

    /// A sync has ended well. For the publisher alone.
    pub(crate) fn synced(&self, took: Duration) {
        self.sync_latency.add(took);
    }

    /// So many segments are ready.
    pub(crate) fn ready(&self, segments: usize) {
        self.segments_ready.store(segments as u64, Relaxed);
    }

    /// What has been counted so far; of what is not counted here, nothing.
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            batches: self.batches.load(Relaxed),
            events: self.events.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            refused: self.refused.load(Relaxed) + self.refused_at_once.load(Relaxed),
            groups: self.groups.load(Relaxed),
            group_batches_max: self.group_batches_max.load(Relaxed),
            sync_latency: self.sync_latency.snapshot(),
            segments_ready: usize::try_from(self.segments_ready.load(Relaxed))
                .unwrap_or(usize::MAX),
            ..Stats::default()
        }
    }
}

/// Adds to a counter that nobody else raises just now.
fn raise(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}
