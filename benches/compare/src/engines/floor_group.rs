//! The floor of many threads: an ideal group commit.
//!
//! Stores: as floor-write; whoever comes writes, and one of those who wait syncs for all. With many
//! in flight, one thread writes while another syncs without a pause; of each turn the last payload
//! alone is numbered.
//! Durable by: one fdatasync a group.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use quipu_bench::floor::{Floor, GroupCommit, Store, pipelined};

use super::floor_write::{Stamps, last_stamp};
use crate::engine::{Adapter, Engine, Event, Expect, Failure, Need, Outcome, Setup};
use crate::payloads::Supply;

const NOT_ITS_OWN: &str = "the floor of this is floor-write";

pub(super) static ADAPTER: Adapter = Adapter {
    name: "floor-group",
    durable_by: "fdatasync, one a group",
    lacks: &[
        (Need::Conditions, "no log"),
        (Need::Open, "no log"),
        (Need::Bytes, "no log"),
        (Need::LoneSyncs, NOT_ITS_OWN),
        (Need::Batches, NOT_ITS_OWN),
        (Need::Buffered, NOT_ITS_OWN),
        (Need::Scan, NOT_ITS_OWN),
        (Need::Streams, NOT_ITS_OWN),
        (Need::Subscriptions, NOT_ITS_OWN),
    ],
    is_floor: true,
    open: |directory, setup| Ok(Box::new(FloorGroup::open(directory, setup)?)),
};

struct FloorGroup {
    /// `None` where nothing is to be written.
    group: Option<GroupCommit>,
    /// For many in flight, in a file of its own.
    pipeline: Mutex<Option<Floor>>,
    stamps: Mutex<Stamps>,
    directory: PathBuf,
    payload_bytes: usize,
}

/// Events of one turn of the pipeline.
const TURN_EVENTS: u64 = 65_536;

impl FloorGroup {
    fn open(directory: &Path, setup: Setup) -> Result<Self, Failure> {
        let group = || GroupCommit::new(&directory.join(GROUP), Store::Write);
        let pipeline = || Floor::new(&directory.join(PIPELINE), Store::Write);
        Ok(Self {
            group: (!setup.reads_only).then(group).transpose()?,
            pipeline: Mutex::new((!setup.reads_only).then(pipeline).transpose()?),
            stamps: Mutex::new(Stamps::default()),
            directory: directory.to_owned(),
            payload_bytes: setup.payload_bytes,
        })
    }
}

const GROUP: &str = "group";
const PIPELINE: &str = "pipeline";

impl Engine for FloorGroup {
    fn append(&self, events: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        let (bytes, mark) = {
            let mut stamps = self.stamps.lock();
            (stamps.stamp(events).to_vec(), stamps.given)
        };
        self.group.as_ref().ok_or("open for reading only")?.durable(&bytes)?;
        Ok(Outcome::Committed(mark))
    }

    fn pipeline(&self, supply: &mut Supply, in_flight_max: usize) -> Result<(), Failure> {
        let mut floor = self.pipeline.lock();
        let floor = floor.as_mut().ok_or("open for reading only")?;
        let mut stamps = self.stamps.lock();
        let payload = vec![0; self.payload_bytes];
        while !supply.is_over() {
            pipelined(floor, &payload, in_flight_max as u64, TURN_EVENTS - 1)?;
            stamps.given += TURN_EVENTS - 1;
            floor.durable(stamps.stamp(&[Event { stream: 0, payload: &payload }]))?;
            supply.count(TURN_EVENTS);
        }
        Ok(())
    }

    fn scan(&self, _: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        Err("no log".into())
    }

    fn count(&self) -> Result<u64, Failure> {
        // One of the two was written to; the other is full of zeros.
        let stored = |name| last_stamp(&self.directory.join(name), self.payload_bytes);
        Ok(stored(GROUP)?.max(stored(PIPELINE)?))
    }
}
