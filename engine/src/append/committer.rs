//! The one that decides: preconditions, checkpoints, positions, versions, time.
//!
//! Owns: [`Committer`], a plain struct without threads and clocks: given a batch and a time it
//! stores a frame, or refuses. May call: segment, index, replay, and read for queries. Whoever holds it
//! is the writer.
//!
//! Invariants:
//! - A refusal changes nothing: not the index, not a position, not a byte on disk.
//! - Index and checkpoints are changed right after a frame is stored or gathered, never before.
//! - What is gathered is stored before anything is read of it, and before its group is published.
//! - After a failed store nothing is stored any more: the latch is shut, and what index and
//!   checkpoints have of batches that may not be there dies with the handle.

use std::io;
use std::sync::Arc;

use quipu_format::sidecar::NameHash;
use quipu_format::{
    CommitTime, ControlKind, EncodedBatch, NamedCheckpoint, Position, SegmentHeader,
};

use super::batch::{PreparedBatch, PreparedQuery};
use super::expected::{FailedQuery, RefusedCheckpoint};
use super::group::{Group, Staged};
use super::judge::Judged;
use super::receipt::Committed;
use super::replay;
use crate::error::AppendError;
use crate::index::checkpoints::{Checkpoints, Set};
use crate::index::{StreamIndex, StreamNumber};
use crate::options::Durability;
use crate::read::events::first_match;
use crate::read::snapshot::Snapshot;
use crate::segment::set::SegmentSet;
use crate::segment::source::{Sealed, SegmentSource};
use crate::segment::writer::ActiveSegment;
use crate::storage::latch::Latch;
use crate::storage::{IoError, StoreMode};
use crate::watermark::{Reach, Watermarks};

/// Decides on batches and stores them.
pub(crate) struct Committer {
    pub(crate) active: ActiveSegment,
    pub(crate) header: SegmentHeader,
    /// `None` once the log is closed.
    pub(crate) source: Option<Box<dyn SegmentSource>>,
    pub(crate) mode: StoreMode,
    pub(crate) index: Arc<StreamIndex>,
    pub(crate) segments: Arc<SegmentSet>,
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) latch: Arc<Latch>,
    /// All named checkpoints that are stored, published or not.
    pub(crate) checkpoints: Checkpoints,
    /// Frames and segment headers stored since the log was opened, but for seals.
    pub(crate) frames: u64,
    /// Checkpoints are stored that no frame behind them says to be durable.
    pub(crate) is_unwitnessed: bool,
    /// The streams of the batch at hand, by their place in its table; kept for its memory.
    pub(crate) numbers: Vec<Option<StreamNumber>>,
}

impl Committer {
    /// Looks at one batch at the time `now`: stores it, or says why not.
    pub(crate) fn append(
        &mut self,
        batch: PreparedBatch,
        now: CommitTime,
        group: &mut Group,
    ) -> Staged {
        match self.try_append(batch, now, group) {
            Ok(committed) => {
                let encoded = committed.encoded.as_ref().filter(|_| !committed.replayed);
                let stored = encoded.is_some();
                group.counts.batches += u64::from(stored);
                group.counts.events += encoded.map_or(0, |batch| u64::from(batch.event_count()));
                Staged { answer: Ok(committed), stored }
            }
            Err(error) => {
                let stored = matches!(error, AppendError::OutcomeUnknown(_));
                let is_refused = matches!(
                    error,
                    AppendError::PreconditionFailed(_)
                        | AppendError::QueryMatched { .. }
                        | AppendError::CheckpointRefused { .. }
                );
                group.counts.refused += u64::from(is_refused);
                Staged { answer: Err(error), stored }
            }
        }
    }

