//! The seam between the engine and whatever keeps its bytes.
//!
//! Owns: the traits [`Directory`] and [`File`], through which alone the engine sees files; the real
//! implementation ([`os`]), the simulated disk ([`sim`], feature `sim`), the append-only
//! memory region that both hand out ([`raw::Region`], the only unsafe code), the latch that
//! stays shut after the first failed write or sync ([`latch`]), and the page by which readers in
//! other processes follow the writer ([`beacon`]).
//!
//! May call: nothing of the engine but the locks of [`crate::sync`]. Everything above calls down
//! into this module.
//!
//! Invariants:
//! - A [`raw::Region`] only grows: bytes below its `written` mark never change while it is mapped.
//! - Every effect on a disk (create, link, allocate, store, sync, rename, remove, directory
//!   sync) goes
//!   through exactly one method here, so that a simulated disk sees, orders and fails them all.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub(crate) mod beacon;
#[cfg(feature = "floor")]
pub(crate) mod floor;
mod io_error;
pub(crate) mod latch;
pub(crate) mod os;
pub(crate) mod raw;
#[cfg(feature = "sim")]
pub mod sim;

use beacon::{BeaconPage, Words};
pub use io_error::IoError;
use raw::{Region, RegionWriter};

use crate::sync::Mutex;

/// One log's directory.
///
/// Names are plain file names without a separator.
pub(crate) trait Directory: Any + Debug + Send + Sync {
    /// What errors call this directory: its path, or the simulated disk's name for it.
    fn name(&self) -> String;

    /// Every entry of the directory, in no particular order.
    fn list(&self) -> io::Result<Vec<Entry>>;

    /// Takes the exclusive lock `LOCK`; held until the answer is dropped or the process dies.
    fn lock(&self) -> Result<Box<dyn DirectoryLock>, LockError>;

    /// Whether a live writer holds the lock. Needs no right to write.
    fn is_locked(&self) -> io::Result<bool>;

    /// Creates a new, empty file for reading and writing; fails if the name is taken.
    /// The name is durable only after [`Directory::sync`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>>;

    /// Gives a file of another directory one more name, in this one; fails if the name is taken,
    /// and with [`io::ErrorKind::CrossesDevices`] and the like where files cannot be shared.
    /// Durable only after [`Directory::sync`].
    fn link(&self, file: &dyn File, name: &str) -> io::Result<()>;

    /// Whether `other` is this very directory.
    fn is(&self, other: &dyn Directory) -> bool;

    /// Renames a file, replacing what had the new name. Durable only after [`Directory::sync`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable only after [`Directory::sync`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the directory's names durable.
    fn sync(&self) -> io::Result<()>;

    /// To be held from a rename to the sync that makes it durable, and over every other sync of the
    /// directory while the log is open: one that fails is told of once, and must be told to the one whose
    /// names it was about.
    fn naming(&self) -> &Mutex<()>;

    /// Which boot of the machine this is.
    fn boot(&self) -> io::Result<u128>;

    /// Opens, or makes, the page of the live writer. Under the lock. Nothing of it need be durable.
    fn open_beacon(&self, mode: StoreMode) -> io::Result<Box<dyn BeaconPage>>;

    /// The words of that page; `None`: there is none. `anew`: the file may have been replaced
    /// since.
    fn read_beacon(&self, anew: bool) -> io::Result<Option<Words>>;

    /// Takes the page away, as well as that can be done.
    fn remove_beacon(&self);
}

