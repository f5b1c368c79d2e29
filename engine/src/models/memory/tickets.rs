//! An answer and the one who waits for it never miss each other. A wake-up that is lost leaves a
//! thread parked for good, which the checker finds.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, Thread};
use quipu_format::{CommitTime, Position};

use super::{Cells, check};
use crate::append::group::Staged;
use crate::append::receipt::Committed;
use crate::append::ticket::{Responder, Ticket};
use crate::error::AppendError;

/// Stages a commit at this position.
fn staged(mut responder: Responder, position: u64) -> Responder {
    let answer = Ok(Committed::nothing(Position::new(position), CommitTime::ZERO));
    responder.stage(Staged { answer, stored: false });
    responder
}

/// Answers with a commit at this position.
fn commit(responder: Responder, position: u64) {
    Responder::answer_all(vec![staged(responder, position)], &Ok(()));
}

/// Counts how often it is woken, and wakes the thread that made it.
struct Count {
    wakes: AtomicUsize,
    thread: Thread,
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

#[test]
fn an_answer_and_a_wait_never_miss_each_other() {
    check(|| {
        let (ticket, responder) = Ticket::new();
        let stored = Cells::new(1);
        let answering = thread::spawn({
            let stored = Arc::clone(&stored);
            move || {
                stored.fill(0, 1);
                commit(responder, 1);
            }
        });
        assert_eq!(ticket.wait().unwrap().first_position(), Position::new(1));
        stored.assert_filled_below(1, "stored before the answer");
        answering.join().unwrap();
    });
}

#[test]
fn each_of_a_group_is_woken_with_its_own_answer() {
    check(|| {
        let (first, first_responder) = Ticket::new();
        let (second, second_responder) = Ticket::new();
        let waiting = thread::spawn(move || second.wait().unwrap().first_position());
        let answering = thread::spawn(move || {
            let group = vec![staged(first_responder, 1), staged(second_responder, 2)];
            Responder::answer_all(group, &Ok(()));
        });
        assert_eq!(first.wait().unwrap().first_position(), Position::new(1));
        assert_eq!(waiting.join().unwrap(), Position::new(2));
        answering.join().unwrap();
    });
}

#[test]
fn a_responder_that_is_dropped_wakes_whoever_waits() {
    check(|| {
        let (ticket, responder) = Ticket::new();
        let dropping = thread::spawn(move || drop(responder));
        assert!(matches!(ticket.wait(), Err(AppendError::Closed)));
        dropping.join().unwrap();
    });
}

#[test]
fn a_future_is_woken_once_and_never_left_asleep() {
    check(|| {
        let (ticket, responder) = Ticket::new();
        let answering = thread::spawn(move || commit(responder, 1));
        let count = Arc::new(Count { wakes: AtomicUsize::new(0), thread: thread::current() });
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut ticket = pin!(ticket);
        let mut polls = 1;
        let receipt = loop {
            if let Poll::Ready(answer) = ticket.as_mut().poll(&mut context) {
                break answer.unwrap();
            }
            polls += 1;
            thread::park();
        };
        answering.join().unwrap();
        assert_eq!(receipt.first_position(), Position::new(1));
        assert!(polls <= 2, "one wake-up is enough");
        assert_eq!(count.wakes.load(Ordering::SeqCst), polls - 1, "it is told if it has waited");
        let again = ticket.as_mut().poll(&mut context);
        assert!(matches!(again, Poll::Ready(Err(AppendError::AnswerTaken))));
    });
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    check(|| {
        let (ticket, responder) = Ticket::new();
        let answering = thread::spawn(move || commit(responder, 1));
        let mut ticket = Box::pin(ticket);
        let nobody = Waker::noop();
        // Polled on one task, then moved to a thread that waits for it.
        let pending = ticket.as_mut().poll(&mut Context::from_waker(nobody)).is_pending();
        if pending {
            let ticket = *std::pin::Pin::into_inner(ticket);
            assert_eq!(ticket.wait().unwrap().first_position(), Position::new(1));
        }
        answering.join().unwrap();
    });
}
