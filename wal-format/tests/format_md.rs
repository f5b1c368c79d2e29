//! Goal: FORMAT.md says what the code does: byte tables, limits and the worked example.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use common::{TestEvent, TestSegment};
use quipu_format::layout::{
    self, FORMAT_VERSION, FRAME_BYTES_MAX, base, checkpoint, event, header, named, segment,
    sidecar, streams, trailer, versions,
};
use quipu_format::{
    ByteOffset, FrameHeader, LogId, Salt, SegmentHeader, SegmentHeaderError, SegmentSeq,
    find_evidence,
};

const TEXT: &str = include_str!("../FORMAT.md");

/// Stands where the zeros of a cut begin, until they are durable.
const REPAIR_MARK: [u8; 8] = *b"Q\0\0\0\0\0\0\0";

/// The part of the page under the heading that begins with `heading`.
fn section(heading: &str) -> &'static str {
    let start = TEXT.find(&format!("{heading} ")).unwrap_or_else(|| panic!("no {heading}"));
    let rest = &TEXT[start + heading.len()..];
    &rest[..rest.find("\n#").unwrap_or(rest.len())]
}

/// The byte table of a section: offset, size and name of each field.
fn table(heading: &str) -> Vec<(usize, usize, &'static str)> {
    section(heading)
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (offset, size) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
            Some((offset, size, cells.next()?))
        })
        .collect()
}

/// Compares a table with the offsets of the code, the last of which is the end.
fn compare(heading: &str, fields: &[(&str, usize)], end: usize) {
    let ends = fields.iter().skip(1).map(|(_, offset)| *offset).chain([end]);
    let expected: Vec<_> =
        fields.iter().zip(ends).map(|(&(name, at), end)| (at, end - at, name)).collect();
    assert_eq!(table(heading), expected, "{heading}");
}

#[test]
fn the_byte_tables_are_those_of_the_code() {
    compare(
        "## 2.",
        &[
            ("magic", segment::MAGIC),
            ("format version", segment::FORMAT_VERSION),
            ("checksum", segment::CHECKSUM),
            ("required features", segment::REQUIRED_FEATURES),
            ("optional features", segment::OPTIONAL_FEATURES),
            ("log id", segment::LOG_ID),
            ("sequence", segment::SEQUENCE),
            ("capacity", segment::CAPACITY),
            ("base position", segment::BASE_POSITION),
            ("creation time", segment::CREATED_AT),
            ("predecessor's end", segment::PREDECESSOR_END),
            ("synced position", segment::SYNCED_POSITION),
            ("predecessor's checksum", segment::PREDECESSOR_CHECKSUM),
            ("reserved", segment::FIELDS_END),
        ],
        segment::BYTES,
    );
    compare(
        "### 3.1",
        &[
            ("length", header::LENGTH),
            ("kind", header::KIND),
            ("flags", header::FLAGS),
            ("checkpoint count", header::CHECKPOINT_COUNT),
            ("event count", header::EVENT_COUNT),
            ("stream count", header::STREAM_COUNT),
            ("first position", header::FIRST_POSITION),
            ("commit time", header::COMMIT_TIME),
            ("synced position", header::SYNCED_POSITION),
            ("previous checksum", header::PREVIOUS),
            ("header checksum", header::CHECKSUM),
        ],
        header::BYTES,
    );
    compare("### 3.2", &[("first version", 0)], versions::ENTRY_BYTES);
    compare(
        "### 3.3",
        &[
            ("body checksum", trailer::BODY_CHECKSUM),
            ("magic", trailer::MAGIC),
            ("length", trailer::LENGTH),
            ("commit checksum", trailer::COMMIT_CHECKSUM),
        ],
        trailer::BYTES,
    );
    compare("### 4.1", &[("end", 0)], streams::ENTRY_BYTES);
    compare(
        "### 4.3",
        &[("position", named::POSITION), ("name length", named::NAME_LENGTH)],
        named::FIXED_BYTES,
    );
    compare("### 8.1", &[("repair mark", 0)], REPAIR_MARK.len());
    compare(
        "### 4.2",
        &[
            ("length", event::LENGTH),
            ("stream", event::STREAM),
            ("metadata length", event::METADATA_LENGTH),
            ("tags length", event::TAGS_LENGTH),
            ("type length", event::TYPE_LENGTH),
            ("flags", event::FLAGS),
        ],
        event::FIXED_BYTES,
    );
}

