//! From an append to a subscriber on another thread: W9.
//!
//! Appends come one at a time, with a pause in which the subscriber goes to sleep. Two spans are
//! measured: from the call of append to the event in the subscriber's hands, and from the return of
//! append to the same (below zero when the subscriber has it first).

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Measured;
use super::append::{Latencies, committed, warm_up};
use crate::engine::{Engine, Event, Expect, Failure};
use crate::payloads::{Payloads, Streams};
use crate::workload::{STREAMS, Workload};

/// Between two appends; long enough for the subscriber to wait again.
const PAUSE: Duration = Duration::from_micros(300);

/// How long an event may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn measure(
    engine: &dyn Engine,
    workload: &Workload,
    duration: Duration,
) -> Result<Measured, Failure> {
    let (sender, receiver) = mpsc::channel();
    let each = move |_: &[u8]| sender.send(Instant::now()).is_ok();
    engine.subscribe(Box::new(each))?;
    let (mut payloads, mut streams) =
        (Payloads::new(workload.payload_bytes), Streams::new(0, 1, STREAMS));
    warm_up(engine, &payloads, duration)?;
    receiver.recv_timeout(PATIENCE)?;
    let (mut latencies, mut behind) = (Latencies::new()?, Vec::new());
    let started = Instant::now();
    // That of the warm-up has been received.
    let mut appended = 1;
    while started.elapsed() < duration {
        let event = Event { stream: streams.draw(), payload: payloads.draw() };
        let called = Instant::now();
        committed(engine.append(&[event], Expect::Any)?)?;
        let returned = Instant::now();
        appended += 1;
        let received = receiver.recv_timeout(PATIENCE)?;
        latencies.record(received - called)?;
        let late = received.saturating_duration_since(returned).as_secs_f64();
        let early = returned.saturating_duration_since(received).as_secs_f64();
        behind.push((late - early) * 1e6);
        thread::sleep(PAUSE);
    }
    behind.sort_by(f64::total_cmp);
    let median = behind.get(behind.len() / 2).copied().unwrap_or(f64::NAN);
    let mut metrics = latencies.percentiles().to_vec();
    metrics.push(("behind_append_p50_us", median));
    Ok(Measured::new(appended, &metrics))
}