/// One file of a log.
#[allow(clippy::len_without_is_empty)] // nobody asks whether a segment is empty: it never is
pub(crate) trait File: Any + Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// How many names it has: with more than one it may be another log's too.
    fn names(&self) -> io::Result<u64>;

    /// Gives a new, empty file `length` bytes of real, zeroed blocks, in the way that `how` says,
    /// so that a later store through a mapping needs no space and dirties no more than it touches.
    /// Fails with [`io::ErrorKind::StorageFull`] where there is no room. Does not sync.
    fn prepare(&self, length: u64, how: Preparation) -> io::Result<()>;

    /// Fills `into` from `offset` on with a positioned read; a short file is
    /// [`io::ErrorKind::UnexpectedEof`]. A bad sector answers with an error, never with a signal.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset` with positioned writes. For recovery, before a region is
    /// mapped over the place: what a region has handed out never changes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Stores `length` bytes from `offset` on once more, as they stand there, so that the next sync
    /// takes them to the device even if the page cache holds them for clean. For recovery, under
    /// the directory's lock. Readers of a region see no change.
    fn store_again(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Makes the file's data durable (fdatasync). A failure is final: the caller must not retry.
    fn sync(&self) -> io::Result<()>;

    /// Maps the whole file, its bytes below `written` being final.
    /// With [`Access::Write`] the answer's second half appends behind them.
    fn map(&self, written: u64, access: Access) -> io::Result<(Arc<Region>, Option<RegionWriter>)>;

    /// Takes the bytes of a region, which this file has mapped for reading, for final up to
    /// `written`: see [`Region::raise`].
    fn raise(&self, region: &Region, written: u64) -> io::Result<()>;

    /// Appends `parts`, one behind the other, where `to` (which this file has mapped) ends.
    /// A mapped store cannot fail; a positioned one can, and then some of the bytes may be there.
    fn append(&self, to: &mut RegionWriter, parts: &[&[u8]], mode: StoreMode) -> io::Result<()>;
}

/// The exclusive lock of a directory; released on drop.
pub(crate) trait DirectoryLock: Debug + Send + Sync {}

/// Why a directory's lock was not had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process, or another handle in this one, has it.
    Held {
        /// The holder's process id, where it could be read.
        pid: Option<u32>,
    },
    /// The lock file could not be made or locked.
    Io(io::Error),
}

/// One entry of a directory; public as part of the simulated disk.
#[cfg_attr(not(feature = "sim"), allow(unreachable_pub))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The plain file name; entries whose name is not UTF-8 are given in lossy form.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
}

/// What a file is opened or mapped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// How a frame's bytes get into the active segment.
///
/// A copy costs no system call, but a page fault for each page that is stored to for the first time
/// since it was last written to the device; a write costs one system call. So frames of less than a
/// page are copied, and longer ones written: `quipu-bench`'s `frame_sizes` measures where the two
/// cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreMode {
    /// A copy into the mapped segment, whatever the frame's size.
    Mapped,
    /// A gathered positioned write (`pwritev`); the mapping is for reading only. For
    /// copy-on-write file systems, where a store into a mapping can run out of space and die.
    Positioned,
    /// [`StoreMode::Mapped`] for short frames, [`StoreMode::Positioned`] for the others. The
    /// default, with one page (4,096 bytes) as the bound.
    BySize {
        /// Frames of so many bytes and more are written.
        positioned_from: u32,
    },
}

impl StoreMode {
    /// Whether `bytes` are written, and not copied.
    pub(crate) fn is_positioned(self, bytes: u64) -> bool {
        match self {
            Self::Mapped => false,
            Self::Positioned => true,
            Self::BySize { positioned_from } => bytes >= u64::from(positioned_from),
        }
    }
}

impl Default for StoreMode {
    fn default() -> Self {
        Self::BySize { positioned_from: 4096 }
    }
}

/// How a new segment gets its blocks, so that no later store needs space.
///
/// Both ways leave small pages in the page cache. Filling with large buffered writes does not: one
/// 512-byte store then dirties a whole large folio, which was measured at 2,048 times the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Preparation {
    /// `fallocate`, then touch every page for writing (`MADV_POPULATE_WRITE`), then sync. The
    /// default.
    #[default]
    Populate,
    /// Zeros written past the page cache (`O_DIRECT`), then every page read in
    /// (`MADV_POPULATE_READ`). Falls back to small buffered writes where the file system has no
    /// `O_DIRECT`.
    DirectZeros,
}
