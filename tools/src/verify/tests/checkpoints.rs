//! Named checkpoints, and frames that say that all in front of them had been durable.

use super::*;

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
