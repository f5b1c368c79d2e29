//! `quipu tail`: the last events of a log, and then those that come.
//!
//! Reads beside the log's writer, whichever process that is, and shows what is durable. It ends
//! when it is interrupted and when nobody reads its output any more, even if nothing more comes:
//! both are how one ends it, so both are exit code 0.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quipu::{Delivery, Log, Position, RecordedEvent, Subscription, Version};

use crate::filter::Filter;
use crate::interrupt;
use crate::kept::first_kept;
use crate::open::open_with;
use crate::outcome::Outcome;
use crate::show::{Format, Printer};

/// What is to be shown of the end of a log.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How many of the last events are shown.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    events: u32,
    /// Goes on with each event as it becomes durable, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: Format,
}

/// How often the log is looked at for what its writer has synced. A tenth of what a person or a
/// pipe would notice, and ten times what a program would ask for: looking costs processor time.
const FOLLOW_EVERY: Duration = Duration::from_millis(1);

/// How long it may take until an interruption or a reader that is gone is noticed.
const LOOK_AROUND_EVERY: Duration = Duration::from_millis(100);

/// Prints the end of a log and, if that is wanted, what comes.
///
/// # Errors
/// What keeps the log from being read.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let Request { directory, events, follow, filter, format } = request;
    let interrupted = interrupt::flag()?;
    let (log, outcome) = open_with(Log::options().follow_every(FOLLOW_EVERY), directory)?;
    let printer = Printer::new(format);
    let mut out = BufWriter::new(io::stdout().lock());
    let (last, next) = last_events(&log, filter, *events)?;
    for event in &last {
        printer.print(event, &mut out)?;
    }
    out.flush()?;
    if *follow {
        let mut live = log.subscribe(next).matching(filter.query()).start();
        while !interrupted.load(Ordering::Relaxed)
            && step(&mut live, filter, &printer, &mut out)?.is_continue()
        {}
        out.flush()?;
    }
    Ok(outcome)
}

/// The last events that pass, oldest first, and the position from which on others may come.
fn last_events(
    log: &Log,
    filter: &Filter,
    events: u32,
) -> anyhow::Result<(Vec<RecordedEvent>, Position)> {
    let read = log.read(log.first_available()..).matching(filter.query()).backward();
    let end = read.end();
    let count = events as usize;
    let last: Result<Vec<_>, _> = match &filter.stream {
        Some(stream) => log
            .read_stream(stream, Version::new(first_kept(log, stream)?)..)
            .backward()
            .into_iter()
            .filter(|event| {
                // What is behind `end` comes by and by, in its order.
                event.as_ref().map_or(true, |it| it.position() < end && filter.passes(it))
            })
            .take(count)
            .collect(),
        None => read.into_iter().take(count).collect(),
    };
    let mut last = last.context("cannot read the last events")?;
    last.reverse();
    Ok((last, end))
}

/// Prints what has come, or waits for a while. Output is flushed before each wait, and only then: a
/// log that is being filled is not written out event by event.
fn step(
    live: &mut Subscription,
    filter: &Filter,
    printer: &Printer,
    out: &mut impl Write,
) -> anyhow::Result<ControlFlow<()>> {
    let mut next = live.next_timeout(Duration::ZERO);
    if next.is_err() {
        out.flush()?;
        if nobody_reads(&io::stdout()) {
            return Ok(ControlFlow::Break(()));
        }
        next = live.next_timeout(LOOK_AROUND_EVERY);
    }
    match next {
        Ok(Some(Ok(Delivery::Event(event)))) if filter.passes(&event) => {
            printer.print(&event, out)?;
        }
        // Anything else says only how far it has come.
        Ok(Some(Ok(_))) | Err(_) => {}
        Ok(Some(Err(error))) => {
            out.flush()?;
            return Err(error).context("cannot follow the log");
        }
        // The end of a damaged log: nothing comes behind it.
        Ok(None) => {
            out.flush()?;
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Whether whoever read our output has gone away.
fn nobody_reads(stdout: &io::Stdout) -> bool {
    let mut looked_at = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let found = poll(&mut looked_at, PollTimeout::ZERO);
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    found.is_ok_and(|found| found > 0)
        && looked_at.iter().any(|one| one.revents().is_some_and(|is| is.intersects(gone)))
}
