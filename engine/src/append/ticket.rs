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
    /// Whether the batch may have reached the disk.
    stored: bool,
}

/// What the two halves share.
struct Cell {
    state: Mutex<State>,
}

enum State {
    Waiting(Option<Waker>),
    Answered(Answer),
    Taken,
}

impl Ticket {
    /// A ticket and the responder that answers it.
    pub(crate) fn new() -> (Self, Responder) {
        let cell = Arc::new(Cell { state: Mutex::new(State::Waiting(None)) });
        (Self { cell: Arc::clone(&cell) }, Responder { cell: Some(cell), stored: false })
    }

    /// A ticket that is answered already.
    pub(crate) fn answered(answer: Answer) -> Self {
        Self { cell: Arc::new(Cell { state: Mutex::new(State::Answered(answer)) }) }
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
        !matches!(*self.cell.state.lock(), State::Waiting(_))
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
    /// From here on the batch may have reached the disk.
    pub(crate) fn mark_stored(&mut self) {
        self.stored = true;
    }

    /// Answers a whole group: all results, then all wake-ups.
    pub(crate) fn answer_all(answers: impl IntoIterator<Item = (Self, Answer)>) {
        let answers = answers.into_iter();
        let mut wakers = Vec::with_capacity(answers.size_hint().0);
        for (mut responder, answer) in answers {
            wakers.extend(responder.put(answer));
        }
        wakers.into_iter().for_each(wake);
    }

    /// Stores the answer; gives the waker of whoever waits already.
    fn put(&mut self, answer: Answer) -> Option<Waker> {
        let cell = self.cell.take()?;
        let mut state = cell.state.lock();
        match std::mem::replace(&mut *state, State::Answered(answer)) {
            State::Waiting(waker) => waker,
            State::Answered(_) | State::Taken => None,
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let error = if self.stored {
            let gone = std::io::Error::other("the writer stopped before it could answer");
            AppendError::OutcomeUnknown(IoError::new("append to", "the log", gone))
        } else {
            AppendError::Closed
        };
        if let Some(waker) = self.put(Err(error)) {
            wake(waker);
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("stored", &self.stored).finish_non_exhaustive()
    }
}

impl Cell {
    /// Takes the answer, or leaves `waker` to be woken when there is one.
    fn take_or_register(&self, waker: &Waker) -> Option<Answer> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Waiting(registered) => {
                match registered {
                    Some(registered) => registered.clone_from(waker),
                    None => *registered = Some(waker.clone()),
                }
                None
            }
            State::Answered(_) => match std::mem::replace(&mut *state, State::Taken) {
                State::Answered(answer) => Some(answer),
                State::Waiting(_) | State::Taken => None,
            },
            State::Taken => Some(Err(AppendError::AnswerTaken)),
        }
    }
}

/// Wakes whoever waits. A waker is its executor's code, run on the writer's thread: if it panics,
/// that must not take the writer, or the neighbours' wake-ups, with it.
fn wake(waker: Waker) {
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

    fn committed(position: u64) -> Answer {
        Ok(Committed::nothing(Position::new(position), CommitTime::ZERO))
    }

    #[test]
    fn an_answer_reaches_one_who_waits_already_and_one_who_comes_late() {
        let (early, early_responder) = Ticket::new();
        let (late, late_responder) = Ticket::new();
        let waiting = thread::spawn(move || early.wait().unwrap().first_position());
        Responder::answer_all([(early_responder, committed(1)), (late_responder, committed(2))]);
        assert_eq!(waiting.join().unwrap(), Position::new(1));
        assert_eq!(late.wait().unwrap().first_position(), Position::new(2));
    }

    #[test]
    fn a_responder_that_is_dropped_says_whether_the_batch_may_be_there() {
        let (ticket, responder) = Ticket::new();
        drop(responder);
        assert!(matches!(ticket.wait(), Err(AppendError::Closed)));

        let (ticket, mut responder) = Ticket::new();
        responder.mark_stored();
        drop(responder);
        assert_eq!(ticket.wait().unwrap_err().outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_wait_that_runs_out_gives_the_ticket_back() {
        let (ticket, responder) = Ticket::new();
        let ticket = ticket.wait_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(!ticket.is_answered());
        Responder::answer_all([(responder, committed(3))]);
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
        Responder::answer_all([(responder, committed(4))]);
        assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert!(Pin::new(&mut ticket).poll(&mut context).is_ready());
        let again = Pin::new(&mut ticket).poll(&mut context);
        assert!(matches!(again, Poll::Ready(Err(AppendError::AnswerTaken))));
    }
}
