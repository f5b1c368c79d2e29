//! `quipu streams`: the streams of a log, with how far each has come.
//!
//! Reads the log once. Streams of which all events were dropped from its front are not shown. What it holds in memory grows with the streams that are shown.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::json::time_out;
use crate::number::grouped;
use crate::open::open_for_reading;
use crate::outcome::Outcome;
use crate::show::printable;
use crate::time::rfc3339;

/// Which streams, and how they are shown.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Only streams whose name begins so.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// JSON lines, one stream a line.
    #[arg(long)]
    pub json: bool,
}

/// What is told of one stream.
#[derive(Debug, Clone, Copy)]
struct Stream {
    /// Of its last event.
    version: u64,
    position: u64,
    committed_at: u64,
}

/// A stream as a JSON line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    stream: &'a str,
    version: u64,
    last_position: u64,
    last_commit: Box<serde_json::value::RawValue>,
}

/// Prints the streams of a log, in the order of their names.
///
/// # Errors
/// What keeps the log from being read.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let (log, outcome) = open_for_reading(&request.directory)?;
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    for batch in log.batches(log.first_available()..) {
        let batch = batch?;
        let committed_at = batch.committed_at().as_u64();
        for event in batch.events()? {
            let event = event?;
            if !event.stream().starts_with(&request.prefix) {
                continue;
            }
            let (version, position) = (event.version().as_u64(), event.position().as_u64());
            let found = Stream { version, position, committed_at };
            match streams.get_mut(event.stream()) {
                Some(known) => *known = found,
                None => {
                    streams.insert(event.stream().to_owned(), found);
                }
            }
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = |number: u64| grouped(number).len();
    let widths = |of: fn(&Stream) -> u64| streams.values().map(of).map(shown).max().unwrap_or(0);
    let (versions, positions) = (widths(|stream| stream.version), widths(|stream| stream.position));
    for (name, Stream { version, position, committed_at }) in &streams {
        if request.json {
            let line = Line {
                stream: name,
                version: *version,
                last_position: *position,
                last_commit: time_out(*committed_at)?,
            };
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        } else {
            let (version, position) = (grouped(*version), grouped(*position));
            let (time, name) = (rfc3339(*committed_at), printable(name));
            writeln!(
                out,
                "version {version:>versions$}  position {position:>positions$}  {time}  {name}"
            )?;
        }
    }
    out.flush()?;
    Ok(outcome)
}
