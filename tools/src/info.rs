//! `quipu info`: what a log is and how it stands, at a glance; never disturbs it.
//!
//! Counts and times come from the engine, opened for reading only; how full each segment is, from the
//! headers, by the format alone.

mod report;
mod segments;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

pub use report::Info;
pub use segments::{SegmentInfo, SegmentState};

use crate::open::open_for_reading;
use crate::outcome::Outcome;

/// Of which log, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The same as JSON, each segment by itself.
    #[arg(long)]
    pub json: bool,
}

/// Prints what there is to know of a log.
///
/// # Errors
/// What keeps the log from being read.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let (log, outcome) = open_for_reading(&request.directory)?;
    let info = Info::of(&request.directory, &log)?;
    let stdout = io::stdout();
    let width = match terminal_size::terminal_size() {
        Some((width, _)) if stdout.is_terminal() => Some(usize::from(width.0)),
        _ => None,
    };
    let mut out = stdout.lock();
    if request.json {
        serde_json::to_writer_pretty(&mut out, &info)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", info.shown(width))?;
    }
    Ok(outcome)
}
