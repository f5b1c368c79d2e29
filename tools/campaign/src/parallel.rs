//! Numbered cases on several threads.
//!
//! Owns: [`Cases`]. Calls what it is given. What is counted does not depend on the threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::tally::Tally;
use crate::violation::{Found, Violation};

/// Which cases, and how.
#[derive(Debug, Clone, Copy)]
pub struct Cases {
    /// How many.
    pub count: u64,
    /// None is begun once so many states have been tried.
    pub states_max: u64,
    /// On so many threads.
    pub threads: usize,
}

/// The first case that failed, and what had been tried by then.
pub type FirstFailure = (u64, Found, Tally);

impl Cases {
    /// Runs `case` for each number. `progress` is called after each with what has been counted.
    ///
    /// # Errors
    /// The first failure that was met.
    pub fn run(
        self,
        progress: impl Fn(&Tally) + Sync,
        case: impl Fn(u64, &mut Tally) -> Result<(), Found> + Sync,
    ) -> Result<Tally, Box<FirstFailure>> {
        let Self { count, states_max, threads } = self;
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let sum: Mutex<(Tally, Option<(u64, Found)>)> = Mutex::default();
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let mut tally = Tally::default();
                let outcome = caught(|| case(number, &mut tally));
                let mut sum = sum.lock().unwrap_or_else(|held| held.into_inner());
                sum.0.add(&tally);
                progress(&sum.0);
                if sum.0.states >= states_max || outcome.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                if let Err(found) = outcome {
                    sum.1.get_or_insert((number, found));
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(work);
            }
        });
        let (tally, failed) = sum.into_inner().unwrap_or_else(|held| held.into_inner());
        match failed {
            None => Ok(tally),
            Some((number, found)) => Err(Box::new((number, found, tally))),
        }
    }
}

/// A panic is a violation like any other.
pub(crate) fn caught(case: impl FnOnce() -> Result<(), Found>) -> Result<(), Found> {
    catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Violation::Panic(message.unwrap_or_default()).into())
    })
}
