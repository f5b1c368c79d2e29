//! The one that makes groups durable and visible.
//!
//! Owns: [`Publisher`]. May call: storage's files, the latch, the watermarks. Whoever holds it
//! publishes; groups pass through in the order in which they were stored.
//!
//! The order of effects, on which the contract rests:
//! 1. every file with frames that are not durable is synced, oldest first;
//! 2. then, and only then, the synced mark rises, and readers in other processes are told;
//! 3. then the published mark, and in one step with it the named checkpoints: readers see the group;
//! 4. then callers are answered: whoever hears of a commit can read it.
//!
//! If 1 fails, the latch shuts and 2 and 3 never happen. A sync is never tried again: after a
//! failed one the kernel takes the pages for clean.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::group::{Group, Staged, Touched};
use super::ticket::{Answer, Responder};
use crate::index::checkpoints::PublishedCheckpoints;
use crate::stats::Counters;
use crate::storage::IoError;
use crate::storage::beacon::Beacon;
use crate::storage::latch::Latch;
use crate::watermark::{Reach, Watermarks};

/// Makes groups durable and visible, one after the other.
#[derive(Debug)]
pub(crate) struct Publisher {
    watermarks: Arc<Watermarks>,
    latch: Arc<Latch>,
    checkpoints: Arc<PublishedCheckpoints>,
    /// Files with frames that are not known to be durable, oldest first.
    unsynced: Vec<Touched>,
    /// Tells readers in other processes.
    beacon: Option<Beacon>,
    counters: Arc<Counters>,
}

impl Publisher {
    pub(crate) fn new(
        shared: (Arc<Watermarks>, Arc<PublishedCheckpoints>, Arc<Counters>),
        latch: Arc<Latch>,
        beacon: Option<Beacon>,
    ) -> Self {
        let (watermarks, checkpoints, counters) = shared;
        Self { watermarks, latch, checkpoints, unsynced: Vec::new(), beacon, counters }
    }

    /// Takes a group to where its answers are true, and gives those who wait for them, with what
    /// has become of it.
    #[must_use = "callers wait for the answers"]
    pub(crate) fn publish(&mut self, mut group: Group) -> (Vec<Responder>, Result<(), IoError>) {
        let waiting = std::mem::take(&mut group.waiting);
        (waiting, self.advance(group))
    }

    /// As [`Publisher::publish`], for a group of one whose caller waits here.
    pub(crate) fn publish_one(&mut self, group: Group, staged: Staged) -> Answer {
        staged.told(&self.advance(group))
    }

    /// Makes the group durable, if it asks for that, and then visible.
    fn advance(&mut self, group: Group) -> Result<(), IoError> {
        let Group { touched, end, needs_sync, judged_end, judged_frames, failure, .. } = group;
        let (counts, bytes) = (group.counts, group.stored_bytes);
        for file in touched {
            let known = self.unsynced.iter().any(|known| Arc::ptr_eq(&known.file, &file.file));
            if !known {
                self.unsynced.push(file);
            }
        }
        if let Some(cause) = failure {
            return Err(cause);
        }
        // A log that is never synced holds on to few files all the same: the oldest are sealed, and
        // the background has synced them, so that this costs next to nothing.
        while self.unsynced.len() > UNSYNCED_FILES_MAX {
            self.latch.check()?;
            let oldest = self.unsynced.remove(0);
            sync_file(&oldest, &self.latch)?;
        }
        let is_judged_durable = judged_end <= self.watermarks.synced()
            && judged_frames <= self.watermarks.synced_frames();
        if needs_sync || !is_judged_durable {
            self.sync(end)?;
        } else {
            self.latch.check()?;
        }
        self.checkpoints.publish(group.checkpoints, || self.watermarks.publish(end.position));
        self.counters.published(counts, bytes);
        Ok(())
    }

    fn sync(&mut self, end: Reach) -> Result<(), IoError> {
        self.latch.check()?;
        let began = Instant::now();
        for touched in &self.unsynced {
            sync_file(touched, &self.latch)?;
        }
        let took = began.elapsed();
        self.counters.synced(took);
        if took > SLOW {
            tracing::warn!(?took, files = self.unsynced.len(), "a sync was slow");
        }
        // The background's sync of a seal may have failed meanwhile: then this one proves nothing.
        self.latch.check()?;
        self.unsynced.clear();
        self.watermarks.sync(end);
        self.beacon.take_if(|beacon| !beacon.announce(end.position));
        Ok(())
    }
}

/// A sync that takes longer is told of.
const SLOW: Duration = Duration::from_secs(1);

/// Files that may be waiting for a sync; one more, and the oldest is synced.
const UNSYNCED_FILES_MAX: usize = 8;

/// Syncs a file; a failure shuts the latch.
fn sync_file(touched: &Touched, latch: &Latch) -> Result<(), IoError> {
    let Touched { file, segment } = touched;
    // A sealed segment is synced in the background too.
    let _turn = latch.turn();
    latch.check()?;
    file.sync().map_err(|error| latch.trip(IoError::new("sync", segment.name(), error)))
}
