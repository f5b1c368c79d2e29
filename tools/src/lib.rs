//! What the `quipu` command does, one module a command.
//!
//! `main.rs` turns arguments into calls of these. It is a library so that the integration tests can
//! drive the same kills and the same checks as the demo.
//!
//! | module | command |
//! |---|---|
//! | [`append`] | `quipu append`: JSON lines into a log, each acknowledged by itself |
//! | [`backup`] | `quipu backup`: a second directory with the log in it |
//! | [`mod@bench`] | `quipu bench`: this disk, and Quipu beside it |
//! | [`completions`] | `quipu completions`: for shells |
//! | [`crash`] | `quipu crash`: kills, full disks, failing devices and calls |
//! | [`demo`] | `quipu demo`: appends, kills, reopens, checks |
//! | [`import`] | `quipu import`: JSON lines into a log |
//! | [`export`] | `quipu export`: a log as JSON lines |
//! | [`info`] | `quipu info`: a log at a glance |
//! | [`inspect`] | `quipu inspect`: segments and frames as they stand on disk |
//! | [`man`] | `quipu man`: manual pages |
//! | [`read`] | `quipu read`: events for people |
//! | [`repair`] | `quipu repair`: cuts a torn tail off, and says beforehand what that is |
//! | [`restore`] | `quipu restore`: a log from a backup, or as it was at some position or time |
//! | [`salvage`] | `quipu salvage`: all whole batches of a damaged log into a new one |
//! | [`streams`] | `quipu streams`: the streams, with how far each has come |
//! | [`tail`] | `quipu tail`: the last events, and those that come |
//! | [`verify`] | `quipu verify`: checks a log without the engine |

#![forbid(unsafe_code)]

pub mod append;
pub mod backup;
pub mod bench;
pub mod completions;
pub mod crash;
pub mod demo;
pub mod directory;
pub mod export;
mod filter;
pub mod import;
pub mod info;
mod input;
pub mod inspect;
pub mod interrupt;
mod json;
mod kept;
mod line;
pub mod man;
pub mod number;
mod open;
pub mod outcome;
mod progress;
pub mod read;
pub mod repair;
pub mod restore;
pub mod salvage;
mod show;
pub mod streams;
pub mod tail;
mod time;
pub mod truncate;
pub mod variant;
pub mod verify;