    fn try_append(
        &mut self,
        mut batch: PreparedBatch,
        now: CommitTime,
        group: &mut Group,
    ) -> Result<Committed, AppendError> {
        self.latch.check().map_err(AppendError::Poisoned)?;
        let sync = batch.durability == Durability::Sync;
        let mut judged = Judged::of(&batch.preconditions, &self.index);
        if !batch.queries.is_empty() {
            // They are asked of what is stored.
            self.flush(group).map_err(AppendError::Poisoned)?;
        }
        self.judge_queries(&mut batch.queries, &mut judged)?;
        self.judge_checkpoints(batch.encoded.as_ref(), &mut judged);
        if sync {
            group.judged_end = group.judged_end.max(judged.end);
            group.judged_frames = group.judged_frames.max(judged.frames);
        }
        let has_matched = batch.queries.iter().any(|query| query.found.is_some());
        if has_matched || !judged.failed.is_empty() || !judged.refused.is_empty() {
            if batch.event_ids.is_some() {
                // The original may be among what has been gathered.
                self.flush(group).map_err(AppendError::Poisoned)?;
            }
            if let Some(original) = self.replay(&mut batch, &judged.refused) {
                if sync {
                    let count = batch.encoded.as_ref().map_or(0, EncodedBatch::event_count);
                    let end = original.first_position.plus(u64::from(count));
                    group.judged_end = group.judged_end.max(end);
                }
                return Ok(Committed {
                    encoded: batch.encoded,
                    first_position: original.first_position,
                    committed_at: original.commit_time,
                    replayed: true,
                });
            }
            return Err(refusal(judged, &batch.queries));
        }
        let time = batch.commit_time.unwrap_or(now).max(self.active.chain().time);
        let Some(mut encoded) = batch.encoded else {
            return Ok(Committed::nothing(self.active.chain().position, time));
        };
        let frame_bytes = u64::from(encoded.frame_bytes());
        if !self.active.has_room_for(frame_bytes) {
            self.roll_over(time, group)?;
        }
        let first_position = self.active.chain().position;
        self.note_versions(&mut encoded, &batch.stream_hashes);
        let (synced, settled) = self.durable();
        group.touch(&self.active);
        self.active
            .append_batch(&mut encoded, time, (synced, settled), group.gathers)
            .map_err(|error| self.fail("write a batch to", error, group))?;
        self.is_unwitnessed &= !settled;
        self.frames += 1;
        let (hashes, tags) = (&batch.stream_hashes, &batch.tag_hashes);
        self.update_index(&encoded, hashes, tags, first_position);
        self.set_checkpoints(&encoded, first_position, group);
        group.needs_sync |= sync;
        group.stored_bytes += frame_bytes;
        self.watermarks.write(self.reach());
        Ok(Committed {
            encoded: Some(encoded),
            first_position,
            committed_at: time,
            replayed: false,
        })
    }

