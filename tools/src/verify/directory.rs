//! The files of a log, found and looked at without the engine.
//!
//! Owns: [`Directory`], [`SegmentFile`], [`HeaderState`], and [`VerifyError`] for what stands
//! against verifying at all. Opens for reading only.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use quipu_format::sidecar::{LogBase, SidecarError};
use quipu_format::{LogId, SegmentHeader, SegmentHeaderError, SegmentSeq, layout};

use super::window::{ReadAt, Window};

/// The directory of a log.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

/// What outlives segments that were dropped from the front of the log.
#[derive(Debug)]
pub(crate) struct Base {
    /// The file that it was read from.
    pub(crate) name: String,
    /// The first segment that is kept.
    pub(crate) first: SegmentSeq,
    /// Its bytes; they have been verified.
    pub(crate) bytes: Vec<u8>,
    /// Copies that are wrong or missing.
    pub(crate) unsound: Vec<String>,
}

/// What is known of the front of the log.
#[derive(Debug)]
pub(crate) enum Front {
    /// Nothing was ever dropped.
    Whole,
    /// All in front of a segment was.
    Based(Base),
    /// That much is known, and not what the streams had come to: no copy of the newest base is right.
    Lost {
        /// The first segment that is kept.
        first: SegmentSeq,
        /// The first copy.
        file: String,
        /// What is wrong with it.
        error: SidecarError,
    },
}

/// One file that is named like a segment, opened.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) name: String,
    pub(crate) length: u64,
    pub(crate) header: HeaderState,
    pub(crate) window: Window,
}

/// What stands in a segment's first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderState {
    /// All zero: prepared, unused.
    Unused,
    /// A header.
    Activated(SegmentHeader),
    /// Half written, or damaged.
    Bad(SegmentHeaderError),
}

