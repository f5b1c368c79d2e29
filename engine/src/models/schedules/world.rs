//! A disk, a log on it with its threads, and callers that draw what they do.
//!
//! Owns: [`World`], [`Caller`]. A model opens a world, lets threads loose on it, and ends it; the
//! end closes the log, opens it again and has the witness judge.

use std::sync::Arc;
use std::time::Duration;

use shuttle::{future, thread};

use super::payload::Payload;
use super::witness::{Witness, history};
use super::{coin, draw};
use crate::append::receipt::Receipt;
use crate::append::ticket::Ticket;
use crate::environment::Environment;
use crate::error::AppendError;
use crate::sim::{SimDisk, Survivors};
use crate::{Batch, Durability, Event, Log, LogId, Options};

/// What the threads of a model share. Clones share one world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) log: Log,
    pub(super) witness: Arc<Witness>,
}

/// The least that a log can be given: its segments hold a few events.
pub(super) fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

impl World {
    /// An empty disk, and a new log on it with its writer's threads and the one that prepares
    /// segments.
    pub(super) fn open(options: Options) -> Self {
        let disk = SimDisk::new(1);
        let environment = Environment::Repeatable {
            ticks: std::sync::atomic::AtomicU64::new(1),
            log_id: LogId::from_bytes([1; 16]),
        };
        options.check().unwrap();
        let log = Log::open_on(Arc::new(disk.clone()), options, environment, false).unwrap();
        let witness = Arc::new(Witness::new(&disk));
        Self { disk, log, witness }
    }

    /// Runs `body` on a thread of its own, with a handle of its own.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        body: impl FnOnce(&World) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let world = self.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || body(&world)).unwrap()
    }

    /// Runs `body` with a caller on a thread of its own.
    pub(super) fn spawn_caller<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl FnOnce(&mut Caller<'_>) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        self.spawn(name, move |world| body(&mut world.caller(name)))
    }

    /// Reads all there is, so many times, on a thread of its own.
    pub(super) fn spawn_reader(&self, times: usize) -> thread::JoinHandle<()> {
        self.spawn("reader", move |world| (0..times).for_each(|_| world.witness.read(&world.log)))
    }

    /// A caller of this name.
    pub(super) fn caller(&self, name: &'static str) -> Caller<'_> {
        Caller { world: self, name, number: 0, tickets: Vec::new() }
    }

    /// Syncs, and holds the log to the answer.
    pub(super) fn sync(&self) -> Result<(), AppendError> {
        let before = self.log.end();
        let end = self.log.sync()?;
        assert!(end >= before, "all below {before} was visible, the sync speaks of {end}");
        self.witness.durable_below(end);
        Ok(())
    }

    /// Closes the log, opens it again, with the power on or after a power cut, and has everything
    /// judged by what is found. To be called when all other threads have ended.
    pub(super) fn end(self) {
        let Self { disk, log, witness } = self;
        witness.read(&log);
        let closed = log.close();
        disk.heal();
        if closed.is_err() {
            let log = Log::open_simulated(&disk, options()).unwrap();
            witness.judge(&history(&log));
            log.append(Batch::new().event("s", Event::new("T", "after the failure"))).unwrap();
            return;
        }
        let left = disk.if_rebooted(&Survivors::None);
        let log = Log::open_simulated_read_only(&left, options()).unwrap();
        assert_eq!(log.synced_end(), log.end(), "closed, but not noted that all is durable");
        let log = Log::open_simulated(&left, options()).unwrap();
        let report = log.recovery_report();
        let mended = report.bytes_cut > 0 || report.seals_made_again > 0;
        assert!(report.clean_close && !mended, "closed, but found {report:?}");
        witness.judge(&history(&log));
    }
}

/// Appends one batch after the other, each with the caller's name and a number.
pub(super) struct Caller<'a> {
    pub(super) world: &'a World,
    name: &'static str,
    number: u64,
    tickets: Vec<(Payload, Ticket)>,
}

impl Caller<'_> {
    /// Appends in a way that is drawn: one event or two, of either durability, waiting or not, to
    /// the caller's own stream or a shared one, with or without an expectation.
    pub(super) fn append_somehow(&mut self) {
        let durability = if coin() { Durability::Sync } else { Durability::Buffered };
        let stream = if coin() { self.name } else { "shared" };
        let (first, mut batch) = self.batch(stream, durability, draw(1..3) as u64, "");
        let log = &self.world.log;
        if coin() {
            batch = batch.expect("shared", log.expect_unchanged("shared"));
        }
        if coin() {
            self.world.witness.answered(first, &log.append(batch));
        } else {
            self.tickets.push((first, log.submit(batch).unwrap()));
        }
    }

    /// Appends an event of either durability, so large that a segment holds two, and waits.
    pub(super) fn append_large(&mut self) -> Result<Receipt, AppendError> {
        let durability = if coin() { Durability::Sync } else { Durability::Buffered };
        self.append_filled(durability, &"x".repeat(1_700))
    }

    /// Appends an event and waits.
    pub(super) fn append(&mut self, durability: Durability) -> Result<Receipt, AppendError> {
        self.append_filled(durability, "")
    }

    /// Appends an event of a length and waits.
    pub(super) fn append_filled(
        &mut self,
        durability: Durability,
        filling: &str,
    ) -> Result<Receipt, AppendError> {
        let (first, batch) = self.batch(self.name, durability, 1, filling);
        let answer = self.world.log.append(batch);
        self.world.witness.answered(first, &answer);
        answer
    }

    /// Submits an event.
    pub(super) fn submit(&mut self, durability: Durability) {
        let (first, batch) = self.batch(self.name, durability, 1, "");
        self.tickets.push((first, self.world.log.submit(batch).unwrap()));
    }

    /// Waits for all that was submitted, in every way there is.
    pub(super) fn wait(&mut self) {
        for (first, mut ticket) in self.tickets.drain(..) {
            let answer = match draw(0..3) {
                0 => ticket.wait(),
                1 => future::block_on(ticket),
                _ => loop {
                    match ticket.wait_timeout(Duration::from_millis(1)) {
                        Ok(answer) => break answer,
                        Err(unanswered) => ticket = unanswered,
                    }
                },
            };
            self.world.witness.answered(first, &answer);
        }
    }

    /// The next batch, of `count` events in `stream`, and its first event.
    fn batch(
        &mut self,
        stream: &str,
        durability: Durability,
        count: u64,
        filling: &str,
    ) -> (Payload, Batch) {
        let (caller, number) = (self.name.to_owned(), self.number);
        let filling = filling.to_owned();
        self.number += 1;
        let first = Payload { caller, number, durability, place: 1, count, filling };
        let mut batch = Batch::new().durability(durability);
        for place in 1..=count {
            let payload = Payload { place, ..first.clone() };
            batch = batch.event(stream, Event::new("T", payload.to_string()));
        }
        (first, batch)
    }
}

/// What the threads answer.
pub(super) fn join<T>(threads: impl IntoIterator<Item = thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
