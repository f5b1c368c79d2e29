//! The in-memory index: which streams there are, and where their events stand.
//!
//! Owns: [`StreamIndex`]. May call: the number types of the format. Rebuilt on open.
//!
//! Invariants:
//! - One writer pushes events in the order of their positions, right after it has stored them and
//!   before they are published; a reader bounds what it takes by the end it has seen published, so
//!   that it never meets an event that is stored and not yet visible.
//! - Hashes are made by the caller with a keyed hash (SipHash, seeded per log), so that names
//!   cannot be chosen to collide. Names are compared in full all the same.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use quipu_format::{Position, Version};

use crate::append::expected::StreamHead;
use crate::sync::{RwLock, RwLockReadGuard};

/// All streams, shared between the writer and the readers.
#[derive(Debug, Default)]
pub(crate) struct StreamIndex {
    hasher: RandomState,
    streams: RwLock<Streams>,
}

impl StreamIndex {
    /// The hash that a stream of this name has in this index.
    pub(crate) fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// The hasher, for whoever hashes many names.
    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// A look at the streams. Held for moments only: the writer waits meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Streams> {
        self.streams.read()
    }

    /// Changes the streams. By the one writer, and by recovery before there is one.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Streams) -> T) -> T {
        change(&mut self.streams.write())
    }

    /// The last event of a stream below `end`.
    pub(crate) fn head_below(&self, name: &str, end: Position) -> Option<StreamHead> {
        let hash = self.hash(name);
        let streams = self.read();
        let number = streams.find(hash, name)?;
        streams.head_below(number, end)
    }
}

/// A stream's number in the index. Never changes while the log is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamNumber(u32);

/// The streams, by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    by_name: HashTable<StreamNumber>,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    hash: u64,
    name: Box<str>,
    /// The positions of its events: the one of version v at index v.
    positions: Vec<Position>,
}

impl Streams {
    /// Number of streams.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// The number of the stream with this name and hash.
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<StreamNumber> {
        let same = |number: &StreamNumber| {
            self.stream(*number).is_some_and(|stream| stream.hash == hash && *stream.name == *name)
        };
        self.by_name.find(hash, same).copied()
    }

    /// The number of the stream with this name and hash, which is added if it is new.
    pub(crate) fn find_or_add(&mut self, hash: u64, name: &str) -> StreamNumber {
        if let Some(number) = self.find(hash, name) {
            return number;
        }
        let number = StreamNumber(u32::try_from(self.streams.len()).expect(
            "four thousand million names and their entries do not fit into the memory of a machine",
        ));
        self.streams.push(Stream { hash, name: name.into(), positions: Vec::new() });
        let Self { by_name, streams } = self;
        by_name.insert_unique(hash, number, |number| {
            streams.get(number.0 as usize).map_or(0, |stream| stream.hash)
        });
        number
    }

    /// The version that the stream's next event gets.
    pub(crate) fn next_version(&self, number: StreamNumber) -> Version {
        Version::new(self.positions(number).len() as u64)
    }

    /// Notes the stream's next event.
    pub(crate) fn push(&mut self, number: StreamNumber, position: Position) {
        if let Some(stream) = self.streams.get_mut(number.0 as usize) {
            debug_assert!(stream.positions.last().is_none_or(|last| *last < position));
            stream.positions.push(position);
        }
    }

    /// The stream's last event, published or not.
    pub(crate) fn head(&self, number: StreamNumber) -> Option<StreamHead> {
        let positions = self.positions(number);
        let version = Version::new(positions.len() as u64).before()?;
        Some(StreamHead { version, position: *positions.last()? })
    }

    /// The stream's last event below `end`.
    pub(crate) fn head_below(&self, number: StreamNumber, end: Position) -> Option<StreamHead> {
        let version = Version::new(self.count_below(number, end)).before()?;
        let position = self.position(number, version)?;
        Some(StreamHead { version, position })
    }

    /// How many events the stream has below `end`.
    pub(crate) fn count_below(&self, number: StreamNumber, end: Position) -> u64 {
        let positions = self.positions(number);
        // Nearly always the last one is below: readers ask for the end of the log.
        match positions.last() {
            Some(last) if *last >= end => positions.partition_point(|at| *at < end) as u64,
            _ => positions.len() as u64,
        }
    }

    /// The position of the stream's event with this version.
    pub(crate) fn position(&self, number: StreamNumber, version: Version) -> Option<Position> {
        self.positions(number).get(usize::try_from(version.as_u64()).ok()?).copied()
    }

    /// The version of the stream's event at this position.
    pub(crate) fn version_at(&self, number: StreamNumber, position: Position) -> Option<Version> {
        let found = self.positions(number).binary_search(&position).ok()?;
        Some(Version::new(found as u64))
    }

    fn stream(&self, number: StreamNumber) -> Option<&Stream> {
        self.streams.get(number.0 as usize)
    }

    fn positions(&self, number: StreamNumber) -> &[Position] {
        self.stream(number).map_or(&[], |stream| &stream.positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_with(events: &[&str]) -> StreamIndex {
        let index = StreamIndex::default();
        index.update(|streams| {
            for (at, name) in events.iter().enumerate() {
                let number = streams.find_or_add(index.hash(name), name);
                streams.push(number, Position::new(at as u64));
            }
        });
        index
    }

    #[test]
    fn a_reader_sees_a_stream_as_it_was_at_its_end() {
        let index = index_with(&["a", "b", "a", "a"]);
        let head = |name, end| {
            let head = index.head_below(name, Position::new(end))?;
            Some((head.version.as_u64(), head.position.as_u64()))
        };
        assert_eq!(head("a", 0), None);
        assert_eq!(head("a", 1), Some((0, 0)));
        assert_eq!(head("a", 2), Some((0, 0)));
        assert_eq!(head("a", 3), Some((1, 2)));
        assert_eq!(head("a", 9), Some((2, 3)));
        assert_eq!(head("b", 1), None);
        assert_eq!(head("c", 9), None);
    }

    #[test]
    fn two_names_with_one_hash_are_two_streams() {
        let index = StreamIndex::default();
        index.update(|streams| {
            let first = streams.find_or_add(7, "first");
            let second = streams.find_or_add(7, "second");
            assert_ne!(first, second);
            streams.push(first, Position::ZERO);
            assert_eq!(streams.find(7, "first"), Some(first));
            assert_eq!(streams.find(7, "second"), Some(second));
            assert_eq!(streams.find(7, "third"), None);
            assert_eq!(streams.head(second), None);
        });
    }

    #[test]
    fn versions_and_positions_are_found_from_one_another() {
        let index = index_with(&["a", "b", "a"]);
        let streams = index.read();
        let a = streams.find(index.hash("a"), "a").unwrap();
        assert_eq!(streams.position(a, Version::new(1)), Some(Position::new(2)));
        assert_eq!(streams.version_at(a, Position::new(2)), Some(Version::new(1)));
        assert_eq!(streams.version_at(a, Position::new(1)), None);
        assert_eq!(streams.position(a, Version::new(2)), None);
        assert_eq!(streams.next_version(a), Version::new(2));
    }
}
