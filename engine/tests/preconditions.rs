//! Every expectation on every kind of stream: what holds, what is refused, and what is reported.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::sync::Barrier;

use quipu::{
    AppendError, Batch, Durability, Event, ExpectedVersion, FailedPrecondition, InvalidBatch, Log,
    Outcome, Position, StreamHead, Version,
};

#[path = "common/support.rs"]
mod support;
use support::{dense, one, options};

use ExpectedVersion::{Any, Exact, LastPosition, NoStream, StreamExists};

const EXACT_0: ExpectedVersion = Exact(Version::new(0));
const EXACT_1: ExpectedVersion = Exact(Version::new(1));
const EXACT_2: ExpectedVersion = Exact(Version::new(2));

/// Position 0: `other`; 1 and 2: `present`, whose version thus is 1.
fn log_with_two_streams(dir: &tempfile::TempDir) -> Log {
    let log = options().open(dir.path()).unwrap();
    for stream in ["other", "present", "present"] {
        log.append(one(stream, "")).unwrap();
    }
    log
}

fn head(version: u64, position: u64) -> Option<StreamHead> {
    Some(StreamHead { version: Version::new(version), position: Position::new(position) })
}

fn failed(
    stream: &str,
    expected: ExpectedVersion,
    actual: Option<StreamHead>,
) -> FailedPrecondition {
    FailedPrecondition { stream: stream.to_owned(), expected, actual }
}

/// Expectations, and whether they hold of no stream and of one at version 1 and position 2.
fn expectations() -> Vec<(ExpectedVersion, bool, bool)> {
    vec![
        (Any, true, true),
        (NoStream, true, false),
        (StreamExists, false, true),
        (EXACT_0, false, false),
        (EXACT_1, false, true),
        (EXACT_2, false, false),
        (Exact(Version::new(u64::MAX)), false, false),
        (LastPosition(Position::new(0)), false, false),
        (LastPosition(Position::new(1)), false, false),
        (LastPosition(Position::new(2)), false, true),
        (LastPosition(Position::new(3)), false, false),
        (LastPosition(Position::new(u64::MAX)), false, false),
    ]
}

#[test]
fn every_expectation_is_judged_on_streams_that_are_written_and_that_are_not() {
    for durability in [Durability::Sync, Durability::Buffered] {
        for (expected, of_absent, of_present) in expectations() {
            for (stream, actual, holds) in
                [("absent", None, of_absent), ("present", head(1, 2), of_present)]
            {
                for written in [stream, "unrelated"] {
                    let dir = tempfile::tempdir().unwrap();
                    let log = log_with_two_streams(&dir);
                    let batch = one(written, "").expect(stream, expected).durability(durability);
                    let case = format!("{expected:?} of {stream}, writing {written}");
                    match log.append(batch) {
                        Ok(receipt) => {
                            assert!(holds, "{case}");
                            assert_eq!(receipt.first_position(), Position::new(3), "{case}");
                        }
                        Err(error) => {
                            assert!(!holds, "{case}: {error}");
                            let expected = [failed(stream, expected, actual)];
                            assert_eq!(error.failed_preconditions(), expected, "{case}");
                            assert_eq!(error.outcome(), Outcome::NotApplied);
                        }
                    }
                    assert_eq!(dense(&log).len(), if holds { 4 } else { 3 }, "{case}");
                }
            }
        }
    }
}

#[test]
fn all_failed_expectations_are_reported_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    let batch = one("present", "")
        .expect("present", EXACT_2)
        .expect("absent", StreamExists)
        .expect("fine", NoStream)
        .expect("other", LastPosition(Position::new(7)));
    let error = log.append(batch).unwrap_err();
    assert_eq!(
        error.failed_preconditions(),
        [
            failed("present", EXACT_2, head(1, 2)),
            failed("absent", StreamExists, None),
            failed("other", LastPosition(Position::new(7)), head(0, 0)),
        ]
    );
    assert_eq!(
        error.to_string(),
        "stream \"present\" is at version 1, expected 2; \
         stream \"absent\" has no events, expected some; \
         stream \"other\" has its last event at position 0, expected 7"
    );
    assert_eq!(dense(&log).len(), 3);
}

