//! Reading around what a device does not give back.
//!
//! Owns: [`Patient`], and [`Unreadable`], what it was refused. Calls the system.
//!
//! The page cache reads in units of its own, which may be megabytes, and one bad sector fails the
//! whole unit. So what was refused is asked for again past the page cache, a page at a time, then a
//! sector at a time. What is refused even so reads as zeros, and is noted; a device may take seconds to
//! say no, and is not asked again.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::source::Through;
use crate::verify::window::ReadAt;

/// Bytes of one file that cannot be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Unreadable {
    /// Where each stretch begins and ends.
    stretches: BTreeMap<u64, u64>,
    /// What the system said first.
    pub(super) error: String,
    /// Up to here nothing more than a page is asked for at once: something before it was refused.
    careful_until: u64,
}

impl Unreadable {
    /// Each stretch's offset and length.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (u64, u64)> {
        self.stretches.iter().map(|(start, end)| (*start, end - start))
    }

    /// Those with a byte of `from..to`.
    pub(super) fn within(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
        self.stretches().filter(move |(start, bytes)| *start < to && start + bytes > from)
    }

    /// Where the stretch ends that `offset` is in, if it is in one.
    fn end_at(&self, offset: u64) -> Option<u64> {
        let (_, end) = self.stretches.range(..=offset).next_back()?;
        (*end > offset).then_some(*end)
    }

    fn note(&mut self, start: u64, end: u64, error: &io::Error) {
        if self.error.is_empty() {
            self.error = error.to_string();
        }
        match self.stretches.range_mut(..=start).next_back().filter(|(_, last)| **last >= start) {
            Some((_, last)) => *last = end.max(*last),
            None => drop(self.stretches.insert(start, end)),
        }
    }
}

/// How a file was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Through the page cache.
    Cached,
    /// Past it: offsets, lengths and memory are multiples of a sector.
    Direct,
}

/// A file whose bad sectors read as zeros.
pub(super) struct Patient {
    name: String,
    path: PathBuf,
    through: Through,
    cached: Box<dyn ReadAt>,
    /// Opened when it is needed; `None`: this file system knows no such thing.
    direct: OnceCell<Option<Box<dyn ReadAt>>>,
    unreadable: Rc<RefCell<Unreadable>>,
}

/// Asked for where more was refused; then the smallest piece that a device may lose by itself.
const PAGE_BYTES: u64 = 4096;
const SECTOR_BYTES: u64 = 512;

impl Patient {
    pub(super) fn new(
        name: String,
        path: PathBuf,
        file: File,
        through: Through,
        unreadable: Rc<RefCell<Unreadable>>,
    ) -> Self {
        let cached = through(&name, file, Access::Cached);
        Self { name, path, through, cached, direct: OnceCell::new(), unreadable }
    }

    /// Reads a piece of a block of `step` bytes, past the page cache if that is possible.
    fn read_piece(&self, into: &mut [u8], offset: u64, step: u64) -> io::Result<usize> {
        let direct = self.direct.get_or_init(|| {
            let mut options = OpenOptions::new();
            let opened = options.read(true).custom_flags(libc::O_DIRECT).open(&self.path);
            Some((self.through)(&self.name, opened.ok()?, Access::Direct))
        });
        match direct.as_ref().map(|direct| read_aligned(&**direct, into, offset, step)) {
            Some(Ok(read)) => Ok(read),
            // Perhaps the sectors of this device are larger.
            Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
            Some(Err(_)) | None => self.cached.read_at(into, offset),
        }
    }
}

impl ReadAt for Patient {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut unreadable = self.unreadable.borrow_mut();
        let wanted = into.len() as u64;
        if let Some(end) = unreadable.end_at(offset) {
            return Ok(zero(into, end - offset));
        }
        if offset >= unreadable.careful_until {
            match self.cached.read_at(into, offset) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {}
                answer => return answer,
            }
            unreadable.careful_until = offset.saturating_add(wanted);
        }
        let mut refused = io::Error::from(io::ErrorKind::UnexpectedEof);
        for step in [PAGE_BYTES, SECTOR_BYTES] {
            let piece = usize::try_from(wanted.min(step - offset % step)).unwrap_or(into.len());
            match self.read_piece(into.get_mut(..piece).unwrap_or_default(), offset, step) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => refused = error,
                answer => return answer,
            }
        }
        let start = offset - offset % SECTOR_BYTES;
        unreadable.note(start, start + SECTOR_BYTES, &refused);
        Ok(zero(into, start + SECTOR_BYTES - offset))
    }
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Reads the whole block of `step` bytes that `offset` is in, and gives what is wanted of it.
fn read_aligned(file: &dyn ReadAt, into: &mut [u8], offset: u64, step: u64) -> io::Result<usize> {
    let bytes = step as usize;
    let mut buffer = vec![0; bytes + PAGE_BYTES as usize];
    let skipped = buffer.as_ptr().align_offset(PAGE_BYTES as usize);
    let block = buffer.get_mut(skipped..).and_then(|rest| rest.get_mut(..bytes));
    let block = block.ok_or(io::ErrorKind::OutOfMemory)?;
    let read = file.read_at(block, offset - offset % step)?;
    let found = block.get(..read).and_then(|found| found.get((offset % step) as usize..));
    let found = found.unwrap_or_default();
    let count = found.len().min(into.len());
    if let (Some(into), Some(found)) = (into.get_mut(..count), found.get(..count)) {
        into.copy_from_slice(found);
    }
    Ok(count)
}

/// Zeros the first `bytes` of `into`, or all of it; how many that were.
fn zero(into: &mut [u8], bytes: u64) -> usize {
    let count = usize::try_from(bytes).map_or(into.len(), |bytes| bytes.min(into.len()));
    into.get_mut(..count).unwrap_or_default().fill(0);
    count
}
