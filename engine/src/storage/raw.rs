//! The one file with `unsafe`: append-only memory regions, and the system calls that `std` lacks.
//!
//! Owns: [`Region`], bytes of a segment that are handed out by reference; [`RegionWriter`], the
//! one half that may append to it; [`WordPage`], words for other processes; and thin wrappers over `fallocate`, `pwritev`, `fdatasync` and
//! `fsync`. May call: `memmap2` and `libc`.
//!
//! Why handing out `&[u8]` is sound:
//! 1. A region has a mark, `written`, that only rises. Slices are given below it alone.
//! 2. Within this process nothing stores below any region's mark. A [`RegionWriter`] is unique to
//!    its memory, is not `Clone`, and stores at its mark and above, before it raises it with
//!    `Release`; readers load it with `Acquire`. Every other way to the same bytes, a second
//!    mapping or a positioned write, goes through one set of marks for each file (`Marks`),
//!    found by device and inode, which refuses to change what has been promised.
//! 3. The memory outlives the slices: a slice borrows from its region, or its [`Bytes`] hold it.
//!
//! What this cannot exclude, as nothing that maps files can: someone outside this seam who
//! truncates a mapped file (a touch is then answered with SIGBUS), or writes into it (bytes change
//! while they are borrowed). Against it stand: the exclusive lock of the directory, so that two
//! engines never write one log; a seam that offers no way to shorten a file; a writer, in this
//! process or another, that only ever appends; and checksums, by which a *reader* of another
//! process's log takes bytes for final ([`Region::raise`]) only when a whole frame of them
//! verifies, which such a writer never touches again.

#![allow(unsafe_code)] // the one reasoned exception: memory maps, and system calls without a safe wrapper

#[cfg(any(test, feature = "sim"))]
use std::cell::UnsafeCell;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
// Shared with other processes, which no model checker stands in for.
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw};

use super::Access;
use advice::advise_in_pieces;
use marks::Mark;
pub(super) use marks::Marks;
pub(crate) use no_room::NoRoom;

mod advice;
mod marks;
mod no_room;
#[cfg(test)]
mod tests;

/// An append-only memory region: a mapped file, or heap memory standing in for one.
pub(crate) struct Region {
    memory: Memory,
    capacity: u64,
    access: Access,
    mark: Arc<Mark>,
    marks: Arc<Marks>,
}

enum Memory {
    Mapped(MmapRaw),
    #[cfg(any(test, feature = "sim"))]
    Heap(Arc<Heap>),
}

impl Region {
    /// Maps all of `file`, whose bytes below `written` are final. A reader's mark is held back to
    /// what a live writer in this process has published: [`Region::written`] tells.
    pub(super) fn map_file(
        file: &File,
        written: u64,
        access: Access,
    ) -> io::Result<(Arc<Self>, Option<RegionWriter>)> {
        let marks = Marks::of(file)?;
        let capacity = file.metadata()?.len();
        let length = usize::try_from(capacity)
            .map_err(|_| invalid("the file is longer than the address space"))?;
        let mut options = MmapOptions::new();
        options.len(length);
        let mapping = match access {
            Access::Read => options.map_raw_read_only(file)?,
            Access::Write => options.map_raw(file)?,
        };
        Self::over(Memory::Mapped(mapping), capacity, marks, written, access)
    }

