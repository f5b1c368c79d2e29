//! Goal: no flipped bit, missing piece, moved frame or half-made encoding is ever taken for a frame.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use common::{LOG_ID, TestEvent, TestSegment, encode, fix_frame, rich_batch};
use quipu_format::layout::segment;
use quipu_format::{
    ByteOffset, CommitFields, ControlKind, Frame, FrameError, LogId, Salt, SegmentHeader,
    SegmentSeq, Step, Version,
};

/// A segment with a frame of every kind; the batches are of several sizes.
fn sample() -> TestSegment {
    let mut segment = TestSegment::first();
    segment
        .batch(&[TestEvent::new("a", "T", b"")])
        .batch(&rich_batch())
        .control(ControlKind::Mark)
        .batch(&[TestEvent::new("a", "T", &[0; 64]), TestEvent::new("b", "U", &[0xff; 31])])
        .control(ControlKind::Close);
    segment.seal();
    segment
}

/// Whether the bytes hold a whole frame at `offset`.
fn decodes(bytes: &[u8], salt: Salt, offset: usize) -> bool {
    matches!(Frame::decode(bytes, salt, ByteOffset::new(offset as u64)), Ok(Some(_)))
}

#[test]
fn every_single_flipped_bit_of_a_frame_is_an_error() {
    let segment = sample();
    for &(start, end) in &segment.frames {
        let mut bytes = segment.bytes[start..end].to_vec();
        assert!(decodes(&bytes, segment.salt, start));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = Frame::decode(&bytes, segment.salt, ByteOffset::new(start as u64));
            assert!(found.is_err(), "bit {bit} of the frame at {start}: {found:?}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_pair_of_flipped_bits_of_a_small_frame_is_an_error_or_never_written() {
    let segment = sample();
    let (start, end) = segment.frames[2];
    let mut bytes = segment.bytes[start..end].to_vec();
    for first in 0..bytes.len() * 8 {
        bytes[first / 8] ^= 1 << (first % 8);
        for second in 0..first {
            bytes[second / 8] ^= 1 << (second % 8);
            assert!(!decodes(&bytes, segment.salt, start), "bits {first} and {second}");
            bytes[second / 8] ^= 1 << (second % 8);
        }
        bytes[first / 8] ^= 1 << (first % 8);
    }
}

#[test]
fn every_zeroed_byte_and_every_truncation_of_a_frame_is_an_error() {
    let segment = sample();
    for &(start, end) in &segment.frames {
        let whole = segment.bytes[start..end].to_vec();
        let offset = ByteOffset::new(start as u64);
        for at in 0..whole.len() {
            let found = Frame::decode(&whole[..at], segment.salt, offset);
            assert!(
                matches!(found, Err(FrameError::Truncated(_))),
                "the first {at} bytes of the frame at {start}: {found:?}"
            );
            let mut bytes = whole.clone();
            if bytes[at] != 0 {
                bytes[at] = 0;
                let found = Frame::decode(&bytes, segment.salt, offset);
                assert!(found.is_err(), "byte {at} of the frame at {start}: {found:?}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_segment_header_is_an_error() {
    let mut first = sample();
    for segment in [first.clone(), first.seal()] {
        let mut block = segment.bytes[..segment::BYTES].to_vec();
        assert_eq!(SegmentHeader::decode(&block), Ok(Some(segment.header)));
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&block).is_err(), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        for at in 0..block.len() {
            assert!(SegmentHeader::decode(&block[..at]).is_err(), "the first {at} bytes");
            let byte = std::mem::take(&mut block[at]);
            assert!(byte == 0 || SegmentHeader::decode(&block).is_err(), "byte {at} zeroed");
            block[at] = byte;
        }
    }
}

#[test]
fn a_single_bit_in_a_prepared_header_is_an_error() {
    let mut block = [0; segment::BYTES];
    assert_eq!(SegmentHeader::decode(&block), Ok(None));
    for bit in 0..block.len() * 8 {
        block[bit / 8] ^= 1 << (bit % 8);
        assert!(SegmentHeader::decode(&block).is_err(), "bit {bit}");
        block[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_frame_verifies_at_its_own_place_only() {
    let segment = sample();
    let mut other_log = *LOG_ID.as_bytes();
    other_log[15] ^= 1;
    for index in 0..segment.frames.len() {
        let (start, _) = segment.frames[index];
        let frame = segment.frame(index);
        for offset in (0..16384).step_by(8).filter(|offset| *offset != start) {
            assert!(!decodes(frame, segment.salt, offset), "frame {index} at {offset}");
        }
        for sequence in 1..2000 {
            let salt = Salt::new(LOG_ID, SegmentSeq::new(sequence));
            assert!(!decodes(frame, salt, start), "frame {index} in segment {sequence}");
        }
        let salt = Salt::new(LogId::from_bytes(other_log), SegmentSeq::ZERO);
        assert!(!decodes(frame, salt, start), "frame {index} in another log");
    }
}

#[test]
fn frames_that_changed_places_do_not_follow_the_chain_even_with_checksums_made_right() {
    let mut segment = TestSegment::first();
    segment
        .batch(&[TestEvent::new("a", "T", b"first")])
        .batch(&[TestEvent::new("b", "T", b"other")]);
    let (start, middle) = segment.frames[0];
    let (_, end) = segment.frames[1];
    let swapped = [segment.frame(1), segment.frame(0)].concat();
    segment.bytes[start..end].copy_from_slice(&swapped);

    let chain = quipu_format::Chain::at_start_of(&segment.header);
    let offset = ByteOffset::new(start as u64);
    let step = chain.step(&segment.bytes[start..], segment.salt, offset);
    assert!(matches!(step, Step::Bad(FrameError::HeaderChecksum { .. })), "{step:?}");

    let salt = segment.salt;
    fix_frame(&mut segment.bytes[start..middle], salt, offset);
    let step = chain.step(&segment.bytes[start..], salt, offset);
    assert!(matches!(step, Step::Bad(FrameError::Previous { .. })), "{step:?}");
}

#[test]
fn a_frame_left_out_is_noticed_by_the_next() {
    let mut segment = sample();
    let chain = quipu_format::Chain::at_start_of(&segment.header);
    let (start, end) = segment.frames[1];
    let step = chain.step(&segment.bytes[start..], segment.salt, ByteOffset::new(start as u64));
    assert!(matches!(step, Step::Bad(FrameError::Previous { .. })), "{step:?}");
    // Nor does it help to move it down and make its checksums right.
    let (gap, _) = segment.frames[0];
    segment.bytes.copy_within(start..end, gap);
    let salt = segment.salt;
    fix_frame(&mut segment.bytes[gap..gap + (end - start)], salt, ByteOffset::new(gap as u64));
    let step = chain.step(&segment.bytes[gap..], salt, ByteOffset::new(gap as u64));
    assert!(matches!(step, Step::Bad(FrameError::Previous { .. })), "{step:?}");
}

#[test]
fn any_subset_of_sectors_of_a_frame_decodes_only_if_nothing_is_missing() {
    // At each place within a sector: the frame touches one sector more or less.
    for lead in (0..512).step_by(8) {
        let mut segment = TestSegment::first();
        if lead >= 104 {
            segment.batch(&[TestEvent::new("s", "T", &vec![1; lead - 104])]);
        }
        let payload: Vec<u8> = (0..1800).map(|at| (at % 251) as u8 + 1).collect();
        segment.batch(&[TestEvent::new("a", "T", &payload), TestEvent::new("b", "T", b"")]);
        let (start, end) = *segment.frames.last().unwrap();
        let whole = segment.bytes[start..end].to_vec();
        let sectors: Vec<(usize, usize)> = (start / 512..end.div_ceil(512))
            .map(|sector| {
                let from = (sector * 512).max(start) - start;
                (from, ((sector + 1) * 512).min(end) - start)
            })
            .collect();
        for subset in 0_u32..1 << sectors.len() {
            let mut bytes = vec![0; whole.len()];
            for (index, &(from, to)) in sectors.iter().enumerate() {
                if subset >> index & 1 == 1 {
                    bytes[from..to].copy_from_slice(&whole[from..to]);
                }
            }
            assert_eq!(
                decodes(&bytes, segment.salt, start),
                bytes == whole,
                "sectors {subset:b} of the frame at {start}"
            );
        }
    }
}

#[test]
fn any_subset_of_eight_byte_words_of_a_small_frame_decodes_only_if_nothing_is_missing() {
    let segment = sample();
    for index in [0, 2] {
        let (start, _) = segment.frames[index];
        let whole = segment.frame(index);
        let words = whole.len() / 8;
        for subset in 0_u32..1 << words {
            let mut bytes = vec![0; whole.len()];
            for word in 0..words {
                if subset >> word & 1 == 1 {
                    bytes[word * 8..][..8].copy_from_slice(&whole[word * 8..][..8]);
                }
            }
            assert!(
                bytes == whole || !decodes(&bytes, segment.salt, start),
                "words {subset:b} of frame {index}"
            );
        }
    }
}

#[test]
fn a_half_made_encoding_never_decodes() {
    let salt = Salt::new(LOG_ID, SegmentSeq::ZERO);
    let start = segment::BYTES;
    let raw = encode(&rich_batch());
    assert!(!decodes(&raw.parts().concat(), salt, start), "nothing filled in");

    let mut versions_only = raw.clone();
    for index in 0..raw.stream_count() {
        assert_eq!(versions_only.first_version(index), None);
        versions_only.set_first_version(index, Version::ZERO);
        assert_eq!(versions_only.first_version(index), Some(Version::ZERO));
    }
    assert_eq!(versions_only.first_version(raw.stream_count()), None);
    assert!(!decodes(&versions_only.parts().concat(), salt, start), "versions filled in");

    let mut whole = versions_only.clone();
    whole.commit(&fields_at(start), salt);
    let [head, tail] = whole.parts();
    assert!(decodes(&whole.parts().concat(), salt, start));
    let [raw_head, raw_tail] = raw.parts();
    let [_, versions_tail] = versions_only.parts();
    for (what, bytes) in [
        ("head only", [head, raw_tail].concat()),
        ("head and versions only", [head, versions_tail].concat()),
        ("tail only", [raw_head, tail].concat()),
        ("head without anything behind it", [head, &vec![0; tail.len()]].concat()),
        ("tail without anything in front", [&vec![0; head.len()], tail].concat()),
    ] {
        assert!(!decodes(&bytes, salt, start), "{what}");
    }

    let mut changed = whole.clone();
    changed.set_first_version(0, Version::new(1));
    assert!(!decodes(&changed.parts().concat(), salt, start), "a version set after the commit");
    changed.commit(&fields_at(start), salt);
    assert!(decodes(&changed.parts().concat(), salt, start), "and committed again");
}

#[test]
fn a_version_that_was_never_set_does_not_decode_under_right_checksums() {
    let mut segment = TestSegment::first();
    segment.batch(&[TestEvent::new("a", "T", b"")]);
    let (start, end) = segment.frames[0];
    let mut bytes = segment.bytes[start..end].to_vec();
    let versions_at = bytes.len() - 24;
    bytes[versions_at..versions_at + 8].fill(0xff);
    fix_frame(&mut bytes, segment.salt, ByteOffset::new(start as u64));
    let found = Frame::decode(&bytes, segment.salt, ByteOffset::new(start as u64)).unwrap_err();
    assert!(matches!(found, FrameError::Field { field: "stream version", .. }), "{found:?}");
    assert!(found.is_contradiction());
}

#[test]
#[should_panic(expected = "every stream's first version is set")]
fn committing_without_a_version_is_refused() {
    let salt = Salt::new(LOG_ID, SegmentSeq::ZERO);
    encode(&rich_batch()).commit(&fields_at(segment::BYTES), salt);
}

#[test]
#[should_panic(expected = "a header that would not decode")]
fn committing_a_header_that_would_not_decode_is_refused() {
    let mut batch = encode(&[TestEvent::new("a", "T", b"")]);
    batch.set_first_version(0, Version::ZERO);
    let fields = CommitFields { synced_position: 1_u64.into(), ..fields_at(segment::BYTES) };
    batch.commit(&fields, Salt::new(LOG_ID, SegmentSeq::ZERO));
}

fn fields_at(offset: usize) -> CommitFields {
    CommitFields {
        offset: ByteOffset::new(offset as u64),
        first_position: 0_u64.into(),
        commit_time: 0_u64.into(),
        synced_position: 0_u64.into(),
        settled: false,
        previous: 0,
    }
}
