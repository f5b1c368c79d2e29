//! Opening for reading beside a writer at full speed: what the writer does meanwhile is never taken
//! for damage, and what is served is whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quipu::{Batch, Durability, Event, Log};

#[test]
fn the_progress_of_a_writer_is_never_taken_for_damage() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(8 << 10).open(dir.path()).unwrap();
    log.append(Batch::new().event("a", Event::new("T", 0_u64.to_le_bytes().to_vec()))).unwrap();
    let stopped = AtomicBool::new(false);
    let mut looks = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1_u64;
            while !stopped.load(Ordering::Relaxed) && number < 4_000 {
                let event = Event::new("T", [&number.to_le_bytes()[..], &[7; 300]].concat());
                let every_third =
                    if number.is_multiple_of(3) { Durability::Sync } else { Durability::Buffered };
                log.append(Batch::new().durability(every_third).event("a", event)).unwrap();
                number += 1;
            }
        });
        let deadline = Instant::now() + Duration::from_millis(1500);
        let mut end = 0;
        while Instant::now() < deadline {
            let reader = Log::open_read_only(dir.path()).unwrap();
            assert_eq!(reader.recovery_report().damage, None);
            assert!(reader.end().as_u64() >= end, "what was durable once is so for good");
            end = reader.end().as_u64();
            for (expected, event) in (0..end).zip(reader.read(..)) {
                assert_eq!(event.unwrap().payload()[..8], expected.to_le_bytes());
            }
            looks += 1;
        }
        stopped.store(true, Ordering::Relaxed);
    });
    assert!(looks > 5, "{looks}");
}
