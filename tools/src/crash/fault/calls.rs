//! Each system call failed in turn.
//!
//! Owns: the part `calls`. May call: work, tracer, table.
//!
//! The work is done once and every call that touches the log's directory is noted: a site is the calls
//! of one name on one file. Then, for each site and each fault, the first call fails, in the next run
//! the second, and so on until a run goes through without a hit: so the table has every call that the
//! work makes, without a list made by hand. A run must end by itself, or by the kill, within a deadline,
//! without a panic; every error must be a typed one and must not come back; a failed store or sync of a
//! segment in use must be told; and the log it leaves is opened without a fault and compared with all
//! that the run had said.

mod site;
mod syscalls;
mod table;
mod tracer;
mod work;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use quipu::{Preparation, StoreMode};

use super::{Case, Report, Request};
use crate::crash::place::Place;
use crate::crash::worker::Line;
use crate::interrupt;
use crate::number::counted;
use crate::progress;
use crate::variant::Variant;
use site::{Fault, Site};
use table::Table;
use tracer::{Ended, Ending, Tracer};
use work::Work;

/// More calls than any site has.
const CALLS_MAX: u32 = 1_000;
/// Broken cases of one piece of work that are said one by one.
const BROKEN_SHOWN_MAX: usize = 5;
/// How often a call that was there when the work was observed is looked for.
const LOOKS_MAX: u32 = 5;

/// Both scripts, with each way to store and each to prepare. In memory, where there is room for files
/// and no directory was asked for: it is the call that fails, whatever the disk would have done.
pub(super) fn run(request: &Request, place: &Place, report: &mut Report) -> anyhow::Result<()> {
    let memory = match request.dir {
        None => Place::in_memory("quipu-fault-"),
        Some(_) => None,
    };
    let broken = report.broken;
    fail_all(request, memory.as_ref().unwrap_or(place), report)?;
    if let Some(memory) = memory.filter(|_| report.broken > broken) {
        memory.keep();
    }
    Ok(())
}

