//! Why a log was not salvaged.
//!
//! Owns: [`Misuse`], [`SalvageError`]. Calls nothing.

use std::io;

use quipu::{AppendError, OpenError};
use quipu_format::SegmentHeaderError;

use super::source::Source;
use crate::verify::VerifyError;

/// A request that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// No place to write to.
    #[error("--to says where the new log goes; it may be left out with --dry-run only")]
    NoTarget,
    /// The new directory has something in it.
    #[error("{0} is not empty; the new log needs a directory that is missing or empty")]
    NotEmpty(String),
    /// The new directory is the old one, or in it.
    #[error("{0} is the old log or a part of it, which salvage does not change")]
    Inside(String),
    /// The new directory cannot be made there.
    #[error("{path} cannot be a directory for the new log: {reason}")]
    NoPlace {
        /// The path.
        path: String,
        /// Why not.
        reason: String,
    },
}

/// Why a log was not salvaged. Nothing has been changed then, but that a directory of the new log's
/// name with `.unfinished` behind it may be left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// The request itself.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// A writer has it open.
    #[error("{directory} is in use by {by}; close the log there first, or salvage a copy")]
    InUse {
        /// The directory.
        directory: String,
        /// Who.
        by: String,
    },
    /// No segment has a header of its own that verifies.
    #[error(
        "no segment header of {0} verifies, so that the log's id is not known; give it with --log-id \
         (verify of a backup tells it)"
    )]
    LogIdUnknown(String),
    /// A newer release wrote it.
    #[error("{file} needs a newer release: {cause}")]
    Unsupported {
        /// The file.
        file: String,
        /// The version or feature flags.
        cause: SegmentHeaderError,
    },
    /// The old log cannot be read at all.
    #[error(transparent)]
    Read(#[from] VerifyError),
    /// The old log has changed since it was scanned.
    #[error("{file} has changed at offset {offset} while it was read; salvage again")]
    Changed {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// Another salvage to the same place is under way, or was interrupted.
    #[error(
        "{0} is there from a salvage that did not finish; remove it, unless that one still runs"
    )]
    Unfinished(String),
    /// The new log cannot be opened.
    #[error("cannot open the new log: {0}")]
    Open(OpenError),
    /// The new log cannot be written.
    #[error("cannot write the new log: {0}")]
    Append(AppendError),
    /// The new log is not what was to be written.
    #[error("the new log does not verify, and was removed: {0}")]
    NotAsWritten(String),
    /// A call to the system failed.
    #[error("cannot {what} {path}: {cause}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
}

// By hand: the derive would make it the source besides.
impl From<OpenError> for SalvageError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<AppendError> for SalvageError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl SalvageError {
    pub(super) fn in_use(source: &Source, pid: Option<u32>) -> Self {
        let directory = source.path().display().to_string();
        let by = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
        Self::InUse { directory, by }
    }
}
