//! Goal: whatever bytes are given to whichever decoder, it answers, and believes nothing that it
//! would not have written itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use common::{
    LOG_ID, TestEvent, TestSegment, encode_again, fix_frame, fix_segment_header, put_u32, put_u64,
    rich_batch,
};
use proptest::collection::vec;
use proptest::prelude::*;
use quipu_format::layout::{header, segment};
use quipu_format::{
    Body, BodyError, ByteOffset, Chain, ControlKind, EventOutline, Frame, FrameError, FrameHeader,
    HeaderGlance, RecordedEventRef, Salt, SegmentHeader, SegmentSeq, Step, StreamTable, Tags,
    find_evidence,
};

/// Values that lengths and counts go wrong at.
const BOUNDARIES: [u32; 18] = [
    0,
    1,
    2,
    7,
    8,
    9,
    15,
    16,
    17,
    24,
    63,
    64,
    72,
    0x7fff_ffff,
    0x8000_0000,
    0x4000_0000,
    u32::MAX - 7,
    u32::MAX,
];

/// Runs every decoder over `bytes`; gives the frame at its front, if it obeys every rule.
fn run_all<'a>(bytes: &'a [u8], salt: Salt, offset: ByteOffset) -> Option<Frame<'a>> {
    if let Ok(Some(header)) = SegmentHeader::decode(bytes) {
        assert_eq!(header.encode()[..], bytes[..segment::BYTES], "what decodes encodes the same");
        let chain = Chain::at_start_of(&header);
        let _ = chain.seal_named_by(&header, salt, offset);
        let _ = chain.leads_to(&header, offset);
        let _ = chain.step(bytes, salt, offset);
    }
    let _ = Tags::decode(bytes).map(|tags| tags.iter().count());
    let _ = RecordedEventRef::decode(bytes);
    if let Ok((outline, _)) = EventOutline::decode(bytes) {
        let tags = outline.tags().iter().map(|tag| 1 + tag.len()).sum::<usize>();
        let parts = outline.metadata().len() + outline.payload().len() + tags;
        assert!(parts <= outline.length() as usize && outline.length() as usize <= bytes.len());
        let _ = (outline.event_type(), outline.id());
    }
    let glance = HeaderGlance::at(bytes);
    if let Ok(Some(header)) = FrameHeader::decode(bytes, salt, offset) {
        let glance = glance.unwrap();
        assert_eq!(glance.frame_bytes, header.frame_bytes);
        assert_eq!(
            (glance.first_position, glance.event_count),
            (header.first_position, header.event_count)
        );
        let holds = header.first_position < header.end_position();
        assert_eq!(glance.holds(header.first_position), holds);
        assert!(!glance.holds(header.end_position()));
    }
    for count in BOUNDARIES {
        if let Ok((table, _)) = StreamTable::decode(bytes, count) {
            let named = table.names().filter(Result::is_ok).count();
            assert!(named <= bytes.len());
            assert!(table.name(count).is_err());
            assert!(table.name(u32::MAX).is_err());
        }
    }
    if let Some(evidence) = find_evidence(bytes, salt, offset) {
        let at = (evidence.offset.as_u64() - offset.as_u64()) as usize;
        let found = FrameHeader::decode(&bytes[at..], salt, evidence.offset).unwrap().unwrap();
        assert_eq!(found.synced_position, evidence.synced_position);
    }
    if let Ok(Some(frame)) = Frame::decode_trusted(bytes, salt, offset) {
        let _ = run_body(&frame);
    }
    let frame = Frame::decode(bytes, salt, offset).ok()??;
    let chain = Chain {
        position: frame.header.first_position,
        previous: frame.header.previous,
        time: frame.header.commit_time,
        synced_position: frame.header.synced_position,
    };
    let step = chain.step(bytes, salt, offset);
    if run_body(&frame).is_err() {
        assert!(matches!(step, Step::Bad(FrameError::Body(_))), "{step:?}");
        return None;
    }
    assert!(matches!(step, Step::Frame { .. }), "{step:?}");
    let again = encode_again(&frame, salt, offset);
    assert_eq!(again[..], bytes[..again.len()], "what decodes encodes to the same bytes");
    Some(frame)
}

