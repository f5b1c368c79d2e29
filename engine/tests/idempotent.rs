//! A batch sent twice is stored once, if its caller asks for that, and only if it is the very same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::{
    AppendError, Batch, Durability, Event, EventId, ExpectedVersion, InvalidBatch, Log, Position,
    Receipt, Version,
};

#[path = "common/support.rs"]
mod support;
use support::{dense, one, options};

use ExpectedVersion::{Any, Exact, LastPosition, NoStream, StreamExists};

fn event(id: u128) -> Event<'static> {
    Event::new("T", "").id(id)
}

fn exact(version: u64) -> ExpectedVersion {
    Exact(Version::new(version))
}

/// An idempotent batch of events with these ids, each on the stream beside it.
fn batch<'a>(events: impl IntoIterator<Item = (&'a str, u128)>) -> Batch {
    let add = |batch: Batch, (stream, id)| batch.event(stream, event(id));
    events.into_iter().fold(Batch::new().idempotent(), add)
}

/// All that a receipt says.
fn told(receipt: &Receipt) -> (Position, Position, u64, Vec<(String, Version)>) {
    let versions = receipt.versions().map(|(name, at)| (name.to_owned(), at)).collect();
    let time = receipt.committed_at().as_u64();
    (receipt.first_position(), receipt.last_position(), time, versions)
}

/// The same batch again is answered with the original's receipt, and nothing is stored.
fn assert_replayed(log: &Log, original: &Receipt, again: Batch) {
    let end = log.end();
    for durability in [Durability::Sync, Durability::Buffered] {
        let receipt = log.append(again.clone().durability(durability)).unwrap();
        assert!(receipt.replayed() && !original.replayed());
        assert_eq!(told(&receipt), told(original));
        assert_eq!(receipt.event_count(), original.event_count());
    }
    assert_eq!(log.end(), end, "nothing was stored");
}

fn assert_refused(log: &Log, why: &str, batch: Batch) {
    let end = log.end();
    let error = log.append(batch).expect_err(why);
    assert!(!error.failed_preconditions().is_empty(), "{why}: {error}");
    assert_eq!(log.end(), end, "{why}");
}

#[test]
fn a_batch_sent_twice_is_stored_once_whichever_expectation_places_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let cases = [("exact", exact(0)), ("none", NoStream), ("last", LastPosition(Position::new(1)))];
    log.append(one("exact", "0")).unwrap();
    log.append(one("last", "0")).unwrap();
    for (id, (stream, expected)) in (10..).step_by(10).zip(cases) {
        let same = || batch([(stream, id), (stream, id + 1)]).expect(stream, expected);
        let original = log.append(same()).unwrap();
        assert_eq!(original.event_count(), 2);
        assert_replayed(&log, &original, same());
        log.append(one(stream, "later")).unwrap();
        assert_replayed(&log, &original, same());
    }
    dense(&log);
}

#[test]
fn a_batch_over_several_streams_is_recognised_by_any_and_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    log.append(one("a", "0")).unwrap();
    log.append(one("watched", "0")).unwrap();
    let events = || batch([("a", 1), ("b", 2), ("a", 3), ("c", 4)]);
    let all = || {
        let placed = events().expect("a", exact(0)).expect("b", NoStream).expect("c", Any);
        placed.expect("watched", exact(0))
    };
    let original = log.append(all()).unwrap();
    let versions: Vec<_> = original.versions().map(|(_, version)| version.as_u64()).collect();
    assert_eq!(versions, [2, 0, 0]);
    assert_replayed(&log, &original, all());
    assert_replayed(&log, &original, events().expect("b", NoStream));
    // What it only looked at may have changed since: the batch is there all the same.
    log.append(one("watched", "1")).unwrap();
    assert_replayed(&log, &original, all());
    dense(&log);
}

#[test]
fn an_old_batch_is_recognised_after_many_appends_segments_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let open = || options().segment_bytes(8 << 10).open(dir.path()).unwrap();
    let mut log = open();
    let old = || batch([("s", 1), ("t", 2)]).expect("s", NoStream).expect("t", NoStream);
    let original = log.append(old()).unwrap();
    for opening in 0..3 {
        for number in 0..200_u64 {
            let stream = ["s", "t", "u"][number as usize % 3];
            log.append(one(stream, "x".repeat(100)).durability(Durability::Buffered)).unwrap();
        }
        assert_replayed(&log, &original, old());
        log.close().unwrap();
        log = open();
        assert!(log.recovery_report().segments > 3 * (opening + 1), "it has rolled over");
        assert_replayed(&log, &original, old());
    }
    dense(&log);
}

#[test]
fn whoever_does_not_ask_for_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let plain = || Batch::new().expect("s", NoStream).event("s", event(1));
    log.append(plain()).unwrap();
    assert_refused(&log, "not asked for", plain());
    // It is the retry that must ask; how the first was sent is not recorded.
    let asked = batch([("s", 1)]).expect("s", NoStream);
    assert!(log.append(asked).unwrap().replayed());
}

