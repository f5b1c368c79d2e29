//! Where a stream begins, of which the front may have been dropped with that of the log.
//!
//! Owns: [`first_kept`]. Calls the engine's reads.

use quipu::{Log, ReadError, Version};

/// The version of the first event of a stream that is kept: as many have been dropped, and it is searched
/// for. Behind the last one, if none is kept; 0, if there never was any.
///
/// # Errors
/// What keeps an event from being read.
pub(crate) fn first_kept(log: &Log, stream: &str) -> Result<u64, ReadError> {
    let Some(last) = log.stream_version(stream) else { return Ok(0) };
    let (mut first, mut end) = (0, last.as_u64().saturating_add(1));
    while first < end {
        let middle = first + (end - first) / 2;
        let version = Version::new(middle);
        match log.read_stream(stream, version..=version).into_iter().next() {
            Some(Err(ReadError::Truncated { .. })) => first = middle + 1,
            Some(Err(error)) => return Err(error),
            _ => end = middle,
        }
    }
    Ok(first)
}
