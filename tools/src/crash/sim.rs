//! `quipu crash sim`: power cuts, failing calls and decay on the simulated disk.
//!
//! Owns: the command. May call: the campaign crate, which does all of it.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use quipu_campaign::campaign::{Campaign, Failure, script_of};
use quipu_campaign::coverage::{EXPECTED, SEEDS_FOR_ALL_ROWS};
use quipu_campaign::effort::Effort;
use quipu_campaign::tally::Tally;
use serde_json::json;

use crate::number::{counted, grouped};
use crate::outcome::Outcome;
use crate::progress;

use super::summary::{print_json, tallied, text_unless};

/// How much is to be tried.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// How many seeds: each is one script over several lives of a log, cut at each of its effects.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// The first seed; another one each time, if it is not given. With --seeds 1 it repeats a case
    /// and prints its script.
    #[arg(long)]
    pub seed: Option<u64>,
    /// No seed is begun once so many states have been tried.
    #[arg(long, value_name = "N")]
    pub states: Option<u64>,
    /// Threads; as many as there are cores, if it is not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// What was found as JSON, at the end.
    #[arg(long)]
    pub json: bool,
}

/// Tries, counts, and says what was found.
///
/// # Errors
/// Output that cannot be written.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let Request { seeds, seed, states, threads, json } = *request;
    // Half of the range: what comes behind the first seed does not run over.
    let first_seed = seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    let threads = threads.unwrap_or_else(cores);
    let mut out = text_unless(json);
    writeln!(
        out,
        "Seed {first_seed}, {} on {}.",
        counted(seeds, "seed", "seeds"),
        counted(threads as u64, "thread", "threads")
    )?;
    if seeds == 1 {
        write!(out, "\n{}\n", script_of(first_seed))?;
    }
    let effort = Effort::default();
    let states_max = states.unwrap_or(u64::MAX);
    let campaign = Campaign { first_seed, seeds, states_max, threads, effort };
    let bar = progress::told(states.unwrap_or(seeds));
    let started = Instant::now();
    let tried = campaign.run(|tally| {
        bar.set_position(if states.is_some() { tally.states } else { tally.scripts });
        bar.set_message(format!("{} states", grouped(tally.states)));
    });
    bar.finish_and_clear();
    match tried {
        Ok(tally) => {
            show(&tally, started.elapsed(), &mut out)?;
            let outcome = missing(&tally, &mut out)?;
            if json {
                let never_met = tally.coverage.missing(EXPECTED);
                let never_met: Vec<_> = never_met.iter().map(ToString::to_string).collect();
                let more = json!({ "seed": first_seed, "never_met": never_met });
                print_json(&[tallied(&tally, started.elapsed()), more])?;
            }
            Ok(outcome)
        }
        Err(failure) => {
            show_failure(&failure, &mut out)?;
            if json {
                let Failure { seed, script, found, tally } = &*failure;
                let more = json!({ "broken": found.to_string(), "script": script.to_string() });
                let tallied = tallied(tally, started.elapsed());
                print_json(&[tallied, json!({ "seed": seed }), more])?;
            }
            Ok(Outcome::Wrong)
        }
    }
}

/// What has been tried.
pub(super) fn show(tally: &Tally, taken: Duration, out: &mut impl Write) -> io::Result<()> {
    let seconds = taken.as_secs_f64().max(0.001);
    let per_second = |count: u64| grouped((count as f64 / seconds) as u64);
    for (row, count) in tally.coverage.rows() {
        writeln!(out, "{:>14}  {row}", grouped(count))?;
    }
    let Tally { scripts, crash_points, tried_wholly, states, inside_recovery, .. } = *tally;
    let Tally { inside_that, kills, went_on, backups, decays, digest, .. } = *tally;
    let counts = [
        (scripts, "seeds"),
        (crash_points, "crash points, each before an effect"),
        (tried_wholly, "of them with every subset of what was in flight"),
        (states, "states: crash, recovery, check"),
        (inside_recovery, "of them crashed inside recovery"),
        (inside_that, "of them crashed inside the recovery of that"),
        (kills, "of them killed, with the machine up"),
        (went_on, "of them appended to, and the power cut again"),
        (backups, "of them backed up, whatever was there of a backup"),
        (decays, "of them damaged at rest"),
    ];
    writeln!(out)?;
    for (count, what) in counts {
        writeln!(out, "{:>14}  {what}", grouped(count))?;
    }
    writeln!(
        out,
        "\nNo promise was broken. {} states/s, {} seeds/s, {seconds:.1} s; digest {digest:016x}.",
        per_second(states),
        per_second(scripts)
    )
}

/// Rows that should have been met: with enough seeds, each of them.
fn missing(tally: &Tally, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let missing = tally.coverage.missing(EXPECTED);
    if missing.is_empty() {
        writeln!(out, "All {} expected rows were met.", EXPECTED.len())?;
        return Ok(Outcome::Fine);
    }
    for row in &missing {
        writeln!(out, "Never met: {row}")?;
    }
    if tally.scripts < SEEDS_FOR_ALL_ROWS {
        writeln!(out, "With {} or more, that is a failure.", grouped(SEEDS_FOR_ALL_ROWS))?;
        return Ok(Outcome::Fine);
    }
    Ok(Outcome::Wrong)
}

pub(super) fn show_failure(failure: &Failure, out: &mut impl Write) -> io::Result<()> {
    let Failure { seed, script, found, tally } = failure;
    writeln!(out, "A promise was broken after {} states, by seed {seed}.", grouped(tally.states))?;
    writeln!(out, "It is repeated with: quipu crash sim --seed {seed} --seeds 1\n")?;
    writeln!(out, "The smallest script that still breaks it:\n\n{script}\n{found}")
}

/// Threads that can run at once.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
