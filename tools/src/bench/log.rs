//! The workload on a log.
//!
//! Owns: [`measure`]. Calls the engine.

use std::thread;

use anyhow::bail;
use quipu::{Batch, Durability, Event, Log};

use super::Workload;
use super::timing::{Slice, Timings};

/// Appends from as many threads as the workload has.
pub(super) fn measure(
    log: &Log,
    workload: Workload,
    payload: &[u8],
    slice: Slice<'_>,
) -> anyhow::Result<Timings> {
    let timings: anyhow::Result<Vec<Timings>> = thread::scope(|scope| {
        let start = |thread| scope.spawn(move || append(log, thread, workload, payload, slice));
        let running: Vec<_> = (0..workload.threads).map(start).collect();
        let ended = running.into_iter().map(|thread| match thread.join() {
            Ok(found) => found,
            Err(_) => bail!("a thread panicked"),
        });
        ended.collect()
    });
    // What comes next finds a quiet device.
    log.sync()?;
    Ok(Timings::together(timings?))
}

fn append(
    log: &Log,
    thread: u32,
    workload: Workload,
    payload: &[u8],
    slice: Slice<'_>,
) -> anyhow::Result<Timings> {
    let durability = if workload.is_durable { Durability::Sync } else { Durability::Buffered };
    let stream = format!("stream-{thread}");
    slice.repeat(|| {
        let mut batch = Batch::new().durability(durability);
        for _ in 0..workload.events {
            batch.push(&stream, &Event::new("Measured", payload));
        }
        log.append(batch)?;
        Ok(())
    })
}
