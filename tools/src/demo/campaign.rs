//! Kill, reopen, check; again.
//!
//! Owns: [`Campaign`], which drives any number of rounds on one directory. May call: check, the
//! engine to reopen. The moment of each kill is drawn from a seeded generator.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use quipu::Log;

use super::check::{Check, Ledger};
use super::message::Message;
use crate::interrupt;
use crate::variant::Variant;

/// A writer that has not been heard of for so long is stuck.
const FIRST_ACKNOWLEDGEMENT_MAX: Duration = Duration::from_secs(30);
/// How long a process needs to start, roughly.
const STARTING: Duration = Duration::from_millis(8);
/// Segments of lives that are drawn: small, so that a log rolls over many times, and is killed there
/// too; of several sizes, so that what one life has prepared the next may have to replace.
const SEGMENT_BYTES: [u64; 3] = [16 << 10, 64 << 10, 256 << 10];
/// How long an interruption may go unnoticed.
const LOOK_UP: Duration = Duration::from_millis(20);

/// How a campaign goes about it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `quipu` command.
    pub executable: PathBuf,
    /// Where the log is.
    pub directory: PathBuf,
    /// Threads of the writing process.
    pub threads: u32,
    /// How long it lives after its first acknowledgement.
    pub life: Range<Duration>,
    /// Now and then the check opens the log for reading only, and leaves it to the next writer to
    /// recover.
    pub leaves_recovery_to_writer: bool,
    /// How the log is stored, prepared and synced, and how large its segments are. `None`: each life
    /// draws that, and now and then the writer is killed while it still opens the log.
    pub variant: Option<Variant>,
    /// What the moments are drawn from.
    pub seed: u64,
    /// Set from outside to end early.
    pub interrupted: Arc<AtomicBool>,
}

/// Many lives and deaths of one log.
#[derive(Debug)]
pub struct Campaign {
    plan: Plan,
    random: fastrand::Rng,
    round: u32,
    ledger: Ledger,
    check: Check,
    /// A reader in this process that follows all the writers, and what it has been shown.
    follower: Option<(Log, Check)>,
    /// How long the last opening took.
    opening: Duration,
}

/// How one life of the writing process goes.
struct Life {
    variant: Variant,
    /// When it is killed, counted from its start; `None`: some time after its first
    /// acknowledgement.
    killed_early: Option<Duration>,
}

/// What came of one round.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Round {
    /// Counted from 1.
    pub number: u32,
    /// How the log was stored, prepared and synced.
    pub variant: Variant,
    /// Orders that were submitted in it.
    pub submitted: u64,
    /// Orders that were acknowledged in it.
    pub acknowledged: u64,
    /// Orders that were committed but could not be acknowledged any more.
    pub unacknowledged: u64,
    /// When the process was killed, counted from its start.
    pub killed_after: Duration,
    /// How long it took to open the log again.
    pub reopened_in: Duration,
    /// Bytes of unfinished batches that were cut off.
    pub bytes_cut: u64,
    /// Segments of the log.
    pub segments: usize,
}

