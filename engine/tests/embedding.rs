//! What a program's own threads, wakers and destructors do to a log: nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::cell::RefCell;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk};
use quipu::{
    AppendError, Batch, Durability, Event, ExpectedVersion, Log, Outcome, Position, Version,
};

fn one(stream: &str) -> Batch {
    Batch::new().event(stream, Event::new("T", "x"))
}

fn open(path: &Path) -> Log {
    Log::options().segment_bytes(64 << 10).open(path).unwrap()
}

#[test]
fn an_append_on_the_way_out_of_a_panic_is_an_append_like_any_other() {
    struct Audit(Log);
    impl Drop for Audit {
        fn drop(&mut self) {
            self.0.append(one("audit")).unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let audit = Audit(log.clone());
    let panicked = thread::spawn(move || {
        let _audit = audit;
        panic!("the program's own fault");
    });
    assert!(panicked.join().is_err());
    assert_eq!(log.append(one("a")).unwrap().first_position(), Position::new(1));
}

#[test]
fn a_waker_that_panics_takes_nobody_with_it() {
    struct Panics(AtomicBool);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            panic!("the executor's own fault");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for _ in 0..3 {
        let panics = Arc::new(Panics(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&panics));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !panics.0.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "a ticket is pending at its first look some time");
            let mut ticket = Box::pin(log.submit(one("a")).unwrap());
            let neighbour = log.submit(one("b")).unwrap();
            let pending = ticket.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
            neighbour.wait().unwrap();
            while pending && !panics.0.load(Ordering::SeqCst) && Instant::now() < deadline {
                thread::yield_now();
            }
        }
        log.submit(one("a")).unwrap().wait().unwrap();
    }
    log.close().unwrap();
}

#[test]
fn a_log_that_a_thread_keeps_for_itself_closes_with_the_thread() {
    thread_local! {
        static KEPT: RefCell<Option<Log>> = const { RefCell::new(None) };
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let keeps = thread::spawn(move || {
        KEPT.with(|kept| *kept.borrow_mut() = Some(open(&path)));
        // What waiting keeps for the thread is made after the log, and is gone before it.
        KEPT.with(|kept| kept.borrow().as_ref().unwrap().submit(one("a")).unwrap().wait().unwrap());
    });
    keeps.join().unwrap();
    let log = open(dir.path());
    assert!(log.recovery_report().clean_close);
    assert_eq!(log.end(), Position::new(1));
}

#[test]
fn a_closed_log_can_be_opened_again_while_handles_and_events_of_it_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.append(one("a")).unwrap();
    let kept = log.clone();
    let event = log.read(..).into_iter().next().unwrap().unwrap();
    log.close().unwrap();
    let again = open(dir.path());
    again.append(one("a")).unwrap();
    assert!(matches!(kept.append(one("a")), Err(AppendError::Closed)));
    assert_eq!((kept.end(), again.end()), (Position::new(1), Position::new(2)));
    assert_eq!(event.payload(), b"x");
    kept.close().unwrap();
}

#[test]
fn the_interval_syncs_while_the_queue_never_runs_empty() {
    let dir = tempfile::tempdir().unwrap();
    let options = Log::options().segment_bytes(1 << 20).durability(Durability::Buffered);
    let log = options.sync_interval(Duration::from_millis(2)).open(dir.path()).unwrap();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..4 {
            let (log, enough) = (&log, &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    drop(log.submit(one(&format!("s{number}"))).unwrap());
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut rises = 0;
        let mut last = log.synced_end();
        while rises < 5 && Instant::now() < deadline {
            let now = log.synced_end();
            rises += u32::from(now > last);
            last = now;
            thread::yield_now();
        }
        enough.store(true, Ordering::Relaxed);
        assert_eq!(rises, 5, "synced up to {last} of {}", log.end());
    });
}

#[test]
fn a_replayed_batch_whose_sync_fails_is_not_said_to_be_absent() {
    let disk = SimDisk::new(7);
    let open =
        |disk: &SimDisk| Log::open_simulated(disk, Log::options().segment_bytes(64 << 10)).unwrap();
    let log = open(&disk);
    let batch = || {
        let event = Event::new("T", "x").id(7_u128);
        Batch::new().idempotent().expect("a", ExpectedVersion::NoStream).event("a", event)
    };
    log.append(batch().durability(Durability::Buffered)).unwrap();
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
    assert_eq!(log.append(batch()).unwrap_err().outcome(), Outcome::Unknown);
    let clone = log.clone();
    assert!(log.close().is_err());
    assert!(clone.close().is_err(), "it still has failed when it is closed again");
    disk.heal();
    assert_eq!(open(&disk.restart_process()).stream_version("a"), Some(Version::new(0)));
}
