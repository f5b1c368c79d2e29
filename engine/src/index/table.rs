//! All streams as they were at the end of a sealed segment, so that opening need not look into every
//! index.
//!
//! Owns: [`TableKeeper`], which makes that file when it is worth it. May call: segment, the format. Runs
//! where indexes are made, off the writer's path.
//!
//! The file that is there, or the base of a log whose first segments have been dropped, is merged with the
//! indexes made since, front to back; nothing else is looked at. It is made again when those have as many entries as it has streams: so each entry costs about
//! one more in it over the log's life, and opening never reads more than about twice the streams.

use std::sync::Arc;

use quipu_format::SegmentSeq;
use quipu_format::sidecar::{
    CheckpointBuilder, NameHash, SealedSegment, Section, SetCheckpoint, SidecarError,
    StreamCheckpoint, StreamState,
};

use crate::segment::base;
use crate::segment::reader::Segment;
use crate::segment::sidecar::SegmentIndex;
use crate::segment::stream_table;
use crate::storage::Directory;

/// What the file covers, and what has come since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TableKeeper {
    /// The last segment that the file covers; `None`: there is no file that is right.
    pub(crate) covered: Option<SegmentSeq>,
    /// Streams and checkpoints in it.
    pub(crate) entries: u64,
    /// Entries of the indexes behind it.
    pub(crate) since: u64,
}

impl TableKeeper {
    /// Notes the index of a segment behind all noted before.
    pub(crate) fn note(&mut self, own: &SegmentIndex) {
        let header = own.header();
        let entries = header.stream_count.saturating_add(u64::from(header.checkpoint_count));
        self.since = self.since.saturating_add(entries);
    }

    /// Whether it is worth it to make the file again.
    pub(crate) fn is_due(&self) -> bool {
        self.since >= self.entries.max(1)
    }

    /// Makes the file again, up to the segment that was sealed last. All in front of it is on the
    /// device. Where an index is missing or wrong, or the file cannot be stored, nothing is lost: the
    /// next segment tries it anew.
    pub(crate) fn renew(
        &mut self,
        directory: &dyn Directory,
        segments: &[Arc<Segment>],
        sealed: &SealedSegment,
    ) {
        let old = self.covered.and_then(|_| stream_table::load(directory).ok());
        let old = old.as_deref().map(StreamCheckpoint::decode).and_then(Result::ok);
        // Some other file may have been put there meanwhile.
        let old = old.filter(|old| belongs(old, segments));
        let first = segments.first().map(|first| first.sequence());
        let base = match (&old, first) {
            (None, Some(first)) if first > SegmentSeq::ZERO => base::load(directory, first).ok(),
            _ => None,
        };
        let base = base.as_ref().and_then(|base| base.view().ok());
        let old = old.or(base.as_ref().map(|base| *base.table()));
        let covered = old.map(|old| old.header().segment.sequence);
        let is_new = |segment: &&Arc<Segment>| {
            covered.is_none_or(|covered| covered < segment.sequence())
                && segment.sequence() <= sealed.sequence
        };
        let own = segments.iter().filter(is_new).map(|segment| segment.attached());
        let Some(own) = own.collect::<Option<Vec<_>>>() else { return };
        let Ok(Some(merged)) = merge(old.as_ref(), &own, sealed) else {
            self.covered = None;
            return;
        };
        let (entries, bytes) = (merged.entries(), merged.finish(sealed));
        if stream_table::store(directory, &bytes).is_ok() {
            *self = Self { covered: Some(sealed.sequence), entries, since: 0 };
        }
    }
}

/// Whether a file is bound to one of these segments.
fn belongs(old: &StreamCheckpoint<'_>, segments: &[Arc<Segment>]) -> bool {
    let sequence = old.header().segment.sequence;
    let place = segments.binary_search_by_key(&sequence, |segment| segment.sequence()).ok();
    let sealed = place.and_then(|place| segments.get(place)?.sealed());
    sealed.is_some_and(|sealed| old.header().check_segment(&sealed).is_ok())
}

/// What is read of an index.
pub(crate) const NEEDED: [Section; 3] =
    [Section::StreamTable, Section::StreamRecords, Section::Checkpoints];

/// All streams and checkpoints at the end of `sealed`; `None`: the indexes do not follow one another.
pub(crate) fn merge(
    old: Option<&StreamCheckpoint<'_>>,
    since: &[Arc<SegmentIndex>],
    sealed: &SealedSegment,
) -> Result<Option<CheckpointBuilder>, SidecarError> {
    let mut sequence = old.map(|old| old.header().segment.sequence);
    let mut changed: Vec<StreamState<'_>> = Vec::new();
    let mut set: Vec<SetCheckpoint<'_>> = Vec::new();
    for checkpoint in old.into_iter().flat_map(StreamCheckpoint::checkpoints) {
        set.push(checkpoint?);
    }
    for own in since {
        let next = sequence.map_or(SegmentSeq::ZERO, |sequence| sequence.plus(1));
        if own.header().segment.sequence != next {
            return Ok(None);
        }
        sequence = Some(next);
        let sidecar = own.sidecar(&NEEDED)?;
        for stream in sidecar.streams() {
            let stream = stream?;
            changed.push(StreamState {
                hash: stream.hash,
                name: stream.name,
                version: stream.last_version(),
                position: stream.positions.last(),
            });
        }
        for checkpoint in sidecar.checkpoints() {
            set.push(checkpoint?);
        }
    }
    if sequence != Some(sealed.sequence) {
        return Ok(None);
    }
    changed.sort_unstable_by_key(|stream| (key(stream), stream.position));
    let mut builder = CheckpointBuilder::new(set);
    let mut changed = changed.into_iter().peekable();
    let mut push_up_to = |before: Option<&StreamState<'_>>, builder: &mut CheckpointBuilder| {
        let is_in_front =
            |stream: &StreamState<'_>| before.is_none_or(|before| key(stream) <= key(before));
        let mut is_replaced = false;
        while let Some(stream) = changed.next_if(is_in_front) {
            // Of one stream the last counts.
            if changed.peek().is_none_or(|next| key(next) != key(&stream)) {
                is_replaced |= before.is_some_and(|before| key(before) == key(&stream));
                builder.push(&stream);
            }
        }
        is_replaced
    };
    for stream in old.into_iter().flat_map(StreamCheckpoint::streams) {
        let stream = stream?;
        if !push_up_to(Some(&stream), &mut builder) {
            builder.push(&stream);
        }
    }
    push_up_to(None, &mut builder);
    Ok(Some(builder))
}

fn key<'a>(stream: &StreamState<'a>) -> (NameHash, &'a str) {
    (stream.hash, stream.name)
}
