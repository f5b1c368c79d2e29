//! `quipu read`: events of the log or of one stream, for people or as JSON lines.

use std::io::{self, BufWriter, Write};

use quipu::{Position, ReadError, RecordedEvent, Version};

use crate::directory::LogDirectory;
use crate::filter::Filter;
use crate::kept::first_kept;
use crate::open::open_for_reading;
use crate::outcome::Outcome;
use crate::show::{Format, Printer};

/// What is to be read, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    #[command(flatten)]
    log: LogDirectory,
    #[command(flatten)]
    filter: Filter,
    /// The first position (with --stream: version); else the first that is kept.
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The last position (with --stream: version).
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// From the last to the first.
    #[arg(long)]
    backward: bool,
    /// At most so many events.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    format: Format,
}

/// Prints events of a log.
///
/// # Errors
/// What keeps the log from being read.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let Request { log, filter, from, to, backward, limit, format } = request;
    let (log, outcome) = open_for_reading(log.path())?;
    let to = to.unwrap_or(u64::MAX);
    let limit = limit.unwrap_or(u64::MAX);
    let printer = Printer::new(format);
    let mut out = BufWriter::new(io::stdout().lock());
    match &filter.stream {
        Some(stream) => {
            let first = from.map_or_else(|| first_kept(&log, stream), Ok)?;
            let mut read = log.read_stream(stream, Version::new(first)..=Version::new(to));
            if *backward {
                read = read.backward();
            }
            // A stream is not read by a query: what its events must be like is looked at here.
            let passes = |event: &Result<RecordedEvent, ReadError>| {
                event.as_ref().map_or(true, |event| filter.passes(event))
            };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            print(read.into_iter().filter(passes).take(limit), &printer, &mut out)?;
        }
        None => {
            let first = from.map_or(log.first_available(), Position::new);
            let range = first..=Position::new(to);
            let mut read = log.read(range).matching(filter.query()).limit(limit);
            if *backward {
                read = read.backward();
            }
            print(read.into_iter(), &printer, &mut out)?;
        }
    }
    out.flush()?;
    Ok(outcome)
}

/// Prints events up to the first error.
pub(crate) fn print(
    events: impl Iterator<Item = Result<RecordedEvent, ReadError>>,
    printer: &Printer,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for event in events {
        match event {
            Ok(event) => printer.print(&event, out)?,
            Err(error) => {
                // What was read before is right, and stands in front of the error.
                out.flush()?;
                return Err(error.into());
            }
        }
    }
    Ok(())
}
