//! The names of a log's files.
//!
//! Owns: how a sequence number becomes a file name and back. Calls nothing.

use quipu_format::SegmentSeq;

/// The name of a segment's file: 20 decimal digits and `.seg`, so that names sort as numbers do.
pub(crate) fn segment_name(sequence: SegmentSeq) -> String {
    format!("{:020}.seg", sequence.as_u64())
}

/// The name under which a segment is prepared, before it is one.
pub(crate) fn prepared_name(sequence: SegmentSeq) -> String {
    format!("{:020}.seg.tmp", sequence.as_u64())
}

/// The name of a sealed segment's index.
pub(crate) fn sidecar_name(sequence: SegmentSeq) -> String {
    format!("{:020}.idx", sequence.as_u64())
}

/// The name under which an index is written, before it is one.
pub(crate) fn unfinished_sidecar_name(sequence: SegmentSeq) -> String {
    format!("{:020}.idx.tmp", sequence.as_u64())
}

/// The name of the file that holds all streams.
pub(crate) const STREAM_TABLE: &str = "streams.ckpt";

/// The name under which it is written, before it is that.
pub(crate) const UNFINISHED_STREAM_TABLE: &str = "streams.ckpt.tmp";

/// The name of an empty file that is there while a backup is being made: what is beside it is no
/// log yet.
pub(crate) const UNFINISHED_BACKUP: &str = "backup.unfinished";

/// The names of the two copies of the base in front of a segment.
pub(crate) fn base_names(sequence: SegmentSeq) -> [String; 2] {
    ["base", "base2"].map(|copy| format!("{:020}.{copy}", sequence.as_u64()))
}

/// The name under which a copy of a base is written, before it is one.
pub(crate) fn unfinished_base_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// What a file name says: these, and no others, are the files of a log. Segments and bases are what it
/// consists of; sidecars and the file of streams are made from them; the rest is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// A segment.
    Segment(SegmentSeq),
    /// The index of a sealed segment.
    Sidecar(SegmentSeq),
    /// A copy of the base in front of a segment.
    Base(SegmentSeq),
    /// A file that was not finished.
    Unfinished,
    /// That a backup was not finished.
    UnfinishedBackup,
    /// The file of all streams.
    StreamTable,
    /// Nothing of the log's.
    Other,
}

/// Reads a file name.
pub(crate) fn parse(name: &str) -> Named {
    type Kind = fn(SegmentSeq) -> Named;
    match name {
        UNFINISHED_STREAM_TABLE => return Named::Unfinished,
        UNFINISHED_BACKUP => return Named::UnfinishedBackup,
        STREAM_TABLE => return Named::StreamTable,
        _ => {}
    }
    let kinds: [(&str, Kind); 8] = [
        (".seg", Named::Segment),
        (".idx", Named::Sidecar),
        (".base", Named::Base),
        (".base2", Named::Base),
        (".seg.tmp", |_| Named::Unfinished),
        (".idx.tmp", |_| Named::Unfinished),
        (".base.tmp", |_| Named::Unfinished),
        (".base2.tmp", |_| Named::Unfinished),
    ];
    let found = kinds.into_iter().find_map(|(end, kind)| Some((name.strip_suffix(end)?, kind)));
    let Some((digits, named)) = found else { return Named::Other };
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Named::Other;
    }
    digits.parse().map_or(Named::Other, |number| named(SegmentSeq::new(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for number in [0, 1, 10, u64::MAX] {
            let sequence = SegmentSeq::new(number);
            assert_eq!(parse(&segment_name(sequence)), Named::Segment(sequence));
            assert_eq!(parse(&prepared_name(sequence)), Named::Unfinished);
            assert_eq!(parse(&sidecar_name(sequence)), Named::Sidecar(sequence));
            assert_eq!(parse(&unfinished_sidecar_name(sequence)), Named::Unfinished);
            for name in base_names(sequence) {
                assert_eq!(parse(&name), Named::Base(sequence));
                assert_eq!(parse(&unfinished_base_name(&name)), Named::Unfinished);
            }
        }
        assert_eq!(parse(UNFINISHED_STREAM_TABLE), Named::Unfinished);
        assert_eq!(parse(UNFINISHED_BACKUP), Named::UnfinishedBackup);
        assert_eq!(parse(STREAM_TABLE), Named::StreamTable);
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in
            ["LOCK", "1.seg", "0000000000000000000x.seg", "99999999999999999999.seg", ".seg"]
        {
            assert_eq!(parse(name), Named::Other, "{name}");
        }
    }
}
