//! Opening a log for the commands that only read.
//!
//! Owns: [`open_for_reading`]. Calls the engine.

use std::path::Path;

use anyhow::Context;
use quipu::Log;

use crate::outcome::Outcome;

/// Opens a log for reading only. A damaged one is served up to the damage, which is said on stderr
/// and is the outcome.
pub(crate) fn open_for_reading(directory: &Path) -> anyhow::Result<(Log, Outcome)> {
    let log = Log::open_read_only(directory)
        .with_context(|| format!("cannot open {} for reading", directory.display()))?;
    let outcome = match &log.recovery_report().damage {
        Some(damage) => {
            eprintln!("quipu: {damage}");
            Outcome::Wrong
        }
        None => Outcome::Fine,
    };
    Ok((log, outcome))
}
