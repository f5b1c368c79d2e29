//! rusqlite, which is SQLite, built with this program: tables in a file, with a write-ahead log.
//!
//! Stores: a table of position, stream, type and payload, and an index on stream and position. An
//! expectation is the position of the stream's last event, looked up in the transaction that appends.
//! Durable by: `journal_mode = WAL` with `synchronous = FULL`: an fdatasync of the log at each commit,
//! and of the database at checkpoints. Buffered: `synchronous = NORMAL`, which syncs at checkpoints
//! alone. Threads: one connection under a lock, since SQLite has one writer.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::engine::{
    Adapter, Durability, EVENT_TYPE, Engine, Event, Expect, Failure, Need, Outcome, Setup,
    StreamName,
};

pub(super) static ADAPTER: Adapter = Adapter {
    name: "rusqlite",
    durable_by: "WAL, synchronous=FULL",
    lacks: &[
        (Need::Pipelining, "a commit is waited for"),
        (Need::Subscriptions, "none that tell of rows of other processes or in order of commit"),
    ],
    is_floor: false,
    open: |directory, setup| Ok(Box::new(Sqlite::open(directory, setup)?)),
};

struct Sqlite {
    connection: Mutex<Connection>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        type TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS streams ON events (stream, position);
";

impl Sqlite {
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let connection = Connection::open(directory.join("events.sqlite"))?;
        let synchronous = match setup.durability {
            Durability::Durable => "FULL",
            Durability::Buffered => "NORMAL",
        };
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection) })
    }
}

/// The position of the stream's last event.
fn last_of(connection: &Connection, stream: u32) -> rusqlite::Result<Option<i64>> {
    let query = "SELECT position FROM events WHERE stream = ? ORDER BY position DESC LIMIT 1";
    let mut statement = connection.prepare_cached(query)?;
    statement.query_row([StreamName::new(stream).as_str()], |row| row.get(0)).optional()
}

impl Engine for Sqlite {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let (Expect::Last(expected), Some(event)) = (expect, batch.first()) {
            let last = last_of(&transaction, event.stream)?;
            if last.map(i64::cast_unsigned) != expected {
                transaction.rollback()?;
                return Ok(Outcome::Refused);
            }
        }
        let mut last = 0;
        {
            let insert = "INSERT INTO events (stream, type, payload) VALUES (?, ?, ?)";
            let mut insert = transaction.prepare_cached(insert)?;
            for event in batch {
                let name = StreamName::new(event.stream);
                last = insert.insert((name.as_str(), EVENT_TYPE, event.payload))?;
            }
        }
        transaction.commit()?;
        Ok(Outcome::Committed(last.cast_unsigned()))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let connection = self.connection.lock();
        let query = "SELECT stream, type, payload FROM events ORDER BY position";
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(2)?.as_blob()?);
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let connection = self.connection.lock();
        let query = "SELECT type, payload FROM events WHERE stream = ? ORDER BY position";
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query([StreamName::new(stream).as_str()])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.connection.into_inner().close().map_err(|(_, error)| error.into())
    }
}
