//! What a thousand subscribers cost those who append, and how soon they are given what was committed.
//!
//! 64 threads append durably, one event at a time, for a while: with no subscriber, and with a thousand,
//! half of which sleep now and then. Both in turn, several times. Then one more event says that it is over,
//! and every subscriber must have been given each event up to that one once, in order; if not, this fails.
//! Prints the rates, and the time from the call of an append, its sync included, to its delivery at the
//! subscribers that do not sleep.
//! `QUIPU_BENCH_DIR` says on which disk; `QUIPU_BENCH_SUBSCRIBERS` how many there are.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quipu::{AppendError, Batch, Delivery, Event, Log, Subscription};
use quipu_bench::PAYLOAD_BYTES;
use quipu_bench::measure::Failure;

const THREADS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(1500);
const SUBSCRIBERS: usize = 1_000;
const STACK_BYTES: usize = 256 << 10;
/// A slow subscriber sleeps each time that it has been given so many events,
const SLEPT_EVERY: u64 = 64;
/// for so long.
const SLEPT: Duration = Duration::from_millis(10);

/// What a round came to.
struct Round {
    appends_a_second: f64,
    /// Nanoseconds.
    late: Vec<u64>,
}

fn main() -> Result<(), Failure> {
    let disk = std::env::var_os("QUIPU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let given = std::env::var("QUIPU_BENCH_SUBSCRIBERS").ok();
    let subscribers = given.map_or(Ok(SUBSCRIBERS), |count| count.parse())?;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let mut rates = Vec::new();
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
            rates.push(appends_a_second);
        }
        if let [without, with] = *rates {
            ratios.push(with / without);
        }
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let middle = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    println!(
        "appends with {subscribers} subscribers to those without: {middle:.2} (median of {ROUNDS}); \
         every subscriber was given every event once, in order"
    );
    Ok(())
}

/// So many subscribers while all threads append.
fn run(log: &Log, subscribers: usize) -> Result<Round, Failure> {
    let started = Instant::now();
    let (stopped, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let small = || thread::Builder::new().stack_size(STACK_BYTES);
        let mut subscribed = Vec::new();
        for number in 0..subscribers {
            let subscription = log.subscribe(log.end()).start();
            let take = move || take_all(subscription, started, number % 2 == 1);
            subscribed.push(small().spawn_scoped(scope, take)?);
        }
        let began = Instant::now();
        let mut appending = Vec::new();
        for _ in 0..THREADS {
            let (stopped, appended) = (&stopped, &appended);
            let append = move || append_until(log, started, stopped, appended);
            appending.push(small().spawn_scoped(scope, append)?);
        }
        thread::sleep(ROUND);
        stopped.store(true, Ordering::Relaxed);
        let appends_a_second =
            appended.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        for thread in appending {
            thread.join().map_err(|_| "a thread that appends panicked")??;
        }
        log.append(Batch::new().event("s", Event::new(LAST, "")))?;
        let mut late = Vec::new();
        for thread in subscribed {
            late.extend(thread.join().map_err(|_| "a subscriber panicked")??);
        }
        Ok(Round { appends_a_second, late })
    })
}

/// The type of the event behind all others.
const LAST: &str = "Last";

/// Appends until told to stop. Each event says when it was sent.
fn append_until(
    log: &Log,
    started: Instant,
    stopped: &AtomicBool,
    appended: &AtomicU64,
) -> Result<(), AppendError> {
    while !stopped.load(Ordering::Relaxed) {
        let mut payload = [7; PAYLOAD_BYTES];
        let now = (started.elapsed().as_nanos() as u64).to_le_bytes();
        payload.iter_mut().zip(now).for_each(|(place, byte)| *place = byte);
        log.append(Batch::new().event("s", Event::new("T", &payload)))?;
        appended.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes all events up to the last one, each of which must be the one behind that before. Gives how late
/// they were, in nanoseconds, where that says something.
fn take_all(
    subscription: Subscription,
    started: Instant,
    is_slow: bool,
) -> Result<Vec<u64>, String> {
    let (mut late, mut next) = (Vec::new(), 0);
    for delivery in subscription {
        let delivery = delivery.map_err(|error| error.to_string())?;
        let Delivery::Event(event) = delivery else { continue };
        let now = started.elapsed().as_nanos() as u64;
        let position = event.position().as_u64();
        if position != next {
            return Err(format!("a subscriber was given {position}, and {next} was due"));
        }
        if event.event_type() == LAST {
            return Ok(late);
        }
        next += 1;
        let sent = event.payload().first_chunk().map(|sent| u64::from_le_bytes(*sent));
        match is_slow {
            true if next.is_multiple_of(SLEPT_EVERY) => thread::sleep(SLEPT),
            true => {}
            false => late.push(now.saturating_sub(sent.unwrap_or(now))),
        }
    }
    Err(format!("a subscription ended by itself, in front of {next}"))
}
