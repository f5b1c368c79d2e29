//! The engines: one adapter a file, each saying at its head what it stores and how that is made
//! durable.
//!
//! Owns: the list [`all`]. May call: the adapters.

use crate::engine::Adapter;

mod fjall;
mod floor_group;
mod floor_write;
pub mod forgetful;
mod heed;
mod keyed;
mod okaywal;
mod quipu;
mod raft_engine;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod rusqlite;
mod seglog;
mod tephra;
mod umadb;
mod walrus;

/// Every adapter in this build, the floors first.
#[must_use]
pub fn all() -> Vec<&'static Adapter> {
    vec![
        &floor_write::ADAPTER,
        &floor_group::ADAPTER,
        &quipu::ADAPTER,
        &raft_engine::ADAPTER,
        &okaywal::ADAPTER,
        &seglog::ADAPTER,
        &tephra::ADAPTER,
        &umadb::ADAPTER,
        &fjall::ADAPTER,
        &redb::ADAPTER,
        &heed::ADAPTER,
        &rusqlite::ADAPTER,
        &walrus::ADAPTER,
        #[cfg(feature = "rocksdb")]
        &rocksdb::ADAPTER,
    ]
}

/// The adapter of this name. That of [`forgetful`] is found, but is no part of a run.
#[must_use]
pub fn named(name: &str) -> Option<&'static Adapter> {
    let known = all().into_iter().chain([&forgetful::ADAPTER]);
    known.into_iter().find(|adapter| adapter.name == name)
}

/// Engines of the list that this build leaves out, each with the reason.
#[must_use]
pub fn left_out() -> &'static [(&'static str, &'static str)] {
    #[cfg(not(feature = "rocksdb"))]
    return &[(
        "rocksdb",
        "not in this build: needs `--features rocksdb`, libclang and half an hour",
    )];
    #[cfg(feature = "rocksdb")]
    &[]
}
