//! Goal: each frame and each segment follows the one before it in every respect, a missing seal is
//! made again only where nothing else is missing, and headers bear witness without their bodies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use common::{TestEvent, TestSegment, fix_frame, golden, put_u32, put_u64, rich_batch};
use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::layout::{header, segment};
use quipu_format::{
    ByteOffset, Chain, CommitTime, ControlKind, Frame, FrameError, FrameHeader, Position,
    Predecessor, Salt, SegmentHeader, SegmentSeq, Step, find_evidence,
};

/// The second frame's place, with the chain in front of it.
fn second_frame() -> (TestSegment, Chain) {
    let mut segment = TestSegment::first();
    segment.batch(&rich_batch());
    let chain = segment.chain;
    segment.batch(&[TestEvent::new("a", "T", b"x")]);
    (segment, chain)
}

#[test]
fn a_frame_leaves_room_for_a_seal_and_a_seal_needs_none() {
    let mut segment = TestSegment::first();
    segment.batch(&rich_batch());
    segment.control(ControlKind::Seal);
    let kinds = segment.frames.clone().into_iter().zip([true, false]);
    for ((start, end), needs_room) in kinds {
        let offset = ByteOffset::new(start as u64);
        let frame = Frame::decode(&segment.bytes[start..], segment.salt, offset).unwrap().unwrap();
        for room in [0, 56, 63] {
            let error = FrameError::Field { field: "room for a seal", found: room };
            let expected = if needs_room { Err(error) } else { Ok(()) };
            assert_eq!(frame.check_room(offset, end as u64 + room), expected, "{room} bytes");
            assert!(error.is_contradiction());
        }
        assert_eq!(frame.check_room(offset, end as u64 + 64), Ok(()));
    }
}

fn step_with(change: impl Fn(&mut [u8]), chain: &Chain) -> FrameError {
    let (mut segment, _) = second_frame();
    let (start, end) = segment.frames[1];
    let offset = ByteOffset::new(start as u64);
    change(&mut segment.bytes[start..end]);
    fix_frame(&mut segment.bytes[start..end], segment.salt, offset);
    match chain.step(&segment.bytes[start..], segment.salt, offset) {
        Step::Bad(error) => error,
        other => panic!("a frame that does not follow: {other:?}"),
    }
}

#[test]
fn a_frame_follows_only_the_one_before_it() {
    let (_, chain) = second_frame();
    let before = step_with(|frame| put_u32(frame, header::PREVIOUS, 7), &chain);
    assert_eq!(before, FrameError::Previous { expected: chain.previous, found: 7 });
    for found in [3, 5, 1000] {
        let error = step_with(|frame| put_u64(frame, header::FIRST_POSITION, found), &chain);
        let (expected, found) = (Position::new(4), Position::new(found));
        // A position below the synced one is refused by the header itself.
        match error {
            FrameError::Position { expected: e, found: f } => assert_eq!((e, f), (expected, found)),
            FrameError::Field { field: "synced position", .. } => assert!(found < expected),
            other => panic!("{other:?}"),
        }
    }
    let early = chain.time.as_u64() - 1;
    let error = step_with(|frame| put_u64(frame, header::COMMIT_TIME, early), &chain);
    let before = chain.time.as_u64();
    assert_eq!(error, FrameError::Backwards { field: "commit time", before, found: early });
    let synced = Chain { synced_position: Position::new(3), ..chain };
    let error = step_with(|frame| put_u64(frame, header::SYNCED_POSITION, 2), &synced);
    assert_eq!(error, FrameError::Backwards { field: "synced position", before: 3, found: 2 });
    assert!(!error.is_contradiction(), "a stale frame that came back is no contradiction");
}

#[test]
fn a_frame_of_the_same_time_and_synced_position_follows() {
    let (mut segment, chain) = second_frame();
    let (start, end) = segment.frames[1];
    let offset = ByteOffset::new(start as u64);
    let frame = &mut segment.bytes[start..end];
    put_u64(frame, header::COMMIT_TIME, chain.time.as_u64());
    put_u64(frame, header::SYNCED_POSITION, chain.synced_position.as_u64());
    fix_frame(frame, segment.salt, offset);
    let step = chain.step(&segment.bytes[start..], segment.salt, offset);
    assert!(matches!(step, Step::Frame { .. }), "{step:?}");
}

#[test]
fn the_unwritten_end_of_a_segment_is_never_written_however_short() {
    let chain = TestSegment::first().chain;
    let salt = TestSegment::first().salt;
    for length in 5..200 {
        let zeros = vec![0; length];
        let step = chain.step(&zeros, salt, ByteOffset::new(8192 - length as u64));
        assert!(matches!(step, Step::NeverWritten), "{length} zeros: {step:?}");
    }
    let step = chain.step(&[], salt, ByteOffset::new(8192));
    assert!(matches!(step, Step::Bad(FrameError::Truncated(_))), "{step:?}");
}

