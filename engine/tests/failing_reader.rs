//! Goal: whatever call of a reader beside the writer fails, once or for a while, it shows nothing wrong,
//! and goes on when calls succeed again; its writer never notices.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeSet;
use std::time::Duration;

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk};
use quipu::{Batch, Delivery, Event, Log, OpenError, Options, Position, ReadError};

/// Rolls over every few batches.
fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

fn append(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let payload = [&number.to_le_bytes()[..], &[7; 900]].concat();
        let stream = format!("s-{}", number % 3);
        let batch = Batch::new().event(&*stream, Event::new("T", payload));
        log.append(batch.checkpoint("projection", Position::new(number))).unwrap();
    }
}

/// A reader that keeps what was delivered to it, and begins anew where it was told to.
struct Reader {
    log: Log,
    next: u64,
    errors: u32,
}

impl Reader {
    /// `None`: a call has failed.
    fn open(disk: &SimDisk) -> Option<Self> {
        match Log::open_simulated_read_only(disk, options()) {
            Ok(log) => Some(Self { next: log.first_available().as_u64(), log, errors: 0 }),
            Err(OpenError::Io(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes all there is: nothing but the next event, or that it was dropped, or a failed call.
    fn look(&mut self) {
        let mut subscription = self.log.subscribe(Position::new(self.next)).start();
        while let Ok(Some(delivery)) = subscription.next_timeout(Duration::ZERO) {
            match delivery {
                Ok(Delivery::Event(event)) => {
                    assert_eq!(event.position().as_u64(), self.next);
                    assert_eq!(event.payload()[..8], self.next.to_le_bytes());
                    self.next += 1;
                }
                Ok(_) => {}
                Err(ReadError::Truncated { first_available }) => {
                    assert!(first_available.as_u64() > self.next);
                    self.next = first_available.as_u64();
                    subscription = self.log.subscribe(first_available).start();
                }
                Err(ReadError::Io(_)) => {
                    self.errors += 1;
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// What came of a failing call.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// There was no such call.
    NotCalled,
    /// Opening was refused, and was tried again.
    Refused,
    /// A subscriber was told.
    Told,
    /// Nobody noticed.
    GoesOn,
}

/// One reader, from before there is much to read until the front of it is gone: the n-th call of a kind
/// fails, and so many in all.
fn follow(operation: Operation, nth: u64, calls: u64) -> Outcome {
    let disk = SimDisk::new(nth);
    let beside = disk.beside();
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..3);
    for call in nth..nth + calls {
        beside.fail(FaultPlan::new(operation, Errno::Io).nth(call));
    }
    let opened = Reader::open(&beside);
    let was_refused = opened.is_none();
    let mut reader = opened.unwrap_or_else(|| {
        beside.heal();
        Reader::open(&beside).unwrap()
    });
    for start in [3, 20, 37] {
        append(&log, start..start + 17);
        reader.look();
        if start == 20 {
            log.truncate_before(Position::new(30)).unwrap();
        }
        reader.look();
    }
    let was_called = was_refused || (beside.faults_left() as u64) < calls;
    beside.heal();
    reader.look();
    let what = format!("{operation:?} {nth}, {calls} calls");
    assert_eq!(reader.next, log.end().as_u64(), "{what}");
    assert_eq!(reader.log.checkpoint("projection"), log.checkpoint("projection"), "{what}");
    assert_eq!(reader.log.first_available(), log.first_available(), "{what}");
    let streams = |log: &Log| ["s-0", "s-1", "s-2"].map(|name| log.stream_version(name));
    assert_eq!(streams(&reader.log), streams(&log), "{what}");
    log.close().unwrap();
    match (was_called, was_refused, reader.errors) {
        (false, ..) => Outcome::NotCalled,
        (_, true, _) => Outcome::Refused,
        (_, _, 0) => Outcome::GoesOn,
        _ => Outcome::Told,
    }
}

#[test]
fn every_call_of_a_reader_beside_the_writer_can_fail() {
    use Operation::{Length, List, Lock, Map, Open, Read};
    for operation in [List, Lock, Open, Length, Read, Map] {
        for calls in [1, 12] {
            let mut met = BTreeSet::new();
            for nth in 1.. {
                match follow(operation, nth, calls) {
                    Outcome::NotCalled => break,
                    outcome => met.insert(outcome),
                };
            }
            println!("{operation:?}, {calls} in a row: {met:?}");
            assert!(!met.is_empty(), "{operation:?} is never called");
        }
    }
}
