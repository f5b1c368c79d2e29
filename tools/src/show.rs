//! Events as commands print them: a line each, for people or as JSON.
//!
//! Owns: [`Format`], the arguments; [`Printer`]; [`readable`]; [`printable`]. Colours are for
//! terminals only, and not where `NO_COLOR` is set.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use quipu::RecordedEvent;

use crate::json::{EventOut, time_out};
use crate::number::counted;
use crate::time::rfc3339;

/// How events are shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Format {
    /// JSON lines, one event a line.
    #[arg(long)]
    json: bool,
    /// Whole payloads, however wide the terminal is.
    #[arg(long)]
    full: bool,
}

/// Prints events to stdout.
#[derive(Debug)]
pub(crate) struct Printer {
    json: bool,
    width: usize,
    styles: Styles,
}

/// What the parts of a line look like.
#[derive(Debug, Clone, Copy, Default)]
struct Styles {
    aside: Style,
    stream: Style,
    event_type: Style,
    tags: Style,
}

impl Printer {
    /// One for the stdout of this process.
    pub(crate) fn new(format: &Format) -> Self {
        let stdout = io::stdout();
        let width = match terminal_size::terminal_size() {
            Some((width, _)) if stdout.is_terminal() && !format.full => usize::from(width.0),
            _ => usize::MAX,
        };
        let styles = match AutoStream::choice(&stdout) {
            ColorChoice::Never => Styles::default(),
            _ => COLOURS,
        };
        Self { json: format.json, width, styles }
    }

    /// Prints one event.
    pub(crate) fn print(&self, event: &RecordedEvent, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            let mut line = EventOut::new(event.stream(), event.event_type())
                .id(event.id())
                .metadata(event.metadata())
                .data(event.payload());
            line.position = Some(event.position().as_u64());
            line.time = Some(time_out(event.committed_at().as_u64())?);
            line.version = Some(event.version().as_u64());
            line.tags = event.tags().iter().collect();
            serde_json::to_writer(&mut *out, &line)?;
            return out.write_all(b"\n");
        }
        let mut left = self.width;
        for (style, text) in parts(event, &self.styles) {
            let text = shortened(&text, left);
            left = left.saturating_sub(text.chars().count());
            write!(out, "{style}{text}{style:#}")?;
        }
        out.write_all(b"\n")
    }
}

const COLOURS: Styles = Styles {
    aside: Style::new().dimmed(),
    stream: AnsiColor::Cyan.on_default(),
    event_type: Style::new().bold(),
    tags: AnsiColor::Green.on_default(),
};

/// An event in one line, without colours.
pub(crate) fn readable(event: &RecordedEvent) -> String {
    parts(event, &Styles::default()).into_iter().map(|(_, text)| text).collect()
}

/// The parts of the line of an event.
fn parts(event: &RecordedEvent, styles: &Styles) -> [(Style, String); 5] {
    let tags: Vec<String> = event.tags().iter().map(printable).collect();
    let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
    let payload = match std::str::from_utf8(event.payload()) {
        Ok(text) => printable(text),
        Err(_) => format!("<{}>", counted(event.payload().len() as u64, "byte", "bytes")),
    };
    let time = rfc3339(event.committed_at().as_u64());
    [
        (styles.aside, format!("{:>8}  {time}  ", event.position())),
        (styles.stream, format!("{}@{}  ", printable(event.stream()), event.version())),
        (styles.event_type, printable(event.event_type())),
        (styles.tags, tags),
        (Style::new(), format!("  {payload}")),
    ]
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
        Some(_) => {
            text.chars().take(width.saturating_sub(3)).chain("...".chars()).take(width).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_the_terminal_is_wide() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abc...");
        assert_eq!(shortened("abcdefg", 2), "..");
        assert_eq!(shortened("abcdefg", 0), "");
        assert_eq!(shortened("\u{e4}\u{f6}\u{fc}\u{df}xyz", 5), "\u{e4}\u{f6}...");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\n\u{1b}[2Jb\u{f6}"), "a\\n\\u{1b}[2Jb\u{f6}");
    }
}
