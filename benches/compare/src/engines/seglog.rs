//! seglog: one segment file of records and commit markers; rolling over is up to the caller.
//!
//! Stores: each event as a record (see [`crate::record`]), a marker at the end of each batch, in
//! files of 256 MiB, a new one when the last is full.
//! Durable by: `commit`, an fdatasync. It has one writer: threads take it in turn, under a lock.
//! Not buffered: only `commit` writes the marker without which recovery drops a record.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use seglog::read::Reader;
use seglog::write::{WriteError, Writer};

use crate::engine::{Adapter, Engine, Event, Expect, Failure, Need, Outcome};
use crate::record;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "seglog",
    durable_by: "commit: fdatasync",
    lacks: &[
        (Need::Buffered, "without the sync of a commit a record is dropped at the next opening"),
        (Need::Pipelining, "a commit is waited for"),
        (Need::Streams, "has none"),
        (Need::Conditions, "has none"),
        (Need::Subscriptions, "has none"),
    ],
    is_floor: false,
    open: |directory, _| Ok(Box::new(Seglog { state: Mutex::new(State::open(directory)?) })),
};

struct Seglog {
    state: Mutex<State>,
}

struct State {
    directory: PathBuf,
    writer: Writer<0>,
    segments: usize,
    next: u64,
}

const SEGMENT_BYTES: usize = 256 << 20;

fn path(directory: &Path, segment: usize) -> PathBuf {
    directory.join(format!("{segment:06}.seglog"))
}

impl State {
    fn open(directory: &Path) -> Result<Self, Failure> {
        let segments = (0..).take_while(|segment| path(directory, *segment).exists()).count();
        let writer = match segments.checked_sub(1) {
            Some(last) => Writer::open(path(directory, last), SEGMENT_BYTES, 0)?,
            None => Writer::create(path(directory, 0), SEGMENT_BYTES, 0)?,
        };
        let mut state =
            Self { directory: directory.to_owned(), writer, segments: segments.max(1), next: 0 };
        state.next = state.last_position()?.map_or(0, |last| last + 1);
        Ok(state)
    }

    /// Of the last commit, in whichever segment it is.
    fn last_position(&self) -> Result<Option<u64>, Failure> {
        if let Some(position) = self.writer.last_committed_position() {
            return Ok(Some(position));
        }
        for segment in (0..self.segments - 1).rev() {
            let earlier = Writer::<0>::open(path(&self.directory, segment), SEGMENT_BYTES, 0)?;
            if let Some(position) = earlier.last_committed_position() {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// A batch goes into one segment whole.
    fn append(&mut self, batch: &[Event<'_>]) -> Result<u64, Failure> {
        let start = self.writer.write_offset();
        let mut bytes = Vec::new();
        for attempt in 0..2 {
            let mut answer = Ok(());
            for event in batch {
                record::encode(event, &mut bytes);
                answer = self.writer.append_data(&bytes).map(drop);
                if answer.is_err() {
                    break;
                }
            }
            let last = self.next + batch.len() as u64 - 1;
            let answer = answer.and_then(|()| self.writer.commit(last));
            match answer {
                Ok(_) => {
                    self.next = last + 1;
                    return Ok(last);
                }
                Err(WriteError::SegmentFull { .. }) if attempt == 0 => {
                    self.writer.rewind_to(start)?;
                    self.writer.sync()?;
                    let path = path(&self.directory, self.segments);
                    self.writer = Writer::create(path, SEGMENT_BYTES, 0)?;
                    self.segments += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err("a batch does not fit into a segment".into())
    }
}

impl Engine for Seglog {
    fn append(&self, batch: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        Ok(Outcome::Committed(self.state.lock().append(batch)?))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let state = self.state.lock();
        for segment in 0..state.segments {
            // The last one is bounded by what its writer has committed.
            let flushed = (segment + 1 == state.segments).then(|| state.writer.flushed_offset());
            let mut reader = Reader::<0>::open(path(&state.directory, segment), flushed)?;
            let mut records = reader.iter(0);
            while let Some(record) = records.next_record()? {
                each(record::payload(&record.data));
            }
        }
        Ok(())
    }
}
