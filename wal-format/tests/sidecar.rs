//! Goal: a sidecar answers what a plain walk over the segment answers, made again it is the same
//! byte for byte, and no flipped bit of it passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use std::collections::BTreeMap;

use common::index::{
    base_of_sealed, checkpoint_of_sealed, collect, fix_base, fix_checkpoint, fix_index,
    long_sidecar,
};
use common::{LOG_ID, TestEvent, TestSegment, golden};
use proptest::prelude::*;
use quipu_format::layout;
use quipu_format::sidecar::{
    CheckpointBuilder, LogBase, NameHasher, Positions, SealedSegment, Section, Sidecar,
    SidecarBuilder, SidecarError, StreamCheckpoint, StreamState,
};
use quipu_format::{Body, ByteOffset, Frame, Position, SegmentHeader, Version};

/// What a plain walk says of one name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Model {
    streams: BTreeMap<String, (u64, Vec<u64>)>,
    tags: BTreeMap<String, Vec<u64>>,
    types: BTreeMap<String, Vec<u64>>,
    frames: Vec<(u64, u64, u32)>,
}

impl Model {
    fn of(segment: &TestSegment) -> Self {
        let mut model = Self::default();
        for (index, (start, _)) in segment.frames.iter().enumerate() {
            let offset = ByteOffset::new(*start as u64);
            let frame = Frame::decode(segment.frame(index), segment.salt, offset).unwrap().unwrap();
            let first = frame.header.first_position.as_u64();
            if frame.header.event_count > 0 {
                model.frames.push((first, *start as u64, frame.commit_checksum()));
            }
            let body = Body::decode(&frame).unwrap();
            for (position, event) in (first..).zip(body.events()) {
                let event = event.unwrap();
                let name = body.streams().name(event.stream).unwrap();
                let first = frame.first_version(event.stream).unwrap().as_u64();
                let stream = model.streams.entry(name.into()).or_insert((first, Vec::new()));
                stream.1.push(position);
                for tag in event.tags {
                    let tag = model.tags.entry(tag.into()).or_default();
                    if tag.last() != Some(&position) {
                        tag.push(position);
                    }
                }
                model.types.entry(event.event_type.into()).or_default().push(position);
            }
        }
        model
    }
}

fn check_positions(found: &Positions<'_>, expected: &[u64], ends: &[u64]) {
    assert_eq!(found.len(), expected.len() as u64);
    assert_eq!(found.first().as_u64(), expected[0]);
    assert_eq!(found.last().as_u64(), *expected.last().unwrap());
    for (index, position) in expected.iter().enumerate() {
        assert_eq!(found.get(index as u64), Ok(Some(Position::new(*position))));
    }
    assert_eq!(found.get(expected.len() as u64), Ok(None));
    assert_eq!(found.get(u64::MAX), Ok(None));
    for from in [0, 1, 127, 128, 129, 255, 256, expected.len() - 1, expected.len()] {
        let rest: Vec<u64> =
            found.iter_from(from as u64).unwrap().map(|at| at.unwrap().as_u64()).collect();
        assert_eq!(rest, expected[from.min(expected.len())..], "from {from}");
    }
    for end in ends {
        let below = expected.iter().filter(|at| *at < end).count() as u64;
        assert_eq!(found.count_below(Position::new(*end)), Ok(below), "below {end}");
        let index = expected.iter().position(|at| at == end).map(|at| at as u64);
        assert_eq!(found.index_of(Position::new(*end)), Ok(index));
    }
}