/// A segment whose seal is missing, the chain in front of it, and the next segment's header.
fn sealed() -> (TestSegment, Chain, ByteOffset, SegmentHeader) {
    let mut segment = TestSegment::first();
    segment.batch(&rich_batch()).batch(&[TestEvent::new("a", "T", b"x")]);
    let (chain, offset) = (segment.chain, segment.offset);
    let next = segment.seal();
    (segment, chain, offset, next.header)
}

#[test]
fn a_missing_seal_is_made_again_from_the_next_header() {
    let (segment, chain, offset, next) = sealed();
    let seal = chain.seal_named_by(&next, segment.salt, offset).unwrap();
    assert_eq!(seal, segment.frame(2), "byte for byte the one that was written");
    assert!(segment.chain.leads_to(&next, segment.offset));
    assert!(Chain::at_start_of(&next).position == segment.chain.position);
}

#[test]
fn a_seal_is_not_made_again_where_anything_differs() {
    let (segment, chain, offset, next) = sealed();
    let named = |chain: &Chain, next: &SegmentHeader, offset| {
        chain.seal_named_by(next, segment.salt, offset).is_some()
    };
    let Predecessor { end, checksum } = next.predecessor.unwrap();
    assert!(named(&chain, &next, offset));
    let one = CommitTime::new(chain.time.as_u64() - 1);
    for (what, wrong) in [
        ("no predecessor", SegmentHeader { predecessor: None, ..next }),
        (
            "another end",
            SegmentHeader { predecessor: Some(Predecessor { end: end.plus(8), checksum }), ..next },
        ),
        (
            "another checksum",
            SegmentHeader {
                predecessor: Some(Predecessor { end, checksum: checksum ^ 1 }),
                ..next
            },
        ),
        ("another position", SegmentHeader { base_position: Position::new(6), ..next }),
        ("another time", SegmentHeader { created_at: next.created_at.plus(1), ..next }),
        ("an earlier time", SegmentHeader { created_at: one, ..next }),
        ("another synced position", SegmentHeader { synced_position: Position::new(4), ..next }),
        ("an earlier synced position", SegmentHeader { synced_position: Position::ZERO, ..next }),
    ] {
        assert!(!named(&chain, &wrong, offset), "{what}");
        assert!(!segment.chain.leads_to(&wrong, segment.offset), "{what}");
    }
    for (what, wrong) in [
        ("another frame before", Chain { previous: chain.previous ^ 1, ..chain }),
        ("another position", Chain { position: Position::new(4), ..chain }),
        ("a later time", Chain { time: next.created_at.plus(1), ..chain }),
        ("a later synced position", Chain { synced_position: Position::new(6), ..chain }),
    ] {
        assert!(!named(&wrong, &next, offset), "{what}");
    }
    assert!(!named(&chain, &next, offset.plus(8)), "another offset");
    let salt = Salt::new(next.log_id, SegmentSeq::new(1));
    assert_eq!(chain.seal_named_by(&next, salt, offset), None, "another segment");
    assert!(!segment.chain.leads_to(&next, segment.offset.plus(8)), "another end");
}

#[test]
fn a_seal_is_not_made_again_while_a_batch_in_front_of_it_is_missing() {
    let (segment, _, _, next) = sealed();
    let mut chain = Chain::at_start_of(&segment.header);
    let (first, _) = segment.frames[0];
    let Step::Frame { chain: behind_first, .. } =
        chain.step(&segment.bytes[first..], segment.salt, ByteOffset::new(first as u64))
    else {
        panic!("the first frame verifies")
    };
    for offset in (first..8192).step_by(8) {
        let offset = ByteOffset::new(offset as u64);
        assert_eq!(chain.seal_named_by(&next, segment.salt, offset), None);
        assert_eq!(behind_first.seal_named_by(&next, segment.salt, offset), None);
    }
    // Even a mark that was lost is missed: it has no events, and its checksum is in the chain.
    let mut marked = TestSegment::first();
    marked.batch(&rich_batch());
    chain = marked.chain;
    let offset = marked.control(ControlKind::Mark).offset;
    let next = marked.seal().header;
    assert_eq!(chain.seal_named_by(&next, marked.salt, offset), None);
}

