//! Named checkpoints: set with events or alone, forward only, judged where batches are committed, and
//! there as long as the batch that set them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{
    AppendError, Batch, Durability, Event, ExpectedVersion, InvalidBatch, Log, Options, Outcome,
    Position, Proof, Query, RefusedCheckpoint,
};

#[path = "common/files.rs"]
mod files;
#[path = "common/support.rs"]
mod support;
use files::{Files, HEADER_BYTES, damage};
use support::{one, options};

fn at(position: u64) -> Position {
    Position::new(position)
}

fn set(name: &str, position: u64) -> Batch {
    Batch::new().checkpoint(name, at(position))
}

fn refused(name: &str, given: u64, actual: u64) -> RefusedCheckpoint {
    RefusedCheckpoint { name: name.to_owned(), given: at(given), actual: at(actual) }
}

/// Two pages a segment.
fn small() -> Options {
    Log::options().segment_bytes(8 << 10)
}

fn all(log: &Log) -> Vec<(String, u64)> {
    log.checkpoints().into_iter().map(|(name, at)| (name, at.as_u64())).collect()
}

fn named(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
}

#[test]
fn checkpoints_are_committed_with_events_and_alone_and_take_no_position() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    assert_eq!(log.checkpoint("p"), None);
    let receipt = log.append(set("p", 7).checkpoint("q", at(0))).unwrap();
    assert_eq!((receipt.event_count(), receipt.first_position()), (0, at(0)));
    assert_eq!(receipt.versions().count(), 0);
    assert_eq!(log.end(), at(0));
    let receipt = log.append(one("p", "1").checkpoint("p", at(u64::MAX))).unwrap();
    assert_eq!((receipt.event_count(), receipt.first_position()), (1, at(0)));
    let receipt = log.append(set("q", 1).durability(Durability::Buffered)).unwrap();
    assert_eq!(receipt.first_position(), at(1));
    assert_eq!(all(&log), named(&[("p", u64::MAX), ("q", 1)]));
    assert_eq!(log.stream_version("q"), None, "names of checkpoints are not those of streams");
    log.append(one("p", "2")).unwrap();
    assert_eq!(support::dense(&log).len(), 2);
    assert_eq!(log.batches(..).filter(Result::is_ok).count(), 2);
    assert_eq!(log.batches(..).backward().filter(Result::is_ok).count(), 2);
    log.close().unwrap();
    for verify in [false, true] {
        let log = options().verify_on_open(verify).open(dir.path()).unwrap();
        assert_eq!(all(&log), named(&[("p", u64::MAX), ("q", 1)]));
        assert_eq!((log.recovery_report().checkpoints, log.recovery_report().batches), (2, 2));
        assert!(log.recovery_report().clean_close);
        log.close().unwrap();
    }
}

#[test]
fn a_checkpoint_goes_forward_only_and_a_refusal_names_each_that_would_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    log.append(set("p", 5).checkpoint("q", at(5)).checkpoint("r", at(5))).unwrap();
    let batch = one("s", "").checkpoint("r", at(6));
    let batch = batch.checkpoint("p", at(5)).checkpoint("q", at(4));
    let error = log.append(batch).unwrap_err();
    assert_eq!(error.refused_checkpoints(), [refused("p", 5, 5), refused("q", 4, 5)]);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(
        error.to_string(),
        "checkpoint \"p\" is at 5 and goes forward only, it was given 5; \
         checkpoint \"q\" is at 5 and goes forward only, it was given 4"
    );
    assert_eq!((log.end(), log.checkpoint("r")), (at(0), Some(at(5))), "nothing was written");
    log.append(one("s", "")).unwrap();
    let stale = ExpectedVersion::NoStream;
    let batch = set("p", 1).expect("s", stale).expect_none(Query::new().event_type("T"), at(0));
    let error = log.append(batch).unwrap_err();
    assert_eq!(error.refused_checkpoints(), [refused("p", 1, 5)]);
    assert_eq!((error.failed_preconditions().len(), error.failed_queries().len()), (1, 1));
    // What fails for good is not told without the checkpoints.
    let error = log.append(set("p", 1).expect("s", stale)).unwrap_err();
    assert_eq!(error.refused_checkpoints(), [refused("p", 1, 5)]);
    assert_eq!(error.failed_preconditions().len(), 1);
    let error = log.append(set("p", 6).expect("s", stale)).unwrap_err();
    assert!(matches!(error, AppendError::PreconditionFailed(_)), "the checkpoint would rise");
    assert_eq!(log.checkpoint("p"), Some(at(5)));
}

