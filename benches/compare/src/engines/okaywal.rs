//! okaywal: a write-ahead log in front of another store.
//!
//! Stores: each batch as an entry, each event of it as a chunk with the record of [`crate::record`].
//! Segments are never checkpointed, as nothing stands behind the log that could take them over.
//! Durable by: `commit`, which always syncs: one sync for the entries of all threads that wait.
//! Opening hands each entry to the caller once and then recycles its file, so that a log can be
//! counted when it is opened and never read again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::engine::{Adapter, Engine, Event, Expect, Failure, Need, Outcome};
use crate::record;

const EMPTIED: &str = "opening hands out the entries and recycles their files";

pub(super) static ADAPTER: Adapter = Adapter {
    name: "okaywal",
    durable_by: "commit: a sync, one a group",
    lacks: &[
        (Need::Buffered, "a commit always syncs"),
        (Need::Pipelining, "a commit is waited for"),
        (Need::Open, EMPTIED),
        (Need::Scan, EMPTIED),
        (Need::Streams, "has none"),
        (Need::Conditions, "has none"),
        (Need::Subscriptions, "has none"),
    ],
    is_floor: false,
    open: |directory, _| Ok(Box::new(Okay::open(directory)?)),
};

struct Okay {
    log: WriteAheadLog,
    recovered: Arc<AtomicU64>,
}

/// Counts what is handed out.
#[derive(Debug)]
struct Counting(Arc<AtomicU64>);

impl LogManager for Counting {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        // An entry that was not committed whole has none.
        let chunks = entry.read_all_chunks()?.map_or(0, |chunks| chunks.len());
        self.0.fetch_add(chunks as u64, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl Okay {
    fn open(directory: &Path) -> Result<Self, Failure> {
        let recovered = Arc::new(AtomicU64::new(0));
        let log = Configuration::default_for(directory.join("okaywal"))
            .preallocate_bytes(SEGMENT_BYTES)
            .checkpoint_after_bytes(u64::MAX)
            .open(Counting(Arc::clone(&recovered)))?;
        Ok(Self { log, recovered })
    }
}

/// As long as a segment of the others.
const SEGMENT_BYTES: u32 = 64 << 20;

impl Engine for Okay {
    fn append(&self, batch: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        let mut entry = self.log.begin_entry()?;
        let mut bytes = Vec::new();
        for event in batch {
            record::encode(event, &mut bytes);
            entry.write_chunk(&bytes)?;
        }
        Ok(Outcome::Committed(entry.commit()?.0))
    }

    fn scan(&self, _: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        Err(EMPTIED.into())
    }

    fn count(&self) -> Result<u64, Failure> {
        Ok(self.recovered.load(Ordering::Relaxed))
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.log.shutdown()?)
    }
}
