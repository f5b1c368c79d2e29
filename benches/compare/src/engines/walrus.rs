//! walrus-rust: topics of entries in files of 1 GiB, read once from front to back.
//!
//! Stores: all events as entries of one topic, each with the record of [`crate::record`]; a topic a
//! stream would take a block of 10 MiB each.
//! Durable by: `FsyncSchedule::SyncEach`. Buffered: `FsyncSchedule::NoFsync`. The directory comes from
//! `WALRUS_DATA_DIR`, which the process is started with.

use parking_lot::Mutex;
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::engine::{Adapter, Durability, Engine, Event, Expect, Failure, Need, Outcome, Setup};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "walrus",
    durable_by: "SyncEach",
    lacks: &[
        (Need::Pipelining, "an append is waited for"),
        (Need::Scan, "a topic is read once, and its reader cannot go back"),
        (Need::Streams, "a topic a stream takes 10 MiB each"),
        (Need::Conditions, "has none"),
        (Need::Subscriptions, "has none"),
    ],
    is_floor: false,
    open: |_, setup| Ok(Box::new(WalrusLog::open(setup)?)),
};

const TOPIC: &str = "events";

struct WalrusLog {
    log: Walrus,
    /// A batch that meets another append is refused by walrus, not queued.
    turn: Mutex<()>,
}

impl WalrusLog {
    fn open(setup: Setup) -> Result<Self, Failure> {
        let schedule = match setup.durability {
            Durability::Durable => FsyncSchedule::SyncEach,
            Durability::Buffered => FsyncSchedule::NoFsync,
        };
        // How far was read is not to be remembered: each process reads from the front.
        let consistency = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
        let log = Walrus::with_consistency_and_schedule(consistency, schedule)?;
        Ok(Self { log, turn: Mutex::new(()) })
    }
}

impl Engine for WalrusLog {
    fn append(&self, batch: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        let mut records = Vec::with_capacity(batch.len());
        for event in batch {
            let mut bytes = Vec::with_capacity(event.payload.len() + 32);
            record::encode(event, &mut bytes);
            records.push(bytes);
        }
        let _turn = self.turn.lock();
        match records.as_slice() {
            [record] => self.log.append_for_topic(TOPIC, record)?,
            records => {
                let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                self.log.batch_append_for_topic(TOPIC, &records)?;
            }
        }
        Ok(Outcome::Committed(0))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        const BYTES_MAX: usize = 4 << 20;
        loop {
            let entries = self.log.batch_read_for_topic(TOPIC, BYTES_MAX, true)?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                each(record::payload(&entry.data));
            }
        }
    }
}
