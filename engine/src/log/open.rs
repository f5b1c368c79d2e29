//! Opening a log: a finished recovery, and the parts put together around it.
//!
//! Owns: the ways of opening that [`Options`] and [`Log`] offer. May call: recovery, append,
//! segment, subscribe, storage. Without a finished recovery there is no writer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::closer::{Closer, Running};
use super::directory::{lock, os_directory};
use super::{Log, Shared};
use crate::append::committer::Committer;
use crate::append::pipeline::{Limits, Pipeline};
use crate::append::publisher::Publisher;
use crate::append::writer::WriterThreads;
use crate::environment::Environment;
use crate::error::OpenError;
use crate::follow::poller::Poller;
use crate::follow::{Follower, THOROUGH_EVERY};
use crate::index::StreamIndex;
use crate::index::checkpoints::{Checkpoints, PublishedCheckpoints};
use crate::index::indexer::Indexer;
use crate::options::Options;
use crate::recovery::report::RecoveryReport;
use crate::recovery::{Reached, Recovered, RecoveredWriter, recover, recover_read_only};
use crate::retention::Retention;
use crate::segment::set::SegmentSet;
use crate::segment::source::{Background, Inline, SegmentSource};
use crate::stats::Counters;
use crate::storage::beacon::Beacon;
use crate::storage::latch::Latch;
use crate::storage::{Directory, DirectoryLock, IoError};
use crate::subscribe::notifier::Notifier;
use crate::subscribe::source::Follows;
use crate::sync::{Mutex, channel};
use crate::watermark::Watermarks;

impl Log {
    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let directory = os_directory(path, options.create)?;
        Self::open_on(directory, options, Environment::System, false)
    }

    /// Opens a log on the simulated disk. Everything is done on the caller's thread, times are
    /// counted, and a new log's id comes from the disk's seed: the same calls on the same disk have
    /// the same effects, one by one, byte by byte.
    ///
    /// # Errors
    /// [`OpenError`], as for [`Log::open`].
    #[cfg(feature = "sim")]
    pub fn open_simulated(
        disk: &crate::storage::sim::SimDisk,
        options: Options,
    ) -> Result<Self, OpenError> {
        options.check()?;
        let ticks = std::sync::atomic::AtomicU64::new(1);
        let environment = Environment::Repeatable { ticks, log_id: disk.draw_log_id() };
        Self::open_on(Arc::new(disk.clone()), options, environment, true)
    }

    /// Opens a log on the simulated disk for reading only.
    ///
    /// # Errors
    /// [`OpenError`], as for [`Log::open_read_only`].
    #[cfg(feature = "sim")]
    pub fn open_simulated_read_only(
        disk: &crate::storage::sim::SimDisk,
        options: Options,
    ) -> Result<Self, OpenError> {
        options.check()?;
        let directory: Arc<dyn Directory> = Arc::new(disk.clone());
        let recovered = recover_read_only(&directory, &options, &Environment::System)?;
        Self::start(directory, recovered, None, options, Environment::System, true)
    }

    pub(crate) fn open_on(
        directory: Arc<dyn Directory>,
        options: Options,
        environment: Environment,
        threadless: bool,
    ) -> Result<Self, OpenError> {
        let lock = lock(&*directory)?;
        let recovered = recover(&directory, &options, &environment)?;
        Self::start(directory, recovered, Some(lock), options, environment, threadless)
    }

    pub(crate) fn open_read_only_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let directory = os_directory(path, false)?;
        let recovered = recover_read_only(&directory, &options, &Environment::System)?;
        Self::start(directory, recovered, None, options, Environment::System, false)
    }

    /// Builds the parts around a finished recovery. Without it there is no writer.
    fn start(
        directory: Arc<dyn Directory>,
        recovered: Recovered,
        lock: Option<Box<dyn DirectoryLock>>,
        options: Options,
        environment: Environment,
        threadless: bool,
    ) -> Result<Self, OpenError> {
        let Recovered {
            report,
            segments: listed,
            index,
            checkpoints,
            end,
            synced,
            writer,
            reached,
        } = recovered;
        tell(&report, writer.is_some());
        let segments = Arc::clone(index.segments());
        segments.put(listed);
        let common = Common {
            segments,
            published: Arc::new(PublishedCheckpoints::new(&checkpoints)),
            watermarks: Arc::new(Watermarks::new(end, synced.min(end))),
            index: Arc::new(index),
            notifier: Arc::new(Notifier::default()),
            counters: Arc::new(Counters::default()),
        };
        let (pipeline, retention) = match writer {
            None => (None, None),
            Some(writer) => {
                let latch = Arc::new(Latch::new());
                let Common { segments, watermarks, .. } = &common;
                let parts = (Arc::clone(segments), Arc::clone(watermarks), Arc::clone(&latch));
                let retention = Retention::new(Arc::clone(&directory), parts.0, parts.1, parts.2);
                let stored = (writer, checkpoints, latch);
                let pipeline = pipeline(stored, &common, &options, environment, threadless)?;
                (Some(pipeline), Some(Arc::new(retention)))
            }
        };
        let threads = match &pipeline {
            Some(pipeline) if !threadless => {
                let started = WriterThreads::start(pipeline);
                Some(started.map_err(|error| IoError::new("start", "the writer", error))?)
            }
            _ => None,
        };
        let follows = match &reached {
            None => None,
            Some(reached) => Some(follows(Arc::clone(&directory), reached, &common, threadless)?),
        };
        let Common { index, segments, watermarks, published, notifier, counters } = common;
        let poller = match &follows {
            Some(Follows { follower, bell }) if !threadless => {
                let started = Poller::start(follower, &notifier, bell, options.follow_every);
                Some(started.map_err(|error| IoError::new("start", "a thread", error))?)
            }
            _ => None,
        };
        let running = lock.map(|lock| Running { threads, lock });
        let closer = Closer {
            pipeline: pipeline.clone(),
            retention: retention.clone(),
            notifier: Arc::clone(&notifier),
            threadless,
            running: Mutex::new(running),
            poller: Mutex::new(poller),
        };
        let shared = Shared {
            directory,
            index,
            segments,
            watermarks,
            checkpoints: published,
            notifier,
            report,
            counters,
            options,
            pipeline,
            retention,
            follows,
            threadless,
        };
        Ok(Self { shared: Arc::new(shared), closer: Arc::new(closer) })
    }
}