#[test]
fn expectations_are_not_judged_against_the_batchs_own_events() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    let event = |number: u8| Event::new("T", number.to_string());
    // Said before, between and after the events: it is all the same.
    let batch = Batch::new()
        .expect("new", NoStream)
        .event("new", event(0))
        .event("new", event(1))
        .expect("present", EXACT_1)
        .event("present", event(2))
        .event("new", event(3))
        .expect("new", NoStream);
    let receipt = log.append(batch).unwrap();
    assert_eq!(receipt.version("new"), Some(Version::new(2)));
    assert_eq!(receipt.version("present"), Some(Version::new(2)));
    let versions: Vec<_> = receipt.versions().map(|(name, at)| (name.to_owned(), at)).collect();
    let expected = ["new", "present"].map(|name| (name.to_owned(), Version::new(2)));
    assert_eq!(versions, expected, "in the order of first events");

    let own = one("later", "").event("later", event(1)).expect("later", EXACT_0);
    let error = log.append(own).unwrap_err();
    assert_eq!(error.failed_preconditions(), [failed("later", EXACT_0, None)]);
    dense(&log);
}

#[test]
fn two_different_expectations_for_one_stream_make_the_batch_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    for (first, second) in [
        (NoStream, StreamExists),
        (EXACT_1, EXACT_0),
        // Both hold, and yet they are two: no guessing which one is meant.
        (EXACT_1, StreamExists),
        (Any, EXACT_1),
        (EXACT_1, LastPosition(Position::new(2))),
    ] {
        let batch = one("x", "").expect("present", first).expect("y", Any);
        match log.append(batch.expect("present", second)).unwrap_err() {
            AppendError::InvalidBatch(error) => {
                let stream = "present".to_owned();
                let expected = InvalidBatch::ContradictoryExpectations { stream, first, second };
                assert_eq!(error, expected);
            }
            error => panic!("{error}"),
        }
    }
    let twice = one("x", "").expect("present", EXACT_0).expect("present", EXACT_1);
    assert_eq!(
        log.append(twice).unwrap_err().to_string(),
        "the batch is invalid: stream \"present\" has two expectations, version 0 and version 1"
    );
    assert_eq!(dense(&log).len(), 3);
}

#[test]
fn the_same_expectation_twice_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    log.append(one("present", "").expect("present", EXACT_1).expect("present", EXACT_1)).unwrap();
    let again = one("present", "").expect("present", EXACT_1).expect("present", EXACT_1);
    let error = log.append(again).unwrap_err();
    assert_eq!(error.failed_preconditions(), [failed("present", EXACT_1, head(2, 3))]);
}

#[test]
fn a_batch_without_events_is_a_check_and_takes_no_position() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    let check = || Batch::new().expect("present", EXACT_1).expect("absent", NoStream);
    for _ in 0..3 {
        for durability in [Durability::Sync, Durability::Buffered] {
            let receipt = log.append(check().durability(durability)).unwrap();
            assert_eq!(receipt.event_count(), 0);
            assert_eq!(receipt.first_position(), Position::new(3));
            assert_eq!(receipt.last_position(), Position::new(3));
            assert_eq!(receipt.versions().count(), 0);
        }
    }
    assert_eq!(log.stream_version("absent"), None, "a check makes no stream");
    let error = log.append(check().expect("other", NoStream)).unwrap_err();
    assert_eq!(error.failed_preconditions(), [failed("other", NoStream, head(0, 0))]);
    assert_eq!(log.append(one("present", "")).unwrap().first_position(), Position::new(3));
    assert_eq!(dense(&log).len(), 4);
}

#[test]
fn a_batch_without_anything_is_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    for batch in [Batch::new(), Batch::new().idempotent(), Batch::default()] {
        let error = log.append(batch).unwrap_err();
        assert!(matches!(error, AppendError::InvalidBatch(InvalidBatch::Empty)));
        assert_eq!(
            error.to_string(),
            "the batch is invalid: it has neither events nor checkpoints nor preconditions"
        );
    }
    assert!(log.submit(Batch::new()).is_err(), "known before it is handed over");
    assert_eq!(dense(&log).len(), 3);
}

