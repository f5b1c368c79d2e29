//! Sidecars of the golden segments, written by code: `tests/golden_index.rs` compares them with
//! the files.

use quipu_format::layout::{self, base, checkpoint, segment, sidecar};
use quipu_format::sidecar::{
    CheckpointBuilder, NameHasher, SealedSegment, SetCheckpoint, SidecarBuilder, StreamState,
};
use quipu_format::{
    ByteOffset, Chain, ControlKind, FrameKind, Position, Salt, SegmentHeader, Step, Version,
};

use super::{LOG_ID, TestEvent, TestSegment, golden, put_u32, put_u64};

/// A sealed segment, read from its bytes: what a sidecar is bound to, and the builder of one.
pub fn collect(file: &[u8]) -> (SealedSegment, SidecarBuilder) {
    let header = SegmentHeader::decode(file).unwrap().unwrap();
    let salt = Salt::new(header.log_id, header.sequence);
    let mut builder = SidecarBuilder::new(header.log_id, header.base_position);
    let mut chain = Chain::at_start_of(&header);
    let mut at = segment::BYTES;
    loop {
        let offset = ByteOffset::new(at as u64);
        let Step::Frame { frame, chain: behind } = chain.step(&file[at..], salt, offset) else {
            panic!("no frame at {at} of a sealed segment")
        };
        builder.push(&frame, offset).unwrap();
        (chain, at) = (behind, at + frame.header.frame_bytes as usize);
        if frame.header.kind == FrameKind::Control(ControlKind::Seal) {
            let sealed = SealedSegment {
                log_id: header.log_id,
                sequence: header.sequence,
                base_position: header.base_position,
                end_position: chain.position,
                seal_end: ByteOffset::new(at as u64),
                seal_checksum: chain.previous,
            };
            return (sealed, builder);
        }
    }
}

/// The sidecar of a sealed segment in front of which no stream has events.
pub fn sidecar_of(file: &[u8]) -> (SealedSegment, Vec<u8>) {
    let (sealed, builder) = collect(file);
    let bytes = builder.finish(&sealed, |first| panic!("nothing is in front of {first}"));
    (sealed, bytes)
}

/// The second segment of a log: its streams go on, and lists are long enough for skip tables.
pub fn long_lists() -> TestSegment {
    let (_, next) = golden::sealed();
    let header = SegmentHeader { capacity: 131_072, ..next.header };
    let mut segment = TestSegment::activate(header);
    segment.next_versions.insert("order-1".into(), 3);
    for number in 0..300 {
        let stream = if number % 3 == 0 { "order-1" } else { "audit" };
        let tags: &[&str] = if number % 100 == 7 { &["eu", "eu"] } else { &[] };
        segment.batch(&[TestEvent::new(stream, "Noted", b"x").tags(tags)]);
    }
    segment.control(ControlKind::Mark);
    segment.seal();
    segment
}

/// A sealed segment with named checkpoints, some set more than once.
pub fn with_checkpoints() -> TestSegment {
    let mut segment = golden::checkpoints();
    segment.seal();
    segment
}

/// The sidecar of [`long_lists`], given where its streams stood before.
pub fn long_sidecar() -> (SealedSegment, Vec<u8>) {
    let (sealed, builder) = collect(&long_lists().bytes);
    let bytes = builder.finish(&sealed, |first| {
        assert_eq!(first, sealed.base_position, "order-1 goes on there");
        Some(Position::new(4))
    });
    (sealed, bytes)
}

/// The checkpoint of the streams of the first golden sealed segment.
pub fn checkpoint_of_sealed() -> (SealedSegment, Vec<u8>) {
    let (sealed, _) = sidecar_of(&golden::sealed().0.bytes);
    let hasher = NameHasher::new(LOG_ID);
    let mut streams = [("order-1", 2, 4), ("stock-9", 0, 1), ("k\u{f6}nig", 0, 3)]
        .map(|(name, version, position)| (hasher.stream(name), name, version, position));
    streams.sort_unstable();
    let set = |name, position, set_by: Option<u64>| SetCheckpoint {
        name,
        position: Position::new(position),
        set_by: set_by.map(Position::new),
    };
    let mut builder = CheckpointBuilder::new([
        set("totals", 3, Some(0)),
        set("by customer", u64::MAX, None),
        set("totals", 4, Some(4)),
    ]);
    for (hash, name, version, position) in streams {
        let (version, position) = (Version::new(version), Position::new(position));
        builder.push(&StreamState { hash, name, version, position });
    }
    (sealed, builder.finish(&sealed))
}

