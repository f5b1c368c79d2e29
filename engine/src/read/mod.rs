//! The read path: from a snapshot of the log to borrowed events.
//!
//! Owns: what a caller reads with ([`events`], [`batches`], [`stream`]) and gets ([`batch`],
//! [`recorded`]), and how frames are found and walked ([`snapshot`], [`cursor`]). May call: segment, index, the
//! watermark, the format. Takes no lock but that of the index, for moments: an append waits for a
//! read no longer than that.

pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod cursor;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod range;
pub(crate) mod recorded;
pub(crate) mod snapshot;
pub(crate) mod stream;