#[test]
fn the_byte_tables_of_derived_files_are_those_of_the_code() {
    compare(
        "### 13.1",
        &[
            ("magic", sidecar::MAGIC),
            ("format version", sidecar::FORMAT_VERSION_AT),
            ("checksum", sidecar::CHECKSUM),
            ("log id", sidecar::LOG_ID),
            ("sequence", sidecar::SEQUENCE),
            ("base position", sidecar::BASE_POSITION),
            ("end position", sidecar::END_POSITION),
            ("seal's end", sidecar::SEAL_END),
            ("seal's checksum", sidecar::SEAL_CHECKSUM),
            ("checkpoint count", sidecar::CHECKPOINT_COUNT),
            ("batch count", sidecar::BATCH_COUNT),
            ("stream count", sidecar::STREAM_COUNT),
            ("tag count", sidecar::TAG_COUNT),
            ("type count", sidecar::TYPE_COUNT),
            ("sections", sidecar::SECTIONS),
        ],
        sidecar::BYTES,
    );
    compare(
        "### 13.2",
        &[
            ("end", sidecar::section::END),
            ("checksum", sidecar::section::CHECKSUM),
            ("reserved", sidecar::section::RESERVED),
        ],
        sidecar::section::BYTES,
    );
    let names = table("### 13.3");
    assert_eq!(
        names[..2],
        [(sidecar::entry::HASH, 8, "hash"), (sidecar::entry::RECORD, 8, "record")]
    );
    assert_eq!(
        names[2..],
        [(sidecar::skip::POSITION, 8, "position"), (sidecar::skip::STEP, 8, "step")]
    );
    assert_eq!((sidecar::entry::BYTES, sidecar::skip::BYTES, sidecar::skip::EVERY), (16, 16, 128));
    compare(
        "### 13.5",
        &[
            ("position", sidecar::landmark::POSITION),
            ("offset", sidecar::landmark::OFFSET),
            ("step", sidecar::landmark::STEP),
            ("checksum", sidecar::landmark::CHECKSUM),
            ("reserved", sidecar::landmark::RESERVED),
        ],
        sidecar::landmark::BYTES,
    );
    assert_eq!((sidecar::landmark::EVERY, sidecar::SECTION_COUNT), (16, 9));
    assert_eq!((sidecar::filter::BLOCK_BYTES, sidecar::filter::NAMES_PER_BLOCK), (32, 24));
    assert_eq!((sidecar::FORMAT_VERSION, checkpoint::FORMAT_VERSION), (1, 1));
    compare(
        "### 14.1",
        &[
            ("magic", checkpoint::MAGIC),
            ("format version", checkpoint::FORMAT_VERSION_AT),
            ("checksum", checkpoint::CHECKSUM),
            ("log id", checkpoint::LOG_ID),
            ("sequence", checkpoint::SEQUENCE),
            ("end position", checkpoint::END_POSITION),
            ("seal's end", checkpoint::SEAL_END),
            ("seal's checksum", checkpoint::SEAL_CHECKSUM),
            ("records' checksum", checkpoint::RECORDS_CHECKSUM),
            ("stream count", checkpoint::STREAM_COUNT),
            ("length", checkpoint::LENGTH),
            ("checkpoint count", checkpoint::CHECKPOINT_COUNT),
        ],
        checkpoint::BYTES,
    );
    compare(
        "### 15.1",
        &[
            ("magic", checkpoint::MAGIC),
            ("format version", checkpoint::FORMAT_VERSION_AT),
            ("checksum", checkpoint::CHECKSUM),
            ("log id", checkpoint::LOG_ID),
            ("sequence", checkpoint::SEQUENCE),
            ("end position", checkpoint::END_POSITION),
            ("seal's end", checkpoint::SEAL_END),
            ("seal's checksum", checkpoint::SEAL_CHECKSUM),
            ("records' checksum", checkpoint::RECORDS_CHECKSUM),
            ("stream count", checkpoint::STREAM_COUNT),
            ("length", checkpoint::LENGTH),
            ("checkpoint count", checkpoint::CHECKPOINT_COUNT),
            ("seal's time", base::SEAL_TIME),
            ("synced position", base::SYNCED_POSITION),
        ],
        base::BYTES,
    );
    assert_eq!(base::FORMAT_VERSION, 1);
    for magic in [sidecar::MAGIC_VALUE, checkpoint::MAGIC_VALUE, base::MAGIC_VALUE] {
        assert!(TEXT.contains(std::str::from_utf8(&magic).unwrap()));
    }
}

