//! Durable appends of many threads, each with an expectation of its stream.
//!
//! Owns: W10. A thread has streams of its own, so that it knows their last events; a conflict is
//! made by expecting the event before the last one, as a writer does who has not seen the last.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Measured;
use super::append::{Latencies, MARK_END, MARK_START, committed, mark, on_threads};
use crate::engine::{Engine, Event, Expect, Failure, Mark, Outcome};
use crate::payloads::Payloads;
use crate::workload::{PAYLOAD_BYTES, Workload};

/// Threads that append at once.
const THREADS: usize = 16;

/// Streams of each.
const THREAD_STREAMS: usize = 16;

struct Done {
    commits: u64,
    decisions: u64,
    latencies: Latencies,
}

/// The last two events of a stream.
#[derive(Clone, Copy)]
struct Known {
    before: Option<Mark>,
    last: Mark,
}

pub(super) fn measure(
    engine: &dyn Engine,
    workload: &Workload,
    conflicts_percent: u32,
    duration: Duration,
) -> Result<Measured, Failure> {
    let payloads = Payloads::new(workload.payload_bytes);
    // Every stream has an event before the first that counts.
    let (mut known, _) = on_threads(THREADS, |thread, _| {
        let mut payloads = payloads.of_thread(thread);
        let mut streams = Vec::new();
        for stream in 0..THREAD_STREAMS {
            let event = Event { stream: number(thread, stream), payload: payloads.draw() };
            let last = committed(engine.append(&[event], Expect::Last(None))?)?;
            streams.push(Known { before: None, last });
        }
        Ok(streams)
    })?;
    let known: Vec<_> = known.drain(..).map(parking_lot::Mutex::new).collect();
    let (done, taken) = on_threads(THREADS, |thread, started| {
        let mut known = known.get(thread).ok_or("a thread too many")?.lock();
        let until = started + duration;
        append_until(
            engine,
            payloads.of_thread(thread),
            thread,
            &mut known,
            conflicts_percent,
            until,
        )
    })?;
    let commits: u64 = done.iter().map(|done| done.commits).sum();
    let decisions: u64 = done.iter().map(|done| done.decisions).sum();
    let latencies = Latencies::merged(done.iter().map(|done| &done.latencies))?;
    let per_second = |count: u64| count as f64 / taken.as_secs_f64();
    let mut metrics = vec![
        ("decisions_per_second", per_second(decisions)),
        ("commits_per_second", per_second(commits)),
    ];
    metrics.extend(latencies.percentiles());
    Ok(Measured::new(commits + (THREADS * THREAD_STREAMS) as u64, &metrics))
}

fn append_until(
    engine: &dyn Engine,
    mut payloads: Payloads,
    thread: usize,
    known: &mut [Known],
    conflicts_percent: u32,
    until: Instant,
) -> Result<Done, Failure> {
    let mut random = Rng::with_seed(thread as u64);
    let mut done = Done { commits: 0, decisions: 0, latencies: Latencies::new()? };
    while Instant::now() < until {
        let place = random.usize(..known.len());
        let stream = known.get_mut(place).ok_or("no such stream")?;
        let conflicts = random.u32(..100) < conflicts_percent;
        let expect = if conflicts { stream.before } else { Some(stream.last) };
        let event = Event { stream: number(thread, place), payload: payloads.draw() };
        let before = Instant::now();
        let outcome = engine.append(&[event], Expect::Last(expect))?;
        done.latencies.record(before.elapsed())?;
        done.decisions += 1;
        match (outcome, conflicts) {
            (Outcome::Committed(last), false) => {
                *stream = Known { before: Some(stream.last), last };
                done.commits += 1;
            }
            (Outcome::Refused, true) => {}
            (Outcome::Committed(_), true) => return Err("a conflict was committed".into()),
            (Outcome::Refused, false) => return Err("a right expectation was refused".into()),
        }
    }
    Ok(done)
}

/// Appends that are all refused, between two calls that a tracer sees.
pub(super) fn between_marks(engine: &dyn Engine, appends: u64) -> Result<(), Failure> {
    let mut payloads = Payloads::new(PAYLOAD_BYTES);
    let mut append = |expect| {
        let event = Event { stream: 0, payload: payloads.draw() };
        engine.append(&[event], Expect::Last(expect))
    };
    let first = committed(append(None)?)?;
    committed(append(Some(first))?)?;
    mark(MARK_START);
    for _ in 0..appends {
        if append(Some(first))? != Outcome::Refused {
            return Err("a conflict was committed".into());
        }
    }
    mark(MARK_END);
    Ok(())
}

fn number(thread: usize, stream: usize) -> u32 {
    (thread * THREAD_STREAMS + stream) as u32
}
