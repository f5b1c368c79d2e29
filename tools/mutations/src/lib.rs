//! Bugs planted in the log, each to be found by a campaign.
//!
//! `mutations.toml` lists them as text to search for and text to put in its place, so that they
//! survive moved lines ([`table`]). The runner copies the sources ([`tree`]), applies one bug after
//! the other, builds, and lets the bug's hunters loose ([`hunter`], [`ground`]) until one finds something; then
//! it writes `MUTATIONS.md` ([`report`]). The campaigns themselves run in a program of their own,
//! `hunt`, built from the changed sources; it answers with one line ([`answer`]).
//!
//! Nothing here changes the engine, and the engine knows nothing of it.

#![forbid(unsafe_code)]

pub mod answer;
pub mod ground;
pub mod hunter;
pub mod kept;
pub mod report;
pub mod table;
pub mod tree;
