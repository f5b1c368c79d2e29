//! A device that fails: the first failure stops the log, what was durable can be read on, and opening
//! it again settles what is unknown.
//!
//! Owns: the part `failing`. May call: disks, the engine, the demo's check, the verifier.
//!
//! Each case goes through two failures of one device. After the first the log is opened while the
//! device still fails, which must be refused; after the second the device works again before anybody
//! opens the log, and the handle that was told of the failure must not go on all the same. In the end
//! the page cache is dropped: what was acknowledged as durable has to be on the device.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use quipu::{AppendError, Log, OpenError, OpenErrorKind};

use super::disk::{Failing, FailingDisk, or_left};
use super::{Case, Report};
use crate::crash::orders::{Clerk, Durable, cause, check_stopped, name_of};
use crate::crash::place::Place;
use crate::demo::check::Check;
use crate::number::counted;
use crate::variant::Variant;
use crate::verify;

/// Large enough for all orders: the failure is to meet the log, not the preparation of a segment.
const SEGMENT_BYTES: u64 = 256 << 10;
/// Orders placed while the device works.
const ORDERS: u32 = 20;
/// Orders that take more than the blocks that are partly written already.
const ORDERS_MAX: u32 = 200;

/// Every way to fail, with and without a journal, with every way to store and prepare.
pub(super) fn run(place: &Place, report: &mut Report) -> anyhow::Result<()> {
    report.head("A failing device: the first failure stops the log, opening it again recovers")?;
    for (how, name) in [(Failing::Writes, "writes"), (Failing::Flushes, "flushes")] {
        for journal in [false, true] {
            for (number, variant) in Variant::all(SEGMENT_BYTES).into_iter().enumerate() {
                let root = place.path().join(format!("failing-{name}-{journal}-{number}"));
                let round = report.random.u32(..);
                let case = match FailingDisk::new(how, journal, &root) {
                    Ok(mut disk) => {
                        let held = hold(&mut disk, &variant, round);
                        or_left(held, &disk.path(), &root).map(Case::Held)
                    }
                    Err(error) => Ok(Case::Skipped(format!("{error:#}"))),
                };
                let with = if journal { "a journal" } else { "no journal" };
                report.case(&format!("{name} fail, {with}, {}", variant.described()), case)?;
            }
        }
    }
    Ok(())
}

fn hold(disk: &mut FailingDisk, variant: &Variant, round: u32) -> anyhow::Result<String> {
    let directory = disk.path().join("log");
    let clerk = Clerk::new(variant.clone(), round);
    let (said, check) = (Durable::default(), Check::default());
    let mut case = HeldCase { disk, directory, variant, clerk, said, check, seen: Vec::new() };

    let log = case.open()?;
    case.place(&log)?;
    let first = case.fail(&log)?;
    ensure!(log.close().is_err(), "a log that had stopped was closed as if nothing had been");
    case.open_while_failing()?;
    case.disk.work()?;

    let log = case.open_recovered()?;
    case.place(&log)?;
    let second = case.fail(&log)?;
    case.disk.work()?;
    check_stopped(&log, &second).map_err(anyhow::Error::msg).context("on a device that works")?;
    ensure!(log.close().is_err(), "a log that had stopped was closed as if nothing had been");

    let log = case.open_recovered()?;
    case.place(&log)?;
    log.close()?;
    case.disk.remount()?;
    let log = Log::open_read_only(&case.directory)?;
    case.check.go_on(&log, case.said.ledger()).context("after the page cache was dropped")?;
    let report = verify::verify(&case.directory)?;
    ensure!(report.ok && report.events == log.end().as_u64(), "{}", report.verdict());
    case.seen.push(format!("first \"{}\"", first.io_error()));
    let acknowledged = case.said.ledger().acknowledged();
    let there = counted(acknowledged, "durable order", "durable orders");
    Ok(format!("{there} there; {}", case.seen.join("; ")))
}

struct HeldCase<'a> {
    disk: &'a mut FailingDisk,
    directory: PathBuf,
    variant: &'a Variant,
    clerk: Clerk,
    said: Durable,
    /// Goes on from one recovery to the next: what was there after one stays there.
    check: Check,
    /// What is worth telling.
    seen: Vec<String>,
}

impl HeldCase<'_> {
    fn open(&self) -> Result<Log, OpenError> {
        self.variant.options().open(&self.directory)
    }

    /// Opens the log on a device that works again; on a file system that has gone read-only
    /// meanwhile only after it was mounted anew.
    fn open_recovered(&mut self) -> anyhow::Result<Log> {
        let log = match self.open() {
            Ok(log) => log,
            Err(error) if error.kind() == OpenErrorKind::Io => {
                self.seen.push(format!("mounted anew after {}", name_of(&error)));
                self.disk.remount()?;
                self.open().context("the device works again")?
            }
            Err(error) => return Err(error).context("the device works again"),
        };
        self.check.go_on(&log, self.said.ledger()).context("after recovery")?;
        Ok(log)
    }

    fn place(&mut self, log: &Log) -> anyhow::Result<()> {
        for number in 0..ORDERS {
            self.place_one(log, number % 4 == 3).context("an order was not taken")?;
        }
        Ok(())
    }

    fn place_one(&mut self, log: &Log, by_ticket: bool) -> Result<(), AppendError> {
        let durability = self.clerk.next().durability;
        let Self { clerk, said, .. } = self;
        clerk.place(log, by_ticket, &mut |message| said.note(message, durability))
    }

    /// Makes the device fail and places orders until the log says so, which must be on the order that
    /// met the failure.
    fn fail(&mut self, log: &Log) -> anyhow::Result<quipu::IoError> {
        self.disk.fail()?;
        for number in 0..ORDERS_MAX {
            let Err(error) = self.place_one(log, number % 4 == 3) else { continue };
            let Some(cause) = cause(&error) else { bail!("the device failed: {error:?}") };
            ensure!(matches!(error, AppendError::OutcomeUnknown(_)), "the first is {error:?}");
            self.said.forget_buffered();
            check_stopped(log, cause).map_err(anyhow::Error::msg)?;
            let mut fresh = Check::default();
            let readable = Log::open_read_only(&self.directory).context("to read, as it fails")?;
            fresh.go_on(&readable, self.said.ledger()).context("read as the device fails")?;
            return Ok(cause.clone());
        }
        bail!("a failing device has taken {ORDERS_MAX} orders");
    }

    /// Opens the log while the device still fails: for writing that is refused.
    fn open_while_failing(&mut self) -> anyhow::Result<()> {
        match self.open() {
            Err(error) if error.kind() == OpenErrorKind::Io => {
                self.seen.push(format!("opened while failing: {}", name_of(&error)));
                Ok(())
            }
            Err(error) => Err(error).context("opened while the device fails"),
            Ok(_) => bail!("a log was opened for writing on a device that fails"),
        }
    }
}
