//! `quipu crash fault`: real file systems that are full, devices that fail, and each system call
//! failed in turn.
//!
//! Owns: the command, and `Report`, which says and counts what became of each case. May call: the
//! parts, one module each:
//!
//! | module | part |
//! |---|---|
//! | `full` | a small file system is filled, and gets room again |
//! | `failing` | a device fails writes or syncs, and works again |
//! | `calls` | every system call of a small piece of work fails, once in each way |
//!
//! What a machine cannot do is said to be skipped, with the reason, and counted.

#[cfg(target_arch = "x86_64")]
mod calls;
mod disk;
mod failing;
mod full;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use crate::interrupt;
use crate::number::{counted, grouped};
use crate::outcome::Outcome;

use super::place::Place;
use super::summary::{print_json, text_unless};

/// How the faults are to go.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// What the work is drawn from.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only this part; may be given several times.
    #[arg(long = "part", value_name = "PART")]
    pub parts: Vec<Part>,
    /// Of the calls, only this one; may be given several times.
    #[arg(long = "call", value_name = "NAME")]
    pub calls: Vec<String>,
    /// Writes the table of all calls, and what came of each fault, to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// Where the logs are, in a directory that is empty or missing; else in a temporary one.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What was found as JSON, at the end.
    #[arg(long)]
    pub json: bool,
}

/// A part of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A full file system.
    Full,
    /// A failing device.
    Failing,
    /// Each system call failed in turn.
    Calls,
}

/// Makes disks full, devices fail, and calls fail.
///
/// # Errors
/// What kept promises from being tested. A broken one is said, and is the outcome.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let seed = request.seed.unwrap_or_else(|| fastrand::u64(..));
    let place = Place::new("quipu-fault-", request.dir.as_deref())?;
    writeln!(text_unless(request.json), "Seed {seed}.")?;
    let started = Instant::now();
    let mut report = Report::new(seed, request.json)?;
    let wanted = |part| request.parts.is_empty() || request.parts.contains(&part);
    if wanted(Part::Full) {
        full::run(&place, &mut report)?;
    }
    if wanted(Part::Failing) {
        failing::run(&place, &mut report)?;
    }
    if wanted(Part::Calls) {
        #[cfg(target_arch = "x86_64")]
        calls::run(request, &place, &mut report)?;
        #[cfg(not(target_arch = "x86_64"))]
        report.case("each system call", Ok(Case::Skipped("only on x86-64".to_owned())))?;
    }
    let mut out = text_unless(request.json);
    writeln!(
        out,
        "{} held, {} broken, {} skipped, in {:.1} s.",
        counted(report.held, "case", "cases"),
        grouped(report.broken),
        grouped(report.skipped),
        started.elapsed().as_secs_f64()
    )?;
    let mut kept = None;
    if report.broken > 0 {
        let place = place.keep();
        writeln!(out, "Seed {seed}; what the broken cases left is in {}.", place.display())?;
        kept = Some(place);
    }
    if request.json {
        let Report { held, broken, skipped, cases, .. } = &report;
        let counts = json!({ "held": held, "broken": broken, "skipped": skipped });
        print_json(&[json!({ "seed": seed, "cases": cases, "left_in": kept }), counts])?;
    }
    Ok(if report.broken > 0 { Outcome::Wrong } else { Outcome::Fine })
}

/// Says and counts what became of each case.
struct Report {
    interrupted: std::sync::Arc<std::sync::atomic::AtomicBool>,
    /// What a part draws from.
    random: fastrand::Rng,
    json: bool,
    /// What was said of each, for JSON.
    cases: Vec<Value>,
    held: u64,
    broken: u64,
    skipped: u64,
}

/// What became of a case whose promises were not broken.
enum Case {
    /// They held; with what was seen.
    Held(String),
    /// It cannot be had on this machine, for this reason.
    Skipped(String),
}

impl Report {
    fn new(seed: u64, json: bool) -> anyhow::Result<Self> {
        let (interrupted, random) = (interrupt::flag()?, fastrand::Rng::with_seed(seed));
        let cases = Vec::new();
        Ok(Self { interrupted, random, json, cases, held: 0, broken: 0, skipped: 0 })
    }

    /// Says what the next cases are about.
    fn head(&self, text: &str) -> io::Result<()> {
        writeln!(text_unless(self.json), "{text}")
    }

    /// Takes down one case: a broken promise does not keep the others from being tested.
    fn case(&mut self, name: &str, became: anyhow::Result<Case>) -> anyhow::Result<()> {
        // An error may come from the interruption itself.
        interrupt::check(&self.interrupted)?;
        let text = match became {
            Ok(Case::Held(seen)) => {
                self.held += 1;
                format!("held: {seen}")
            }
            Ok(Case::Skipped(why)) => {
                self.skipped += 1;
                format!("skipped: {why}")
            }
            Err(error) => {
                self.broken += 1;
                format!("BROKEN: {error:#}")
            }
        };
        writeln!(text_unless(self.json), "  {name}: {text}")?;
        if self.json {
            self.cases.push(json!({ "case": name, "became": text }));
        }
        Ok(())
    }
}
