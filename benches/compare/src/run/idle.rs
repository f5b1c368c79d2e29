//! Waiting until the processors have nothing else to do.

use std::thread;
use std::time::{Duration, Instant};

use procfs::{CurrentSI, KernelStats};

use crate::engine::Failure;

/// How long the processors are looked at, each time.
const LOOK: Duration = Duration::from_millis(60);

/// The share of time that they must have been idle in.
const IDLE_SHARE: f64 = 0.95;

/// Waits until they are idle, at most `limit`; the answer is whether they were.
///
/// # Errors
/// That their times cannot be read.
pub(super) fn wait(limit: Duration) -> Result<bool, Failure> {
    let started = Instant::now();
    loop {
        let before = times()?;
        thread::sleep(LOOK);
        let after = times()?;
        let (idle, all) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
        if idle as f64 >= IDLE_SHARE * all as f64 {
            return Ok(true);
        }
        if started.elapsed() >= limit {
            return Ok(false);
        }
    }
}

/// Idle ticks and all ticks. Waiting for a disk is not idle: something is still being written.
fn times() -> Result<(u64, u64), Failure> {
    let total = KernelStats::current()?.total;
    let rest = [
        total.user,
        total.nice,
        total.system,
        total.iowait.unwrap_or(0),
        total.irq.unwrap_or(0),
        total.softirq.unwrap_or(0),
        total.steal.unwrap_or(0),
    ];
    Ok((total.idle, total.idle + rest.iter().sum::<u64>()))
}
