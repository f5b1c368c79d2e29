//! `quipu append`: JSON lines, one batch a line, each acknowledged before the next is read.
//!
//! For programs and people that talk with a log line by line: what is printed for a line is its
//! acknowledgement. `import` is for files: it has many lines under way, and goes on where it
//! stopped.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use quipu::{
    AppendError, AppendErrorKind, Batch, Durability, ExpectedVersion, Log, Receipt, Version,
};
use serde::Serialize;

use crate::input::Input;
use crate::line::{LINE_FORMAT, Line};
use crate::open::open_for_writing;
use crate::outcome::Outcome;
use crate::show::printable;

/// What is to be appended, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = LINE_FORMAT)]
pub struct Request {
    /// The log's directory; made, if it is not there.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The file with the lines; - is stdin.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// What every stream must be like before this command first writes it: any, none (no events),
    /// exists, or its version. From then on it must be as this command has left it.
    #[arg(long, value_name = "WHAT", default_value = "any")]
    expect: Expect,
    /// Acknowledges a line when it is on the device. The default.
    #[arg(long, conflicts_with = "buffered")]
    durable: bool,
    /// Acknowledges a line when it is in the page cache, which a power cut loses.
    #[arg(long)]
    buffered: bool,
    /// A line whose events, by their ids, are there already where they were to go is not refused.
    #[arg(long)]
    idempotent: bool,
    /// The size of new segments, in bytes.
    #[arg(long, value_name = "BYTES")]
    segment_bytes: Option<u64>,
    /// Positions, versions and refusals as JSON lines.
    #[arg(long)]
    json: bool,
}

/// What a stream must be like before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expect(ExpectedVersion);

/// What is printed for a line that was appended.
#[derive(Debug, Serialize)]
struct Appended<'a> {
    first_position: u64,
    last_position: u64,
    versions: HashMap<&'a str, u64>,
    replayed: bool,
}

/// What is printed for a line that was refused.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    line: u64,
    error: String,
    failed: Vec<Failed<'a>>,
}

/// One precondition that did not hold.
#[derive(Debug, Serialize)]
struct Failed<'a> {
    stream: &'a str,
    expected: String,
    /// The version that the stream is at; `None`: it has no events.
    actual: Option<u64>,
}

/// Appends line by line. The first line that is refused ends it; all before it stay.
///
/// # Errors
/// What keeps the log from being opened, a line that is no batch, what the log answers.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let input = Input::open(&request.file)?;
    let log = open_for_writing(&request.directory, request.segment_bytes)?;
    let durability = if request.buffered { Durability::Buffered } else { Durability::Sync };
    let mut appending = Appending { log: &log, request, durability, left: HashMap::new() };
    let ended = appending.run(input);
    let closed = log.close().context("cannot close the log");
    let outcome = ended?;
    closed?;
    Ok(outcome)
}

struct Appending<'a> {
    log: &'a Log,
    request: &'a Request,
    durability: Durability,
    /// The version that this command has brought each stream to.
    left: HashMap<String, Version>,
}

impl Appending<'_> {
    fn run(&mut self, mut input: Input) -> anyhow::Result<Outcome> {
        let mut out = io::stdout().lock();
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let read = input.reader.read_until(b'\n', &mut text);
            if read.with_context(|| format!("cannot read {}", input.name))? == 0 {
                break;
            }
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let line =
                Line::parse(text).map_err(|error| anyhow!("{}:{number}: {error}", input.name))?;
            match self.append(&line) {
                Ok(receipt) => self.tell(&receipt, &mut out)?,
                Err(error) => {
                    if self.request.json && error.kind() == AppendErrorKind::Precondition {
                        tell_refused(number, &error, &mut out)?;
                    }
                    eprintln!("quipu: {}:{number}: {error}", input.name);
                    return Ok(Outcome::Wrong);
                }
            }
        }
        Ok(Outcome::Fine)
    }

    fn append(&mut self, line: &Line<'_>) -> Result<Receipt, AppendError> {
        let mut batch = Batch::new().durability(self.durability);
        if self.request.idempotent {
            batch = batch.idempotent();
        }
        batch = line.add_to(batch);
        let Expect(expected) = self.request.expect;
        if expected != ExpectedVersion::Any {
            for event in line.events.iter().filter(|event| !line.is_expected(&event.stream)) {
                let left = self.left.get(&*event.stream).copied();
                let expected = left.map_or(expected, ExpectedVersion::Exact);
                batch = batch.expect(&event.stream, expected);
            }
        }
        let receipt = self.log.append(batch)?;
        for (stream, version) in receipt.versions() {
            match self.left.get_mut(stream) {
                Some(left) => *left = version,
                None => drop(self.left.insert(stream.to_owned(), version)),
            }
        }
        Ok(receipt)
    }

    /// Says where a line has gone. Flushed: who reads it may wait for it before the next line.
    fn tell(&self, receipt: &Receipt, out: &mut impl Write) -> anyhow::Result<()> {
        let (first, last) = (receipt.first_position().as_u64(), receipt.last_position().as_u64());
        let versions = receipt.versions();
        if self.request.json {
            let versions = versions.map(|(stream, version)| (stream, version.as_u64())).collect();
            let replayed = receipt.replayed();
            let told = Appended { first_position: first, last_position: last, versions, replayed };
            serde_json::to_writer(&mut *out, &told)?;
            out.write_all(b"\n")?;
        } else {
            let place = match last {
                last if last == first => format!("position {first}"),
                last => format!("positions {first} to {last}"),
            };
            let streams: Vec<_> = versions
                .map(|(stream, version)| format!("{}@{version}", printable(stream)))
                .collect();
            let replayed = if receipt.replayed() { "  (was there already)" } else { "" };
            writeln!(out, "{place}  {}{replayed}", streams.join(" "))?;
        }
        out.flush()?;
        Ok(())
    }
}

fn tell_refused(line: u64, error: &AppendError, out: &mut impl Write) -> anyhow::Result<()> {
    let failed = error.failed_preconditions().iter().map(|failed| Failed {
        stream: &failed.stream,
        expected: failed.expected.to_string(),
        actual: failed.actual.map(|head| head.version.as_u64()),
    });
    let refused = Refused { line, error: error.to_string(), failed: failed.collect() };
    serde_json::to_writer(&mut *out, &refused)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = || "it must be any, none, exists or a version".to_owned();
        Ok(Self(match text {
            "any" => ExpectedVersion::Any,
            "none" => ExpectedVersion::NoStream,
            "exists" => ExpectedVersion::StreamExists,
            number => ExpectedVersion::Exact(Version::new(number.parse().map_err(|_| wanted())?)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_said_in_a_word_or_a_version() {
        for (text, expected) in [
            ("any", ExpectedVersion::Any),
            ("none", ExpectedVersion::NoStream),
            ("exists", ExpectedVersion::StreamExists),
            ("7", ExpectedVersion::Exact(Version::new(7))),
        ] {
            assert_eq!(text.parse(), Ok(Expect(expected)));
        }
        for text in ["", "-1", "nothing", "1.5"] {
            assert!(text.parse::<Expect>().is_err(), "{text}");
        }
    }
}
