//! The streams, by number and by name.
//!
//! Owns: [`Streams`], [`StreamNumber`]. May call: arena, tail, the number types of the format.
//!
//! A stream takes 40 bytes, its place in the table by name 5.7 to 11.4 more, and its name stands
//! apart, once.

use hashbrown::HashTable;
use quipu_format::sidecar::{NameHash, SidecarError, StreamCheckpoint};
use quipu_format::{Position, SegmentSeq, Version};
use smallvec::SmallVec;

use super::arena::{Chunks, NameAt, Names};
use super::tail::{List, Tail, Tails};
use crate::append::expected::StreamHead;

/// A stream's number in the index. Never changes while the log is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamNumber(u32);

/// The streams, by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    by_name: HashTable<StreamNumber>,
    streams: Chunks<Stream>,
    names: Names,
    tails: Tails,
}

#[derive(Debug)]
struct Stream {
    hash: u64,
    name: NameAt,
    /// The number of its events.
    next_version: u64,
    /// The position of the last; of none, if there is none.
    last: Position,
    /// The place of the list that holds the last, if its segment has a tail.
    list: u32,
}

const _: () = assert!(size_of::<Stream>() == 40);

/// The least that a stream takes in a file: its hash, and a byte for the length of its name, the name, its
/// version and its last position.
const RECORD_BYTES_MIN: u64 = 12;

/// Where the last event of a stream below some position is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Below {
    /// The stream has none.
    None,
    /// Here.
    Head(StreamHead),
    /// This one is not below; the index of its segment knows more.
    Behind(StreamHead),
}

impl Streams {
    /// Number of streams.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Makes room for so many streams more, so that the table by name does not grow meanwhile.
    pub(crate) fn reserve(&mut self, more: usize) {
        let Self { by_name, streams, .. } = self;
        by_name.reserve(more, |number| bucket_of(streams, *number));
    }

    /// The number of the stream with this name and hash.
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<StreamNumber> {
        let same = |number: &StreamNumber| {
            self.stream(*number).is_some_and(|stream| {
                stream.hash == hash && self.names.get(stream.name) == name.as_bytes()
            })
        };
        self.by_name.find(bucket(hash), same).copied()
    }

    /// How many are touched at once.
    pub(crate) const TOUCHED_MAX: usize = 16;

    /// Asks for the memory in which streams with these hashes are found, before they are looked for.
    ///
    /// Each look waits for the table, then for the stream, then for its name. Here all wait for the
    /// first together, then for the second, then for the third.
    pub(crate) fn touch(&self, hashes: impl Iterator<Item = u64>) {
        // By the few bits that the table itself has of a hash: nearly always the right one.
        let found = hashes.filter_map(|hash| self.by_name.find(bucket(hash), |_| true));
        let likely: SmallVec<[StreamNumber; Self::TOUCHED_MAX]> = found.copied().collect();
        let names = likely.iter().filter_map(|number| Some(self.stream(*number)?.name));
        let names: SmallVec<[NameAt; Self::TOUCHED_MAX]> = names.collect();
        for name in names {
            std::hint::black_box(self.names.get(name).first().copied());
        }
    }

    /// The number of the stream with this name and hash, which is added if it is new.
    pub(crate) fn find_or_add(&mut self, hash: u64, name: &str) -> StreamNumber {
        self.find(hash, name).unwrap_or_else(|| self.add(hash, name))
    }

    /// Adds a stream, which is known to be new.
    pub(crate) fn add(&mut self, hash: u64, name: &str) -> StreamNumber {
        let number = StreamNumber(u32::try_from(self.streams.len()).expect(
            "four thousand million names and their entries do not fit into the memory of a machine",
        ));
        let name = self.names.add(name);
        self.streams.push(Stream { hash, name, next_version: 0, last: Position::ZERO, list: 0 });
        let Self { by_name, streams, .. } = self;
        by_name.insert_unique(bucket(hash), number, |number| bucket_of(streams, *number));
        number
    }

    /// The version that the stream's next event gets.
    pub(crate) fn next_version(&self, number: StreamNumber) -> Version {
        Version::new(self.stream(number).map_or(0, |stream| stream.next_version))
    }