    /// A region over `heap`; otherwise as a mapped file.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn map_heap(
        heap: &Arc<Heap>,
        written: u64,
        access: Access,
    ) -> io::Result<(Arc<Self>, Option<RegionWriter>)> {
        let marks = Arc::clone(&heap.marks);
        Self::over(Memory::Heap(Arc::clone(heap)), heap.capacity(), marks, written, access)
    }

    fn over(
        memory: Memory,
        capacity: u64,
        marks: Arc<Marks>,
        written: u64,
        access: Access,
    ) -> io::Result<(Arc<Self>, Option<RegionWriter>)> {
        if written > capacity {
            return Err(invalid("the end of the written bytes is beyond the end of the file"));
        }
        let mark = marks.admit(written, access)?;
        let region = Arc::new(Self { memory, capacity, access, mark, marks });
        let writer =
            (access == Access::Write).then(|| RegionWriter { region: Arc::clone(&region) });
        Ok((region, writer))
    }

    /// Bytes below it are final. Never falls.
    #[inline]
    pub(crate) fn written(&self) -> u64 {
        self.mark.written()
    }

    /// Bytes in all.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The bytes of `range`, where all of it is final.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        if range.start > range.end || range.end > self.written() {
            return None;
        }
        // Both are at most `capacity`, which came from, or fits, a `usize`.
        let (start, length) = (range.start as usize, (range.end - range.start) as usize);
        let base = self.base();
        // SAFETY: start <= range.end <= written <= capacity, and `base` points to `capacity` bytes
        // of one allocation or mapping, which `self` keeps: the sum stays within it.
        let first = unsafe { base.add(start) };
        // SAFETY: the `length` bytes from `first` on end at range.end <= capacity, within that one
        // allocation, which lives as long as `self`, hence as the answer. They are initialized
        // (heap memory starts zeroed, a mapping shows the file) and no larger than isize::MAX, as
        // no allocation or mapping is. They lie below `written`, loaded with Acquire: their stores
        // happened before, and by the invariants of `Marks` no store of this process follows.
        Some(unsafe { std::slice::from_raw_parts(first, length) })
    }

    /// As [`Region::bytes`], without a copy, held by reference count: the region, and its mapping,
    /// live as long as the answer or any part of it.
    pub(crate) fn slice(self: &Arc<Self>, range: Range<u64>) -> Option<Bytes> {
        self.bytes(range.clone())?;
        Some(Bytes::from_owner(Slice { region: Arc::clone(self), range }))
    }

    /// For the reader that tails a log written elsewhere: takes the bytes below `written` for
    /// final. Answers the mark that results: never lower than before, at most the capacity, and
    /// at most what a live writer of this file within this process has published. The mark of a
    /// region mapped for writing is its writer's alone, and stays.
    ///
    /// Call it only for bytes that have been verified as whole frames through
    /// [`super::File::read_at`]: a frame that verifies is never stored to again.
    pub(crate) fn raise(&self, written: u64) -> u64 {
        if self.access == Access::Read {
            self.marks.raise(&self.mark, written.min(self.capacity));
        }
        self.written()
    }

    /// The heap memory that it lies over.
    #[cfg(feature = "sim")]
    pub(super) fn heap(&self) -> Option<&Arc<Heap>> {
        match &self.memory {
            Memory::Mapped(_) => None,
            Memory::Heap(heap) => Some(heap),
        }
    }

    /// Brings every page in, so that no later access waits for the device.
    pub(super) fn populate(&self) -> io::Result<()> {
        match &self.memory {
            Memory::Mapped(mapping) if self.capacity > 0 => {
                advise_in_pieces(mapping, Advice::PopulateRead)
            }
            _ => Ok(()),
        }
    }

    /// The first of `capacity` bytes.
    #[inline]
    fn base(&self) -> *mut u8 {
        match &self.memory {
            Memory::Mapped(mapping) => mapping.as_mut_ptr(),
            #[cfg(any(test, feature = "sim"))]
            Memory::Heap(heap) => heap.base(),
        }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Safety
    ///
    /// 1. The region was mapped with [`Access::Write`].
    /// 2. `offset + bytes.len()` is at most the capacity.
    /// 3. `offset` is at or above `written`.
    /// 4. The caller is the region's one writer, and no other thread stores meanwhile.
    unsafe fn store(&self, offset: u64, bytes: &[u8]) {
        debug_assert!(self.access == Access::Write, "1: mapped for writing");
        debug_assert!(
            offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= self.capacity),
            "2: within the region"
        );
        debug_assert!(offset >= self.written(), "3: behind the final bytes");
        let base = self.base();
        // SAFETY: by 2 the offset is within the `capacity` bytes that `base` points to.
        let target = unsafe { base.add(offset as usize) };
        // SAFETY: by 2 all of the target lies within that memory, by 1 it may be stored to. By 3
        // and the invariants of `Marks` no slice reaches the target, so nothing borrows it, and
        // `bytes`, a borrow, does not overlap it. By 4 nobody else stores there.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("written", &self.written())
            .field("capacity", &self.capacity)
            .field("access", &self.access)
            .finish()
    }
}

/// Keeps a region for the [`Bytes`] cut from it.
struct Slice {
    region: Arc<Region>,
    range: Range<u64>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        // Checked when it was made, and the mark never falls: there are always bytes.
        self.region.bytes(self.range.clone()).unwrap_or_default()
    }
}

