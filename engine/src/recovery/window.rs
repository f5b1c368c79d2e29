//! A file read piece by piece.
//!
//! Owns: [`Window`]. May call: storage. What it holds in memory is bounded by the pieces asked for,
//! not by what a file says of itself.

use std::io;

use quipu_format::{ByteOffset, FrameHeader, Salt, layout};

use crate::storage::File;

/// Read at once by recovery.
const WINDOW_BYTES: u64 = 1 << 20;

/// The part of a file that was read last.
pub(crate) struct Window<'a> {
    file: &'a dyn File,
    length: u64,
    /// Read at once, if no more is asked for.
    piece_bytes: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn File, length: u64) -> Self {
        Self::of_pieces(file, length, WINDOW_BYTES)
    }

    /// One that reads `piece_bytes` at once, if no more is asked for.
    pub(crate) fn of_pieces(file: &'a dyn File, length: u64, piece_bytes: u64) -> Self {
        Self { file, length, piece_bytes, start: 0, buffer: Vec::new() }
    }

    /// The bytes of a segment from `offset` on: the whole frame there, if its header verifies.
    pub(crate) fn frame_at(&mut self, salt: Salt, offset: ByteOffset) -> io::Result<&[u8]> {
        let at = offset.as_u64();
        let head = self.at(at, layout::header::BYTES as u64)?;
        let wanted = match FrameHeader::decode(head, salt, offset) {
            Ok(Some(header)) => u64::from(header.frame_bytes),
            Ok(None) | Err(_) => layout::header::BYTES as u64,
        };
        self.at(at, wanted)
    }

    /// The bytes from `offset` on: at least `wanted` of them, or all that the file has.
    pub(super) fn at(&mut self, offset: u64, wanted: u64) -> io::Result<&[u8]> {
        let available = self.length.saturating_sub(offset);
        let needed = wanted.min(available);
        let end = self.start + self.buffer.len() as u64;
        if offset < self.start || offset.saturating_add(needed) > end {
            let length = needed.max(self.piece_bytes.min(available));
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
