//! Goal: each rule of validity in FORMAT.md is looked at by the decoder, under right checksums.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use common::{TestEvent, TestSegment, fix_segment_header, put_u64};
use quipu_format::layout::segment;
use quipu_format::{
    Body, BodyError, ByteOffset, Frame, FrameError, Salt, SegmentHeader, SegmentHeaderError, Step,
};

/// A frame with this body and these counts, in the first place of a segment, checksums right.
fn with_body(body: &[u8], events: u32, streams: u32) -> Vec<u8> {
    assert_eq!(body.len() % 8, 0);
    let segment = TestSegment::first();
    let length = 64 + body.len() + 8 * streams as usize;
    let mut bytes = vec![0; length];
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[4] = 1;
    bytes[8..12].copy_from_slice(&events.to_le_bytes());
    bytes[12..16].copy_from_slice(&streams.to_le_bytes());
    bytes[24..32].copy_from_slice(&segment.chain.time.as_u64().to_le_bytes());
    bytes[40..44].copy_from_slice(&segment.chain.previous.to_le_bytes());
    bytes[48..48 + body.len()].copy_from_slice(body);
    bytes[length - 12..length - 8].copy_from_slice(b"KNOT");
    bytes[length - 8..length - 4].copy_from_slice(&(length as u32).to_le_bytes());
    common::fix_frame(&mut bytes, segment.salt, ByteOffset::new(segment::BYTES as u64));
    bytes
}

/// What the body rules say of this body.
fn judge(body: &[u8], events: u32, streams: u32) -> Result<(), BodyError> {
    let segment = TestSegment::first();
    let bytes = with_body(body, events, streams);
    let offset = ByteOffset::new(segment::BYTES as u64);
    let frame = Frame::decode(&bytes, segment.salt, offset).unwrap().unwrap();
    let judged = Body::decode(&frame).and_then(|body| body.check());
    match (segment.chain.step(&bytes, segment.salt, offset), judged) {
        (Step::Frame { .. }, Ok(())) => {}
        (Step::Bad(FrameError::Body(error)), Err(judged)) => assert_eq!(error, judged),
        (step, judged) => panic!("{step:?}, but {judged:?}"),
    }
    judged
}

