//! Whether the verifier finds what is wrong, and nothing else: whole logs, torn ones, damaged ones.

mod ahead;
mod checkpoints;
mod files;
mod headers;

use std::os::unix::fs::FileExt;

use indicatif::ProgressBar;
use quipu_format::{ControlKind, Position};

use super::decide::Fault;
use super::directory::Directory;
use super::testlog::{CAPACITY, Lie, TestLog};
use super::walk::Walk;
use super::{Report, Tail, VerifyError, verify};

fn report(log: &TestLog) -> Report {
    log.verify().unwrap()
}

/// Where damage was found, and the proof.
fn damage(log: &TestLog) -> (String, u64, u64, String) {
    let report = report(log);
    assert!(!report.ok);
    match report.tail {
        Tail::Damaged { file, offset, position, proof, .. } => (file, offset, position, proof),
        other => panic!("{other:?}"),
    }
}

/// Where the torn tail begins and how long it is.
fn torn(log: &TestLog) -> (String, u64, u64) {
    let report = report(log);
    assert!(report.ok);
    match report.tail {
        Tail::Torn { file, offset, bytes, .. } => (file, offset, bytes),
        other => panic!("{other:?}"),
    }
}

fn file(sequence: u32) -> String {
    format!("{sequence:020}.seg")
}

#[test]
fn a_whole_log_is_counted() {
    let mut log = TestLog::of_three_segments();
    log.control(ControlKind::Close, true).prepare();
    let found = report(&log);
    assert_eq!(found.tail, Tail::Clean);
    assert_eq!((found.segments, found.segments_unused), (3, 1));
    assert_eq!((found.batches, found.events, found.streams), (6, 15, 3));
    assert_eq!(found.synced_position, 15);
    assert_eq!(found.first_commit_nanos, Some(1_700_000_001_000_000_000));
    assert_eq!(found.last_commit_nanos, Some(1_700_000_008_000_000_000));
    assert_eq!((found.last_close_position, found.closed), (Some(15), true));
    assert_eq!(
        found.bytes,
        2 * log.segments[0].frames.last().unwrap().end as u64 + log.offset.as_u64()
    );

    let mut log = TestLog::new();
    log.batch(&["a"]).control(ControlKind::Close, true).batch(&["a"]);
    let found = report(&log);
    assert_eq!((found.last_close_position, found.closed), (Some(1), false));
}

#[test]
fn every_flipped_byte_is_noticed() {
    let mut log = TestLog::of_three_segments();
    log.control(ControlKind::Mark, true);
    let whole = report(&log);
    assert!(whole.ok && whole.tail == Tail::Clean && whole.seals_missing.is_empty());
    // Flipped in the file and flipped back: that is quicker than a directory for each byte.
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    for segment in 0..3 {
        let path = directory.path().join(file(segment as u32));
        let on_disk = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let end = log.segments[segment].frames.last().unwrap().end;
        let seal = log.segments[segment].frames[2].start;
        for at in 0..end {
            let byte = log.bytes(segment)[at];
            on_disk.write_all_at(&[byte ^ 0x10], at as u64).unwrap();
            let found = verify(directory.path());
            on_disk.write_all_at(&[byte], at as u64).unwrap();
            match found {
                Err(error) => panic!("{segment}:{at}: {error}"),
                Ok(found) if segment < 2 && at >= seal => {
                    assert_eq!((found.ok, found.seals_missing), (true, vec![segment as u64]));
                }
                Ok(found) => assert_ne!(found.tail, Tail::Clean, "{segment}:{at}"),
            }
        }
    }
    assert_eq!(verify(directory.path()).unwrap().tail, Tail::Clean);
}

#[test]
fn a_bad_frame_with_a_witness_behind_it_is_damage() {
    let mut log = TestLog::of_three_segments();
    log.frame(0, 1)[60] ^= 1;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(0), log.frame_offset(0, 1), 2));
    assert_eq!(
        proof,
        format!(
            "{} says at offset {} that all below position 12 was durable",
            file(2),
            log.frame_offset(2, 1)
        )
    );
}

#[test]
fn a_lost_page_in_front_of_a_mark_is_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).batch(&["b"]).control(ControlKind::Mark, true);
    log.frame(0, 1).fill(0);
    let (_, offset, position, _) = damage(&log);
    assert_eq!((offset, position), (log.frame_offset(0, 1), 1));
}

