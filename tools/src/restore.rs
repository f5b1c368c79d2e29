//! `quipu restore`: a log from a backup, whole or as it was at some position or time.
//!
//! The backup is opened for reading only and never changed; the new log shares no file with it. It
//! has the same id, positions, versions and times: it is the same log, as it was. Whole batches
//! only: the cut is at the end of the last one that lies wholly before it, and what is left out is
//! said. While it is made it refuses to be opened, as a backup does; made again, it goes on. At the
//! end all of it is read by the format alone (`quipu verify`), and must be what it was to be.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use quipu::{BackupOptions, CommitTime, Log, Position};
use serde::Serialize;

use crate::backup::{Summary, watched};
use crate::number::{counted, grouped};
use crate::outcome::{Misuse, Outcome};
use crate::time::{parse_seconds, rfc3339};
use crate::verify::directory::UNFINISHED_BACKUP;
use crate::verify::{self, Report};

/// What is to be restored, and how far.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The backup's directory.
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The new log's directory, which must be empty or missing.
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    /// The last position that is wanted.
    #[arg(long, value_name = "N", conflicts_with = "to_time")]
    pub to_position: Option<u64>,
    /// The last commit time that is wanted: seconds since 1970, or like 2026-11-23T16:35:00Z.
    #[arg(long, value_name = "T", value_parser = parse_time)]
    pub to_time: Option<u64>,
    /// The same as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What was restored, and what was not.
#[derive(Debug, Serialize)]
struct Restored {
    #[serde(flatten)]
    summary: Summary,
    log_id: Option<String>,
    streams: usize,
    checkpoints: usize,
    last_commit_nanos: Option<u64>,
    left_out: LeftOut,
}

/// What stands behind the cut.
#[derive(Debug, Default, Serialize)]
struct LeftOut {
    events: u64,
    batches: u64,
    /// When the first of them was committed.
    first_commit_nanos: Option<u64>,
}

impl Request {
    /// Whether the request can be meant.
    fn check(&self) -> anyhow::Result<()> {
        let path = self.to.display();
        match fs::read_dir(&self.to) {
            Ok(entries) => {
                let names: Vec<_> =
                    entries.filter_map(Result::ok).map(|it| it.file_name()).collect();
                let is_unfinished = names.iter().any(|name| name == UNFINISHED_BACKUP);
                match names.is_empty() || is_unfinished {
                    true => Ok(()),
                    false => Err(Misuse::new(format!(
                        "{path} is not empty; the log needs a directory that is missing or empty"
                    ))),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                Err(Misuse::new(format!("{path} cannot be a directory for the log: {error}")))
            }
        }
    }
}

/// Restores and says what was left out.
///
/// # Errors
/// What keeps the backup from being read or the log from being made.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    request.check()?;
    let restored = restore(request)?;
    let mut out = io::stdout().lock();
    if request.json {
        serde_json::to_writer_pretty(&mut out, &restored)?;
        writeln!(out)?;
    } else {
        write!(out, "{restored}")?;
    }
    Ok(Outcome::Fine)
}

fn restore(request: &Request) -> anyhow::Result<Restored> {
    let Request { backup, to, .. } = request;
    let log = Log::open_read_only(backup)
        .with_context(|| format!("cannot open {} for reading", backup.display()))?;
    let options = BackupOptions::new().copies();
    let options = match (request.to_position, request.to_time) {
        // The one behind the last that is wanted.
        (Some(last), _) => options.up_to(Position::new(last.saturating_add(1))),
        (None, Some(last)) => options.up_to_time(CommitTime::new(last)),
        (None, None) => options,
    };
    let report = watched(&log, to, &options)
        .with_context(|| format!("{} was not restored", backup.display()))?;
    let mut left_out =
        LeftOut { events: log.end().as_u64() - report.end.as_u64(), ..LeftOut::default() };
    for batch in log.batches(report.end..) {
        let time = batch?.committed_at().as_u64();
        left_out.first_commit_nanos.get_or_insert(time);
        left_out.batches += 1;
    }
    let found: Report = verify::watched(to)?;
    if !found.ok || !found.closed || found.events != report.end.as_u64() {
        bail!("{} is not as it was to be: {}", to.display(), found.verdict());
    }
    Ok(Restored {
        summary: Summary::new(backup, to, &report),
        log_id: found.log_id,
        streams: found.streams,
        checkpoints: found.checkpoints.len(),
        last_commit_nanos: found.last_commit_nanos,
        left_out,
    })
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, streams, checkpoints, last_commit_nanos, left_out, .. } = self;
        writeln!(
            f,
            "{}: {} of {}, {}, verified",
            summary.to,
            counted(summary.events, "event", "events"),
            counted(*streams as u64, "stream", "streams"),
            counted(*checkpoints as u64, "named checkpoint", "named checkpoints"),
        )?;
        if let Some(nanos) = last_commit_nanos {
            let last = summary.events.saturating_sub(1);
            writeln!(f, "last position {}, committed at {}", grouped(last), rfc3339(*nanos))?;
        }
        match left_out {
            LeftOut { batches: 0, .. } => writeln!(f, "Nothing was left out."),
            LeftOut { events, batches, first_commit_nanos } => {
                let from = rfc3339(first_commit_nanos.unwrap_or_default());
                let events = counted(*events, "event", "events");
                let batches = counted(*batches, "batch", "batches");
                writeln!(f, "Left out: {events} in {batches}, committed from {from} on.")
            }
        }
    }
}

/// Reads a time: seconds since the Unix epoch, or a date and time like `2026-11-23T16:35:00Z`.
///
/// # Errors
/// Why it is none.
fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(timestamp.as_nanosecond())
            .map_err(|_| format!("{text} lies before 1970 or behind 2554"));
    }
    parse_seconds(text).map_err(|error| format!("{error}, and no date like 2026-11-23T16:35:00Z"))
}
