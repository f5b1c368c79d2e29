//! Putting the events of a frame that was read into the index.
//!
//! Owns: [`take`]. May call: streams, the format. For whoever follows the log frame by frame: recovery,
//! and readers of a log that another process writes.

use quipu_format::{Body, ByteOffset, Frame, FrameError};

use super::{StreamIndex, StreamNumber, Streams};

/// Puts a frame's events into the index, if the segment can be sealed behind it and each stream goes
/// on with its next version. `streams` are those of `index`. After an error nothing has changed.
pub(crate) fn take(
    index: &StreamIndex,
    streams: &mut Streams,
    (frame, offset): (&Frame<'_>, ByteOffset),
    capacity: u64,
) -> Result<(), FrameError> {
    frame.check_room(offset, capacity)?;
    let body = Body::decode(frame)?;
    let mut numbers: Vec<(u64, Option<StreamNumber>)> = Vec::new();
    for (at, name) in (0_u32..).zip(body.streams().names()) {
        let name = name?;
        let hash = index.hash(name);
        let number = streams.find(hash, name);
        let next = number.map(|number| streams.next_version(number)).unwrap_or_default();
        let found = frame.first_version(at).unwrap_or_default();
        if found != next {
            let field = "stream version";
            return Err(FrameError::Field { field, found: found.as_u64() });
        }
        numbers.push((hash, number));
    }
    check_distinct(&body, &numbers)?;
    let first = frame.header.first_position;
    for (at, event) in (0_u64..).zip(body.events()) {
        let event = event?;
        let stream = event.stream;
        if let Some((hash, number)) = numbers.get_mut(stream as usize) {
            let name = body.streams().name(stream)?;
            let number = *number.get_or_insert_with(|| streams.find_or_add(*hash, name));
            streams.push(number, first.plus(at));
        }
        for tag in event.tags {
            streams.push_tag(index.hasher().tag(tag), first.plus(at));
        }
    }
    Ok(())
}

/// Whether every name of a batch's table is there once: two events would share a version else.
fn check_distinct(
    body: &Body<'_>,
    numbers: &[(u64, Option<StreamNumber>)],
) -> Result<(), FrameError> {
    let mut by_hash: Vec<(u64, u32)> =
        numbers.iter().zip(0_u32..).map(|((hash, _), at)| (*hash, at)).collect();
    by_hash.sort_unstable();
    for pair in by_hash.windows(2) {
        if let [(first_hash, first), (second_hash, second)] = *pair
            && first_hash == second_hash
            && body.streams().name(first)? == body.streams().name(second)?
        {
            return Err(FrameError::Field { field: "stream name", found: u64::from(second) });
        }
    }
    Ok(())
}