#[test]
fn a_bad_last_frame_without_a_witness_is_a_torn_tail() {
    for at in [0, 20, 50, 100] {
        let mut log = TestLog::new();
        log.batch(&["a"]).batch(&["b", "c"]);
        let length = log.frame(0, 1).len() as u64;
        log.frame(0, 1)[at] ^= 1;
        let (found, offset, bytes) = torn(&log);
        assert_eq!((found, offset), (file(0), log.frame_offset(0, 1)));
        assert_eq!(bytes, length, "byte {at}");
        assert_eq!((report(&log).batches, report(&log).events), (1, 1));
    }
}

#[test]
fn frames_that_reached_the_disk_before_the_ones_in_front_of_them_are_a_torn_tail() {
    // In one segment, and over a roll-over: nothing was synced, any subset may be there.
    let mut log = TestLog::new();
    log.batch(&["a"]).batch_unsynced(&["b"]).batch_unsynced(&["c"]);
    log.frame(0, 1).fill(0);
    let offset = log.frame_offset(0, 1);
    assert_eq!(torn(&log), (file(0), offset, log.offset.as_u64() - offset));

    let mut log = TestLog::new();
    log.batch(&["a"]).batch_unsynced(&["b"]).roll_with(false).batch_unsynced(&["c"]);
    log.frame(0, 1).fill(0);
    let (found, offset, _) = torn(&log);
    assert_eq!((found, offset), (file(0), log.frame_offset(0, 1)));
}

#[test]
fn a_walk_that_stopped_goes_on_when_a_writer_has() {
    let directory = tempfile::tempdir().unwrap();
    let files = Directory::new(directory.path());
    let mut log = TestLog::new();
    log.batch(&["a"]).write_to(directory.path());
    let bar = ProgressBar::hidden();
    let mut walk = Walk::new(&files, None, None, &bar);
    assert_eq!(walk.run().unwrap(), Fault::NeverWritten);
    let place = walk.place();
    assert_eq!(walk.run().unwrap(), Fault::NeverWritten);
    assert_eq!((walk.place(), walk.position()), (place, Position::new(1)));

    log.batch(&["b"]).roll().write_to(directory.path());
    assert_eq!(walk.run().unwrap(), Fault::NeverWritten);
    assert_eq!((walk.place().0.as_u64(), walk.position()), (1, Position::new(2)));
    log.batch(&["c"]).control(ControlKind::Seal, true).write_to(directory.path());
    assert_eq!(walk.run().unwrap(), Fault::MissingFile);
    assert_eq!(walk.position(), Position::new(3));
}

#[test]
fn the_mark_of_a_repair_that_was_cut_off_is_a_torn_tail() {
    // In the segment of X, and at the start of the next one; zeros behind it, or not all of them.
    for stale in [0, 7] {
        let mut log = TestLog::new();
        log.batch(&["a"]).batch_unsynced(&["b"]).roll_with(false);
        let x = log.frame_offset(0, 1);
        for (segment, from) in [(0, x as usize), (1, 0)] {
            log.bytes(segment)[from..].fill(0);
            log.bytes(segment)[from..from + 8].copy_from_slice(b"Q\0\0\0\0\0\0\0");
            log.bytes(segment)[6000] = stale;
        }
        let found = torn(&log);
        assert_eq!((found.0, found.1), (file(0), x));
        assert_eq!((report(&log).events, found.2 == 2), (1, stale == 0));
    }
}

#[test]
fn a_log_that_contradicts_itself_is_damage_whatever_is_synced() {
    for (lie, fault) in [
        (Lie::SkipsVersion, "stream \"a\" goes on with version 2, expected 1"),
        (Lie::NamesStreamTwice, "stream \"a\" is named twice in one batch"),
    ] {
        let mut log = TestLog::new();
        log.batch(&["a"]).batch_with(&["a", "a"], Position::ZERO, lie);
        let found = report(&log);
        let Tail::Damaged { fault: found, offset, proof, .. } = found.tail else {
            panic!("{lie:?}: {:?}", found.tail)
        };
        assert_eq!((found.as_str(), offset), (fault, log.frame_offset(0, 1)));
        assert!(proof.starts_with("its checksums are right"), "{proof}");
    }
}

#[test]
fn a_frame_that_does_not_follow_may_be_stale_and_only_a_witness_makes_it_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).batch_with(&["a"], Position::ZERO, Lie::SkipsPosition);
    assert_eq!(torn(&log).1, log.frame_offset(0, 1));

    let mut log = TestLog::new();
    log.batch(&["a"]).batch_with(&["a"], Position::new(2), Lie::SkipsPosition);
    assert_eq!(damage(&log).1, log.frame_offset(0, 1));
}

/// Makes a segment header's checksum right again.
fn fix_header(bytes: &mut [u8]) {
    bytes[12..16].fill(0);
    let checksum = quipu_format::checksum::crc32c_append(0, &bytes[..4096]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
}
