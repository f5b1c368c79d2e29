//! The whole writer under many schedules, on the simulated disk.
//!
//! Owns: [`explore`], which runs a model once for each schedule. What models have in common is in
//! [`world`] and [`witness`].
//!
//! | variable | |
//! |---|---|
//! | `QUIPU_SCHEDULES` | schedules for each model: 200, unless it says otherwise |
//! | `QUIPU_SEED` | what they are drawn from: 1, unless it says otherwise |
//! | `QUIPU_SCHEDULE` | one schedule, as a failure prints it, or a file with it: it alone is run |
//!
//! Of every ten schedules four choose the next thread evenly at each step, and six let the first of
//! a drawn order of threads run as long as it can and change that order at a few drawn steps
//! (probabilistic concurrency testing): three at 2 steps, three at 9. What a model draws, how the
//! clock runs and which timeouts run out belong to the schedule.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::sync::time::{self, Pace};

mod callers;
mod closing;
mod failing;
mod opening;
mod payload;
mod rolling;
mod waiting;
mod witness;
mod world;

/// Runs `model` once for each schedule.
fn explore(pace: Pace, model: impl Fn() + Send + Sync + 'static) {
    let name = std::thread::current().name().unwrap_or("a model").to_owned();
    let counts = Arc::new(Counts::default());
    let model = Arc::new({
        let counts = Arc::clone(&counts);
        move || {
            counts.runs.fetch_add(1, Relaxed);
            time::restart(pace);
            model();
            counts.steps.fetch_add(shuttle::current::context_switches(), Relaxed);
        }
    });
    if let Ok(schedule) = std::env::var("QUIPU_SCHEDULE") {
        let schedule = std::fs::read_to_string(&schedule).unwrap_or(schedule);
        let mut again = ReplayScheduler::new_from_encoded(&schedule);
        again.set_allow_incomplete();
        run(again, &model);
        return;
    }
    let seed: u64 = from_environment("QUIPU_SEED", 1);
    let count: usize = from_environment("QUIPU_SCHEDULES", 200);
    let few = count * 3 / 10;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(RandomScheduler::new_from_seed(seed, count - 2 * few), &model);
        run(PctScheduler::new_from_seed(seed, 3, few), &model);
        run(PctScheduler::new_from_seed(seed, 10, few), &model);
    }));
    let (runs, steps) = (counts.runs.load(Relaxed), counts.steps.load(Relaxed));
    if let Err(panic) = outcome {
        eprintln!("{name} fails in schedule {runs} of QUIPU_SEED={seed} QUIPU_SCHEDULES={count}");
        resume_unwind(panic);
    }
    println!("{name}: {runs} schedules from seed {seed}, {} steps each", steps / runs.max(1));
}

#[derive(Default)]
struct Counts {
    runs: AtomicUsize,
    steps: AtomicUsize,
}

fn run<M: Fn() + Send + Sync + 'static>(scheduler: impl Scheduler + 'static, model: &Arc<M>) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.failure_persistence = FailurePersistence::Print;
    config.silence_warnings = true; // of weak orders, which are for `loom` to show
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let model = Arc::clone(model);
    Runner::new(scheduler, config).run(move || model());
}

fn from_environment<T: std::str::FromStr>(variable: &str, default: T) -> T {
    match std::env::var(variable) {
        Ok(given) => given.parse().unwrap_or_else(|_| panic!("{variable} is no number: {given}")),
        Err(_) => default,
    }
}

/// Recovery runs on it, unoptimised in some builds.
const STACK_BYTES: usize = 512 << 10;

/// Draws a coin, as part of the schedule.
fn coin() -> bool {
    thread_rng().gen_ratio(1, 2)
}

/// Draws a number of a range, as part of the schedule.
fn draw(range: std::ops::Range<usize>) -> usize {
    thread_rng().gen_range(range)
}

/// Many times what a schedule takes that comes to an end: beyond it, threads turn in circles.
const STEPS_MAX: usize = 400_000;
