//! `quipu crash worker`: a small fixed piece of work, to be traced, failed and killed.
//!
//! Owns: [`Script`], the process that carries one out, and [`Line`], what it tells its parent. Each
//! line is one write to the pipe, so that a killed process leaves no half of one. It begins when it is
//! sent a line itself: until then its parent gets ready to trace it.
//!
//! One fault at most is put into a run, and it must be answered as what it is: an error of the system,
//! never the caller's mistake, damage, or a log that is not there. What failed is tried once more, a log
//! that has stopped is opened again, and then everything must go through. Whatever does not is told as
//! [`Line::Broken`].
//!
//! A run makes the same calls each time: nothing is done on a clock, and after each order it waits
//! until the next segment has been prepared.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use quipu::{AppendError, AppendErrorKind, Log, OpenError, OpenErrorKind};

use super::orders::{Clerk, cause, check_stopped, name_of};
use crate::demo::message::Message;
use crate::outcome::Outcome;
use crate::variant::Variant;

/// What is to be done, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(long)]
    pub dir: PathBuf,
    /// What is to be done there.
    #[arg(long)]
    pub script: Script,
    /// The round of the orders, from which all of them follow.
    #[arg(long)]
    pub round: u32,
    /// How the log is stored and prepared.
    #[command(flatten)]
    pub variant: Variant,
}

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Script {
    /// Makes a log, fills several segments, syncs, closes, opens it again and goes on.
    Create,
    /// Makes a log whose later segments no sync has covered, and ends without closing it.
    Torn,
    /// Opens a log with a torn end, goes on, closes it, and reads it all.
    Repair,
}

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// What became of an order.
    Order(Message),
    /// A call was answered with an error, as it may be.
    Failed {
        /// Which call.
        what: String,
        /// Which error, by its name.
        error: String,
    },
    /// A promise was broken.
    Broken(String),
    /// All is done.
    Done,
}

/// Orders of one script before and after a reopening: enough for several segments of the least size.
const ORDERS: u32 = 14;
const ORDERS_AFTER: u32 = 3;
/// Orders that are synced before the end that is torn.
pub(super) const ORDERS_BEFORE_TEAR: u32 = 4;
/// How long the log's threads are waited for, and how often they are looked at.
const SETTLING_MAX: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_micros(200);

/// Carries out a script.
///
/// # Errors
/// Nobody listens.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    io::stdin().read_line(&mut String::new())?;
    let clerk = Clerk::new(request.variant.clone(), request.round);
    let mut worker = Worker { request, clerk, preparing: None, troubles: 0 };
    let done = match request.script {
        Script::Create => worker.create(),
        Script::Torn => worker.leave_torn(),
        Script::Repair => worker.repair(),
    };
    match done {
        Ok(()) => say(&Line::Done),
        Err(error) => say(&Line::Broken(format!("{error:#}").replace('\n', " "))),
    }
    Ok(Outcome::Fine)
}

struct Worker<'a> {
    request: &'a Request,
    clerk: Clerk,
    /// The log's thread that prepares segments, by what the system shows of it.
    preparing: Option<PathBuf>,
    /// Errors so far.
    troubles: u32,
}

