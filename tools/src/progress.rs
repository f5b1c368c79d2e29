//! How far a long command has come, for people who watch.
//!
//! Owns: [`bytes`], [`counted`]. A bar stands on a terminal only; elsewhere nothing is written.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many bytes, with the rate and the time left. `None`: nobody knows how many.
pub(crate) fn bytes(length: Option<u64>) -> ProgressBar {
    match length {
        Some(length) => bar(
            length,
            "{wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ),
        None if io::stderr().is_terminal() => ProgressBar::new_spinner(),
        None => ProgressBar::hidden(),
    }
}

/// A bar over so many of what is named.
pub(crate) fn counted(length: u64, of: &str) -> ProgressBar {
    bar(length, &format!("{{wide_bar}} {{pos}} of {{len}} {of}, {{eta}} left"))
}

fn bar(length: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
