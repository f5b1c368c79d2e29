//! Which files there are.
//!
//! Owns: [`Inventory`], [`Found`]. May call: storage, the format's segment header. Judges nothing.

use std::io;
use std::sync::Arc;

use quipu_format::sidecar::SidecarError;
use quipu_format::{LogId, Position, SegmentHeader, SegmentHeaderError, SegmentSeq, layout};

use crate::error::{Damage, Fault, OpenError, Proof};
use crate::segment::base::{self, BadCopy, Base};
use crate::segment::name::{Named, parse};
use crate::storage::{Access, Directory, Entry, File, IoError};

/// The segments of a directory, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Inventory {
    directory: String,
    opened: Arc<dyn Directory>,
    pub(crate) segments: Vec<Found>,
    /// Names of files that were not finished.
    pub(crate) unfinished: Vec<String>,
    /// Whether it is a backup that was not finished.
    pub(crate) is_unfinished_backup: bool,
    /// Indexes of segments, and their names.
    pub(crate) sidecars: Vec<(SegmentSeq, String)>,
    /// What outlives the segments that were dropped; `None`: none ever was.
    pub(crate) base: Option<Base>,
    /// Segments in front of the base, and older bases: files that a truncation has left.
    pub(crate) leftovers: Vec<String>,
}

/// One file that is named like a segment.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sequence: SegmentSeq,
    pub(crate) name: String,
    pub(crate) length: u64,
    pub(crate) header: HeaderState,
    directory: Arc<dyn Directory>,
    access: Access,
}

/// What stands in a segment's first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderState {
    /// All zero.
    Unused,
    /// A header.
    Activated(SegmentHeader),
    /// Something else.
    Bad(SegmentHeaderError),
}

impl Found {
    /// Opens the file. Each time anew: a log may have more segments than a process may have files.
    pub(crate) fn open(&self) -> Result<Arc<dyn File>, IoError> {
        let opened = self.directory.open(&self.name, self.access);
        opened.map_err(|error| {
            let path = format!("{}/{}", self.directory.name(), self.name);
            IoError::new("open", path, error)
        })
    }

    pub(crate) fn is_activated(&self) -> bool {
        matches!(self.header, HeaderState::Activated(_))
    }
}

impl Inventory {
    /// Lists a directory, with the base that the log begins with, and reads every segment's first
    /// block.
    pub(crate) fn take(directory: &Arc<dyn Directory>, access: Access) -> Result<Self, OpenError> {
        let (mut inventory, entries) = Self::list(directory)?;
        let newest = entries.iter().filter_map(|entry| match parse(&entry.name) {
            Named::Base(sequence) => Some(sequence),
            _ => None,
        });
        if let Some(newest) = newest.max() {
            inventory.base = Some(inventory.load_base(newest)?);
        }
        inventory.sort_in(entries, access)?;
        Ok(inventory)
    }

    /// As [`Inventory::take`], for reading and whatever bases there are: none is looked at, and no
    /// segment is in front of one.
    pub(crate) fn take_without_base(directory: &Arc<dyn Directory>) -> Result<Self, OpenError> {
        let (mut inventory, entries) = Self::list(directory)?;
        inventory.sort_in(entries, Access::Read)?;
        Ok(inventory)
    }

    fn list(directory: &Arc<dyn Directory>) -> Result<(Self, Vec<Entry>), OpenError> {
        let entries =
            directory.list().map_err(|error| IoError::new("list", directory.name(), error))?;
        let inventory = Self {
            directory: directory.name(),
            opened: Arc::clone(directory),
            segments: Vec::new(),
            unfinished: Vec::new(),
            is_unfinished_backup: false,
            sidecars: Vec::new(),
            base: None,
            leftovers: Vec::new(),
        };
        Ok((inventory, entries.into_iter().filter(|entry| entry.is_file).collect()))
    }

    /// Puts each file where it belongs.
    fn sort_in(&mut self, entries: Vec<Entry>, access: Access) -> Result<(), OpenError> {
        let first = self.first();
        for entry in entries {
            match parse(&entry.name) {
                Named::Segment(sequence) | Named::Base(sequence) if sequence < first => {
                    self.leftovers.push(entry.name);
                }
                Named::Segment(sequence) => {
                    let found = self.look_at(sequence, entry.name, access)?;
                    self.segments.extend(found);
                }
                Named::Sidecar(sequence) => self.sidecars.push((sequence, entry.name)),
                Named::Unfinished => self.unfinished.push(entry.name),
                Named::UnfinishedBackup => self.is_unfinished_backup = true,
                Named::Base(_) | Named::StreamTable | Named::Other => {}
            }
        }
        self.segments.sort_by_key(|found| found.sequence);
        Ok(())
    }

