//! `quipu read`: events of the log or of one stream, for people or as JSON lines.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use quipu::{Position, ReadError, RecordedEvent, Version};

use crate::json::{EventOut, time_out};
use crate::number::counted;
use crate::open::open_for_reading;
use crate::outcome::Outcome;
use crate::time::rfc3339;

/// What is to be read, and how it is shown.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// One stream instead of the whole log.
    pub stream: Option<String>,
    /// The first position, or version of the stream; not given: of the log, the first that is kept.
    pub from: Option<u64>,
    /// The last position, or version of the stream.
    pub to: Option<u64>,
    /// From the last to the first.
    pub backward: bool,
    /// At most so many.
    pub limit: Option<u64>,
    /// As JSON lines.
    pub json: bool,
    /// Never shortened.
    pub full: bool,
}

/// Prints events of the log in `directory`.
pub fn run(directory: &Path, request: &Request) -> anyhow::Result<Outcome> {
    let (log, outcome) = open_for_reading(directory)?;
    let (from, to) = (request.from.unwrap_or(0), request.to.unwrap_or(u64::MAX));
    let limit = request.limit.unwrap_or(u64::MAX);
    let stdout = io::stdout();
    let width = match terminal_size::terminal_size() {
        Some((width, _)) if stdout.is_terminal() && !request.full => usize::from(width.0),
        _ => usize::MAX,
    };
    let mut out = BufWriter::new(stdout.lock());
    match &request.stream {
        Some(stream) => {
            let mut read =
                log.read_stream(stream, Version::new(from)..=Version::new(to)).limit(limit);
            if request.backward {
                read = read.backward();
            }
            write_events(read.into_iter(), request.json, width, &mut out)?;
        }
        None => {
            let from = request.from.map_or(log.first_available(), Position::new);
            let mut read = log.read(from..=Position::new(to)).limit(limit);
            if request.backward {
                read = read.backward();
            }
            write_events(read.into_iter(), request.json, width, &mut out)?;
        }
    }
    out.flush()?;
    Ok(outcome)
}

fn write_events(
    events: impl Iterator<Item = Result<RecordedEvent, ReadError>>,
    json: bool,
    width: usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for event in events {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                // What was read before is right, and stands in front of the error.
                out.flush()?;
                return Err(error.into());
            }
        };
        if json {
            let mut line = EventOut::new(event.stream(), event.event_type())
                .id(event.id())
                .metadata(event.metadata())
                .data(event.payload());
            line.position = Some(event.position().as_u64());
            line.time = Some(time_out(event.committed_at().as_u64())?);
            line.version = Some(event.version().as_u64());
            line.tags = event.tags().iter().collect();
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        } else {
            writeln!(out, "{}", shortened(&readable(&event), width))?;
        }
    }
    Ok(())
}

/// An event in one line.
pub(crate) fn readable(event: &RecordedEvent) -> String {
    let tags: Vec<String> = event.tags().iter().map(printable).collect();
    let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
    let payload = match std::str::from_utf8(event.payload()) {
        Ok(text) => printable(text),
        Err(_) => format!("<{}>", counted(event.payload().len() as u64, "byte", "bytes")),
    };
    format!(
        "{:>8}  {}  {}@{}  {}{tags}  {payload}",
        event.position(),
        rfc3339(event.committed_at().as_u64()),
        printable(event.stream()),
        event.version(),
        printable(event.event_type()),
    )
}

/// The text with control characters escaped: a payload must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// The text, in at most `width` characters.
fn shortened(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(3)).chain("...".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_the_terminal_is_wide() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abc...");
        assert_eq!(shortened("\u{e4}\u{f6}\u{fc}\u{df}xyz", 5), "\u{e4}\u{f6}...");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\n\u{1b}[2Jb\u{f6}"), "a\\n\\u{1b}[2Jb\u{f6}");
    }
}
