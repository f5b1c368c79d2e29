//! raft-engine: a log shared by many Raft groups, with an index in memory.
//!
//! Stores: each stream as a Raft group, each event as an entry of it, with the record of
//! [`crate::record`] behind the entry's index. There is no order over all streams: a scan goes
//! group by group. That an index follows the last one of its group is up to the caller, who must not
//! append to one group from two threads; so there is nothing to judge expectations by.
//! Durable by: `write(sync = true)`, one fdatasync for the group of threads that wait. Buffered:
//! `write(sync = false)`, a positioned write.

use std::path::Path;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine as RaftEngine, LogBatch, MessageExt};

use crate::engine::{Adapter, Durability, Engine, Event, Expect, Failure, Need, Outcome, Setup};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "raft-engine",
    durable_by: "write(sync): fdatasync, one a group",
    lacks: &[
        (Need::Conditions, "has none, and no lock of its own to judge them under"),
        (Need::Pipelining, "a write is waited for"),
        (Need::Subscriptions, "has none"),
    ],
    is_floor: false,
    open: |directory, setup| Ok(Box::new(Raft::open(directory, setup)?)),
};

struct Raft {
    engine: RaftEngine,
    durable: bool,
}

/// An entry: its index in 8 bytes, then the record.
#[derive(Debug, Clone)]
struct Entry;

impl MessageExt for Entry {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl Raft {
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let dir = directory.join("raft").to_string_lossy().into_owned();
        let engine = RaftEngine::open(Config { dir, ..Config::default() })?;
        Ok(Self { engine, durable: setup.durability == Durability::Durable })
    }
}

impl Engine for Raft {
    fn append(&self, batch: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        let mut write = LogBatch::with_capacity(batch.len());
        // Entries of one group go in together, in their order.
        let mut sorted: Vec<&Event<'_>> = batch.iter().collect();
        sorted.sort_by_key(|event| event.stream);
        let mut last = 0;
        let mut bytes = Vec::new();
        for group in sorted.chunk_by(|left, right| left.stream == right.stream) {
            let Some(region) = group.first().map(|event| u64::from(event.stream) + 1) else {
                continue;
            };
            let next = self.engine.last_index(region).map_or(1, |last| last + 1);
            let mut entries = Vec::new();
            for (index, event) in (next..).zip(group) {
                record::encode(event, &mut bytes);
                let mut value = Vec::with_capacity(8 + bytes.len());
                value.extend_from_slice(&index.to_le_bytes());
                value.extend_from_slice(&bytes);
                entries.push(BytesValue { value, ..BytesValue::default() });
                last = index;
            }
            write.add_entries::<Entry>(region, &entries)?;
        }
        self.engine.write(&mut write, self.durable)?;
        Ok(Outcome::Committed(last))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for region in self.engine.raft_groups() {
            self.read_group(region, each)?;
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        self.read_group(u64::from(stream) + 1, each)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.engine.sync()?)
    }
}

impl Raft {
    fn read_group(&self, region: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let (first, last) = (self.engine.first_index(region), self.engine.last_index(region));
        let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
        let mut entries = Vec::new();
        self.engine.fetch_entries_to::<Entry>(region, first, last + 1, None, &mut entries)?;
        for entry in &entries {
            each(record::payload(entry.value.get(8..).unwrap_or_default()));
        }
        Ok(())
    }
}
