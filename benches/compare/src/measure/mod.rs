//! One measurement, inside a process of its own.
//!
//! Owns: [`Order`] (what to do), [`Measured`] (what came of it), and [`carry_out`]. May call: the
//! parts beside this file, each of which knows one kind of workload. Nothing here is timed but what
//! the workload names: opening, filling and warming up stand outside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{Adapter, Durability, Engine, Failure, Setup};
use crate::workload::{Fill, Kind, PAYLOAD_BYTES, Workload};

pub mod append;
mod conditional;
mod fill;
mod memory;
mod open;
mod read;
mod subscribe;

/// What a process is to do.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where the log is, or will be.
    pub directory: PathBuf,
    /// The effort.
    pub task: Task,
}

/// The effort of one process.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    /// Fills a new log and closes it.
    Fill(Fill, Durability),
    /// Opens a log, appends this many events in batches, and ends with the log open.
    Crash(Fill, Durability),
    /// Opens a log and closes it.
    Touch(usize),
    /// Opens a log with payloads of this many bytes and counts its events.
    Count(usize),
    /// Measures a workload.
    Measure {
        /// Which.
        workload: &'static Workload,
        /// How long.
        duration: Duration,
        /// Events that the log has before.
        events: u64,
        /// The fill, where there was one.
        fill: Option<Fill>,
    },
    /// So many durable appends of one event, between two marks for whoever traces them; or such that
    /// are all refused.
    Syncs {
        /// How many.
        appends: u64,
        /// Whether their expectations are not met.
        refused: bool,
    },
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Events that were appended, and acknowledged.
    pub appended: u64,
    /// Events that were found, if they were counted.
    pub counted: Option<u64>,
    /// Figures by name.
    pub metrics: BTreeMap<String, f64>,
}

impl Measured {
    fn new(appended: u64, metrics: &[(&str, f64)]) -> Self {
        let metrics = metrics.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        Self { appended, counted: None, metrics }
    }
}

/// Does what is ordered. The log is still open when this returns, unless the task says otherwise.
///
/// # Errors
/// What the engine says, or what is wrong with what it gave back.
pub fn carry_out(adapter: &Adapter, order: &Order) -> Result<Measured, Failure> {
    let open = |durability, payload_bytes, reads_only| {
        let setup = Setup { durability, payload_bytes, reads_only };
        (adapter.open)(&order.directory, setup)
    };
    match order.task {
        Task::Fill(fill, durability) => {
            let engine = open(durability, fill.payload_bytes, false)?;
            let appended = fill::fill(&*engine, fill)?;
            engine.close()?;
            Ok(Measured::new(appended, &[]))
        }
        Task::Crash(fill, durability) => {
            let engine = open(durability, fill.payload_bytes, false)?;
            let appended = fill::fill(&*engine, fill)?;
            leave_open(engine);
            Ok(Measured::new(appended, &[]))
        }
        Task::Touch(payload_bytes) => {
            open(Durability::Durable, payload_bytes, true)?.close()?;
            Ok(Measured::default())
        }
        Task::Count(payload_bytes) => {
            let engine = open(Durability::Durable, payload_bytes, true)?;
            let counted = Some(engine.count()?);
            leave_open(engine);
            Ok(Measured { counted, ..Measured::default() })
        }
        Task::Syncs { appends, refused } => {
            let engine = open(Durability::Durable, PAYLOAD_BYTES, false)?;
            match refused {
                false => append::between_marks(&*engine, appends)?,
                true => conditional::between_marks(&*engine, appends)?,
            }
            leave_open(engine);
            Ok(Measured::default())
        }
        Task::Measure { workload, duration, events, fill } => {
            let reads_only = fill.is_some();
            let before = memory::anonymous_bytes()?;
            let started = std::time::Instant::now();
            let engine = open(workload.durability(), workload.payload_bytes, reads_only)?;
            let opened = started.elapsed();
            let mut measured = match workload.kind {
                Kind::Append { threads, batch, .. } => {
                    append::measure(&*engine, workload, (threads, batch), duration)
                }
                Kind::Pipeline => append::measure_pipeline(&*engine, workload, duration),
                Kind::Conditional { conflicts_percent } => {
                    conditional::measure(&*engine, workload, conflicts_percent, duration)
                }
                Kind::Subscribe { .. } => subscribe::measure(&*engine, workload, duration),
                Kind::Open { .. } => Ok(open::measure(opened)),
                Kind::Scan { .. } => read::scan(&*engine, workload, events, duration),
                Kind::ReadStreams { .. } => read::streams(&*engine, events, fill, duration),
                Kind::Memory { streams } => {
                    memory::measure(&*engine, adapter, before, streams, fill)
                }
                Kind::Bytes { .. } => Err("measured from outside".into()),
            }?;
            measured.metrics.insert("peak_mib".to_owned(), memory::peak_mib()?);
            leave_open(engine);
            Ok(measured)
        }
    }
}

/// Keeps an engine from being closed: the process ends with the log open.
fn leave_open(engine: Box<dyn Engine>) {
    std::mem::forget(engine);
}