#[test]
fn what_is_no_checkpoint_is_told_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let log = small().open(dir.path()).unwrap();
    for name in [String::new(), "x".repeat(1025)] {
        let error = log.append(set(&name, 1)).unwrap_err();
        assert!(matches!(error, AppendError::InvalidBatch(InvalidBatch::Encode(_))), "{error}");
    }
    let error = log.append(set("p", 1).checkpoint("q", at(2)).checkpoint("p", at(3))).unwrap_err();
    let AppendError::InvalidBatch(InvalidBatch::ContradictoryCheckpoints { name, first, second }) =
        error
    else {
        panic!("{error}")
    };
    assert_eq!((&*name, first, second), ("p", at(1), at(3)));
    let many = (0..500).fold(Batch::new(), |batch, number| {
        batch.checkpoint(format!("projection {number}"), at(1))
    });
    assert!(matches!(log.append(many).unwrap_err(), AppendError::TooLarge { .. }));
    log.append(set("p", 1).checkpoint("p", at(1)).checkpoint("x".repeat(1024), at(1))).unwrap();
    assert_eq!(log.checkpoints().len(), 2, "the same twice is one");
}

#[test]
fn of_callers_who_set_one_checkpoint_to_the_same_one_wins() {
    const CALLERS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for position in 0..20 {
        let barrier = Barrier::new(CALLERS);
        let won: usize = thread::scope(|scope| {
            let call = |_| {
                scope.spawn(|| {
                    barrier.wait();
                    let batch = one("work", "").checkpoint("p", at(position));
                    match log.append(batch) {
                        Ok(_) => 1,
                        Err(error) => {
                            let told = error.refused_checkpoints();
                            assert_eq!(told, [refused("p", position, position)]);
                            0
                        }
                    }
                })
            };
            let calls: Vec<_> = (0..CALLERS).map(call).collect();
            calls.into_iter().map(|call| call.join().unwrap()).sum()
        });
        assert_eq!((won, log.end()), (1, at(position + 1)));
    }
}

#[test]
fn a_checkpoint_and_the_events_beside_it_are_seen_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().durability(Durability::Buffered).open(dir.path()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for end in 1..=20_000 {
                log.append(one("s", "").checkpoint("p", at(end))).unwrap();
            }
        });
        let is_end = |position: Position| position == at(20_000);
        let seen = || log.checkpoint("p").unwrap_or(at(0));
        loop {
            let (checkpoint, end) = (seen(), log.end());
            assert!(checkpoint <= end, "{checkpoint} is seen, and the log ends at {end}");
            let (end, checkpoint) = (log.end(), seen());
            assert!(end <= checkpoint, "the log ends at {end}, and {checkpoint} is seen");
            if is_end(checkpoint) {
                break;
            }
        }
    });
}

#[test]
fn a_batch_sent_twice_is_recognised_by_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let event = |id: u128| Event::new("T", "").id(id);
    let batch = |id, position| {
        Batch::new().idempotent().event("s", event(id)).checkpoint("p", at(position))
    };
    let original = log.append(batch(1, 5)).unwrap();
    for log in [log.clone(), log.clone()] {
        let again = log.append(batch(1, 5)).unwrap();
        assert!(again.replayed());
        assert_eq!(again.first_position(), original.first_position());
    }
    let expecting = batch(1, 5).expect("s", ExpectedVersion::NoStream);
    assert!(log.append(expecting.clone()).unwrap().replayed(), "by its precondition, too");
    for (other, why) in [
        (batch(2, 5), "another event"),
        (batch(1, 4), "a checkpoint that was never there"),
        (batch(1, 5).event("s", event(3)), "more events"),
        (batch(1, 5).checkpoint("q", at(1)), "more checkpoints"),
        (expecting.clone().checkpoint("q", at(1)), "more checkpoints, placed by its precondition"),
        (Batch::new().event("s", event(1)).checkpoint("p", at(5)), "it does not ask for it"),
        (set("p", 5).idempotent(), "nothing to know it by"),
    ] {
        let error = log.append(other).expect_err(why);
        assert_eq!(error.refused_checkpoints().len(), 1, "{why}");
    }
    let fewer = Batch::new().idempotent().event("s", event(1));
    let fewer = fewer.expect("s", ExpectedVersion::NoStream);
    assert!(log.append(fewer).is_err(), "the stored one has set a checkpoint");
    log.append(set("p", 6)).unwrap();
    assert!(log.append(batch(1, 5)).is_err(), "who set it to 5 is not known any more");
    assert!(log.append(expecting).unwrap().replayed(), "but its precondition knows the place");
    log.append(batch(7, 7)).unwrap();
    log.close().unwrap();
    let log = options().open(dir.path()).unwrap();
    assert!(log.append(batch(7, 7)).unwrap().replayed(), "after any number of openings");
}