impl Campaign {
    /// Before the first round; the directory holds no log yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let random = fastrand::Rng::with_seed(plan.seed);
        Self {
            plan,
            random,
            round: 0,
            ledger: Ledger::default(),
            check: Check::default(),
            follower: None,
            opening: Duration::ZERO,
        }
    }

    /// One life of the writing process, and what it left.
    ///
    /// # Errors
    /// A broken promise ([`super::check::Violation`]), or what kept the round from being held.
    pub fn round(&mut self) -> anyhow::Result<Round> {
        self.round += 1;
        let number = self.round;
        let before = (self.ledger.submitted(), self.ledger.acknowledged(), self.check.batches());
        // Of its own, so that what the clock has a say in does not change later lives.
        let mut random = self.random.fork();
        let life = self.draw_life(&mut random);
        let lived = self.live_and_die(&life, &mut random);
        let killed_after = lived.with_context(|| format!("round {number}, {}", life.variant))?;
        let shown = self.follow().with_context(|| format!("round {number}, following"))?;

        let reopening = Instant::now();
        let log = self.reopen(&life, &mut random).with_context(|| format!("round {number}"))?;
        let reopened_in = reopening.elapsed();
        self.opening = reopened_in;
        if let Some(damage) = &log.recovery_report().damage {
            bail!("round {number}: {damage}");
        }
        self.check.go_on(&log, &self.ledger).with_context(|| format!("round {number}"))?;
        if shown > self.check.events() {
            bail!("round {number}: {shown} events were shown, {} are there", self.check.events());
        }

        let acknowledged = self.ledger.acknowledged() - before.1;
        let round = Round {
            number,
            variant: life.variant,
            submitted: self.ledger.submitted() - before.0,
            acknowledged,
            unacknowledged: self.check.batches() - before.2 - acknowledged,
            killed_after,
            reopened_in,
            bytes_cut: log.recovery_report().bytes_cut,
            segments: log.recovery_report().segments,
        };
        log.close().context("the log does not close")?;
        Ok(round)
    }

    /// Checks the whole log once more, from its first event on, with all that was ever said.
    ///
    /// # Errors
    /// As for [`Campaign::round`].
    pub fn check_all(&self) -> anyhow::Result<Check> {
        let log = Log::open_read_only(&self.plan.directory)?;
        let mut check = Check::default();
        check.go_on(&log, &self.ledger)?;
        Ok(check)
    }

    /// What the writers have said.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Looks at what the follower is shown once the writer is dead: whole batches, in order, none that
    /// was not submitted. Gives the number of events.
    fn follow(&mut self) -> anyhow::Result<u64> {
        if self.follower.is_none() && self.ledger.acknowledged() > 0 {
            let log = Log::open_read_only(&self.plan.directory)?;
            self.follower = Some((log, Check::default()));
        }
        let Some((log, check)) = &mut self.follower else { return Ok(0) };
        check.follow(log, &self.ledger)?;
        Ok(check.events())
    }

    fn draw_life(&self, random: &mut fastrand::Rng) -> Life {
        if let Some(variant) = &self.plan.variant {
            return Life { variant: variant.clone(), killed_early: None };
        }
        let variant = Variant::draw(random, &SEGMENT_BYTES);
        // A process needs some time to start, and then opens the log.
        let latest = (STARTING + self.opening * 2).as_nanos() as u64;
        let early = random.u8(..4) == 0;
        let killed_early = early.then(|| Duration::from_nanos(random.u64(..latest)));
        Life { variant, killed_early }
    }

    /// Opens the log after a kill.
    fn reopen(&self, life: &Life, random: &mut fastrand::Rng) -> anyhow::Result<Log> {
        let Plan { directory, leaves_recovery_to_writer, .. } = &self.plan;
        let read_only = *leaves_recovery_to_writer && random.bool();
        // One that had no time to become a log cannot be read.
        let read_only = read_only && self.ledger.acknowledged() > 0;
        let options = life.variant.options();
        let opened = match read_only {
            true => options.open_read_only(directory),
            false => options.open(directory),
        };
        opened.context("the log does not open")
    }

    /// Starts the writer, lets it live for a while, kills it, takes down what it said.
    fn live_and_die(
        &mut self,
        life: &Life,
        random: &mut fastrand::Rng,
    ) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut writer = Writer::start(&self.plan, self.round, &life.variant)?;
        let (heard, first) = mpsc::channel();
        let output = writer.0.stdout.take().ok_or_else(|| anyhow!("the writer has no pipe"))?;
        let listening = thread::spawn(move || listen(output, &heard));

        let death = match life.killed_early {
            Some(after) => started + after,
            None => {
                self.wait_for_first(&first, &mut writer)?;
                let Range { start, end } = self.plan.life;
                let least = start.as_nanos() as u64;
                let nanos = random.u64(least..(end.as_nanos() as u64).max(least + 1));
                Instant::now() + Duration::from_nanos(nanos)
            }
        };
        while let Some(rest) = death.checked_duration_since(Instant::now()) {
            interrupt::check(&self.plan.interrupted)?;
            thread::sleep(rest.min(LOOK_UP));
        }
        let status = writer.kill()?;
        let lived = started.elapsed();
        let messages = listening.join().map_err(|_| anyhow!("the listening thread panicked"))??;
        messages.into_iter().for_each(|message| self.ledger.note(message));
        if !died_by_sigkill(status) {
            bail!("the writer ended by itself ({status})");
        }
        Ok(lived)
    }

    /// Waits for the first acknowledgement of a life.
    fn wait_for_first(
        &self,
        first: &mpsc::Receiver<()>,
        writer: &mut Writer,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + FIRST_ACKNOWLEDGEMENT_MAX;
        loop {
            interrupt::check(&self.plan.interrupted)?;
            match first.recv_timeout(LOOK_UP) {
                Ok(()) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = writer.kill()?;
                    bail!(
                        "the writer ended by itself, before its first acknowledgement ({status})"
                    );
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no acknowledgement within {FIRST_ACKNOWLEDGEMENT_MAX:?}");
                }
            }
        }
    }
}

/// The writing process. Dies with this value, whatever happens.
struct Writer(Child);

impl Writer {
    fn start(plan: &Plan, round: u32, variant: &Variant) -> anyhow::Result<Self> {
        let mut command = Command::new(&plan.executable);
        command.arg("demo-writer").arg("--dir").arg(&plan.directory);
        command.arg("--round").arg(round.to_string());
        command.arg("--threads").arg(plan.threads.to_string()).args(variant.arguments());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", plan.executable.display()))?;
        Ok(Self(child))
    }

    fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.0.kill().context("cannot kill the writer")?;
        self.0.wait().context("cannot wait for the writer")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Already dead, unless an error came in between.
        let _ = self.kill();
    }
}

/// Takes down every line, to the end of the pipe; says when the first acknowledgement has come.
fn listen(output: impl Read, heard: &mpsc::Sender<()>) -> anyhow::Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut acknowledged = false;
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read from the writer")?;
        let message = line.parse();
        let message: Message = message.map_err(|()| anyhow!("the writer said {line:?}"))?;
        if !acknowledged && matches!(message, Message::Acknowledged(_)) {
            acknowledged = true;
            // Nobody waits any more after an error.
            let _ = heard.send(());
        }
        messages.push(message);
    }
    Ok(messages)
}

fn died_by_sigkill(status: ExitStatus) -> bool {
    const SIGKILL: i32 = 9;
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL)
}