fn fail_all(request: &Request, place: &Place, report: &mut Report) -> anyhow::Result<()> {
    report
        .head("Each system call failed in turn: typed errors, and nothing acknowledged is lost")?;
    let tracer = Tracer::new()?;
    if let Err(error) = tracer.try_out() {
        return report.case("each system call", Ok(Case::Skipped(format!("{error:#}"))));
    }
    let mut markdown = String::from(HEAD);
    for (store_mode, preparation) in [
        (StoreMode::Mapped, Preparation::Populate),
        (StoreMode::Positioned, Preparation::DirectZeros),
    ] {
        let variant = Variant { store_mode, preparation, ..Variant::default() };
        // Far from each other: the rounds after this one are taken, too.
        let round = report.random.u32(..u32::MAX / 4) * 4;
        let folder = place.path().join(format!("calls-{store_mode:?}"));
        let template = folder.join("template");
        let repair = Work::repair(&variant, round, &tracer, &template);
        for work in [Ok(Work::create(&variant, round)), repair] {
            let work = work.context("a log to start with")?;
            let folder = folder.join(format!("{:?}", work.script));
            let campaign = Campaign::new(&tracer, &work, request, &folder)?;
            let (table, broken) = campaign.run(report)?;
            write!(markdown, "\n{table}")?;
            let tried = format!(
                "{} at {}",
                counted(table.faults() as u64, "fault", "faults"),
                counted(table.calls() as u64, "call", "calls"),
            );
            report.case(&work.described(), judge_all(tried, broken))?;
        }
    }
    if let Some(file) = &request.table {
        fs::write(file, markdown).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

const HEAD: &str = "\
# Every system call failed in turn

Made by `quipu crash fault --table FILE`. Each cell is a run of its own in which that call alone failed.
It lists the errors that were answered, each followed by a second attempt that went through (a log that
stopped was opened again). After every run the log was opened without a fault: all that was acknowledged
was there, nothing else but what had been submitted and was unanswered, and appends went on.

- *unnoticed*: nobody was told, and nobody needed to be. (A failed store into a segment in use, or a
  failed sync of it, must be told; an interrupted store is tried again, an interrupted sync is not.)
- *killed*: the process ended there, and the next one found everything.
- *short*: the call was carried out for about half of what was asked for, and said so.
- `-`: cannot be: the call transfers nothing, or closes a directory, which has nothing left to tell.
- An error of `close` is answered after the descriptor is gone, as Linux does it; every other call that
  fails was not carried out at all.
";

/// What became of all faults of one piece of work.
fn judge_all(tried: String, broken: Broken) -> anyhow::Result<Case> {
    if broken.is_empty() {
        return Ok(Case::Held(tried));
    }
    let mut text = format!("{} of {tried}:", broken.len());
    for (place, error) in broken.iter().take(BROKEN_SHOWN_MAX) {
        write!(text, "\n    {place}: {error:#}")?;
    }
    if broken.len() > BROKEN_SHOWN_MAX {
        text.push_str("\n    and more, which the table shows");
    }
    bail!("{text}")
}

/// One piece of work, to be failed everywhere.
struct Campaign<'a> {
    tracer: &'a Tracer,
    work: &'a Work,
    folder: &'a Path,
    sites: Vec<(Site, u32)>,
}

/// What was broken, and where.
type Broken = Vec<(String, anyhow::Error)>;

impl<'a> Campaign<'a> {
    /// Observes the work.
    fn new(
        tracer: &'a Tracer,
        work: &'a Work,
        request: &Request,
        folder: &'a Path,
    ) -> anyhow::Result<Self> {
        let directory = work.prepare(&folder.join("observed"))?;
        let (ended, mut sites) = tracer.observe(&work.request(&directory))?;
        let went_through = ended.ending == Ending::Code(0)
            && ended.lines.last() == Some(&Line::Done)
            && !ended.lines.iter().any(|line| matches!(line, Line::Failed { .. }));
        if !went_through {
            bail!("the work does not go through without a fault: {ended:?}");
        }
        work.check(&directory, &ended.lines).context("without a fault")?;
        let wanted = |site: &Site| request.calls.iter().any(|call| call == site.call);
        sites.retain(|(site, _)| request.calls.is_empty() || wanted(site));
        Ok(Self { tracer, work, folder, sites })
    }

    /// Fails every call in every way, several at a time.
    fn run(&self, report: &Report) -> anyhow::Result<(Table, Broken)> {
        let sites = self.sites.iter().map(|(site, _)| site.clone()).collect();
        let results = Mutex::new((Table::new(self.work.described(), sites), Vec::new()));
        let jobs: Vec<_> = self
            .sites
            .iter()
            .flat_map(|site| Fault::ALL.map(|fault| (site, fault)))
            .filter(|((site, _), fault)| fault.befalls(site))
            .collect();
        let bar = progress::counted(jobs.len() as u64, "sites and faults");
        let next = AtomicUsize::new(0);
        let work_off = || -> anyhow::Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(((site, least), fault)) = jobs.get(number) else { return Ok(()) };
                for n in 1..CALLS_MAX {
                    interrupt::check(&report.interrupted)?;
                    let Some(outcome) = self.fail(number, site, *fault, n, *least)? else { break };
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    let (table, broken) = &mut *results;
                    let outcome = outcome.unwrap_or_else(|error| {
                        let place = format!("{fault:?} at {} {n} on {}", site.call, site.target);
                        broken.push((place, error));
                        "BROKEN".to_owned()
                    });
                    table.note(site, n, *fault, outcome);
                }
                bar.inc(1);
            }
        };
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work_off)).collect();
            running.into_iter().try_for_each(|thread| match thread.join() {
                Ok(ended) => ended,
                Err(_) => bail!("a thread of the campaign panicked"),
            })
        })?;
        bar.finish_and_clear();
        Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One run. `None`: there is no n-th call. The inner error is a broken promise.
    fn fail(
        &self,
        job: usize,
        site: &Site,
        fault: Fault,
        n: u32,
        least: u32,
    ) -> anyhow::Result<Option<anyhow::Result<String>>> {
        for look in 0..LOOKS_MAX {
            let run = self.folder.join(format!("{job}-{n}-{look}"));
            let directory = self.work.prepare(&run)?;
            let request = self.work.request(&directory);
            let (ended, met) = self.tracer.fail(&request, site, fault, n)?;
            let outcome = judge(&ended, site, met.then_some(fault))
                .and_then(|outcome| self.work.check(&directory, &ended.lines).map(|()| outcome))
                .with_context(|| format!("in {}", run.display()));
            if outcome.is_ok() {
                fs::remove_dir_all(&run)?;
            }
            if met || outcome.is_err() {
                return Ok(Some(outcome));
            }
            if n > least {
                return Ok(None);
            }
        }
        // Another thread was faster, each time: the call is one that need not be made.
        Ok(Some(Ok("not met again".to_owned())))
    }
}

/// What came of a run, in a few words, before its log is looked at.
fn judge(ended: &Ended, site: &Site, fault: Option<Fault>) -> anyhow::Result<String> {
    let Ended { lines, ending, complaint } = ended;
    let killed = *ending == Ending::Signal(Signal::SIGKILL) && fault == Some(Fault::Kill);
    let done = *ending == Ending::Code(0)
        && matches!(lines.last(), Some(Line::Done | Line::Broken(_)))
        && complaint.is_empty();
    if !killed && !done {
        bail!("the process ended with {ending:?}, and said {complaint:?} after {:?}", lines.last());
    }
    let errors = lines.iter().filter_map(|line| match line {
        Line::Failed { what, error } => Some(format!("{what}: {error}")),
        _ => None,
    });
    let mut text = errors.collect::<Vec<_>>().join(", ");
    if killed {
        text.push_str("killed");
    } else if text.is_empty() {
        if fault.is_some_and(|fault| fault.must_be_told(site))
            && !matches!(lines.last(), Some(Line::Broken(_)))
        {
            bail!("nobody was told of it");
        }
        text.push_str("unnoticed");
    }
    Ok(text)
}
