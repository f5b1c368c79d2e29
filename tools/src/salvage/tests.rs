//! Whether the report says what was lost, where, and what is not known, on logs made by the format
//! alone and damaged at one place.

mod hostile;
mod requests;
mod stale;
mod unreadable;

use std::fs;
use std::path::Path;

use quipu_format::ControlKind;

use super::*;
use crate::verify::testlog::{Lie, TestLog};

/// Three sealed or closed segments, fifteen events: 0 to 1 and 2 to 4, 5 to 6 and 7 to 9, and so on.
pub(super) fn closed_log() -> TestLog {
    let mut log = TestLog::of_three_segments();
    log.control(ControlKind::Close, true);
    log
}

pub(super) fn dry(directory: &Path) -> Request {
    Request {
        directory: directory.to_owned(),
        to: None,
        dry_run: true,
        log_id: None,
        segment_bytes: None,
    }
}

/// What would be salvaged of a log. Nothing is written.
pub(super) fn report(log: &TestLog) -> Report {
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let report = salvage(&dry(directory.path())).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), segments(log));
    report
}

fn segments(log: &TestLog) -> usize {
    log.segments.iter().filter(|segment| segment.bytes.is_some()).count()
}

fn file(sequence: u32) -> String {
    format!("{sequence:020}.seg")
}

fn lost(report: &Report) -> Vec<(u64, u64, bool)> {
    report.lost.iter().map(|lost| (lost.first, lost.last, lost.durable)).collect()
}

/// File, offset, bytes and position of each damage.
fn damage(report: &Report) -> Vec<(String, u64, u64, u64)> {
    let place =
        |damage: &Damage| (damage.file.clone(), damage.offset, damage.bytes, damage.position);
    report.damage.iter().map(place).collect()
}

fn versions(report: &Report) -> Vec<(&str, u64, u64, u64)> {
    let one = |it: &'_ LostVersions| (it.first, it.last, it.next_is_now);
    report
        .lost_versions
        .iter()
        .map(|lost| {
            let (first, last, now) = one(lost);
            (lost.stream.as_str(), first, last, now)
        })
        .collect()
}

#[test]
fn of_a_whole_log_nothing_is_lost() {
    let mut log = closed_log();
    log.prepare();
    let found = report(&log);
    assert!(found.ok, "{found}");
    assert_eq!((found.segments, found.batches, found.events, found.streams), (3, 6, 15, 3));
    assert_eq!(found.moved, [Moved { first: 0, last: 14, first_is_now: 0 }]);
    assert_eq!(found.end, End::Closed { position: 15 });
    assert!(found.end_known && found.lost.is_empty() && found.damage.is_empty());
}

#[test]
fn a_damaged_batch_is_named_by_file_offset_position_and_versions() {
    let mut log = closed_log();
    let (offset, bytes) = (log.frame_offset(1, 0), log.frame(1, 0).len() as u64);
    log.frame(1, 0)[60] ^= 1;
    let found = report(&log);
    assert!(!found.ok);
    assert_eq!(damage(&found), [(file(1), offset, bytes, 5)]);
    assert!(found.damage[0].fault.starts_with("body checksum is "), "{found}");
    assert_eq!(lost(&found), [(5, 6, true)]);
    assert_eq!(versions(&found), [("b", 3, 3, 3), ("a", 1, 1, 1)]);
    assert_eq!(
        found.moved,
        [
            Moved { first: 0, last: 4, first_is_now: 0 },
            Moved { first: 7, last: 14, first_is_now: 5 }
        ]
    );
    assert_eq!(found.end, End::Closed { position: 15 });
}

#[test]
fn the_report_reads_as_one_sentence_and_tables() {
    let mut log = closed_log();
    log.frame(1, 0).fill(0);
    log.segments[2].bytes = None;
    let found = report(&log);
    let text = found.to_string().replace(&found.directory, "DIR");
    let expected = "\
LOST: 2 events at positions 5 to 6; 3 batches, 8 events, 3 streams can be salvaged.

old log           DIR, log 7665726966792074657374206c6f6720
new log           none, not written
segments          2
first commit      2023-11-14T22:13:21Z
last commit       2023-11-14T22:13:25Z
bytes skipped     176
end of the log    not known: damage stands behind position 10

damage
  00000000000000000001.seg offset 4096, 176 bytes, from position 5: nothing is written there
  00000000000000000002.seg offset 0, from position 10: the file is missing

lost positions
  5 to 6                      2 events, had been durable

positions, and what they are in the new log
  0 to 4                      unchanged
  7 to 9                      5 to 7

lost versions, as far as later batches tell
  3                           of stream \"b\"; its version 4 is now 3
";
    assert_eq!(text, expected);
}

