//! `quipu bench`: what this disk can do, and what Quipu makes of it, in ten seconds.
//!
//! The floor is the same bytes with the same promise and nothing else: positioned writes into a
//! file that was filled with zeros, and `fdatasync` where the append is durable. Floor and Quipu
//! run in turns, so that both have the same moments of the machine; the figures are medians of
//! rounds. All of it happens in a directory of its own, which is removed, also after Ctrl-C; a fast
//! disk takes a gibibyte or two meanwhile.

mod floor;
mod log;
mod report;
mod timing;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use quipu::Log;

use crate::interrupt;
use crate::outcome::Outcome;
use crate::progress;
use floor::Floor;
use report::{Measured, Report};
use timing::Slice;

/// What is measured, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// Where to measure: a directory on the disk in question.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// How long it takes altogether, about.
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// The payload of an event, in bytes.
    #[arg(long, value_name = "N", default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(0..=65_536))]
    payload_bytes: u32,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

/// One kind of work.
#[derive(Debug, Clone, Copy)]
struct Workload {
    name: &'static str,
    threads: u32,
    /// Events of a batch.
    events: u32,
    is_durable: bool,
}

const WORKLOADS: [Workload; 4] = [
    Workload { name: "durable, one thread", threads: 1, events: 1, is_durable: true },
    Workload { name: "durable, 16 threads", threads: 16, events: 1, is_durable: true },
    Workload { name: "buffered, one thread", threads: 1, events: 1, is_durable: false },
    Workload { name: "durable, batches of 1,000", threads: 1, events: 1_000, is_durable: true },
];

/// Each workload is measured so often, in turns.
const ROUNDS: u32 = 5;

/// Measures, and prints what came out.
///
/// # Errors
/// What keeps the directory from being written, and an interruption.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let interrupted = interrupt::flag()?;
    let place = tempfile::Builder::new()
        .prefix("quipu-bench-")
        .tempdir_in(&request.directory)
        .with_context(|| format!("cannot write to {}", request.directory.display()))?;
    let turns = ROUNDS * WORKLOADS.len() as u32 * 2;
    let slice = Duration::from_secs(u64::from(request.seconds)) / turns;
    let payload = vec![b'x'; request.payload_bytes as usize];
    let mut measured = WORKLOADS.map(Measured::new);
    let mut floor = Floor::new(place.path())?;
    let log = Log::open(place.path().join("log"))?;
    let bar = progress::counted(u64::from(turns), "turns");
    for _ in 0..ROUNDS {
        for one in &mut measured {
            let slice = Slice { length: slice, interrupted: &interrupted };
            let bare = floor.measure(one.workload, &payload, slice)?;
            bar.inc(1);
            let quipu = log::measure(&log, one.workload, &payload, slice)?;
            bar.inc(1);
            one.add(&bare, &quipu);
        }
    }
    bar.finish_and_clear();
    log.close()?;
    let report = Report::new(request, &measured);
    let mut out = io::stdout().lock();
    if request.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    place.close().context("cannot remove what was written")?;
    Ok(Outcome::Fine)
}
