//! Segment headers and seals: torn, missing, forbidden, and what they bear witness of.

use super::*;

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