#[test]
fn a_header_bears_witness_whatever_became_of_its_body() {
    let mut segment = TestSegment::first();
    for _ in 0..5 {
        segment.batch(&[TestEvent::new("a", "T", &[9; 100])]);
    }
    let (start, _) = segment.frames[0];
    let from = ByteOffset::new(start as u64);
    // All but the headers is gone; the header at `from` is, too.
    let mut bytes = segment.bytes.clone();
    for &(frame, end) in &segment.frames {
        bytes[frame + header::BYTES..end].fill(0);
    }
    bytes[start..start + 8].fill(0);
    let found = find_evidence(&bytes[start..], segment.salt, from).unwrap();
    let (last, _) = segment.frames[4];
    assert_eq!(found.offset, ByteOffset::new(last as u64));
    assert_eq!(found.synced_position, Position::new(4));
    // From a place that is not aligned, and from the segment's very start.
    let odd = ByteOffset::new(start as u64 + 3);
    assert_eq!(find_evidence(&bytes[start + 3..], segment.salt, odd), Some(found));
    assert_eq!(find_evidence(&bytes, segment.salt, ByteOffset::ZERO), Some(found));
    // The highest one counts, wherever it stands.
    bytes[last..last + 8].fill(0);
    let found = find_evidence(&bytes[start..], segment.salt, from).unwrap();
    assert_eq!(found.synced_position, Position::new(3));
    // Frames of another segment or log bear no witness here, nor does a header with a flipped bit.
    let other = Salt::new(segment.header.log_id, SegmentSeq::new(1));
    assert_eq!(find_evidence(&bytes[start..], other, from), None);
    for &(frame, _) in &segment.frames {
        bytes[frame + header::SYNCED_POSITION] ^= 1;
    }
    assert_eq!(find_evidence(&bytes[start..], segment.salt, from), None);
}

#[test]
fn evidence_is_found_at_the_very_end_and_not_in_the_header_block() {
    let mut segment = TestSegment::first();
    let room = 8192 - segment::BYTES - 64 - 104 - 64;
    segment.batch(&[TestEvent::new("a", "T", &vec![1; room])]).control(ControlKind::Mark);
    segment.control(ControlKind::Close);
    assert_eq!(segment.at(), 8192, "the segment is full to its last byte");
    let (close, _) = segment.frames[2];
    segment.bytes[close + header::BYTES..].fill(0);
    let from = segment.frames[1].0;
    segment.bytes[from..close].fill(0);
    let found =
        find_evidence(&segment.bytes[from..], segment.salt, ByteOffset::new(from as u64)).unwrap();
    assert_eq!(found.offset, ByteOffset::new(close as u64));
    assert_eq!(found.synced_position, Position::new(1));
    // The header is enough, to its last byte.
    let from_byte = ByteOffset::new(from as u64);
    let header_only = &segment.bytes[from..close + header::BYTES];
    assert_eq!(find_evidence(header_only, segment.salt, from_byte), Some(found));
    let short = &header_only[..header_only.len() - 1];
    assert_eq!(find_evidence(short, segment.salt, from_byte), None);
    // What stands in the header's block is no frame, whatever it looks like.
    let (at, salt) = (ByteOffset::new(512), segment.salt);
    let fields = ControlFields {
        position: Position::new(9),
        time: CommitTime::ZERO,
        synced_position: Position::new(9),
        settled: true,
        previous: 0,
    };
    let (forged, _) = control_frame(ControlKind::Mark, fields, salt, at);
    segment.bytes[512..576].copy_from_slice(&forged);
    assert!(matches!(FrameHeader::decode(&forged, salt, at), Ok(Some(_))));
    assert_eq!(
        find_evidence(&segment.bytes, salt, ByteOffset::ZERO).map(|e| e.offset),
        Some(found.offset)
    );
}

#[test]
fn the_last_settled_frame_is_found() {
    let mut segment = golden::checkpoints();
    segment.seal();
    let (from, salt) = (segment.frames[1].0, segment.salt);
    let look = |bytes: &[u8], from: usize| {
        find_evidence(&bytes[from..], salt, ByteOffset::new(from as u64)).unwrap().settled_at
    };
    let close = ByteOffset::new(segment.frames[4].0 as u64);
    assert_eq!(look(&segment.bytes, from), Some(close), "the seal behind it is not settled");
    let mut bytes = segment.bytes.clone();
    bytes[close.as_u64() as usize] ^= 8;
    let before = ByteOffset::new(segment.frames[3].0 as u64);
    assert_eq!(look(&bytes, from), Some(before));
    assert_eq!(look(&bytes, segment.frames[5].0), None);
}

#[test]
fn a_frame_of_any_kind_bears_witness() {
    let mut segment = TestSegment::first();
    segment.batch(&rich_batch()).control(ControlKind::Mark).control(ControlKind::Close);
    segment.seal();
    let salt = segment.salt;
    for &(start, end) in &segment.frames {
        let mut alone = vec![0; segment.bytes.len()];
        alone[start..end].copy_from_slice(&segment.bytes[start..end]);
        let found = find_evidence(&alone, salt, ByteOffset::ZERO).unwrap();
        assert_eq!(found.offset, ByteOffset::new(start as u64));
    }
}
