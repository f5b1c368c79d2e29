//! Which rows of the recovery table and which errors a campaign has met.
//!
//! Owns: [`Coverage`] and the names of what it counts. May call: the engine's errors. It sees what
//! a caller sees; the engine has no counters for it.

use std::collections::BTreeMap;
use std::fmt;

use quipu::{AppendError, Fault, OpenError, Proof, ReadError, RecoveryReport};
use quipu_format::{FrameError, SegmentHeaderError};

/// One thing that can happen: where, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The table or call.
    pub table: &'static str,
    /// The row or error.
    pub name: &'static str,
    /// More, where one name has several branches.
    pub branch: &'static str,
}

/// How often each thing has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<Row, u64>,
}

impl Coverage {
    /// An opening that succeeded: a row of the recovery table.
    pub fn opened(&mut self, report: &RecoveryReport) {
        let fault = fault_name(&report.end.fault);
        let name = if report.bytes_cut > 0 { "torn tail: cut" } else { "clean end" };
        self.count(Row { table: "recovery", name, branch: fault });
        if report.seals_made_again > 0 {
            self.count(Row { table: "repair", name: "seal made again", branch: "" });
        }
        if report.unfinished_removed > 0 {
            self.count(Row { table: "repair", name: "unfinished removed", branch: "" });
        }
        if report.clean_close {
            self.count(Row { table: "repair", name: "after a clean close", branch: "" });
        }
    }

    /// An opening that was refused: a row of the recovery table, or another error.
    pub fn refused(&mut self, error: &OpenError) {
        let (name, branch) = match error {
            OpenError::Damaged(damage) => {
                let name = proof_name(&damage.proof);
                let branch = fault_name(&damage.fault);
                self.count(Row { table: "recovery", name, branch });
                return;
            }
            OpenError::InUse { .. } => ("InUse", ""),
            OpenError::NotADirectory { .. } => ("NotADirectory", ""),
            OpenError::NoLog { .. } => ("NoLog", ""),
            OpenError::NotWritable { .. } => ("NotWritable", ""),
            OpenError::NotASegment { .. } => ("NotASegment", ""),
            OpenError::Unsupported { .. } => ("Unsupported", ""),
            OpenError::ForeignSegment { .. } => ("ForeignSegment", ""),
            OpenError::Misnamed { .. } => ("Misnamed", ""),
            OpenError::Option { .. } => ("Option", ""),
            OpenError::Io(error) => ("Io", error.operation()),
            _ => ("another error", ""),
        };
        self.count(Row { table: "open", name, branch });
    }

    /// An append, check or sync that was not acknowledged.
    pub fn not_acknowledged(&mut self, error: &AppendError) {
        let (name, branch) = match error {
            AppendError::PreconditionFailed(_) => ("PreconditionFailed", ""),
            AppendError::InvalidBatch(_) => ("InvalidBatch", ""),
            AppendError::TooLarge { .. } => ("TooLarge", ""),
            AppendError::Full(error) => ("Full", error.operation()),
            AppendError::NoSegment(error) => ("NoSegment", error.operation()),
            AppendError::ReadOnly => ("ReadOnly", ""),
            AppendError::Closed => ("Closed", ""),
            AppendError::AnswerTaken => ("AnswerTaken", ""),
            AppendError::Poisoned(error) => ("Poisoned", error.operation()),
            AppendError::OutcomeUnknown(error) => ("OutcomeUnknown", error.operation()),
            _ => ("another error", ""),
        };
        self.count(Row { table: "append", name, branch });
    }

    /// A read that ended early.
    pub fn not_read(&mut self, error: &ReadError) {
        let name = match error {
            ReadError::Damaged { .. } => "Damaged",
            ReadError::Io(_) => "Io",
            _ => "another error",
        };
        self.count(Row { table: "read", name, branch: "" });
    }

    /// Counts one thing.
    pub fn count(&mut self, row: Row) {
        *self.counts.entry(row).or_default() += 1;
    }

    /// Adds what another campaign has met.
    pub fn add(&mut self, other: &Self) {
        for (row, count) in &other.counts {
            *self.counts.entry(*row).or_default() += count;
        }
    }

    /// What has been met, and how often.
    pub fn rows(&self) -> impl Iterator<Item = (Row, u64)> {
        self.counts.iter().map(|(row, count)| (*row, *count))
    }

    /// Those of `expected` that have never been met.
    #[must_use]
    pub fn missing(&self, expected: &[Row]) -> Vec<Row> {
        expected.iter().filter(|row| !self.counts.contains_key(row)).copied().collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, name, branch } = self;
        match branch.is_empty() {
            true => write!(f, "{table}: {name}"),
            false => write!(f, "{table}: {name}, {branch}"),
        }
    }
}

/// What stands where the log ends, in a word or two.
#[must_use]
pub fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::NeverWritten => "never written",
        Fault::MissingFile => "missing file",
        Fault::MissingHeader => "missing header",
        Fault::Unlinked => "unlinked",
        Fault::Length { .. } => "another length",
        Fault::NoSegmentLength { .. } => "no length of a segment",
        Fault::Header(SegmentHeaderError::Field { .. }) => "header: forbidden",
        Fault::Header(SegmentHeaderError::Magic { .. }) => "header: magic",
        Fault::Header(_) => "header: checksum",
        Fault::Frame(error) => match error {
            FrameError::Truncated(_) => "frame: truncated",
            FrameError::HeaderChecksum { .. } => "frame: header checksum",
            FrameError::Field { .. } | FrameError::Body(_) => "frame: forbidden",
            FrameError::TrailerMagic => "frame: trailer magic",
            FrameError::BodyChecksum { .. } => "frame: body checksum",
            FrameError::CommitChecksum { .. } => "frame: commit checksum",
            FrameError::Previous { .. } => "frame: does not follow",
            FrameError::Position { .. } => "frame: another position",
            FrameError::Backwards { .. } => "frame: runs backwards",
            _ => "frame: another fault",
        },
        _ => "another fault",
    }
}

fn proof_name(proof: &Proof) -> &'static str {
    match proof {
        Proof::Synced { .. } => "damage: synced position above",
        Proof::InUse { .. } => "damage: a segment behind",
        Proof::Sealed { .. } => "damage: sealed in front",
        Proof::FixedLength => "damage: length",
        Proof::Contradiction => "damage: contradiction",
        Proof::Contents { .. } => "damage: contents without a header",
        _ => "damage: another proof",
    }
}
