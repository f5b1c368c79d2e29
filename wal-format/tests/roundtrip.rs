//! Goal: what is encoded decodes to the same, whatever the batch, and takes the bytes it said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use common::{LOG_ID, TestEvent, checkpoints_of, encode, encode_with, events_of};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::{
    BatchEncoder, Body, ByteOffset, CommitFields, CommitTime, ControlKind, EncodeError,
    EventFields, EventId, Frame, FrameKind, LogId, NamedCheckpoint, Position, Predecessor, Salt,
    SegmentHeader, SegmentSeq, Version,
};

/// Lengths around the places where padding begins and ends.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..18), vec(any::<u8>(), 120..140), Just(Vec::new())]
}

fn event() -> impl Strategy<Value = TestEvent> {
    let stream = prop_oneof!["[a-c]", "[a-z\u{e4}\u{1f40d}]{1,20}", "x{1024}"];
    let event_type = prop_oneof!["[A-Z]{1,9}", "y{255}"];
    let id = proptest::option::of(any::<[u8; 16]>().prop_map(EventId::from_bytes));
    let tags = vec(prop_oneof!["[a-z:\u{e4}]{1,9}", "z{255}"], 0..4);
    (stream, event_type, id, tags, bytes(), bytes()).prop_map(
        |(stream, event_type, id, tags, metadata, payload)| TestEvent {
            stream,
            event_type,
            id: id.filter(|id| !id.is_nil()),
            tags,
            metadata,
            payload,
        },
    )
}