impl Worker<'_> {
    fn create(&mut self) -> anyhow::Result<()> {
        let mut log = self.open()?;
        self.place(&mut log, ORDERS)?;
        if let Err(error) = log.sync() {
            self.failed_to_append("sync", &error)?;
            self.go_on_after(&error, &mut log)?;
        }
        self.read(&log)?;
        self.close(log)?;
        let mut log = self.open()?;
        self.place(&mut log, ORDERS_AFTER)?;
        self.close(log)
    }

    fn leave_torn(&mut self) -> anyhow::Result<()> {
        let mut log = self.open()?;
        self.place(&mut log, ORDERS_BEFORE_TEAR)?;
        log.sync()?;
        self.clerk.buffer();
        self.place(&mut log, ORDERS)?;
        say(&Line::Done);
        // Neither closed nor dropped: nothing of it is synced any more.
        std::process::exit(0);
    }

    fn repair(&mut self) -> anyhow::Result<()> {
        let mut log = self.open()?;
        self.place(&mut log, ORDERS_AFTER)?;
        self.close(log)?;
        let options = || self.request.variant.options();
        let opened = match options().open_read_only(&self.request.dir) {
            Ok(log) => log,
            Err(error) => {
                self.failed_to_open("open to read", &error)?;
                options().open_read_only(&self.request.dir)?
            }
        };
        self.read(&opened)
    }

    /// Opens the log; what failed once must not fail twice.
    fn open(&mut self) -> anyhow::Result<Log> {
        let open = || -> Result<Log, OpenError> {
            let options = self.request.variant.options();
            // Nothing is to happen by the clock.
            options.idle_mark_after(Duration::from_secs(3_600)).open(&self.request.dir)
        };
        let log = match open() {
            Ok(log) => log,
            Err(error) => {
                self.failed_to_open("open", &error)?;
                open()?
            }
        };
        self.preparing = find_preparing();
        self.settle();
        Ok(log)
    }

    fn place(&mut self, log: &mut Log, count: u32) -> anyhow::Result<()> {
        for number in 0..count {
            let by_ticket = number % 4 == 3;
            while let Err(error) = self.clerk.place(log, by_ticket, &mut tell) {
                self.failed_to_append("append", &error)?;
                self.go_on_after(&error, log)?;
                if error.outcome() == quipu::Outcome::Unknown {
                    break;
                }
            }
            self.settle();
        }
        Ok(())
    }

    /// Opens a log again if the error says that it has stopped.
    fn go_on_after(&mut self, error: &AppendError, log: &mut Log) -> anyhow::Result<()> {
        let Some(cause) = cause(error) else { return Ok(()) };
        check_stopped(log, cause).map_err(anyhow::Error::msg)?;
        if let Ok(()) = log.clone().close() {
            bail!("a log that had stopped was closed as if nothing had been");
        }
        *log = self.open()?;
        Ok(())
    }

    fn close(&mut self, log: Log) -> anyhow::Result<()> {
        match log.close() {
            Ok(()) => Ok(()),
            Err(error) => self.failed_to_append("close", &error),
        }
    }

    fn read(&mut self, log: &Log) -> anyhow::Result<()> {
        let count = log.read(..).into_iter().try_fold(0, |count, event| event.map(|_| count + 1));
        match count {
            Ok(count) if count == log.end().as_u64() => Ok(()),
            Ok(count) => bail!("{count} events are given of {}", log.end()),
            Err(error) => self.failed("read", &error),
        }
    }

    fn failed_to_open(&mut self, what: &str, error: &OpenError) -> anyhow::Result<()> {
        self.failed(what, error)?;
        if error.kind() != OpenErrorKind::Io {
            bail!("a failure of the system is answered as {error:?}");
        }
        Ok(())
    }

    fn failed_to_append(&mut self, what: &str, error: &AppendError) -> anyhow::Result<()> {
        use AppendErrorKind::{OutcomeUnknown, Stopped, Unavailable};
        self.failed(what, error)?;
        if !matches!(error.kind(), Unavailable | Stopped | OutcomeUnknown) {
            bail!("a failure of the system is answered as {error:?}");
        }
        Ok(())
    }

    /// Tells of an error. More of them than one fault can have are a broken promise.
    fn failed<E: fmt::Debug + fmt::Display>(
        &mut self,
        what: &str,
        error: &E,
    ) -> anyhow::Result<()> {
        say(&Line::Failed { what: what.to_owned(), error: name_of(error) });
        self.troubles += 1;
        if self.troubles > TROUBLES_MAX {
            bail!("one fault has led to more than {TROUBLES_MAX} errors, the last one: {error}");
        }
        Ok(())
    }

    /// Waits until the log has prepared the segments it wants: until the thread that does it sleeps,
    /// which it does not while it waits for a disk. Touches nothing of the log's directory.
    fn settle(&self) {
        let Some(preparing) = &self.preparing else { return };
        let deadline = Instant::now() + SETTLING_MAX;
        // The state comes behind the name, which is in brackets.
        let sleeps =
            |status: String| status.rsplit(')').next().is_some_and(|s| s.starts_with(" S"));
        while !fs::read_to_string(preparing).is_ok_and(sleeps) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

/// Finds the thread that prepares segments. It has its name once it has run for the first time.
fn find_preparing() -> Option<PathBuf> {
    let deadline = Instant::now() + SETTLING_MAX;
    while Instant::now() < deadline {
        for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
            let name = fs::read_to_string(task.path().join("comm"));
            if name.is_ok_and(|name| name.trim_end() == "quipu-prepare") {
                return Some(task.path().join("stat"));
            }
        }
        thread::sleep(POLL);
    }
    None
}

/// Tells of an order.
fn tell(message: Message) {
    say(&Line::Order(message));
}

/// Writes one line, by one call.
fn say(line: &Line) {
    let mut out = io::stdout().lock();
    let written = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
    if written.is_err() {
        // The parent is gone, and with it the reason to go on.
        std::process::exit(1);
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(message) => write!(f, "order {message}"),
            Self::Failed { what, error } => write!(f, "failed {error} {what}"),
            Self::Broken(why) => write!(f, "broken {why}"),
            Self::Done => f.write_str("done"),
        }
    }
}

impl FromStr for Line {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "order" => rest.parse().map(Self::Order),
            "failed" => {
                let (error, what) = rest.split_once(' ').ok_or(())?;
                Ok(Self::Failed { what: what.to_owned(), error: error.to_owned() })
            }
            "broken" => Ok(Self::Broken(rest.to_owned())),
            "done" if rest.is_empty() => Ok(Self::Done),
            _ => Err(()),
        }
    }
}

/// Errors that one fault may lead to: a thread that fails in the background is told of when it is
/// asked, and once more if it was asked twice.
const TROUBLES_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::workload::OrderId;

    #[test]
    fn every_line_goes_both_ways() {
        let id = OrderId { round: 1, thread: 0, number: 3 };
        for line in [
            Line::Order(Message::Submitted(id)),
            Line::Failed { what: "open to read".to_owned(), error: "Io".to_owned() },
            Line::Broken("3 events are given of 4".to_owned()),
            Line::Done,
        ] {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        for line in ["", "order", "order lost 1-0-3", "failed Io", "done and gone"] {
            assert_eq!(line.parse::<Line>(), Err(()), "{line}");
        }
    }
}
