//! One real file: positioned reads and writes, syncs, mappings, appends.

use std::fs::{self, File as FsFile};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::raw::{self, Marks, Region, RegionWriter};
use super::super::{Access, File, Preparation, StoreMode};
use super::prepare;
use crate::sync::Mutex;

/// An open file of an [`super::OsDirectory`].
#[derive(Debug)]
pub(crate) struct OsFile {
    file: FsFile,
    /// Where it was when it was opened; a rename since does not matter to what is open.
    path: PathBuf,
    /// What every mapping of the file, through whichever handle, has promised.
    marks: Arc<Marks>,
    /// Whether a sync has failed; held while one is under way.
    sync_failed: Mutex<bool>,
}

impl OsFile {
    pub(super) fn new(file: FsFile, path: PathBuf) -> io::Result<Self> {
        if !file.metadata()?.is_file() {
            return Err(invalid("it is not a regular file"));
        }
        let marks = Marks::of(&file)?;
        Ok(Self { file, path, marks, sync_failed: Mutex::new(false) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is what `path` leads to now.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (own, found) = (self.file.metadata()?, fs::symlink_metadata(path)?);
        Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
    }

    /// A store into a hole of a full disk is answered with SIGBUS. A segment has its blocks since
    /// it was prepared, but a copy of it (`cp` makes holes of zeros) may not.
    fn fill_holes(&self) -> io::Result<()> {
        let about = self.file.metadata()?;
        if about.blocks().saturating_mul(BLOCK_BYTES) >= about.len() {
            return Ok(());
        }
        match raw::allocate(&self.file, about.len()) {
            // Such a file system packs or copies what it stores, and wants `Positioned`.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            answer => answer,
        }
    }
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn names(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.nlink())
    }

    fn prepare(&self, length: u64, how: Preparation) -> io::Result<()> {
        // Under the marks' lock: nobody maps the file and promises bytes that are being zeroed.
        self.marks.store_above(0, || {
            if self.file.metadata()?.len() != 0 {
                return Err(invalid("only an empty file can be prepared"));
            }
            prepare::fill(&self.file, &self.path, length, how)
        })
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.marks.store_above(offset, || self.file.write_all_at(bytes, offset))
    }

    fn store_again(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.saturating_add(length);
        let mut piece = vec![0; usize::try_from(length.min(PIECE_BYTES)).unwrap_or(0)];
        let mut at = offset;
        while at < end {
            let wanted = usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or(0);
            let Some(bytes) = piece.get_mut(..wanted) else { break };
            self.file.read_exact_at(bytes, at)?;
            self.file.write_all_at(bytes, at)?;
            at += wanted as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // The kernel tells of a failure once and takes the pages for clean: of two threads that
        // sync one file, the second would be told of success. So they take turns, and a file whose
        // sync has failed stays so.
        let mut failed = self.sync_failed.lock();
        if *failed {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        raw::sync_data(&self.file).inspect_err(|_| *failed = true)
    }

    fn map(&self, written: u64, access: Access) -> io::Result<(Arc<Region>, Option<RegionWriter>)> {
        if access == Access::Write {
            self.fill_holes()?;
        }
        let (region, writer) = Region::map_file(&self.file, written, access)?;
        if writer.is_some() {
            // So that the writer thread takes no page faults. Where the kernel is too old, or a
            // page cannot be read, the mapping is as good, only slower: recovery has read with
            // positioned reads what it trusts.
            let _ = region.populate();
        }
        Ok((region, writer))
    }

    fn raise(&self, region: &Region, written: u64) -> io::Result<()> {
        region.raise(written);
        Ok(())
    }

    fn append(&self, to: &mut RegionWriter, parts: &[&[u8]], mode: StoreMode) -> io::Result<()> {
        if !to.is_over(&self.marks) {
            return Err(invalid("the region is a mapping of another file"));
        }
        let length = to.fitting(parts)?;
        if !mode.is_positioned(length) {
            return Ok(to.copy(parts)?);
        }
        raw::write_vectored_at(&self.file, to.written(), parts)?;
        Ok(to.advance(length)?)
    }
}

/// Stored again at a time. Small: large writes make large folios of the page cache, and later small
/// stores then dirty all of one.
const PIECE_BYTES: u64 = 16 << 10;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
