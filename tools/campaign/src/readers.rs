//! Readers beside the log's writer: one in a process of its own, which follows it, and a subscriber whose
//! place is kept over crashes.
//!
//! Owns: [`Readers`]. May call: check, the model, the engine on the simulated disk. The reader in
//! another process lives until the machine goes down, over kills and returns of the writer. What it
//! has shown must be there after any power cut; what a writer without mishaps has made durable it must
//! show. The subscriber goes on from the last position that it has handled and knows to be durable.

use std::time::Duration;

use quipu::sim::{SimDisk, Survivors};
use quipu::{Delivery, Log, Options, Position, ReadError, Subscription};

use crate::check::{found, thorough};
use crate::coverage::{Coverage, Row};
use crate::model::Model;
use crate::violation::Violation;

/// Who reads beside the writer.
#[derive(Debug, Default)]
pub struct Readers {
    beside: Option<Beside>,
    /// Where the subscriber goes on.
    handled: Position,
    /// The subscription of this life.
    subscription: Option<Subscription>,
}

/// A reader in a process of its own.
#[derive(Debug)]
struct Beside {
    log: Log,
    subscription: Subscription,
    /// Behind the last event that was delivered.
    delivered: Position,
}

impl Readers {
    /// The log was opened by its writer.
    ///
    /// # Errors
    /// What cannot be.
    pub fn opened(
        &mut self,
        disk: &SimDisk,
        writer: &Log,
        options: &Options,
    ) -> Result<(), Violation> {
        if self.handled > writer.end() {
            let (handled, end) = (self.handled, writer.end());
            return Err(wrong(format!("durable up to {handled} once, and ends at {end}")));
        }
        // Where it was left behind it has to begin anew.
        self.handled = self.handled.max(writer.first_available());
        self.subscription = Some(writer.subscribe(self.handled).start());
        if self.beside.is_none() {
            let opened = Log::open_simulated_read_only(&disk.beside(), options.clone());
            let log = opened.map_err(|error| Violation::Refused(error.to_string()))?;
            let first = log.first_available();
            let subscription = log.subscribe(first).start();
            self.beside = Some(Beside { log, subscription, delivered: first });
        }
        Ok(())
    }

    /// Something was done. `calm`: no call of this life is made to fail.
    ///
    /// # Errors
    /// What is shown and not durable, durable and not shown, given twice or left out.
    pub fn look(
        &mut self,
        disk: &SimDisk,
        (writer, model): (&Log, &Model),
        calm: bool,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        if let Some(subscription) = &mut self.subscription {
            let from = self.handled;
            let given = deliver(writer, subscription, from, (model, coverage))?;
            if given != writer.end() {
                return Err(wrong(format!("given up to {given}, readers see {}", writer.end())));
            }
            // What is visible and not durable may be gone tomorrow: it is asked for once more.
            self.handled = given.min(writer.synced_end()).max(from);
            if self.handled < given {
                *subscription = writer.subscribe(self.handled).start();
            }
        }
        let Some(beside) = &mut self.beside else { return Ok(()) };
        let before = beside.delivered;
        let shown = beside.look(model, coverage)?;
        let synced = writer.synced_end();
        if calm && shown < synced {
            return Err(wrong(format!("a reader beside it sees {shown} of {synced} durable")));
        }
        if shown > before && shown == synced {
            coverage.count(Row { table: "follow", name: "at once", branch: "" });
        }
        if shown > before && shown.as_u64() > model.end_of(model.durable()) {
            // More than the model knows of: the disk has the last word.
            coverage.count(Row { table: "follow", name: "before it was answered", branch: "" });
            let left = disk.if_rebooted(&Survivors::None);
            left.set_capacity(None);
            let opened = Log::open_simulated(&left, Log::options().segment_bytes(8 << 10));
            let end = opened.map_err(|error| Violation::Refused(error.to_string()))?.end();
            left.crash();
            if end < shown {
                return Err(wrong(format!("shown up to {shown}, a power cut leaves {end}")));
            }
        }
        Ok(())
    }

    /// The front was dropped, below one who has not read it: `from` is where that one stands.
    ///
    /// # Errors
    /// What it is not told, or not given behind that.
    pub fn left_behind(
        writer: &Log,
        subscription: &mut Subscription,
        from: Position,
        told: (&Model, &mut Coverage),
    ) -> Result<(), Violation> {
        let given = deliver(writer, subscription, from, told)?;
        match given == writer.end() {
            true => Ok(()),
            false => Err(wrong(format!("left behind, and given up to {given}"))),
        }
    }

    /// The writer has ended. `machine_up`: the power is still on.
    ///
    /// # Errors
    /// What is not as the log was.
    pub fn writer_ended(
        &mut self,
        model: &Model,
        machine_up: bool,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        self.subscription = None;
        if !machine_up {
            self.beside = None;
            return Ok(());
        }
        let Some(beside) = &mut self.beside else { return Ok(()) };
        beside.look(model, coverage)?;
        let count = found(&beside.log, model, 0)?;
        thorough(&beside.log, model, count)?;
        coverage.count(Row { table: "follow", name: "over the writer's end", branch: "" });
        Ok(())
    }
}

impl Beside {
    /// Looks, and reads all there is. Gives the end.
    fn look(&mut self, model: &Model, coverage: &mut Coverage) -> Result<Position, Violation> {
        let shown = self.log.end();
        if shown > self.delivered || shown == Position::ZERO {
            found(&self.log, model, 0)?;
        }
        let Self { log, subscription, delivered } = self;
        let given = deliver(log, subscription, *delivered, (model, coverage))?;
        if given != shown {
            return Err(wrong(format!("beside: given up to {given}, shown up to {shown}")));
        }
        self.delivered = given;
        Ok(shown)
    }
}

/// Takes all that a subscription has, each event once and in order. Gives where it ends. One that lags
/// behind what was dropped is told so, and is begun anew.
fn deliver(
    log: &Log,
    subscription: &mut Subscription,
    from: Position,
    (model, coverage): (&Model, &mut Coverage),
) -> Result<Position, Violation> {
    let mut expected = from;
    while let Ok(next) = subscription.next_timeout(Duration::ZERO) {
        let delivery = next.ok_or_else(|| wrong("a subscription has ended".to_owned()))?;
        if let Err(error @ ReadError::Truncated { first_available }) = &delivery
            && expected < *first_available
            && *first_available == log.first_available()
        {
            coverage.not_read(error);
            expected = *first_available;
            *subscription = log.subscribe(expected).start();
            continue;
        }
        let delivery = delivery.map_err(|error| wrong(format!("a subscription: {error}")))?;
        let Delivery::Event(event) = delivery else { continue };
        let at = event.position();
        let payload = model.payload_at(at.as_u64());
        if at != expected || payload != Some(event.payload()) {
            return Err(wrong(format!("a subscription gives {at} in the place of {expected}")));
        }
        expected = at.plus(1);
    }
    Ok(expected)
}

fn wrong(what: String) -> Violation {
    Violation::Reading(what)
}
