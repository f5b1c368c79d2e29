//! The engine's side of each workload.
//!
//! Owns: batches of the workloads' shapes, and logs filled with them. May call: `quipu`.

use std::collections::VecDeque;
use std::path::Path;

use quipu::{AppendError, Batch, Durability, Event, Log, OpenError, ReadError, StoreMode};

use crate::{BATCH_EVENTS, IN_FLIGHT_MAX, PAYLOAD_BYTES, STREAM_EVENTS, sum};

/// Opens a log with the default options, but for what is compared.
///
/// # Errors
/// What the engine says.
pub fn open(directory: &Path, mode: StoreMode, durability: Durability) -> Result<Log, OpenError> {
    Log::options().store_mode(mode).durability(durability).open(directory)
}

/// A batch of one event of [`PAYLOAD_BYTES`] on one of few streams.
#[must_use]
pub fn single(caller: usize) -> Batch {
    const STREAMS: [&str; 4] = ["order-1", "order-2", "order-3", "order-4"];
    let stream = STREAMS.get(caller % STREAMS.len()).unwrap_or(&"order");
    Batch::new().event(stream, Event::new("OrderPlaced", &[7; PAYLOAD_BYTES]))
}

/// A batch of [`BATCH_EVENTS`] events over ten streams.
#[must_use]
pub fn large() -> Batch {
    const STREAMS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut batch = Batch::new();
    for stream in STREAMS.iter().cycle().take(BATCH_EVENTS) {
        batch.push(stream, &Event::new("OrderPlaced", &[7; PAYLOAD_BYTES]));
    }
    batch
}

/// Appends `count` single events from one thread, at most [`IN_FLIGHT_MAX`] of them unanswered.
///
/// # Errors
/// What the engine says.
pub fn pipelined(log: &Log, count: u64) -> Result<(), AppendError> {
    let mut in_flight = VecDeque::new();
    for _ in 0..count {
        if in_flight.len() as u64 >= IN_FLIGHT_MAX
            && let Some(ticket) = in_flight.pop_front()
        {
            quipu::Ticket::wait(ticket)?;
        }
        in_flight.push_back(log.submit(single(0))?);
    }
    for ticket in in_flight {
        ticket.wait()?;
    }
    Ok(())
}

/// Appends `streams` streams of [`STREAM_EVENTS`] events each, ten streams to a batch, so that the
/// events of one stream stand far apart.
///
/// # Errors
/// What the engine says.
pub fn fill(log: &Log, streams: u64) -> Result<(), AppendError> {
    for _ in 0..STREAM_EVENTS {
        for tenth in 0..streams / 10 {
            let mut batch = Batch::new();
            for stream in 0..10 {
                let name = format!("stream-{}", tenth * 10 + stream);
                batch.push(name, &Event::new("Happened", &[7; PAYLOAD_BYTES]));
            }
            log.append(batch.durability(Durability::Buffered))?;
        }
    }
    log.sync()?;
    Ok(())
}

/// Sums all payloads, batch by batch.
///
/// # Errors
/// What the engine says.
pub fn scan_batches(log: &Log) -> Result<u64, ReadError> {
    let mut total: u64 = 0;
    for batch in log.batches(..) {
        for event in batch?.events()? {
            total = total.wrapping_add(sum(event?.payload()));
        }
    }
    Ok(total)
}

/// Sums all payloads, event by event.
///
/// # Errors
/// What the engine says.
pub fn scan_events(log: &Log) -> Result<u64, ReadError> {
    let mut total: u64 = 0;
    for event in log.read(..) {
        total = total.wrapping_add(sum(event?.payload()));
    }
    Ok(total)
}

/// Sums the payloads of one stream.
///
/// # Errors
/// What the engine says.
pub fn read_stream(log: &Log, stream: u64) -> Result<u64, ReadError> {
    let mut total: u64 = 0;
    for event in log.read_stream(format!("stream-{stream}"), ..) {
        total = total.wrapping_add(sum(event?.payload()));
    }
    Ok(total)
}