/// Why a directory cannot be judged as a log: this is no matter of a crash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no segment in the directory.
    #[error("{0} holds no log")]
    NoLog(String),
    /// Files are named like segments, and none of them begins like one.
    #[error(
        "{file} is not a segment of a log at offset 0, and there is no other ({cause}): this is no \
         log, or nothing of it can be read"
    )]
    NotASegment {
        /// The first of them.
        file: String,
        /// What stands there.
        cause: SegmentHeaderError,
    },
    /// A backup was being made there, or a log restored, and did not come to its end.
    #[error(
        "{0} is a backup or a restored log that was not finished; make it again, or salvage it"
    )]
    Unfinished(String),
    /// A newer release wrote it.
    #[error("{file} needs a newer release: {cause}")]
    Unsupported {
        /// The file.
        file: String,
        /// The version or feature flags.
        cause: SegmentHeaderError,
    },
    /// A segment of another log.
    #[error("{file} belongs to the log {found}, this is {expected}; move it away")]
    Foreign {
        /// The file.
        file: String,
        /// The log that the first segment belongs to.
        expected: LogId,
        /// The log that this one belongs to.
        found: LogId,
    },
    /// A segment under another one's name.
    #[error("{file} is segment {found} by its header; rename it back or move it away")]
    Misnamed {
        /// The file.
        file: String,
        /// Its number by its header.
        found: SegmentSeq,
    },
    /// A call to the system failed. While reading: the device does not give the bytes back.
    #[error("cannot read {file} at offset {offset}: {cause}")]
    Read {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What the system said.
        cause: io::Error,
    },
    /// A file or the directory could not be opened.
    #[error("cannot open {file}: {cause}")]
    Open {
        /// The file.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// The name of the file that says so: FORMAT.md, section 1.
pub(crate) const UNFINISHED_BACKUP: &str = "backup.unfinished";

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The path of a file of this name.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn display(&self) -> String {
        self.path.display().to_string()
    }

    /// Refuses a backup that was not finished: what is there so far may look like a whole, shorter
    /// log.
    pub(super) fn check_finished(&self) -> Result<(), VerifyError> {
        match self.path.join(UNFINISHED_BACKUP).try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => Err(VerifyError::Unfinished(self.display())),
            Err(cause) => Err(VerifyError::Open { file: self.display(), cause }),
        }
    }

    /// The numbers of the segments that are there, in order, and how many files are unfinished.
    pub(crate) fn list(&self) -> Result<(Vec<SegmentSeq>, usize), VerifyError> {
        let error = |cause| VerifyError::Open { file: self.display(), cause };
        let (mut segments, mut unfinished) = (Vec::new(), 0);
        for entry in fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            match entry.metadata() {
                Ok(about) if about.is_file() => {}
                Ok(_) => continue,
                // Renamed or removed by a live writer since it was listed.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(error(cause)),
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            unfinished += usize::from(is_unfinished(&name));
            segments.extend(sequence_of(&name));
        }
        segments.sort_unstable();
        Ok((segments, unfinished))
    }

    /// Where the log begins, by the newest base.
    pub(crate) fn front(&self) -> Result<Front, VerifyError> {
        let error = |cause| VerifyError::Open { file: self.display(), cause };
        let mut newest = None;
        for entry in fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            let is_file = entry.metadata().is_ok_and(|about| about.is_file());
            newest = newest.max(base_of(&entry.file_name().to_string_lossy()).filter(|_| is_file));
        }
        let Some(first) = newest else { return Ok(Front::Whole) };
        let (mut found, mut wrong, mut unsound) = (None, None, Vec::new());
        for name in COPIES.map(|copy| Self::base_name(first, copy)) {
            let file = self.path.join(&name);
            match self.base_in(&file, first) {
                Ok(bytes) => drop(found.get_or_insert((name, bytes))),
                Err(Some(error)) => {
                    unsound.push(name.clone());
                    wrong.get_or_insert((name, error));
                }
                Err(None) => unsound.push(name),
            }
        }
        Ok(match (found, wrong) {
            (Some((name, bytes)), _) => Front::Based(Base { name, first, bytes, unsound }),
            (None, Some((file, error))) => Front::Lost { first, file, error },
            // Removed since it was listed: a writer has named another one.
            (None, None) => Front::Whole,
        })
    }

    /// The name of a copy of the base in front of a segment.
    pub(crate) fn base_name(first: SegmentSeq, copy: &str) -> String {
        format!("{:020}.{copy}", first.as_u64())
    }

    /// The bytes of a copy; `None`: it is not there.
    fn base_in(&self, file: &Path, first: SegmentSeq) -> Result<Vec<u8>, Option<SidecarError>> {
        let unreadable = SidecarError::Field { field: "bytes that can be read", found: 0 };
        let bytes = match fs::read(file) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(None),
            read => read.map_err(|_| Some(unreadable))?,
        };
        let found = LogBase::decode(&bytes).map_err(Some)?.first_segment();
        match found == first {
            true => Ok(bytes),
            false => {
                Err(Some(SidecarError::Field { field: "first segment", found: found.as_u64() }))
            }
        }
    }

    /// Opens a segment and looks at its header; `None` if there is no such file. A directory or a
    /// link is none.
    pub(super) fn open(
        &self,
        sequence: SegmentSeq,
        log_id: Option<LogId>,
    ) -> Result<Option<SegmentFile>, VerifyError> {
        let found = self.look(sequence, |file| Box::new(file))?;
        if let Some(file) = &found {
            belongs(&file.name, sequence, file.header, log_id)?;
        }
        Ok(found)
    }

    /// As [`Directory::open`], but takes whatever header stands there, and reads `through`
    /// something.
    pub(crate) fn look(
        &self,
        sequence: SegmentSeq,
        through: impl FnOnce(File) -> Box<dyn ReadAt>,
    ) -> Result<Option<SegmentFile>, VerifyError> {
        let name = segment_name(sequence);
        let path = self.path.join(&name);
        let error = |cause| VerifyError::Open { file: path.display().to_string(), cause };
        let opened = fs::symlink_metadata(&path)
            .and_then(|about| about.is_file().then(|| File::open(&path)).transpose());
        let file = match opened {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(error(cause)),
        };
        let length = file.metadata().map_err(error)?.len();
        let mut window = Window::new(through(file), length);
        let block_bytes = layout::segment::BYTES as u64;
        let block = window.at(0, block_bytes).map_err(|cause| VerifyError::Read {
            file: path.display().to_string(),
            offset: 0,
            cause,
        })?;
        let block = block.get(..layout::segment::BYTES).unwrap_or(block);
        let header = match SegmentHeader::decode(block) {
            Ok(Some(header)) => HeaderState::Activated(header),
            Ok(None) => HeaderState::Unused,
            Err(_) if block.iter().all(|byte| *byte == 0) => HeaderState::Unused,
            Err(cause) => HeaderState::Bad(cause),
        };
        Ok(Some(SegmentFile { name, length, header, window }))
    }
}

/// How many bytes the segments in a directory have; 0 where that cannot be told.
pub(crate) fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let segments =
        entries.filter(|entry| sequence_of(&entry.file_name().to_string_lossy()).is_some());
    segments.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
}

impl SegmentFile {
    /// Whether a segment may be so long. One has its length before it has its name.
    pub(crate) fn has_segment_length(&self) -> bool {
        is_segment_length(self.length)
    }

