//! What can be chosen when a log is opened.
//!
//! Owns: [`Options`], [`Durability`]. Every option says its default, its bounds, and why one would
//! change it. May call: the opening of [`crate::log`].

use std::path::Path;
use std::time::Duration;

use quipu_format::layout;

use crate::error::OpenError;
use crate::log::Log;
use crate::storage::{Preparation, StoreMode};

/// What an acknowledged append survives.
///
/// | acknowledged under | killed process | operating system crash | power cut |
/// |---|---|---|---|
/// | `Sync` | kept | kept | kept |
/// | `Buffered` | kept | may be lost | may be lost |
///
/// A buffered batch is lost only together with all that follows it: the history is a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Acknowledged when it is on the device: one `fdatasync` for the whole group. It makes all
    /// that came before it durable too.
    #[default]
    Sync,
    /// Acknowledged when it is in the page cache. [`Log::sync`] or
    /// [`Options::sync_interval`] bring it to the device.
    Buffered,
}

/// How a log is opened.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// use quipu::{Durability, Log};
/// let log = Log::options().segment_bytes(1 << 20).durability(Durability::Buffered).open(&path)?;
/// # log.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    pub(crate) segment_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) idle_mark_after: Duration,
    pub(crate) queue_batches_max: usize,
    pub(crate) group_batches_max: usize,
    pub(crate) group_bytes_max: u64,
    pub(crate) segments_ahead: usize,
    pub(crate) store_mode: StoreMode,
    pub(crate) preparation: Preparation,
    pub(crate) verify_reads: bool,
    pub(crate) verify_on_open: bool,
    pub(crate) create: bool,
    pub(crate) follow_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            durability: Durability::Sync,
            sync_interval: None,
            idle_mark_after: Duration::from_millis(100),
            queue_batches_max: 8192,
            group_batches_max: 8192,
            group_bytes_max: 8 << 20,
            segments_ahead: 1,
            store_mode: StoreMode::default(),
            preparation: Preparation::default(),
            verify_reads: true,
            verify_on_open: false,
            create: true,
            follow_every: Duration::from_micros(100),
        }
    }
}

