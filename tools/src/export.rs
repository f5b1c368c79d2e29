//! `quipu export`: the log as JSON lines, one batch a line, as `import` takes them.
//!
//! Named checkpoints are left out, and that is said: a line is a batch of events, and who imports them
//! into another log has projections of its own. Nor is what was dropped from the front of the log, and
//! that is said too.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::directory::LogDirectory;
use crate::json::{EventOut, time_out};
use crate::number::counted;
use crate::open::open_for_reading;
use crate::outcome::Outcome;

/// What is to be exported, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    #[command(flatten)]
    log: LogDirectory,
    /// Writes to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes every batch of the log to the output.
///
/// # Errors
/// What keeps the log from being read or the output from being written.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let (log, outcome) = open_for_reading(request.log.path())?;
    match &request.output {
        Some(path) => {
            let file =
                File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
            write_batches(&log, BufWriter::with_capacity(OUTPUT_BYTES, file))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => write_batches(&log, BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock()))?,
    }
    let first = log.first_available().as_u64();
    if first > 0 {
        let dropped = counted(first, "event", "events");
        eprintln!("{dropped} in front of position {first} were dropped from the log");
    }
    let checkpoints = log.checkpoints().len() as u64;
    if checkpoints > 0 {
        let checkpoints = counted(checkpoints, "named checkpoint", "named checkpoints");
        eprintln!("{checkpoints} of the log are not exported");
    }
    Ok(outcome)
}

/// Written at once.
const OUTPUT_BYTES: usize = 256 << 10;

#[derive(Serialize)]
struct BatchOut<'a> {
    time: Box<RawValue>,
    events: Vec<EventOut<'a>>,
}

fn write_batches(log: &quipu::Log, mut out: impl Write) -> anyhow::Result<()> {
    for batch in log.batches(log.first_available()..) {
        let batch = batch?;
        let mut events = Vec::with_capacity(batch.event_count() as usize);
        for event in batch.events()? {
            let event = event?;
            let mut line = EventOut::new(event.stream(), event.event_type())
                .id(event.id())
                .metadata(event.metadata())
                .data(event.payload());
            line.tags = event.tags().iter().collect();
            events.push(line);
        }
        let time = time_out(batch.committed_at().as_u64())?;
        serde_json::to_writer(&mut out, &BatchOut { time, events })?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
