//! The file of all streams at opening: what it covers is not looked into.
//!
//! Owns: [`pass_over`], [`TableUse`]. May call: inventory, scan's types, indexes, index, segment. Changes
//! nothing on disk.
//!
//! The file is bound to a seal as an index is, and was made from the indexes of that segment and of
//! all in front of it. So each of those segments must be as its index says, by header, seal and chain, as
//! if it were passed over by itself; only what the index says of streams and checkpoints is not read,
//! for the file says it of all of them. If one of them is not so, the file is not used at all.

use std::sync::Arc;

use quipu_format::SegmentSeq;
use quipu_format::sidecar::StreamCheckpoint;

use super::indexes::pass_over_unread;
use super::inventory::Inventory;
use super::scan::{Walk, admit};
use crate::index::table::TableKeeper;
use crate::index::{StreamIndex, Streams};
use crate::segment::reader::Segment;
use crate::segment::sidecar::LoadError;
use crate::segment::stream_table;

/// What has become of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableUse {
    /// Everything was to be read.
    NotAsked,
    /// There is none.
    Missing,
    /// There is one, and it is damaged or not this log's.
    Wrong,
    /// Streams and checkpoints are from it.
    Used {
        /// The last segment that it covers.
        covered: SegmentSeq,
        /// How many it has.
        entries: u64,
    },
}

impl TableUse {
    pub(super) fn without(error: &LoadError) -> Self {
        match error {
            LoadError::Missing => Self::Missing,
            LoadError::Wrong => Self::Wrong,
        }
    }

    /// What is to be known of it from now on; the segments have their indexes.
    pub(super) fn keeper(self, segments: &[Arc<Segment>]) -> TableKeeper {
        let mut keeper = match self {
            Self::Used { covered, entries } => {
                TableKeeper { covered: Some(covered), entries, since: 0 }
            }
            Self::NotAsked | Self::Missing | Self::Wrong => TableKeeper::default(),
        };
        for segment in segments {
            if keeper.covered.is_none_or(|covered| covered < segment.sequence())
                && let Some(own) = segment.attached()
            {
                keeper.note(&own);
            }
        }
        keeper
    }
}

/// Takes all segments that the file covers, and the streams and checkpoints that it has. On an error
/// the index is as it was, and the walk is to be begun anew.
pub(super) fn pass_over(
    inventory: &Inventory,
    index: &StreamIndex,
    walk: &mut Walk,
) -> Result<(), LoadError> {
    let bytes = stream_table::load(inventory.directory())?;
    let table = StreamCheckpoint::decode(&bytes)?;
    let last = table.header().segment.sequence;
    let mut expected = inventory.first();
    if last < expected {
        // It is older than the base, which says as much and more.
        return Err(LoadError::Missing);
    }
    let mut neighbours = inventory.segments.iter().zip(inventory.segments.iter().skip(1));
    loop {
        let (found, next) = neighbours.next().ok_or(LoadError::Wrong)?;
        if found.sequence != expected || next.sequence != expected.plus(1) {
            return Err(LoadError::Wrong);
        }
        let header = admit(found, walk).map_err(|_| LoadError::Wrong)?;
        let passed = pass_over_unread(inventory.directory(), (found, &header), next, walk);
        let sealed = passed.ok_or(LoadError::Wrong)?;
        if expected == last {
            table.header().check_segment(&sealed)?;
            break;
        }
        expected = expected.plus(1);
    }
    let streams = Streams::of_table(&table)?;
    let entries = streams.len() as u64 + table.header().checkpoint_count;
    walk.checkpoints.start(table.checkpoints())?;
    index.update(|index| *index = streams);
    walk.table = TableUse::Used { covered: last, entries };
    Ok(())
}
