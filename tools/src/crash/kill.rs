//! `quipu crash kill`: real processes on a real directory, killed at random moments.
//!
//! Owns: the command; what happens in one round is [`Campaign`]'s. May call: the campaign, the
//! verifier. A new log is begun after every `KILLS_OF_LOG_MAX` kills, since each opening reads the
//! whole log and each check compares it with all that was ever said of it.
//!
//! What it shows: order, whole batches, reopening, recovery that was itself killed. What it cannot
//! show is a missing sync: the page cache survives a killed process, and with it every store that no
//! sync has covered. Simulated power cuts and failing devices show that.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::demo::campaign::{Campaign, Plan, Round};
use crate::interrupt;
use crate::number::{counted, grouped};
use crate::outcome::Outcome;
use crate::verify;

use super::place::Place;
use super::summary::{print_json, text_unless};
use crate::progress;

/// How the kills are to go.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// How often a writing process is killed.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub kills: u32,
    /// What each life is drawn from: how it stores and syncs, and when it is killed. The system's
    /// scheduling has its say too: the same seed gives the same lives, not the same interleavings.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Threads of the writing process.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// Where the logs are, in a directory that is empty or missing; else in a temporary one.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What was found as JSON, at the end.
    #[arg(long)]
    pub json: bool,
}

/// Kills of one log.
const KILLS_OF_LOG_MAX: u32 = 50;

/// How long a writer lives after its first acknowledgement.
const LIFE: std::ops::Range<Duration> = Duration::from_millis(1)..Duration::from_millis(40);

/// Kills, reopens and checks.
///
/// # Errors
/// A broken promise, with the directory that shows it, or what kept it from being looked for.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let seed = request.seed.unwrap_or_else(|| fastrand::u64(..));
    let place = Place::new("quipu-kill-", request.dir.as_deref())?;
    let mut out = text_unless(request.json);
    writeln!(
        out,
        "Seed {seed}. {} of a process that writes with {}.\n\
         Kills show order, whole batches and reopening. They find no missing sync: the page cache\n\
         survives them. Missing syncs are for `crash sim` and `crash fault`.",
        counted(u64::from(request.kills), "kill", "kills"),
        counted(u64::from(request.threads), "thread", "threads"),
    )?;
    let mut sum = Sum::default();
    let started = Instant::now();
    let bar = progress::counted(u64::from(request.kills), "kills");
    let held = hold(request, seed, &place, &mut sum, &bar);
    bar.finish_and_clear();
    if let Err(error) = held {
        // Half a campaign shows nothing.
        interrupt::check(&*interrupt::flag()?)?;
        let kept = place.keep();
        return Err(error.context(format!("seed {seed}, all of it is in {}", kept.display())));
    }
    sum.show(started.elapsed(), &mut out)?;
    if request.json {
        let seconds = started.elapsed().as_secs_f64();
        print_json(&[serde_json::to_value(&sum)?, json!({ "seed": seed, "seconds": seconds })])?;
    }
    Ok(Outcome::Fine)
}

fn hold(
    request: &Request,
    seed: u64,
    place: &Place,
    sum: &mut Sum,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let interrupted = interrupt::flag()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut left = request.kills;
    for number in 0.. {
        let kills = left.min(KILLS_OF_LOG_MAX);
        if kills == 0 {
            break;
        }
        left -= kills;
        let plan = Plan {
            executable: std::env::current_exe().context("cannot find this program")?,
            directory: place.path().join(format!("log-{number}")),
            threads: request.threads,
            life: LIFE,
            leaves_recovery_to_writer: true,
            variant: None,
            seed: random.u64(..),
            interrupted: interrupted.clone(),
        };
        let directory = plan.directory.clone();
        let mut campaign = Campaign::new(plan);
        let mut segments = 0;
        for _ in 0..kills {
            let round = campaign.round().with_context(|| format!("log {number}"))?;
            segments = round.segments as u64;
            sum.add(&round);
            bar.inc(1);
        }
        sum.finish(&campaign, &directory, segments).with_context(|| format!("log {number}"))?;
        std::fs::remove_dir_all(&directory).context("cannot remove a log that was checked")?;
    }
    Ok(())
}

/// What all rounds came to.
#[derive(Debug, Default, Serialize)]
struct Sum {
    kills: u64,
    kills_before_first: u64,
    logs: u64,
    segments: u64,
    batches: u64,
    events: u64,
    acknowledged: u64,
    unacknowledged: u64,
    refused: u64,
    bytes_cut: u64,
    #[serde(rename = "reopening_max_us", serialize_with = "micros")]
    reopening_max: Duration,
}

fn micros<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

impl Sum {
    fn add(&mut self, round: &Round) {
        self.kills += 1;
        self.kills_before_first += u64::from(round.acknowledged == 0);
        self.acknowledged += round.acknowledged;
        self.unacknowledged += round.unacknowledged;
        self.bytes_cut += round.bytes_cut;
        self.reopening_max = self.reopening_max.max(round.reopened_in);
    }

    /// Checks a log once more, from its first event on, with the engine and without it.
    fn finish(
        &mut self,
        campaign: &Campaign,
        directory: &std::path::Path,
        segments: u64,
    ) -> anyhow::Result<()> {
        let check = campaign.check_all()?;
        let report = verify::verify(directory)?;
        if !report.ok || (report.batches, report.events) != (check.batches(), check.events()) {
            bail!("the verifier does not agree with the engine: {}", report.verdict());
        }
        self.logs += 1;
        self.segments += segments;
        self.batches += check.batches();
        self.events += check.events();
        self.refused += campaign.ledger().refused();
        Ok(())
    }

    fn show(&self, took: Duration, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{} in {:.1} s, {} of them before the first acknowledgement, in the midst of opening.\n\
             {} on {}: {}, {}, verified with the engine and without it.\n\
             {} acknowledged, each found; {} committed and killed before they could be; {} refused for\n\
             stock that had moved and placed anew, none there twice; {} of unfinished ones cut off.\n\
             Slowest reopening {:.1} ms. No promise broken.",
            counted(self.kills, "kill", "kills"),
            took.as_secs_f64(),
            grouped(self.kills_before_first),
            counted(self.logs, "log", "logs"),
            counted(self.segments, "segment", "segments"),
            counted(self.batches, "batch", "batches"),
            counted(self.events, "event", "events"),
            grouped(self.acknowledged),
            grouped(self.unacknowledged),
            grouped(self.refused),
            counted(self.bytes_cut, "byte", "bytes"),
            self.reopening_max.as_secs_f64() * 1e3,
        )
    }
}
