//! The write path: from a caller's batch to an acknowledged, visible commit.
//!
//! Owns: what a caller builds ([`batch`], [`event`], [`expected`]) and is told ([`receipt`],
//! [`ticket`]); who decides ([`committer`], [`replay`]), what one sync covers ([`group`]), who makes
//! it durable and visible ([`publisher`]), and the threads around them ([`pipeline`], [`writer`]).
//! May call: segment, index, storage, the format.
//!
//! Data flows one way: batch -> queue -> committer -> group -> publisher -> ticket.

pub(crate) mod batch;
pub(crate) mod committer;
pub(crate) mod event;
pub(crate) mod expected;
pub(crate) mod group;
pub(crate) mod judge;
pub(crate) mod pipeline;
pub(crate) mod publisher;
pub(crate) mod receipt;
pub(crate) mod replay;
pub(crate) mod ticket;
pub(crate) mod writer;
