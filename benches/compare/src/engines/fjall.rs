//! fjall: a log-structured merge tree with a journal.
//!
//! Stores: a keyspace of positions with records, and a keyspace of stream name with position (see
//! [`crate::record`]), written in one batch. An expectation is the position of the stream's last
//! event, looked up under the lock that gives out positions.
//! Durable by: `persist(SyncData)`, an fdatasync of the journal. Threads: it is called outside the
//! lock, so that one sync can serve several. Buffered: each batch goes to the kernel, as by default.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::keyed::Positions;
use crate::engine::{
    Adapter, Durability, Engine, Event, Expect, Failure, Need, Outcome, Setup, StreamName,
};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "fjall",
    durable_by: "persist(SyncData): fdatasync of the journal",
    lacks: &[(Need::Pipelining, "a commit is waited for"), (Need::Subscriptions, "has none")],
    is_floor: false,
    open: |directory, setup| Ok(Box::new(Fjall::open(directory, setup)?)),
};

struct Fjall {
    database: Database,
    events: Keyspace,
    index: Keyspace,
    positions: Positions,
    durable: bool,
}

impl Fjall {
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let database = Database::builder(directory.join("fjall")).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        let index = database.keyspace("streams", KeyspaceCreateOptions::default)?;
        let last = events.last_key_value().map(fjall::Guard::key).transpose()?;
        let positions = Positions::after(last.map(|key| record::position(&key)));
        let durable = setup.durability == Durability::Durable;
        Ok(Self { database, events, index, positions, durable })
    }

    fn is_met(&self, expect: Expect, batch: &[Event<'_>]) -> Result<bool, Failure> {
        let (Expect::Last(expected), Some(event)) = (expect, batch.first()) else {
            return Ok(true);
        };
        let mut entries = self.index.prefix(StreamName::new(event.stream).as_str());
        let last = entries.next_back().map(fjall::Guard::key).transpose()?;
        Ok(last.map(|key| record::position(&key)) == expected)
    }
}

impl Engine for Fjall {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let mut next = self.positions.lock();
        if !self.is_met(expect, batch)? {
            return Ok(Outcome::Refused);
        }
        let mut write = self.database.batch();
        let mut value = Vec::new();
        for (position, event) in (*next..).zip(batch) {
            record::encode(event, &mut value);
            write.insert(&self.events, record::position_key(position), value.as_slice());
            write.insert(&self.index, record::index_key(event.stream, position), []);
        }
        write.commit()?;
        *next += batch.len() as u64;
        let last = *next - 1;
        drop(next);
        if self.durable {
            self.database.persist(PersistMode::SyncData)?;
        }
        Ok(Outcome::Committed(last))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for entry in self.events.iter() {
            each(record::payload(&entry.value()?));
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for entry in self.index.prefix(StreamName::new(stream).as_str()) {
            let position = record::position_key(record::position(&entry.key()?));
            let record = self.events.get(position)?.ok_or("an event of the index is missing")?;
            each(record::payload(&record));
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
