//! An engine that acknowledges every event and keeps all but the last one of a process: the tests
//! of the harness see with it that a wrong count fails.
//!
//! Stores: one byte an event. Durable by: nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::engine::{Adapter, Engine, Event, Expect, Failure, Need, Outcome};

/// The engine.
pub static ADAPTER: Adapter = Adapter {
    name: "forgetful",
    durable_by: "nothing",
    lacks: &[(Need::Streams, "has none"), (Need::Conditions, "has none")],
    is_floor: false,
    open: |directory, _| Ok(Box::new(Forgetful::open(directory))),
};

struct Forgetful {
    path: PathBuf,
    /// Acknowledged, and not stored before the next one comes.
    held_back: Mutex<usize>,
}

impl Forgetful {
    fn open(directory: &Path) -> Self {
        Self { path: directory.join("events"), held_back: Mutex::new(0) }
    }
}

impl Engine for Forgetful {
    fn append(&self, events: &[Event<'_>], _: Expect) -> Result<Outcome, Failure> {
        let mut held_back = self.held_back.lock();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(&vec![1; *held_back + events.len() - 1])?;
        *held_back = 1;
        Ok(Outcome::Committed(0))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        fs::read(&self.path)?.chunks(1).for_each(each);
        Ok(())
    }
}