fn check(sidecar: &Sidecar<'_>, model: &Model, previous: &BTreeMap<String, u64>) {
    sidecar.check().unwrap();
    let hasher = NameHasher::new(LOG_ID);
    let base = sidecar.header().segment.base_position.as_u64();
    let end = sidecar.header().segment.end_position.as_u64();
    let ends: Vec<u64> = (base.saturating_sub(2)..end + 2).chain([0, u64::MAX]).collect();
    for (name, (first, positions)) in &model.streams {
        assert!(sidecar.may_hold(hasher.stream(name)));
        let found = sidecar.stream(hasher.stream(name), name).unwrap().unwrap();
        assert_eq!((found.name, found.first_version.as_u64()), (name.as_str(), *first));
        assert_eq!(found.previous.map(Position::as_u64), previous.get(name).copied());
        assert_eq!(found.last_version().as_u64(), first + positions.len() as u64 - 1);
        check_positions(&found.positions, positions, &ends);
    }
    for (tag, positions) in &model.tags {
        assert!(sidecar.may_hold(hasher.tag(tag)));
        check_positions(
            &sidecar.tag(hasher.tag(tag), tag).unwrap().unwrap().positions,
            positions,
            &ends,
        );
    }
    for (name, positions) in &model.types {
        let found = sidecar.event_type(hasher.event_type(name), name).unwrap().unwrap();
        check_positions(&found.positions, positions, &ends);
    }
    let mut names: Vec<&str> = sidecar.streams().map(|found| found.unwrap().name).collect();
    names.sort_unstable();
    assert_eq!(names, model.streams.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(sidecar.tags().len(), model.tags.len());
    assert_eq!(sidecar.event_types().len(), model.types.len());
    for absent in ["", "absent", "s", "0"] {
        let known = model.streams.contains_key(absent);
        assert_eq!(sidecar.stream(hasher.stream(absent), absent).unwrap().is_some(), known);
        let known = model.tags.contains_key(absent);
        assert_eq!(sidecar.tag(hasher.tag(absent), absent).unwrap().is_some(), known);
    }
    let frames: Vec<(u64, u64, u32)> = sidecar
        .batches()
        .unwrap()
        .map(|place| place.unwrap())
        .map(|place| (place.first_position.as_u64(), place.offset.as_u64(), place.checksum))
        .collect();
    assert_eq!(frames, model.frames);
    for position in ends {
        let expected = model.frames.iter().rev().find(|(first, ..)| *first <= position);
        let found = sidecar.frame_before(Position::new(position)).unwrap();
        let found = found
            .map(|place| (place.first_position.as_u64(), place.offset.as_u64(), place.checksum));
        assert_eq!(found.as_ref(), expected, "at {position}");
    }
}

/// A batch as it is drawn: stream, type and tags of each event, all out of a few.
fn batches() -> impl Strategy<Value = Vec<Vec<(u8, u8, Vec<u8>)>>> {
    let event = (0..40_u8, 0..5_u8, proptest::collection::vec(0..6_u8, 0..4));
    proptest::collection::vec(proptest::collection::vec(event, 1..6), 0..150)
}

fn segment_of(
    batches: &[Vec<(u8, u8, Vec<u8>)>],
    before: &BTreeMap<String, (u64, u64)>,
    base: u64,
) -> TestSegment {
    let (_, next) = golden::sealed();
    let header = SegmentHeader {
        capacity: 1 << 20,
        base_position: Position::new(base),
        synced_position: Position::new(base),
        ..next.header
    };
    let mut segment = TestSegment::activate(header);
    segment.next_versions = before.iter().map(|(name, (next, _))| (name.clone(), *next)).collect();
    for batch in batches {
        let events: Vec<TestEvent> = batch
            .iter()
            .map(|(stream, kind, tags)| {
                // A few streams have most of the events.
                let stream = format!("stream-{}", if *stream > 8 { 1 } else { *stream });
                let tags: Vec<String> = tags.iter().map(|tag| format!("tag-{tag}")).collect();
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                TestEvent::new(&stream, &format!("type-{kind}"), b"p").tags(&tags)
            })
            .collect();
        segment.batch(&events);
    }
    segment.seal();
    segment
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sidecar_answers_as_a_walk_does_and_is_made_again_the_same(
        batches in batches(),
        known in proptest::collection::btree_map(0..9_u8, (1..50_u64, 0..1000_u64), 0..6),
    ) {
        let base = 1000;
        let before: BTreeMap<String, (u64, u64)> =
            known.into_iter().map(|(name, at)| (format!("stream-{name}"), at)).collect();
        let segment = segment_of(&batches, &before, base);
        let make = || {
            let (sealed, builder) = collect(&segment.bytes);
            let model = Model::of(&segment);
            let bytes = builder.finish(&sealed, |first| {
                let first = first.as_u64();
                let (name, _) =
                    model.streams.iter().find(|(_, (_, at))| at[0] == first).unwrap();
                Some(Position::new(before[name].1))
            });
            (sealed, bytes)
        };
        let (sealed, bytes) = make();
        prop_assert_eq!(&make().1, &bytes);
        let sidecar = Sidecar::decode(&bytes, &sealed).unwrap();
        let model = Model::of(&segment);
        let previous = before.into_iter().map(|(name, (_, position))| (name, position)).collect();
        check(&sidecar, &model, &previous);
    }

    #[test]
    fn any_bytes_behind_right_checksums_neither_panic_nor_loop(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        long in any::<bool>(),
    ) {
        let (sealed, mut bytes) = match long {
            true => long_sidecar(),
            false => {
                let (sealed, builder) = collect(&golden::sealed().0.bytes);
                let bytes = builder.finish(&sealed, |_| None);
                (sealed, bytes)
            }
        };
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fix_index(&mut bytes);
        if let Ok(sidecar) = Sidecar::decode(&bytes, &sealed) {
            ask_all(&sidecar);
        }
    }
}

/// Asks a sidecar, right or wrong, everything.
fn ask_all(sidecar: &Sidecar<'_>) -> usize {
    let hasher = NameHasher::new(LOG_ID);
    let mut answers = usize::from(sidecar.check().is_ok());
    let mut list = |positions: &Positions<'_>| {
        for index in [0, 1, 127, 128, 200, u64::MAX] {
            let _ = positions.get(index);
            let _ = positions.count_below(Position::new(index));
        }
        answers += positions.iter_from(0).unwrap().take(1000).count();
    };
    for stream in sidecar.streams().flatten() {
        list(&stream.positions);
        let _ = stream.last_version();
    }
    for named in sidecar.tags().chain(sidecar.event_types()).flatten() {
        list(&named.positions);
    }
    for name in ["order-1", "audit", "eu", "Noted", "x"] {
        let _ = sidecar.stream(hasher.stream(name), name);
        let _ = sidecar.tag(hasher.tag(name), name);
        let _ = sidecar.event_type(hasher.event_type(name), name);
    }
    if let Ok(batches) = sidecar.batches() {
        answers += batches.take(1000).count();
    }
    for position in [0, 5, 100, 304, u64::MAX] {
        let _ = sidecar.frame_before(Position::new(position));
    }
    answers
}

