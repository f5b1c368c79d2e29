//! Crash campaigns against the Quipu log, on its simulated disk.
//!
//! ```text
//!  seed --> Script::draw --> run --> at every effect: Explorer::point --> states
//!                             |                                             |
//!                             +--> Model (what was submitted, answered) --> check
//! ```
//!
//! A script is what a caller does over several lives of a log ([`script`]). Running it ([`run`])
//! keeps the machine before each of its effects; from each of those the power is cut with every
//! subset of what was in flight, or a sample ([`survivors`]); the log is opened, and compared with
//! the model ([`check`], [`model`], [`told`]). A failing script is made smaller ([`shrink`]) and printed.
//!
//! What the simulated disk does, and what it does not, stands at the head of [`quipu::sim`].

#![forbid(unsafe_code)]

pub mod backups;
pub mod calls;
pub mod campaign;
pub mod check;
pub mod coverage;
pub mod decay;
pub mod defect;
pub mod draw;
mod drawn;
pub mod effort;
pub mod exhaust;
pub mod explore;
pub mod image;
pub mod model;
pub mod parallel;
pub mod readers;
pub mod run;
pub mod script;
pub mod shrink;
pub mod sites;
pub mod sought;
pub mod survivors;
pub mod tally;
pub mod told;
pub mod violation;
