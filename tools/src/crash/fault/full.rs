//! A file system without room: appends say so and change nothing, what is acknowledged stays, and
//! room is all it needs.
//!
//! Owns: the part `full`. May call: disks, the engine, the demo's check, the verifier.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use quipu::{AppendError, Log, Outcome};

use super::disk::{Kind, SmallDisk, or_left};
use super::{Case, Report};
use crate::crash::orders::Clerk;
use crate::crash::place::Place;
use crate::demo::check::{Check, Ledger};
use crate::number::{counted, grouped};
use crate::variant::Variant;
use crate::verify;

/// Small, so that a small disk holds several.
const SEGMENT_BYTES: u64 = 64 << 10;
/// Orders that a small disk cannot hold.
const ORDERS_MAX: u32 = 100_000;
/// Orders that are placed where there is room.
const ORDERS: u32 = 20;

/// Every kind of file system, with every way to store and prepare.
pub(super) fn run(place: &Place, report: &mut Report) -> anyhow::Result<()> {
    report.head("A full file system: appends answer Full, and go on once there is room")?;
    for (kind, name) in [(Kind::Tmpfs, "tmpfs"), (Kind::Ext4, "ext4 on a loop device")] {
        for (number, variant) in Variant::all(SEGMENT_BYTES).into_iter().enumerate() {
            let root = place.path().join(format!("full-{kind:?}-{number}"));
            let round = report.random.u32(..);
            let case = match SmallDisk::new(kind, &root) {
                Ok(mut disk) => {
                    let held = hold(&mut disk, &variant, round);
                    or_left(held, &disk.path(), &root).map(Case::Held)
                }
                Err(error) => Ok(Case::Skipped(format!("{error:#}"))),
            };
            report.case(&format!("{name}, {}", variant.described()), case)?;
        }
    }
    Ok(())
}

fn hold(disk: &mut SmallDisk, variant: &Variant, round: u32) -> anyhow::Result<String> {
    let directory = disk.path().join("log");
    let mut caller = Caller::new(variant, round);
    let log = variant.options().open(&directory)?;
    caller.place(&log, ORDERS)?;
    disk.fill()?;
    caller.place_until_full(&log)?;
    for _ in 0..3 {
        ensure!(caller.place_until_full(&log)? == 0, "a full disk has taken an order");
        caller.check(&log)?;
    }
    log.sync().context("what is stored can be synced")?;

    disk.make_room()?;
    caller.place(&log, ORDERS).context("once there was room, on the same handle")?;
    disk.fill()?;
    caller.place_until_full(&log)?;
    caller.check(&log)?;
    log.close()?;

    // Opening needs no room, neither after a close nor a second time.
    for _ in 0..2 {
        disk.fill()?;
        caller.check(&Log::open_read_only(&directory).context("to read, while full")?)?;
        let log = variant.options().open(&directory).context("to write, while full")?;
        caller.place_until_full(&log)?;
        caller.check(&log)?;
        log.close()?;
    }
    let log = variant.options().open(&directory)?;
    disk.make_room()?;
    caller.place(&log, ORDERS).context("once there was room, after opening without")?;
    log.close()?;

    disk.remount()?;
    let log = Log::open_read_only(&directory)?;
    caller.check(&log)?;
    caller.verify(&directory)?;
    Ok(format!(
        "{} acknowledged and there, {} answered Full",
        counted(caller.ledger.acknowledged(), "order", "orders"),
        grouped(caller.full)
    ))
}

/// One caller, and what it was told.
struct Caller {
    clerk: Clerk,
    ledger: Ledger,
    placed: u32,
    /// How often it was told that there is no room.
    full: u64,
}

impl Caller {
    fn new(variant: &Variant, round: u32) -> Self {
        let clerk = Clerk::new(variant.clone(), round);
        Self { clerk, ledger: Ledger::default(), placed: 0, full: 0 }
    }

    /// Places so many orders, for which there is room.
    fn place(&mut self, log: &Log, count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            self.place_one(log).context("an order was not taken")?;
        }
        Ok(())
    }

    /// Places orders until there is no room; gives how many were taken.
    fn place_until_full(&mut self, log: &Log) -> anyhow::Result<u32> {
        for taken in 0..ORDERS_MAX {
            match self.place_one(log) {
                Ok(()) => {}
                Err(error @ AppendError::Full(_)) => {
                    ensure!(error.outcome() == Outcome::NotApplied, "Full leaves it open");
                    self.full += 1;
                    return Ok(taken);
                }
                Err(error) => bail!("instead of Full: {error:?}"),
            }
        }
        bail!("a small disk is not full after {ORDERS_MAX} orders");
    }

    fn place_one(&mut self, log: &Log) -> Result<(), AppendError> {
        self.placed += 1;
        let Self { clerk, ledger, .. } = self;
        clerk.place(log, self.placed.is_multiple_of(4), &mut |message| ledger.note(message))
    }

    fn check(&self, log: &Log) -> anyhow::Result<()> {
        Ok(Check::default().go_on(log, &self.ledger)?)
    }

    fn verify(&self, directory: &Path) -> anyhow::Result<()> {
        let report = verify::verify(directory)?;
        ensure!(report.ok && report.batches == self.ledger.acknowledged(), "{}", report.verdict());
        Ok(())
    }
}