/// Fills segments until the one that the log began in is sealed, with a checkpoint for each batch.
fn several_segments(log: &Log) -> u64 {
    let mut last = 0;
    for number in 1..=12 {
        let name = if number % 3 == 0 { "rare" } else { "often" };
        let event = Event::new("T", vec![number as u8; 900]);
        let batch = Batch::new().checkpoint(name, at(number));
        log.append(if number % 2 == 0 { batch } else { batch.event("s", event) }).unwrap();
        last = number;
    }
    last
}

#[test]
fn checkpoints_are_there_again_from_frames_and_from_indexes() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, small()).unwrap();
    several_segments(&log);
    let expected = named(&[("often", 11), ("rare", 12)]);
    assert_eq!(all(&log), expected);
    drop(log);
    let disk = disk.reboot(&Survivors::None);
    for (options, indexes) in [(small().verify_on_open(true), 0), (small(), 1)] {
        let disk = disk.if_rebooted(&Survivors::None);
        let log = Log::open_simulated(&disk, options).unwrap();
        assert_eq!(all(&log), expected);
        let error = log.append(set("often", 11)).unwrap_err();
        assert_eq!(error.refused_checkpoints(), [refused("often", 11, 11)]);
        assert!(log.recovery_report().indexes_used >= indexes);
        log.append(set("often", 13)).unwrap();
        assert_eq!(log.checkpoint("often"), Some(at(13)));
    }
}

#[test]
fn segments_of_checkpoints_alone_are_sealed_and_gone_over() {
    let disk = SimDisk::new(8);
    let log = Log::open_simulated(&disk, small()).unwrap();
    for number in 0..400 {
        log.append(set("a projection with a name of some length", number)).unwrap();
    }
    log.append(one("s", "the first event")).unwrap();
    assert!(disk.files().len() > 6, "several segments without an event");
    for read in [log.read(..), log.read(..).backward()] {
        assert_eq!(support::payloads(read), ["the first event"]);
    }
    drop(log);
    for verify in [false, true] {
        let disk = disk.if_rebooted(&Survivors::All);
        let log = Log::open_simulated(&disk, small().verify_on_open(verify)).unwrap();
        assert_eq!(all(&log), named(&[("a projection with a name of some length", 399)]));
        assert_eq!(support::payloads(log.read(..)), ["the first event"]);
        assert_eq!(support::payloads(log.read(..).backward()), ["the first event"]);
    }
}

