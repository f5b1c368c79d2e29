//! Ctrl-C, and the signal that asks a process to end, as a flag.
//!
//! Owns: [`flag`]. A command that looks at it goes out by its own way, so that what it has made, and
//! mounted, is cleaned up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, bail};

/// The flag that is set when the process is asked to end; the same one each time.
///
/// # Errors
/// Somebody else takes the signals.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed))
        .context("cannot take signals")?;
    Ok(Arc::clone(FLAG.get_or_init(|| flag)))
}

/// Ends what is under way if the flag is set.
///
/// # Errors
/// It is.
pub fn check(flag: &AtomicBool) -> anyhow::Result<()> {
    if flag.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
