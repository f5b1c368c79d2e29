//! What the worker is set to, and whether the log that it leaves is right.
//!
//! Owns: [`Work`]: one script with one way to store and prepare, the log that it starts with, and the
//! check of the log that it leaves. May call: the engine, the demo's check, the verifier.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};

use super::tracer::{Ending, Tracer};
use crate::crash::orders::Clerk;
use crate::crash::worker::{Line, ORDERS_BEFORE_TEAR, Request, Script};
use crate::demo::check::{Check, Ledger};
use crate::demo::message::Message;
use crate::demo::workload::OrderId;
use crate::variant::Variant;
use crate::verify::{self, Tail};

/// A piece of work, to be done again and again.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) script: Script,
    pub(super) variant: Variant,
    /// The round of its orders; those before and after have other ones.
    round: u32,
    /// The log that it starts with.
    template: Option<PathBuf>,
    /// What was said of that log.
    said: Vec<Message>,
}

/// The least that a segment can have: a few orders.
const SEGMENT_BYTES: u64 = 8 << 10;
/// Orders that a log must take after all.
const ORDERS_AFTER: u32 = 2;

impl Work {
    /// A log is made, filled, closed, and gone on with.
    pub(super) fn create(variant: &Variant, round: u32) -> Self {
        let variant = Variant { segment_bytes: SEGMENT_BYTES, ..variant.clone() };
        Self { script: Script::Create, variant, round, template: None, said: Vec::new() }
    }

    /// A log whose end is torn, over several segments, is opened and gone on with. Makes that log.
    pub(super) fn repair(
        variant: &Variant,
        round: u32,
        tracer: &Tracer,
        template: &Path,
    ) -> anyhow::Result<Self> {
        let mut work = Self { script: Script::Torn, ..Self::create(variant, round) };
        fs::create_dir_all(template)?;
        let directory = template.join("log");
        let (ended, _) = tracer.observe(&work.request(&directory))?;
        ensure!(ended.ending == Ending::Code(0), "the torn log is not made: {ended:?}");
        let torn = OrderId { round, thread: 0, number: ORDERS_BEFORE_TEAR };
        tear(&directory, torn)?;
        let torn_log = verify::verify(&directory)?;
        ensure!(matches!(torn_log.tail, Tail::Torn { .. }), "{}", torn_log.verdict());
        // What a process that was killed while it prepared a segment leaves.
        fs::write(directory.join("00000000000000000099.seg.tmp"), "not finished")?;
        let messages = ended.lines.into_iter().filter_map(|line| match line {
            Line::Order(message) => Some(message),
            _ => None,
        });
        work.said = messages.filter(|message| id_of(message).number < torn.number).collect();
        work.script = Script::Repair;
        work.round = round.wrapping_add(1);
        work.template = Some(directory);
        Ok(work)
    }

    /// What is asked of the worker.
    pub(super) fn request(&self, directory: &Path) -> Request {
        let (script, round, variant) = (self.script, self.round, self.variant.clone());
        Request { dir: directory.to_owned(), script, round, variant }
    }

    /// Makes the directory of a run and the log it starts with; gives the log's place.
    pub(super) fn prepare(&self, run: &Path) -> anyhow::Result<PathBuf> {
        let directory = run.join("log");
        fs::create_dir_all(run)?;
        if let Some(template) = &self.template {
            fs::create_dir(&directory)?;
            for entry in fs::read_dir(template)? {
                let entry = entry?;
                fs::copy(entry.path(), directory.join(entry.file_name()))?;
            }
        }
        Ok(directory)
    }

    /// Opens the log that a run has left, without a fault, compares it with what the run said, and
    /// goes on with it.
    pub(super) fn check(&self, directory: &Path, lines: &[Line]) -> anyhow::Result<()> {
        let mut ledger = Ledger::default();
        self.said.iter().cloned().for_each(|message| ledger.note(message));
        for line in lines {
            match line {
                Line::Order(message) => ledger.note(message.clone()),
                Line::Broken(why) => bail!("{why}"),
                Line::Failed { .. } | Line::Done => {}
            }
        }
        let log = self.variant.options().open(directory).context("opened again")?;
        let mut check = Check::default();
        check.go_on(&log, &ledger)?;
        let mut clerk = Clerk::new(self.variant.clone(), self.round.wrapping_add(1));
        for _ in 0..ORDERS_AFTER {
            clerk.place(&log, false, &mut |message| ledger.note(message)).context("going on")?;
        }
        check.go_on(&log, &ledger)?;
        log.close().context("closed at last")?;
        let report = verify::verify(directory)?;
        let found = (report.batches, report.events);
        ensure!(report.ok && found == (check.batches(), check.events()), "{}", report.verdict());
        Ok(())
    }

    /// What it is, in words.
    pub(super) fn described(&self) -> String {
        let what = match self.script {
            Script::Create => "a new log",
            Script::Torn | Script::Repair => "a log with a torn end",
        };
        format!("{what}, {}", self.variant.described())
    }
}

/// Flips a bit of an order that no sync has covered, as if that sector alone had not reached the disk.
fn tear(directory: &Path, order: OrderId) -> anyhow::Result<()> {
    let name = format!("\"{order}\"");
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let found = bytes.windows(name.len()).position(|window| window == name.as_bytes());
        if let Some(byte) = found.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
            // What is torn never was on the device, and so has no index.
            remove_indexes(directory, &path)?;
            return Ok(fs::write(&path, bytes)?);
        }
    }
    Err(anyhow!("order {order} is not in the log that is to be torn"))
}

/// Removes the indexes of a segment and of those behind it.
fn remove_indexes(directory: &Path, from: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "idx")
            && path.file_stem() >= from.file_stem()
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The order that a message is about.
fn id_of(message: &Message) -> OrderId {
    match message {
        Message::Submitted(id) | Message::Refused(id) => *id,
        Message::Acknowledged(told) => told.id,
    }
}
