//! Filling a log before it is measured.

use super::append::committed;
use crate::engine::{Engine, Event, Expect, Failure};
use crate::payloads::Payloads;
use crate::workload::Fill;

/// Appends what `fill` says, and says how many events that were.
pub(super) fn fill(engine: &dyn Engine, fill: Fill) -> Result<u64, Failure> {
    let mut payloads = Payloads::new(fill.payload_bytes);
    let (mut first, mut appended) = (0, 0);
    while appended < fill.events {
        let count = fill.batch.min(usize::try_from(fill.events - appended)?);
        let places = (0..fill.batch_streams).cycle().map(|place| (first + place) % fill.streams);
        let events = payloads.run(count).into_iter().zip(places);
        let events: Vec<_> = events.map(|(payload, stream)| Event { stream, payload }).collect();
        committed(engine.append(&events, Expect::Any)?)?;
        first = (first + fill.batch_streams) % fill.streams;
        appended += events.len() as u64;
    }
    Ok(appended)
}
