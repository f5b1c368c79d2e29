//! `quipu import`: JSON lines, one batch a line, into a log.
//!
//! Lines go in whole, in order, and without a hole: the first line that is refused ends the import,
//! and all before it is durable. An import that was interrupted is said again and goes on where it
//! stopped: lines that are in the log already are skipped. Where the front of the log has been dropped,
//! and with it lines, see `resume`.

mod dropped;
mod resume;
mod submitter;

use std::fmt;
use std::io::BufRead;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::input::Input;
use crate::line::{LINE_FORMAT, Line};
use crate::number::{counted, grouped};
use crate::open::open_for_writing;
use crate::outcome::Outcome;
use crate::progress;
use resume::{Resume, ResumeError};
use submitter::Submitter;

/// What is to be imported.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = LINE_FORMAT)]
pub struct Request {
    /// The file with the lines; - is stdin.
    pub file: PathBuf,
    /// The log's directory.
    #[arg(long = "dir", value_name = "DIR")]
    pub directory: PathBuf,
    /// Appends every line, even those that are in the log already.
    #[arg(long)]
    pub again: bool,
    /// The size of new segments, in bytes.
    #[arg(long, value_name = "BYTES")]
    pub segment_bytes: Option<u64>,
    /// What was done as JSON, on stdout.
    #[arg(long)]
    pub json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Summary {
    batches: u64,
    events: u64,
    streams: usize,
    first_position: Option<u64>,
    last_position: Option<u64>,
    /// Batches that were there already.
    skipped: u64,
}

/// Imports. What was done is said on stderr, even if a line was refused.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let Input { name, reader, length } = Input::open(&request.file)?;
    let log = open_for_writing(&request.directory, request.segment_bytes)?;
    let resume = if request.again { Resume::nowhere() } else { Resume::of(&log) };
    let bar = progress::bytes("importing", length);
    let mut import = Import { name, skipped: 0, resume, submitter: Submitter::new(&log) };
    let ended = import.run(reader, &bar);
    bar.finish_and_clear();
    let summary = import.summary();
    match request.json {
        true => println!("{}", serde_json::to_string(&summary)?),
        false => eprintln!("{summary}"),
    }
    drop(import);
    let closed = log.close().context("cannot close the log");
    ended?;
    closed?;
    Ok(Outcome::Fine)
}

struct Import<'a> {
    name: String,
    skipped: u64,
    resume: Resume<'a>,
    submitter: Submitter<'a>,
}

impl Import<'_> {
    fn run(&mut self, mut input: impl BufRead, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let read = input.read_until(b'\n', &mut text);
            let read = read.with_context(|| format!("cannot read {}", self.name));
            let taken = read.and_then(|read| match read {
                0 => Ok(false),
                read => {
                    bar.inc(read as u64);
                    self.take(number, text.trim_ascii()).map(|()| true)
                }
            });
            match taken {
                Ok(true) => {}
                Ok(false) => {
                    let finished = self.resume.finish();
                    finished.map_err(|error| self.unsure(&self.name.clone(), &error))?;
                    break;
                }
                Err(error) => {
                    // What came before stays, or is to blame itself.
                    self.finish()?;
                    return Err(error);
                }
            }
        }
        self.finish()
    }

    /// Takes one line. Empty ones say nothing.
    fn take(&mut self, number: u64, text: &[u8]) -> anyhow::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let line = Line::parse(text).map_err(|error| anyhow!("{}:{number}: {error}", self.name))?;
        let has = self.resume.has(&line);
        if has.map_err(|error| self.unsure(&format!("{}:{number}", self.name), &error))? {
            self.skipped += 1;
            return Ok(());
        }
        let submitted = self.submitter.submit(number, &line);
        submitted.map_err(|refused| self.refusal(&refused))
    }

    /// Of lines that cannot be told to be there, none counts as skipped.
    fn unsure(&mut self, place: &str, error: &ResumeError) -> anyhow::Error {
        if matches!(error, ResumeError::CannotTell { .. }) {
            self.skipped = 0;
        }
        anyhow!("{place}: {error}")
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let finished = self.submitter.finish();
        finished.map_err(|refused| self.refusal(&refused))
    }

    fn refusal(&self, refused: &submitter::Refused) -> anyhow::Error {
        anyhow!("{}:{}: {}", self.name, refused.line, refused.reason)
    }

    fn summary(&self) -> Summary {
        let done = &self.submitter.done;
        Summary {
            batches: done.batches,
            events: done.events,
            streams: done.streams.len(),
            first_position: done.first.map(u64::from),
            last_position: done.last.map(u64::from),
            skipped: self.skipped,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "imported {}, {} in {}",
            counted(self.batches, "batch", "batches"),
            counted(self.events, "event", "events"),
            counted(self.streams as u64, "stream", "streams"),
        )?;
        if let (Some(first), Some(last)) = (self.first_position, self.last_position) {
            write!(f, ", positions {} to {}", grouped(first), grouped(last))?;
        }
        let skipped = counted(self.skipped, "batch", "batches");
        write!(f, "; skipped {skipped} that were there already")
    }
}
