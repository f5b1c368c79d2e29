//! rocksdb: a log-structured merge tree with a write-ahead log, in C++.
//!
//! Stores: a column family of positions with records, and a column family of stream name with
//! position (see [`crate::record`]), written in one batch. An expectation is the position of the
//! stream's last event, looked up under the lock that gives out positions.
//! Durable by: `WriteOptions::set_sync(true)`, an fdatasync of the log, one a group. Threads: the
//! position is given out under the lock, the write is outside it, so that writes can share a sync; a
//! batch with an expectation is written under the lock. Buffered: `set_sync(false)`, a write to the
//! kernel.

use std::path::Path;

use rocksdb::{
    ColumnFamily, DB, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::keyed::Positions;
use crate::engine::{Adapter, Durability, Engine, Event, Expect, Failure, Need, Outcome, Setup};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "rocksdb",
    durable_by: "write with sync: fdatasync, one a group",
    lacks: &[(Need::Pipelining, "a write is waited for"), (Need::Subscriptions, "has none")],
    is_floor: false,
    open: |directory, setup| Ok(Box::new(Rocks::open(directory, setup)?)),
};

const EVENTS: &str = "events";
const INDEX: &str = "streams";

struct Rocks {
    database: DB,
    positions: Positions,
    durable: bool,
}

impl Rocks {
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let database = DB::open_cf(&options, directory.join("rocksdb"), [EVENTS, INDEX])?;
        let last = {
            let events = database.cf_handle(EVENTS).ok_or(MISSING)?;
            let last = database.iterator_cf(events, IteratorMode::End).next().transpose()?;
            last.map(|(key, _)| record::position(&key))
        };
        let durable = setup.durability == Durability::Durable;
        Ok(Self { database, positions: Positions::after(last), durable })
    }

    fn families(&self) -> Result<(&ColumnFamily, &ColumnFamily), Failure> {
        let events = self.database.cf_handle(EVENTS).ok_or(MISSING)?;
        Ok((events, self.database.cf_handle(INDEX).ok_or(MISSING)?))
    }

    fn is_met(&self, expect: Expect, batch: &[Event<'_>]) -> Result<bool, Failure> {
        let (Expect::Last(expected), Some(event)) = (expect, batch.first()) else {
            return Ok(true);
        };
        let (_, index) = self.families()?;
        let first = record::index_key(event.stream, 0);
        let from = record::index_key(event.stream, u64::MAX);
        let mode = IteratorMode::From(&from, Direction::Reverse);
        let last = self.database.iterator_cf(index, mode).next().transpose()?;
        let last = last.filter(|(key, _)| **key >= first[..]);
        Ok(last.map(|(key, _)| record::position(&key)) == expected)
    }
}

const MISSING: &str = "a column family is missing";

impl Engine for Rocks {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let (events, index) = self.families()?;
        let mut next = self.positions.lock();
        if !self.is_met(expect, batch)? {
            return Ok(Outcome::Refused);
        }
        let first = *next;
        *next += batch.len() as u64;
        let last = *next - 1;
        // Who expects something must see what was accepted before.
        let _held = match expect {
            Expect::Any => {
                drop(next);
                None
            }
            Expect::Last(_) => Some(next),
        };
        let mut write = WriteBatch::default();
        let mut value = Vec::new();
        for (position, event) in (first..).zip(batch) {
            record::encode(event, &mut value);
            write.put_cf(events, record::position_key(position), &value);
            write.put_cf(index, record::index_key(event.stream, position), []);
        }
        let mut options = WriteOptions::default();
        options.set_sync(self.durable);
        self.database.write_opt(write, &options)?;
        Ok(Outcome::Committed(last))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let (events, _) = self.families()?;
        for entry in self.database.iterator_cf(events, IteratorMode::Start) {
            each(record::payload(&entry?.1));
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let (events, index) = self.families()?;
        let mut bounds = ReadOptions::default();
        let from = record::index_key(stream, 0);
        bounds.set_iterate_upper_bound(record::index_key(stream, u64::MAX));
        let mode = IteratorMode::From(&from, Direction::Forward);
        for entry in self.database.iterator_cf_opt(index, bounds, mode) {
            let position = record::position_key(record::position(&entry?.0));
            let record = self.database.get_pinned_cf(events, position)?;
            each(record::payload(&record.ok_or("an event of the index is missing")?));
        }
        Ok(())
    }
}