#[test]
fn every_flipped_bit_and_every_length_is_found() {
    let (_, builder) = collect(&golden::sealed().0.bytes);
    let (sealed, _) = collect(&golden::sealed().0.bytes);
    let short = builder.finish(&sealed, |_| None);
    for (sealed, bytes) in [(sealed, short), long_sidecar()] {
        let mut flipped = bytes.clone();
        for bit in 0..bytes.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Sidecar::decode(&flipped, &sealed).is_err(), "bit {bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(Sidecar::decode(&bytes[..length], &sealed).is_err(), "length {length}");
        }
        assert!(Sidecar::decode(&bytes, &sealed).is_ok());
    }
    let (_, bytes) = checkpoint_of_sealed();
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(StreamCheckpoint::decode(&flipped).is_err(), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..bytes.len() {
        assert!(StreamCheckpoint::decode(&bytes[..length]).is_err(), "length {length}");
    }
}

#[test]
fn a_base_is_refused_with_any_bit_or_length_changed_and_where_an_event_is_not_accounted_for() {
    let (_, bytes) = base_of_sealed();
    assert!(LogBase::decode(&bytes).is_ok());
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(LogBase::decode(&flipped).is_err(), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..bytes.len() {
        assert!(LogBase::decode(&bytes[..length]).is_err(), "length {length}");
        assert_ne!(LogBase::length_said(&bytes[..length]), Some(length as u64));
    }
    // A stream's version, with the checksums made right.
    let at = bytes.windows(7).position(|name| name == b"order-1").unwrap() + 7;
    assert_eq!(bytes[at], 2);
    let mut lost = bytes.clone();
    lost[at] = 1;
    fix_base(&mut lost);
    let error = LogBase::decode(&lost).unwrap_err();
    assert_eq!(error, SidecarError::Field { field: "events of all streams", found: 4 });
}

#[test]
fn a_rule_broken_under_right_checksums_is_found_by_the_full_check() {
    let (sealed, bytes) = long_sidecar();
    let good = Sidecar::decode(&bytes, &sealed).unwrap();
    let (mut found, mut tried) = (0, 0);
    for section in Section::ALL {
        let range = good.header().range(section);
        for at in range.start as usize..range.end as usize {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                fix_index(&mut changed);
                let sidecar = Sidecar::decode(&changed, &sealed).unwrap();
                ask_all(&sidecar);
                // Of a frame's checksum only its segment can tell that it is wrong.
                if section != Section::Frames {
                    found += usize::from(sidecar.check().is_err());
                    tried += 1;
                }
            }
        }
    }
    // Names and hashes, tables, skips, counts: all but steps that another step makes good again.
    assert!(found * 8 > tried * 7, "{found} of {tried} bits");
}

#[test]
fn the_index_of_another_state_of_the_segment_is_refused() {
    let (sealed, bytes) = long_sidecar();
    let others = [
        SealedSegment { sequence: sealed.sequence.plus(1), ..sealed },
        SealedSegment { base_position: sealed.base_position.plus(1), ..sealed },
        SealedSegment { end_position: sealed.end_position.plus(1), ..sealed },
        SealedSegment { seal_end: sealed.seal_end.plus(8), ..sealed },
        SealedSegment { seal_checksum: sealed.seal_checksum ^ 1, ..sealed },
    ];
    for other in others {
        let found = Sidecar::decode(&bytes, &other).map(|_| ());
        assert!(matches!(found, Err(SidecarError::Stale { .. })), "{found:?}");
    }
    let log_id = quipu_format::LogId::from_bytes([1; 16]);
    let found = Sidecar::decode(&bytes, &SealedSegment { log_id, ..sealed }).map(|_| ());
    assert!(matches!(found, Err(SidecarError::ForeignLog { .. })), "{found:?}");
}

