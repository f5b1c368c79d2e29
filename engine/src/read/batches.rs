//! Reading batch by batch: the fastest scan.
//!
//! Owns: [`Batches`]. May call: batch, cursor.

use std::ops::Range;

use quipu_format::Position;

use super::batch::RecordedBatch;
use super::cursor::BatchCursor;
use super::snapshot::Snapshot;
use crate::error::ReadError;

/// The batches that hold positions of a range, whole, forward or backward.
///
/// An iterator; ends after the first error.
#[derive(Debug, Clone)]
#[must_use = "iterators do nothing until they are asked"]
pub struct Batches {
    snapshot: Snapshot,
    range: Range<u64>,
    backward: bool,
    cursor: Option<BatchCursor>,
    /// What was asked for begins in front of this position, the first that is kept.
    truncated: Option<Position>,
}

impl Batches {
    pub(crate) fn new(snapshot: Snapshot, range: Range<u64>) -> Self {
        Self { snapshot, range, backward: false, cursor: None, truncated: None }
    }

    /// From the last batch to the first. To be said before the first batch is taken.
    pub fn backward(mut self) -> Self {
        self.backward = true;
        self
    }
}

impl Iterator for Batches {
    type Item = Result<RecordedBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { snapshot, range, backward, cursor, truncated } = self;
        let cursor = cursor.get_or_insert_with(|| {
            let (range, first) = snapshot.kept(range.clone(), *backward);
            *truncated = first;
            BatchCursor::new(snapshot.clone(), range, *backward)
        });
        let verify = cursor.snapshot().verify;
        let Some(found) = cursor.next() else {
            let first_available = truncated.take()?;
            return Some(Err(ReadError::Truncated { first_available }));
        };
        let opened = found.and_then(|found| RecordedBatch::open(&found, verify));
        if opened.is_err() {
            *truncated = None;
            cursor.stop();
        }
        Some(opened)
    }
}
