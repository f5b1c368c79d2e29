//! Whether segments that are verified ahead lead to the verdict of the walk from frame to frame.
//!
//! Each verification of a `TestLog` compares the two, in all tests of the verifier; here are the
//! logs where they could differ: what no segment can tell by itself.

use quipu_format::ControlKind;

use super::super::testlog::{Lie, TestLog};
use super::super::{Report, Tail};

fn fault(report: &Report) -> &str {
    match &report.tail {
        Tail::Damaged { fault, .. } | Tail::Torn { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_version_that_does_not_go_on_from_the_segment_in_front_is_found() {
    let mut log = TestLog::new();
    log.batch(&["a", "b"]).roll().batch(&["b"]).roll();
    log.batch(&["b"]);
    let synced = log.chain.synced_position;
    log.batch_with(&["a"], synced, Lie::SkipsVersion).batch(&["a"]);
    let found = log.verify().unwrap();
    assert_eq!(fault(&found), "stream \"a\" goes on with version 2, expected 1");
    assert_eq!(found.events, 4, "what stands in front of it in its segment is whole");
}

#[test]
fn a_stream_that_begins_in_the_middle_of_the_log_begins_with_version_0() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll();
    let synced = log.chain.synced_position;
    log.batch_with(&["b"], synced, Lie::SkipsVersion).batch(&["b"]);
    let found = log.verify().unwrap();
    assert_eq!(fault(&found), "stream \"b\" goes on with version 1, expected 0");
}

#[test]
fn a_checkpoint_that_does_not_rise_from_the_segment_in_front_is_found() {
    let mut log = TestLog::new();
    log.batch(&["a"]).checkpoints(&[("p", 5), ("q", 1)]).roll();
    log.checkpoints(&[("q", 2)]).roll();
    log.batch(&["a"]).checkpoints(&[("p", 6), ("q", 3)]).control(ControlKind::Close, true);
    let found = log.verify().unwrap();
    assert_eq!(found.tail, Tail::Clean);
    assert_eq!((found.checkpoints["p"], found.checkpoints["q"]), (6, 3));
    assert!(found.closed);

    log.roll().checkpoints(&[("q", 3)]);
    let found = log.verify().unwrap();
    assert_eq!(fault(&found), "checkpoint \"q\" is set to 3, it was 3 before");
}

#[test]
fn whatever_has_happened_to_a_log_both_say_the_same() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut log = TestLog::of_three_segments();
        for _ in 0..random.u32(1..4) {
            let segment = random.usize(..3);
            let bytes = log.bytes(segment);
            let at = random.usize(..bytes.len());
            let end = (at + random.usize(1..600)).min(bytes.len());
            match random.u32(..5) {
                0 => bytes[at] ^= 1 << random.u32(..8),
                1 => bytes[at..end].fill(0),
                2 => bytes[at..end].fill(random.u8(..)),
                3 => bytes.truncate(at / 4096 * 4096),
                _ => {
                    let copy = log.segments[random.usize(..3)].bytes.clone().unwrap();
                    let length = copy.len().min(log.bytes(segment).len());
                    log.bytes(segment)[at.min(length)..length]
                        .copy_from_slice(&copy[at.min(length)..length]);
                }
            }
            if log.segments.iter().any(|segment| segment.bytes.as_ref().unwrap().is_empty()) {
                break;
            }
        }
        // It compares them.
        drop(log.verify());
    }
}
