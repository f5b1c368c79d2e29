//! The log as a caller holds it.
//!
//! Owns: [`Log`], a cheap handle, and what all handles share. May call: everything below it:
//! recovery, append, read. Holds no logic of its own.

mod backup;
mod closer;
mod directory;
mod open;

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use closer::Closer;
use quipu_format::{Position, Version};

use crate::append::batch::{Batch, PreparedBatch, PreparedQuery};
use crate::append::expected::ExpectedVersion;
use crate::append::judge::Judged;
use crate::append::pipeline::Pipeline;
use crate::append::receipt::Receipt;
use crate::append::ticket::Ticket;
use crate::error::{AppendError, OpenError, TruncateError};
use crate::index::StreamIndex;
use crate::index::checkpoints::PublishedCheckpoints;
use crate::options::{Durability, Options};
use crate::read::batches::Batches;
use crate::read::events::{Read, first_match};
use crate::read::range::half_open;
use crate::read::snapshot::Snapshot;
use crate::read::stream::ReadStream;
use crate::recovery::report::RecoveryReport;
use crate::retention::{self, Retention, Truncation};
use crate::segment::set::{self, SegmentSet};
use crate::segment::writer::frame_bytes_max;
use crate::stats::{Counters, Stats};
use crate::storage::Directory;
use crate::subscribe::notifier::Notifier;
use crate::subscribe::request::Subscribe;
use crate::subscribe::source::{Follows, Live, Source};
use crate::subscribe::subscription::Subscription;
use crate::watermark::Watermarks;

/// A log, open for writing and reading or for reading only.
///
/// A cheap handle: clones share one log, from any number of threads. When the last one is dropped
/// the log is closed; [`Log::close`] does the same and says how it went.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// use quipu::{Batch, Event, ExpectedVersion, Log};
///
/// let log = Log::open(&path)?;
/// let receipt = log.append(
///     Batch::new()
///         .expect("order-1", ExpectedVersion::NoStream)
///         .event("order-1", Event::new("OrderPlaced", r#"{"total":12}"#)),
/// )?;
/// assert_eq!(receipt.version("order-1"), log.stream_version("order-1"));
/// log.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    /// Dropped with the last handle; the writer's threads hold none.
    closer: Arc<Closer>,
}

/// What handles and readers share.
struct Shared {
    directory: Arc<dyn Directory>,
    index: Arc<StreamIndex>,
    segments: Arc<SegmentSet>,
    watermarks: Arc<Watermarks>,
    checkpoints: Arc<PublishedCheckpoints>,
    /// Wakes subscriptions.
    notifier: Arc<Notifier>,
    report: RecoveryReport,
    counters: Arc<Counters>,
    options: Options,
    /// `None`: open for reading only.
    pipeline: Option<Arc<Pipeline>>,
    /// `None`: open for reading only.
    retention: Option<Arc<Retention>>,
    /// How another process's writer is followed; `None`: open for writing, or damaged.
    follows: Option<Follows>,
    /// Whether batches are committed on the caller's thread, there being no other.
    threadless: bool,
}