/// The base in front of the second golden segment: what is left of the first one.
pub fn base_of_sealed() -> (SealedSegment, Vec<u8>) {
    let (front, next) = golden::sealed();
    let (sealed, _) = sidecar_of(&front.bytes);
    let hasher = NameHasher::new(LOG_ID);
    let mut streams = [("order-1", 2, 4), ("stock-9", 0, 1), ("k\u{f6}nig", 0, 3)]
        .map(|(name, version, position)| (hasher.stream(name), name, version, position));
    streams.sort_unstable();
    let set =
        |name, position| SetCheckpoint { name, position: Position::new(position), set_by: None };
    let mut builder = CheckpointBuilder::new([set("totals", 4), set("by customer", 7)]);
    for (hash, name, version, position) in streams {
        let (version, position) = (Version::new(version), Position::new(position));
        builder.push(&StreamState { hash, name, version, position });
    }
    let header = next.header;
    (sealed, builder.finish_base(&sealed, header.created_at, header.synced_position))
}

/// Name and contents of every golden file.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    let (sealed, index) = sidecar_of(&golden::sealed().0.bytes);
    let mut empty = TestSegment::first();
    empty.seal();
    let section = |number: usize| sidecar::SECTIONS + number * sidecar::section::BYTES;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = index.clone();
        change(&mut bytes);
        bytes
    };
    let fixed = |change: &dyn Fn(&mut Vec<u8>)| {
        with(&|bytes| {
            change(bytes);
            fix_index(bytes);
        })
    };
    let record = read_end(&index, 1).next_multiple_of(8);
    let checkpoint = checkpoint_of_sealed().1;
    let whole_base = base_of_sealed().1;
    let base_with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole_base.clone();
        change(&mut bytes);
        bytes
    };
    let base_fixed = |change: &dyn Fn(&mut Vec<u8>)| {
        base_with(&|bytes| {
            change(bytes);
            fix_base(bytes);
        })
    };
    let checkpoint_with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = checkpoint.clone();
        change(&mut bytes);
        bytes
    };
    assert_eq!(sealed.end_position, Position::new(5));
    vec![
        ("sealed.idx", index.clone()),
        ("long-lists.idx", long_sidecar().1),
        ("empty.idx", sidecar_of(&empty.bytes).1),
        ("checkpoints.idx", sidecar_of(&with_checkpoints().bytes).1),
        ("bad-header-bit.idx", with(&|bytes| bytes[sidecar::BASE_POSITION + 1] ^= 4)),
        ("bad-record-bit.idx", with(&|bytes| bytes[record + 2] ^= 4)),
        ("bad-cut-short.idx", with(&|bytes| bytes.truncate(bytes.len() - 8))),
        ("bad-too-long.idx", with(&|bytes| bytes.extend([0; 8]))),
        ("bad-empty-file.idx", Vec::new()),
        ("bad-foreign-file.idx", with(&|bytes| bytes[..8].copy_from_slice(b"PK\x03\x04wal\n"))),
        ("bad-newer-version.idx", fixed(&|bytes| put_u32(bytes, sidecar::FORMAT_VERSION_AT, 2))),
        ("bad-other-seal.idx", fixed(&|bytes| bytes[sidecar::SEAL_CHECKSUM] ^= 1)),
        ("bad-other-log.idx", fixed(&|bytes| bytes[sidecar::LOG_ID] ^= 1)),
        ("bad-checkpoint-count.idx", fixed(&|bytes| bytes[sidecar::CHECKPOINT_COUNT] = 1)),
        ("bad-stream-count.idx", fixed(&|bytes| put_u64(bytes, sidecar::STREAM_COUNT, 4))),
        ("bad-section-end.idx", fixed(&|bytes| put_u64(bytes, section(2), u64::MAX))),
        ("bad-name-length.idx", fixed(&|bytes| bytes[record] = 0)),
        (
            "bad-table-order.idx",
            fixed(&|bytes| {
                let table = read_end(bytes, 0).next_multiple_of(8);
                let (first, second) = bytes[table..table + 32].split_at_mut(16);
                first[..8].swap_with_slice(&mut second[..8]);
            }),
        ),
        ("bad-filter.idx", fixed(&|bytes| bytes[sidecar::BYTES] ^= 0xff)),
        ("streams.ckpt", checkpoint.clone()),
        ("bad-bit.ckpt", checkpoint_with(&|bytes| bytes[checkpoint::BYTES + 49] ^= 1)),
        ("bad-cut-short.ckpt", checkpoint_with(&|bytes| bytes.truncate(checkpoint::BYTES))),
        ("log.base", whole_base.clone()),
        ("bad-bit.base", base_with(&|bytes| bytes[base::BYTES + 40] ^= 1)),
        ("bad-header-bit.base", base_with(&|bytes| bytes[base::SEAL_TIME] ^= 1)),
        ("bad-cut-short.base", base_with(&|bytes| bytes.truncate(bytes.len() - 8))),
        ("bad-checkpoint.base", checkpoint.clone()),
        (
            "bad-newer-version.base",
            base_fixed(&|bytes| put_u32(bytes, checkpoint::FORMAT_VERSION_AT, 2)),
        ),
        ("bad-events.base", base_fixed(&|bytes| put_u64(bytes, checkpoint::END_POSITION, 6))),
        ("bad-synced.base", base_fixed(&|bytes| put_u64(bytes, base::SYNCED_POSITION, 6))),
        ("bad-seal-end.base", base_fixed(&|bytes| put_u64(bytes, checkpoint::SEAL_END, 4100))),
        ("bad-sequence.base", base_fixed(&|bytes| put_u64(bytes, checkpoint::SEQUENCE, u64::MAX))),
        (
            "bad-count.ckpt",
            checkpoint_with(&|bytes| {
                put_u64(bytes, checkpoint::STREAM_COUNT, 2);
                fix_checkpoint(bytes);
            }),
        ),
        (
            "bad-checkpoint-count.ckpt",
            checkpoint_with(&|bytes| {
                put_u64(bytes, checkpoint::CHECKPOINT_COUNT, 9);
                fix_checkpoint(bytes);
            }),
        ),
    ]
}

