//! `quipu import`: JSON lines, one batch a line, into a log.
//!
//! Lines go in whole, in order, and without a hole: the first line that is refused ends the import,
//! and all before it is durable. An import that was interrupted is said again and goes on where it
//! stopped: lines that are in the log already are skipped.

mod line;
mod resume;
mod submitter;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use quipu::Log;

use crate::number::{counted, grouped};
use crate::outcome::Outcome;
use line::Line;
use resume::Resume;
use submitter::Submitter;

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct Request {
    /// The file; `-` is stdin.
    pub file: PathBuf,
    /// The log's directory.
    pub directory: PathBuf,
    /// Appends lines that are in the log already once more.
    pub again: bool,
    /// The size of new segments, if not the engine's default.
    pub segment_bytes: Option<u64>,
}

/// Read at once.
const INPUT_BYTES: usize = 256 << 10;

/// Imports. What was done is said on stderr, even if a line was refused.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let (name, input, length) = open_input(&request.file)?;
    let mut options = Log::options();
    if let Some(bytes) = request.segment_bytes {
        options = options.segment_bytes(bytes);
    }
    let log = options
        .open(&request.directory)
        .with_context(|| format!("cannot open {}", request.directory.display()))?;
    let resume = if request.again { Resume::nowhere() } else { Resume::of(&log) };
    let bar = progress_bar(length);
    let mut import = Import { name, skipped: 0, resume, submitter: Submitter::new(&log) };
    let ended = import.run(input, &bar);
    bar.finish_and_clear();
    eprintln!("{}", import.summary());
    drop(import);
    let closed = log.close().context("cannot close the log");
    ended?;
    closed?;
    Ok(Outcome::Fine)
}

struct Import<'a> {
    name: String,
    skipped: u64,
    resume: Resume,
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
                Ok(false) => break,
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
        if self.resume.has(&line).context("cannot read what is in the log already")? {
            self.skipped += 1;
            return Ok(());
        }
        let submitted = self.submitter.submit(number, &line);
        submitted.map_err(|refused| self.refusal(&refused))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let finished = self.submitter.finish();
        finished.map_err(|refused| self.refusal(&refused))
    }

    fn refusal(&self, refused: &submitter::Refused) -> anyhow::Error {
        anyhow!("{}:{}: {}", self.name, refused.line, refused.reason)
    }

    fn summary(&self) -> String {
        let done = &self.submitter.done;
        let place = match (done.first, done.last) {
            (Some(first), Some(last)) => {
                format!(", positions {} to {}", grouped(first.as_u64()), grouped(last.as_u64()))
            }
            _ => String::new(),
        };
        format!(
            "imported {}, {} in {}{place}; skipped {} that were there already",
            counted(done.batches, "batch", "batches"),
            counted(done.events, "event", "events"),
            counted(done.streams.len() as u64, "stream", "streams"),
            counted(self.skipped, "batch", "batches"),
        )
    }
}

/// The input, what it is called, and its length if it is known.
fn open_input(path: &Path) -> anyhow::Result<(String, Box<dyn BufRead>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok(("stdin".to_owned(), Box::new(io::stdin().lock()), None));
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let metadata = file.metadata().with_context(|| format!("cannot look at {name}"))?;
    let length = metadata.is_file().then_some(metadata.len());
    Ok((name, Box::new(BufReader::with_capacity(INPUT_BYTES, file)), length))
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    match length {
        Some(length) => {
            let style =
                ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
            let bar = ProgressBar::new(length);
            style.map_or(bar.clone(), |style| bar.with_style(style))
        }
        None => ProgressBar::new_spinner(),
    }
}