#[test]
fn a_power_cut_takes_what_was_buffered_and_nothing_that_was_synced() {
    let disk = SimDisk::new(9);
    let log = Log::open_simulated(&disk, small()).unwrap();
    log.append(set("p", 1).durability(Durability::Buffered)).unwrap();
    log.append(set("q", 1)).unwrap();
    log.append(set("p", 2).durability(Durability::Buffered)).unwrap();
    let cut = || {
        let disk = disk.if_rebooted(&Survivors::None);
        all(&Log::open_simulated(&disk, small()).unwrap())
    };
    assert_eq!(
        cut(),
        named(&[("p", 1), ("q", 1)]),
        "what is synced takes with it what is in front"
    );
    log.sync().unwrap();
    assert_eq!(cut(), named(&[("p", 2), ("q", 1)]));
    log.append(set("p", 3).durability(Durability::Buffered)).unwrap();
    log.close().unwrap();
    assert_eq!(cut(), named(&[("p", 3), ("q", 1)]), "closing makes everything durable");
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_proved_durable() {
    let disk = SimDisk::new(14);
    let log = Log::open_simulated(&disk, small()).unwrap();
    log.append(set("p", 1)).unwrap();
    log.append(set("q", 1).durability(Durability::Buffered)).unwrap();
    let seen = || all(&Log::open_simulated_read_only(&disk, small()).unwrap());
    assert_eq!(seen(), named(&[("p", 1)]), "by the frame behind it");
    log.append(one("s", "").checkpoint("p", at(2))).unwrap();
    assert_eq!(seen(), named(&[("p", 2), ("q", 1)]), "by the word of the writer");
    log.be_quiet();
    assert_eq!(seen(), named(&[("p", 2), ("q", 1)]));
    log.append(one("s", "").checkpoint("p", at(3)).durability(Durability::Buffered)).unwrap();
    log.append(set("q", 2).durability(Durability::Buffered)).unwrap();
    log.append(one("s", "").durability(Durability::Buffered)).unwrap();
    assert_eq!(seen(), named(&[("p", 2), ("q", 1)]));
    log.close().unwrap();
    assert_eq!(seen(), named(&[("p", 3), ("q", 2)]), "there is no writer");
}

/// No claim and no limit: what is walked is all that the writer has stored, up to a foreign file.
#[test]
fn a_reader_of_a_damaged_log_sees_no_checkpoint_that_its_live_writer_has_not_synced() {
    let disk = SimDisk::new(16);
    disk.fail(FaultPlan::new(Operation::Open, Errno::Io).on_files_with("SYNCED"));
    let log = Log::open_simulated(&disk, small()).unwrap();
    disk.heal();
    log.append(one("s", "")).unwrap();
    for batch in [set("p", 1), one("s", ""), set("q", 1)] {
        log.append(batch.durability(Durability::Buffered)).unwrap();
    }
    disk.write_file(&files::segment(1), b"PK\x03\x04, a zip archive");
    let reader = Log::open_simulated_read_only(&disk, small()).unwrap();
    assert!(reader.recovery_report().damage.is_some(), "{:?}", reader.recovery_report());
    // The event behind `p` says that the one in front of it is durable, and nothing of `p`.
    assert_eq!((reader.end(), all(&reader)), (at(1), named(&[])));
}

#[test]
fn a_reader_that_follows_sees_checkpoints_with_their_events_and_alone_once_a_frame_settles_them() {
    let disk = SimDisk::new(15);
    let log = Log::open_simulated(&disk, small()).unwrap();
    log.append(one("s", "")).unwrap();
    let reader = Log::open_simulated_read_only(&disk, small()).unwrap();
    assert_eq!(all(&reader), named(&[]));
    log.append(one("s", "").checkpoint("p", at(1))).unwrap();
    assert_eq!((all(&reader), reader.end()), (named(&[("p", 1)]), at(2)));
    log.append(set("p", 2)).unwrap();
    log.append(set("q", 1)).unwrap();
    assert_eq!(all(&reader), named(&[("p", 2)]), "by the frame behind it, and of the last by none");
    log.be_quiet();
    assert_eq!(all(&reader), named(&[("p", 2), ("q", 1)]));
    // Over the ends of segments, with frames between events that set some.
    for number in 3..40 {
        log.append(set("p", number)).unwrap();
        let large = Event::new("T", vec![1; 700]);
        log.append(Batch::new().event("s", large).checkpoint("q", at(number))).unwrap();
        assert_eq!(all(&reader), named(&[("p", number), ("q", number)]));
    }
    log.append(one("s", "").checkpoint("q", at(99)).durability(Durability::Buffered)).unwrap();
    assert_eq!(reader.checkpoint("q"), Some(at(39)), "what is not durable is not seen");
    drop(log);
    assert_eq!(reader.checkpoint("q"), Some(at(99)), "the end of the writer has synced it");
}

#[test]
fn an_interval_syncs_checkpoints_alone_and_an_idle_log_says_that_they_are_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = options()
        .durability(Durability::Buffered)
        .sync_interval(Duration::from_millis(1))
        .idle_mark_after(Duration::from_millis(1))
        .open(dir.path())
        .unwrap();
    log.append(set("p", 1)).unwrap();
    support::poll_until("a mark behind the checkpoints", || {
        let reader = Log::open_read_only(dir.path()).unwrap();
        (reader.checkpoint("p") == Some(at(1))).then_some(())
    });
    drop(log);
}

#[test]
fn a_refusal_is_told_when_what_it_speaks_of_is_durable() {
    let disk = SimDisk::new(10);
    let log = Log::open_simulated(&disk, small()).unwrap();
    log.append(set("p", 5).durability(Durability::Buffered)).unwrap();
    let error = log.append(set("p", 5)).unwrap_err();
    assert_eq!(error.refused_checkpoints(), [refused("p", 5, 5)]);
    let cut = Log::open_simulated(&disk.if_rebooted(&Survivors::None), small()).unwrap();
    assert_eq!(cut.checkpoint("p"), Some(at(5)), "told of it, and a power cut has taken it back");
    log.append(set("p", 6).durability(Durability::Buffered)).unwrap();
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
    let error = log.append(set("p", 6)).unwrap_err();
    assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
}

