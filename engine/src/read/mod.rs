//! The read path: from a snapshot of the log to borrowed events.
//!
//! Owns: what a caller reads with ([`events`], [`batches`], [`stream`]) and asks for ([`query`]), what it
//! gets ([`batch`], [`recorded`]), how frames are found and walked ([`snapshot`], [`cursor`]), and how
//! what is asked for is found without a look at everything ([`filter`], [`leads`], [`finder`]). May call: segment, index, the
//! watermark, the format. Takes no lock but that of the index, for moments: an append waits for a
//! read no longer than that.

pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod cursor;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod finder;
pub(crate) mod leads;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod recorded;
pub(crate) mod snapshot;
pub(crate) mod stream;