impl Options {
    /// The size of a segment file, in bytes. Default 64 MiB, least 8 KiB, most 1 TiB; rounded up
    /// to a multiple of 4 KiB. A batch must fit into one. Larger segments roll less often; smaller
    /// ones reserve less disk. May differ from one opening to the next.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes.saturating_add(SEGMENT_STEP - 1) / SEGMENT_STEP * SEGMENT_STEP;
        self
    }

    /// When an append is acknowledged, unless its batch says otherwise. Default
    /// [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Syncs buffered batches this often in the background. Default: never by itself; least 1 ms.
    /// Bounds what a power cut takes from a [`Durability::Buffered`] log.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = Some(interval);
        self
    }

    /// After this much quiet the writer notes on disk how far the log is durable, so that even
    /// damage to the last batch is told from a torn tail. Default 100 ms, least 1 ms, most 1 hour.
    pub fn idle_mark_after(mut self, quiet: Duration) -> Self {
        self.idle_mark_after = quiet;
        self
    }

    /// How many batches may wait for the writer; a further append waits for a place. Default
    /// 8,192, least 1, most 1,048,576. Bounds memory when appends come faster than the disk.
    pub fn queue_batches_max(mut self, batches: usize) -> Self {
        self.queue_batches_max = batches;
        self
    }

    /// How many batches one sync may make durable. Default 8,192, least 1, most 1,048,576. Smaller
    /// groups bound the wait of the first in a group.
    pub fn group_batches_max(mut self, batches: usize) -> Self {
        self.group_batches_max = batches;
        self
    }

    /// How many bytes one sync may make durable, beyond its first batch. Default 8 MiB, least
    /// 4 KiB, most 1 GiB.
    pub fn group_bytes_max(mut self, bytes: u64) -> Self {
        self.group_bytes_max = bytes;
        self
    }

    /// How many segments are kept ready ahead of need. Default 1, least 1, most 16. More if appends
    /// come in bursts of more than a segment.
    pub fn segments_ahead(mut self, segments: usize) -> Self {
        self.segments_ahead = segments;
        self
    }

    /// How frames get into the segment. Default: by size, [`StoreMode::BySize`].
    pub fn store_mode(mut self, mode: StoreMode) -> Self {
        self.store_mode = mode;
        self
    }

    /// How segments are prepared. Default [`Preparation::Populate`].
    pub fn preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Whether reads verify the checksums of what they give back. Default `true`: a bit that
    /// decayed since the log was opened is an error and no event. `false` saves about the time of
    /// reading the bytes once more; then such a bit goes unnoticed: events are what the bytes say
    /// now, and a name or type that is no text any more is empty.
    pub fn verify_reads(mut self, verify: bool) -> Self {
        self.verify_reads = verify;
        self
    }

    /// Whether opening reads every frame of the log. Default `false`: a sealed segment whose index
    /// proves that it was whole and on the device is not read again, and what has decayed in it since
    /// is found when it is read, or by `quipu verify`. `true` finds it when the log is opened, at the
    /// cost of reading all of it.
    pub fn verify_on_open(mut self, verify: bool) -> Self {
        self.verify_on_open = verify;
        self
    }

    /// Whether a missing directory or log is created. Default `true`.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How often a log that is open for reading only looks for what its writer has made durable, while a
    /// subscription waits for it. Default 100 us, least 10 us, most 1 hour; up to six times that once
    /// nothing has come for a while. Shorter makes events come sooner, longer takes less of a processor.
    /// While nobody waits nothing looks, but each read by itself.
    pub fn follow_every(mut self, interval: Duration) -> Self {
        self.follow_every = interval;
        self
    }

    /// Opens the log in `directory` for reading and writing, after recovery.
    ///
    /// # Errors
    /// [`OpenError`] says what stands against it; nothing is changed on disk then.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<Log, OpenError> {
        Log::open_with(directory.as_ref(), self)
    }

    /// Opens the log in `directory` for reading only, beside a live writer or without one.
    ///
    /// Changes nothing on disk. The log follows the live writer, which may be in another process: each
    /// read, and [`Log::end`], sees what is durable by then, and subscriptions go on as it
    /// grows ([`Options::follow_every`]), over the writer's end and return. Nothing is seen that is not
    /// known to be durable: the writer says so in a page of its directory (the file `SYNCED`); where
    /// it cannot, what stands behind an event in the log does, at the latest the mark of an idle log
    /// ([`Options::idle_mark_after`]).
    ///
    /// Where no writer lives, the log is served as the next opening would find it. A damaged log is
    /// served up to the damage, which [`RecoveryReport::damage`](crate::RecoveryReport) describes.
    ///
    /// # Errors
    /// [`OpenError`], as for [`Options::open`], but for damage and locks.
    pub fn open_read_only(self, directory: impl AsRef<Path>) -> Result<Log, OpenError> {
        Log::open_read_only_with(directory.as_ref(), self)
    }

    /// Checks every bound.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let interval = self.sync_interval.map_or(1, millis);
        for (option, found, min, max) in [
            (
                "segment_bytes",
                self.segment_bytes,
                layout::segment::CAPACITY_MIN,
                layout::segment::CAPACITY_MAX,
            ),
            ("sync_interval (ms)", interval, 1, u64::MAX),
            ("follow_every (us)", micros(self.follow_every), 10, 3_600_000_000),
            ("idle_mark_after (ms)", millis(self.idle_mark_after), 1, 3_600_000),
            ("queue_batches_max", self.queue_batches_max as u64, 1, 1 << 20),
            ("group_batches_max", self.group_batches_max as u64, 1, 1 << 20),
            ("group_bytes_max", self.group_bytes_max, 4 << 10, 1 << 30),
            ("segments_ahead", self.segments_ahead as u64, 1, 16),
        ] {
            if !(min..=max).contains(&found) {
                return Err(OpenError::Option { option, found, min, max });
            }
        }
        Ok(())
    }
}

const SEGMENT_STEP: u64 = layout::segment::CAPACITY_STEP;
