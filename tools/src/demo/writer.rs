//! The process that is killed: appends from several threads until it dies.
//!
//! Owns: [`run`]. Each acknowledgement is written to the pipe after the append has returned, so what
//! the parent reads is what a caller had been promised.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, bail};
use quipu::{AppendError, Log};

use super::message::{Acknowledgement, Message};
use super::workload::{Order, OrderId};
use crate::variant::Variant;

/// Appends to the log in `directory` until the process is killed, or nobody listens any more.
pub fn run(
    directory: &Path,
    round: u32,
    threads: u32,
    variant: &Variant,
) -> anyhow::Result<ExitCode> {
    let log = variant.options().open(directory)?;
    let place = |thread: u32| {
        let (log, variant) = (log.clone(), variant.clone());
        move || place_orders(&log, round, thread, &variant)
    };
    let running: Vec<_> = (0..threads).map(|thread| thread::spawn(place(thread))).collect();
    for thread in running {
        match thread.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("a writing thread panicked"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn place_orders(log: &Log, round: u32, thread: u32, variant: &Variant) -> anyhow::Result<()> {
    for number in 0.. {
        let id = OrderId { round, thread, number };
        let mut order = Order::new(id);
        order.durability = variant.durability_of(order.durability);
        tell(&Message::Submitted(id))?;
        loop {
            match log.append(order.batch(log)) {
                Ok(receipt) => {
                    tell(&Message::Acknowledged(Acknowledgement::new(id, &receipt)))?;
                    break;
                }
                Err(AppendError::PreconditionFailed(_)) => tell(&Message::Refused(id))?,
                Err(error) => return Err(error).context("an append failed"),
            }
        }
    }
    Ok(())
}

/// Writes one line, by one call.
fn tell(message: &Message) -> io::Result<()> {
    let line = format!("{message}\n");
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}