proptest! {
    #[test]
    fn a_batch_decodes_to_what_was_encoded(
        events in vec(event(), 0..12),
        log_id in any::<[u8; 16]>(),
        sequence in any::<u64>(),
        offset in any::<u64>(),
        first in 0..u64::MAX - 100,
        behind in any::<u64>(),
        time in any::<u64>(),
        previous in any::<u32>(),
        version in 0..u64::MAX,
        checkpoints in btree_map("[a-z\u{f6}]{1,20}", any::<u64>(), 0..5),
        settled in any::<bool>(),
    ) {
        let salt = Salt::new(LogId::from_bytes(log_id), SegmentSeq::new(sequence));
        let offset = ByteOffset::new(offset);
        prop_assume!(!events.is_empty() || !checkpoints.is_empty());
        let named: Vec<(&str, u64)> = checkpoints.iter().map(|(name, at)| (&**name, *at)).collect();
        let mut batch = encode_with(&events, &named);
        let given = batch.checkpoints().map(Result::unwrap);
        let expected =
            named.iter().map(|(name, at)| NamedCheckpoint { name, position: Position::new(*at) });
        prop_assert!(given.eq(expected), "the checkpoints given");
        for index in 0..batch.stream_count() {
            let version = version.saturating_sub(u64::from(index));
            batch.set_first_version(index, Version::new(version));
        }
        let fields = CommitFields {
            offset,
            first_position: Position::new(first),
            commit_time: CommitTime::new(time),
            synced_position: Position::new(first.saturating_sub(behind)),
            settled,
            previous,
        };
        let checksum = batch.commit(&fields, salt);
        let bytes = batch.parts().concat();
        prop_assert_eq!(bytes.len(), batch.frame_bytes() as usize);
        prop_assert_eq!(bytes.len() % 8, 0);

        let frame = Frame::decode(&bytes, salt, offset).unwrap().unwrap();
        prop_assert_eq!(frame.commit_checksum(), checksum);
        let kind = if events.is_empty() { FrameKind::Checkpoints } else { FrameKind::Batch };
        prop_assert_eq!(frame.header.kind, kind);
        prop_assert_eq!(frame.header.settled, settled);
        prop_assert_eq!(usize::from(frame.header.checkpoint_count), checkpoints.len());
        prop_assert_eq!(frame.header.frame_bytes, batch.frame_bytes());
        prop_assert_eq!(frame.header.event_count as usize, events.len());
        prop_assert_eq!(frame.header.stream_count, batch.stream_count());
        prop_assert_eq!(frame.header.first_position, fields.first_position);
        prop_assert_eq!(frame.header.end_position().as_u64(), first + events.len() as u64);
        prop_assert_eq!(frame.header.commit_time, fields.commit_time);
        prop_assert_eq!(frame.header.synced_position, fields.synced_position);
        prop_assert_eq!(frame.header.previous, previous);
        for index in 0..batch.stream_count() {
            let expected = version.saturating_sub(u64::from(index));
            prop_assert_eq!(frame.first_version(index), Some(Version::new(expected)));
        }
        prop_assert_eq!(frame.first_version(batch.stream_count()), None);

        let body = Body::decode(&frame).unwrap();
        prop_assert_eq!(body.check(), Ok(()));
        prop_assert_eq!(&events_of(&body), &events);
        prop_assert!(checkpoints_of(&body).into_iter().eq(checkpoints.clone()));
        let mut first_uses: Vec<&str> = Vec::new();
        for event in &events {
            if !first_uses.contains(&event.stream.as_str()) {
                first_uses.push(&event.stream);
            }
        }
        let names: Vec<&str> = body.streams().names().map(Result::unwrap).collect();
        prop_assert_eq!(&names, &first_uses);
        let streams: Vec<u32> = body.events().map(|event| event.unwrap().stream).collect();
        prop_assert_eq!(batch.event_streams().collect::<Vec<_>>(), streams);
        for event in body.events() {
            let payload = event.unwrap().payload;
            let at = payload.as_ptr().addr() - bytes.as_ptr().addr();
            prop_assert_eq!(at % 8, 0, "payloads are aligned");
        }

        let trusted = Frame::decode_trusted(&bytes, salt, offset).unwrap().unwrap();
        prop_assert_eq!(trusted.header, frame.header);
        prop_assert_eq!(trusted.body_bytes(), frame.body_bytes());
        let kept = batch.into_stream_names();
        let kept: Vec<&str> = kept.streams().names().map(Result::unwrap).collect();
        prop_assert_eq!(kept, names);
    }

    #[test]
    fn a_segment_header_decodes_to_what_was_encoded(
        log_id in any::<[u8; 16]>(),
        sequence in 0..u64::MAX,
        steps in 2_u64..1 << 28,
        base in any::<u64>(),
        behind in any::<u64>(),
        time in any::<u64>(),
        end in 520_u64..1 << 37,
        checksum in any::<u32>(),
        optional_features in any::<u64>(),
    ) {
        let base = if sequence == 0 { 0 } else { base };
        let header = SegmentHeader {
            log_id: LogId::from_bytes(log_id),
            sequence: SegmentSeq::new(sequence),
            capacity: steps * 4096,
            base_position: Position::new(base),
            created_at: CommitTime::new(time),
            synced_position: Position::new(base.saturating_sub(behind)),
            predecessor: (sequence != 0)
                .then_some(Predecessor { end: ByteOffset::new(end * 8), checksum }),
            optional_features,
        };
        let block = header.encode();
        prop_assert_eq!(SegmentHeader::decode(&block), Ok(Some(header)));
        prop_assert_eq!(block[12..16].to_vec(), header.checksum().to_le_bytes().to_vec());
    }

    #[test]
    fn a_control_frame_decodes_to_what_was_encoded(
        kind in prop_oneof![
            Just(ControlKind::Seal), Just(ControlKind::Close), Just(ControlKind::Mark)
        ],
        position in any::<u64>(),
        behind in any::<u64>(),
        time in any::<u64>(),
        previous in any::<u32>(),
        offset in any::<u64>(),
        settled in any::<bool>(),
    ) {
        let salt = Salt::new(LOG_ID, SegmentSeq::ZERO);
        let fields = ControlFields {
            settled: settled && kind != ControlKind::Seal,
            position: Position::new(position),
            time: CommitTime::new(time),
            synced_position: Position::new(position.saturating_sub(behind)),
            previous,
        };
        let (bytes, checksum) = control_frame(kind, fields, salt, ByteOffset::new(offset));
        let frame = Frame::decode(&bytes, salt, ByteOffset::new(offset)).unwrap().unwrap();
        prop_assert_eq!(frame.commit_checksum(), checksum);
        prop_assert_eq!(frame.header.kind, FrameKind::Control(kind));
        prop_assert_eq!(frame.header.first_position, fields.position);
        prop_assert_eq!(frame.header.end_position(), fields.position);
        prop_assert_eq!(frame.header.commit_time, fields.time);
        prop_assert_eq!(frame.header.synced_position, fields.synced_position);
        let body = Body::decode(&frame).unwrap();
        prop_assert_eq!(body.check(), Ok(()));
        prop_assert_eq!(body.events().count(), 0);
        prop_assert!(body.streams().is_empty());
    }
}

