//! Why a read ended early.
//!
//! Owns: [`ReadError`]. Calls nothing.

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
    /// A call to the system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}