/// A table of these names.
fn table(names: &[&[u8]]) -> Vec<u8> {
    let mut end = 0;
    let mut bytes = Vec::new();
    for name in names {
        end += name.len() as u32;
        bytes.extend(end.to_le_bytes());
    }
    bytes.extend(names.concat());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// An event of type "T" in stream `stream`, with these parts behind its fixed ones.
fn event(stream: u32, flags: u8, tags: &[u8], metadata: &[u8], payload: &[u8]) -> Vec<u8> {
    event_of(b"T", stream, flags, tags, metadata, payload)
}

fn event_of(
    event_type: &[u8],
    stream: u32,
    flags: u8,
    tags: &[u8],
    metadata: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(stream.to_le_bytes());
    bytes.extend((metadata.len() as u32).to_le_bytes());
    bytes.extend((tags.len() as u16).to_le_bytes());
    bytes.extend([event_type.len() as u8, flags]);
    if flags & 1 == 1 {
        bytes.extend([0; 16]);
    }
    bytes.extend([event_type, tags, metadata].concat());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(payload);
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

#[test]
fn a_body_built_by_hand_is_the_one_that_the_encoder_builds() {
    let body = [table(&[b"s"]), event(0, 0, b"\x02eu", b"m", b"p")].concat();
    assert_eq!(judge(&body, 1, 1), Ok(()));
    let batch = common::encode(&[TestEvent::new("s", "T", b"p").tags(&["eu"]).metadata(b"m")]);
    assert_eq!(batch.parts().concat()[48..48 + body.len()], body);
}

#[test]
fn names_of_streams_have_1_to_1024_bytes_of_utf_8_one_behind_the_other() {
    let field = |field, found| Err(BodyError::Field { field, found });
    let one = |name: &[u8]| judge(&[table(&[name]), event(0, 0, b"", b"", b"")].concat(), 1, 1);
    assert_eq!(one(&[b'x'; 1024]), Ok(()));
    assert_eq!(one(&[b'x'; 1025]), field("stream name length", 1025));
    assert_eq!(one(b""), field("stream name length", 0));
    assert_eq!(one(b"\xff"), Err(BodyError::Utf8 { field: "stream name" }));
    // Two halves of one character are no names, though together they would be.
    let halves = table(&[b"\xc3", b"\xb6"]);
    let events = [event(0, 0, b"", b"", b""), event(1, 0, b"", b"", b"")].concat();
    let found = judge(&[halves, events.clone()].concat(), 2, 2);
    assert_eq!(found, Err(BodyError::Utf8 { field: "stream name" }));
    // Ends that run backwards.
    let mut backwards = table(&[b"abc", b"d"]);
    backwards[0] = 5;
    let found = judge(&[backwards, events].concat(), 2, 2);
    assert_eq!(found, field("stream index", 0));
    let mut beyond = table(&[b"s"]);
    beyond[2] = 1;
    let found = judge(&[beyond, event(0, 0, b"", b"", b"")].concat(), 1, 1).unwrap_err();
    assert!(matches!(found, BodyError::Truncated(_)), "{found:?}");
}

#[test]
fn types_tags_and_ids_obey_their_rules() {
    let one = |event: Vec<u8>| judge(&[table(&[b"s"]), event].concat(), 1, 1);
    let field = |field, found| Err(BodyError::Field { field, found });
    assert_eq!(one(event_of(&[b'x'; 255], 0, 0, b"", b"", b"")), Ok(()));
    let with_payload = event_of(b"", 0, 0, b"", b"", &[0; 8]);
    assert_eq!(one(with_payload), field("type length", 0));
    let not_utf8 = |field| Err(BodyError::Utf8 { field });
    assert_eq!(one(event_of(b"\xc3", 0, 0, b"", b"", b"")), not_utf8("event type"));
    assert_eq!(one(event(0, 0, b"\x01\xc3", b"", b"")), not_utf8("tag"));
    assert_eq!(one(event(0, 0, b"\x01a\x00", b"", b"")), field("tag length", 0));
    let beyond = one(event(0, 0, b"\x02a", b"m", b"")).unwrap_err();
    assert!(matches!(beyond, BodyError::Truncated(_)), "a tag beyond the tags: {beyond:?}");
    assert_eq!(one(event(0, 1, b"", b"", b"")), field("event id", 0));
    assert_eq!(one(event(0, 2, b"", b"", b"")), field("event flags", 2));
}

#[test]
fn streams_are_numbered_in_the_order_of_their_first_events() {
    let two = |first, second| {
        let events = [event(first, 0, b"", b"", b""), event(second, 0, b"", b"", b"")].concat();
        judge(&[table(&[b"a", b"b"]), events].concat(), 2, 2)
    };
    let index = |found| Err(BodyError::Field { field: "stream index", found });
    assert_eq!(two(0, 1), Ok(()));
    assert_eq!(two(1, 0), index(1));
    assert_eq!(two(0, 2), index(2));
    assert_eq!(two(0, 0), Err(BodyError::Field { field: "stream count", found: 1 }));
}

#[test]
fn padding_is_zero_and_nothing_is_left() {
    let not_zero = |field| Err(BodyError::NotZero { field });
    let names = table(&[b"s"]);
    let good = [names.clone(), event(0, 0, b"", b"", b"p")].concat();
    assert_eq!(judge(&good, 1, 1), Ok(()));
    for (at, field) in [
        (7, "stream table padding"),
        (names.len() + 17, "metadata padding"),
        (names.len() + 23, "metadata padding"),
        (names.len() + 25, "event padding"),
        (names.len() + 31, "event padding"),
    ] {
        let mut body = good.clone();
        body[at] = 1;
        assert_eq!(judge(&body, 1, 1), not_zero(field), "byte {at}");
    }
    let more = [good, vec![0; 24]].concat();
    assert_eq!(judge(&more, 1, 1), not_zero("bytes behind the last event"));
    let found = judge(&more, 2, 1).unwrap_err();
    assert!(matches!(found, BodyError::Truncated(_)), "{found:?}");
}

#[test]
fn a_segment_header_obeys_its_rules() {
    let first = TestSegment::first();
    let mut sealed = first.clone();
    let second = sealed.batch(&[TestEvent::new("s", "T", b"")]).seal();
    let judge = |segment: &TestSegment, at, value| {
        let mut bytes = segment.bytes.clone();
        put_u64(&mut bytes, at, value);
        fix_segment_header(&mut bytes);
        SegmentHeader::decode(&bytes)
    };
    let end = second.header.predecessor.unwrap().end.as_u64();
    assert!(judge(&second, segment::PREDECESSOR_END, end).is_ok());
    for (segment, at, value, field) in [
        (&first, segment::BASE_POSITION, 1, "base position"),
        (&first, segment::PREDECESSOR_END, 4160, "predecessor's end"),
        (&first, segment::PREDECESSOR_CHECKSUM, 1, "predecessor's checksum"),
        (&first, segment::SYNCED_POSITION, 1, "synced position"),
        (&first, segment::SEQUENCE, 1, "predecessor's end"),
        (&first, segment::CAPACITY, 4096, "capacity"),
        (&first, segment::CAPACITY, 8192 + 512, "capacity"),
        (&first, segment::CAPACITY, (1 << 40) + 4096, "capacity"),
        (&first, segment::FIELDS_END, 1, "reserved bytes"),
        (&first, segment::BYTES - 8, 1 << 63, "reserved bytes"),
        (&second, segment::SEQUENCE, 0, "predecessor's end"),
        (&second, segment::PREDECESSOR_END, 0, "predecessor's end"),
        (&second, segment::PREDECESSOR_END, 4152, "predecessor's end"),
        (&second, segment::PREDECESSOR_END, 4164, "predecessor's end"),
        (&second, segment::PREDECESSOR_END, (1 << 40) + 8, "predecessor's end"),
        (&second, segment::SYNCED_POSITION, 2, "synced position"),
    ] {
        let found = judge(segment, at, value).unwrap_err();
        assert!(
            matches!(found, SegmentHeaderError::Field { field: which, .. } if which == field),
            "{field} with {value}: {found:?}"
        );
    }
    assert!(judge(&first, segment::CAPACITY, 1 << 40).is_ok());
    assert!(judge(&second, segment::PREDECESSOR_END, 1 << 40).is_ok());
    assert!(judge(&second, segment::SEQUENCE, u64::MAX).is_ok());
}

#[test]
fn the_salt_tells_neighbours_apart() {
    let id = common::LOG_ID;
    let salts: Vec<Salt> = (0..100_u64).map(|sequence| Salt::new(id, sequence.into())).collect();
    for (index, salt) in salts.iter().enumerate() {
        assert!(!salts[..index].contains(salt));
    }
}