fn read_end(index: &[u8], section: usize) -> usize {
    let at = sidecar::SECTIONS + section * sidecar::section::BYTES;
    u64::from_le_bytes(index[at..at + 8].try_into().unwrap()) as usize
}

/// Makes the checksums of an index right again, as far as its own sections lead.
pub fn fix_index(bytes: &mut [u8]) {
    let mut start = sidecar::BYTES;
    for number in 0..sidecar::SECTION_COUNT {
        let end = read_end(bytes, number);
        let Some(section) = bytes.get(start..end) else { break };
        let sum = quipu_format::checksum::crc32c_append(0, section);
        let at = sidecar::SECTIONS + number * sidecar::section::BYTES;
        put_u32(bytes, at + sidecar::section::CHECKSUM, sum);
        start = layout::aligned(end);
    }
    put_u32(bytes, sidecar::CHECKSUM, 0);
    let sum = quipu_format::checksum::crc32c_append(0, &bytes[..sidecar::BYTES]);
    put_u32(bytes, sidecar::CHECKSUM, sum);
}

/// Makes the checksums of a base right again.
pub fn fix_base(bytes: &mut [u8]) {
    let sum = quipu_format::checksum::crc32c_append(0, &bytes[base::BYTES..]);
    put_u32(bytes, checkpoint::RECORDS_CHECKSUM, sum);
    put_u32(bytes, checkpoint::CHECKSUM, 0);
    let sum = quipu_format::checksum::crc32c_append(0, &bytes[..base::BYTES]);
    put_u32(bytes, checkpoint::CHECKSUM, sum);
}

/// Makes the checksums of a checkpoint right again.
pub fn fix_checkpoint(bytes: &mut [u8]) {
    let sum = quipu_format::checksum::crc32c_append(0, &bytes[checkpoint::BYTES..]);
    put_u32(bytes, checkpoint::RECORDS_CHECKSUM, sum);
    put_u32(bytes, checkpoint::CHECKSUM, 0);
    let sum = quipu_format::checksum::crc32c_append(0, &bytes[..checkpoint::BYTES]);
    put_u32(bytes, checkpoint::CHECKSUM, sum);
}
