//! redb: a copy-on-write B+tree, one writer at a time.
//!
//! Stores: a table of positions with records, and a table of stream name with position (see
//! [`crate::record`]). An expectation is the position of the stream's last event, looked up in the
//! transaction that appends.
//! Durable by: a commit with `Durability::Immediate`. Threads: each commits a transaction of its own,
//! one after the other. Its other level, `None`, keeps data in the process until a durable commit.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::engine::{Adapter, Engine, Event, Expect, Failure, Need, Outcome, Setup};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "redb",
    durable_by: "commit with Immediate",
    lacks: &[
        (Need::Buffered, "a commit without a sync is lost with the process"),
        (Need::Pipelining, "a commit is waited for"),
        (Need::Subscriptions, "has none"),
    ],
    is_floor: false,
    open: |directory, _: Setup| Ok(Box::new(Redb { database: open(directory)? })),
};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const INDEX: TableDefinition<'_, &[u8], ()> = TableDefinition::new("streams");

struct Redb {
    database: Database,
}

fn open(directory: &Path) -> Result<Database, Failure> {
    let database = Database::create(directory.join("events.redb"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(INDEX)?;
    transaction.commit()?;
    Ok(database)
}

impl Engine for Redb {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let transaction = self.database.begin_write()?;
        let mut position = 0;
        let accepted = {
            let mut events = transaction.open_table(EVENTS)?;
            let mut index = transaction.open_table(INDEX)?;
            let last = events.last()?.map(|(key, _)| key.value());
            position = last.map_or(position, |last| last + 1);
            let accepted = match (expect, batch.first()) {
                (Expect::Last(expected), Some(event)) => {
                    let (from, to) = (
                        record::index_key(event.stream, 0),
                        record::index_key(event.stream, u64::MAX),
                    );
                    let found = index.range(from.as_slice()..=to.as_slice())?.next_back();
                    let found = found.transpose()?.map(|(key, _)| record::position(key.value()));
                    found == expected
                }
                _ => true,
            };
            if accepted {
                let mut value = Vec::new();
                for (at, event) in (position..).zip(batch) {
                    record::encode(event, &mut value);
                    events.insert(at, value.as_slice())?;
                    index.insert(record::index_key(event.stream, at).as_slice(), ())?;
                }
            }
            accepted
        };
        if !accepted {
            transaction.abort()?;
            return Ok(Outcome::Refused);
        }
        transaction.commit()?;
        Ok(Outcome::Committed(position + batch.len() as u64 - 1))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(EVENTS)?.iter()? {
            each(record::payload(entry?.1.value()));
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let transaction = self.database.begin_read()?;
        let (events, index) = (transaction.open_table(EVENTS)?, transaction.open_table(INDEX)?);
        let (from, to) = (record::index_key(stream, 0), record::index_key(stream, u64::MAX));
        for entry in index.range(from.as_slice()..=to.as_slice())? {
            let position = record::position(entry?.0.value());
            let record = events.get(position)?.ok_or("an event of the index is missing")?;
            each(record::payload(record.value()));
        }
        Ok(())
    }
}