#[test]
fn a_header_that_is_lost_takes_no_batch_with_it() {
    for segment in 0..3 {
        let mut log = closed_log();
        log.bytes(segment)[..4096].fill(7);
        let found = report(&log);
        assert!(!found.ok);
        assert_eq!(found.batches, 6, "{found}");
        assert_eq!(damage(&found), [(file(segment as u32), 0, 4096, 5 * segment as u64)]);
        assert_eq!((lost(&found), found.end_known), (vec![], true));
    }
}

#[test]
fn without_any_header_the_log_id_has_to_be_given() {
    let mut log = closed_log();
    for segment in 0..3 {
        log.bytes(segment)[..4096].fill(0);
    }
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let mut request = dry(directory.path());
    let error = salvage(&request).unwrap_err();
    assert!(matches!(error, SalvageError::LogIdUnknown(_)), "{error}");
    request.log_id = Some(LogId::from_bytes(*b"verify test log "));
    let found = salvage(&request).unwrap();
    assert_eq!((found.batches, found.damage.len(), found.ok), (6, 3, false), "{found}");
    request.log_id = Some(LogId::from_bytes(*b"another test log"));
    let found = salvage(&request).unwrap();
    assert_eq!((found.batches, found.ok), (0, false), "{found}");
}

#[test]
fn a_seal_that_the_next_header_names_is_told_and_is_no_loss() {
    let mut log = closed_log();
    let offset = log.frame_offset(0, 2);
    log.frame(0, 2)[20] ^= 1;
    let found = report(&log);
    assert_eq!(damage(&found), [(file(0), offset, 64, 5)]);
    assert_eq!(
        found.damage[0].fault,
        "no seal stands there, but the next segment's header names it"
    );
    assert!(found.ok && found.lost.is_empty(), "{found}");
    // With the header that names it gone, too, positions still tell that no event is missing.
    log.bytes(1)[..4096].fill(0);
    let found = report(&log);
    assert_eq!((found.batches, found.damage.len()), (6, 2));
    assert!(!found.ok && found.lost.is_empty() && found.end_known, "{found}");
}

#[test]
fn a_missing_segment_is_named_with_all_that_was_in_it() {
    for (missing, gone, moved) in
        [(0, (0, 4, true), vec![(5, 0)]), (1, (5, 9, true), vec![(0, 0), (10, 5)])]
    {
        let mut log = closed_log();
        log.segments[missing].bytes = None;
        let found = report(&log);
        assert_eq!(lost(&found), [gone]);
        assert_eq!(damage(&found), [(file(missing as u32), 0, 0, gone.0)]);
        let now: Vec<_> = found.moved.iter().map(|it| (it.first, it.first_is_now)).collect();
        assert_eq!((now, found.end_known), (moved, true));
    }
    // Of the last one only the seal in front knows.
    let mut log = closed_log();
    log.segments[2].bytes = None;
    let found = report(&log);
    assert_eq!(damage(&found), [(file(2), 0, 0, 10)]);
    assert_eq!((lost(&found), found.ok), (vec![], false));
    assert_eq!(found.end, End::Cut { position: 10, at_least: 10 });
    // Several at once are told in one line.
    log.segments[1].bytes = None;
    log.segments[0].bytes = None;
    log.segments[2].bytes = closed_log().segments[2].bytes.clone();
    let found = report(&log);
    assert_eq!(found.damage[0].last_file, Some(file(1)), "{found}");
    assert_eq!((damage(&found), lost(&found)), (vec![(file(0), 0, 0, 0)], vec![(0, 9, true)]));
}