    /// The bytes from `offset` on: at least `wanted` of them, or all that there are.
    pub(crate) fn at(&mut self, offset: u64, wanted: u64) -> Result<&[u8], VerifyError> {
        let name = &self.name;
        self.window.at(offset, wanted).map_err(|cause| VerifyError::Read {
            file: name.clone(),
            offset,
            cause,
        })
    }
}

/// Whether a segment may be so long.
pub(crate) fn is_segment_length(length: u64) -> bool {
    let lengths = layout::segment::CAPACITY_MIN..=layout::segment::CAPACITY_MAX;
    lengths.contains(&length) && length.is_multiple_of(layout::segment::CAPACITY_STEP)
}

/// Refuses what no crash can have done.
fn belongs(
    name: &str,
    sequence: SegmentSeq,
    header: HeaderState,
    log_id: Option<LogId>,
) -> Result<(), VerifyError> {
    let file = name.to_owned();
    match header {
        HeaderState::Bad(
            cause @ (SegmentHeaderError::FormatVersion { .. }
            | SegmentHeaderError::RequiredFeatures { .. }),
        ) => Err(VerifyError::Unsupported { file, cause }),
        HeaderState::Activated(header) if header.sequence != sequence => {
            Err(VerifyError::Misnamed { file, found: header.sequence })
        }
        HeaderState::Activated(header) => match log_id {
            Some(expected) if expected != header.log_id => {
                Err(VerifyError::Foreign { file, expected, found: header.log_id })
            }
            _ => Ok(()),
        },
        HeaderState::Unused | HeaderState::Bad(_) => Ok(()),
    }
}

/// What is wrong with a magic of which some byte is neither right nor not there yet: a page may
/// reach the disk in the middle of a store, but no crash leaves another magic.
pub(crate) fn wrong_magic(header: &HeaderState) -> Option<SegmentHeaderError> {
    let HeaderState::Bad(error @ SegmentHeaderError::Magic { found }) = header else { return None };
    let mut bytes = found.iter().zip(layout::segment::MAGIC_VALUE);
    let half_written = bytes.all(|(found, right)| *found == 0 || *found == right);
    (!half_written).then_some(*error)
}

/// The name of the index of a sealed segment.
pub(super) fn index_name(sequence: SegmentSeq) -> String {
    format!("{:020}.idx", sequence.as_u64())
}

/// The name of the table of the streams.
pub(super) const STREAM_TABLE: &str = "streams.ckpt";

/// The name of a segment's file.
pub(crate) fn segment_name(sequence: SegmentSeq) -> String {
    format!("{:020}.seg", sequence.as_u64())
}

/// Whether a file bears the name under which one of the log's is made: a segment, an index, a base, or
/// the table of the streams.
fn is_unfinished(name: &str) -> bool {
    let Some(finished) = name.strip_suffix(".tmp") else { return false };
    let index = finished.strip_suffix(".idx").map(|digits| format!("{digits}.seg"));
    finished == STREAM_TABLE
        || base_of(finished).is_some()
        || sequence_of(index.as_deref().unwrap_or(finished)).is_some()
}

/// How the copies of a base end.
pub(crate) const COPIES: [&str; 2] = ["base", "base2"];

/// The number of the segment that a base, by its file's name, is in front of.
fn base_of(name: &str) -> Option<SegmentSeq> {
    let digits = COPIES.iter().find_map(|copy| name.strip_suffix(copy)?.strip_suffix('.'))?;
    sequence_of(&format!("{digits}.seg"))
}

/// The number of a segment by its file's name.
fn sequence_of(name: &str) -> Option<SegmentSeq> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(SegmentSeq::new)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for number in [0, 7, u64::MAX] {
            let sequence = SegmentSeq::new(number);
            assert_eq!(sequence_of(&segment_name(sequence)), Some(sequence));
        }
        for name in [
            "00000000000000000007.seg.tmp",
            "00000000000000000007.idx.tmp",
            "00000000000000000007.base.tmp",
            "00000000000000000007.base2.tmp",
            "streams.ckpt.tmp",
        ] {
            assert!(is_unfinished(name), "{name}");
        }
        for name in ["7.seg.tmp", "00000000000000000007.seg", "streams.ckpt", "x.tmp", ".tmp"] {
            assert!(!is_unfinished(name), "{name}");
        }
        for name in ["LOCK", "1.seg", "0000000000000000000x.seg", "99999999999999999999.seg"] {
            assert_eq!(sequence_of(name), None, "{name}");
        }
    }
}
