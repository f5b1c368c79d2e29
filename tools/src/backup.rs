//! `quipu backup`: a second directory with the log in it, or one brought up to date.
//!
//! The log is opened for reading only, so that it may have a live writer: the backup goes as far as
//! that one has made it durable. The engine does the work (`Log::backup_with`); here it is asked
//! for, watched and told.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use quipu::{BackupError, BackupOptions, BackupProgress, BackupReport, Log};
use serde::Serialize;

use crate::number::{counted, grouped};
use crate::outcome::{Misuse, Outcome};
use crate::progress;

/// What is to be backed up, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The backup's: missing, empty, or an earlier backup of the same log.
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    /// Copies full segments even where they could be linked.
    #[arg(long)]
    pub copy: bool,
    /// The same as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Request {
    /// Whether the request can be meant.
    fn check(&self) -> anyhow::Result<()> {
        match (self.directory.canonicalize(), self.to.canonicalize()) {
            (Ok(from), Ok(to)) if from == to => Err(Misuse::new(format!(
                "{} is the log's own directory; a backup needs another one",
                self.to.display()
            ))),
            // What is not there is told by who opens it.
            _ => Ok(()),
        }
    }
}

/// What a backup came to.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    directory: String,
    pub(crate) to: String,
    /// Events in it; the position that the next one would get.
    pub(crate) events: u64,
    segments_kept: usize,
    segments_linked: usize,
    segments_copied: usize,
    bytes_linked: u64,
    bytes_copied: u64,
    seconds: f64,
}

/// Makes the backup and says what it holds.
///
/// # Errors
/// What keeps the log from being read or the backup from being made.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    request.check()?;
    let Request { directory, to, copy, json } = request;
    let log = Log::open_read_only(directory)
        .with_context(|| format!("cannot open {} for reading", directory.display()))?;
    let options = if *copy { BackupOptions::new().copies() } else { BackupOptions::new() };
    let report = watched(&log, to, &options)
        .with_context(|| format!("no backup of {}", directory.display()))?;
    let summary = Summary::new(directory, to, &report);
    let mut out = io::stdout().lock();
    if *json {
        serde_json::to_writer_pretty(&mut out, &summary)?;
        writeln!(out)?;
    } else {
        summary.tell(&mut out)?;
    }
    Ok(Outcome::Fine)
}

/// Makes a backup with a bar for those who watch.
pub(crate) fn watched(
    log: &Log,
    to: &Path,
    options: &BackupOptions,
) -> Result<BackupReport, BackupError> {
    let bar = progress::bytes("copying", Some(0));
    let report = log.backup_with(to, options, |progress| {
        let BackupProgress { bytes_done, bytes_all, .. } = progress;
        bar.set_length(bytes_all);
        bar.set_position(bytes_done);
    });
    bar.finish_and_clear();
    report
}

impl Summary {
    pub(crate) fn new(directory: &Path, to: &Path, report: &BackupReport) -> Self {
        Self {
            directory: directory.display().to_string(),
            to: to.display().to_string(),
            events: report.end.as_u64(),
            segments_kept: report.segments_kept,
            segments_linked: report.segments_linked,
            segments_copied: report.segments_copied,
            bytes_linked: report.bytes_linked,
            bytes_copied: report.bytes_copied,
            seconds: report.took.as_secs_f64(),
        }
    }

    fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { to, events, segments_kept, segments_linked, segments_copied, .. } = self;
        writeln!(out, "{to}: {}, all that was durable", counted(*events, "event", "events"))?;
        let segments = segments_kept + segments_linked + segments_copied;
        writeln!(
            out,
            "{}: {segments_kept} kept, {segments_linked} linked ({} bytes), {segments_copied} \
             copied and read back ({} bytes), {:.2} s",
            counted(segments as u64, "segment", "segments"),
            grouped(self.bytes_linked),
            grouped(self.bytes_copied),
            self.seconds,
        )
    }
}
