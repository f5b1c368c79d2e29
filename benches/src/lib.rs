//! How far the engine is from what the machine can do at best.
//!
//! Every workload of the engine ([`engine`]) stands beside its floor ([`floor`]): the same bytes
//! with the same promise, and none of the work that makes a log of them. Single figures depend on
//! the machine, on what else it does, and on the hour; ratios of the two, taken in turn, depend far
//! less. The criterion benches in `benches/` and the programs in `src/bin/` all use these modules.

pub mod chart;
pub mod engine;
pub mod floor;
pub mod machine;
pub mod measure;
pub mod prepared;

/// Payload bytes of one event in the workloads.
pub const PAYLOAD_BYTES: usize = 256;

/// Events in a large batch.
pub const BATCH_EVENTS: usize = 1_000;

/// Tickets that one caller keeps in flight.
pub const IN_FLIGHT_MAX: u64 = 8_192;

/// Events of a stream that is read from its first to its last.
pub const STREAM_EVENTS: u64 = 100;

/// The sum of all bytes: a reader that touches everything and does nothing else.
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let whole =
        chunks.iter().fold(0, |sum: u64, chunk| sum.wrapping_add(u64::from_le_bytes(*chunk)));
    rest.iter().fold(whole, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}
