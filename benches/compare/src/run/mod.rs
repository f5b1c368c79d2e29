//! The rounds: who is measured when, and whether what was appended is there.
//!
//! Owns: [`Run`] and its order of events. May call: child, idle, disk, syncs; report is told of each
//! measurement as it is made.
//!
//! Within a workload, engines take turns round by round, and each round starts with another engine,
//! so that a slow minute of the machine meets all of them. After every measurement another process
//! opens the log and counts: a wrong count makes it a failed one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quipu_bench::machine;

use crate::engine::{Adapter, Durability, EVENT_TYPE, Failure, Need, StreamName};
use crate::measure::{Measured, Order, Task};
use crate::report::{Measurement, Report};
use crate::workload::{CRASH_EVENTS, Fill, Kind, Workload};

pub mod child;
mod disk;
mod idle;
pub mod syncs;

use child::Child;

/// What a run is made of.
#[derive(Debug)]
pub struct Run {
    /// This program.
    pub program: PathBuf,
    /// Where the logs go; everything in it is removed in the end.
    pub root: PathBuf,
    /// Who is measured.
    pub adapters: Vec<&'static Adapter>,
    /// By what.
    pub workloads: Vec<&'static Workload>,
    /// How often.
    pub rounds: usize,
    /// How long each.
    pub duration: Duration,
    /// Logs are filled with one of so many parts of the events: 1 for a run that counts.
    pub parts: u64,
    /// How long to wait for idle processors before each.
    pub idle_limit: Duration,
    /// How long a process may take.
    pub process_limit: Duration,
}

/// A filled log and the events in it.
struct Filled {
    directory: PathBuf,
    fill: Fill,
    events: u64,
}

impl Run {
    /// Runs everything and tells `report` of it.
    ///
    /// # Errors
    /// What stands against the run itself; a measurement that fails is reported and passed over.
    pub fn carry_out(&self, report: &mut Report) -> Result<(), Failure> {
        let mut filled: BTreeMap<&'static str, Filled> = BTreeMap::new();
        for workload in &self.workloads {
            let able = self.able(workload, report)?;
            if workload.large {
                // The logs of all engines at once would not fit on most disks.
                for adapter in able {
                    self.rounds_of(workload, &[adapter], &mut filled, report)?;
                    self.forget(&mut filled, adapter.name)?;
                }
            } else {
                self.rounds_of(workload, &able, &mut filled, report)?;
            }
            report.finish(workload)?;
        }
        Ok(())
    }