const PLAIN: EventFields<'_> =
    EventFields { event_type: "T", id: None, tags: &[], metadata: &[], payload: &[] };

#[test]
fn a_nil_id_is_no_id() {
    let mut encoder = BatchEncoder::new();
    let stream = encoder.add_stream("s").unwrap();
    encoder.push(stream, &EventFields { id: Some(0_u128.into()), ..PLAIN }).unwrap();
    let with_nil = encoder.finish().unwrap();
    let without = encode(&[TestEvent::new("s", "T", b"")]);
    assert_eq!(with_nil.parts(), without.parts());
}

#[test]
fn lengths_outside_their_limits_are_refused_and_leave_the_batch_as_it_was() {
    let mut encoder = BatchEncoder::new();
    for name in [String::new(), "x".repeat(1025)] {
        assert!(matches!(
            encoder.add_stream(&name),
            Err(EncodeError::Length { field: "stream name", .. })
        ));
    }
    let stream = encoder.add_stream(&"x".repeat(1024)).unwrap();
    encoder.push(stream, &PLAIN).unwrap();
    let before = encoder.clone().finish().unwrap().parts().concat();
    let long = "x".repeat(256);
    let longest = "x".repeat(255);
    let many = vec![longest.as_str(); 256];
    for (field, event) in [
        ("event type", EventFields { event_type: "", ..PLAIN }),
        ("event type", EventFields { event_type: &long, ..PLAIN }),
        ("tag", EventFields { tags: &["a", ""], ..PLAIN }),
        ("tag", EventFields { tags: &[&long], ..PLAIN }),
        ("tags together", EventFields { tags: &many, ..PLAIN }),
    ] {
        let error = encoder.push(stream, &event).unwrap_err();
        assert!(matches!(error, EncodeError::Length { field: found, .. } if found == field));
    }
    // 255 tags of 255 bytes and one of 254 with their length bytes: 65,535 bytes.
    let mut most = many[..255].to_vec();
    most.push(&longest[..254]);
    encoder.clone().push(stream, &EventFields { tags: &most, ..PLAIN }).unwrap();
    assert_eq!(encoder.finish().unwrap().parts().concat(), before);
}

#[test]
fn streams_without_events_or_out_of_order_are_refused() {
    let mut encoder = BatchEncoder::new();
    assert_eq!(encoder.clone().finish().unwrap_err(), EncodeError::Empty);
    let order = |found, expected| Err(EncodeError::StreamOrder { found, expected });
    assert_eq!(encoder.push(0, &PLAIN), order(0, 0));
    encoder.add_stream("a").unwrap();
    encoder.add_stream("b").unwrap();
    assert_eq!(encoder.push(1, &PLAIN), order(1, 0));
    assert_eq!(encoder.clone().finish().unwrap_err(), EncodeError::Empty);
    encoder.push(0, &PLAIN).unwrap();
    let unused = encoder.clone().finish().unwrap_err();
    assert_eq!(unused, EncodeError::StreamUnused { index: 1 });
    assert_eq!(encoder.push(2, &PLAIN), order(2, 1));
    encoder.push(1, &PLAIN).unwrap();
    encoder.push(0, &PLAIN).unwrap();
    assert_eq!(encoder.finish().unwrap().event_count(), 3);
}
