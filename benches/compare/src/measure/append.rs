//! Appends that are waited for, and appends with many unanswered.
//!
//! Owns: W1 to W4, and the marks around the appends whose system calls are counted. May call: the
//! engine.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Measured;
use crate::engine::{Engine, Event, Expect, Failure, Outcome};
use crate::payloads::{Payloads, Streams, Supply};
use crate::workload::{BATCH_STREAMS, IN_FLIGHT_MAX, PAYLOAD_BYTES, STREAMS, Workload};

/// What one thread did.
pub(super) struct Done {
    pub(super) events: u64,
    pub(super) latencies: Latencies,
}

/// Appends batches from `threads` threads for as long as `duration`.
pub(super) fn measure(
    engine: &dyn Engine,
    workload: &Workload,
    (threads, batch): (usize, usize),
    duration: Duration,
) -> Result<Measured, Failure> {
    let payloads = Payloads::new(workload.payload_bytes);
    // Of buffered appends, reading the clock for each would be a tenth of the time.
    let timed = workload.metrics().len() > 1;
    warm_up(engine, &payloads, duration)?;
    let (done, taken) = on_threads(threads, |thread, started| {
        let source = (payloads.of_thread(thread), Streams::new(thread, threads, STREAMS));
        append_until(engine, source, batch, started + duration, timed)
    })?;
    let events: u64 = done.iter().map(|done| done.events).sum();
    let appended = events + 1;
    let mut metrics = vec![("events_per_second", events as f64 / taken.as_secs_f64())];
    if timed {
        let latencies = Latencies::merged(done.iter().map(|done| &done.latencies))?;
        metrics.extend(latencies.percentiles());
    }
    Ok(Measured::new(appended, &metrics))
}

/// The first append makes files and touches memory, and opening may leave work to other threads,
/// such as preparing a segment: neither is part of what a rate tells.
pub(super) fn warm_up(
    engine: &dyn Engine,
    payloads: &Payloads,
    duration: Duration,
) -> Result<(), Failure> {
    let mut payloads = payloads.clone();
    let event = Event { stream: 0, payload: payloads.draw() };
    committed(engine.append(&[event], Expect::Any)?)?;
    thread::sleep(duration.min(SETTLE_MAX));
    Ok(())
}

/// How long an engine has for what it does after its first append.
const SETTLE_MAX: Duration = Duration::from_millis(200);

/// One durable append at a time from one thread, with many unanswered.
pub(super) fn measure_pipeline(
    engine: &dyn Engine,
    workload: &Workload,
    duration: Duration,
) -> Result<Measured, Failure> {
    let payloads = Payloads::new(workload.payload_bytes);
    warm_up(engine, &payloads, duration)?;
    let started = Instant::now();
    let mut supply = Supply::new(payloads, Streams::new(0, 1, STREAMS), started + duration);
    engine.pipeline(&mut supply, IN_FLIGHT_MAX)?;
    let taken = started.elapsed();
    let rate = supply.taken() as f64 / taken.as_secs_f64();
    Ok(Measured::new(supply.taken() + 1, &[("events_per_second", rate)]))
}

/// Durable appends of one event between two calls that a tracer sees.
pub(super) fn between_marks(engine: &dyn Engine, appends: u64) -> Result<(), Failure> {
    let (mut payloads, mut streams) = (Payloads::new(PAYLOAD_BYTES), Streams::new(0, 1, STREAMS));
    // What the first append alone does, such as making a file, is not what an append costs.
    for count in 0..=appends {
        if count == 1 {
            mark(MARK_START);
        }
        let event = Event { stream: streams.draw(), payload: payloads.draw() };
        committed(engine.append(&[event], Expect::Any)?)?;
    }
    mark(MARK_END);
    Ok(())
}

/// The name of no file: a call that asks for it stands in a trace as a mark.
pub const MARK_START: &str = "quipu-compare-mark-start";
/// The other one.
pub const MARK_END: &str = "quipu-compare-mark-end";

/// Leaves a mark in a trace.
pub(super) fn mark(name: &str) {
    let _ = std::fs::metadata(name);
}

/// Runs `work` on threads that start together, and says how long the slowest took.
pub(super) fn on_threads<T: Send>(
    threads: usize,
    work: impl Fn(usize, Instant) -> Result<T, Failure> + Sync,
) -> Result<(Vec<T>, Duration), Failure> {
    if threads == 1 {
        let started = Instant::now();
        let done = work(0, started)?;
        return Ok((vec![done], started.elapsed()));
    }
    let together = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let (work, together) = (&work, &together);
        let run = move |thread| {
            together.wait();
            work(thread, Instant::now())
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        together.wait();
        let started = Instant::now();
        let mut done = Vec::new();
        for thread in running {
            done.push(thread.join().map_err(|_| Failure::from("a thread panicked"))??);
        }
        Ok((done, started.elapsed()))
    })
}

fn append_until(
    engine: &dyn Engine,
    (mut payloads, mut streams): (Payloads, Streams),
    batch: usize,
    until: Instant,
    timed: bool,
) -> Result<Done, Failure> {
    let mut done = Done { events: 0, latencies: Latencies::new()? };
    let mut before = Instant::now();
    for count in 1_u64.. {
        if batch == 1 {
            let event = Event { stream: streams.draw(), payload: payloads.draw() };
            committed(engine.append(&[event], Expect::Any)?)?;
        } else {
            let first = streams.draw() / BATCH_STREAMS * BATCH_STREAMS;
            let run = payloads.run(batch);
            let places = (first..first + BATCH_STREAMS).cycle();
            let events = run.into_iter().zip(places);
            let events: Vec<_> =
                events.map(|(payload, stream)| Event { stream, payload }).collect();
            // Its making is not timed: each engine gets it made.
            before = Instant::now();
            committed(engine.append(&events, Expect::Any)?)?;
        }
        done.events += batch as u64;
        if timed {
            let now = Instant::now();
            done.latencies.record(now - before)?;
            before = now;
        }
        if (timed || count.is_multiple_of(LOOK_EVERY)) && Instant::now() >= until {
            break;
        }
    }
    Ok(done)
}

/// Buffered appends between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// An append without an expectation that is refused is a broken engine.
pub(super) fn committed(outcome: Outcome) -> Result<u64, Failure> {
    match outcome {
        Outcome::Committed(mark) => Ok(mark),
        Outcome::Refused => Err("an append that expected nothing was refused".into()),
    }
}

/// How long appends took, to three digits.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self(Histogram::new(3)?))
    }

    /// Adds one.
    pub(super) fn record(&mut self, took: Duration) -> Result<(), Failure> {
        Ok(self.0.record(u64::try_from(took.as_nanos())?)?)
    }

    /// Those of all threads.
    pub(super) fn merged<'a>(all: impl Iterator<Item = &'a Self>) -> Result<Self, Failure> {
        let mut merged = Self::new()?;
        for one in all {
            merged.0.add(&one.0)?;
        }
        Ok(merged)
    }

    /// p50, p99 and p99.9 in microseconds.
    pub(super) fn percentiles(&self) -> [(&'static str, f64); 3] {
        let at = |share| self.0.value_at_quantile(share) as f64 / 1_000.0;
        [("p50_us", at(0.5)), ("p99_us", at(0.99)), ("p999_us", at(0.999))]
    }
}
