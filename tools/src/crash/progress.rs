//! How far a campaign has come, for people who watch.
//!
//! Owns: [`bar`]. Calls nothing.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many of what is named; nothing where stderr is no terminal.
pub(super) fn bar(length: u64, of: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(&format!(
        "{{wide_bar}} {{pos}} of {{len}} {of}, {{eta}} left"
    )) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
