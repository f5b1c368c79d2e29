//! `quipu salvage`: all whole batches of a damaged log into a new one, with a list of what is missing.
//!
//! The old log is read by the format alone, with positioned reads, and never changed. Whatever stands
//! in front of a frame, behind it, or in its segment's header, the frame is found and verified by
//! itself: its checksums are bound to the log's id, the segment and the offset. Sectors that a device
//! does not give back are damage like any other.
//!
//! 1. **Scan** each segment: runs of whole frames that follow one another, and the gaps between them.
//!    Runs that a seal and a header link are one strand.
//! 2. **Choose**: strands that contradict one another cannot all be of this log. Positions, times or
//!    synced positions run backwards between them, or a frame does not follow the one that it adjoins,
//!    or a stream has a version twice. What had been durable goes first, then the log's beginning, then
//!    what has more events; see `choose`. What is not taken over is listed.
//! 3. **Tally** the streams: each batch says what versions its streams must have had in front of it.
//! 4. **Compare** with what the log says of itself: positions are dense, and synced positions, base
//!    positions and begin headers tell how far it went at least.
//! 5. **Write** the batches to a new log, in order, each whole, with its time.
//!
//! The new log is a log like any other: another id, positions and versions dense from 0. So events
//! behind a loss move down, and the report says from where to where. Ids, types, tags, metadata,
//! payloads, the order of events, the bounds and times of batches are as they were.
//!
//! A log of which the front was dropped begins behind its base; so does the new one, with the same positions
//! and versions. Nothing of what was dropped counts as lost. If no copy of the base is right, the new log
//! begins at position 0, and the report says so.
//!
//! Batches behind a hole are taken over even where the hole was never durable: nothing that verifies is
//! left out. A log whose tail is merely torn needs no salvage: it opens, and loses what was never
//! acknowledged as durable.
//!
//! What cannot be known: what was lost behind the last frame without a trace; which streams the lost
//! events were of, where no later batch names them; and whether whole frames that fit into a hole are
//! of a tail that was cut off long ago, which a device has brought back with an old page.

mod assemble;
mod choose;
mod copy;
mod cut;
mod error;
mod front;
mod inventory;
mod judge;
mod losses;
mod patient;
mod places;
mod replay;
mod report;
mod run;
mod scan;
mod source;
mod tally;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quipu_format::LogId;

pub use error::{Misuse, SalvageError};
pub use report::{
    Contradiction, Damage, Doubtful, End, Left, Lost, LostVersions, Moved, Report, UnreadableBytes,
};

use crate::outcome::Outcome;
use crate::progress::Stages;
use copy::Target;
use inventory::Inventory;
use run::Run;
use source::Source;
use tally::{runs_of, tally};

/// What is to be salvaged.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The old log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The new log's directory, which must be empty or missing.
    #[arg(long, value_name = "NEW", required_unless_present = "dry_run")]
    pub to: Option<PathBuf>,
    /// Only says what would be salvaged and what is lost.
    #[arg(long)]
    pub dry_run: bool,
    /// The old log's id, as verify tells it of a backup, where no segment header is left, or those
    /// that are tell another one.
    #[arg(long, value_name = "ID", value_parser = log_id)]
    pub log_id: Option<LogId>,
    /// The size of the new segments, in bytes, if not that of the old ones.
    #[arg(long, value_name = "BYTES")]
    pub segment_bytes: Option<u64>,
}

/// What the command takes: what is to be salvaged, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    request: Request,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
The old log is never changed. Events behind a loss move down in the new log; the report says from
where to where.

Exit codes:
  0  nothing was lost, but for a torn tail that was never acknowledged as durable
  1  something was lost or is wrong, or an error of the system
  2  the command was misused";

/// A log id as 32 hexadecimal digits.
fn log_id(text: &str) -> Result<LogId, String> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
    let number = number.ok_or_else(|| "a log id has 32 hexadecimal digits".to_owned())?;
    Ok(LogId::from_bytes(number.to_be_bytes()))
}

impl Request {
    /// Whether the request can be meant.
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn check(&self) -> Result<(), Misuse> {
        let Some(to) = &self.to else {
            return if self.dry_run { Ok(()) } else { Err(Misuse::NoTarget) };
        };
        let path = to.display().to_string();
        let no_place =
            |reason: &str| Err(Misuse::NoPlace { path: path.clone(), reason: reason.to_owned() });
        if to.file_name().is_none() {
            return no_place("it has no name of its own");
        }
        match fs::read_dir(to) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Misuse::NotEmpty(path));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return no_place(&error.to_string()),
        }
        let parent = match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = match parent.canonicalize() {
            Ok(parent) => parent,
            Err(error) => return no_place(&format!("its parent: {error}")),
        };
        let there = to.canonicalize().unwrap_or(parent);
        // If the old one cannot be found, reading it says so.
        match self.directory.canonicalize() {
            Ok(old) if there.starts_with(&old) => Err(Misuse::Inside(path)),
            _ => Ok(()),
        }
    }
}

/// Salvages and prints what was found.
///
/// # Errors
/// What keeps the log from being read or the new one from being written.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Arguments { request, json } = arguments;
    request.check().map_err(crate::outcome::Misuse::new)?;
    let stages = Stages::new();
    let report = salvage_from(&Source::new(&request.directory, stages.clone()), request);
    stages.end();
    let report = report?;
    let mut out = io::stdout().lock();
    if *json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.ok { Outcome::Fine } else { Outcome::Wrong })
}

/// Salvages.
///
/// # Errors
/// [`SalvageError`]. Damage is no error, but part of the report.
pub fn salvage(request: &Request) -> Result<Report, SalvageError> {
    salvage_from(&Source::new(&request.directory, Stages::hidden()), request)
}

fn salvage_from(source: &Source, request: &Request) -> Result<Report, SalvageError> {
    request.check()?;
    if let Some(pid) = source.writer() {
        return Err(SalvageError::in_use(source, pid));
    }
    let mut log = Inventory::of(source, request.log_id)?;
    let settled = tally(source, &mut log)?;
    let taken = runs_of(&settled.choice, &settled.strands, &log.runs);
    let taken: Vec<(usize, &Run)> = taken.collect();
    let new_log_id = match &request.to {
        Some(to) if !request.dry_run => {
            let target = Target::new(to, request.segment_bytes, &log.segments, &taken);
            Some(copy::write(&target, source, &log, &taken, &settled.tally)?)
        }
        _ => None,
    };
    Ok(Report {
        directory: request.directory.display().to_string(),
        to: request.to.as_ref().map(|to| to.display().to_string()),
        written: new_log_id.is_some(),
        new_log_id,
        ..assemble::report(source, &log, settled)
    })
}
