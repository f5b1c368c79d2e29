//! Segments: the files that the log consists of.
//!
//! Owns: a segment as readers see it ([`reader`]), as the one writer appends to it ([`writer`]),
//! the list of all ([`set`]), the index of a sealed one ([`sidecar`]), what outlives those that were
//! dropped ([`base`]), and how new ones come about ([`prepare`]). May call: storage, the
//! format. Knows nothing of batches, streams or callers.

pub(crate) mod base;
pub(crate) mod copy;
pub(crate) mod landmarks;
pub(crate) mod name;
pub(crate) mod prepare;
pub(crate) mod reader;
pub(crate) mod set;
pub(crate) mod sidecar;
pub(crate) mod source;
pub(crate) mod stream_table;
pub(crate) mod writer;
