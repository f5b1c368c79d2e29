//! Whether the verifier finds what is wrong, and nothing else: whole logs, torn ones, damaged ones.

mod ahead;

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
fn named_checkpoints_are_told_and_must_rise() {
    let mut log = TestLog::new();
    log.batch(&["a"]).checkpoints(&[("p", 3), ("q", 1)]).batch(&["a"]).checkpoints(&[("p", 4)]);
    log.settled_close();
    let found = report(&log);
    assert_eq!((found.ok, found.batches, found.events), (true, 2, 2));
    let told = |(name, at): (&str, u64)| (name.to_owned(), at);
    assert!(found.checkpoints.into_iter().eq([("p", 4), ("q", 1)].map(told)));
    for again in [3, 4] {
        let mut log = log.clone();
        log.checkpoints(&[("p", again)]);
        let (_, offset, position, proof) = damage(&log);
        assert_eq!((offset, position), (log.frame_offset(0, 5), 2));
        assert!(proof.contains("checksums are right"), "{proof}");
        let Tail::Damaged { fault, .. } = report(&log).tail else { panic!() };
        assert_eq!(fault, format!("checkpoint \"p\" is set to {again}, it was 4 before"));
    }
}

#[test]
fn bad_checkpoints_in_front_of_a_settled_frame_are_damage_and_without_one_a_torn_tail() {
    for at in [0, 20, 50, 80] {
        let mut log = TestLog::new();
        log.batch(&["a"]).checkpoints(&[("p", 3), ("q", 1)]);
        let mut unclosed = log.clone();
        unclosed.frame(0, 1)[at] ^= 1;
        assert_eq!(torn(&unclosed).1, log.frame_offset(0, 1));
        let mut claimed = log.clone();
        claimed.control(ControlKind::Close, true).frame(0, 1)[at] ^= 1;
        assert_eq!(torn(&claimed).1, log.frame_offset(0, 1), "no event is missing in front of it");
        log.settled_close().frame(0, 1)[at] ^= 1;
        let (found, offset, position, proof) = damage(&log);
        assert_eq!((found, offset, position), (file(0), log.frame_offset(0, 1), 1));
        let witness = log.frame_offset(0, 2);
        let expected =
            format!("{} says at offset {witness} that all in front of there was durable", file(0));
        assert_eq!(proof, expected);
    }
}

#[test]
fn what_a_settled_frame_says_of_its_own_place_is_nothing() {
    let mut log = TestLog::new();
    log.batch(&["a"]).settled_close();
    log.frame(0, 1)[60] ^= 1;
    assert_eq!(torn(&log).1, log.frame_offset(0, 1));
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
fn the_header_of_a_later_segment_is_a_witness() {
    let mut log = TestLog::new();
    log.batch(&["a"]).batch(&["b"]).roll();
    log.frame(0, 1)[60] ^= 1;
    log.frame(0, 2).fill(0);
    let (found, _, position, proof) = damage(&log);
    assert_eq!((found, position), (file(0), 1));
    assert_eq!(
        proof,
        format!("{} says at offset 0 that all below position 2 was durable", file(1))
    );
    // Its frames are, too, even if its header is gone.
    log.batch(&["c"]);
    log.bytes(1)[..4096].fill(0);
    assert_eq!(damage(&log).2, 1);
}

#[test]
fn a_seal_that_never_reached_the_disk_is_known_from_the_next_header() {
    let mut log = TestLog::of_three_segments();
    log.frame(1, 2).fill(0);
    let found = report(&log);
    assert_eq!((found.tail.clone(), found.seals_missing), (Tail::Clean, vec![1]));
    assert_eq!((found.batches, found.events), (6, 15));
    // A batch in front of it that is missing, too, is another matter.
    log.frame(1, 1).fill(0);
    let (found, offset, position, _) = damage(&log);
    assert_eq!((found, offset, position), (file(1), log.frame_offset(1, 1), 7));
}

#[test]
fn a_missing_header_is_judged_by_what_is_behind_it() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll_with(false).batch_unsynced(&["b"]);
    log.bytes(1)[..4096].fill(0);
    assert_eq!(torn(&log), (file(1), 0, log.offset.as_u64()));

    let mut log = TestLog::of_three_segments();
    log.bytes(1)[..4096].fill(0);
    let (found, offset, position, _) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 5));
}

