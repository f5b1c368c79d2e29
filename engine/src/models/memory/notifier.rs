//! Nobody sleeps through a change: whoever waits for the end to move is woken once it has.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::thread::{self, Thread};
use quipu_format::Position;

use super::check;
use crate::subscribe::notifier::Notifier;
use crate::watermark::{Reach, Watermarks};

fn marks() -> (Arc<Watermarks>, Arc<Notifier>) {
    let marks = Watermarks::new(Position::ZERO, Position::ZERO);
    (Arc::new(marks), Arc::new(Notifier::default()))
}

fn publish(marks: &Watermarks, notifier: &Notifier, end: u64) {
    marks.write(Reach { position: Position::new(end), frames: end });
    marks.publish(Position::new(end));
    notifier.notify();
}

#[test]
fn a_thread_that_waits_for_the_end_to_move_is_woken() {
    check(|| {
        let (marks, notifier) = marks();
        let waiting = thread::spawn({
            let (marks, notifier) = (Arc::clone(&marks), Arc::clone(&notifier));
            move || assert!(notifier.wait(None, || marks.published() > Position::ZERO))
        });
        publish(&marks, &notifier, 1);
        waiting.join().unwrap();
    });
}

#[test]
fn a_close_frees_whoever_waits() {
    check(|| {
        let (_, notifier) = marks();
        let waiting = thread::spawn({
            let notifier = Arc::clone(&notifier);
            move || assert!(notifier.wait(None, || notifier.is_closed()))
        });
        notifier.close();
        waiting.join().unwrap();
    });
}

/// Unparks a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_future_that_leaves_its_waker_and_looks_again_is_woken() {
    check(|| {
        let (marks, notifier) = marks();
        let publishing = thread::spawn({
            let (marks, notifier) = (Arc::clone(&marks), Arc::clone(&notifier));
            move || publish(&marks, &notifier, 1)
        });
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let context = Context::from_waker(&waker);
        let mut place = None;
        let mut poll = || {
            if marks.published() > Position::ZERO {
                return Poll::Ready(());
            }
            notifier.register(&mut place, context.waker());
            match marks.published() > Position::ZERO {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        };
        while poll().is_pending() {
            thread::park();
        }
        notifier.forget(place);
        publishing.join().unwrap();
    });
}