#[test]
fn what_stands_in_front_in_the_same_group_counts() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    // Handed over at once, so that many share a group: each second one expects what the first made.
    let tickets: Vec<_> = (0..200_u64)
        .flat_map(|round| {
            let expected = match Version::new(round).before() {
                None => NoStream,
                Some(version) => Exact(version),
            };
            [expected, expected].map(|expected| log.submit(one("s", "").expect("s", expected)))
        })
        .collect();
    for (at, ticket) in (0_u64..).zip(tickets) {
        let (round, answer) = (at / 2, ticket.unwrap().wait());
        if at % 2 == 0 {
            assert_eq!(answer.unwrap().version("s"), Some(Version::new(round)));
        } else {
            let error = answer.unwrap_err();
            assert_eq!(error.failed_preconditions()[0].actual, head(round, round));
        }
    }
    assert_eq!(dense(&log).len(), 200);
}

#[test]
fn a_refused_batch_leaves_no_trace_after_reopening_either() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    for durability in [Durability::Sync, Durability::Buffered] {
        let refused = one("new", "").expect("present", NoStream).durability(durability);
        log.append(refused).unwrap_err();
    }
    let before = dense(&log);
    log.close().unwrap();
    let log = options().open(dir.path()).unwrap();
    assert_eq!(dense(&log), before);
    assert_eq!(log.recovery_report().streams, 2);
    assert_eq!(log.recovery_report().bytes_cut, 0);
}

#[test]
fn a_read_only_log_refuses_to_append_and_to_sync() {
    let dir = tempfile::tempdir().unwrap();
    log_with_two_streams(&dir).close().unwrap();
    let log = Log::open_read_only(dir.path()).unwrap();
    for error in [
        log.append(one("s", "")).unwrap_err(),
        log.submit(one("s", "")).unwrap_err(),
        log.sync().unwrap_err(),
    ] {
        assert!(matches!(error, AppendError::ReadOnly));
        assert_eq!(error.to_string(), "the log is open for reading only");
    }
    assert_eq!(dense(&log).len(), 3);
    log.close().unwrap();
}

#[test]
fn what_a_callers_own_batches_on_their_way_will_bring_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for round in 0..20 {
        let stream = format!("stream-{round}");
        // Some of them are committed while others are still to be submitted.
        let expected =
            |version: u64| version.checked_sub(1).map_or(NoStream, |before| Exact(before.into()));
        let submit = |version| log.submit(one(&stream, "").expect(&stream, expected(version)));
        let tickets: Vec<_> = (0..100).map(|version| submit(version).unwrap()).collect();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        // Of two expectations the one that is to come true is not told as failed.
        let other = format!("other-{round}");
        let coming = log.submit(one(&other, "")).unwrap();
        let both = one(&other, "").expect(&stream, NoStream).expect(&other, EXACT_0);
        let failure = log.append(both).unwrap_err();
        assert_eq!(failure.failed_preconditions().len(), 1, "{failure}");
        coming.wait().unwrap();
        // And what they have overtaken is refused, by whomever.
        let late = log.submit(one(&stream, "").expect(&stream, EXACT_0)).unwrap();
        let failure = late.wait().unwrap_err();
        assert_eq!(failure.failed_preconditions()[0].actual.unwrap().version, Version::new(99));
    }
}

#[test]
fn no_caller_is_told_of_an_event_that_is_not_durable_or_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let (threads, rounds) = (8, 300);
    let start = Barrier::new(threads);
    let refused: usize = std::thread::scope(|scope| {
        let race = || {
            let mut refused = 0;
            for round in 0..rounds {
                let stream = format!("stream-{round}");
                start.wait();
                let Err(failure) = log.append(one(&stream, "").expect(&stream, NoStream)) else {
                    continue;
                };
                let told = failure.failed_preconditions()[0].actual.unwrap();
                assert!(
                    told.position < log.synced_end(),
                    "{failure}, durable to {}",
                    log.synced_end()
                );
                assert_eq!(log.stream_version(&stream), Some(told.version));
                refused += 1;
            }
            refused
        };
        let racing: Vec<_> = (0..threads).map(|_| scope.spawn(race)).collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(refused, (threads - 1) * rounds, "one wins each round");
}

#[test]
fn a_log_that_takes_nothing_says_so_whatever_is_expected() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with_two_streams(&dir);
    let again = log.clone();
    log.close().unwrap();
    let failure = again.append(one("present", "").expect("present", NoStream)).unwrap_err();
    assert!(matches!(failure, AppendError::Closed), "{failure}");
}