#[test]
fn a_header_that_does_not_continue_the_segment_before_it_ends_the_log() {
    // Each of the fields that repeat what the segment before says.
    for at in [64, 72, 80, 96] {
        for synced in [false, true] {
            let mut log = TestLog::new();
            log.batch(&["a"]).batch_unsynced(&["b"]).roll_with(synced).batch_unsynced(&["c"]);
            log.bytes(1)[at] ^= 8;
            fix_header(log.bytes(1));
            // Position 2 is synced in one of the cases, and nothing above it is.
            let (found, offset, _) = torn(&log);
            assert_eq!((found, offset), (file(1), 0), "field at {at}");
        }
    }
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
fn the_first_header_gone_is_no_empty_log() {
    let mut log = TestLog::of_three_segments();
    log.bytes(0)[..4096].fill(0);
    let (found, offset, position, _) = damage(&log);
    assert_eq!((found, offset, position), (file(0), 0, 0));

    // Where no header at all tells the log's id, the frames cannot be checked.
    let mut log = TestLog::new();
    log.batch(&["a"]);
    log.bytes(0)[..4096].fill(0);
    let (.., proof) = damage(&log);
    assert!(proof.contains("cannot be checked without a header"), "{proof}");
}

#[test]
fn a_missing_file_in_front_of_a_segment_in_use_is_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll_with(false).batch_unsynced(&["b"]).roll_with(false);
    log.segments[1].bytes = None;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 1));
    assert_eq!(proof, format!("{} comes after it and cannot be there without it", file(2)));
    // In front of a prepared one, and not behind a seal, it is only a hole in the numbers.
    let mut log = TestLog::new();
    log.batch(&["a"]).prepare().prepare();
    log.segments[1].bytes = None;
    assert_eq!(report(&log).tail, Tail::Clean);
}

#[test]
fn a_missing_file_behind_a_seal_is_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll_with(false).batch_unsynced(&["b"]).prepare();
    log.segments[1].bytes = None;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 1));
    assert_eq!(proof, format!("{} is sealed, so the one behind it had its name, durably", file(0)));
    // Prepared is enough.
    log.segments[1].bytes = Some(vec![0; CAPACITY]);
    assert_eq!(report(&log).tail, Tail::Clean);
}

#[test]
fn the_first_file_missing_is_no_empty_log_if_there_is_any_other() {
    let mut log = TestLog::new();
    log.batch(&["a"]).prepare();
    log.segments[0].bytes = None;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(0), 0, 0));
    assert_eq!(proof, format!("{} comes after it and cannot be there without it", file(1)));
}

#[test]
fn a_directory_or_a_link_in_the_place_of_a_segment_is_no_file() {
    let mut log = TestLog::of_three_segments();
    log.segments[1].bytes = None;
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let place = directory.path().join(file(1));
    std::fs::create_dir(&place).unwrap();
    for _ in 0..2 {
        let Tail::Damaged { file: found, fault, .. } = verify(directory.path()).unwrap().tail
        else {
            panic!("it is damaged")
        };
        assert_eq!((found, fault.as_str()), (file(1), "the file is missing"));
        let _ = std::fs::remove_dir(&place);
        let _ = std::os::unix::fs::symlink(file(0), &place);
    }
}

#[test]
fn a_length_that_no_segment_has_is_damage_even_without_a_header() {
    for length in [0, 1, 4096, 5000, 8191, 8193] {
        let mut log = TestLog::new();
        log.batch(&["a"]).control(ControlKind::Seal, true).prepare();
        log.bytes(1).resize(length, 0);
        let (found, offset, position, proof) = damage(&log);
        assert_eq!((found, offset, position), (file(1), 0, 1));
        assert_eq!(proof, "the length of a segment never changes");
    }
}

#[test]
fn a_header_of_which_only_a_part_is_there_is_a_torn_tail() {
    for kept in [&[0][..], &[6], &[1, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7]] {
        let mut log = TestLog::new();
        log.batch(&["a"]).roll_with(false);
        let header = log.bytes(1)[..8].to_vec();
        log.bytes(1).fill(0);
        for at in kept {
            log.bytes(1)[*at] = header[*at];
        }
        assert_eq!(torn(&log), (file(1), 0, *kept.last().unwrap() as u64 + 1));
    }
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
fn a_header_with_right_checksum_and_a_forbidden_field_is_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll_with(false);
    log.bytes(1)[200] = 1;
    fix_header(log.bytes(1));
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 1));
    assert!(proof.starts_with("its checksums are right"), "{proof}");
}

