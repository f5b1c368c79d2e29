//! Why a read ended early.
//!
//! Owns: [`ReadError`], [`ReadErrorKind`]. Calls nothing.

use quipu_format::{FrameError, Position};

use super::IoError;

/// Why a read ended early. What was read before is right.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A frame that verified when it was written or opened does not any more: the device lies or
    /// decays, or somebody wrote into the file. Run the verifier.
    #[error("{file} is damaged at offset {offset}, position {position} cannot be read: {fault}")]
    Damaged {
        /// The file.
        file: String,
        /// Where the frame stands.
        offset: u64,
        /// Its first position.
        position: Position,
        /// What is wrong.
        fault: FrameError,
    },
    /// What was asked for begins in front of what is kept: segments have been dropped by
    /// [`Log::truncate_before`](crate::Log::truncate_before). Go on from `first_available`, if what is gone
    /// is known from elsewhere.
    #[error("all below position {first_available} has been dropped")]
    Truncated {
        /// The position of the first event that is kept.
        first_available: Position,
    },
    /// A log that another process writes ends in front of what this reader has seen: files were put
    /// back, or a device has lost what no sync had covered. Open it again.
    #[error("the log ends at position {end}, and had been read up to {seen}: open it again")]
    Rewound {
        /// Where it ends.
        end: Position,
        /// Where it had ended.
        seen: Position,
    },
    /// A call to the system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// The kinds of [`ReadError`], for a caller that only wants to know what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// What is stored is not what was written: verify, restore.
    Damage,
    /// It has been dropped, as was asked for.
    Truncated,
    /// The system failed.
    Io,
}

impl ReadError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ReadErrorKind {
        match self {
            Self::Damaged { .. } | Self::Rewound { .. } => ReadErrorKind::Damage,
            Self::Truncated { .. } => ReadErrorKind::Truncated,
            Self::Io(_) => ReadErrorKind::Io,
        }
    }
}
