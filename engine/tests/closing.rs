//! The end of a log in the middle of appends: everyone is answered, and answered truly.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use quipu::{AppendError, Durability, Log, OpenErrorKind, Position, Receipt, Ticket};

#[path = "common/support.rs"]
mod support;
use support::{dense, one, options, payloads, poll_until, without_hanging};

const CALLERS: u64 = 16;

/// What one caller was told: which of its events are there, and which are not.
#[derive(Default)]
struct Told {
    stored: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Told {
    /// Notes an answer. `false`: the log is closed.
    fn note(&mut self, payload: String, answer: Result<Receipt, AppendError>) -> bool {
        match answer {
            Ok(_) => self.stored.insert(payload),
            Err(AppendError::Closed) => !self.refused.insert(payload),
            Err(error) => panic!("neither stored nor closed: {error}"),
        }
    }
}

/// Appends until the log says that it is closed; every second caller keeps tickets in flight.
fn append_until_closed(log: &Log, caller: u64, acknowledged: &AtomicU64) -> Told {
    let mut told = Told::default();
    let mut in_flight: VecDeque<(String, Ticket)> = VecDeque::new();
    for number in 0.. {
        let payload = format!("{caller}:{number}");
        let durability = match caller % 4 {
            0 | 1 => Durability::Sync,
            _ => Durability::Buffered,
        };
        let batch = one(&format!("s{caller}"), &payload).durability(durability);
        let open = match caller.is_multiple_of(2) {
            true => told.note(payload, log.append(batch)),
            false => {
                match log.submit(batch) {
                    Ok(ticket) => in_flight.push_back((payload, ticket)),
                    answer => panic!("{answer:?}"),
                }
                match in_flight.len() {
                    0..20 => true,
                    _ => in_flight
                        .pop_front()
                        .is_none_or(|(payload, ticket)| told.note(payload, ticket.wait())),
                }
            }
        };
        if !open {
            break;
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    for (payload, ticket) in in_flight {
        told.note(payload, ticket.wait());
    }
    told
}

fn close_while_callers_append(queue_batches_max: usize) {
    let dir = tempfile::tempdir().unwrap();
    let log = options().queue_batches_max(queue_batches_max).open(dir.path()).unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (log, acknowledged) = (log.clone(), Arc::clone(&acknowledged));
            thread::spawn(move || append_until_closed(&log, caller, &acknowledged))
        })
        .collect();
    poll_until("appends", || (acknowledged.load(Ordering::SeqCst) > 500).then_some(()));
    log.close().unwrap();
    let told: Vec<Told> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();

    let log = options().open(dir.path()).unwrap();
    assert!(log.recovery_report().clean_close);
    let there: BTreeSet<String> = dense(&log).into_iter().map(|event| event.payload).collect();
    let stored: BTreeSet<String> = told.iter().flat_map(|told| told.stored.clone()).collect();
    assert_eq!(there.len(), log.end().as_u64() as usize, "nothing is there twice");
    assert!(there == stored, "exactly what was acknowledged is there");
    assert!(told.iter().all(|told| !told.refused.is_empty()), "each heard of the end");
}

#[test]
fn a_close_amid_16_callers_answers_each_append_truly() {
    without_hanging(|| {
        for round in 0..12 {
            close_while_callers_append(if round % 2 == 0 { 8192 } else { 2 });
        }
    });
}

#[test]
fn what_was_submitted_before_the_close_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let tickets: Vec<_> =
        (0..100).map(|at| log.submit(one("s", format!("{at}"))).unwrap()).collect();
    log.close().unwrap();
    for (at, ticket) in (0..).zip(tickets) {
        assert_eq!(ticket.wait().unwrap().first_position(), Position::new(at));
    }
    assert_eq!(dense(&options().open(dir.path()).unwrap()).len(), 100);
}

#[test]
fn after_the_close_appends_are_refused_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for at in 0..10 {
        log.append(one("s", format!("{at}"))).unwrap();
    }
    let (other, mut reading) = (log.clone(), log.read(..).into_iter());
    reading.next().unwrap().unwrap();
    log.close().unwrap();
    for error in [
        // In place first, where nothing in the queue stands in its way.
        other.append(one("s", "late").durability(Durability::Buffered)).unwrap_err(),
        other.append(one("s", "late")).unwrap_err(),
        other.submit(one("s", "late")).unwrap().wait().unwrap_err(),
        other.sync().unwrap_err(),
    ] {
        assert!(matches!(error, AppendError::Closed), "{error}");
        assert_eq!(error.to_string(), "the log is closed");
    }
    assert_eq!(reading.count(), 9, "a read that had begun");
    assert_eq!(payloads(other.read_stream("s", ..)).len(), 10, "and one that begins now");
    other.close().unwrap();
}

#[test]
fn dropping_the_last_handle_closes_and_gives_the_directory_free() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let clones: Vec<_> = (0..4).map(|_| log.clone()).collect();
    drop(log);
    let path = dir.path();
    thread::scope(|scope| {
        for (at, log) in clones.into_iter().enumerate() {
            scope.spawn(move || {
                let payload = format!("{at}");
                log.append(one("s", payload).durability(Durability::Buffered)).unwrap();
                let busy = options().open(path).unwrap_err();
                assert_eq!(busy.kind(), OpenErrorKind::InUse, "this handle still holds it");
            });
        }
    });
    let log = options().open(path).unwrap();
    assert!(log.recovery_report().clean_close);
    assert_eq!(dense(&log).len(), 4);
}

#[test]
fn a_ticket_outlives_the_last_handle_and_is_answered() {
    without_hanging(|| {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let log = options().open(dir.path()).unwrap();
            let ticket = log.submit(one("s", "1")).unwrap();
            let read = log.read(..);
            drop(log);
            assert_eq!(ticket.wait().unwrap().first_position(), Position::ZERO);
            drop(read);
            let log = options().open(dir.path()).unwrap();
            assert_eq!(payloads(log.read(..)), ["1"]);
        }
    });
}