/// Reads everything that a body has, whether its check passes or not.
fn run_body(frame: &Frame<'_>) -> Result<(), BodyError> {
    for index in [0, 1, frame.header.stream_count, u32::MAX] {
        let found = frame.first_version(index);
        assert_eq!(found.is_some(), index < frame.header.stream_count);
    }
    let body = Body::decode(frame)?;
    let events = body.events().take_while(Result::is_ok).count();
    assert!(events <= frame.body_bytes().len() / 24, "an event takes 24 bytes at least");
    assert!(body.events().filter(Result::is_err).count() <= 1, "the first error ends it");
    for event in body.events().flatten() {
        let _ = body.streams().name(event.stream);
        assert!(event.tags.iter().all(|tag| event.tags.contains(tag)));
    }
    if let Ok(checkpoints) = body.checkpoints() {
        let found = checkpoints.clone().take_while(Result::is_ok).count();
        assert!(found <= usize::from(frame.header.checkpoint_count));
        assert!(found <= frame.body_bytes().len() / 16, "a checkpoint takes 16 bytes at least");
        assert!(checkpoints.filter(Result::is_err).count() <= 1, "the first error ends it");
    }
    for (event, outline) in body.events().zip(body.outlines()) {
        let Ok(event) = event else { break };
        let outline = outline.unwrap();
        assert_eq!(outline.check().unwrap().payload, event.payload);
        assert_eq!((outline.stream(), outline.id()), (event.stream, event.id));
        assert_eq!(
            (outline.event_type(), outline.metadata()),
            (Ok(event.event_type), event.metadata)
        );
        assert_eq!(outline.payload(), event.payload);
        assert!(outline.tags().iter().eq(event.tags.iter()), "the same tags");
    }
    body.check()
}

