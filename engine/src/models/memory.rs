//! The parts without a queue or a disk, under every order that the memory model allows.
//!
//! Owns: [`check`], which runs a model, and [`Cells`], memory whose stores may be seen late. What a
//! part promises to be there is put into cells first and looked for by whoever sees the promise:
//! an order that is too weak shows as a cell that is not filled yet.
//!
//! Readers are threads of their own, and the writer is the one that starts them: `loom` lets it
//! come first and then gives each load of the others every value, old or new, that the orders allow.
//! The other way round it misses some: of the loads that a store meets it remembers the last alone,
//! and a thread's own load hides another's.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::atomic::AtomicU64;

mod following;
mod landmarks;
mod latch;
mod notifier;
mod tickets;
mod watermarks;

/// Runs `model` once for each order of its steps.
///
/// `LOOM_MAX_PREEMPTIONS` bounds them; `LOOM_LOG=trace LOOM_LOCATION=1` tells of every step.
pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        loom::model(move || {
            counted.fetch_add(1, Relaxed);
            model();
        });
    }));
    let name = std::thread::current().name().unwrap_or("a model").to_owned();
    let count = count.load(Relaxed);
    if let Err(panic) = outcome {
        eprintln!("{name} fails in order {count}");
        resume_unwind(panic);
    }
    println!("{name}: {count} orders");
    assert!(count > 1, "a model with one order has nothing to try");
}

/// Memory that one thread fills in order. Nothing but the order of other accesses makes a store
/// visible to others.
pub(crate) struct Cells(Vec<AtomicU64>);

impl Cells {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self((0..count).map(|_| AtomicU64::new(0)).collect()))
    }

    /// Fills the cells from `from` up to `to`.
    pub(crate) fn fill(&self, from: u64, to: u64) {
        for cell in &self.0[from as usize..to as usize] {
            cell.store(FILLED, Relaxed);
        }
    }

    /// Fails unless all cells below `end` are seen filled.
    pub(crate) fn assert_filled_below(&self, end: u64, what: &str) {
        for (at, cell) in self.0[..end as usize].iter().enumerate() {
            let found = cell.load(Relaxed);
            assert_eq!(found, FILLED, "{what}: cell {at} below {end} is not seen filled");
        }
    }
}

const FILLED: u64 = 7;
