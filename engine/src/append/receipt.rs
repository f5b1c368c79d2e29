//! What a caller is told of a committed batch.
//!
//! Owns: [`Receipt`]. May call: the encoded batch of the format, whose stream table it keeps.

use quipu_format::encode::StreamNames;
use quipu_format::{CommitTime, EncodedBatch, Position, Version};
use smallvec::{SmallVec, smallvec};

/// Where a batch was committed.
///
/// For a batch without events (a check, or checkpoints alone) [`Receipt::event_count`] is 0 and both positions are the
/// one that the next event will get at the earliest.
#[derive(Debug, Clone)]
pub struct Receipt {
    first_position: Position,
    event_count: u32,
    committed_at: CommitTime,
    streams: Option<(StreamNames, LastVersions)>,
    replayed: bool,
}

/// The version that each stream was brought to; of one stream without an allocation.
type LastVersions = SmallVec<[Version; 1]>;

impl Receipt {
    /// The position of the batch's first event.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.first_position
    }

    /// The position of the batch's last event.
    #[must_use]
    pub fn last_position(&self) -> Position {
        let further = u64::from(self.event_count).saturating_sub(1);
        self.first_position.plus(further)
    }

    /// Number of events; 0 for a check, or for checkpoints alone.
    #[must_use]
    pub fn event_count(&self) -> u32 {
        self.event_count
    }

    /// When the batch was committed: one time for all its events.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.committed_at
    }

    /// The version that the batch has brought this stream to; `None` if it did not write it.
    #[must_use]
    pub fn version(&self, stream: &str) -> Option<Version> {
        self.versions().find(|(name, _)| *name == stream).map(|(_, version)| version)
    }

    /// Every written stream with the version that the batch has brought it to, in the order of
    /// the streams' first events.
    pub fn versions(&self) -> impl Iterator<Item = (&str, Version)> {
        self.streams.iter().flat_map(|(names, versions)| {
            let names = names.streams().names().map_while(Result::ok);
            names.zip(versions.iter().copied())
        })
    }

    /// Whether this is the receipt of an earlier append of the same batch
    /// (see [`Batch::idempotent`](crate::Batch::idempotent)).
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.replayed
    }
}

/// A committed batch as the writer leaves it. The caller's thread makes the receipt, and frees the
/// batch's memory.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) encoded: Option<EncodedBatch>,
    pub(crate) first_position: Position,
    pub(crate) committed_at: CommitTime,
    pub(crate) replayed: bool,
}

impl Committed {
    /// The answer to a check or a sync: the log ends at `end`.
    pub(crate) fn nothing(end: Position, now: CommitTime) -> Self {
        Self { encoded: None, first_position: end, committed_at: now, replayed: false }
    }
}

impl From<Committed> for Receipt {
    fn from(committed: Committed) -> Self {
        let Committed { encoded, first_position, committed_at, replayed } = committed;
        let event_count = encoded.as_ref().map_or(0, EncodedBatch::event_count);
        let streams = encoded.map(|encoded| {
            let versions = last_versions(&encoded);
            (encoded.into_stream_names(), versions)
        });
        Self { first_position, event_count, committed_at, streams, replayed }
    }
}

/// For each stream of a committed batch, its version at its last event there.
fn last_versions(encoded: &EncodedBatch) -> LastVersions {
    if encoded.stream_count() == 1 {
        let first = encoded.first_version(0).unwrap_or_default();
        return smallvec![first.plus(u64::from(encoded.event_count()) - 1)];
    }
    let mut next: Vec<Version> = (0..encoded.stream_count())
        .map(|index| encoded.first_version(index).unwrap_or_default())
        .collect();
    for index in encoded.event_streams() {
        if let Some(version) = next.get_mut(index as usize) {
            *version = version.plus(1);
        }
    }
    next.into_iter().map(|next| next.before().unwrap_or_default()).collect()
}