fn sample() -> TestSegment {
    let mut segment = TestSegment::first();
    segment.batch(&rich_batch()).batch(&[TestEvent::new("a", "T", b"")]).control(ControlKind::Mark);
    segment.seal();
    segment
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_bytes_are_answered(
        bytes in vec(prop_oneof![Just(0), any::<u8>()], 0..400),
        offset in prop_oneof![0..10_000_u64, any::<u64>()],
    ) {
        let salt = Salt::new(LOG_ID, SegmentSeq::ZERO);
        run_all(&bytes, salt, ByteOffset::new(offset));
    }

    #[test]
    fn frames_with_changed_fields_and_right_checksums_are_answered(
        index in 0..4_usize,
        changes in vec((any::<prop::sample::Index>(), prop_oneof![
            prop::sample::select(BOUNDARIES.to_vec()), 0..600_u32, any::<u32>()
        ], 1..=4_usize), 1..5),
        cut in prop_oneof![4 => Just(0), 1 => 0..80_usize],
    ) {
        let segment = sample();
        let (start, end) = segment.frames[index];
        let mut bytes = segment.bytes[start..end + 64].to_vec();
        for (at, value, width) in changes {
            let at = at.index(end - start - 4);
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        let offset = ByteOffset::new(start as u64);
        fix_frame(&mut bytes, segment.salt, offset);
        run_all(&bytes[..bytes.len() - cut], segment.salt, offset);
    }

    #[test]
    fn segment_headers_with_changed_fields_and_right_checksums_are_answered(
        changes in vec((0..segment::FIELDS_END + 8, any::<u8>()), 1..4),
    ) {
        let mut first = sample();
        for segment in [first.clone(), first.seal()] {
            let mut bytes = segment.bytes;
            for (at, value) in &changes {
                bytes[*at] = *value;
            }
            fix_segment_header(&mut bytes);
            run_all(&bytes, segment.salt, ByteOffset::ZERO);
        }
    }
}

#[test]
fn every_word_of_a_frame_set_to_every_boundary_under_right_checksums_is_answered() {
    let segment = sample();
    let mut accepted = 0;
    for &(start, end) in &segment.frames {
        let offset = ByteOffset::new(start as u64);
        for at in 0..end - start - 4 {
            for value in BOUNDARIES {
                let mut bytes = segment.bytes[start..end + 64].to_vec();
                put_u32(&mut bytes, at, value);
                fix_frame(&mut bytes, segment.salt, offset);
                accepted += usize::from(run_all(&bytes, segment.salt, offset).is_some());
            }
        }
    }
    assert!(accepted > 100, "the checksums were made right: {accepted} changed frames decode");
}

#[test]
fn counts_that_the_frame_has_no_room_for_are_refused_before_the_body_is_read() {
    let segment = sample();
    let (start, end) = segment.frames[0];
    let offset = ByteOffset::new(start as u64);
    for (at, field, value) in [
        (header::LENGTH, "frame length", 0xffff_fff8),
        (header::LENGTH, "frame length", 56),
        (header::LENGTH, "frame length", 65),
        (header::EVENT_COUNT, "event count", u32::MAX),
        (header::EVENT_COUNT, "event count", 100),
        (header::EVENT_COUNT, "event count", 0),
        (header::STREAM_COUNT, "frame length", u32::MAX),
        (header::STREAM_COUNT, "stream count", 5),
        (header::STREAM_COUNT, "stream count", 0),
    ] {
        let mut bytes = segment.bytes[start..end].to_vec();
        put_u32(&mut bytes, at, value);
        fix_frame(&mut bytes, segment.salt, offset);
        let found = FrameHeader::decode(&bytes, segment.salt, offset).unwrap_err();
        assert!(
            matches!(found, FrameError::Field { field: which, .. } if which == field),
            "{field} {value}: {found:?}"
        );
    }
}

#[test]
fn lengths_that_no_writer_gives_a_frame_are_refused_before_the_body_is_read() {
    let segment = sample();
    for (index, change, field) in [
        (0, 1, "frame length"),
        (0, 4, "frame length"),
        // A control frame has no body.
        (2, 8, "frame length"),
        (3, 64, "frame length"),
    ] {
        let (start, _) = segment.frames[index];
        let offset = ByteOffset::new(start as u64);
        let mut bytes = segment.bytes[start..].to_vec();
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        put_u32(&mut bytes, header::LENGTH, length + change);
        fix_frame(&mut bytes, segment.salt, offset);
        let found = FrameHeader::decode(&bytes, segment.salt, offset).unwrap_err();
        assert!(
            matches!(found, FrameError::Field { field: which, .. } if which == field),
            "{length} + {change}: {found:?}"
        );
    }
    // Nor does it count events or streams.
    let (start, _) = segment.frames[2];
    let offset = ByteOffset::new(start as u64);
    for (at, field) in
        [(header::EVENT_COUNT, "event count"), (header::STREAM_COUNT, "frame length")]
    {
        let mut bytes = segment.bytes[start..start + 64].to_vec();
        put_u32(&mut bytes, at, 1);
        fix_frame(&mut bytes, segment.salt, offset);
        let found = FrameHeader::decode(&bytes, segment.salt, offset).unwrap_err();
        assert!(matches!(found, FrameError::Field { field: which, .. } if which == field));
    }
}

#[test]
fn positions_at_the_end_of_their_range_are_answered() {
    let segment = sample();
    let (start, end) = segment.frames[0];
    let offset = ByteOffset::new(start as u64);
    for (first, fits) in [(u64::MAX, false), (u64::MAX - 3, false), (u64::MAX - 4, true)] {
        let mut bytes = segment.bytes[start..end].to_vec();
        put_u64(&mut bytes, header::FIRST_POSITION, first);
        fix_frame(&mut bytes, segment.salt, offset);
        assert_eq!(run_all(&bytes, segment.salt, offset).is_some(), fits, "{first}");
    }
    for from in [u64::MAX, u64::MAX - 7, u64::MAX - 8, 0, 4095] {
        let bytes = &segment.bytes;
        let _ = find_evidence(bytes, segment.salt, ByteOffset::new(from));
        run_all(&bytes[start..], segment.salt, ByteOffset::new(from));
    }
}

/// The crate has no `std`, so a file that does not name `alloc` cannot allocate.
#[test]
fn decoders_cannot_allocate() {
    for file in ["body", "checksum", "cursor", "frame", "ids", "layout", "scan", "segment"] {
        let path = format!("{}/src/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        assert!(!code.contains("alloc::"), "{path} allocates");
        assert!(!code.contains("extern crate"), "{path} allocates");
    }
}