#[test]
fn the_numbers_in_the_text_are_those_of_the_code() {
    assert!(TEXT.contains(&format!("format version {FORMAT_VERSION}")));
    assert!(TEXT.contains(std::str::from_utf8(&segment::MAGIC_VALUE).unwrap()));
    assert!(TEXT.contains(std::str::from_utf8(&trailer::MAGIC_VALUE).unwrap()));
    assert_eq!((segment::BYTES, segment::CAPACITY_MIN, segment::CAPACITY_STEP), (4096, 8192, 4096));
    assert_eq!(segment::CAPACITY_MAX, 1 << 40);
    assert_eq!((FRAME_BYTES_MAX, layout::CONTROL_FRAME_BYTES), (1 << 30, 64));
    assert_eq!((event::BYTES_MIN, versions::UNSET), (24, u64::MAX));
    let limit = |row: &str| {
        let line = section("## 9.").lines().find(|line| line.starts_with(&format!("| {row} |")));
        line.unwrap_or_else(|| panic!("no row {row}")).replace(',', "")
    };
    for (row, least, most) in [
        ("segment capacity", segment::CAPACITY_MIN, "2^40 in steps of 4096".to_owned()),
        ("frame length", layout::CONTROL_FRAME_BYTES as u64, "2^30".into()),
        ("stream name", 1, streams::NAME_BYTES_MAX.to_string()),
        ("checkpoint name", 1, named::NAME_BYTES_MAX.to_string()),
        ("checkpoints in a batch", 0, u16::MAX.to_string()),
        ("event type", 1, event::TYPE_BYTES_MAX.to_string()),
        ("tag", 1, event::TAG_BYTES_MAX.to_string()),
    ] {
        assert!(limit(row).ends_with(&format!("| {least} | {most} |")), "{row}");
    }
    let tags = limit("tags of an event, with a length byte each");
    assert!(tags.ends_with(&format!("| 0 | {} |", event::TAGS_BYTES_MAX)));
}

#[test]
fn the_worked_example_is_what_the_code_writes() {
    let mut written = TestSegment::first();
    written.batch(&[TestEvent::new("order-1", "Placed", b"{\"n\":1}")
        .id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
        .tags(&["eu"])
        .metadata(b"m")]);
    written.seal();
    let mut shown = Vec::new();
    for block in section("## 11.").split("```text\n").skip(1) {
        let mut bytes = Vec::new();
        let mut start = None;
        for line in block.split("```").next().unwrap().lines() {
            let (offset, hex) = line.split_once("  ").unwrap();
            let offset = usize::from_str_radix(offset, 16).unwrap();
            assert_eq!(offset, *start.get_or_insert(offset) + bytes.len(), "{line}");
            bytes.extend(hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        }
        shown.push((start.unwrap(), bytes));
    }
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0], (0, written.bytes[..108].to_vec()));
    assert_eq!(shown[1], (written.frames[0].0, written.frame(0).to_vec()));
    assert_eq!(shown[2], (written.frames[1].0, written.frame(1).to_vec()));
    assert_eq!(written.at(), shown[2].0 + shown[2].1.len());
}

#[test]
fn the_repair_mark_is_neither_a_frame_nor_nothing_nor_a_foreign_file() {
    assert!(section("### 8.1").contains("the ASCII letter `Q`, then seven zero bytes"));
    let salt = Salt::new(LogId::from_bytes([7; 16]), SegmentSeq::ZERO);
    for (log_id, offset) in (0..=255).flat_map(|id| [4096, 4104, 8184].map(|at| (id, at))) {
        let salt_of_log = Salt::new(LogId::from_bytes([log_id; 16]), SegmentSeq::ZERO);
        let mut place = [0; 64];
        place[..8].copy_from_slice(&REPAIR_MARK);
        for place in [&place[..], &place[..8]] {
            let found = FrameHeader::decode(place, salt_of_log, ByteOffset::new(offset));
            assert!(found.is_err_and(|error| !error.is_contradiction()), "{log_id}, {offset}");
        }
        assert_eq!(find_evidence(&place, salt, ByteOffset::new(offset)), None);
    }
    // As a magic each byte is right or zero.
    let mut bytes = REPAIR_MARK.iter().zip(segment::MAGIC_VALUE);
    assert!(bytes.all(|(mark, magic)| *mark == 0 || *mark == magic));
    let mut block = [0; segment::BYTES];
    block[..8].copy_from_slice(&REPAIR_MARK);
    let found = SegmentHeader::decode(&block);
    assert_eq!(found, Err(SegmentHeaderError::Magic { found: REPAIR_MARK }));
}

#[test]
fn the_page_is_ascii_and_names_what_exists() {
    assert!(TEXT.is_ascii());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    for (file, name) in [("scan.rs", "seal_named_by"), ("frame.rs", "is_contradiction")] {
        assert!(TEXT.contains(name));
        let code = std::fs::read_to_string(format!("{source}/{file}")).unwrap();
        assert!(code.contains(&format!("fn {name}")), "{name}");
    }
}
