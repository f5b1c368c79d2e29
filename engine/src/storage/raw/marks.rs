//! The marks over one piece of memory: how far each region over it has promised final bytes.
//!
//! Owns: for one file (or one heap block) the set of live regions' marks, and the table that finds
//! the set of a file by its device and inode, so that two handles of one file, opened apart,
//! share it. May call: `std` and locks alone.
//!
//! Invariants, all kept under the set's lock but for the writer's own advance:
//! - at most one mark has a live writer, and no other mark is above the writer's;
//! - a mark only rises;
//! - a store through the file goes in at or above every mark.
//!
//! Together: bytes below any mark are never stored to by this process.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock, Weak};

use super::super::Access;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

#[cfg(all(test, quipu_loom))]
mod model;

/// The marks of every live region over one piece of memory.
#[derive(Debug, Default)]
pub(in super::super) struct Marks {
    live: Mutex<Vec<Weak<Mark>>>,
}

/// One region's mark.
#[derive(Debug)]
pub(super) struct Mark {
    written: AtomicU64,
    /// Whether the region's writing half lives.
    writing: AtomicBool,
}

impl Mark {
    /// Bytes below it are final; seeing it makes them visible.
    #[inline]
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// For the one writer: publishes the bytes stored so far.
    pub(super) fn publish(&self, written: u64) {
        debug_assert!(self.writing.load(Ordering::Relaxed), "only a live writer publishes");
        debug_assert!(written >= self.written.load(Ordering::Relaxed), "a mark only rises");
        self.written.store(written, Ordering::Release);
    }

    /// The writing half is gone: what it stored happened before whatever sees this.
    pub(super) fn retire(&self) {
        self.writing.store(false, Ordering::Release);
    }

    fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Acquire)
    }
}

impl Marks {
    /// The marks of `file`, shared by every handle of it in this process.
    pub(in super::super) fn of(file: &File) -> io::Result<Arc<Self>> {
        let about = file.metadata()?;
        let key = (about.dev(), about.ino());
        let mut table = table().lock();
        if let Some(marks) = table.get(&key).and_then(Weak::upgrade) {
            return Ok(marks);
        }
        // An inode lives as long as a handle or a mapping of it, and so do its marks: a number
        // that is used again never meets the marks of the file that had it before.
        table.retain(|_, marks| marks.strong_count() > 0);
        let marks = Arc::new(Self::default());
        table.insert(key, Arc::downgrade(&marks));
        Ok(marks)
    }

    /// A mark for a new region. Refuses a second writer, and a writer that would store below what
    /// another region has promised; a reader is held back to what a live writer has published.
    pub(super) fn admit(&self, written: u64, access: Access) -> io::Result<Arc<Mark>> {
        let mut live = self.live.lock();
        live.retain(|mark| mark.strong_count() > 0);
        let survey = Survey::of(&live);
        let written = match access {
            Access::Read => written.min(survey.ceiling),
            Access::Write => {
                if survey.has_writer() {
                    return Err(refusal("it is already mapped for writing"));
                }
                if written < survey.highest {
                    return Err(refusal("bytes behind the given end have been handed out"));
                }
                written
            }
        };
        let mark = Arc::new(Mark {
            written: AtomicU64::new(written),
            writing: AtomicBool::new(access == Access::Write),
        });
        live.push(Arc::downgrade(&mark));
        Ok(mark)
    }

    /// Raises a reader's mark, at most to what a live writer of this process has published.
    pub(super) fn raise(&self, mark: &Mark, written: u64) {
        let live = self.live.lock();
        let written = written.min(Survey::of(&live).ceiling);
        mark.written.fetch_max(written, Ordering::Release);
    }

    /// Runs `store`, which writes at `offset` and above, while no mark can be raised; refuses where
    /// a region has promised bytes above `offset`.
    pub(in super::super) fn store_above<T>(
        &self,
        offset: u64,
        store: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let live = self.live.lock();
        if offset < Survey::of(&live).highest {
            return Err(refusal("bytes at or above the given offset have been handed out"));
        }
        store()
    }

    /// As [`Marks::store_above`], and refuses too while a writer lives.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn store_alone<T>(&self, offset: u64, store: impl FnOnce() -> T) -> io::Result<T> {
        let live = self.live.lock();
        let survey = Survey::of(&live);
        if survey.has_writer() || offset < survey.highest {
            return Err(refusal("it is mapped, and these bytes are not free to change"));
        }
        Ok(store())
    }

    /// The highest of the live marks, 0 where there is none.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn highest(&self) -> u64 {
        Survey::of(&self.live.lock()).highest
    }
}

/// What the live marks say together.
struct Survey {
    /// No store may go below it.
    highest: u64,
    /// No reader may rise above it: the live writer's mark, without one no limit.
    ceiling: u64,
}

impl Survey {
    fn of(live: &MutexGuard<'_, Vec<Weak<Mark>>>) -> Self {
        let mut survey = Self { highest: 0, ceiling: u64::MAX };
        for mark in live.iter().filter_map(Weak::upgrade) {
            // Asked first: a writer that retires in between can only make the mark read next
            // higher, never the ceiling too high.
            let is_writing = mark.is_writing();
            let written = mark.written();
            survey.highest = survey.highest.max(written);
            if is_writing {
                survey.ceiling = written;
            }
        }
        survey
    }

    fn has_writer(&self) -> bool {
        self.ceiling != u64::MAX
    }
}

fn refusal(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

type Table = Mutex<HashMap<(u64, u64), Weak<Marks>>>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(Table::default)
}