    /// Whether any segment has ever been in use.
    pub(crate) fn has_activated(&self) -> bool {
        self.segments.iter().any(Found::is_activated)
    }

    /// The segment that the log begins with.
    pub(crate) fn first(&self) -> SegmentSeq {
        self.base.as_ref().map_or(SegmentSeq::ZERO, |base| base.first)
    }

    /// The log's id, by its base, else by its first segment that has a header.
    pub(crate) fn log_id(&self) -> Option<LogId> {
        let of_header = || {
            self.segments.iter().find_map(|found| match found.header {
                HeaderState::Activated(header) => Some(header.log_id),
                HeaderState::Unused | HeaderState::Bad(_) => None,
            })
        };
        self.base.as_ref().map(|base| base.log_id).or_else(of_header)
    }

    /// The base that says where the log begins. Without a copy of it that is right nobody knows what the
    /// streams have come to.
    fn load_base(&self, newest: SegmentSeq) -> Result<Base, OpenError> {
        let bad = match base::load(&*self.opened, newest) {
            Ok(base) => return Ok(base),
            Err(bad) => bad,
        };
        let wrong = bad.iter().find(|(_, why)| matches!(why, BadCopy::Wrong(_)));
        let Some((name, why)) = wrong.or(bad.first()) else {
            // Removed since it was listed, by the live writer beside this reader.
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(self.error("open", "the base", missing).into());
        };
        let file = self.path(name);
        Err(match why {
            BadCopy::Io(error) => OpenError::Io(error.clone()),
            BadCopy::Misnamed(found) => OpenError::Misnamed { file, found: *found },
            BadCopy::Wrong(SidecarError::FormatVersion { found }) => {
                let cause = SegmentHeaderError::FormatVersion { found: *found };
                OpenError::Unsupported { file, cause }
            }
            BadCopy::Wrong(error) => {
                let offset = match error {
                    SidecarError::Magic { .. } | SidecarError::Truncated(_) => 0,
                    SidecarError::Checksum { section: "header", .. } => 0,
                    _ => layout::base::BYTES as u64,
                };
                let (position, fault) = (Position::ZERO, Fault::Base(*error));
                let damage = Damage { file, offset, position, fault, proof: Proof::BothCopies };
                OpenError::Damaged(Box::new(damage))
            }
        })
    }

    /// The file of a segment that was met in this inventory.
    pub(crate) fn get(&self, sequence: SegmentSeq) -> Result<&Found, OpenError> {
        let place = self.segments.binary_search_by_key(&sequence, |found| found.sequence).ok();
        place.and_then(|place| self.segments.get(place)).ok_or_else(|| {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            self.error("find", &crate::segment::name::segment_name(sequence), missing).into()
        })
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &dyn Directory {
        &*self.opened
    }

    /// What errors call the directory.
    pub(crate) fn directory_name(&self) -> &str {
        &self.directory
    }

    /// The path of a file, for errors.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// An I/O error on a file of this directory.
    pub(crate) fn error(&self, operation: &'static str, name: &str, error: io::Error) -> IoError {
        IoError::new(operation, self.path(name), error)
    }

    fn look_at(
        &self,
        sequence: SegmentSeq,
        name: String,
        access: Access,
    ) -> Result<Option<Found>, OpenError> {
        let directory = &self.opened;
        let opened = match directory.open(&name, access) {
            // Removed since it was listed, by the live writer beside this reader.
            Err(error) if access == Access::Read && error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            opened => opened,
        };
        let file = opened.map_err(|error| {
            let refused = matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            );
            let cause = self.error("open", &name, error);
            match refused && access == Access::Write {
                true => OpenError::NotWritable { directory: self.directory.clone(), cause },
                false => OpenError::Io(cause),
            }
        })?;
        let length = file.len().map_err(|error| self.error("look at", &name, error))?;
        let mut block = vec![0; layout::segment::BYTES.min(usize::try_from(length).unwrap_or(0))];
        file.read_at(0, &mut block).map_err(|error| self.error("read", &name, error))?;
        let header = match SegmentHeader::decode(&block) {
            Ok(Some(header)) => HeaderState::Activated(header),
            Ok(None) => HeaderState::Unused,
            // Shorter than a header and all zero: a preparation that something cut off.
            Err(SegmentHeaderError::Truncated(_)) if block.iter().all(|byte| *byte == 0) => {
                HeaderState::Unused
            }
            Err(error) => HeaderState::Bad(error),
        };
        let directory = Arc::clone(directory);
        Ok(Some(Found { sequence, name, length, header, directory, access }))
    }
}
