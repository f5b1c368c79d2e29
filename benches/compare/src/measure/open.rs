//! How long an engine takes to open a log: W5.

use std::time::Duration;

use super::Measured;

/// From the call to an engine that takes appends and reads.
pub(super) fn measure(opened: Duration) -> Measured {
    Measured::new(0, &[("open_ms", opened.as_secs_f64() * 1_000.0)])
}
