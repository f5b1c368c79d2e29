//! How a new segment comes about.
//!
//! Owns: [`Preparer`], which makes files ready to become segments. May call: storage.
//!
//! The order of effects, so that a crash between any two leaves nothing but a leftover:
//! 1. create under a temporary name: whatever is in it is ignored and removed on open;
//! 2. give it blocks, all zero: no later store needs room;
//! 3. sync it: before the name says that it is whole, it is;
//! 4. rename it, then sync the directory: before the first batch in it is acknowledged, its name
//!    is durable. (`fallocate` hides a missing directory sync on ext4; other ways do not.)
//! 5. map it: touched pages are the preparing thread's cost, not the writer's.

use std::io;
use std::sync::Arc;

use quipu_format::SegmentSeq;

use super::name::{prepared_name, segment_name};
use crate::storage::raw::{Region, RegionWriter};
use crate::storage::{Access, Directory, File, IoError, Preparation};

/// A file that is ready to become a segment: all zero, durable, mapped.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) sequence: SegmentSeq,
    pub(crate) file: Arc<dyn File>,
    pub(crate) region: Arc<Region>,
    pub(crate) writer: RegionWriter,
}

/// Makes files ready to become segments, one sequence number after the other.
#[derive(Debug)]
pub(crate) struct Preparer {
    directory: Arc<dyn Directory>,
    segment_bytes: u64,
    how: Preparation,
    next: SegmentSeq,
    /// Ready since before the log was opened: zeroed and durable, but not mapped.
    left_over: std::collections::VecDeque<SegmentSeq>,
}

impl Preparer {
    /// `left_over` are the unused segments that recovery has found and checked, in order;
    /// `next` is the first sequence number that no file has.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        segment_bytes: u64,
        how: Preparation,
        left_over: Vec<SegmentSeq>,
        next: SegmentSeq,
    ) -> Self {
        Self { directory, segment_bytes, how, next, left_over: left_over.into() }
    }

    /// Where the files are.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Makes the next one ready. After an error it can be tried again.
    pub(crate) fn prepare(&mut self) -> Result<Prepared, IoError> {
        if let Some(sequence) = self.left_over.front().copied() {
            let name = segment_name(sequence);
            let opened = self.directory.open(&name, Access::Write);
            let file = opened.map_err(|error| self.error("open", &name, error))?;
            let prepared = self.map(sequence, file, &name)?;
            self.left_over.pop_front();
            return Ok(prepared);
        }
        let sequence = self.next;
        let (temporary, name) = (prepared_name(sequence), segment_name(sequence));
        let file = self.make(&temporary, &name).inspect_err(|_| {
            // The failure is what counts; a leftover that stays is removed on open.
            let _ = self.directory.remove(&temporary);
        })?;
        self.next = sequence.plus(1);
        self.map(sequence, file, &name).inspect_err(|_| {
            // Whole and named, but not mapped: the next attempt maps it.
            self.left_over.push_back(sequence);
        })
    }

    fn make(&self, temporary: &str, name: &str) -> Result<Arc<dyn File>, IoError> {
        let file = match self.directory.create(temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by an attempt that failed and could not clean up.
                self.directory
                    .remove(temporary)
                    .and_then(|()| self.directory.create(temporary))
                    .map_err(|error| self.error("create", temporary, error))?
            }
            created => created.map_err(|error| self.error("create", temporary, error))?,
        };
        file.prepare(self.segment_bytes, self.how)
            .map_err(|error| self.error("allocate", temporary, error))?;
        file.sync().map_err(|error| self.error("sync", temporary, error))?;
        let _names = self.directory.naming().lock();
        self.directory
            .rename(temporary, name)
            .map_err(|error| self.error("rename", temporary, error))?;
        // After a failure it has the name, but perhaps not for good; the next attempt replaces it.
        // It is not removed: recovery tells by the name that nothing is missing.
        self.directory.sync().map_err(|error| self.error("sync the directory of", name, error))?;
        Ok(file)
    }

    fn map(
        &self,
        sequence: SegmentSeq,
        file: Arc<dyn File>,
        name: &str,
    ) -> Result<Prepared, IoError> {
        let mapped = file.map(0, Access::Write).map_err(|error| self.error("map", name, error))?;
        let (region, Some(writer)) = mapped else {
            let error = io::Error::other("mapped for writing, but there is no writer");
            return Err(self.error("map", name, error));
        };
        Ok(Prepared { sequence, file, region, writer })
    }

    fn error(&self, operation: &'static str, name: &str, error: io::Error) -> IoError {
        IoError::new(operation, format!("{}/{name}", self.directory.name()), error)
    }
}