    /// Begins a segment: the events that follow are in it.
    pub(crate) fn begin_segment(&mut self, sequence: SegmentSeq, base: Position) {
        self.tails.begin(sequence, base);
    }

    /// Ends the segment begun last. The next one may have an index of its own, and not be begun here.
    pub(crate) fn end_segment(&mut self, end: Position) {
        self.tails.end(end);
    }

    /// Notes the stream's next event, which is in the segment begun last.
    pub(crate) fn push(&mut self, number: StreamNumber, position: Position) {
        let Self { streams, tails, .. } = self;
        let Some(stream) = streams.get_mut(number.0 as usize) else { return };
        let last = (stream.next_version > 0).then_some((stream.last, stream.list));
        debug_assert!(last.is_none_or(|(last, _)| last < position));
        stream.list = tails.push(position, last, stream.next_version);
        stream.next_version += 1;
        stream.last = position;
    }

    /// Notes a tag of an event, which is in the segment begun last.
    pub(crate) fn push_tag(&mut self, tag: NameHash, position: Position) {
        self.tails.push_tag(tag, position);
    }

    /// Notes how far a stream has come in segments that have an index of their own.
    pub(crate) fn advance(&mut self, number: StreamNumber, head: StreamHead) {
        if let Some(stream) = self.streams.get_mut(number.0 as usize) {
            stream.next_version = head.version.as_u64() + 1;
            stream.last = head.position;
        }
    }

    /// All streams of a file whose checksum has been verified. That each of them is there once, and as
    /// many as it says, is checked on the way.
    pub(crate) fn of_table(table: &StreamCheckpoint<'_>) -> Result<Self, SidecarError> {
        let mut streams = Self::default();
        streams.reserve_for(table);
        for stream in table.streams() {
            let stream = stream?;
            let number = streams.add(stream.hash.as_u64(), stream.name);
            let (version, position) = (stream.version, stream.position);
            streams.advance(number, StreamHead { version, position });
        }
        Ok(streams)
    }

    /// Takes all streams of a file that has been verified, each of which is not further here.
    pub(crate) fn load(&mut self, table: &StreamCheckpoint<'_>) {
        self.reserve_for(table);
        for stream in table.streams().flatten() {
            let number = self.find_or_add(stream.hash.as_u64(), stream.name);
            let (version, position) = (stream.version, stream.position);
            self.advance(number, StreamHead { version, position });
        }
    }

    /// Makes room for the streams of a file: for as many as it says, and as can be in so many bytes.
    fn reserve_for(&mut self, table: &StreamCheckpoint<'_>) {
        let header = table.header();
        let most = header.stream_count.min(header.file_bytes / RECORD_BYTES_MIN);
        self.reserve(usize::try_from(most).unwrap_or(0));
    }

    /// The stream's last event, published or not.
    pub(crate) fn head(&self, number: StreamNumber) -> Option<StreamHead> {
        let stream = self.stream(number)?;
        let version = Version::new(stream.next_version).before()?;
        Some(StreamHead { version, position: stream.last })
    }

    /// The stream's last event below `end`, as far as it is known here.
    pub(crate) fn head_below(&self, number: StreamNumber, end: Position) -> Below {
        let Some(mut head) = self.head(number) else { return Below::None };
        let mut place = self.stream(number).map_or(0, |stream| stream.list);
        loop {
            if head.position < end {
                return Below::Head(head);
            }
            let list = self.tails.holding(head.position).and_then(|tail| tail.list(place));
            let Some(list) = list else { return Below::Behind(head) };
            let below = list.positions.partition_point(|at| *at < end);
            if let Some(position) = below.checked_sub(1).and_then(|last| list.positions.get(last)) {
                let version = Version::new(list.first_version + below as u64 - 1);
                return Below::Head(StreamHead { version, position: *position });
            }
            let Some(previous) = list.previous else { return Below::None };
            let version = Version::new(list.first_version - 1);
            (head, place) = (StreamHead { version, position: previous }, list.older);
        }
    }

    /// The stream's events in a segment that has a tail.
    pub(crate) fn list(&self, number: StreamNumber, sequence: SegmentSeq) -> Option<&List> {
        let stream = self.stream(number)?;
        let (mut position, mut place) = (stream.last, stream.list);
        loop {
            let tail = self.tails.holding(position)?;
            let list = tail.list(place)?;
            if tail.sequence == sequence {
                return Some(list);
            }
            (position, place) = (list.previous?, list.older);
        }
    }

