//! `quipu truncate`: drops the front of a log, or says what that would drop.
//!
//! A dry run unless told otherwise: the log is opened for reading only, beside a live writer too, and
//! nothing is changed. To drop anything the log is opened for writing, so that nobody else may have it
//! open for that; a torn tail is cut off then, as at every such opening.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use quipu::{Log, Position};
use serde::Serialize;

use crate::number::{counted, grouped};
use crate::open::open_as_it_is;
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
/// A log that cannot be opened, for writing if anything is to be dropped, or what must outlive the events
/// cannot be stored.
pub fn truncate(directory: &Path, request: &Request) -> anyhow::Result<Dropped> {
    let before = Position::new(request.before);
    let failed = || format!("cannot truncate {}", directory.display());
    let dropped = if request.apply {
        let log = open_as_it_is(directory)
            .with_context(|| format!("cannot open {} for writing", directory.display()))?;
        let dropped = log.truncate_before(before).with_context(failed)?;
        log.close()?;
        dropped
    } else {
        let log = Log::open_read_only(directory)
            .with_context(|| format!("cannot open {} for reading", directory.display()))?;
        log.would_truncate_before(before).with_context(failed)?
    };
    Ok(Dropped {
        applied: request.apply,
        segments: dropped.segments,
        events: dropped.events,
        bytes: dropped.bytes,
        first_available: dropped.first_available.as_u64(),
        files_left: dropped.files_left,
    })
}
