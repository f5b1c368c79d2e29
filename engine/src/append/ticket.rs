//! The answer to an append that is under way.
//!
//! Owns: [`Ticket`] (the caller's half) and [`Responder`] (the writer's half). Calls nothing.
//!
//! Invariants:
//! - Every ticket is answered exactly once: a responder that is dropped unanswered answers by
//!   itself, with `Closed` if the batch was never looked at, and with `OutcomeUnknown` if it was.
//! - A group is answered in two passes, results first, wake-ups second, so that those who wake do
//!   not meet a writer that still holds on to their neighbours.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::batch::PreparedBatch;
use super::group::Staged;
use super::receipt::{Committed, Receipt};
use crate::error::{AppendError, IoError};
use crate::sync::thread::{self, Thread};
use crate::sync::{Instant, Mutex, thread_local};

/// What the writer answers.
pub(crate) type Answer = Result<Committed, AppendError>;

/// The answer to a submitted batch, to be waited for: blocking, or as a future on any runtime.
///
/// Dropping a ticket does not take the batch back.
#[must_use = "whether the batch was committed is only known from its ticket"]
pub struct Ticket {
    cell: Arc<Cell>,
}

/// The writer's half of a [`Ticket`].
pub(crate) struct Responder {
    /// `None` once answered.
    cell: Option<Arc<Cell>>,
}

/// What the two halves share: the batch on its way in, and the answer on its way back. One
/// allocation for both, made and freed by the caller's thread.
struct Cell {
    state: Mutex<State>,
}

struct State {
    step: Step,
    waker: Option<Waker>,
}

/// How far it has come.
#[allow(clippy::large_enum_variant)] // it is the batch that nearly every ticket is made for
enum Step {
    /// Handed over; `None`: not a batch but a sync, or the close.
    Submitted(Option<PreparedBatch>),
    /// The writer is at it: it may reach the disk.
    Taken,
    /// What the answer will be, if its group becomes durable.
    Staged(Staged),
    Answered(Answer),
    /// Answered, and the answer fetched.
    Fetched,
}

impl Ticket {
    /// A ticket and the responder that answers it, for a batch.
    pub(crate) fn for_batch(batch: PreparedBatch) -> (Self, Responder) {
        Self::pair(Some(batch))
    }

    /// A ticket and the responder that answers it.
    pub(crate) fn new() -> (Self, Responder) {
        Self::pair(None)
    }

    fn pair(batch: Option<PreparedBatch>) -> (Self, Responder) {
        let cell = Arc::new(Cell::at(Step::Submitted(batch)));
        (Self { cell: Arc::clone(&cell) }, Responder { cell: Some(cell) })
    }

    /// A ticket that is answered already.
    pub(crate) fn answered(answer: Answer) -> Self {
        Self { cell: Arc::new(Cell::at(Step::Answered(answer))) }
    }

    /// Blocks until the batch is committed, or known not to be.
    ///
    /// # Errors
    /// [`AppendError`] says whether the batch may be in the log after all.
    pub fn wait(self) -> Result<Receipt, AppendError> {
        self.wait_for_answer().map(Receipt::from)
    }

    /// As [`Ticket::wait`], without making a receipt.
    pub(crate) fn wait_for_answer(self) -> Answer {
        with_thread_waker(|waker| {
            loop {
                if let Some(answer) = self.cell.take_or_register(waker) {
                    return answer;
                }
                thread::park();
            }
        })
    }

    /// As [`Ticket::wait`], for at most `timeout`; then gives the ticket back.
    ///
    /// # Errors
    /// The ticket, if there is no answer yet.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<Receipt, AppendError>, Self> {
        let deadline = Instant::now().checked_add(timeout);
        with_thread_waker(|waker| {
            loop {
                if let Some(answer) = self.cell.take_or_register(waker) {
                    return Ok(answer.map(Receipt::from));
                }
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    Some(Duration::ZERO) => return Err(()),
                    Some(rest) => thread::park_timeout(rest),
                    None => thread::park(),
                }
            }
        })
        .map_err(|()| self)
    }

    /// Whether there is an answer.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        matches!(self.cell.state.lock().step, Step::Answered(_) | Step::Fetched)
    }
}

impl Future for Ticket {
    type Output = Result<Receipt, AppendError>;

    /// Polled again after it was ready, it answers [`AppendError::AnswerTaken`].
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.cell.take_or_register(context.waker()) {
            Some(answer) => Poll::Ready(answer.map(Receipt::from)),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("is_answered", &self.is_answered()).finish()
    }
}

impl Responder {
    /// The batch; from here on it may reach the disk.
    pub(crate) fn take_batch(&mut self) -> Option<PreparedBatch> {
        let mut state = self.cell.as_ref()?.state.lock();
        match std::mem::replace(&mut state.step, Step::Taken) {
            Step::Submitted(batch) => batch,
            _ => None,
        }
    }

    /// Keeps what the answer will be, if the group becomes durable.
    pub(crate) fn stage(&mut self, staged: Staged) {
        if let Some(cell) = &self.cell {
            cell.state.lock().step = Step::Staged(staged);
        }
    }

    /// Answers a whole group, of which it is known whether it is durable: all results, then all
    /// wake-ups.
    pub(crate) fn answer_all(group: Vec<Self>, durable: &Result<(), IoError>) {
        let mut wakers = Vec::new();
        for mut responder in group {
            wakers.extend(responder.put(|staged| match staged {
                Some(staged) => staged.told(durable),
                None => Err(unanswered()),
            }));
        }
        wakers.into_iter().for_each(wake);
    }

