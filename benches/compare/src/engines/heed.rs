//! heed, which is LMDB: a copy-on-write B+tree in a mapped file, one writer at a time.
//!
//! Stores: a database of positions with records, and a database of stream name with position (see
//! [`crate::record`]). An expectation is the position of the stream's last event, looked up in the
//! transaction that appends.
//! Durable by: a commit, which writes the changed pages, calls fdatasync, and writes the meta page
//! through a descriptor with O_DSYNC. Threads: each commits a transaction of its own, one after the
//! other. Buffered: NO_SYNC, under which a killed process loses nothing; a power cut can break the
//! whole file.

use std::path::Path;

use heed::types::{Bytes, Unit};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn};

use crate::engine::{
    Adapter, Durability, Engine, Event, Expect, Failure, Need, Outcome, Setup, StreamName,
};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "heed",
    durable_by: "commit: fdatasync, and O_DSYNC for the meta page",
    lacks: &[(Need::Pipelining, "a commit is waited for"), (Need::Subscriptions, "has none")],
    is_floor: false,
    open: |directory, setup| Ok(Box::new(Heed::open(directory, setup)?)),
};

/// Address space, not disk: the file grows as it is filled.
const MAP_BYTES: usize = 1 << 36;

struct Heed {
    /// Never dropped, so that the databases can stand beside it; a process has one log.
    environment: &'static Env,
    events: Database<'static, Bytes, Bytes>,
    index: Database<'static, Bytes, Unit>,
}

impl Heed {
    #[expect(unsafe_code, reason = "heed has no safe way to open an environment")]
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES).max_dbs(2);
        if setup.durability == Durability::Buffered {
            // SAFETY: NO_SYNC gives up what a power cut leaves, and no memory; the file is one of a
            // benchmark and is removed after it.
            unsafe { options.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: the mapped file is in a directory that this run made for itself, and no other
        // process opens it before this one has ended.
        let environment = unsafe { options.open(directory)? };
        let environment: &'static Env = Box::leak(Box::new(environment));
        let transaction = environment.write_txn()?;
        let made = environment.create_databases_and_commit(transaction, |make, transaction| {
            let events = make.create_database(transaction, Some("events"))?;
            let index = make.create_database(transaction, Some("streams"))?;
            heed::Result::Ok(CommitOrAbort::<_, ()>::Commit((events, index)))
        });
        let (events, index) = made?.unwrap_commit();
        Ok(Self { environment, events, index })
    }

    fn is_met(
        &self,
        transaction: &RoTxn<'_>,
        expect: Expect,
        batch: &[Event<'_>],
    ) -> Result<bool, Failure> {
        let (Expect::Last(expected), Some(event)) = (expect, batch.first()) else {
            return Ok(true);
        };
        let name = StreamName::new(event.stream);
        let mut entries = self.index.rev_prefix_iter(transaction, name.as_str().as_bytes())?;
        let last = entries.next().transpose()?;
        Ok(last.map(|(key, ())| record::position(key)) == expected)
    }
}

impl Engine for Heed {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let mut transaction = self.environment.write_txn()?;
        if !self.is_met(&transaction, expect, batch)? {
            transaction.abort();
            return Ok(Outcome::Refused);
        }
        let last = self.events.last(&transaction)?;
        let next = last.map_or(0, |(key, _)| record::position(key) + 1);
        let mut value = Vec::new();
        for (position, event) in (next..).zip(batch) {
            record::encode(event, &mut value);
            let key = record::position_key(position);
            self.events.put_with_flags(&mut transaction, PutFlags::APPEND, &key, &value)?;
            self.index.put(&mut transaction, &record::index_key(event.stream, position), &())?;
        }
        transaction.commit()?;
        Ok(Outcome::Committed(next + batch.len() as u64 - 1))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let transaction = self.environment.read_txn()?;
        for entry in self.events.iter(&transaction)? {
            each(record::payload(entry?.1));
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let transaction = self.environment.read_txn()?;
        let name = StreamName::new(stream);
        for entry in self.index.prefix_iter(&transaction, name.as_str().as_bytes())? {
            let position = record::position_key(record::position(entry?.0));
            let record = self.events.get(&transaction, &position)?;
            each(record::payload(record.ok_or("an event of the index is missing")?));
        }
        Ok(())
    }
}