/// What follows another process's writer.
fn follows(
    directory: Arc<dyn Directory>,
    reached: &Reached,
    common: &Common,
    threadless: bool,
) -> Result<Follows, OpenError> {
    let name = directory.name();
    // Without threads there is no clock either: each look is a thorough one.
    let thorough_every = if threadless { Duration::ZERO } else { THOROUGH_EVERY };
    let Common { index, watermarks, published, notifier, .. } = common;
    let parts = (index, watermarks, published);
    let follower = Follower::new(directory, reached, parts, notifier, thorough_every);
    let follower = follower.map_err(|error| IoError::new("open a segment of", name, error))?;
    Ok(Follows { follower: Arc::new(follower), bell: Arc::default() })
}

/// What the writer and the readers of a log share.
struct Common {
    index: Arc<StreamIndex>,
    segments: Arc<SegmentSet>,
    watermarks: Arc<Watermarks>,
    published: Arc<PublishedCheckpoints>,
    notifier: Arc<Notifier>,
    counters: Arc<Counters>,
}

/// Builds the data path of appends.
fn pipeline(
    (writer, checkpoints, latch): (RecoveredWriter, Checkpoints, Arc<Latch>),
    common: &Common,
    options: &Options,
    environment: Environment,
    threadless: bool,
) -> Result<Arc<Pipeline>, OpenError> {
    let Common { index, segments, watermarks, published, notifier, counters } = common;
    let RecoveredWriter { active, header, preparer, is_unwitnessed, table } = writer;
    let directory = Arc::clone(preparer.directory());
    let indexer = Box::new(Indexer::new(Arc::clone(&directory), Arc::clone(index), table));
    let source: Box<dyn SegmentSource> = match threadless {
        true => Box::new(Inline::new(preparer, Arc::clone(&latch), indexer)),
        false => {
            let ahead = options.segments_ahead;
            let started = Background::start(
                preparer,
                ahead,
                Arc::clone(&latch),
                indexer,
                Arc::clone(counters),
            );
            Box::new(started.map_err(|error| IoError::new("start", "a thread", error))?)
        }
    };
    let committer = Committer {
        active,
        header,
        source: Some(source),
        mode: options.store_mode,
        index: Arc::clone(index),
        segments: Arc::clone(segments),
        watermarks: Arc::clone(watermarks),
        latch: Arc::clone(&latch),
        checkpoints,
        frames: 0,
        is_unwitnessed,
        numbers: Vec::new(),
    };
    let (directory, mode, log_id) = (&directory, options.store_mode, header.log_id);
    // All that recovery has accepted is durable.
    let end = watermarks.synced();
    let session = |before| environment.new_session(before);
    let beacon = Beacon::light(directory, mode, log_id, end, session);
    let shared = (Arc::clone(watermarks), Arc::clone(published), Arc::clone(counters));
    let publisher = Publisher::new(shared, latch, beacon);
    let limits = Limits {
        group_batches_max: options.group_batches_max,
        group_bytes_max: options.group_bytes_max,
        sync_interval: options.sync_interval,
        idle_mark_after: options.idle_mark_after,
    };
    let queue = channel::bounded(options.queue_batches_max);
    let notifier = Arc::clone(notifier);
    Ok(Arc::new(Pipeline::new(committer, publisher, queue, notifier, environment, limits)))
}

/// Says what opening has come to.
fn tell(report: &RecoveryReport, is_writer: bool) {
    let RecoveryReport { log_id, segments, events, streams, clean_close, time_taken, .. } = report;
    tracing::info!(
        %log_id, segments, events, streams, clean_close, ?time_taken, is_writer, "opened"
    );
    let RecoveryReport { bytes_cut, end, damage, indexes_made, indexes_wrong, .. } = report;
    if *bytes_cut > 0 && damage.is_none() {
        let (file, offset) = (&end.file, end.offset.as_u64());
        tracing::warn!(file, offset, bytes_cut, "a torn tail, never acknowledged as durable");
    }
    if *indexes_wrong > 0 {
        tracing::warn!(indexes_wrong, indexes_made, "indexes of segments were wrong");
    }
    if let Some(damage) = damage {
        tracing::error!(%damage, "the log is damaged, and open for reading only");
    }
}