impl Log {
    /// Opens the log in `directory` with the default options; creates both if they are missing.
    ///
    /// # Errors
    /// [`OpenError`] says what stands against it; nothing is changed on disk then.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::default().open(directory)
    }

    /// Opens the log in `directory` for reading only; see [`Options::open_read_only`].
    ///
    /// # Errors
    /// [`OpenError`], as for [`Log::open`].
    pub fn open_read_only(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::default().open_read_only(directory)
    }

    /// The options, to be changed before opening.
    pub fn options() -> Options {
        Options::default()
    }

    /// Appends a batch and waits until it is committed: durable, unless the durability chosen for
    /// the log or the batch says otherwise.
    ///
    /// # Errors
    /// [`AppendError`] says why not, and whether the batch may be in the log after all.
    pub fn append(&self, batch: Batch) -> Result<Receipt, AppendError> {
        let (pipeline, prepared) = self.prepare(batch)?;
        if let Some(refusal) = self.refuse_at_once(pipeline, &prepared) {
            return Err(refusal);
        }
        if self.shared.threadless {
            return pipeline.in_place(prepared).map(Receipt::from);
        }
        match pipeline.try_in_place(prepared) {
            Ok(answer) => answer.map(Receipt::from),
            Err(prepared) => pipeline.submit(prepared).wait(),
        }
    }

    /// Hands a batch to the writer and returns at once, unless the queue is full. One caller's
    /// batches are committed in the order of its calls.
    ///
    /// # Errors
    /// [`AppendError`] if the batch cannot be handed over; everything else is the ticket's answer.
    pub fn submit(&self, batch: Batch) -> Result<Ticket, AppendError> {
        let (pipeline, prepared) = self.prepare(batch)?;
        if let Some(refusal) = self.refuse_at_once(pipeline, &prepared) {
            return Ok(Ticket::answered(Err(refusal)));
        }
        if self.shared.threadless {
            return Ok(Ticket::answered(pipeline.in_place(prepared)));
        }
        Ok(pipeline.submit(prepared))
    }

    /// Makes everything committed so far durable. Gives the position below which all is.
    ///
    /// # Errors
    /// [`AppendError`], if a write or sync has failed, or the log is closed or read-only.
    pub fn sync(&self) -> Result<Position, AppendError> {
        let pipeline = self.pipeline()?;
        let receipt = match self.shared.threadless {
            true => pipeline.sync_in_place().map(Receipt::from)?,
            false => pipeline.submit_sync().wait()?,
        };
        Ok(receipt.first_position())
    }

    /// Closes the log for all its handles: waits for what was handed over before, makes everything
    /// durable, notes on disk that nothing was in flight, gives the directory free. Reads that are
    /// under way go on.
    ///
    /// # Errors
    /// [`AppendError`], if a write or sync has failed before or now.
    pub fn close(self) -> Result<(), AppendError> {
        self.closer.close()
    }

    /// The position that the next event gets: the end of what readers see. A log that is open for reading
    /// only looks for what its writer has made durable since, as it does for every read.
    #[must_use]
    pub fn end(&self) -> Position {
        self.look();
        self.shared.watermarks.published()
    }

    /// Everything below this position is durable.
    #[must_use]
    pub fn synced_end(&self) -> Position {
        self.look();
        self.shared.watermarks.synced()
    }

    /// The position of the first event that is kept: all below were dropped by [`Log::truncate_before`].
    #[must_use]
    pub fn first_available(&self) -> Position {
        self.look();
        set::start(&self.shared.segments.snapshot())
    }

    /// Drops the front of the log: every full segment whose events are all below `position`, and its file.
    /// Positions and versions go on as before: a stream whose events are all gone keeps its version, so
    /// that expectations are judged as ever, and named checkpoints stay.
    ///
    /// Whole segments go, and only those that are durable and have their index, followed by an event that
    /// is durable: so that less may be dropped than was asked for, and never the segment that is written. A
    /// position below what is kept already drops nothing. Appends, reads and subscriptions go on
    /// meanwhile; what a read has begun with it keeps, and the disk gives the room free when it
    /// ends. This call waits for a backup that this handle or a clone of it is making.
    ///
    /// | what is asked for below [`Log::first_available`] | the answer |
    /// |---|---|
    /// | [`Log::read`], [`Log::batches`], [`Log::read_stream`] from there on, `..` too | [`ReadError::Truncated`](crate::ReadError), and no event |
    /// | one of them backward | what is kept, then that error, unless its limit comes first |
    /// | a read with [`Query::committed`](crate::Query::committed) that begins later than all that was dropped | the events |
    /// | [`Log::subscribe`], [`Log::subscribe_stream`], and one that lags behind | that error as an item, and the end |
    /// | [`Batch::expect_none`] with a position there | [`AppendError::NotJudged`] with that error |
    /// | [`Log::stream_version`], [`Log::checkpoint`], expectations of streams | as before |
    /// | an idempotent batch that is sent again, if its events are gone | refused as one that is not there |
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(8 << 10).open(dir.path())?;
    /// use quipu::{Batch, Event, Position};
    /// for _ in 0..20 {
    ///     log.append(Batch::new().event("order-1", Event::new("Noted", vec![7; 1000])))?;
    /// }
    /// let dropped = log.truncate_before(Position::new(10))?;
    /// assert!(dropped.first_available <= Position::new(10));
    /// let kept = log.read(log.first_available()..).into_iter().count() as u64;
    /// assert_eq!(kept + log.first_available().as_u64(), 20);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TruncateError`] says why nothing was dropped.
    pub fn truncate_before(&self, position: Position) -> Result<Truncation, TruncateError> {
        self.shared.retention.as_ref().ok_or(TruncateError::ReadOnly)?.truncate_before(position)
    }

    /// What [`Log::truncate_before`] would drop now; of a log that is open for reading only, what it would
    /// drop if the log were opened for writing now. Changes nothing.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(8 << 10).open(dir.path())?;
    /// use quipu::{Batch, Event, Log, Position};
    /// for _ in 0..20 {
    ///     log.append(Batch::new().event("order-1", Event::new("Noted", vec![7; 1000])))?;
    /// }
    /// log.close()?;
    /// let planned = Log::open_read_only(dir.path())?.would_truncate_before(Position::new(10))?;
    /// assert_eq!(Log::open(dir.path())?.truncate_before(Position::new(10))?, planned);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TruncateError::Damaged`]: the log is open for reading only, because it cannot be opened for
    /// writing.
    pub fn would_truncate_before(&self, position: Position) -> Result<Truncation, TruncateError> {
        self.look();
        let Shared { segments, watermarks, retention, report, .. } = &*self.shared;
        if let Some(damage) = &report.damage {
            return Err(TruncateError::Damaged(Box::new(damage.clone())));
        }
        let durable = match retention {
            Some(_) => watermarks.synced().min(watermarks.published()),
            // An opening for writing makes all durable that it shows.
            None => watermarks.published(),
        };
        Ok(retention::plan(segments, position, durable))
    }

    /// The version of a stream, which is that of its last event; `None`: it never had any.
    #[must_use]
    pub fn stream_version(&self, stream: impl AsRef<str>) -> Option<Version> {
        let head = self.shared.index.head_below(stream.as_ref(), self.end())?;
        Some(head.version)
    }

    /// The position that a named checkpoint was set to last; `None`: it was never set. Seen in one step
    /// with the events that it was committed with.
    #[must_use]
    pub fn checkpoint(&self, name: impl AsRef<str>) -> Option<Position> {
        self.look();
        self.shared.checkpoints.find(name.as_ref())
    }

    /// All named checkpoints, in the order of their names.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<(String, Position)> {
        self.look();
        self.shared.checkpoints.all()
    }

    /// The expectation that a stream stays as it is now: the `:auto` of other stores. A helper on
    /// the caller's side; another append may come in between, and then the expectation fails.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// use quipu::{Batch, Event, ExpectedVersion};
    /// assert_eq!(log.expect_unchanged("a"), ExpectedVersion::NoStream);
    /// let as_it_is = log.expect_unchanged("a");
    /// log.append(Batch::new().expect("a", as_it_is).event("a", Event::new("Done", "")))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn expect_unchanged(&self, stream: impl AsRef<str>) -> ExpectedVersion {
        match self.stream_version(stream) {
            Some(version) => ExpectedVersion::Exact(version),
            None => ExpectedVersion::NoStream,
        }
    }

    /// Reads events in the global order, from and up to any positions.
    pub fn read(&self, range: impl RangeBounds<Position>) -> Read {
        let index = Arc::clone(&self.shared.index);
        Read::new(self.snapshot(), index, half_open(&range))
    }

    /// Reads one stream, from and up to any versions.
    pub fn read_stream(
        &self,
        stream: impl AsRef<str>,
        range: impl RangeBounds<Version>,
    ) -> ReadStream {
        let index = Arc::clone(&self.shared.index);
        ReadStream::new(self.snapshot(), index, stream.as_ref(), half_open(&range))
    }

    /// Reads batch by batch, whole, all that hold a position of the range: the fastest scan.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// # use quipu::{Batch, Event};
    /// # log.append(Batch::new().event("a", Event::new("T", "12345")))?;
    /// let mut payload_bytes = 0;
    /// for batch in log.batches(..) {
    ///     for event in batch?.events()? {
    ///         payload_bytes += event?.payload().len();
    ///     }
    /// }
    /// assert_eq!(payload_bytes, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn batches(&self, range: impl RangeBounds<Position>) -> Batches {
        Batches::new(self.snapshot(), half_open(&range))
    }

    /// Subscribes to the log from a position on: history, then
    /// [`Delivery::CaughtUp`](crate::Delivery), then events as they are committed.
    pub fn subscribe(&self, from: Position) -> Subscribe {
        Subscribe::new(self.live(), from)
    }

    /// Subscribes to one stream from a version on, whether it has events yet or not.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// use quipu::{Batch, Event, Version};
    /// let mut subscription = log.subscribe_stream("order-1", Version::ZERO);
    /// let canceller = subscription.canceller();
    /// log.append(Batch::new().event("order-1", Event::new("OrderPlaced", "")))?;
    /// let first = subscription.next().expect("it has not ended")?;
    /// assert_eq!(first.event().map(|event| event.event_type()), Some("OrderPlaced"));
    /// canceller.cancel();
    /// assert!(subscription.next().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe_stream(&self, stream: impl Into<String>, from: Version) -> Subscription {
        let source = Source::Stream {
            name: stream.into(),
            version: from,
            events: None,
            position: Position::ZERO,
        };
        Subscription::new(self.live(), source, u64::MAX)
    }

    /// What opening this log has found and done.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.shared.report
    }

    /// What the log has done since it was opened, and how it stands. Costs little enough to be asked
    /// every second; of a log that is open for reading only, it has little to tell.
    pub fn stats(&self) -> Stats {
        let Shared { counters, pipeline, segments, notifier, .. } = &*self.shared;
        Stats {
            queue_depth: pipeline.as_ref().map_or(0, |pipeline| pipeline.queue_depth()),
            segments: segments.snapshot().len(),
            subscriptions_waiting: notifier.waiting(),
            ..counters.snapshot()
        }
    }

    /// Lets time pass on the simulated disk: does what is due after
    /// [`Options::idle_mark_after`] without appends. Does nothing for other logs.
    #[cfg(feature = "sim")]
    pub fn be_quiet(&self) {
        if let Some(pipeline) = self.shared.pipeline.as_ref().filter(|_| self.shared.threadless) {
            pipeline.quiet_in_place();
        }
    }

    /// Appends batches as one group, as the writer does with those that have come while the disk was
    /// busy, and gives what each caller is told. All are judged by the writer. For logs on the
    /// simulated disk, which have no writer's thread; other logs take them one after the other.
    #[cfg(feature = "sim")]
    pub fn append_together(
        &self,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Vec<Result<Receipt, AppendError>> {
        if !self.shared.threadless {
            return batches.into_iter().map(|batch| self.append(batch)).collect();
        }
        let (mut answers, mut group) = (Vec::new(), Vec::new());
        for batch in batches {
            answers.push(self.prepare(batch).map(|(_, prepared)| group.push(prepared)));
        }
        let staged = match self.shared.pipeline.as_ref() {
            Some(pipeline) => pipeline.together_in_place(group),
            None => Vec::new(),
        };
        let mut told = staged.into_iter();
        let mut answer = || told.next().unwrap_or(Err(AppendError::AnswerTaken));
        let answers = answers.into_iter();
        answers.map(|handed_over| handed_over.and_then(|()| answer().map(Receipt::from))).collect()
    }

    /// Encodes and checks a batch on the caller's thread.
    fn prepare(&self, batch: Batch) -> Result<(&Arc<Pipeline>, PreparedBatch), AppendError> {
        let pipeline = self.pipeline()?;
        let frame_bytes_max = frame_bytes_max(self.shared.options.segment_bytes);
        let frame_bytes = batch.frame_bytes() as u64;
        if batch.is_stored() && frame_bytes > frame_bytes_max {
            return Err(AppendError::TooLarge { frame_bytes, frame_bytes_max });
        }
        let durability = self.shared.options.durability;
        let mut prepared = batch.prepare(self.shared.index.hasher(), durability)?;
        self.search(&mut prepared)?;
        Ok((pipeline, prepared))
    }

    /// The refusal of a batch whose failed preconditions have failed for good, by events that readers
    /// see and, for a durable batch, the device has. It needs neither the writer nor a sync. What
    /// may come true with batches on their way is left to the writer, and so are those that may be
    /// repeated or set checkpoints.
    fn refuse_at_once(&self, pipeline: &Pipeline, batch: &PreparedBatch) -> Option<AppendError> {
        let PreparedBatch { preconditions, queries, event_ids, durability, .. } = batch;
        let sets_checkpoints = batch.encoded.as_ref().is_some_and(|it| it.checkpoint_count() > 0);
        let is_more = !queries.is_empty() || event_ids.is_some() || sets_checkpoints;
        if preconditions.is_empty() || is_more {
            return None;
        }
        let Shared { watermarks, index, counters, .. } = &*self.shared;
        let seen = match durability {
            Durability::Sync => watermarks.synced().min(watermarks.published()),
            Durability::Buffered => watermarks.published(),
        };
        let judged = Judged::of(preconditions, index);
        if !judged.is_refused_for_good(seen) || !pipeline.takes_batches() {
            return None;
        }
        counters.refused_at_once();
        Some(AppendError::PreconditionFailed(judged.failed.into()))
    }

    /// Searches what is committed for what a batch's queries are not to match, on the caller's
    /// thread: so that the writer has to look at what comes meanwhile alone.
    fn search(&self, batch: &mut PreparedBatch) -> Result<(), AppendError> {
        for PreparedQuery { filter, searched_to, found, .. } in &mut batch.queries {
            let snapshot = self.snapshot();
            let end = snapshot.end;
            if *searched_to < end {
                let range = searched_to.as_u64()..end.as_u64();
                *found = first_match(snapshot, &self.shared.index, filter, range)
                    .map_err(AppendError::NotJudged)?;
                *searched_to = end;
            }
        }
        Ok(())
    }

    fn pipeline(&self) -> Result<&Arc<Pipeline>, AppendError> {
        self.shared.pipeline.as_ref().ok_or(AppendError::ReadOnly)
    }

    fn live(&self) -> Live {
        let Shared { segments, watermarks, index, options, notifier, pipeline, follows, .. } =
            &*self.shared;
        Live {
            segments: Arc::clone(segments),
            watermarks: Arc::clone(watermarks),
            index: Arc::clone(index),
            notifier: Arc::clone(notifier),
            verify: options.verify_reads,
            grows: pipeline.is_some() || follows.is_some(),
            follows: follows.clone(),
        }
    }

    /// Looks for what a writer in another process has made durable.
    fn look(&self) {
        if let Some(Follows { follower, .. }) = &self.shared.follows {
            follower.look();
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.look();
        let Shared { segments, watermarks, options, .. } = &*self.shared;
        Snapshot::take(segments, watermarks, options.verify_reads)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("end", &self.end())
            .field("synced_end", &self.synced_end())
            .field("read_only", &self.shared.pipeline.is_none())
            .finish_non_exhaustive()
    }
}
