//! `quipu crash exhaust`: everything that can happen to a few small logs.
//!
//! Owns: the command. May call: the campaign crate, which does all of it.

use std::io::Write;
use std::time::Instant;

use quipu_campaign::exhaust::Exhaustion;
use serde_json::json;

use super::sim::{cores, show};
use super::summary::{print_json, tallied, text_unless};
use crate::number::grouped;
use crate::outcome::Outcome;
use crate::progress;

/// How much is to be tried.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// Only every so manieth defect of a log at rest; every crash is tried in any case.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// Threads; as many as there are cores, if it is not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// What was found as JSON, at the end.
    #[arg(long)]
    pub json: bool,
}

/// Tries everything, and says what was found.
///
/// # Errors
/// Output that cannot be written.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let threads = request.threads.unwrap_or_else(cores);
    let mut out = text_unless(request.json);
    let bar = progress::spinner();
    let started = Instant::now();
    let tried = Exhaustion { threads, every: request.every }
        .run(|tally| bar.set_message(format!("{} states", grouped(tally.states))));
    bar.finish_and_clear();
    match tried {
        Ok(tally) => {
            show(&tally, started.elapsed(), &mut out)?;
            if request.json {
                print_json(&[tallied(&tally, started.elapsed())])?;
            }
            Ok(Outcome::Fine)
        }
        Err(failed) => {
            let (_, found, tally) = *failed;
            writeln!(out, "A promise was broken after {} states:", grouped(tally.states))?;
            writeln!(out, "{found}")?;
            if request.json {
                let broken = json!({ "broken": found.to_string() });
                print_json(&[tallied(&tally, started.elapsed()), broken])?;
            }
            Ok(Outcome::Wrong)
        }
    }
}
