//! Why a directory was not opened as a log.
//!
//! Owns: [`OpenError`], [`Damage`], [`Proof`]. Calls nothing. A refused open has changed nothing
//! on disk, except that a missing directory or lock file may have been made.

use quipu_format::sidecar::SidecarError;
use quipu_format::{FrameError, LogId, Position, SegmentHeaderError, SegmentSeq};

use super::IoError;

/// Why a directory was not opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another handle, here or in another process, writes this log. Close it, or open for reading.
    #[error("{directory} is in use by {}, close it there or open it for reading", Holder(.pid))]
    InUse {
        /// The directory.
        directory: String,
        /// The holder's process id, where it is known.
        pid: Option<u32>,
    },
    /// The path is there and is no directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// There is no log in the directory, and it was not to be created.
    #[error("{directory} holds no log")]
    NoLog {
        /// The directory.
        directory: String,
    },
    /// The directory or a file in it may not be written. Open for reading, or mend the rights.
    #[error("{directory} cannot be written, open it for reading or mend its rights: {cause}")]
    NotWritable {
        /// The directory.
        directory: String,
        /// What the system said.
        cause: IoError,
    },
    /// Files are named like segments, and none of them begins like one: this is no log, or one of
    /// which every header has decayed, so that nothing can be read, from position 0 on. If any
    /// other segment is one, that is [`OpenError::Damaged`].
    #[error(
        "{file} is not a segment of a log at offset 0, and there is no other: this is no log, or \
         nothing of it can be read from position 0 on ({cause}); move the files away if they do \
         not belong there, restore a backup if they do"
    )]
    NotASegment {
        /// The first of the files.
        file: String,
        /// What stands there, at offset 0.
        cause: SegmentHeaderError,
    },
    /// A segment was written by a release that this one cannot read.
    #[error("{file} needs a newer release: {cause}")]
    Unsupported {
        /// The file.
        file: String,
        /// The version or feature flags.
        cause: SegmentHeaderError,
    },
    /// A segment belongs to another log. Move it away.
    #[error("{file} belongs to the log {found}, this is {expected}")]
    ForeignSegment {
        /// The file.
        file: String,
        /// The id of the log's first segment.
        expected: LogId,
        /// The id in this one.
        found: LogId,
    },
    /// A segment has the name of another one: a copy, or renamed.
    #[error("{file} is segment {found} by its header, rename it back or move it away")]
    Misnamed {
        /// The file.
        file: String,
        /// The sequence number in its header.
        found: SegmentSeq,
    },
    /// A backup was being made here and did not come to its end. Make it again: it goes on where it
    /// stopped. If the log that it was made of is gone, `quipu salvage` takes out of it what is
    /// whole.
    #[error(
        "{directory} is a backup that was not finished: make it again, or if its log is gone, \
         take what is whole into a new one with `quipu salvage`"
    )]
    UnfinishedBackup {
        /// The directory.
        directory: String,
    },
    /// Something that had been durable is not there any more.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// An option is out of range.
    #[error("option {option} is {found}, it must be {min} to {max}")]
    Option {
        /// Which option.
        option: &'static str,
        /// Its value.
        found: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// A call to the system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// The kinds of [`OpenError`], for a caller that only wants to know what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The caller asked for something that cannot be.
    Misuse,
    /// Another writer has it.
    InUse,
    /// Something that had been durable is gone, or does not belong here.
    Damage,
    /// A newer release wrote it.
    Unsupported,
    /// It is a backup that was not finished.
    Unfinished,
    /// The system failed.
    Io,
}

impl OpenError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        match self {
            Self::InUse { .. } => OpenErrorKind::InUse,
            Self::NotADirectory { .. } | Self::NoLog { .. } | Self::Option { .. } => {
                OpenErrorKind::Misuse
            }
            Self::Unsupported { .. } => OpenErrorKind::Unsupported,
            Self::UnfinishedBackup { .. } => OpenErrorKind::Unfinished,
            Self::NotASegment { .. }
            | Self::ForeignSegment { .. }
            | Self::Misnamed { .. }
            | Self::Damaged(_) => OpenErrorKind::Damage,
            Self::NotWritable { .. } | Self::Io(_) => OpenErrorKind::Io,
        }
    }
}

