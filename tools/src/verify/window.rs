//! A file read piece by piece.
//!
//! Owns: [`Window`], and [`ReadAt`], through which it reads. Positioned reads only: a bad sector is
//! an error, where a mapping would end the process by a signal. What it holds in memory is bounded
//! by the pieces asked for, which are whole frames whose headers verify.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Read at once, if no more is asked for: so little that it is still in the processor's cache when
/// it is summed.
const WINDOW_BYTES: u64 = 256 << 10;

/// What pieces are read from: a file, or something in front of one.
pub(crate) trait ReadAt: Debug {
    /// Reads into the front of `into` what stands at `offset`; how much that was. 0: the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
}

/// The part of a file that was read last.
#[derive(Debug)]
pub(crate) struct Window {
    file: Box<dyn ReadAt>,
    length: u64,
    start: u64,
    buffer: Vec<u8>,
    /// Whether it has been read from: of many files no more is wanted than the header.
    begun: bool,
}

impl Window {
    /// Reads the first `length` bytes of `file`.
    pub(super) fn new(file: Box<dyn ReadAt>, length: u64) -> Self {
        Self { file, length, start: 0, buffer: Vec::new(), begun: false }
    }

    /// The bytes from `offset` on: at least `wanted` of them, or all that there are.
    pub(crate) fn at(&mut self, offset: u64, wanted: u64) -> io::Result<&[u8]> {
        let available = self.length.saturating_sub(offset);
        let needed = wanted.min(available);
        let end = self.start + self.buffer.len() as u64;
        if offset < self.start || offset.saturating_add(needed) > end {
            let more = if self.begun { WINDOW_BYTES.min(available) } else { 0 };
            self.begun = true;
            self.fill(offset, needed.max(more))?;
        }
        let skip = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(skip..).unwrap_or(&[]))
    }

    /// Drops what was read: the next look goes to the file.
    pub(super) fn forget(&mut self) {
        self.buffer.clear();
    }

    fn fill(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        self.start = offset;
        let mut filled = 0;
        while let Some(rest) = self.buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pieces_of_any_size_are_those_of_the_file() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mut window = Window::new(Box::new(file), bytes.len() as u64);
        for (offset, wanted) in [
            (0, 10),
            (1_048_570, 10),
            (1_048_570, 2_000_000),
            (5, 5),
            (2_999_999, 8),
            (9_000_000, 1),
        ] {
            let rest = bytes.get(offset as usize..).unwrap_or(&[]);
            let found = window.at(offset, wanted).unwrap();
            assert!(found.len() as u64 >= wanted.min(rest.len() as u64), "{offset}");
            assert_eq!(found, &rest[..found.len()], "{offset}");
        }
    }
}
