//! `quipu crash sites`: every place in the engine that calls the disk, failed in turn.
//!
//! Owns: the command. May call: the campaign crate, which does all of it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use quipu_campaign::sites::SiteCampaign;
use serde_json::json;

use super::sim::cores;
use super::summary::{print_json, tallied, text_unless};
use crate::number::grouped;
use crate::outcome::Outcome;
use crate::progress;

/// How much is to be tried.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// Writes the table of places and outcomes to this file, as Markdown, instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// What scripts are drawn from. The table of another seed has the same places.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Scripts that are looked at for places that the others do not come to.
    #[arg(long, default_value_t = 400)]
    pub scripts: u64,
    /// Each place is failed at so many of its calls, in each way.
    #[arg(long, default_value_t = 12)]
    pub calls: usize,
    /// Threads; as many as there are cores, if it is not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// What was found as JSON, at the end.
    #[arg(long)]
    pub json: bool,
}

/// Fails each place, and shows what came of it.
///
/// # Errors
/// Output that cannot be written.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let Request { table, seed, scripts, calls, threads, json } = request;
    let threads = threads.unwrap_or_else(cores);
    let (seed, scripts, calls_each) = (*seed, *scripts, *calls);
    let cannot_write = |file: &Path| format!("cannot write {}", file.display());
    if let Some(file) = table {
        // Told now, not after the campaign.
        let opened = File::options().create(true).append(true).open(file);
        opened.with_context(|| cannot_write(file))?;
    }
    let mut out = text_unless(*json);
    writeln!(out, "Seed {seed}, {} scripts.", grouped(scripts))?;
    let bar = progress::spinner();
    let started = Instant::now();
    let tried = SiteCampaign { seed, scripts, calls_each, threads }
        .run(|tally| bar.set_message(format!("{} runs", grouped(tally.scripts))));
    bar.finish_and_clear();
    let (outcomes, tally) = match tried {
        Ok(tried) => tried,
        Err(failed) => {
            let (_, found, tally) = *failed;
            writeln!(out, "A promise was broken after {} runs:", grouped(tally.scripts))?;
            writeln!(out, "{found}")?;
            if *json {
                let broken = json!({ "seed": seed, "broken": found.to_string() });
                print_json(&[tallied(&tally, started.elapsed()), broken])?;
            }
            return Ok(Outcome::Wrong);
        }
    };
    match table {
        Some(file) => {
            std::fs::write(file, outcomes.table()).with_context(|| cannot_write(file))?;
        }
        None => write!(out, "{}", outcomes.table())?,
    }
    writeln!(
        out,
        "\nNo promise was broken. {} places, {} runs, {} states, {:.1} s.",
        outcomes.sites().len(),
        grouped(outcomes.runs()),
        grouped(tally.states),
        started.elapsed().as_secs_f64()
    )?;
    if *json {
        let sites = json!({ "places": outcomes.sites().len(), "runs": outcomes.runs() });
        let tallied = tallied(&tally, started.elapsed());
        print_json(&[tallied, json!({ "seed": seed }), sites])?;
    }
    Ok(Outcome::Fine)
}
