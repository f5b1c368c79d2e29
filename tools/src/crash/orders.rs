//! One caller that places orders on a log whose disk fails, and notes what it was told.
//!
//! Owns: [`Clerk`], [`Durable`] (what may be relied on after a power cut), [`check_stopped`]. The
//! orders, and the check of a log against what was said of it, are the demo's. May call: the engine.
//!
//! Invariant: an order that was certainly not applied is placed again under the same id, so that one
//! that was applied all the same is found twice; one whose outcome is unknown is never placed again.

use quipu::{AppendError, AppendErrorKind, Durability, IoError, Log, Outcome};

use crate::demo::check::Ledger;
use crate::demo::message::{Acknowledgement, Message};
use crate::demo::workload::{Order, OrderId};
use crate::variant::{Acknowledging, Variant};

/// Places orders, one after the other.
#[derive(Debug)]
pub(super) struct Clerk {
    variant: Variant,
    next: OrderId,
}

impl Clerk {
    /// Before its first order. No two clerks of one log have the same round.
    pub(super) fn new(variant: Variant, round: u32) -> Self {
        Self { variant, next: OrderId { round, thread: 0, number: 0 } }
    }

    /// The order that is placed next.
    pub(super) fn next(&self) -> Order {
        let mut order = Order::new(self.next);
        order.durability = self.variant.durability_of(order.durability);
        order
    }

    /// From now on no order waits for the device.
    pub(super) fn buffer(&mut self) {
        self.variant.durability = Acknowledging::Always(Durability::Buffered);
    }

    /// Places the next order. `by_ticket`: hands it over and waits, which makes the writer's threads
    /// do what else may be done on this one.
    pub(super) fn place(
        &mut self,
        log: &Log,
        by_ticket: bool,
        tell: &mut dyn FnMut(Message),
    ) -> Result<(), AppendError> {
        let order = self.next();
        let batch = order.batch(log);
        tell(Message::Submitted(order.id));
        let answer = match by_ticket {
            true => log.submit(batch).and_then(quipu::Ticket::wait),
            false => log.append(batch),
        };
        if answer.as_ref().map_or_else(AppendError::outcome, |_| Outcome::Unknown)
            == Outcome::Unknown
        {
            self.next.number += 1;
        }
        tell(Message::Acknowledged(Acknowledgement::new(order.id, &answer?)));
        Ok(())
    }
}

/// What a caller may rely on, whatever the page cache loses: an order that was acknowledged under
/// `Buffered` counts once a later one was acknowledged under `Sync`.
#[derive(Debug, Default)]
pub(super) struct Durable {
    ledger: Ledger,
    buffered: Vec<Message>,
}

impl Durable {
    /// Notes what was said of an order.
    pub(super) fn note(&mut self, message: Message, durability: Durability) {
        match (&message, durability) {
            (Message::Acknowledged(_), Durability::Buffered) => self.buffered.push(message),
            (Message::Acknowledged(_), Durability::Sync) => {
                self.buffered.drain(..).for_each(|before| self.ledger.note(before));
                self.ledger.note(message);
            }
            _ => self.ledger.note(message),
        }
    }

    /// The device has failed: what was only buffered may be gone.
    pub(super) fn forget_buffered(&mut self) {
        self.buffered.clear();
    }

    /// What must be there.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Checks a log that has told of a failure, `cause`: it takes nothing more, says why, and still gives
/// everything that was durable.
///
/// # Errors
/// What it does instead.
pub(super) fn check_stopped(log: &Log, cause: &IoError) -> Result<(), String> {
    let probe = |durability| {
        let event = quipu::Event::new("Probe", "");
        log.append(quipu::Batch::new().durability(durability).event("probe", event))
    };
    for durability in [Durability::Sync, Durability::Buffered] {
        match probe(durability) {
            Err(AppendError::Poisoned(first)) if first.to_string() == cause.to_string() => {}
            answer => return Err(format!("after {cause:?} an append was answered {answer:?}")),
        }
    }
    match log.sync() {
        Err(error) if error.kind() == AppendErrorKind::Stopped => {}
        answer => return Err(format!("after {cause:?} a sync was answered {answer:?}")),
    }
    let mut next = 0;
    for event in log.read(..log.synced_end()) {
        let event = event.map_err(|error| format!("after {cause:?} a read failed: {error}"))?;
        if event.position().as_u64() != next {
            return Err(format!("after {cause:?} position {next} is not given"));
        }
        next += 1;
    }
    if next != log.synced_end().as_u64() {
        return Err(format!("after {cause:?} reading ends at {next}, before {}", log.synced_end()));
    }
    Ok(())
}

/// The failure that stopped a log, if this error tells of one.
pub(super) fn cause(error: &AppendError) -> Option<&IoError> {
    match error {
        AppendError::OutcomeUnknown(cause) | AppendError::Poisoned(cause) => Some(cause),
        _ => None,
    }
}

/// An error's kind by its name: the variant's.
pub(super) fn name_of(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}
