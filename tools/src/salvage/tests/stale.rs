//! Whole frames of a tail that was cut off, which a device has brought back: the log's own go first.

use super::*;

/// Puts a frame of another life of the log into its place.
fn bring_back(log: &mut TestLog, other: &TestLog, segment: usize, frame: usize) {
    let place = other.segments[segment].frames[frame].clone();
    let bytes = other.segments[segment].bytes.as_ref().unwrap()[place.clone()].to_vec();
    log.bytes(segment)[place].copy_from_slice(&bytes);
}

#[test]
fn a_stale_frame_between_two_others_is_left_out() {
    let mut base = TestLog::new();
    base.batch(&["a"]);
    let mut stale = base.clone();
    stale.batch(&["x"]).batch(&["y"]);
    let mut log = base;
    // Of the same length, so that it ends where the next one begins, and begins where one ended.
    log.batch(&["a"]).batch(&["c"]).batch(&["b"]).control(ControlKind::Close, true);
    bring_back(&mut log, &stale, 0, 1);
    let found = report(&log);
    assert_eq!((found.batches, lost(&found)), (3, vec![(1, 1, true)]), "{found}");
    assert!(!found.ok);
    let [left] = &found.left[..] else { panic!("{found}") };
    assert_eq!((left.offset, left.frames, left.position), (log.frame_offset(0, 1), 1, 1));
    assert_eq!(
        left.reason,
        "they adjoin other frames, and the one behind does not follow the one in front"
    );
}

#[test]
fn a_stale_frame_in_a_hole_is_known_by_its_streams_versions() {
    let mut base = TestLog::new();
    base.batch(&["a"]);
    let mut stale = base.clone();
    stale.batch(&["b"]);
    let mut log = base;
    log.batch(&["a"]).batch(&["c"]).batch(&["b"]).batch(&["a"]).control(ControlKind::Close, true);
    bring_back(&mut log, &stale, 0, 1);
    log.frame(0, 2).fill(0);
    let found = report(&log);
    assert_eq!((found.batches, lost(&found)), (3, vec![(1, 2, true)]), "{found}");
    let [left] = &found.left[..] else { panic!("{found}") };
    assert_eq!(left.reason, "version 0 of stream \"b\" stands in other frames, too");
    assert!(found.contradictions.is_empty());
}

#[test]
fn a_whole_stale_segment_in_front_does_not_push_out_what_was_durable() {
    let mut base = TestLog::new();
    base.batch(&["a"]);
    let mut stale = base.clone();
    stale.batch_unsynced(&["x", "x"]).batch_unsynced(&["y"]).roll_with(false);
    let mut log = base;
    log.batch(&["b"]).roll().batch(&["c"]).batch(&["d"]).control(ControlKind::Close, true);
    log.segments[0].bytes = stale.segments[0].bytes.clone();
    let found = report(&log);
    // Position 1 is lost; what the stale frames say of positions 1 to 3 is not believed.
    assert_eq!((found.batches, lost(&found)), (3, vec![(1, 1, true)]), "{found}");
    let [left] = &found.left[..] else { panic!("{found}") };
    assert_eq!((left.offset, left.frames, left.events), (stale.frame_offset(0, 1), 3, 3));
    assert!(left.reason == "other frames take positions from 2 on, or up to 4, too", "{found}");
    // Nor is the batch at position 0 known to be of this life: only stale frames say that it follows.
    assert_eq!(found.doubtful, [Doubtful { first: 0, last: 0 }]);
}

#[test]
fn stale_frames_at_the_end_of_a_log_are_a_torn_tail() {
    let mut base = TestLog::new();
    base.batch(&["a"]);
    let mut stale = base.clone();
    stale.batch_unsynced(&["x", "x", "x"]).batch_unsynced(&["y"]);
    let mut log = base;
    log.control(ControlKind::Close, true).control(ControlKind::Mark, true);
    let behind = stale.segments[0].frames[2].clone();
    let end = log.offset.as_u64() as usize;
    assert!(behind.start > end, "the close and the mark end in front of it");
    let bytes = stale.segments[0].bytes.as_ref().unwrap()[behind.clone()].to_vec();
    log.bytes(0)[behind].copy_from_slice(&bytes);
    let found = report(&log);
    assert!(found.ok, "{found}");
    assert_eq!((found.batches, found.left.len()), (1, 1), "{found}");
    assert!(matches!(found.end, End::Torn { position: 1, .. }), "{found}");
}

#[test]
fn a_stale_frame_right_behind_the_close_is_a_torn_tail() {
    let mut base = TestLog::new();
    base.batch(&["a"]);
    let mut stale = base.clone();
    stale.control(ControlKind::Mark, false).batch_unsynced(&["x"]);
    let mut log = base;
    log.control(ControlKind::Close, true);
    bring_back(&mut log, &stale, 0, 2);
    let found = report(&log);
    assert!(found.ok, "{found}");
    assert_eq!((found.batches, found.left.len()), (1, 1), "{found}");
    let End::Torn { offset, fault, .. } = &found.end else { panic!("{found}") };
    assert_eq!(*offset, log.offset.as_u64());
    assert_eq!(fault, "whole frames that contradict the ones in front");
}