    /// A segment's tail, if it has one.
    pub(crate) fn tail(&self, sequence: SegmentSeq) -> Option<&Tail> {
        self.tails.of(sequence)
    }

    /// Takes a segment's tail away, which has an index of its own by now.
    pub(crate) fn take_tail(&mut self, sequence: SegmentSeq) -> Option<Tail> {
        self.tails.take(sequence)
    }

    fn stream(&self, number: StreamNumber) -> Option<&Stream> {
        self.streams.get(number.0 as usize)
    }
}

/// What the table by name goes by, in the place of a name's hash: its low bits, which choose the place,
/// are the hash's high ones. Files have streams in the order of their hashes; so whoever loads one goes
/// through the table from front to back a few times, and never waits for one line of it after the other.
///
/// Who adds many in that order makes room for all of them first: a table that grows meanwhile would have
/// all of them at its front.
fn bucket(hash: u64) -> u64 {
    hash.rotate_left(24)
}

fn bucket_of(streams: &Chunks<Stream>, number: StreamNumber) -> u64 {
    streams.get(number.0 as usize).map_or(0, |stream| bucket(stream.hash))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;
    use crate::index::StreamIndex;
    use quipu_format::sidecar::{CheckpointBuilder, SealedSegment, StreamState};
    use quipu_format::{ByteOffset, LogId, layout};

    fn index() -> StreamIndex {
        StreamIndex::new(LogId::from_bytes([1; 16]))
    }

    fn index_with(segments: &[&[&str]]) -> StreamIndex {
        let index = index();
        let mut at = 0;
        index.update(|streams| {
            for (sequence, events) in (0..).zip(segments) {
                streams.begin_segment(SegmentSeq::new(sequence), Position::new(at));
                for name in *events {
                    let number = streams.find_or_add(index.hash(name), name);
                    streams.push(number, Position::new(at));
                    at += 1;
                }
            }
        });
        index
    }

    fn below(index: &StreamIndex, name: &str, end: u64) -> Below {
        let streams = index.read();
        let number = streams.find(index.hash(name), name);
        number.map_or(Below::None, |number| streams.head_below(number, Position::new(end)))
    }

    fn head(version: u64, position: u64) -> StreamHead {
        StreamHead { version: Version::new(version), position: Position::new(position) }
    }

    #[test]
    fn a_reader_sees_a_stream_as_it_was_at_its_end() {
        for segments in [
            &[&["a", "b", "a", "a"][..]][..],
            &[&["a", "b"], &["a", "a"]],
            &[&["a"], &[], &["b"], &["a"], &["a"]],
        ] {
            let index = index_with(segments);
            assert_eq!(below(&index, "a", 0), Below::None);
            assert_eq!(below(&index, "a", 1), Below::Head(head(0, 0)));
            assert_eq!(below(&index, "a", 2), Below::Head(head(0, 0)));
            assert_eq!(below(&index, "a", 3), Below::Head(head(1, 2)));
            assert_eq!(below(&index, "a", 9), Below::Head(head(2, 3)));
            assert_eq!(below(&index, "b", 1), Below::None);
            assert_eq!(below(&index, "c", 9), Below::None);
        }
    }

    #[test]
    fn what_a_segment_with_an_index_of_its_own_knows_is_asked_there() {
        let index = index_with(&[&["a", "b"], &["a"], &["b", "a"]]);
        let taken = index.update(|streams| streams.take_tail(SegmentSeq::new(1))).unwrap();
        assert_eq!(taken.ways_back(), [(Position::new(2), Position::new(0))]);
        assert_eq!(below(&index, "a", 5), Below::Head(head(2, 4)));
        assert_eq!(below(&index, "a", 4), Below::Head(head(1, 2)));
        assert_eq!(below(&index, "a", 2), Below::Behind(head(1, 2)));
        assert_eq!(below(&index, "b", 3), Below::Head(head(0, 1)));
        let streams = index.read();
        let number = |name: &str| streams.find(index.hash(name), name).unwrap();
        let list = |name, sequence| {
            let list = streams.list(number(name), SegmentSeq::new(sequence))?;
            Some((list.first_version, list.positions.to_vec()))
        };
        assert_eq!(list("a", 2), Some((2, vec![Position::new(4)])));
        assert_eq!(list("a", 1), None);
        assert_eq!(list("b", 0), Some((0, vec![Position::new(1)])));
    }

    #[test]
    fn two_names_with_one_hash_are_two_streams() {
        let index = index();
        index.update(|streams| {
            streams.begin_segment(SegmentSeq::ZERO, Position::ZERO);
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
    fn a_segment_with_an_index_of_its_own_may_stand_between_two_without() {
        let index = index_with(&[&["b", "a"]]);
        index.update(|streams| {
            streams.end_segment(Position::new(2));
            let a = streams.find(index.hash("a"), "a").unwrap();
            streams.advance(a, head(1, 2)); // segment 1 is passed over
            streams.begin_segment(SegmentSeq::new(2), Position::new(3));
            streams.push(a, Position::new(3));
            assert_eq!(streams.head_below(a, Position::new(2)), Below::Behind(head(1, 2)));
            assert!(streams.list(a, SegmentSeq::ZERO).is_none(), "segment 1 has to be asked first");
        });
    }

    /// A file of so many streams.
    fn table(count: u64) -> Vec<u8> {
        let hasher = index();
        let name = |number: u64| format!("s-{number}");
        let mut names: Vec<_> =
            (0..count).map(|number| (hasher.hash(&name(number)), number)).collect();
        names.sort_unstable();
        let mut builder = CheckpointBuilder::new([]);
        for (hash, number) in names {
            let (hash, version) = (NameHash::new(hash), Version::new(number));
            let position = Position::new(2 * number);
            builder.push(&StreamState { hash, name: &name(number), version, position });
        }
        builder.finish(&SealedSegment {
            log_id: LogId::from_bytes([1; 16]),
            sequence: SegmentSeq::ZERO,
            base_position: Position::ZERO,
            end_position: Position::new(u64::MAX),
            seal_end: ByteOffset::new(8192),
            seal_checksum: 7,
        })
    }

    #[test]
    fn streams_of_a_file_are_found_touched_or_not() {
        let bytes = table(5_000);
        let streams = Streams::of_table(&StreamCheckpoint::decode(&bytes).unwrap()).unwrap();
        assert_eq!(streams.len(), 5_000);
        let index = index();
        let hash = |number: u64| index.hash(&format!("s-{number}"));
        streams.touch((4_990..5_006).map(hash));
        for number in 0..5_000 {
            let found = streams.find(hash(number), &format!("s-{number}")).unwrap();
            assert_eq!(streams.head(found), Some(head(number, 2 * number)));
        }
        assert_eq!(streams.find(hash(5_000), "s-5000"), None);
    }

    #[test]
    fn a_file_that_says_more_streams_than_it_has_room_for_is_wrong_and_takes_no_memory() {
        let mut bytes = table(3);
        let at = layout::checkpoint::STREAM_COUNT;
        bytes[at..at + 8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        let (front, header) = (layout::checkpoint::CHECKSUM, layout::checkpoint::BYTES);
        bytes[front..front + 4].fill(0);
        let checksum = crc32c::crc32c(&bytes[..header]);
        bytes[front..front + 4].copy_from_slice(&checksum.to_le_bytes());
        let table = StreamCheckpoint::decode(&bytes).unwrap();
        assert!(Streams::of_table(&table).is_err());
    }

    #[test]
    fn a_stream_that_was_loaded_goes_on() {
        let index = index();
        index.update(|streams| {
            let number = streams.find_or_add(index.hash("a"), "a");
            streams.advance(number, head(6, 40));
            streams.begin_segment(SegmentSeq::new(3), Position::new(50));
            assert_eq!(streams.next_version(number), Version::new(7));
            streams.push(number, Position::new(51));
            assert_eq!(streams.head_below(number, Position::new(51)), Below::Head(head(6, 40)));
            assert_eq!(streams.head_below(number, Position::new(40)), Below::Behind(head(6, 40)));
            let list = streams.list(number, SegmentSeq::new(3)).unwrap();
            assert_eq!((list.first_version, list.previous), (7, Some(Position::new(40))));
        });
    }
}
