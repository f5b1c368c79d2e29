//! A bounded queue with the calls of `crossbeam-channel`, for `shuttle`.
//!
//! Owns: [`Sender`], [`Receiver`]. May call: the checked locks, [`super::time`].
//!
//! First in, first out; whoever sends into a full queue waits for a place. Left out: queues without
//! a place or a bound, selection, and the end of a queue: the pipeline holds both halves, so that
//! neither ever ends. `crossbeam-channel` takes several steps for a send or a receive, but shows
//! them as one; here they are one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use super::locks::{Condvar, Mutex};
use super::time::{self, Instant};

/// The half that puts messages in.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Queue<T>>);

/// The half that takes messages out.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Queue<T>>);

#[derive(Debug)]
struct Queue<T> {
    messages: Mutex<VecDeque<T>>,
    places: usize,
    /// A message or a place has come.
    changed: Condvar,
}

/// No message is there, or there is no place for one; or, never, the other half is gone.
#[derive(Debug)]
pub(crate) struct Refused;

/// Why no message was received in time.
#[derive(Debug)]
pub(crate) enum RecvTimeoutError {
    /// The time ran out.
    Timeout,
    /// The other half is gone.
    #[allow(dead_code)] // the pipeline holds both
    Disconnected,
}

/// A queue with `places` for messages.
pub(crate) fn bounded<T>(places: usize) -> (Sender<T>, Receiver<T>) {
    assert!(places > 0, "a queue without a place is not modelled");
    let queue =
        Arc::new(Queue { messages: Mutex::new(VecDeque::new()), places, changed: Condvar::new() });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), Refused> {
        let Self(queue) = self;
        let mut messages = queue.messages.lock();
        while messages.len() == queue.places {
            queue.changed.wait(&mut messages);
        }
        messages.push_back(message);
        queue.changed.notify_all();
        Ok(())
    }

    pub(crate) fn try_send(&self, message: T) -> Result<(), Refused> {
        let Self(queue) = self;
        let mut messages = queue.messages.lock();
        if messages.len() == queue.places {
            return Err(Refused);
        }
        messages.push_back(message);
        queue.changed.notify_all();
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv(&self) -> Result<T, Refused> {
        let Self(queue) = self;
        let mut messages = queue.messages.lock();
        loop {
            if let Some(message) = messages.pop_front() {
                queue.changed.notify_all();
                return Ok(message);
            }
            queue.changed.wait(&mut messages);
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, Refused> {
        let Self(queue) = self;
        let message = queue.messages.lock().pop_front();
        if message.is_some() {
            queue.changed.notify_all();
        }
        message.ok_or(Refused)
    }

    /// The time may run out at any moment, but for a message that is there already.
    pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Ok(message) = self.try_recv() {
                return Ok(message);
            }
            if time::runs_out() {
                time::advance_to(deadline);
                return Err(RecvTimeoutError::Timeout);
            }
            thread::yield_now();
        }
    }
}