/// The one half of a region that appends to it; dropping it ends the writing.
#[derive(Debug)]
pub(crate) struct RegionWriter {
    region: Arc<Region>,
}

impl RegionWriter {
    /// Copies `parts`, one behind the other, behind the written bytes, then makes them all visible
    /// at once. Where they do not fit, nothing is copied.
    pub(crate) fn copy(&mut self, parts: &[&[u8]]) -> Result<(), NoRoom> {
        let end = self.end_after(total(parts))?;
        let mut offset = self.written();
        for part in parts {
            // SAFETY: 1. a writer is made for a region mapped for writing only. 2. `end_after`
            // has shown that all parts end within the capacity. 3. `offset` starts at `written`,
            // which is published only below, and rises. 4. There is one writer to a memory, it is
            // not `Clone`, and `&mut self` excludes a second call.
            unsafe { self.region.store(offset, part) };
            offset += part.len() as u64;
        }
        debug_assert_eq!(offset, end, "the parts are as long as their sum");
        self.region.mark.publish(end);
        Ok(())
    }

    /// Makes `length` more bytes visible, which a positioned write has put into the file: mapping
    /// and file show the same pages.
    pub(crate) fn advance(&mut self, length: u64) -> Result<(), NoRoom> {
        let end = self.end_after(length)?;
        self.region.mark.publish(end);
        Ok(())
    }

    /// How long `parts` are together, where they fit.
    pub(super) fn fitting(&self, parts: &[&[u8]]) -> Result<u64, NoRoom> {
        let length = total(parts);
        self.end_after(length).map(|_| length)
    }

    /// Where the next bytes go.
    pub(crate) fn written(&self) -> u64 {
        self.region.written()
    }

    /// How many more bytes fit.
    pub(crate) fn room(&self) -> u64 {
        self.region.capacity - self.written()
    }

    /// The region that this writer appends to.
    #[cfg(test)]
    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Whether the region lies over the memory or file that `marks` belong to.
    pub(super) fn is_over(&self, marks: &Arc<Marks>) -> bool {
        Arc::ptr_eq(&self.region.marks, marks)
    }

    fn end_after(&self, length: u64) -> Result<u64, NoRoom> {
        if length > self.room() {
            return Err(NoRoom { needed: length, room: self.room() });
        }
        Ok(self.written() + length)
    }
}

impl Drop for RegionWriter {
    fn drop(&mut self) {
        self.region.mark.retire();
    }
}

/// Zeroed memory that several regions may lie over, as several mappings lie over one file.
#[cfg(any(test, feature = "sim"))]
pub(super) struct Heap {
    cells: Box<[UnsafeCell<u8>]>,
    marks: Arc<Marks>,
}

// SAFETY: the cells are private. They are stored to by the one `RegionWriter` above every mark, or
// by `Heap::store` under the marks' lock while there is no writer, above every mark as well; they
// are read below a mark only, after an Acquire load of it. So no store races with another access.
#[cfg(any(test, feature = "sim"))]
unsafe impl Sync for Heap {}

#[cfg(any(test, feature = "sim"))]
impl Heap {
    /// `capacity` zeros.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let zeroed = Box::<[UnsafeCell<u8>]>::new_zeroed_slice(capacity);
        // SAFETY: the allocation is zeroed, and all-zero bytes are a valid `UnsafeCell<u8>`.
        let cells = unsafe { zeroed.assume_init() };
        Arc::new(Self { cells, marks: Arc::default() })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.cells.len() as u64
    }

    #[cfg(feature = "sim")]
    pub(super) fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// The highest mark of the regions over this memory.
    pub(super) fn highest_mark(&self) -> u64 {
        self.marks.highest()
    }

    /// Stores `bytes` at `offset` past the regions, as a positioned write does to a mapped file.
    /// Refused where a region has promised these bytes, and while a writer lives.
    pub(super) fn store(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.capacity()) {
            return Err(invalid("the bytes reach beyond the end of the memory"));
        }
        self.marks.store_alone(offset, || {
            let base = self.base();
            // SAFETY: offset + bytes.len() <= capacity, shown above.
            let target = unsafe { base.add(offset as usize) };
            // SAFETY: the target lies within the cells, shown above. The marks' lock is held, no
            // writer lives, and none of the marks is above `offset`: no slice reaches the target
            // (so `bytes` does not overlap it), none can be made meanwhile, and nobody else
            // stores.
            unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        })
    }

    /// The first of the cells, with leave to access them all.
    fn base(&self) -> *mut u8 {
        UnsafeCell::raw_get(self.cells.as_ptr())
    }
}

