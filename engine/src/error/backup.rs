//! Why no backup was made.
//!
//! Owns: [`BackupError`], [`BackupErrorKind`]. Calls nothing. Whatever it is, the log that was to
//! be backed up is as it was, and takes appends as it did.

use quipu_format::{LogId, Position};

use super::{AppendError, Damage, IoError, ReadError};

/// Why no backup was made, or not all of it. One that was begun says so when it is opened, and goes
/// on where it stopped when it is made again.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The log could not be made durable: closed, or poisoned by an earlier failure.
    #[error("the log cannot be synced for its backup: {0}")]
    NotSynced(Box<AppendError>),
    /// The log is damaged, and open for reading what is in front of that. Salvage it.
    #[error("a damaged log is not backed up: {0}")]
    Damaged(Box<Damage>),
    /// A frame of the log does not verify. What was brought over before stays, unfinished.
    #[error("what was to be backed up does not verify: {0}")]
    NotWhole(Box<ReadError>),
    /// What was brought over and read back is not what the log holds: the target's device lies, or
    /// somebody wrote there. Make the backup elsewhere.
    #[error("{file} was not stored as the log holds it, make the backup on another device")]
    NotAsStored {
        /// The file in the backup.
        file: String,
    },
    /// The backup was to go into the log's own directory.
    #[error("{directory} is the log's own directory, name another one")]
    SameDirectory {
        /// The directory.
        directory: String,
    },
    /// Somebody has the target open for writing, or makes a backup there. Close it there.
    #[error("{directory} is being written{}, close it there", Holder(.pid))]
    InUse {
        /// The directory.
        directory: String,
        /// The holder's process id, where it is known.
        pid: Option<u32>,
    },
    /// The target holds another log. Name another directory.
    #[error("{directory} holds the log {found}, this is {expected}: name another directory")]
    OtherLog {
        /// The directory.
        directory: String,
        /// The id of the log that is backed up.
        expected: LogId,
        /// The id of the one that is there.
        found: LogId,
    },
    /// The target holds something that this log does not: somebody appended to the backup, or this
    /// log was put back to an earlier state, or the backup is to end earlier than the one there
    /// does. Nothing there was changed. Name another directory.
    #[error(
        "{file} holds what is not in this log at position {position}: the two have gone different \
         ways, name another directory"
    )]
    Diverged {
        /// The file in the target.
        file: String,
        /// Of the first event there that may not be in this log.
        position: Position,
    },
    /// The backup was to end in front of where the log begins: what stood there has been dropped
    /// ([`Log::truncate_before`](crate::Log::truncate_before)).
    #[error("the log begins at position {first_available}, and no backup can end before that")]
    Truncated {
        /// Where it begins.
        first_available: Position,
    },
    /// A file in the target is none of a log's. Name an empty directory, or move it away.
    #[error("{file} is no part of a backup, move it away or name another directory")]
    ForeignFile {
        /// The file.
        file: String,
    },
    /// A call to the system failed; a full disk is [`IoError::is_full`].
    #[error(transparent)]
    Io(#[from] IoError),
}

/// The kinds of [`BackupError`], for a caller that only wants to know what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackupErrorKind {
    /// The target is not one for this log: name another one.
    Target,
    /// Somebody else writes there now: try later.
    InUse,
    /// The log, or what was stored of it, is not whole.
    Damage,
    /// The log takes no syncs: open it again.
    Log,
    /// It cannot end there: ask for a later end.
    Range,
    /// The system failed.
    Io,
}

impl BackupError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> BackupErrorKind {
        match self {
            Self::SameDirectory { .. }
            | Self::OtherLog { .. }
            | Self::Diverged { .. }
            | Self::ForeignFile { .. } => BackupErrorKind::Target,
            Self::InUse { .. } => BackupErrorKind::InUse,
            Self::Damaged(_) | Self::NotWhole(_) | Self::NotAsStored { .. } => {
                BackupErrorKind::Damage
            }
            Self::NotSynced(_) => BackupErrorKind::Log,
            Self::Truncated { .. } => BackupErrorKind::Range,
            Self::Io(_) => BackupErrorKind::Io,
        }
    }
}

/// Writes who holds a lock, where that is known.
struct Holder<'a>(&'a Option<u32>);

impl std::fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " by process {pid}"))
    }
}
