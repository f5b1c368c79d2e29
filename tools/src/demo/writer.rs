//! The process that is killed: appends from several threads until it dies.
//!
//! Owns: [`run`]. Each acknowledgement is written to the pipe after the append has returned, so what
//! the parent reads is what a caller had been promised.

use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, bail};
use quipu::{AppendError, Log};

use super::message::{Acknowledgement, Message};
use super::workload::{Order, OrderId};
use crate::outcome::Outcome;
use crate::variant::Variant;

/// What the writer is to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
    #[arg(long)]
    round: u32,
    #[arg(long)]
    threads: u32,
    #[command(flatten)]
    variant: Variant,
}

/// Appends until the process is killed, or nobody listens any more.
///
/// # Errors
/// What the log answers.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let Request { directory, round, threads, variant } = request;
    let (round, threads) = (*round, *threads);
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
    Ok(Outcome::Fine)
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
