//! Quipu beside other engines, on the same workloads.
//!
//! | part | what |
//! |---|---|
//! | [`workload`] | what is done and what it is measured in |
//! | [`engine`] | what a workload asks of an engine |
//! | [`engines`] | one adapter an engine, and the floors |
//! | [`measure`] | one measurement, inside a process of its own |
//! | [`run`] | the rounds: processes, turns, counts of what was appended |
//! | [`report`] | table, JSON lines, chart |

pub mod engine;
pub mod engines;
pub mod measure;
pub mod payloads;
pub mod record;
pub mod report;
pub mod run;
pub mod workload;