/// The first page of a file, mapped: words are stored there for other processes to read.
#[derive(Debug)]
pub(super) struct WordPage(MmapRaw);

impl WordPage {
    /// Maps it. The file has a block there: a store into a hole of a full disk is answered with SIGBUS.
    pub(super) fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() < Self::BYTES as u64 {
            return Err(invalid("the file is shorter than a page"));
        }
        Ok(Self(MmapOptions::new().len(Self::BYTES).map_raw(file)?))
    }

    /// Stores a word. Whoever sees it sees all that this thread has stored before.
    pub(super) fn store(&self, word: usize, value: u64) {
        assert!(word < Self::BYTES / size_of::<u64>(), "a word of the page");
        let base = self.0.as_mut_ptr().cast::<u64>();
        // SAFETY: the word lies within the page, shown above, which is mapped as a whole.
        let place = unsafe { base.add(word) };
        // SAFETY: a mapping begins at a page, so the place is aligned. It is mapped for reading and
        // writing as long as `self`, longer than the reference lives. This is the one access to the
        // mapping in this process, and it is atomic.
        let place = unsafe { AtomicU64::from_ptr(place) };
        place.store(value, Ordering::Release);
    }

    /// Bytes of the page.
    pub(super) const BYTES: usize = 4096;
}

/// Gives `file` real blocks from its start to `length`, and that length.
/// `EOPNOTSUPP` where the file system cannot.
pub(super) fn allocate(file: &File, length: u64) -> io::Result<()> {
    let length = offset_of(length)?;
    retrying(|| {
        // SAFETY: takes no pointers; the descriptor is open, as `file` is borrowed.
        let answer = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) };
        checked(answer as isize)
    })?;
    Ok(())
}

/// Touches every page of `file` for writing, so that each has its block and a place in the page
/// cache. `EINVAL` where the kernel is older than 5.14.
pub(super) fn populate_for_writing(file: &File) -> io::Result<()> {
    advise_in_pieces(&MmapOptions::new().map_raw(file)?, Advice::PopulateWrite)
}

/// Writes all of `parts`, one behind the other, at `offset`.
/// After an error some of the bytes may be there.
pub(super) fn write_vectored_at(file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    let mut offset = offset;
    // Empty parts go, so that an answer of 0 below can only mean that nothing gets written.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let count = rest.len().min(PARTS_MAX);
        let position = offset_of(offset)?;
        let stored = retrying(|| {
            // SAFETY: `IoSlice` has the layout of `iovec`, by its documentation; `rest` holds
            // `count` of them or more, each over bytes that are borrowed until this returns, and
            // the kernel only reads both. The descriptor is open, as `file` is borrowed.
            checked(unsafe {
                libc::pwritev(file.as_raw_fd(), rest.as_ptr().cast(), count as i32, position)
            })
        })?;
        if stored == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += stored as u64;
        IoSlice::advance_slices(&mut rest, stored);
    }
    Ok(())
}

/// Makes the data of `file` durable. Asked once: `std` would ask again after `EINTR`, and a second
/// answer of success proves nothing about the bytes of the first.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    // SAFETY: takes no pointers; the descriptor is open, as `file` is borrowed.
    checked(unsafe { libc::fdatasync(file.as_raw_fd()) } as isize).map(drop)
}

/// Makes data and metadata of `file`, which may be a directory, durable. Asked once.
pub(super) fn sync_all(file: &File) -> io::Result<()> {
    // SAFETY: takes no pointers; the descriptor is open, as `file` is borrowed.
    checked(unsafe { libc::fsync(file.as_raw_fd()) } as isize).map(drop)
}

/// The most parts that one `pwritev` takes (`IOV_MAX`).
const PARTS_MAX: usize = 1024;

fn retrying<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

fn checked(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

fn offset_of(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| invalid("the offset is beyond what files have"))
}

fn total(parts: &[&[u8]]) -> u64 {
    parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len() as u64))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
