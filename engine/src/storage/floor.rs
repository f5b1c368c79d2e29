//! A file stored into as the engine's segments are, and nothing on top.
//!
//! Owns: [`BareFile`], for benchmarks that show beside the engine what the system alone costs. May
//! call: the real directory, file and region. Part of the crate under the feature `floor` only.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::os::OsDirectory;
use super::raw::{Region, RegionWriter};
use super::{Access, Directory, File, Preparation, StoreMode};

/// A prepared, mapped file: stored into from front to end, and then from the front again.
#[derive(Debug)]
pub struct BareFile {
    file: Arc<dyn File>,
    mapped: Option<(Arc<Region>, RegionWriter)>,
}

impl BareFile {
    /// A new file of `length` zero bytes at `path`, prepared in the way that `how` says, and synced.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path, length: u64, how: Preparation) -> io::Result<Self> {
        let (directory, name) = split(path)?;
        let file = directory.create(&name)?;
        file.prepare(length, how)?;
        file.sync()?;
        Self::over(file)
    }

    /// The file at `path` as it is, whoever prepared it and however.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (directory, name) = split(path)?;
        Self::over(directory.open(&name, Access::Write)?)
    }

    /// Stores `bytes` behind what was stored last.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidInput`] if the file is shorter than `bytes`.
    pub fn store(&mut self, bytes: &[u8], mode: StoreMode) -> io::Result<()> {
        let full = |(_, writer): &(Arc<Region>, RegionWriter)| writer.room() < bytes.len() as u64;
        if self.mapped.as_ref().is_none_or(full) {
            self.mapped = None;
            self.mapped = Some(map(&*self.file)?);
        }
        match &mut self.mapped {
            Some((_, writer)) => self.file.append(writer, &[bytes], mode),
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Makes it durable: one fdatasync.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// What has been stored since the front was reached last.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let stored = |(region, _): &(Arc<Region>, RegionWriter)| region.written();
        let written = self.mapped.as_ref().map_or(0, stored);
        self.mapped.as_ref().and_then(|(region, _)| region.bytes(0..written)).unwrap_or(&[])
    }

    fn over(file: Arc<dyn File>) -> io::Result<Self> {
        let mapped = Some(map(&*file)?);
        Ok(Self { file, mapped })
    }
}

fn map(file: &dyn File) -> io::Result<(Arc<Region>, RegionWriter)> {
    match file.map(0, Access::Write)? {
        (region, Some(writer)) => Ok((region, writer)),
        (_, None) => Err(io::Error::other("mapped for writing, but there is no writer")),
    }
}

fn split(path: &Path) -> io::Result<(OsDirectory, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((OsDirectory::open(parent)?, name.to_owned())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}
