//! A file read piece by piece.
//!
//! Owns: [`Window`]. May call: storage. What it holds in memory is bounded by the pieces asked for,
//! not by what a file says of itself.

use std::io;

use crate::storage::File;

/// Read at once, if no more is asked for.
const WINDOW_BYTES: u64 = 1 << 20;

/// The part of a file that was read last.
pub(super) struct Window<'a> {
    file: &'a dyn File,
    length: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn File, length: u64) -> Self {
        Self { file, length, start: 0, buffer: Vec::new() }
    }

    /// The bytes from `offset` on: at least `wanted` of them, or all that the file has.
    pub(super) fn at(&mut self, offset: u64, wanted: u64) -> io::Result<&[u8]> {
        let available = self.length.saturating_sub(offset);
        let needed = wanted.min(available);
        let end = self.start + self.buffer.len() as u64;
        if offset < self.start || offset.saturating_add(needed) > end {
            let length = needed.max(WINDOW_BYTES.min(available));
            // A longer piece is as long as a frame whose header verifies, within the file.
            self.buffer.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            self.start = offset;
            if let Err(error) = self.file.read_at(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(error);
            }
        }
        let skip = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(skip..).unwrap_or(&[]))
    }
}
