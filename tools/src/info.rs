//! `quipu info`: what a log is and how it stands, at a glance; never disturbs it.
//!
//! Counts and times come from the engine, opened for reading only; how full each segment is, from the
//! headers, by the format alone.

mod report;
mod segments;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

pub use report::Info;
pub use segments::{SegmentInfo, SegmentState};

use crate::open::open_for_reading;
use crate::outcome::Outcome;

/// Prints what there is to know of the log in `directory`.
pub fn run(directory: &Path, json: bool) -> anyhow::Result<Outcome> {
    let (log, outcome) = open_for_reading(directory)?;
    let info = Info::of(directory, &log)?;
    let stdout = io::stdout();
    let width = match terminal_size::terminal_size() {
        Some((width, _)) if stdout.is_terminal() => Some(usize::from(width.0)),
        _ => None,
    };
    let mut out = stdout.lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &info)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", info.shown(width))?;
    }
    Ok(outcome)
}
