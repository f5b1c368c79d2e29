//! Making the index of a segment that has been sealed.
//!
//! Owns: [`Indexer`]. May call: segment, streams, table. Runs on the thread that prepares segments, after
//! the sealed one has been synced: so the index says that the whole segment is on the device.
//!
//! An index that cannot be stored is kept in memory: nothing that was acknowledged depends on it.
//! It is written by the one thread that gives segments their names, and whoever gives one keeps others from
//! it until it is durable: a failed sync of the directory is told of once, and must not be taken from the
//! one who waits for it.

use std::sync::Arc;

use super::StreamIndex;
use super::table::TableKeeper;
use crate::segment::reader::Segment;
use crate::segment::sidecar::{self, Frames, SegmentIndex};
use crate::segment::source::AfterSeal;
use crate::storage::Directory;
use crate::sync::Mutex;

/// Makes and stores indexes of sealed segments.
#[derive(Debug)]
pub(crate) struct Indexer {
    directory: Arc<dyn Directory>,
    index: Arc<StreamIndex>,
    table: Mutex<TableKeeper>,
}

impl Indexer {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        index: Arc<StreamIndex>,
        table: TableKeeper,
    ) -> Self {
        Self { directory, index, table: Mutex::new(table) }
    }
}

impl AfterSeal for Indexer {
    fn sealed_and_synced(&self, segment: &Arc<Segment>) {
        let Some(sealed) = segment.sealed() else { return };
        let ways_back = self.index.read().tail(sealed.sequence).map(super::tail::Tail::ways_back);
        let Some(ways_back) = ways_back else { return };
        // A segment that does not verify any more keeps its tail, and readers meet the damage.
        let built = sidecar::build(segment, &sealed, &ways_back, Frames::Known);
        let Ok(bytes) = built else { return };
        let stored = sidecar::store(&*self.directory, &sealed, &bytes);
        let own = stored.unwrap_or_else(|_| SegmentIndex::in_memory(sealed, bytes));
        let mut table = self.table.lock();
        table.note(&own);
        segment.attach(own);
        let tail = self.index.update(|streams| streams.take_tail(sealed.sequence));
        drop(tail); // not under the lock: it may be long
        if table.is_due() {
            table.renew(&*self.directory, &self.index.segments().snapshot(), &sealed);
        }
    }
}
