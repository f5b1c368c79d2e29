//! What the `quipu` command does, one module a command.
//!
//! `main.rs` turns arguments into calls of these. It is a library so that the integration tests can
//! drive the same kills and the same checks as the demo.
//!
//! | module | command |
//! |---|---|
//! | [`crash`] | `quipu crash`: kills, full disks, failing devices and calls |
//! | [`demo`] | `quipu demo`: appends, kills, reopens, checks |
//! | [`import`] | `quipu import`: JSON lines into a log |
//! | [`export`] | `quipu export`: a log as JSON lines |
//! | [`info`] | `quipu info`: a log at a glance |
//! | [`inspect`] | `quipu inspect`: segments and frames as they stand on disk |
//! | [`read`] | `quipu read`: events for people |
//! | [`repair`] | `quipu repair`: cuts a torn tail off, and says beforehand what that is |
//! | [`salvage`] | `quipu salvage`: all whole batches of a damaged log into a new one |
//! | [`streams`] | `quipu streams`: the streams, with how far each has come |
//! | [`verify`] | `quipu verify`: checks a log without the engine |

#![forbid(unsafe_code)]

pub mod crash;
pub mod demo;
pub mod export;
pub mod import;
pub mod info;
pub mod inspect;
pub mod interrupt;
mod json;
pub mod number;
mod open;
pub mod outcome;
pub mod read;
pub mod repair;
pub mod salvage;
pub mod streams;
mod time;
pub mod truncate;
pub mod variant;
pub mod verify;