#[test]
fn a_file_cut_short_loses_what_is_cut_off() {
    let mut log = closed_log();
    let second = log.frame_offset(1, 1) as usize;
    log.bytes(1).truncate(second + 20);
    let found = report(&log);
    assert_eq!(lost(&found), [(7, 9, true)]);
    let faults: Vec<_> = found.damage.iter().map(|damage| damage.fault.as_str()).collect();
    assert_eq!(faults[0], format!("the file is {} bytes long, its header says 8192", second + 20));
    assert_eq!(found.damage[1].offset, second as u64, "{found}");
}

#[test]
fn of_a_torn_tail_only_the_torn_batch_is_missing_and_that_is_no_loss() {
    let mut log = TestLog::of_three_segments();
    log.batch_unsynced(&["a", "b"]);
    let offset = log.frame_offset(2, 2);
    let last = log.frame(2, 2).len();
    log.frame(2, 2)[last - 40..].fill(0);
    let found = report(&log);
    assert!(found.ok, "{found}");
    assert_eq!((found.batches, lost(&found)), (6, vec![(15, 16, false)]));
    let End::Torn { position: 15, file: torn, offset: at, .. } = &found.end else {
        panic!("{found}");
    };
    assert_eq!((torn, *at), (&file(2), offset));
    let verdict = found.verdict();
    assert!(verdict.starts_with("ok: nothing durable was lost: 6 batches"), "{verdict}");
    // The same, and something behind says that it had been durable.
    log.control(ControlKind::Mark, true);
    let found = report(&log);
    assert_eq!((found.ok, lost(&found)), (false, vec![(15, 16, true)]));
}

#[test]
fn whole_batches_behind_a_tear_are_taken_over_and_the_hole_is_told() {
    let mut log = TestLog::new();
    log.batch_unsynced(&["a"]).batch_unsynced(&["b"]).batch_unsynced(&["c"]);
    log.frame(0, 1)[60] ^= 1;
    let found = report(&log);
    assert_eq!((found.ok, found.batches, lost(&found)), (false, 2, vec![(1, 1, false)]));
    assert_eq!(found.end, End::Open { position: 3, durable_to: 0 });
}

#[test]
fn what_a_later_segment_says_of_the_end_is_believed() {
    // All frames of the last two segments are gone; the last header still tells where it began.
    let mut log = closed_log();
    log.bytes(1)[4096..].fill(0);
    log.bytes(2)[4096..].fill(0);
    let found = report(&log);
    assert_eq!(lost(&found), [(5, 9, true)]);
    assert_eq!(found.end, End::Cut { position: 5, at_least: 10 });
    assert!(!found.ok && !found.end_known);
}

#[test]
fn what_a_faulty_writer_wrote_is_taken_over_and_told() {
    for (lie, what) in [
        (Lie::SkipsVersion, "and no missing position explains it"),
        (Lie::NamesStreamTwice, "is named twice in one batch"),
    ] {
        let mut log = TestLog::new();
        log.batch(&["a", "b"]);
        log.batch_with(&["b", "b"], log.chain.position, lie);
        log.control(ControlKind::Close, true);
        let found = report(&log);
        assert_eq!((found.ok, found.batches, found.events), (false, 2, 4));
        assert_eq!(found.contradictions.len(), 1, "{found}");
        assert_eq!(found.contradictions[0].offset, log.frame_offset(0, 1));
        assert!(found.contradictions[0].what.contains(what), "{found}");
    }
}

#[test]
fn a_file_under_another_name_is_read_by_its_header_where_its_own_name_is_free() {
    let mut log = closed_log();
    log.prepare().prepare().prepare();
    log.segments[5].bytes = log.segments[1].bytes.take();
    log.segments[3].bytes = None;
    log.segments[4].bytes = None;
    let found = report(&log);
    assert_eq!((found.batches, lost(&found), found.ok), (6, vec![], false), "{found}");
    assert_eq!(found.damage.len(), 1, "{found}");
    assert_eq!(found.damage[0].file, file(5));
    // A copy beside it adds nothing and is told.
    log.segments[1].bytes = log.segments[5].bytes.clone();
    let found = report(&log);
    assert_eq!((found.batches, found.ok), (6, false), "{found}");
    assert_eq!(found.damage[0].fault, "the header is that of segment 1");
}
