//! The files of the log that is to be salvaged, whatever has become of them.
//!
//! Owns: [`Source`]. May call: patient, the verifier's directory. Opens for reading only; holds no
//! lock.
//!
//! Invariant: bytes that cannot be read are zeros to whoever reads here, and are noted. Nothing is
//! taken for a frame by them: all of a frame is under checksums.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quipu_format::SegmentSeq;

use super::patient::{Access, Patient, Unreadable};
use crate::progress::Stages;
use crate::verify::VerifyError;
use crate::verify::directory::{Directory, Front, SegmentFile, segment_name};
use crate::verify::window::ReadAt;

/// What is put between a file of this name, opened in this way, and whoever reads it.
pub(super) type Through = Rc<dyn Fn(&str, File, Access) -> Box<dyn ReadAt>>;

/// The directory of the log.
pub(super) struct Source {
    path: PathBuf,
    directory: Directory,
    through: Through,
    /// How far it is, for people who watch.
    pub(super) stages: Stages,
    unreadable: RefCell<BTreeMap<SegmentSeq, Rc<RefCell<Unreadable>>>>,
}

/// What came of opening a file.
pub(super) enum Opened {
    There(SegmentFile),
    Missing,
    /// It is there and cannot be opened; what the system said.
    Refused(String),
}

impl Source {
    pub(super) fn new(path: &Path, stages: Stages) -> Self {
        Self { stages, ..Self::reading_through(path, Rc::new(|_, file, _| Box::new(file))) }
    }

    /// Puts something in front of each file: for tests, a device with bad sectors.
    pub(super) fn reading_through(path: &Path, through: Through) -> Self {
        let (path, directory, stages) = (path.to_owned(), Directory::new(path), Stages::hidden());
        Self { path, directory, through, stages, unreadable: RefCell::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The numbers of the segments that are there, in order.
    pub(super) fn segments(&self) -> Result<Vec<SegmentSeq>, VerifyError> {
        self.directory.list().map(|(segments, _)| segments)
    }

    /// Where the log begins, by the newest base.
    pub(super) fn front(&self) -> Result<Front, VerifyError> {
        self.directory.front()
    }

    /// Opens a segment, whatever its header says.
    ///
    /// # Errors
    /// Only if this user may not read the file: that can be mended, and no byte need be lost to it.
    pub(super) fn open(&self, sequence: SegmentSeq) -> Result<Opened, VerifyError> {
        let unreadable = Rc::clone(self.unreadable.borrow_mut().entry(sequence).or_default());
        let name = segment_name(sequence);
        let patient = |file| -> Box<dyn ReadAt> {
            let path = self.path.join(&name);
            Box::new(Patient::new(name, path, file, Rc::clone(&self.through), unreadable))
        };
        match self.directory.look(sequence, patient) {
            Ok(Some(file)) => Ok(Opened::There(file)),
            Ok(None) => Ok(Opened::Missing),
            Err(VerifyError::Open { cause, file })
                if cause.kind() == io::ErrorKind::PermissionDenied =>
            {
                Err(VerifyError::Open { cause, file })
            }
            Err(VerifyError::Open { cause, .. }) => Ok(Opened::Refused(cause.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Where a file could not be read so far, in order, and what the system said first.
    pub(super) fn unreadable(&self, sequence: SegmentSeq) -> Unreadable {
        let all = self.unreadable.borrow();
        all.get(&sequence).map(|found| found.borrow().clone()).unwrap_or_default()
    }

    /// Whether a live writer holds the log's lock: its process id, where that is known.
    pub(super) fn writer(&self) -> Option<Option<u32>> {
        let path = self.path.join("LOCK");
        // A pipe of this name would make the open wait for its other end.
        if !fs::symlink_metadata(&path).is_ok_and(|about| about.is_file()) {
            return None;
        }
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            // Given back at once, with the descriptor. A lock that cannot be asked for holds nobody.
            Ok(()) | Err(TryLockError::Error(_)) => None,
            Err(TryLockError::WouldBlock) => Some(pid_in(file)),
        }
    }
}

/// A pid has at most 10 digits; a longer file is not the engine's, and is not read whole.
const PID_BYTES_MAX: u64 = 16;

fn pid_in(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim_ascii().parse().ok()
}
