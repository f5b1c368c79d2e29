//! The golden segments, written by code: `tests/golden.rs` compares them with the files.

use quipu_format::layout::{header, segment, trailer};
use quipu_format::{ByteOffset, ControlKind, LogId, SegmentHeader};

use super::{
    CAPACITY, TestEvent, TestSegment, fix_frame, fix_segment_header, put_u32, put_u64, rich_batch,
};

/// Name and contents of every golden file.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = good();
    files.extend(damaged_headers());
    files.extend(damaged_frames());
    files.extend(forbidden_frames());
    files
}

/// One batch of one event.
pub fn one_batch() -> TestSegment {
    let mut segment = TestSegment::first();
    segment.batch(&[TestEvent::new("greetings", "Said", b"hello, world")]);
    segment
}

/// Every feature: ids, tags, metadata, empty payloads, several streams, a mark and a close frame.
pub fn many_batches() -> TestSegment {
    let mut segment = TestSegment::first();
    segment
        .batch(&rich_batch())
        .batch(&[TestEvent::new("order-1", "OrderShipped", &[0xab; 700]).tags(&["customer:7"])])
        .control(ControlKind::Mark)
        .batch(&[TestEvent::new("audit", "Noted", b"")])
        .batch(&[
            TestEvent::new("stock-9", "StockReleased", &[0; 24]),
            TestEvent::new("audit", "Noted", b"again").id(7),
        ])
        .control(ControlKind::Close);
    segment
}

/// As [`many_batches`], the last batch being the last frame.
fn unclosed() -> TestSegment {
    let mut segment = many_batches();
    let (start, end) = segment.frames.pop().expect("the close frame");
    segment.bytes[start..end].fill(0);
    segment
}

/// Named checkpoints: with events, alone, and what makes the last ones certain.
pub fn checkpoints() -> TestSegment {
    let mut segment = TestSegment::first();
    segment
        .checkpoints(&rich_batch(), &[("totals", 3), ("by customer", u64::MAX)], true)
        .checkpoints(&[], &[("totals", 4)], false)
        .checkpoints(&[TestEvent::new("audit", "Noted", b"")], &[("k\u{f6}", 0)], false)
        .checkpoints(&[], &[("k\u{f6}", 5), ("totals", 5)], true)
        .control_with(ControlKind::Close, true);
    segment
}

/// A sealed segment and the next one, with a batch in it.
pub fn sealed() -> (TestSegment, TestSegment) {
    let mut segment = TestSegment::first();
    segment.batch(&rich_batch()).batch(&[TestEvent::new("order-1", "OrderClosed", b"")]);
    let mut next = segment.seal();
    next.batch(&[TestEvent::new("order-1", "OrderReopened", b"why?")]);
    (segment, next)
}

fn good() -> Vec<(&'static str, Vec<u8>)> {
    let (sealed, successor) = sealed();
    vec![
        ("prepared.seg", vec![0; CAPACITY]),
        ("activated.seg", TestSegment::first().bytes),
        ("one-batch.seg", one_batch().bytes),
        ("many-batches.seg", many_batches().bytes),
        ("checkpoints.seg", checkpoints().bytes),
        ("sealed.seg", sealed.bytes),
        ("successor.seg", successor.bytes),
    ]
}

fn damaged_headers() -> Vec<(&'static str, Vec<u8>)> {
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = one_batch().bytes;
        change(&mut bytes);
        bytes
    };
    let fixed = |at: usize, value: u64| {
        with(&|bytes| {
            put_u64(bytes, at, value);
            fix_segment_header(bytes);
        })
    };
    let optional = one_batch().header;
    let optional = SegmentHeader { optional_features: 1 << 63, ..optional };
    vec![
        ("header-flipped-bit.seg", with(&|bytes| bytes[segment::BASE_POSITION + 3] ^= 0x10)),
        ("header-without-magic.seg", with(&|bytes| put_u64(bytes, segment::MAGIC, 0))),
        ("header-cut-short.seg", with(&|bytes| bytes.truncate(100))),
        ("header-foreign-file.seg", with(&|bytes| bytes[..8].copy_from_slice(b"PK\x03\x04wal\n"))),
        (
            "header-newer-version.seg",
            with(&|bytes| {
                put_u32(bytes, segment::FORMAT_VERSION, 2);
                fix_segment_header(bytes);
            }),
        ),
        ("header-required-feature.seg", fixed(segment::REQUIRED_FEATURES, 1 << 40)),
        ("header-optional-feature.seg", TestSegment::activate(optional).bytes),
        ("header-reserved-byte.seg", fixed(2048, 1)),
        ("header-odd-capacity.seg", fixed(segment::CAPACITY, CAPACITY as u64 + 512)),
        ("header-synced-above-base.seg", fixed(segment::SYNCED_POSITION, 1)),
        ("header-first-with-predecessor.seg", fixed(segment::PREDECESSOR_END, 4160)),
        ("header-other-log.seg", {
            let mut segment = TestSegment::first_of(LogId::from_bytes(*b"some other log's"));
            segment.batch(&[TestEvent::new("greetings", "Said", b"hello, world")]);
            segment.bytes
        }),
    ]
}