#[test]
fn a_checkpoint_gives_back_its_streams_and_refuses_what_is_not_sorted() {
    let (sealed, bytes) = checkpoint_of_sealed();
    let checkpoint = StreamCheckpoint::decode(&bytes).unwrap();
    checkpoint.header().check_segment(&sealed).unwrap();
    let streams: Vec<StreamState<'_>> = checkpoint.streams().collect::<Result<_, _>>().unwrap();
    assert_eq!(streams.len(), 3);
    let hasher = NameHasher::new(LOG_ID);
    assert!(streams.iter().all(|stream| hasher.stream(stream.name) == stream.hash));
    let order = streams.iter().find(|stream| stream.name == "order-1").unwrap();
    assert_eq!((order.version, order.position), (Version::new(2), Position::new(4)));
    let set: Vec<_> = checkpoint.checkpoints().collect::<Result<_, _>>().unwrap();
    let named: Vec<_> = set.iter().map(|set| (set.name, set.position.as_u64())).collect();
    assert_eq!(named, [("by customer", u64::MAX), ("totals", 4)], "the last one of each name");
    let mut again = CheckpointBuilder::new(set);
    streams.iter().for_each(|stream| again.push(stream));
    assert_eq!(again.finish(&sealed), bytes);
    let mut reversed = CheckpointBuilder::new([]);
    streams.iter().rev().for_each(|stream| reversed.push(stream));
    let reversed = reversed.finish(&sealed);
    assert!(StreamCheckpoint::decode(&reversed).unwrap().streams().any(|stream| stream.is_err()));
    for at in layout::checkpoint::BYTES..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            fix_checkpoint(&mut changed);
            if let Ok(found) = StreamCheckpoint::decode(&changed) {
                assert!(found.streams().count() <= 4);
            }
        }
    }
}

#[test]
fn every_one_of_many_streams_is_found_and_no_other() {
    let header = SegmentHeader { capacity: 4 << 20, ..TestSegment::first().header };
    let mut segment = TestSegment::activate(header);
    let names: Vec<String> = (0..6_000).map(|number| format!("stream-{number}")).collect();
    for names in names.chunks(100) {
        let events: Vec<TestEvent> =
            names.iter().map(|name| TestEvent::new(name, "T", b"")).collect();
        segment.batch(&events);
    }
    segment.seal();
    let (sealed, builder) = collect(&segment.bytes);
    let bytes = builder.finish(&sealed, |_| None);
    let sidecar = Sidecar::decode(&bytes, &sealed).unwrap();
    sidecar.check().unwrap();
    let hasher = NameHasher::new(LOG_ID);
    for (position, name) in names.iter().enumerate() {
        let found = sidecar.stream(hasher.stream(name), name).unwrap().unwrap();
        assert_eq!(found.positions.first().as_u64(), position as u64);
    }
    let mut passed = 0;
    for absent in 6_000..12_000 {
        let absent = format!("stream-{absent}");
        passed += u32::from(sidecar.may_hold(hasher.stream(&absent)));
        assert!(sidecar.stream(hasher.stream(&absent), &absent).unwrap().is_none());
    }
    assert!(passed < 120, "{passed} of 6,000 pass the filter");
    for hash in [0, 1, u64::MAX - 1, u64::MAX] {
        let hash = quipu_format::sidecar::NameHash::new(hash);
        assert!(sidecar.stream(hash, "stream-1").unwrap().is_none());
    }
}

#[test]
fn a_stream_that_leaves_out_a_version_is_not_indexed() {
    let mut segment = TestSegment::first();
    segment.batch(&[TestEvent::new("a", "T", b"")]);
    segment.next_versions.insert("a".into(), 2);
    segment.batch(&[TestEvent::new("a", "T", b"")]);
    let mut builder = SidecarBuilder::new(LOG_ID, Position::ZERO);
    let mut pushed = Vec::new();
    for (index, (start, _)) in segment.frames.iter().enumerate() {
        let offset = ByteOffset::new(*start as u64);
        let frame = Frame::decode(segment.frame(index), segment.salt, offset).unwrap().unwrap();
        pushed.push(builder.push(&frame, offset));
    }
    let expected = SidecarError::Field { field: "first version", found: 2 };
    assert_eq!(pushed, [Ok(()), Err(expected)]);
}
