//! Target: a walk over a whole segment.
//!
//! Input: flags, then the header's fields and the frames: the first 100 bytes are put at the
//! segment's start, the rest behind the header's block. With [`FLAG_RAW`], the segment as it is.

use quipu_format::layout::{self, header, segment};
use quipu_format::{
    Body, ByteOffset, Chain, ControlKind, FrameKind, Predecessor, Salt, SegmentHeader, Step,
    find_evidence,
};

use crate::repair::{fix_frame, fix_segment_header, put, u32_at};
use crate::{FLAG_CHAIN, FLAG_FIX, FLAG_RAW};

/// Most frames that a walk can meet.
const FRAMES_MAX: usize = CAPACITY / layout::CONTROL_FRAME_BYTES;
/// Largest segment that an input is laid out in.
const CAPACITY: usize = 16_384;

/// The walk ends, positions are dense, each frame bears witness, and a flipped bit stops the walk.
pub fn scan_segment(data: &[u8]) -> bool {
    let Some((&flags, rest)) = data.split_first() else { return false };
    let mut bytes = lay_out(flags, rest);
    if flags & FLAG_FIX != 0 {
        fix_segment_header(&mut bytes);
    }
    let Ok(Some(first)) = SegmentHeader::decode(&bytes) else { return false };
    let salt = Salt::new(first.log_id, first.sequence);
    if flags & FLAG_FIX != 0 {
        fix_frames(&mut bytes, flags, &first, salt);
    }
    let walk = Walk::over(&bytes, &first, salt);
    let Some(last) = walk.frames.last() else { return false };

    // Each frame's header is evidence for what stands in front of it.
    let from = ByteOffset::new(segment::BYTES as u64);
    let evidence = find_evidence(&bytes[segment::BYTES..], salt, from).unwrap();
    assert!(evidence.synced_position >= last.before.synced_position);
    assert!(walk.end.synced_position <= evidence.synced_position);

    // Any flipped bit of an accepted frame stops the walk right there, and changes nothing before.
    let mut hash = rest.iter().fold(17_usize, |hash, byte| hash * 31 % 65_521 + usize::from(*byte));
    let hit = &walk.frames[hash % walk.frames.len()];
    hash /= walk.frames.len();
    let at = hit.start + hash % (hit.end - hit.start);
    bytes[at] ^= 1 << (flags >> 5);
    let again = Walk::over(&bytes, &first, salt);
    assert_eq!(again.stopped_at, hit.start, "a flipped bit in byte {at}");
    assert_eq!(again.end, hit.before);
    true
}

struct Found {
    start: usize,
    end: usize,
    before: Chain,
}

struct Walk {
    frames: Vec<Found>,
    end: Chain,
    stopped_at: usize,
}

impl Walk {
    fn over(bytes: &[u8], first: &SegmentHeader, salt: Salt) -> Self {
        let mut walk =
            Self { frames: Vec::new(), end: Chain::at_start_of(first), stopped_at: segment::BYTES };
        loop {
            let (start, before) = (walk.stopped_at, walk.end);
            let offset = ByteOffset::new(start as u64);
            let Step::Frame { frame, chain } = before.step(&bytes[start..], salt, offset) else {
                return walk;
            };
            let length = frame.header.frame_bytes as usize;
            let (end, events) = (start + length, u64::from(frame.header.event_count));
            assert!(end <= bytes.len() && length.is_multiple_of(8));
            assert_eq!(frame.header.first_position, before.position);
            assert_eq!(chain.position.as_u64(), before.position.as_u64() + events);
            assert!(chain.time >= before.time && chain.synced_position >= before.synced_position);
            assert!(chain.synced_position <= chain.position);
            let body = Body::decode(&frame).unwrap();
            assert_eq!(body.events().filter(Result::is_ok).count() as u64, events);
            if frame.header.kind == FrameKind::Control(ControlKind::Seal) {
                check_seal(first, &before, &chain, salt, &bytes[start..end], offset);
            }
            walk.frames.push(Found { start, end, before });
            assert!(walk.frames.len() <= FRAMES_MAX.max(bytes.len() / 64), "the walk ends");
            (walk.end, walk.stopped_at) = (chain, end);
            if frame.header.kind == FrameKind::Control(ControlKind::Seal) {
                return walk;
            }
        }
    }
}

/// The segment behind a seal names it, and gives it back if it is lost.
fn check_seal(
    first: &SegmentHeader,
    before: &Chain,
    behind: &Chain,
    salt: Salt,
    seal: &[u8],
    offset: ByteOffset,
) {
    let end = offset.plus(seal.len() as u64);
    let next = SegmentHeader {
        sequence: first.sequence.plus(1),
        base_position: behind.position,
        created_at: behind.time,
        synced_position: behind.synced_position,
        predecessor: Some(Predecessor { end, checksum: behind.previous }),
        ..*first
    };
    assert!(behind.leads_to(&next, end));
    assert_eq!(before.seal_named_by(&next, salt, offset).unwrap()[..], *seal);
    let other = SegmentHeader { created_at: next.created_at.plus(1), ..next };
    if other != next {
        assert_eq!(before.seal_named_by(&other, salt, offset), None);
    }
}

fn lay_out(flags: u8, rest: &[u8]) -> Vec<u8> {
    if flags & FLAG_RAW != 0 {
        let mut bytes = rest[..rest.len().min(CAPACITY)].to_vec();
        bytes.resize(bytes.len().max(segment::BYTES), 0);
        return bytes;
    }
    let (fields, frames) = rest.split_at(rest.len().min(segment::FIELDS_END));
    let mut bytes = vec![0; CAPACITY];
    put(&mut bytes, 0, fields);
    put(&mut bytes, segment::BYTES, &frames[..frames.len().min(CAPACITY - segment::BYTES)]);
    bytes
}

/// Makes the checksums of frame after frame right, as their lengths lead; if asked, the fields that
/// chain them, too.
fn fix_frames(bytes: &mut [u8], flags: u8, first: &SegmentHeader, salt: Salt) {
    let mut chain = Chain::at_start_of(first);
    let mut at = segment::BYTES;
    while bytes.len() - at >= layout::CONTROL_FRAME_BYTES && u32_at(bytes, at) != 0 {
        let offset = ByteOffset::new(at as u64);
        if flags & FLAG_CHAIN != 0 {
            let frame = &mut bytes[at..];
            put(frame, header::PREVIOUS, &chain.previous.to_le_bytes());
            put(frame, header::FIRST_POSITION, &chain.position.as_u64().to_le_bytes());
        }
        fix_frame(&mut bytes[at..], salt, offset);
        let Step::Frame { frame, chain: behind } = chain.step(&bytes[at..], salt, offset) else {
            return;
        };
        chain = behind;
        at += frame.header.frame_bytes as usize;
    }
}