    /// The engines that can do this; the others are reported as skipped.
    fn able(
        &self,
        workload: &Workload,
        report: &mut Report,
    ) -> Result<Vec<&'static Adapter>, Failure> {
        let mut able = Vec::new();
        for adapter in &self.adapters {
            match adapter.lacking(&workload.needs()) {
                None => able.push(*adapter),
                Some(reason) => report.skip(workload, adapter, reason)?,
            }
        }
        Ok(able)
    }

    fn rounds_of(
        &self,
        workload: &'static Workload,
        adapters: &[&'static Adapter],
        filled: &mut BTreeMap<&'static str, Filled>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let rounds = if workload.is_exact() { 1 } else { self.rounds };
        let mut failed: Vec<&str> = Vec::new();
        for round in 0..rounds {
            for turn in 0..adapters.len() {
                let Some(adapter) = adapters.get((turn + round) % adapters.len()) else { continue };
                if failed.contains(&adapter.name) {
                    continue;
                }
                let idle_before = idle::wait(self.idle_limit)?;
                let answer = match workload.fill(self.parts) {
                    None => self.appends(workload, adapter),
                    Some(fill) => self.on_filled(workload, adapter, fill, filled),
                };
                if answer.is_err() {
                    // What failed once is not tried again, and its log not used again.
                    failed.push(adapter.name);
                    self.forget(filled, adapter.name)?;
                }
                let name = adapter.name;
                report.add(Measurement { workload, adapter: name, round, idle_before, answer })?;
            }
        }
        Ok(())
    }

    /// A workload that starts with an empty log.
    fn appends(
        &self,
        workload: &'static Workload,
        adapter: &'static Adapter,
    ) -> Result<Measured, Failure> {
        let directory = self.root.join(adapter.name).join("appended");
        empty(&directory)?;
        let measured = self.measure(workload, adapter, &directory, 0, None)?;
        let answer = self.counted(workload, adapter, &directory, measured.appended);
        fs::remove_dir_all(&directory)?;
        let counted = answer?;
        Ok(Measured { counted: Some(counted), ..measured })
    }

    /// A workload that starts with a filled log, which is kept for the next one that wants the same.
    fn on_filled(
        &self,
        workload: &'static Workload,
        adapter: &'static Adapter,
        fill: Fill,
        filled: &mut BTreeMap<&'static str, Filled>,
    ) -> Result<Measured, Failure> {
        if filled.get(adapter.name).is_none_or(|found| found.fill != fill) {
            self.forget(filled, adapter.name)?;
            let directory = self.root.join(adapter.name).join("filled");
            empty(&directory)?;
            let order =
                Order { directory: directory.clone(), task: Task::Fill(fill, cheapest(adapter)) };
            let events = self.child(adapter, &order)?.appended;
            // What the fill left to be written later would be written while others are measured.
            machine::sync_all();
            idle::wait(self.idle_limit)?;
            filled.insert(adapter.name, Filled { directory, fill, events });
        }
        let log = filled.get_mut(adapter.name).ok_or("the log has gone")?;
        let directory = log.directory.clone();
        let mut measured = match workload.kind {
            Kind::Bytes { .. } => bytes(&directory, log.events, fill)?,
            Kind::Open { after_crash, .. } => {
                if after_crash {
                    let crash = Fill { events: CRASH_EVENTS / self.parts, ..fill };
                    let task = Task::Crash(crash, cheapest(adapter));
                    let order = Order { directory: directory.clone(), task };
                    log.events += self.child(adapter, &order)?.appended;
                } else {
                    let task = Task::Touch(fill.payload_bytes);
                    self.child(adapter, &Order { directory: directory.clone(), task })?;
                }
                idle::wait(self.idle_limit)?;
                self.measure(workload, adapter, &directory, log.events, Some(fill))?
            }
            _ => self.measure(workload, adapter, &directory, log.events, Some(fill))?,
        };
        let counted = self.counted(workload, adapter, &directory, log.events)?;
        measured.counted = Some(counted);
        Ok(measured)
    }

    fn measure(
        &self,
        workload: &'static Workload,
        adapter: &'static Adapter,
        directory: &Path,
        events: u64,
        fill: Option<Fill>,
    ) -> Result<Measured, Failure> {
        let task = Task::Measure { workload, duration: self.duration, events, fill };
        self.child(adapter, &Order { directory: directory.to_owned(), task })
    }

    /// Another process opens the log and counts what is in it.
    fn counted(
        &self,
        workload: &Workload,
        adapter: &'static Adapter,
        directory: &Path,
        expected: u64,
    ) -> Result<u64, Failure> {
        let task = Task::Count(workload.payload_bytes);
        let order = Order { directory: directory.to_owned(), task };
        let found = self.child(adapter, &order)?.counted.ok_or("nothing was counted")?;
        match found == expected {
            true => Ok(found),
            false => Err(format!("{expected} events were acknowledged, {found} are there").into()),
        }
    }

    fn child(&self, adapter: &'static Adapter, order: &Order) -> Result<Measured, Failure> {
        Child::new(&self.program, adapter, order, self.process_limit).run()
    }

    fn forget(
        &self,
        filled: &mut BTreeMap<&'static str, Filled>,
        name: &str,
    ) -> Result<(), Failure> {
        if let Some(gone) = filled.remove(name) {
            fs::remove_dir_all(gone.directory)?;
        }
        Ok(())
    }
}

/// What fills a log soonest.
fn cheapest(adapter: &Adapter) -> Durability {
    match adapter.lacking(&[Need::Buffered]) {
        None => Durability::Buffered,
        Some(_) => Durability::Durable,
    }
}

fn empty(directory: &Path) -> Result<(), Failure> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

/// Bytes on disk of a log that was filled and closed.
fn bytes(directory: &Path, events: u64, fill: Fill) -> Result<Measured, Failure> {
    let usage = disk::usage(directory)?;
    let per_event = |bytes: u64| bytes as f64 / events.max(1) as f64;
    let content = (fill.payload_bytes + StreamName::BYTES + EVENT_TYPE.len()) as f64;
    let metrics = [
        ("overhead_bytes", per_event(usage.used_bytes) - content),
        ("used_bytes", per_event(usage.used_bytes)),
        ("disk_bytes", per_event(usage.disk_bytes)),
    ];
    let metrics = metrics.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(Measured { appended: 0, counted: None, metrics })
}
