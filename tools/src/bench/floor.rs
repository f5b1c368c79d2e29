//! The same bytes with the same promise and nothing else.
//!
//! Owns: [`Floor`]. Calls the system alone.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;

use super::Workload;
use super::timing::{Slice, Timings};

/// The file's length; written again from the start when it is full. Filled with zeros beforehand,
/// in pieces that leave no large pages behind, as a segment is.
const FILE_BYTES: u64 = 64 << 20;
const FILL_BYTES: usize = 16 << 10;

/// A file to write to, and where.
#[derive(Debug)]
pub(super) struct Floor {
    file: File,
    at: u64,
}

impl Floor {
    /// Makes the file and fills it.
    pub(super) fn new(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("floor");
        let cannot = || format!("cannot write {}", path.display());
        let mut file = File::create(&path).with_context(cannot)?;
        let zeros = vec![0; FILL_BYTES];
        for _ in 0..FILE_BYTES / FILL_BYTES as u64 {
            file.write_all(&zeros).with_context(cannot)?;
        }
        file.sync_all().with_context(cannot)?;
        Ok(Self { file, at: 0 })
    }

    /// Writes what the workload would, a whole group of threads at once: the ideal group commit.
    pub(super) fn measure(
        &mut self,
        workload: Workload,
        payload: &[u8],
        slice: Slice<'_>,
    ) -> anyhow::Result<Timings> {
        let bytes = payload.repeat(workload.events as usize * workload.threads as usize);
        let length = bytes.len() as u64;
        let timings = slice.repeat(|| {
            if self.at + length > FILE_BYTES {
                self.at = 0;
            }
            self.file.write_all_at(&bytes, self.at)?;
            self.at += length;
            if workload.is_durable {
                self.file.sync_data()?;
            }
            Ok(())
        })?;
        // What comes next finds a quiet device.
        self.file.sync_data()?;
        Ok(timings)
    }
}
