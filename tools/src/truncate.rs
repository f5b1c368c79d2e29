//! `quipu truncate`: drops the front of a log, or says what that would drop.
//!
//! Opens the log for writing, so that nobody else may have it open for that. A dry run unless told
//! otherwise; it too does what every opening for writing does: it cuts a torn tail off.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use quipu::{Log, Position};
use serde::Serialize;

use crate::number::{counted, grouped};
use crate::outcome::Outcome;

/// What is to be dropped.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Segments whose events are all below this position.
    #[arg(long, value_name = "POSITION")]
    pub before: u64,
    /// Does it; otherwise it is only said.
    #[arg(long)]
    pub apply: bool,
    /// The same as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What was dropped, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// Whether it was done.
    pub applied: bool,
    /// Segments.
    pub segments: usize,
    /// Events in them.
    pub events: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// The position of the first event that is kept.
    pub first_available: u64,
    /// Files that could not be removed; the next opening removes them.
    pub files_left: usize,
}

/// Drops the front of a log, or says what that would drop.
///
/// # Errors
/// As of [`truncate`].
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let dropped = truncate(&request.directory, request)?;
    let mut out = io::stdout().lock();
    if request.json {
        serde_json::to_writer_pretty(&mut out, &dropped)?;
        writeln!(out)?;
        return Ok(Outcome::Fine);
    }
    let Dropped { applied, segments, events, bytes, first_available, files_left } = dropped;
    let segments = counted(segments as u64, "segment", "segments");
    let events = counted(events, "event", "events");
    let (done, then) = if applied { ("dropped", "begins") } else { ("would drop", "would begin") };
    writeln!(out, "{done} {segments} with {events}, {} bytes", grouped(bytes))?;
    writeln!(out, "the log {then} at position {}", grouped(first_available))?;
    if files_left > 0 {
        writeln!(out, "{files_left} files could not be removed; the next opening removes them")?;
    }
    if !applied {
        writeln!(out, "nothing was dropped; --apply does it")?;
    }
    Ok(Outcome::Fine)
}

/// Drops the front of the log in `directory`, or finds out what that would drop.
///
/// # Errors
/// A log that cannot be opened for writing, or what must outlive the events cannot be stored.
pub fn truncate(directory: &Path, request: &Request) -> anyhow::Result<Dropped> {
    let mut options = Log::options().create(false);
    // A prepared segment of another size would be made anew.
    if let Some(bytes) = segment_bytes(directory)? {
        options = options.segment_bytes(bytes);
    }
    let log = options
        .open(directory)
        .with_context(|| format!("cannot open {} for writing", directory.display()))?;
    let before = Position::new(request.before);
    let answer = match request.apply {
        true => log.truncate_before(before),
        false => log.would_truncate_before(before),
    };
    let dropped = answer.with_context(|| format!("cannot truncate {}", directory.display()))?;
    log.close()?;
    Ok(Dropped {
        applied: request.apply,
        segments: dropped.segments,
        events: dropped.events,
        bytes: dropped.bytes,
        first_available: dropped.first_available.as_u64(),
        files_left: dropped.files_left,
    })
}

/// The size of the last segment.
fn segment_bytes(directory: &Path) -> anyhow::Result<Option<u64>> {
    let listed = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    let is_segment =
        |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "seg");
    let last = listed.filter_map(Result::ok).filter(is_segment);
    let last = last.max_by_key(std::fs::DirEntry::file_name);
    Ok(last.and_then(|entry| entry.metadata().ok()).map(|about| about.len()))
}
