//! A subscription under way.
//!
//! Owns: [`Subscription`] (an iterator that blocks, and a stream for futures), [`Canceller`]. May
//! call: source, notifier.
//!
//! Invariants:
//! - Events come in the order of the log, each once.
//! - The end comes after all that was committed before the log was closed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quipu_format::Position;

use super::Delivery;
use super::notifier::{Notifier, WakerPlace};
use super::source::{Found, Live, Source};
use crate::error::ReadError;
use crate::sync::Instant;
use crate::sync::atomic::{AtomicBool, Ordering};

/// History, then [`Delivery::CaughtUp`], then every event as it is committed.
///
/// As an iterator it blocks until there is something to give, and ends when it is cancelled, when the
/// log is closed and everything before that has been given, or after an error. It is a
/// `futures::Stream` too, that needs no particular runtime. On a log that is open for reading only it
/// follows the writer in another process, whether there is one yet or not, from one writer to the next; it
/// ends once it has caught up only if the log is damaged.
///
/// It holds the parts of the log that it reads, and does not keep the log open.
#[derive(Debug)]
#[must_use = "a subscription gives nothing until it is asked"]
pub struct Subscription {
    live: Live,
    source: Source,
    progress_every: u64,
    /// All below has been told of: an event behind it, or progress.
    told: Position,
    caught_up: bool,
    ended: bool,
    cancelled: Arc<AtomicBool>,
    place: Option<WakerPlace>,
}

/// Ends a subscription from anywhere.
#[derive(Debug, Clone)]
pub struct Canceller {
    cancelled: Arc<AtomicBool>,
    notifier: Arc<Notifier>,
}

/// Nothing came in time; more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing came for the subscription in time")]
pub struct NothingYet;

/// What there is to do.
enum Step {
    Give(Result<Delivery, ReadError>),
    Wait,
    End,
}

impl Subscription {
    pub(crate) fn new(live: Live, source: Source, progress_every: u64) -> Self {
        Self {
            live,
            told: source.position(),
            source,
            progress_every,
            caught_up: false,
            ended: false,
            cancelled: Arc::new(AtomicBool::new(false)),
            place: None,
        }
    }

    /// A handle that ends this subscription, from any thread: it gives nothing any more.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            cancelled: Arc::clone(&self.cancelled),
            notifier: Arc::clone(&self.live.notifier),
        }
    }

    /// As the iterator's `next`, but waits for at most `timeout`; zero does not wait at all. `Ok(None)`
    /// is the end.
    ///
    /// # Errors
    /// [`NothingYet`], if nothing came in time.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<Result<Delivery, ReadError>>, NothingYet> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            match self.step() {
                Step::Give(item) => return Ok(Some(item)),
                Step::End => return Ok(None),
                Step::Wait if !self.wait(deadline) => return Err(NothingYet),
                Step::Wait => {}
            }
        }
    }

    /// Waits until there is something to do. `false`: the deadline came.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let Self { live, source, cancelled, .. } = self;
        let position = source.position();
        live.notifier.wait(deadline, || {
            let is_over = live.end() > position
                || live.notifier.is_closed()
                || live.has_failed()
                || cancelled.load(Ordering::Acquire);
            if !is_over {
                live.have_looked();
            }
            is_over
        })
    }

    fn step(&mut self) -> Step {
        loop {
            if self.ended || self.cancelled.load(Ordering::Acquire) {
                self.ended = true;
                return Step::End;
            }
            // Before the look at what is there: what was committed before the close is found then.
            let closed = self.live.notifier.is_closed() || !self.live.grows;
            let found = match self.source.next(&self.live) {
                Ok(found) => found,
                Err(error) => {
                    self.ended = true;
                    return Step::Give(Err(error));
                }
            };
            let position = self.source.position();
            if matches!(found, Found::End) {
                self.live.look();
                if self.live.end() > position {
                    continue;
                }
                if let Some(error) = self.live.failure() {
                    self.ended = true;
                    return Step::Give(Err(error));
                }
            }
            match found {
                Found::Event(event) => {
                    self.told = event.position().plus(1);
                    return Step::Give(Ok(Delivery::Event(event)));
                }
                Found::End if !self.caught_up => {
                    (self.caught_up, self.told) = (true, position);
                    return Step::Give(Ok(Delivery::CaughtUp { position }));
                }
                Found::More | Found::End if self.owes_progress(position) => {
                    self.told = position;
                    return Step::Give(Ok(Delivery::Progress { position }));
                }
                Found::More => {}
                Found::End if closed => self.ended = true,
                Found::End => return Step::Wait,
            }
        }
    }

    fn owes_progress(&self, position: Position) -> bool {
        position.as_u64().saturating_sub(self.told.as_u64()) >= self.progress_every
    }
}

impl Iterator for Subscription {
    type Item = Result<Delivery, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Step::Give(item) => return Some(item),
                Step::End => return None,
                Step::Wait => {
                    self.wait(None);
                }
            }
        }
    }
}

impl futures_core::Stream for Subscription {
    type Item = Result<Delivery, ReadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut registered = false;
        loop {
            match this.step() {
                Step::Give(item) => return Poll::Ready(Some(item)),
                Step::End => return Poll::Ready(None),
                Step::Wait if registered => return Poll::Pending,
                Step::Wait => {
                    // And then look again: something may have come in between.
                    this.live.notifier.register(&mut this.place, context.waker());
                    this.live.have_looked();
                    registered = true;
                }
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.notifier.forget(self.place.take());
    }
}

impl Canceller {
    /// Ends the subscription: whoever waits in it comes back, and it gives nothing any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.notifier.notify();
    }
}