fn damaged_frames() -> Vec<(&'static str, Vec<u8>)> {
    let closed = many_batches();
    let open = unclosed();
    let last = open.frames.len() - 1;
    let (first_at, _) = open.frames[0];
    let (second_at, _) = open.frames[1];
    let (last_at, last_end) = open.frames[last];
    let with = |segment: &TestSegment, change: &dyn Fn(&mut [u8])| {
        let mut bytes = segment.bytes.clone();
        change(&mut bytes);
        bytes
    };
    let mut foreign = TestSegment::first_of(LogId::from_bytes(*b"some other log's"));
    foreign.batch(&[TestEvent::new("greetings", "Said", b"hello, world")]);
    vec![
        ("torn-header-bit.seg", with(&open, &|bytes| bytes[last_at + header::LENGTH] ^= 8)),
        ("torn-body.seg", with(&open, &|bytes| bytes[last_at + 80] ^= 1)),
        (
            "torn-zeroed-trailer.seg",
            with(&open, &|bytes| bytes[last_end - trailer::BYTES..last_end].fill(0)),
        ),
        (
            "torn-header-missing.seg",
            with(&open, &|bytes| bytes[last_at..last_at + header::BYTES].fill(0)),
        ),
        (
            "torn-moved-frame.seg",
            with(&open, &|bytes| bytes.copy_within(last_at..last_end, last_end)),
        ),
        (
            "torn-foreign-frame.seg",
            with(&TestSegment::first(), &|bytes| {
                bytes[first_at..first_at + foreign.frame(0).len()]
                    .copy_from_slice(foreign.frame(0));
            }),
        ),
        // The page with the first of three unsynced batches was lost, those with the others not.
        ("torn-missing-page.seg", three_pages(|_| 0)),
        ("damaged-missing-page.seg", three_pages(|position| position)),
        ("damaged-header-bit.seg", with(&open, &|bytes| bytes[second_at + header::LENGTH] ^= 8)),
        ("damaged-body.seg", with(&open, &|bytes| bytes[second_at + 200] ^= 1)),
        ("damaged-zeroed-sector.seg", with(&open, &|bytes| bytes[4096..4608].fill(0))),
        ("damaged-last-batch-before-close.seg", with(&closed, &|bytes| bytes[last_at + 80] ^= 1)),
        ("damaged-checkpoints.seg", last_checkpoints(false)),
        ("torn-checkpoints.seg", last_checkpoints(true)),
    ]
}

/// The last named checkpoints have a flipped bit; `zeroed`: and what was behind them is gone.
fn last_checkpoints(zeroed: bool) -> Vec<u8> {
    let TestSegment { mut bytes, frames, .. } = checkpoints();
    let (start, end) = frames[3];
    bytes[start + 50] ^= 1;
    if zeroed {
        bytes[end..].fill(0);
    }
    bytes
}

/// Three batches of a page each, of which the first lost its page; `synced` gives what was synced
/// when the position given was written.
fn three_pages(synced: impl Fn(u64) -> u64) -> Vec<u8> {
    let header = SegmentHeader { capacity: 20_480, ..TestSegment::first().header };
    let mut segment = TestSegment::activate(header);
    for position in 0..3 {
        let payload = vec![0x50 + position as u8; 4096 - 104];
        segment.batch_with(&[TestEvent::new("pages", "T", &payload)], synced(position).into());
    }
    segment.bytes[4096..8192].fill(0);
    segment.bytes
}

/// Frames under right checksums that no writer of this version writes at their place.
fn forbidden_frames() -> Vec<(&'static str, Vec<u8>)> {
    let open = unclosed();
    let last = open.frames.len() - 1;
    let (start, end) = open.frames[last];
    let offset = ByteOffset::new(start as u64);
    let with = |at: usize, byte: u8| {
        let mut bytes = open.bytes.clone();
        bytes[start + at] = byte;
        fix_frame(&mut bytes[start..end], open.salt, offset);
        bytes
    };
    // Written at the same place in an earlier life of the log.
    let stale = {
        let mut other = TestSegment::first();
        other.batch(&[TestEvent::new("other", "T", &[1; 12])]);
        other.batch(&[TestEvent::new("other", "T", b"stale")]);
        let (at, to) = other.frames[1];
        let mut bytes = one_batch().bytes;
        bytes[at..to].copy_from_slice(other.frame(1));
        bytes
    };
    let checkpoints = checkpoints();
    let with_checkpoints = |frame: usize, changes: &[(usize, u8)]| {
        let mut bytes = checkpoints.bytes.clone();
        let (start, end) = checkpoints.frames[frame];
        changes.iter().for_each(|(at, byte)| bytes[start + at] = *byte);
        let offset = ByteOffset::new(start as u64);
        fix_frame(&mut bytes[start..end], checkpoints.salt, offset);
        bytes
    };
    let name = header::BYTES + 10;
    vec![
        ("forbidden-seal-settled.seg", {
            let (sealed, _) = sealed();
            let (mut bytes, (start, end)) = (sealed.bytes.clone(), sealed.frames[2]);
            bytes[start + header::FLAGS] = header::FLAG_SETTLED;
            fix_frame(&mut bytes[start..end], sealed.salt, ByteOffset::new(start as u64));
            bytes
        }),
        ("forbidden-no-checkpoints.seg", with_checkpoints(1, &[(header::CHECKPOINT_COUNT, 0)])),
        ("forbidden-checkpoint-order.seg", with_checkpoints(3, &[(name, b'z')])),
        ("forbidden-checkpoint-name.seg", with_checkpoints(1, &[(name - 2, 0)])),
        ("forbidden-checkpoint-padding.seg", with_checkpoints(3, &[(name + 4, 1)])),
        ("forbidden-compressed-flag.seg", with(header::FLAGS, 1)),
        ("forbidden-kind.seg", with(header::KIND, 9)),
        ("forbidden-checkpoint-count.seg", with(header::CHECKPOINT_COUNT, 1)),
        ("forbidden-event-flag.seg", with(header::BYTES + 24 + 15, 2)),
        ("forbidden-stream-index.seg", with(header::BYTES + 24 + 4, 1)),
        ("torn-stale-frame.seg", stale),
    ]
}
