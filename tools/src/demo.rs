//! `quipu demo`: what Quipu gives, in ten lines and ten seconds.
//!
//! A child process appends orders from several threads and reports each acknowledgement after its
//! append has returned. It is killed in mid-flight, the log is reopened, and everything it had been
//! told is compared with what is there.

pub mod campaign;
pub mod check;
pub mod message;
#[cfg(test)]
mod tests;
pub mod workload;
pub mod writer;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use quipu::Log;
use serde::Serialize;

use crate::interrupt;
use crate::number::{counted, grouped};
use crate::outcome::{Misuse, Outcome};
use crate::variant::Variant;
use crate::verify;
use campaign::{Campaign, Plan, Round};
use check::Check;

/// How the demo is to go.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// Keeps the log in this directory, which must be empty or missing.
    #[arg(long = "dir", value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// How often the writing process is killed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Threads of the writing process.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// What the moments of the kills are drawn from; another one each time, if it is not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// What was seen as JSON, at the end.
    #[arg(long)]
    pub json: bool,
}

/// What was seen.
#[derive(Debug, Serialize)]
struct Summary {
    seed: u64,
    rounds: Vec<Seen>,
    batches: u64,
    events: u64,
    streams: u64,
    /// Appends that lost a race, and were tried again.
    refused: u64,
}

/// One round.
#[derive(Debug, Serialize)]
struct Seen {
    killed_after_ms: u64,
    submitted: u64,
    acknowledged: u64,
    /// Committed, and killed before it could be acknowledged.
    unacknowledged: u64,
    bytes_cut: u64,
    reopened_in_us: u64,
}

/// How long a writer lives after its first acknowledgement.
const LIFE: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(1200);

/// Holds the demo and says what happens.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    // So that the temporary directory goes, too.
    let interrupted = interrupt::flag()?;
    let temporary = match &request.directory {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("quipu-demo-").tempdir()?),
    };
    let directory = match (&request.directory, &temporary) {
        (Some(directory), _) => directory.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => bail!("no directory"),
    };
    if holds_something(&directory) {
        let directory = directory.display();
        return Err(Misuse::new(format!(
            "{directory} is not empty; the demo needs a log of its own"
        )));
    }
    let seed = request.seed.unwrap_or_else(|| fastrand::u64(..));
    let plan = Plan {
        executable: std::env::current_exe().context("cannot find this program")?,
        directory: directory.clone(),
        threads: request.threads,
        life: LIFE,
        leaves_recovery_to_writer: false,
        variant: Some(Variant::default()),
        seed,
        interrupted,
    };
    let mut out: Box<dyn Write> = match request.json {
        true => Box::new(io::sink()),
        false => Box::new(io::stdout().lock()),
    };
    writeln!(
        out,
        "A process places orders from {}; each is one batch over an order and its stock, and is\n\
         refused if the stock has moved. It is killed (SIGKILL) {}, in mid-flight. Seed {seed}.",
        counted(u64::from(request.threads), "thread", "threads"),
        counted(u64::from(request.rounds), "time", "times"),
    )?;
    let summary = hold(plan, request.rounds, &mut out)?;
    match &request.directory {
        Some(directory) => writeln!(out, "The log stays in {}.", directory.display())?,
        None => writeln!(out, "The log was temporary and is gone; --dir DIR keeps one.")?,
    }
    if request.json {
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&summary)?)?;
    }
    Ok(Outcome::Fine)
}

fn hold(plan: Plan, rounds: u32, out: &mut impl Write) -> anyhow::Result<Summary> {
    let (directory, seed) = (plan.directory.clone(), plan.seed);
    let mut seen = Vec::new();
    let mut campaign = Campaign::new(plan);
    writeln!(out, "{COLUMNS}")?;
    for _ in 0..rounds {
        let round = campaign.round()?;
        writeln!(out, "{}", described(&round))?;
        seen.push(Seen::of(&round));
    }
    writeln!(out, "* committed whole, and killed before it could be acknowledged")?;
    let check = campaign.check_all()?;
    writeln!(
        out,
        "Read again from the start: {}, {}, {}: no position or version skipped, no batch torn,\n\
         none lost, none twice, none invented; {} lost a race for stock, were refused, and tried again.",
        counted(check.batches(), "batch", "batches"),
        counted(check.events(), "event", "events"),
        counted(check.streams(), "stream", "streams"),
        counted(campaign.ledger().refused(), "append", "appends"),
    )?;
    let report = verify::verify(&directory)?;
    writeln!(out, "Verified without the engine: {}", report.verdict())?;
    if !report.ok || report.events != check.events() {
        bail!("the verifier and the engine do not agree");
    }
    show_streams(&directory, &check, out)?;
    writeln!(
        out,
        "A kill shows atomicity, order and reopening. It cannot show safety against a power cut: that\n\
         is what fdatasync is for, and what the tests on a simulated disk show."
    )?;
    Ok(Summary {
        seed,
        rounds: seen,
        batches: check.batches(),
        events: check.events(),
        streams: check.streams(),
        refused: campaign.ledger().refused(),
    })
}

impl Seen {
    fn of(round: &Round) -> Self {
        let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Self {
            killed_after_ms: whole(round.killed_after.as_millis()),
            submitted: round.submitted,
            acknowledged: round.acknowledged,
            unacknowledged: round.unacknowledged,
            bytes_cut: round.bytes_cut,
            reopened_in_us: whole(round.reopened_in.as_micros()),
        }
    }
}

/// Heads the rounds.
const COLUMNS: &str = "round  killed after  submitted  acknowledged  all found  also there*  segments  bytes cut  reopened";

/// One line under [`COLUMNS`]. A round that did not find everything has ended the demo.
fn described(round: &Round) -> String {
    format!(
        "{:>5}  {:>9} ms  {:>9}  {:>12}  {:>9}  {:>11}  {:>8}  {:>9}  {:>5.1} ms",
        round.number,
        grouped(u64::try_from(round.killed_after.as_millis()).unwrap_or(u64::MAX)),
        grouped(round.submitted),
        grouped(round.acknowledged),
        "yes",
        grouped(round.unacknowledged),
        grouped(round.segments as u64),
        grouped(round.bytes_cut),
        round.reopened_in.as_secs_f64() * 1e3,
    )
}

/// Reads back the last order and the last reservation of its first item.
fn show_streams(directory: &Path, check: &Check, out: &mut impl Write) -> anyhow::Result<()> {
    let log = Log::open_read_only(directory)?;
    let last = log.batches(..).backward().next().transpose()?;
    let Some(last) = last else { return Ok(()) };
    writeln!(out, "The last of {} orders, and the streams it is on:", grouped(check.batches()))?;
    for event in last.events()?.take(2) {
        let event = event?;
        let newest = log.read_stream(event.stream(), ..).backward().limit(1).into_iter().next();
        if let Some(newest) = newest.transpose()? {
            writeln!(out, "  {}", crate::show::readable(&newest).trim_start())?;
        }
    }
    Ok(())
}

/// Whether there is anything in a directory.
fn holds_something(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}
