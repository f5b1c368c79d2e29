//! What a thousand subscribers cost those who append, and how soon they are given what was committed.
//!
//! 64 threads append durably, one event at a time, for a while: with no subscriber, and with a thousand,
//! half of which sleep now and then. Both in turn, several times. Prints the rates, and the time from the
//! call of an append, its sync included, to its delivery at the subscribers that do not sleep.
//! `QUIPU_BENCH_DIR` says on which disk; `QUIPU_BENCH_SUBSCRIBERS` how many there are.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quipu::{Batch, Delivery, Event, Log};

const THREADS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(1500);
const SUBSCRIBERS: usize = 1_000;
const STACK_BYTES: usize = 256 << 10;

/// What a round came to.
struct Round {
    appends_a_second: f64,
    /// Nanoseconds.
    late: Vec<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let disk = std::env::var_os("QUIPU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let given = std::env::var("QUIPU_BENCH_SUBSCRIBERS").ok();
    let subscribers = given.map_or(Ok(SUBSCRIBERS), |count| count.parse())?;
    for round in 0..ROUNDS {
        for count in [0, subscribers] {
            let root = tempfile::tempdir_in(&disk)?;
            let log = Log::open(root.path().join("log"))?;
            let Round { appends_a_second, mut late } = run(&log, count)?;
            late.sort_unstable();
            let at = |part: f64| late.get((late.len() as f64 * part) as usize);
            let shown = |part| at(part).map_or("-".to_owned(), |ns| format!("{} us", ns / 1000));
            println!(
                "round {round}, {count:4} subscribers: {appends_a_second:8.0} appends/s; \
                 append to delivery p50 {}, p99 {}",
                shown(0.5),
                shown(0.99)
            );
        }
    }
    Ok(())
}

/// So many subscribers while all threads append.
fn run(log: &Log, subscribers: usize) -> Result<Round, Box<dyn Error>> {
    let started = Instant::now();
    let (stopped, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    let late = Mutex::new(Vec::new());
    let appends_a_second = thread::scope(|scope| -> Result<f64, Box<dyn Error>> {
        let small = || thread::Builder::new().stack_size(STACK_BYTES);
        let mut cancellers = Vec::new();
        for number in 0..subscribers {
            let subscription = log.subscribe(log.end()).start();
            cancellers.push(subscription.canceller());
            let late = &late;
            small().spawn_scoped(scope, move || {
                let is_slow = number % 2 == 1;
                let mut own = Vec::new();
                for delivery in subscription {
                    let Ok(Delivery::Event(event)) = delivery else { continue };
                    let sent = event.payload().first_chunk().map(|sent| u64::from_le_bytes(*sent));
                    let now = started.elapsed().as_nanos() as u64;
                    own.push(now.saturating_sub(sent.unwrap_or(now)));
                    if is_slow && own.len() % 64 == 0 {
                        thread::sleep(Duration::from_millis(10));
                    }
                }
                if !is_slow && let Ok(mut late) = late.lock() {
                    late.extend(own);
                }
            })?;
        }
        let began = Instant::now();
        for _ in 0..THREADS {
            let (stopped, appended) = (&stopped, &appended);
            small().spawn_scoped(scope, move || {
                while !stopped.load(Ordering::Relaxed) {
                    let mut payload = [7; 256];
                    let now = (started.elapsed().as_nanos() as u64).to_le_bytes();
                    payload.iter_mut().zip(now).for_each(|(place, byte)| *place = byte);
                    if log.append(Batch::new().event("s", Event::new("T", &payload))).is_err() {
                        return;
                    }
                    appended.fetch_add(1, Ordering::Relaxed);
                }
            })?;
        }
        thread::sleep(ROUND);
        stopped.store(true, Ordering::Relaxed);
        let rate = appended.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        cancellers.iter().for_each(quipu::Canceller::cancel);
        Ok(rate)
    })?;
    let late = late.into_inner().map_err(|_| "a subscriber panicked")?;
    Ok(Round { appends_a_second, late })
}