/// Something that had been durable is not there any more: where, why it is known, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} is damaged at offset {offset}: {} ({fault}). Proof: {proof}. Open it for reading to get all before position {position}; \
     restore a backup, or take all that is whole into a new log with `quipu salvage`",
    Loss(.position, .proof)
)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where the first frame stands that does not verify; 0 in a file without a right magic.
    pub offset: u64,
    /// The first position that is lost: where the log stops.
    pub position: Position,
    /// What is wrong there.
    pub fault: Fault,
    /// How it is known.
    pub proof: Proof,
}

/// What is wrong at the place where the log ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Zeros, where a frame had been.
    #[error("nothing is written there")]
    NeverWritten,
    /// Bytes that are no frame of this place.
    #[error("{0}")]
    Frame(FrameError),
    /// The segment's file is missing.
    #[error("the file is missing")]
    MissingFile,
    /// The segment's header is all zero.
    #[error("the header was never written")]
    MissingHeader,
    /// The segment's header does not verify.
    #[error("{0}")]
    Header(SegmentHeaderError),
    /// The segment's header names another end of the segment before it.
    #[error("the header does not continue the segment before it")]
    Unlinked,
    /// The file is not as long as its header says.
    #[error("the file is {found} bytes long, its header says {expected}")]
    Length {
        /// What the header says.
        expected: u64,
        /// How long the file is.
        found: u64,
    },
    /// A base is not as it was written: what outlives segments that were dropped is not known.
    #[error("{0}")]
    Base(SidecarError),
    /// The file is not as long as any segment is, and has no header that says more.
    #[error("the file is {found} bytes long, which no segment is")]
    NoSegmentLength {
        /// How long the file is.
        found: u64,
    },
}

/// How it is known that something durable is gone, and not merely a tail that never was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Proof {
    /// Something behind the damage verifies and says that more had been durable.
    #[error("{file} says at offset {offset} that all below position {synced_position} was durable")]
    Synced {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// All below was durable.
        synced_position: Position,
    },
    /// A frame behind it verifies and says that all in front of it had been durable.
    #[error("{file} says at offset {offset} that all in front of there was durable")]
    Settled {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// A segment behind it is there; it cannot have been before this one.
    #[error("{file} comes after it and cannot be there without it")]
    InUse {
        /// The later segment.
        file: String,
    },
    /// The log's base says that this segment follows what was dropped; it was durable before that.
    #[error("{file} says that the log goes on there")]
    Base {
        /// A copy of the base.
        file: String,
    },
    /// A base is kept twice, each copy whole and on the device before it has its name.
    #[error("it was whole when it got its name, and no copy of it is right")]
    BothCopies,
    /// The segment in front of it is sealed; it is not before this one has its name.
    #[error("{file} comes before it and is sealed, which it never is without it")]
    Sealed {
        /// The segment in front.
        file: String,
    },
    /// The length of a segment never changes.
    #[error("the length of a segment never changes")]
    FixedLength,
    /// Its checksums are right and it breaks a rule: no crash does that.
    #[error("its checksums are right, so that no crash explains it")]
    Contradiction,
    /// The segment's magic is neither right nor half written: it was not torn, and it is no unused
    /// segment's. Whether anything durable stood there is not known. Move the file away only if it
    /// does not belong to the log.
    #[error(
        "a magic that is neither right nor half written is no torn store's and no unused segment's, \
         so the file is foreign or has decayed"
    )]
    WrongMagic,
    /// There are frames behind it, and no header that tells which log they belong to.
    #[error("{file} has contents that cannot be checked without a header")]
    Contents {
        /// The file.
        file: String,
    },
}

/// Writes what is known to be lost.
struct Loss<'a>(&'a Position, &'a Proof);

impl std::fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(position, proof) = self;
        match proof {
            Proof::WrongMagic => {
                write!(f, "the log stops at position {position}, more may be lost")
            }
            Proof::BothCopies => {
                f.write_str("what streams and checkpoints had come to cannot be read")
            }
            // It may be checkpoints alone, which take no position.
            Proof::Settled { .. } => {
                write!(f, "what came at position {position} had been durable and cannot be read")
            }
            _ => write!(f, "position {position} had been durable and cannot be read"),
        }
    }
}

/// Writes who holds a lock.
struct Holder<'a>(&'a Option<u32>);

impl std::fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}