#[test]
fn a_file_of_another_length_is_damage() {
    for length in [CAPACITY - 1, CAPACITY + 1, CAPACITY - 4096] {
        let mut log = TestLog::of_three_segments();
        log.bytes(2).resize(length, 0);
        let (found, _, position, proof) = damage(&log);
        assert_eq!((found, position), (file(2), 10));
        assert!(
            proof == "the length of a segment never changes" || proof.contains("was durable"),
            "{proof}"
        );
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

#[test]
fn a_magic_that_no_crash_leaves_is_damage_wherever_it_stands() {
    for (segment, position) in [0, 5, 10, 12, 12].into_iter().enumerate() {
        let mut log = TestLog::of_three_segments();
        // All of the last segment is synced, so that its own frames bear witness.
        log.control(ControlKind::Mark, true).prepare().prepare();
        if segment == 3 {
            *log.bytes(3) = b"PK\x03\x04 a zip archive".to_vec();
        } else {
            log.bytes(segment)[3] ^= 0x20;
        }
        let end = report(&log).events;
        let position = if segment < 3 { position } else { end };
        let (found, offset, at, proof) = damage(&log);
        assert_eq!((found, offset, at), (file(segment as u32), 0, position));
        let by_magic = proof.starts_with("no crash leaves such a magic");
        assert_eq!(by_magic, segment >= 3, "{proof}");
    }
    // In front of it there is a torn tail, which nobody may cut now.
    let mut log = TestLog::new();
    log.batch(&["a"]).batch(&["b"]).prepare();
    log.frame(0, 1)[60] ^= 1;
    assert_eq!(torn(&log).0, file(0));
    log.bytes(1)[0] = 1;
    let (found, offset, position, _) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 1));
}

#[test]
fn files_of_which_none_begins_like_a_segment_are_no_log() {
    let mut log = TestLog::of_three_segments();
    (0..3).for_each(|segment| log.bytes(segment)[..2].copy_from_slice(b"PK"));
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let error = verify(directory.path()).unwrap_err();
    assert!(matches!(&error, VerifyError::NotASegment { file: found, .. } if *found == file(0)));
    assert_eq!(
        error.to_string(),
        format!(
            "{} is not a segment of a log at offset 0, and there is no other (not a segment: the \
             first eight bytes are [50, 4b, 49, 50, 55, 53, 45, 47]): this is no log, or nothing of \
             it can be read",
            file(0)
        )
    );
}

#[test]
fn what_does_not_belong_there_is_no_matter_of_a_crash() {
    let log = TestLog::of_three_segments();
    let with = |name: &str, bytes: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        log.write_to(directory.path());
        std::fs::write(directory.path().join(name), bytes).unwrap();
        verify(directory.path()).unwrap_err().to_string()
    };
    let second = log.segments[1].bytes.clone().unwrap();
    let error = with(&file(7), &second);
    assert!(error.starts_with(&format!("{} is segment 1 by its header", file(7))), "{error}");

    let mut foreign = second.clone();
    foreign[32..48].copy_from_slice(b"some other log!!");
    fix_header(&mut foreign);
    let error = with(&file(1), &foreign);
    assert!(error.contains("belongs to the log 736f6d65"), "{error}");

    let mut newer = second;
    newer[8] = 2;
    fix_header(&mut newer);
    let error = with(&file(1), &newer);
    assert_eq!(
        error,
        format!("{} needs a newer release: format version 2, this release knows 1", file(1))
    );

    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(verify(empty.path()), Err(VerifyError::NoLog(_))));
    assert!(matches!(verify(&empty.path().join("no")), Err(VerifyError::Open { .. })));
}

/// Makes a segment header's checksum right again.
fn fix_header(bytes: &mut [u8]) {
    bytes[12..16].fill(0);
    let checksum = quipu_format::checksum::crc32c_append(0, &bytes[..4096]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
}
