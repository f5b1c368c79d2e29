//! Which rows of the recovery table and which errors a campaign has met.
//!
//! Owns: [`Coverage`] and the names of what it counts. May call: the engine's errors. It sees what
//! a caller sees; the engine has no counters for it.

use std::collections::BTreeMap;
use std::fmt;

use quipu::{
    AppendError, BackupError, BackupReport, Fault, OpenError, Proof, ReadError, RecoveryReport,
    TruncateError, Truncation,
};
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
        let name = if report.bytes_cut > 0 { CUT } else { CLEAN };
        self.count(Row { table: "recovery", name, branch: fault });
        if report.seals_made_again > 0 {
            self.count(Row { table: "repair", name: "seal made again", branch: "" });
        }
        if report.unfinished_removed > 0 {
            self.count(Row { table: "repair", name: "unfinished removed", branch: "" });
        }
        for (count, name) in [
            (report.indexes_used, "used"),
            (report.indexes_wrong, "wrong"),
            (report.indexes_made, "made"),
            (report.indexes_unstored, "in memory alone"),
        ] {
            if count > 0 {
                self.count(Row { table: "index", name, branch: "" });
            }
        }
        for (is_so, name) in [
            (report.stream_table_used, "table of streams used"),
            (report.stream_table_wrong, "table of streams wrong"),
        ] {
            if is_so {
                self.count(Row { table: "index", name, branch: "" });
            }
        }
        for (count, name) in [
            (report.base_copies_wrong, "copy of a base made again"),
            (report.dropped_files_found, "files of a truncation removed"),
        ] {
            if count > 0 {
                self.count(Row { table: "repair", name, branch: "" });
            }
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
            AppendError::QueryMatched { .. } => ("QueryMatched", ""),
            AppendError::CheckpointRefused { .. } => ("CheckpointRefused", ""),
            AppendError::NotJudged(ReadError::Truncated { .. }) => ("NotJudged", "truncated"),
            AppendError::NotJudged(_) => ("NotJudged", ""),
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

    /// A backup that was made.
    pub fn backed_up(&mut self, report: &BackupReport) {
        for (count, name) in [
            (report.segments_kept, "kept"),
            (report.segments_linked, "linked"),
            (report.segments_copied, "copied"),
        ] {
            if count > 0 {
                self.count(Row { table: "backup", name, branch: "" });
            }
        }
    }

    /// A backup that was not made.
    pub fn not_backed_up(&mut self, error: &BackupError) {
        let (name, branch) = match error {
            BackupError::NotSynced(_) => ("NotSynced", ""),
            BackupError::NotWhole(_) => ("NotWhole", ""),
            BackupError::NotAsStored { .. } => ("NotAsStored", ""),
            BackupError::InUse { .. } => ("InUse", ""),
            BackupError::Diverged { .. } => ("Diverged", ""),
            BackupError::Io(error) => ("Io", error.operation()),
            _ => ("another error", ""),
        };
        self.count(Row { table: "backup", name, branch });
    }

    /// A truncation was answered.
    pub fn truncated(&mut self, answer: &Result<Truncation, TruncateError>) {
        let (name, branch) = match answer {
            Ok(dropped) if dropped.files_left > 0 => ("files left", ""),
            Ok(dropped) if dropped.segments > 0 => ("dropped", ""),
            Ok(_) => ("nothing to drop", ""),
            Err(TruncateError::Io(error)) => ("Io", error.operation()),
            Err(TruncateError::Poisoned(_)) => ("Poisoned", ""),
            Err(_) => ("another error", ""),
        };
        self.count(Row { table: "truncate", name, branch });
    }

    /// A read that ended early.
    pub fn not_read(&mut self, error: &ReadError) {
        let name = match error {
            ReadError::Damaged { .. } => "Damaged",
            ReadError::Rewound { .. } => "Rewound",
            ReadError::Truncated { .. } => "Truncated",
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
        Fault::Base(_) => "base",
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
        Proof::Synced { .. } => SYNCED,
        Proof::Settled { .. } => SETTLED,
        Proof::InUse { .. } => "damage: a segment behind",
        Proof::Sealed { .. } => "damage: sealed in front",
        Proof::Base { .. } => "damage: behind a base",
        Proof::BothCopies => "damage: both copies of a base",
        Proof::FixedLength => "damage: length",
        Proof::Contradiction => "damage: contradiction",
        Proof::WrongMagic => "damage: wrong magic",
        Proof::Contents { .. } => "damage: contents without a header",
        _ => "damage: another proof",
    }
}

const fn row(table: &'static str, name: &'static str, branch: &'static str) -> Row {
    Row { table, name, branch }
}

/// With so many seeds a campaign meets every row of [`EXPECTED`], each of them a dozen times or more on
/// average.
pub const SEEDS_FOR_ALL_ROWS: u64 = 2_000;

/// What a campaign must meet: every row of the recovery table, with every fault that leads there,
/// and every error that a caller of the engine can be told without a failing system around it.
/// Errors of failing calls are for the campaign that fails every call site in turn.
pub const EXPECTED: &[Row] = &[
    row("append", "CheckpointRefused", ""),
    row("append", "Closed", ""),
    row("append", "Full", "allocate"),
    row("append", "InvalidBatch", ""),
    row("append", "NotJudged", "truncated"),
    row("append", "OutcomeUnknown", "sync"),
    row("append", "OutcomeUnknown", "write a batch to"),
    row("append", "Poisoned", "sync"),
    row("append", "Poisoned", "write a batch to"),
    row("append", "PreconditionFailed", ""),
    row("append", "QueryMatched", ""),
    row("append", "ReadOnly", ""),
    row("append", "TooLarge", ""),
    row("backup", "Io", "write"),
    row("backup", "NotSynced", ""),
    row("backup", "copied", ""),
    row("backup", "is not there yet", ""),
    row("backup", "is there", ""),
    row("backup", "is unfinished", ""),
    row("backup", "kept", ""),
    row("backup", "linked", ""),
    row("follow", "at once", ""),
    row("follow", "before it was answered", ""),
    row("follow", "over the writer's end", ""),
    row("index", "made", ""),
    row("index", "table of streams used", ""),
    row("index", "table of streams wrong", ""),
    row("index", "used", ""),
    row("index", "wrong", ""),
    row("open", "InUse", ""),
    row("open", "Io", "read"),
    row("open", "Io", "sync"),
    row("open", "Misnamed", ""),
    row("open", "NotASegment", ""),
    row("open", "Option", ""),
    row("open", "Unsupported", ""),
    row("read", "Truncated", ""),
    row("recovery", CLEAN, "missing file"),
    row("recovery", CLEAN, "missing header"),
    row("recovery", CLEAN, "never written"),
    row("recovery", CUT, "frame: another position"),
    row("recovery", CUT, "frame: body checksum"),
    row("recovery", CUT, "frame: commit checksum"),
    row("recovery", CUT, "frame: does not follow"),
    row("recovery", CUT, "frame: header checksum"),
    row("recovery", CUT, "frame: trailer magic"),
    row("recovery", CUT, "header: checksum"),
    row("recovery", CUT, "header: magic"),
    row("recovery", CUT, "missing header"),
    row("recovery", CUT, "never written"),
    row("recovery", "damage: a segment behind", "missing file"),
    row("recovery", "damage: contents without a header", "header: checksum"),
    row("recovery", "damage: contents without a header", "missing header"),
    row("recovery", "damage: behind a base", "missing file"),
    row("recovery", "damage: both copies of a base", "base"),
    row("recovery", "damage: contradiction", "frame: forbidden"),
    row("recovery", "damage: contradiction", "header: forbidden"),
    row("recovery", "damage: length", "another length"),
    row("recovery", "damage: length", "no length of a segment"),
    row("recovery", "damage: sealed in front", "missing file"),
    row("recovery", "damage: wrong magic", "header: magic"),
    row("recovery", SETTLED, "another length"),
    row("recovery", SETTLED, "frame: body checksum"),
    row("recovery", SETTLED, "frame: forbidden"),
    row("recovery", SETTLED, "frame: header checksum"),
    row("recovery", SYNCED, "another length"),
    row("recovery", SYNCED, "frame: another position"),
    row("recovery", SYNCED, "frame: body checksum"),
    row("recovery", SYNCED, "frame: commit checksum"),
    row("recovery", SYNCED, "frame: does not follow"),
    row("recovery", SYNCED, "frame: forbidden"),
    row("recovery", SYNCED, "frame: header checksum"),
    row("recovery", SYNCED, "frame: trailer magic"),
    row("recovery", SYNCED, "header: checksum"),
    row("recovery", SYNCED, "header: forbidden"),
    row("recovery", SYNCED, "header: magic"),
    row("recovery", SYNCED, "missing file"),
    row("recovery", SYNCED, "missing header"),
    row("recovery", SYNCED, "never written"),
    row("recovery", SYNCED, "no length of a segment"),
    row("repair", "after a clean close", ""),
    row("repair", "copy of a base made again", ""),
    row("repair", "files of a truncation removed", ""),
    row("repair", "seal made again", ""),
    row("repair", "unfinished removed", ""),
    row("truncate", "Io", "write"),
    row("truncate", "Poisoned", ""),
    row("truncate", "dropped", ""),
    row("truncate", "nothing to drop", ""),
];

const CLEAN: &str = "clean end";
const CUT: &str = "torn tail: cut";
const SYNCED: &str = "damage: synced position above";
const SETTLED: &str = "damage: a settled frame behind";
