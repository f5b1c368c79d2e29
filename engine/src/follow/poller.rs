//! A thread that looks while somebody waits.
//!
//! Owns: [`Poller`]. May call: the follower, the notifier. It sleeps for good while nobody waits for the
//! log to grow, and between two looks while somebody does: there is nothing in another process that
//! could wake it without costing the writer a system call for each group.
//!
//! Invariant: nobody waits without being looked for. Whoever waits is counted first and rings then;
//! the thread counts under the bell's lock before it sleeps for good.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Follower;
use crate::subscribe::notifier::Notifier;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Instant, Mutex};

/// Wakes the thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<Sleep>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Sleep {
    /// The thread sleeps for good.
    is_deep: bool,
    has_ended: bool,
}

impl Bell {
    /// Somebody waits, and has been counted by the notifier.
    pub(crate) fn ring(&self) {
        let sleep = self.state.lock();
        if sleep.is_deep {
            self.changed.notify_all();
        }
    }

    /// Sleeps until somebody waits, and then for `interval` more if that is given. `false`: it is over.
    pub(crate) fn sleep(&self, notifier: &Notifier, interval: Option<Duration>) -> bool {
        let mut sleep = self.state.lock();
        let until = interval.and_then(|interval| Instant::now().checked_add(interval));
        while !sleep.has_ended && until.is_some_and(|until| Instant::now() < until) {
            let Some(until) = until else { break };
            self.changed.wait_until(&mut sleep, until);
        }
        while !sleep.has_ended && notifier.waiting() == 0 {
            sleep.is_deep = true;
            self.changed.wait(&mut sleep);
            sleep.is_deep = false;
        }
        !sleep.has_ended
    }
}

/// The running thread; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Poller {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Starts the thread, which looks every so often.
    pub(crate) fn start(
        follower: &Arc<Follower>,
        notifier: &Arc<Notifier>,
        bell: &Arc<Bell>,
        every: Duration,
    ) -> io::Result<Self> {
        let (follower, notifier) = (Arc::clone(follower), Arc::clone(notifier));
        let thread = thread::Builder::new().name("quipu-follow".to_owned()).spawn({
            let bell = Arc::clone(bell);
            move || run(&follower, &notifier, &bell, every)
        })?;
        Ok(Self { bell: Arc::clone(bell), thread: Some(thread) })
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.bell.state.lock().has_ended = true;
        self.bell.changed.notify_all();
        // The last handle may be dropped by a waker, on this very thread.
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(is_other) {
            // It does not panic; if it did, there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

fn run(follower: &Follower, notifier: &Notifier, bell: &Bell, every: Duration) {
    let mut quiet = 0_u32;
    let mut interval = None;
    while bell.sleep(notifier, interval) {
        quiet = if follower.look() { 0 } else { quiet.saturating_add(1) };
        interval = Some(every * (1 + quiet / QUIET_LOOKS).min(SLOWEST));
    }
}

/// After so many looks at which there was nothing new the next ones come later, and after as many again.
const QUIET_LOOKS: u32 = 64;

/// At the latest after so many times the interval.
const SLOWEST: u32 = 6;
