//! Why the front of a log was not dropped.
//!
//! Owns: [`TruncateError`]. Calls nothing. After each of them the log is as it was.

use quipu_format::sidecar::SidecarError;

use super::{Damage, IoError, ReadError};

/// Why nothing was dropped. The log goes on as it was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The log is open for reading only.
    #[error("the log is open for reading only")]
    ReadOnly,
    /// The log is damaged, so that it cannot be opened for writing.
    #[error("a damaged log is not truncated: {0}")]
    Damaged(Box<Damage>),
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// A write or sync has failed before: what the device holds is not known. Open the log again.
    #[error("the log takes no more: {0}")]
    Poisoned(IoError),
    /// What must outlive the segments could not be stored, or what outlived earlier ones not be read. Make
    /// room, if the disk is full, and try again. A name that the failed attempt has left and that cannot be
    /// removed counts when the log is opened again: then it begins where it was to begin.
    #[error(transparent)]
    Io(IoError),
    /// A segment that is to be dropped is damaged, so that what its streams came to cannot be found out.
    /// Run the verifier.
    #[error("what must outlive the segments cannot be read: {0}")]
    Unreadable(ReadError),
    /// What is known of the streams does not account for all events that are to be dropped. Run the
    /// verifier.
    #[error("what must outlive the segments does not add up: {0}")]
    NotAccountedFor(SidecarError),
}
