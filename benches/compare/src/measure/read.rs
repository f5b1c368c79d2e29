//! Reading everything, and reading single streams: W6 and W7.
//!
//! What is read is summed, so that every byte is touched, and counted: a reader that leaves something
//! out has failed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fastrand::Rng;
use quipu_bench::sum;

use super::Measured;
use crate::engine::{Engine, Failure};
use crate::workload::{Fill, STREAM_EVENTS, Workload};

/// Reads the whole log again and again. The first time is not timed.
pub(super) fn scan(
    engine: &dyn Engine,
    workload: &Workload,
    events: u64,
    duration: Duration,
) -> Result<Measured, Failure> {
    let once = || {
        let (mut count, mut total) = (0_u64, 0_u64);
        engine.scan(&mut |payload| {
            count += 1;
            total = total.wrapping_add(sum(payload));
        })?;
        black_box(total);
        match count == events {
            true => Ok(()),
            false => Err(Failure::from(format!("a scan gave {count} events of {events}"))),
        }
    };
    let scans = rate(duration, once)?;
    let rate = scans * events as f64;
    let mib = rate * workload.payload_bytes as f64 / f64::from(1 << 20);
    Ok(Measured::new(0, &[("events_per_second", rate), ("mib_per_second", mib)]))
}

/// Reads streams at random.
pub(super) fn streams(
    engine: &dyn Engine,
    events: u64,
    fill: Option<Fill>,
    duration: Duration,
) -> Result<Measured, Failure> {
    let streams = fill.map_or(1, |fill| fill.streams);
    if u64::from(streams) * STREAM_EVENTS != events {
        return Err(format!("{streams} streams hold {events} events").into());
    }
    let mut random = Rng::with_seed(0x5737);
    let once = || {
        let (mut count, mut total) = (0_u64, 0_u64);
        engine.read_stream(random.u32(..streams), &mut |payload| {
            count += 1;
            total = total.wrapping_add(sum(payload));
        })?;
        black_box(total);
        match count == STREAM_EVENTS {
            true => Ok(()),
            false => Err(Failure::from(format!("a stream gave {count} of {STREAM_EVENTS} events"))),
        }
    };
    let rate = rate(duration, once)?;
    let per_event = ("events_per_second", rate * STREAM_EVENTS as f64);
    Ok(Measured::new(0, &[per_event, ("streams_per_second", rate)]))
}

/// How often a second `once` is done, after one time that is not timed.
fn rate(duration: Duration, mut once: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    once()?;
    let started = Instant::now();
    let mut count = 0_u64;
    loop {
        once()?;
        count += 1;
        let taken = started.elapsed();
        if taken >= duration {
            return Ok(count as f64 / taken.as_secs_f64());
        }
    }
}