    /// Answers one whose answer depends on no group.
    pub(crate) fn answer(mut self, answer: Answer) {
        self.put(|_| answer).into_iter().for_each(wake);
    }

    /// Makes the answer of what was staged; gives the waker of whoever waits already.
    fn put(&mut self, answer: impl FnOnce(Option<Staged>) -> Answer) -> Option<Waker> {
        let cell = self.cell.take()?;
        let mut state = cell.state.lock();
        let staged = match std::mem::replace(&mut state.step, Step::Fetched) {
            Step::Staged(staged) => Some(staged),
            _ => None,
        };
        state.step = Step::Answered(answer(staged));
        state.waker.take()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let Some(cell) = &self.cell else { return };
        let untouched = matches!(cell.state.lock().step, Step::Submitted(_));
        let error = if untouched { AppendError::Closed } else { unanswered() };
        self.put(|_| Err(error)).into_iter().for_each(wake);
    }
}

/// What a caller is told whose batch was looked at, by a writer that did not come to its answer.
fn unanswered() -> AppendError {
    let gone = std::io::Error::other("the writer stopped before it could answer");
    AppendError::OutcomeUnknown(IoError::new("append to", "the log", gone))
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

impl Cell {
    fn at(step: Step) -> Self {
        Self { state: Mutex::new(State { step, waker: None }) }
    }

    /// Takes the answer, or leaves `waker` to be woken when there is one.
    fn take_or_register(&self, waker: &Waker) -> Option<Answer> {
        let mut state = self.state.lock();
        match &state.step {
            Step::Submitted(_) | Step::Taken | Step::Staged(_) => {
                match &mut state.waker {
                    Some(registered) => registered.clone_from(waker),
                    None => state.waker = Some(waker.clone()),
                }
                None
            }
            Step::Answered(_) => match std::mem::replace(&mut state.step, Step::Fetched) {
                Step::Answered(answer) => Some(answer),
                _ => None,
            },
            Step::Fetched => Some(Err(AppendError::AnswerTaken)),
        }
    }
}

/// Wakes whoever waits. A waker is its executor's code, run on the writer's thread: if it panics,
/// that must not take the writer, or the neighbours' wake-ups, with it.
pub(crate) fn wake(waker: Waker) {
    // Its message has been printed by the panic hook; there is nobody here to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// Wakes a parked thread.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `wait` with the waker of this thread, which is made once a thread.
fn with_thread_waker<T>(wait: impl FnOnce(&Waker) -> T) -> T {
    thread_local! {
        static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
    }
    let make = || Waker::from(Arc::new(ThreadWaker(thread::current())));
    // A log that is dropped with its thread may be closed when what the thread kept is gone.
    let kept = WAKER.try_with(|kept| kept.borrow_mut().get_or_insert_with(make).clone());
    let waker = kept.unwrap_or_else(|_| make());
    wait(&waker)
}

#[cfg(test)]
mod tests {
    use quipu_format::{CommitTime, Position};

    use super::*;
    use crate::error::Outcome;

    /// Stages a commit at this position.
    fn staged(mut responder: Responder, position: u64) -> Responder {
        let answer = Ok(Committed::nothing(Position::new(position), CommitTime::ZERO));
        responder.stage(Staged { answer, stored: false });
        responder
    }

    #[test]
    fn an_answer_reaches_one_who_waits_already_and_one_who_comes_late() {
        let (early, early_responder) = Ticket::new();
        let (late, late_responder) = Ticket::new();
        let waiting = thread::spawn(move || early.wait().unwrap().first_position());
        Responder::answer_all(vec![staged(early_responder, 1), staged(late_responder, 2)], &Ok(()));
        assert_eq!(waiting.join().unwrap(), Position::new(1));
        assert_eq!(late.wait().unwrap().first_position(), Position::new(2));
    }

    #[test]
    fn a_responder_that_is_dropped_says_whether_the_batch_may_be_there() {
        let (ticket, responder) = Ticket::new();
        drop(responder);
        assert!(matches!(ticket.wait(), Err(AppendError::Closed)));

        let (ticket, mut responder) = Ticket::new();
        assert!(responder.take_batch().is_none(), "it is for no batch");
        drop(responder);
        assert_eq!(ticket.wait().unwrap_err().outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_wait_that_runs_out_gives_the_ticket_back() {
        let (ticket, responder) = Ticket::new();
        let ticket = ticket.wait_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(!ticket.is_answered());
        Responder::answer_all(vec![staged(responder, 3)], &Ok(()));
        let receipt = ticket.wait_timeout(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(receipt.first_position(), Position::new(3));
    }

    #[test]
    fn a_future_is_woken_once_there_is_an_answer() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let count = Arc::new(Count(std::sync::atomic::AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let (mut ticket, responder) = Ticket::new();
        assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
        assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
        Responder::answer_all(vec![staged(responder, 4)], &Ok(()));
        assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert!(Pin::new(&mut ticket).poll(&mut context).is_ready());
        let again = Pin::new(&mut ticket).poll(&mut context);
        assert!(matches!(again, Poll::Ready(Err(AppendError::AnswerTaken))));
    }
}
