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
    let mut named = Vec::new();
    for name in body.streams().names() {
        let name = name?;
        named.push(Named { name, hash: index.hash(name), number: None });
    }
    let mut at = 0_u32;
    for some in named.chunks_mut(Streams::TOUCHED_MAX) {
        streams.touch(some.iter().map(|named| named.hash));
        for Named { name, hash, number } in some {
            *number = streams.find(*hash, name);
            let next = number.map(|number| streams.next_version(number)).unwrap_or_default();
            let found = frame.first_version(at).unwrap_or_default();
            if found != next {
                let field = "stream version";
                return Err(FrameError::Field { field, found: found.as_u64() });
            }
            at += 1;
        }
    }
    check_distinct(&named)?;
    let first = frame.header.first_position;
    for (at, event) in (0_u64..).zip(body.events()) {
        let event = event?;
        if let Some(Named { name, hash, number }) = named.get_mut(event.stream as usize) {
            let number = *number.get_or_insert_with(|| streams.find_or_add(*hash, name));
            streams.push(number, first.plus(at));
        }
        for tag in event.tags {
            streams.push_tag(index.hasher().tag(tag), first.plus(at));
        }
    }
    Ok(())
}

/// A stream of a batch's table.
struct Named<'a> {
    name: &'a str,
    hash: u64,
    /// `None`: it is new.
    number: Option<StreamNumber>,
}

/// Whether every name of a batch's table is there once: two events would share a version else.
fn check_distinct(named: &[Named<'_>]) -> Result<(), FrameError> {
    let mut sorted: Vec<(u64, &str, u32)> =
        named.iter().zip(0_u32..).map(|(named, at)| (named.hash, named.name, at)).collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if let [(first_hash, first, _), (second_hash, second, at)] = *pair
            && first_hash == second_hash
            && first == second
        {
            return Err(FrameError::Field { field: "stream name", found: u64::from(at) });
        }
    }
    Ok(())
}
