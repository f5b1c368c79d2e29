//! Runs one campaign until it finds something or a bound is reached, and says so in one line.
//!
//! Everything is done on one thread and seeds are counted from 0: the same program finds the same
//! thing after the same number of cases.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use quipu_campaign::campaign;
use quipu_campaign::effort::Effort;
use quipu_campaign::exhaust::Exhaustion;
use quipu_campaign::sites::SiteCampaign;
use quipu_campaign::tally::Tally;
use quipu_campaign::violation::Found;
use quipu_mutations::answer::{Answer, Find};

/// Runs one campaign until it finds something.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which one.
    campaign: Campaign,
    /// After about so many cases it has found nothing.
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// And after so long.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Campaign {
    /// Workloads at random, every way to lose power, failing calls, and defects of logs at rest.
    Crash,
    /// The same with many more workloads, and few states of each: for what failing calls lead to.
    Scripts,
    /// Small logs: every crash with every subset, every bit, every length.
    Exhaust,
    /// Every place that calls the disk, failed in every way.
    Sites,
}

fn main() -> serde_json::Result<()> {
    let Arguments { campaign, cases, seconds } = Arguments::parse();
    // A panic is a find like any other, and told in the answer.
    std::panic::set_hook(Box::new(|_| {}));
    let tried = Arc::new(AtomicU64::new(0));
    let (send, found) = mpsc::channel();
    thread::spawn({
        let tried = Arc::clone(&tried);
        move || {
            let count = |states| tried.store(states, Ordering::Relaxed);
            let find = match campaign {
                Campaign::Crash => crash(&Effort::default(), cases, count),
                Campaign::Scripts => crash(&few_states(), cases, count),
                Campaign::Exhaust => exhaust(cases, count),
                Campaign::Sites => sites(count),
            };
            // Nobody listens any more when the time is up.
            let _ = send.send(find);
        }
    });
    let found = found.recv_timeout(Duration::from_secs(seconds)).ok().flatten();
    let answer = Answer { cases: tried.load(Ordering::Relaxed), found };
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

fn crash(effort: &Effort, cases: u64, count: impl Fn(u64)) -> Option<Find> {
    let mut total = Tally::default();
    for seed in 0.. {
        if total.states >= cases {
            break;
        }
        let (tally, outcome) = campaign::one(seed, effort);
        total.add(&tally);
        count(total.states);
        if let Err(found) = outcome {
            return Some(find(Some(seed), &found));
        }
    }
    None
}

fn few_states() -> Effort {
    Effort {
        subsets_max: 4,
        sampled: 3,
        kill_one_in: 2,
        thorough_one_in: 8,
        go_on_one_in: 4,
        decays: 2,
        ..Effort::default()
    }
}

/// A share of all defects first: most bugs have many that show them.
fn exhaust(cases: u64, count: impl Fn(u64) + Sync) -> Option<Find> {
    let mut before = 0;
    for every in [SHARE, 1] {
        if before >= cases {
            break;
        }
        let told = |tally: &Tally| count(before + tally.states);
        match (Exhaustion { threads: 1, every }).run(told) {
            Ok(tally) => before += tally.states,
            Err(failed) => return Some(find(None, &failed.1)),
        }
    }
    None
}

/// Of so many defects one.
const SHARE: u64 = 97;

fn sites(count: impl Fn(u64) + Sync) -> Option<Find> {
    let campaign = SiteCampaign { seed: 1, scripts: 400, calls_each: 4, threads: 1 };
    let failed = campaign.run(|tally| count(tally.states)).err()?;
    Some(find(None, &failed.1))
}

fn find(seed: Option<u64>, found: &Found) -> Find {
    let violation = found.violation.to_string();
    Find { seed, violation: violation.split_whitespace().collect::<Vec<_>>().join(" ") }
}
