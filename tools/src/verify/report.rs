//! What the verifier says: one sentence, then a table, or both as JSON.
//!
//! Owns: [`Report`], [`Tail`]. Takes derived's [`WrongFile`], and calls nothing of the verifier's.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::derived::WrongFile;
use crate::number::{counted, grouped};
use crate::time::rfc3339;

/// What was found in a log.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The directory.
    pub directory: String,
    /// Whether all that had been acknowledged as durable is there, and right.
    pub ok: bool,
    /// How the log ends.
    pub tail: Tail,
    /// The log's id.
    pub log_id: Option<String>,
    /// Segments in use.
    pub segments: u64,
    /// Segments prepared and not used yet: zero from end to end.
    pub segments_unused: u64,
    /// Segments whose preparation has not finished.
    pub segments_unfinished: usize,
    /// Segments that were dropped from the front, and whose files are still there; opening removes them.
    pub segments_dropped: usize,
    /// Copies of the base, which keeps what must outlive dropped segments, that are wrong or missing. Opening
    /// makes them again from the other one.
    pub base_copies_wrong: Vec<String>,
    /// The position of the first event that is kept.
    pub first_available: u64,
    /// Segments whose seal did not reach the disk. Nothing is lost: the next header names it.
    pub seals_missing: Vec<u64>,
    /// Full segments with an index beside them that is right, every byte of it, and that of this segment.
    pub indexes: u64,
    /// Indexes and the table of the streams, if they are wrong. They are derived, and nothing is lost by it:
    /// `quipu repair` has them made again.
    pub derived_wrong: Vec<WrongFile>,
    /// Batches.
    pub batches: u64,
    /// The position of the next event; those from `first_available` on are there.
    pub events: u64,
    /// Distinct streams.
    pub streams: usize,
    /// Named checkpoints, and what each is set to.
    pub checkpoints: BTreeMap<String, u64>,
    /// Bytes of headers and frames.
    pub bytes: u64,
    /// Commit time of the first batch, in nanoseconds since the Unix epoch.
    pub first_commit_nanos: Option<u64>,
    /// Commit time of the last batch.
    pub last_commit_nanos: Option<u64>,
    /// All below this position is durable, by what the log says of itself.
    pub synced_position: u64,
    /// The position at which the log was last closed.
    pub last_close_position: Option<u64>,
    /// Whether the log ends with that close.
    pub closed: bool,
}

/// How the log ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tail {
    /// With its last frame; nothing is behind it.
    Clean,
    /// With bytes that were never acknowledged as durable, as a crash leaves them.
    Torn {
        /// The file.
        file: String,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
        /// What is wrong there.
        fault: String,
    },
    /// A writer appends faster than the end could be looked at.
    Growing,
    /// Too early: something durable is gone.
    Damaged {
        /// The file.
        file: String,
        /// Where the first frame stands that does not verify; 0 in a file without a right magic.
        offset: u64,
        /// The first position that cannot be read.
        position: u64,
        /// What is wrong there.
        fault: String,
        /// How it is known.
        proof: String,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict())?;
        writeln!(f)?;
        let time = |nanos: Option<u64>| nanos.map_or_else(|| "none".to_owned(), rfc3339);
        let mut segments = grouped(self.segments);
        for (count, what) in [
            (self.indexes, "with an index"),
            (self.segments_unused, "prepared and unused"),
            (self.segments_unfinished as u64, "not fully prepared"),
            (self.segments_dropped as u64, "dropped, with their files still there"),
            (self.base_copies_wrong.len() as u64, "of two copies of the base wrong or missing"),
            (self.seals_missing.len() as u64, "without the seal that the next one names"),
        ] {
            if count > 0 {
                segments += &format!(", {} {what}", grouped(count));
            }
        }
        let close = match (self.last_close_position, self.closed) {
            (None, _) => "none".to_owned(),
            (Some(position), true) => format!("at position {}, the end", grouped(position)),
            (Some(position), false) => format!("at position {}, in use since", grouped(position)),
        };
        let first = match self.first_available {
            0 => String::new(),
            first => format!(", all below position {} dropped", grouped(first)),
        };
        for (name, value) in [
            ("log", self.log_id.clone().unwrap_or_else(|| "none".to_owned())),
            ("segments", segments),
            ("batches", grouped(self.batches)),
            ("events", grouped(self.events.saturating_sub(self.first_available)) + &first),
            ("streams", grouped(self.streams as u64)),
            ("checkpoints", grouped(self.checkpoints.len() as u64)),
            ("bytes", grouped(self.bytes)),
            ("first commit", time(self.first_commit_nanos)),
            ("last commit", time(self.last_commit_nanos)),
            ("synced position", grouped(self.synced_position)),
            ("last clean close", close),
        ] {
            writeln!(f, "{name:<18}{value}")?;
        }
        for WrongFile { file, why } in &self.derived_wrong {
            writeln!(f, "{:<18}{file}: {why}", "wrong")?;
        }
        Ok(())
    }
}

impl Report {
    /// The verdict in one sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let verified = format!(
            "{}, {}, {}",
            counted(self.batches, "batch", "batches"),
            counted(self.events.saturating_sub(self.first_available), "event", "events"),
            counted(self.streams as u64, "stream", "streams")
        );
        let wrong = self.derived_wrong.len() as u64;
        match &self.tail {
            Tail::Clean if wrong > 0 => format!(
                "ok: {verified}; in the segments every checksum, link, position and version is right; {} \
                 derived from them {} not, and can be made again with `quipu repair`.",
                counted(wrong, "file", "files"),
                if wrong == 1 { "is" } else { "are" }
            ),
            Tail::Clean => {
                format!("ok: {verified}; every checksum, link, position and version is right.")
            }
            Tail::Growing => {
                format!("ok: {verified}; the log is being written to while it is read.")
            }
            Tail::Torn { file, offset, bytes, fault } => format!(
                "ok: {verified}; behind them a torn tail of {} from offset {offset} of {file} on \
                 ({fault}), never acknowledged as durable: a batch under way, or what a crash left, \
                 which the next opening cuts off.",
                counted(*bytes, "byte", "bytes")
            ),
            Tail::Damaged { file, offset, position, fault, proof } => format!(
                "DAMAGED: {file} at offset {offset}: position {position} cannot be read ({fault}). \
                 Proof: {proof}. Before it stand, whole: {verified}. Restore a backup, or salvage the \
                 rest.",
            ),
        }
    }
}