#[test]
fn a_store_that_failed_leaves_the_checkpoint_there_or_not() {
    let disk = SimDisk::new(11);
    let log = Log::open_simulated(&disk, small()).unwrap();
    log.append(set("p", 1)).unwrap();
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
    let error = log.append(one("s", "").checkpoint("p", at(2))).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(log.checkpoint("p"), Some(at(1)), "what is not known to be there is not shown");
    drop(log);
    let disk = disk.restart_process();
    let log = Log::open_simulated(&disk, small()).unwrap();
    let is_there = log.end() == at(1);
    assert_eq!(log.checkpoint("p"), Some(at(if is_there { 2 } else { 1 })));
}

/// A log of two events and, last, checkpoints alone; then closed, quiet or killed.
fn ended(end: impl FnOnce(Log)) -> (Files, usize) {
    let disk = SimDisk::new(12);
    let log = Log::open_simulated(&disk, small()).unwrap();
    log.append(one("s", "1").checkpoint("p", at(1))).unwrap();
    log.append(one("s", "2")).unwrap();
    log.append(set("p", 2)).unwrap();
    end(log);
    let files = Files::of(&disk);
    let last = files.frames(0)[2];
    (files, last)
}

#[test]
fn checkpoints_alone_that_decay_are_damage_as_events_are() {
    let closed = ended(|log| log.close().unwrap());
    let quiet = ended(|log| {
        log.be_quiet();
        log.be_quiet();
        std::mem::forget(log);
    });
    for (files, last) in [closed, quiet] {
        assert_eq!(files.frames(0).len(), 4, "one frame behind says that all is durable");
        let witness = files.frames(0)[3] as u64;
        for byte in [0, 20, 50, 60] {
            let mut files = files.clone();
            files.segment(0)[last + byte] ^= 1;
            let found = damage(&files, &small(), &[b"1".to_vec(), b"2".to_vec()]);
            assert_eq!((found.offset, found.position), (last as u64, at(2)));
            let Proof::Settled { file, offset } = found.proof else { panic!("{}", found.proof) };
            assert!(file.ends_with(&files::segment(0)));
            assert_eq!(offset, witness);
        }
    }
    let (mut killed, last) = ended(std::mem::forget);
    killed.segment(0)[last + 50] ^= 1;
    let log = Log::open_simulated(&killed.disk(), small()).unwrap();
    assert_eq!(all(&log), named(&[("p", 1)]), "nothing behind it says that it was durable");
    assert!(log.recovery_report().bytes_cut > 0);
}

#[test]
fn a_checkpoint_that_does_not_rise_was_written_by_no_engine() {
    let (mut files, last) = ended(|log| log.close().unwrap());
    // The frame of checkpoints again, with its position made 1 and its checksums made right.
    let header = files.header(0);
    let mut frame = files.segment(0)[last..].to_vec();
    frame[48] = 1;
    let salt = quipu_format::Salt::new(header.log_id, header.sequence);
    files::fix_frame(&mut frame, salt, last);
    files.segment(0)[last..].copy_from_slice(&frame);
    let found = damage(&files, &small(), &[b"1".to_vec(), b"2".to_vec()]);
    assert_eq!(found.offset, last as u64);
    assert!(HEADER_BYTES < last);
}

#[test]
fn an_index_that_says_other_checkpoints_than_its_segment_goes_on_with_is_made_again() {
    let disk = SimDisk::new(13);
    let log = Log::open_simulated(&disk, small()).unwrap();
    several_segments(&log);
    let expected = all(&log);
    log.close().unwrap();
    let name = format!("{:020}.idx", 0);
    let (mut files, file) = (Files::of(&disk), disk.read_file(&name).unwrap());
    let header = quipu_format::sidecar::SidecarHeader::decode(&file).unwrap();
    assert!(header.checkpoint_count > 0);
    files.0.insert(name.clone(), Vec::new());
    let opened = Log::open_simulated(&files.disk(), small()).unwrap();
    assert_eq!(all(&opened), expected);
    assert_eq!(opened.recovery_report().indexes_wrong, 1);
}
