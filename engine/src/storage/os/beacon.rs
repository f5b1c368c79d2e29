//! The page of the live writer, as a real file.
//!
//! Owns: [`OsBeacon`], [`open_to_read`], [`read`], [`boot`]. May call: `std`, and [`super::raw`] for what
//! needs unsafe code. A file of that name that is none of ours is an error, never waited for.

use std::fs::{self, File as FsFile, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::super::StoreMode;
use super::super::beacon::{BeaconPage, Words};
use super::raw::{self, WordPage};

/// The name of the page's file.
pub(super) const NAME: &str = "SYNCED";

/// The writer's page.
#[derive(Debug)]
pub(super) struct OsBeacon {
    file: FsFile,
    /// `None`: words are written with system calls, as frames are.
    page: Option<WordPage>,
}

impl OsBeacon {
    pub(super) fn open(path: &Path, mode: StoreMode) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // A pipe of this name must not make the open wait for its other end.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(path)?;
        check_regular(&file)?;
        let page = match mode.is_positioned(size_of::<Words>() as u64) {
            false => {
                raw::allocate(&file, WordPage::BYTES as u64)?;
                Some(WordPage::map(&file)?)
            }
            true => None,
        };
        Ok(Self { file, page })
    }
}

impl BeaconPage for OsBeacon {
    fn store(&self, at: usize, words: &[u64]) -> io::Result<()> {
        match &self.page {
            Some(page) => {
                words.iter().zip(at..).for_each(|(word, at)| page.store(at, *word));
                Ok(())
            }
            None => {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                self.file.write_all_at(&bytes, (at * size_of::<u64>()) as u64)
            }
        }
    }
}

/// Opens the page for reading. `None`: there is none.
pub(super) fn open_to_read(path: &Path) -> io::Result<Option<FsFile>> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => check_regular(&file).map(|()| Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file still has its name.
pub(super) fn is_named(file: &FsFile) -> bool {
    file.metadata().is_ok_and(|about| about.nlink() > 0)
}

/// Reads the words. `None`: the file is too short for them.
pub(super) fn read(file: &FsFile) -> io::Result<Option<Words>> {
    let mut bytes = [0; size_of::<Words>()];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut words = Words::default();
    let (stored, _) = bytes.as_chunks();
    words.iter_mut().zip(stored).for_each(|(word, stored)| *word = u64::from_le_bytes(*stored));
    Ok(Some(words))
}

/// The system's own name for its boot.
pub(super) fn boot() -> io::Result<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits = text.trim_ascii().replace('-', "");
    u128::from_str_radix(&digits, 16).map_err(io::Error::other)
}

fn check_regular(file: &FsFile) -> io::Result<()> {
    match file.metadata()?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}