#[test]
fn another_batch_is_never_taken_for_the_one_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let placed = |batch: Batch| batch.expect("a", NoStream);
    let original = log.append(placed(batch([("a", 1), ("a", 2), ("b", 3)]))).unwrap();
    log.append(batch([("a", 4)])).unwrap();
    for (why, other) in [
        ("other ids", batch([("a", 7), ("a", 8), ("b", 9)])),
        ("the first id only", batch([("a", 1)])),
        ("one event less", batch([("a", 1), ("a", 2)])),
        ("one event more", batch([("a", 1), ("a", 2), ("b", 3), ("a", 4)])),
        ("one id differs", batch([("a", 1), ("a", 2), ("b", 4)])),
        ("another order", batch([("a", 2), ("a", 1), ("b", 3)])),
        ("another order of streams", batch([("b", 3), ("a", 1), ("a", 2)])),
        ("another stream for one event", batch([("a", 1), ("b", 2), ("b", 3)])),
        ("another stream's name", batch([("a", 1), ("a", 2), ("c", 3)])),
        ("an event of the next batch", batch([("a", 4)])),
    ] {
        assert_refused(&log, why, placed(other));
    }
    let same = || batch([("a", 1), ("a", 2), ("b", 3)]);
    assert_refused(&log, "placed one event later", same().expect("a", exact(0)));
    assert_refused(&log, "placed where nothing is", same().expect("a", exact(9)));
    let nowhere = LastPosition(Position::new(77));
    assert_refused(&log, "behind a position that is not there", same().expect("a", nowhere));
    let foreign = LastPosition(Position::new(2));
    assert_refused(&log, "behind another stream's position", same().expect("a", foreign));
    let elsewhere = same().expect("a", NoStream).expect("b", exact(5));
    assert_refused(&log, "one stream right, one wrong", elsewhere);
    let only_looked_at = same().expect("a", StreamExists).expect("x", StreamExists);
    assert_refused(&log, "no expectation places it", only_looked_at);
    assert_replayed(&log, &original, placed(same()));
    dense(&log);
}

#[test]
fn two_batches_that_together_are_the_same_events_are_not_the_same_batch() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    log.append(batch([("s", 1)]).expect("s", NoStream)).unwrap();
    log.append(batch([("s", 2)]).expect("s", exact(0))).unwrap();
    assert_refused(&log, "two as one", batch([("s", 1), ("s", 2)]).expect("s", NoStream));
    let second = batch([("s", 2)]).expect("s", exact(0));
    assert!(log.append(second).unwrap().replayed(), "each by itself is");
}

#[test]
fn a_nil_id_and_a_missing_one_are_no_ids() {
    for id in [None, Some(EventId::from(0_u128))] {
        let dir = tempfile::tempdir().unwrap();
        let log = options().open(dir.path()).unwrap();
        let event = || id.map_or(Event::new("T", ""), |id| Event::new("T", "").id(id));
        let same = || Batch::new().idempotent().expect("s", NoStream).event("s", event());
        log.append(same()).unwrap();
        assert_refused(&log, "without an id nothing is recognised", same());
        assert_eq!(dense(&log)[0].id, None, "nor is it stored as one");

        let half = || batch([("h", 5)]).event("h", event()).expect("h", NoStream);
        log.append(half()).unwrap();
        assert_refused(&log, "one event without an id is enough", half());
    }
}

#[test]
fn where_the_expectation_holds_the_batch_is_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    // Ids need not be unique: only a failed expectation makes anyone look for them.
    for round in 0..3_u64 {
        let receipt = log.append(batch([("s", 1)]).expect("s", Any)).unwrap();
        assert!(!receipt.replayed());
        assert_eq!(receipt.version("s"), Some(Version::new(round)));
    }
    let receipt = log.append(batch([("s", 1)]).expect("s", exact(2))).unwrap();
    assert!(!receipt.replayed());
    assert_eq!(dense(&log).len(), 4);
}

#[test]
fn a_replay_within_one_group_is_recognised_and_durable_when_answered() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for round in 0..100_u64 {
        let expected = Version::new(round).before().map_or(NoStream, Exact);
        let same = || batch([("s", u128::from(round) + 1)]).expect("s", expected);
        let buffered = log.submit(same().durability(Durability::Buffered)).unwrap();
        let again = log.submit(same()).unwrap();
        let receipt = again.wait().unwrap();
        assert!(receipt.replayed());
        assert!(log.synced_end() > receipt.last_position(), "a Sync answer is a durable one");
        assert_eq!(told(&buffered.wait().unwrap()), told(&receipt));
    }
    assert_eq!(dense(&log).len(), 100);
}

#[test]
fn a_refusal_too_is_answered_only_when_what_it_speaks_of_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().durability(Durability::Buffered).open(dir.path()).unwrap();
    for round in 0..50 {
        let receipt = log.append(one("s", "")).unwrap();
        let refused = || one("s", "").expect("s", NoStream);
        log.append(refused()).unwrap_err();
        assert_eq!(log.synced_end().as_u64(), round, "a buffered refusal syncs nothing");
        log.append(refused().durability(Durability::Sync)).unwrap_err();
        assert!(log.synced_end() > receipt.last_position());
    }
}

#[test]
fn idempotence_must_be_asked_for_before_the_first_event() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let error = log.append(one("s", "").idempotent()).unwrap_err();
    assert!(matches!(error, AppendError::InvalidBatch(InvalidBatch::IdempotentTooLate)));
    assert_eq!(
        error.to_string(),
        "the batch is invalid: idempotent() must be called before the first event"
    );
}
