//! `quipu repair`: cuts a torn tail off, and says beforehand what that is.
//!
//! What is to be done is decided by the verifier, so by the format alone; the engine's recovery does
//! it. A dry run unless told otherwise. What verifies is never touched, and the files that are changed
//! are kept, as they were, in a folder beside the log. A damaged log is not repaired: what could be
//! kept of it is for `quipu salvage`.

mod originals;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::number::{counted, grouped};
use crate::open::open_as_it_is;
use crate::outcome::Outcome;
use crate::verify::{self, Report, Tail, WrongFile};
use originals::keep;

/// How a log is repaired.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Does it; otherwise it is only said.
    #[arg(long)]
    pub apply: bool,
    /// The same as JSON.
    #[arg(long)]
    pub json: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  there is nothing to repair, or it can be repaired without loss, or it was
  1  something durable is gone, which no repair brings back, or an error of the system
  2  the command was misused";

/// What was found, and done.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Repair {
    /// What the verifier has found before anything was done.
    #[serde(flatten)]
    pub found: Report,
    /// What there is to do, or was.
    pub to_do: Vec<String>,
    /// Where the files are now as they were, if they were changed.
    pub originals: Option<PathBuf>,
}

/// Repairs a log, or says what that would do.
///
/// # Errors
/// What keeps the log from being judged or opened.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let repair = repair(&request.directory, request.apply)?;
    let mut out = io::stdout().lock();
    if request.json {
        serde_json::to_writer_pretty(&mut out, &repair)?;
        writeln!(out)?;
    } else {
        tell(&repair, &request.directory, &mut out)?;
    }
    Ok(if repair.is_damaged() { Outcome::Wrong } else { Outcome::Fine })
}

/// Says what there is to do and, if that is wanted and nothing durable is gone, does it.
///
/// # Errors
/// What keeps the log from being judged or opened. Damage is no error; then nothing is changed.
pub fn repair(directory: &Path, apply: bool) -> anyhow::Result<Repair> {
    let found = verify::watched(directory)?;
    let to_do = to_do(&found);
    let mut repair = Repair { found, to_do, originals: None };
    if apply && !repair.is_damaged() && !repair.to_do.is_empty() {
        repair.originals = Some(carry_out(directory, &repair.found)?);
    }
    Ok(repair)
}

impl Repair {
    /// Whether something durable is gone, so that nothing was done.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.found.tail, Tail::Damaged { .. })
    }
}

/// What opening the log for writing would do to it.
fn to_do(found: &Report) -> Vec<String> {
    let mut all = Vec::new();
    if let Tail::Torn { file, offset, bytes, fault } = &found.tail {
        all.push(format!(
            "cut {} behind offset {} of {file} ({fault}): never acknowledged as durable",
            counted(*bytes, "byte", "bytes"),
            grouped(*offset),
        ));
    }
    for sequence in &found.seals_missing {
        all.push(format!("write the seal of segment {sequence}, which the next one names"));
    }
    for name in &found.base_copies_wrong {
        all.push(format!("make {name} again from the other copy of the base"));
    }
    for WrongFile { file, why } in &found.derived_wrong {
        all.push(format!("remove {file}, which is derived and is made again ({why})"));
    }
    if found.segments_dropped > 0 {
        let count = counted(found.segments_dropped as u64, "segment", "segments");
        all.push(format!("remove {count} that were dropped and are still there"));
    }
    if found.segments_unfinished > 0 {
        let count = counted(found.segments_unfinished as u64, "file", "files");
        all.push(format!("remove {count} whose preparation did not finish"));
    }
    all
}

/// Keeps what will be changed, and lets recovery do it. Where the originals are.
fn carry_out(directory: &Path, found: &Report) -> anyhow::Result<PathBuf> {
    let originals = keep(directory, found)?;
    // By their names alone they might be trusted. Without them they are made again.
    for WrongFile { file, .. } in &found.derived_wrong {
        let path = directory.join(file);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let kept_in = originals.display();
    let log = open_as_it_is(directory).with_context(|| {
        format!("cannot repair {}; the originals are in {kept_in}", directory.display())
    })?;
    let events = log.end().as_u64();
    log.close()?;
    if events != found.events {
        bail!("{events} events are there, {} were found: see {kept_in}", found.events);
    }
    Ok(originals)
}

fn tell(repair: &Repair, directory: &Path, out: &mut impl Write) -> io::Result<()> {
    let Repair { found, to_do, originals } = repair;
    writeln!(
        out,
        "kept: {} in {} of {}, positions {}below {}",
        counted(found.events.saturating_sub(found.first_available), "event", "events"),
        counted(found.batches, "batch", "batches"),
        counted(found.streams as u64, "stream", "streams"),
        match found.first_available {
            0 => String::new(),
            first => format!("from {} to ", grouped(first)),
        },
        grouped(found.events),
    )?;
    if let Tail::Damaged { file, offset, position, fault, proof } = &found.tail {
        writeln!(
            out,
            "DAMAGED: {file} at offset {offset}: position {position} cannot be read ({fault})"
        )?;
        writeln!(out, "proof: {proof}")?;
        let directory = directory.display();
        writeln!(
            out,
            "Nothing was changed: a repair would lose what was durable. Restore a backup, or see"
        )?;
        return writeln!(out, "what is lost with: quipu salvage {directory} --dry-run");
    }
    if to_do.is_empty() {
        return writeln!(out, "There is nothing to repair.");
    }
    for one in to_do {
        writeln!(out, "{}: {one}", if originals.is_some() { "done" } else { "to do" })?;
    }
    match originals {
        Some(place) => writeln!(out, "The files are kept as they were in {}", place.display()),
        None if found.derived_wrong.is_empty() => writeln!(
            out,
            "Nothing was changed; --apply does it. So does opening the log for writing."
        ),
        None => writeln!(out, "Nothing was changed; --apply does it."),
    }
}
