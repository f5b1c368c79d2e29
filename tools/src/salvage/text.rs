//! The report as a person reads it: one sentence, then tables.
//!
//! Owns: how [`Report`] is displayed. May call: number, time.

use std::fmt;

use super::report::{Damage, End, Lost, Report};
use crate::number::{counted, grouped};
use crate::time::rfc3339;

/// Lines shown of each table; all of them are in the JSON.
const LINES_MAX: usize = 20;

impl Report {
    /// The verdict in one sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let mut salvaged = format!(
            "{}, {}, {}",
            counted(self.batches, "batch", "batches"),
            counted(self.events, "event", "events"),
            counted(self.streams, "stream", "streams")
        );
        if !self.checkpoints.is_empty() {
            let checkpoints = self.checkpoints.len() as u64;
            salvaged += ", ";
            salvaged += &counted(checkpoints, "checkpoint", "checkpoints");
        }
        let into = match (&self.to, self.written) {
            (Some(to), true) => format!("{salvaged} are in {to}"),
            (Some(to), false) => format!("{salvaged} would go to {to}"),
            (None, _) => format!("{salvaged} can be salvaged"),
        };
        let between = self.lost.iter().any(|lost| lost.first < self.end.position());
        let durable = self.lost.iter().any(|lost| lost.durable);
        match &self.end {
            End::Torn { file, offset, bytes, fault, .. } if self.ok => format!(
                "ok: nothing durable was lost: {into}; behind them stands a torn tail of {} bytes from \
                 offset {offset} of {file} on ({fault}), never acknowledged as durable.",
                grouped(*bytes)
            ),
            _ if self.ok => format!("ok: nothing was lost: {into}."),
            _ if between || durable => format!(
                "LOST: {} at {}; {into}.",
                counted(self.events_lost, "event", "events"),
                positions(&self.lost)
            ),
            End::Cut { position, .. } => format!(
                "DAMAGED: whether events from position {} on were lost is not known; {into}.",
                grouped(*position)
            ),
            _ => format!("DAMAGED, but no event was lost: {into}."),
        }
    }

    /// What is known of the beginning, if it is not position 0.
    fn dropped_line(&self) -> String {
        let (first, start) = (self.first_available, self.begins_at);
        let wrong = match &self.base_copies_wrong[..] {
            [] => String::new(),
            names => format!("; wrong or missing: {}", names.join(", ")),
        };
        match first {
            0 => String::new(),
            _ if first == start => format!(
                "all below position {}, not lost; the new log begins there too{wrong}",
                grouped(first)
            ),
            _ => format!(
                "all below position {}, not lost; the new log begins at position {}",
                grouped(first),
                grouped(start)
            ),
        }
    }

    /// What is known of the end.
    fn end_line(&self) -> String {
        match &self.end {
            End::Closed { position } => {
                format!("known: closed at position {}, nothing is behind", grouped(*position))
            }
            End::Open { position, durable_to } => format!(
                "not known: the log was not closed at position {}; all below position {} had been \
                 durable",
                grouped(*position),
                grouped(*durable_to)
            ),
            End::Torn { position, .. } => format!(
                "torn at position {}: nothing behind it had been durable, as far as is known",
                grouped(*position)
            ),
            End::Cut { position, at_least } if at_least > position => format!(
                "not known: the log went on from position {} at least to position {}",
                grouped(*position),
                grouped(*at_least)
            ),
            End::Cut { position, .. } => {
                format!("not known: damage stands behind position {}", grouped(*position))
            }
        }
    }

    fn moved_lines(&self) -> Vec<String> {
        let lines = self.moved.iter().map(|moved| {
            let last_is_now = moved.first_is_now + (moved.last - moved.first);
            let now = match moved.first == moved.first_is_now {
                true => "unchanged".to_owned(),
                false => range(moved.first_is_now, last_is_now),
            };
            format!("{:<28}{now}", range(moved.first, moved.last))
        });
        lines.collect()
    }

    fn lost_lines(&self) -> Vec<String> {
        let lines = self.lost.iter().map(|lost| {
            let durable = match lost.durable {
                true => "had been durable",
                false => "not known to have been durable",
            };
            let count = counted(lost.last - lost.first + 1, "event", "events");
            format!("{:<28}{count}, {durable}", range(lost.first, lost.last))
        });
        lines.collect()
    }

    fn version_lines(&self) -> Vec<String> {
        let lines = self.lost_versions.iter().map(|lost| {
            let next = match lost.last.checked_add(1) {
                Some(next) => format!("version {} is now {}", grouped(next), lost.next_is_now),
                None => String::new(),
            };
            format!("{:<28}of stream {:?}; its {next}", range(lost.first, lost.last), lost.stream)
        });
        lines.collect()
    }

    fn damage_lines(&self) -> Vec<String> {
        self.damage.iter().map(damage_line).collect()
    }

    fn other_lines(&self) -> [(&'static str, Vec<String>); 4] {
        let left = self.left.iter().map(|left| {
            format!(
                "{} offset {}: {}, {}, from position {} on: {}",
                left.file,
                left.offset,
                counted(left.frames, "frame", "frames"),
                counted(left.events, "event", "events"),
                grouped(left.position),
                left.reason
            )
        });
        let unreadable = self.unreadable.iter().map(|bad| {
            format!("{} offset {}, {} bytes: {}", bad.file, bad.offset, bad.bytes, bad.error)
        });
        let doubtful = self.doubtful.iter().map(|it| range(it.first, it.last));
        let contradictions = self.contradictions.iter().map(|it| {
            format!("{} offset {}, position {}: {}", it.file, it.offset, it.position, it.what)
        });
        [
            ("unreadable", unreadable.collect()),
            ("whole frames that were not taken over", left.collect()),
            ("positions taken over, though perhaps of a tail that was cut off", doubtful.collect()),
            (
                "taken over as they stand, though no correct writer wrote them",
                contradictions.collect(),
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.verdict())?;
        let time = |nanos: Option<u64>| nanos.map_or_else(|| "none".to_owned(), rfc3339);
        let mut new = self.to.clone().unwrap_or_else(|| "none".to_owned());
        match &self.new_log_id {
            Some(log_id) => new += &format!(", log {log_id}"),
            None => new += ", not written",
        }
        for (name, value) in [
            ("old log", format!("{}, log {}", self.directory, self.log_id)),
            ("new log", new),
            ("dropped before", self.dropped_line()),
            ("segments", grouped(self.segments)),
            ("first commit", time(self.first_commit_nanos)),
            ("last commit", time(self.last_commit_nanos)),
            ("bytes skipped", grouped(self.bytes_skipped)),
            ("end of the log", self.end_line()),
        ] {
            if !value.is_empty() {
                writeln!(f, "{name:<18}{value}")?;
            }
        }
        table(f, "damage", &self.damage_lines())?;
        table(f, "lost positions", &self.lost_lines())?;
        if self.moved.iter().any(|moved| moved.first != moved.first_is_now) || !self.lost.is_empty()
        {
            table(f, "positions, and what they are in the new log", &self.moved_lines())?;
        }
        table(f, "lost versions, as far as later batches tell", &self.version_lines())?;
        for (name, lines) in self.other_lines() {
            table(f, name, &lines)?;
        }
        Ok(())
    }
}

impl End {
    /// The position behind the last event that is whole.
    #[must_use]
    pub const fn position(&self) -> u64 {
        match self {
            Self::Closed { position }
            | Self::Open { position, .. }
            | Self::Torn { position, .. }
            | Self::Cut { position, .. } => *position,
        }
    }
}

fn table(f: &mut fmt::Formatter<'_>, name: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{name}")?;
    for line in lines.iter().take(LINES_MAX) {
        writeln!(f, "  {line}")?;
    }
    match lines.len().saturating_sub(LINES_MAX) {
        0 => Ok(()),
        more => writeln!(f, "  and {} more, which --json lists", grouped(more as u64)),
    }
}

fn damage_line(damage: &Damage) -> String {
    let through = match &damage.last_file {
        Some(last) => format!(" to {last}"),
        None => String::new(),
    };
    let bytes = match damage.bytes {
        0 => String::new(),
        bytes => format!(", {} bytes", grouped(bytes)),
    };
    let Damage { file, offset, position, fault, .. } = damage;
    format!("{file}{through} offset {offset}{bytes}, from position {}: {fault}", grouped(*position))
}

/// The first few stretches of lost positions in a sentence.
fn positions(lost: &[Lost]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> =
        lost.iter().take(SHOWN).map(|lost| range(lost.first, lost.last)).collect();
    let more = match lost.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more stretches"),
    };
    let one = lost.len() == 1 && lost.iter().all(|lost| lost.first == lost.last);
    format!("{} {}{more}", if one { "position" } else { "positions" }, shown.join(", "))
}

fn range(first: u64, last: u64) -> String {
    match first == last {
        true => grouped(first),
        false => format!("{} to {}", grouped(first), grouped(last)),
    }
}
