//! Memory that grows without moving what is in it.
//!
//! Owns: [`Chunks`], a vector, and [`Names`], in which names stand one behind the other. Calls
//! nothing. Neither ever holds more room than one chunk beyond what is in it, and none is copied to
//! grow: the writer never waits for a million entries to move.

/// Entries of a chunk.
const CHUNK_ENTRIES: usize = 1024;

/// A vector in chunks.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ENTRIES;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK_ENTRIES)?.get(index % CHUNK_ENTRIES)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut(index / CHUNK_ENTRIES)?.get_mut(index % CHUNK_ENTRIES)
    }

    pub(crate) fn push(&mut self, entry: T) {
        match self.chunks.last_mut().filter(|last| last.len() < CHUNK_ENTRIES) {
            Some(last) => last.push(entry),
            None => {
                // The first chunk grows: most logs of tests are small.
                let room = if self.chunks.is_empty() { 4 } else { CHUNK_ENTRIES };
                let mut chunk = Vec::with_capacity(room);
                chunk.push(entry);
                self.chunks.push(chunk);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

/// Where a name stands: the chunk, the offset in it, the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameAt(u64);

/// Bytes of a chunk of names.
const CHUNK_BYTES: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 16;
/// A name has 1,024 bytes at most.
const LENGTH_BITS: u32 = 11;

/// Names, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Names {
    chunks: Vec<Vec<u8>>,
}

impl Names {
    /// Keeps a name of up to 1,024 bytes.
    pub(crate) fn add(&mut self, name: &str) -> NameAt {
        let fits = |chunk: &&mut Vec<u8>| CHUNK_BYTES - chunk.len() >= name.len();
        if self.chunks.last_mut().filter(fits).is_none() {
            let room = if self.chunks.is_empty() { 0 } else { CHUNK_BYTES };
            self.chunks.push(Vec::with_capacity(room));
        }
        let number = self.chunks.len() as u64 - 1;
        let offset = self.chunks.last().map_or(0, Vec::len) as u64;
        debug_assert!(name.len() < 1 << LENGTH_BITS && offset < CHUNK_BYTES as u64);
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.extend_from_slice(name.as_bytes());
        }
        NameAt((number << OFFSET_BITS | offset) << LENGTH_BITS | name.len() as u64)
    }

    /// The bytes of a name.
    pub(crate) fn get(&self, at: NameAt) -> &[u8] {
        let length = (at.0 & ((1 << LENGTH_BITS) - 1)) as usize;
        let place = at.0 >> LENGTH_BITS;
        let offset = (place & (CHUNK_BYTES as u64 - 1)) as usize;
        let chunk = self.chunks.get((place >> OFFSET_BITS) as usize);
        chunk.and_then(|chunk| chunk.get(offset..offset + length)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_come_back() {
        let mut names = Names::default();
        let name = |length: usize| "n".repeat(length - 1) + &(length % 10).to_string();
        let lengths = || (1..=1024).chain([1024; 200]).chain(1..100);
        let places: Vec<NameAt> = lengths().map(|length| names.add(&name(length))).collect();
        for (length, at) in lengths().zip(places) {
            assert_eq!(names.get(at), name(length).as_bytes());
        }
        assert!(names.chunks.len() > 3);
        assert!(names.chunks.iter().skip(1).all(|chunk| chunk.capacity() == CHUNK_BYTES));
    }

    #[test]
    fn entries_of_a_vector_in_chunks_come_back() {
        let mut chunks = Chunks::default();
        for entry in 0..5_000 {
            assert_eq!(chunks.len(), entry);
            chunks.push(entry);
        }
        assert!((0..5_000).all(|entry| chunks.get(entry) == Some(&entry)));
        assert_eq!(chunks.get(5_000), None);
        *chunks.get_mut(1_024).unwrap() = 7;
        assert_eq!(chunks.iter().filter(|entry| **entry == 7).count(), 2);
    }
}