    /// Stores what has been gathered, which must be done before the group is published.
    pub(crate) fn flush(&mut self, group: &mut Group) -> Result<(), IoError> {
        match self.active.flush() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.trip("write batches to", error, group)),
        }
    }

    /// Stores a mark if the log on disk does not say yet how far it is durable.
    pub(crate) fn mark(&mut self, group: &mut Group) {
        if self.has_unmarked_sync() {
            self.store_control(ControlKind::Mark, group);
        }
    }

    /// Stores a close frame, unless the last frame is one. All of the log is durable by now.
    pub(crate) fn close(&mut self, group: &mut Group) {
        let closed = self.active.last_control() == Some(ControlKind::Close);
        if !closed && self.active.has_room_for_control() {
            self.store_control(ControlKind::Close, group);
        }
    }

    /// How far the log is stored.
    pub(crate) fn reach(&self) -> Reach {
        Reach { position: self.active.chain().position, frames: self.frames }
    }

    /// The synced position, and whether all that is stored is durable.
    fn durable(&self) -> (Position, bool) {
        (self.watermarks.synced(), self.watermarks.synced_frames() == self.frames)
    }

    /// Whether more is durable than the last frames say, and a mark can say so.
    pub(crate) fn has_unmarked_sync(&self) -> bool {
        let (synced, settled) = self.durable();
        let is_unmarked = self.active.chain().synced_position < synced;
        (is_unmarked || (settled && self.is_unwitnessed))
            && self.active.has_room_for_control()
            && self.latch.check().is_ok()
    }

    fn store_control(&mut self, kind: ControlKind, group: &mut Group) {
        if self.latch.check().is_err() {
            return;
        }
        // The last batch's time: a later one would raise the times of history that is imported.
        let time = self.active.chain().time;
        let (synced, settled) = self.durable();
        group.touch(&self.active);
        group.needs_sync = true;
        if let Err(error) = self.active.append_control(kind, time, (synced, settled)) {
            self.fail("write a frame to", error, group);
            return;
        }
        self.is_unwitnessed &= !settled;
        self.frames += 1;
        self.watermarks.write(self.reach());
    }

    /// Searches for each query what its caller has not: what was stored since, group mates included.
    fn judge_queries(
        &self,
        queries: &mut [PreparedQuery],
        judged: &mut Judged,
    ) -> Result<(), AppendError> {
        let end = self.active.chain().position;
        for PreparedQuery { filter, after, searched_to, found } in queries {
            if found.is_none() && *searched_to < end {
                // What this process has stored is not verified again: that would take the longer, the
                // larger it is.
                let segments = self.segments.snapshot();
                let snapshot = Snapshot { segments, end, verify: false };
                let since = searched_to.as_u64()..end.as_u64();
                *found = first_match(snapshot, &self.index, filter, since)
                    .map_err(AppendError::NotJudged)?;
                *searched_to = end;
            }
            // That there is none is said of the log as far as the caller has seen it.
            let spoken_of = found.map_or(*after, |position| position.plus(1));
            judged.end = judged.end.max(spoken_of.min(end));
        }
        Ok(())
    }

    /// Looks which named checkpoints would not go forward.
    fn judge_checkpoints(&self, batch: Option<&EncodedBatch>, judged: &mut Judged) {
        let given = batch.into_iter().flat_map(EncodedBatch::checkpoints).flatten();
        for NamedCheckpoint { name, position } in given {
            let Some(set) = self.checkpoints.find(name).filter(|set| set.position >= position)
            else {
                continue;
            };
            judged.frames = judged.frames.max(set.frames);
            judged.refused.push(RefusedCheckpoint {
                name: name.to_owned(),
                given: position,
                actual: set.position,
            });
        }
    }

    /// Notes the checkpoints of a batch that has been stored.
    fn set_checkpoints(&mut self, batch: &EncodedBatch, first: Position, group: &mut Group) {
        let set_by = (batch.event_count() > 0).then_some(first);
        for NamedCheckpoint { name, position } in batch.checkpoints().flatten() {
            self.checkpoints.set(name, Set { position, set_by, frames: self.frames });
            group.checkpoints.push((name.into(), position));
            // A frame that takes no position needs a witness of its own kind.
            self.is_unwitnessed |= set_by.is_none();
        }
    }

    fn replay(
        &self,
        batch: &mut PreparedBatch,
        refused: &[RefusedCheckpoint],
    ) -> Option<replay::Original> {
        let ids = batch.event_ids.as_deref().filter(|ids| !ids.is_empty())?;
        let encoded = batch.encoded.as_mut()?;
        let matched: Vec<Position> = batch.queries.iter().filter_map(|query| query.found).collect();
        let same = refused.iter().filter(|refused| refused.given == refused.actual);
        let set_by: Vec<Option<Position>> =
            same.map(|refused| self.checkpoints.find(&refused.name)?.set_by).collect();
        let preconditions = &batch.preconditions;
        let failed = replay::Failed { preconditions, matched: &matched, set_by: &set_by };
        replay::find(encoded, ids, &failed, &self.index)
    }

    /// Writes into the batch which version each of its streams goes on with.
    fn note_versions(&mut self, encoded: &mut EncodedBatch, hashes: &[u64]) {
        self.numbers.clear();
        let streams = self.index.read();
        let table = encoded.streams();
        for (index, hash) in (0_u32..).zip(hashes) {
            let name = table.name(index).unwrap_or_default();
            self.numbers.push(streams.find(*hash, name));
        }
        for (index, number) in (0_u32..).zip(&self.numbers) {
            let version = number.map(|number| streams.next_version(number)).unwrap_or_default();
            encoded.set_first_version(index, version);
        }
    }

    /// Notes the events of a batch that has been stored.
    fn update_index(
        &mut self,
        encoded: &EncodedBatch,
        hashes: &[u64],
        tags: &[(u32, NameHash)],
        first: Position,
    ) {
        let Self { index, numbers, .. } = self;
        index.update(|streams| {
            let table = encoded.streams();
            for ((at, hash), number) in (0_u32..).zip(hashes).zip(numbers.iter_mut()) {
                number.get_or_insert_with(|| {
                    streams.find_or_add(*hash, table.name(at).unwrap_or_default())
                });
            }
            for (offset, stream) in (0_u64..).zip(encoded.event_streams()) {
                if let Some(Some(number)) = numbers.get(stream as usize) {
                    streams.push(*number, first.plus(offset));
                }
            }
            for (offset, tag) in tags {
                streams.push_tag(*tag, first.plus(u64::from(*offset)));
            }
        });
    }

    /// Seals the active segment and goes on in the next one.
    ///
    /// No sync here: the group's own covers the header and what follows it. If the seal does not
    /// reach the disk before a crash, recovery makes it again from the header, which repeats the
    /// seal's time and synced position and names its checksum. It is synced in the background.
    ///
    /// `time` is that of the batch that goes into it: no later one, for the batches that follow may
    /// bring times of their own, and times never run backwards.
    fn roll_over(&mut self, time: CommitTime, group: &mut Group) -> Result<(), AppendError> {
        let Some(source) = &mut self.source else { return Err(AppendError::Closed) };
        let from = self.active.segment().name();
        let prepared = source.take().map_err(|error| match error.is_full() {
            true => AppendError::Full(error),
            false => AppendError::NoSegment(error),
        })?;
        let synced = self.watermarks.synced();
        self.active
            .append_control(ControlKind::Seal, time, (synced, false))
            .map_err(|error| self.fail("seal", error, group))?;
        let header = SegmentHeader {
            sequence: prepared.sequence,
            capacity: prepared.region.capacity(),
            base_position: self.active.chain().position,
            created_at: time,
            synced_position: synced,
            predecessor: Some(quipu_format::Predecessor {
                end: self.active.end(),
                checksum: self.active.chain().previous,
            }),
            ..self.header
        };
        let sealed = self.active.sealed();
        let activated = ActiveSegment::activate(prepared, &header, self.mode);
        let next = activated.map_err(|error| self.fail("write the header of", error, group))?;
        self.frames += 1;
        self.index.update(|streams| streams.begin_segment(header.sequence, header.base_position));
        self.segments.push(Arc::clone(next.segment()));
        group.touch(&next);
        let full = std::mem::replace(&mut self.active, next);
        self.watermarks.write(self.reach());
        self.header = header;
        full.segment().seal(sealed);
        tracing::debug!(%from, to = %self.active.segment().name(), "rolled over");
        if let Some(source) = &mut self.source {
            let segment = Arc::clone(full.segment());
            source.retire(Sealed { file: Arc::clone(full.file()), segment });
        }
        Ok(())
    }

    /// Shuts the latch after a failed store.
    fn fail(&self, operation: &'static str, error: io::Error, group: &mut Group) -> AppendError {
        AppendError::OutcomeUnknown(self.trip(operation, error, group))
    }

    fn trip(&self, operation: &'static str, error: io::Error, group: &mut Group) -> IoError {
        let cause = IoError::new(operation, self.active.segment().name(), error)
            .at(self.active.end().as_u64());
        let cause = self.latch.trip(cause);
        group.failure.get_or_insert_with(|| cause.clone());
        cause
    }
}

/// What a caller is told whose preconditions do not hold, or whose checkpoints do not go forward.
fn refusal(judged: Judged, queries: &[PreparedQuery]) -> AppendError {
    let Judged { failed: streams, refused, .. } = judged;
    let failed = |query: &PreparedQuery| {
        let (PreparedQuery { filter, after, .. }, position) = (query, query.found?);
        Some(FailedQuery { query: filter.query().clone(), after: *after, position })
    };
    let queries: Box<[FailedQuery]> = queries.iter().filter_map(failed).collect();
    let streams = streams.into();
    match (refused.is_empty(), queries.is_empty()) {
        (true, true) => AppendError::PreconditionFailed(streams),
        (true, false) => AppendError::QueryMatched { queries, streams },
        (false, _) => {
            AppendError::CheckpointRefused { checkpoints: refused.into(), queries, streams }
        }
    }
}
