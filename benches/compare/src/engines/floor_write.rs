//! The floor of one thread: a positioned write and fdatasync, and nothing else.
//!
//! Stores: the payload alone, at the next place of a file of 64 MiB that was allocated, touched and
//! synced before, and from the front again when it is full. Its first 8 bytes are the number of the
//! event, so that another process can say how many there were.
//! Durable by: one fdatasync.
//! Reads: the same payloads, one behind the other in a mapped file that is filled before the
//! measurement. Subscriptions: a bare hand-over to another thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use quipu_bench::floor::{Floor, Store};
use quipu_bench::prepared::PreparedFile;

use crate::engine::{
    Adapter, Durability, Engine, Event, Expect, Failure, Need, Outcome, Setup, Subscriber,
};
use crate::payloads::Payloads;
use crate::workload::STREAM_EVENTS;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "floor-write",
    durable_by: "fdatasync",
    lacks: &[
        (Need::SharedSyncs, "the floor of this is floor-group"),
        (Need::Pipelining, "the floor of this is floor-group"),
        (Need::Conditions, "no log"),
        (Need::Open, "no log"),
        (Need::Bytes, "no log"),
    ],
    is_floor: true,
    open: |directory, setup| Ok(Box::new(FloorWrite::open(directory, setup)?)),
};

struct FloorWrite {
    state: Mutex<State>,
    setup: Setup,
    path: PathBuf,
    mapped: Mutex<Option<PreparedFile>>,
    subscriber: Mutex<Option<Arc<HandOver>>>,
}

struct State {
    /// `None` where nothing is to be written: a new one starts with an empty file.
    floor: Option<Floor>,
    stamps: Stamps,
}

impl FloorWrite {
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let path = directory.join("floor");
        let floor = match setup.reads_only {
            true => None,
            false => Some(Floor::new(&path, Store::Write)?),
        };
        Ok(Self {
            state: Mutex::new(State { floor, stamps: Stamps::default() }),
            setup,
            path,
            mapped: Mutex::new(None),
            subscriber: Mutex::new(None),
        })
    }

    /// Calls `with` with all payloads in one slice.
    fn with_mapped(&self, with: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut mapped = self.mapped.lock();
        if mapped.is_none() {
            let (events, bytes) = (self.count()?, self.setup.payload_bytes);
            let path = self.path.with_extension("mapped");
            let mut file = PreparedFile::new(&path, usize::try_from(events)? * bytes)?;
            let mut payloads = Payloads::new(bytes);
            for _ in 0..events {
                file.copy(payloads.draw())?;
            }
            *mapped = Some(file);
        }
        with(mapped.as_ref().map_or(&[], PreparedFile::bytes));
        Ok(())
    }
}

impl Engine for FloorWrite {
    fn append(&self, events: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        let mut state = self.state.lock();
        let State { floor, stamps } = &mut *state;
        let floor = floor.as_mut().ok_or("open for reading only")?;
        let bytes = stamps.stamp(events);
        match self.setup.durability {
            Durability::Durable => floor.durable(bytes)?,
            Durability::Buffered => floor.buffered(bytes)?,
        }
        if let (Some(subscriber), Some(event)) = (&*self.subscriber.lock(), events.last()) {
            subscriber.give(event.payload);
        }
        Ok(Outcome::Committed(state.stamps.given))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let bytes = self.setup.payload_bytes;
        self.with_mapped(&mut |all| all.chunks_exact(bytes).for_each(&mut *each))
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let bytes = self.setup.payload_bytes;
        self.with_mapped(&mut |all| {
            let streams = all.len() / bytes / STREAM_EVENTS as usize;
            let places = all.chunks_exact(bytes).skip(stream as usize).step_by(streams.max(1));
            places.for_each(&mut *each);
        })
    }

    fn subscribe(&self, mut each: Subscriber) -> Result<(), Failure> {
        let hand_over = Arc::new(HandOver::default());
        *self.subscriber.lock() = Some(Arc::clone(&hand_over));
        std::thread::spawn(move || while each(&hand_over.take()) {});
        Ok(())
    }

    fn count(&self) -> Result<u64, Failure> {
        last_stamp(&self.path, self.setup.payload_bytes)
    }
}

/// A bare hand-over: a lock and a condition. A channel would yield the processor a few times before it
/// sleeps, which costs milliseconds where others want it.
#[derive(Default)]
struct HandOver {
    given: Mutex<VecDeque<Vec<u8>>>,
    changed: Condvar,
}

impl HandOver {
    fn give(&self, payload: &[u8]) {
        self.given.lock().push_back(payload.to_vec());
        self.changed.notify_one();
    }

    fn take(&self) -> Vec<u8> {
        let mut given = self.given.lock();
        loop {
            match given.pop_front() {
                Some(payload) => return payload,
                None => self.changed.wait(&mut given),
            }
        }
    }
}

/// Numbers the payloads of a floor, from 1.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    pub(super) given: u64,
    bytes: Vec<u8>,
}

impl Stamps {
    /// The payloads, each with its number in its first 8 bytes, one behind the other.
    pub(super) fn stamp(&mut self, events: &[Event<'_>]) -> &[u8] {
        self.bytes.clear();
        for event in events {
            self.given += 1;
            self.bytes.extend_from_slice(&self.given.to_le_bytes());
            self.bytes.extend_from_slice(event.payload.get(8..).unwrap_or_default());
        }
        &self.bytes
    }
}

/// The largest number in a floor's file: how many payloads were stored.
pub(super) fn last_stamp(path: &Path, payload_bytes: usize) -> Result<u64, Failure> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let stamps = bytes
        .chunks_exact(payload_bytes.max(8))
        .filter_map(|payload| payload.first_chunk::<8>().map(|stamp| u64::from_le_bytes(*stamp)));
    Ok(stamps.max().unwrap_or(0))
}
