//! How far a long command has come, for people who watch.
//!
//! Owns: every bar of the command: [`bytes`], [`counted`], [`spinner`], and the [`Stages`] of a command
//! that reads the same bytes more than once. A bar stands on a terminal only, on stderr; elsewhere
//! nothing is written. What is under way comes first, how much is left last.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many bytes, with the rate and the time left. `None`: nobody knows how many.
pub(crate) fn bytes(doing: &'static str, length: Option<u64>) -> ProgressBar {
    match length {
        Some(length) => bar(length, BYTES).with_message(doing),
        None => {
            bar(0, "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}").with_message(doing)
        }
    }
}

/// A bar over so many of what is named.
pub(crate) fn counted(length: u64, of: &str) -> ProgressBar {
    bar(length, &format!("{{wide_bar}} {{pos}} of {{len}} {of}, {{eta}} left"))
}

/// A bar over so much of what is counted in the message.
pub(crate) fn told(length: u64) -> ProgressBar {
    bar(length, "{wide_bar} {percent}%, {msg}, {eta} left")
}

/// For what has no known end: what has been done stands in the message.
pub(crate) fn spinner() -> ProgressBar {
    bar(0, "{spinner} {msg}, {elapsed}")
}

const BYTES: &str =
    "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

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

/// A bar that begins anew with each stage of a command.
#[derive(Debug, Clone)]
pub(crate) struct Stages(ProgressBar);

impl Stages {
    pub(crate) fn new() -> Self {
        Self(bar(0, BYTES))
    }

    /// Nobody watches.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// The next stage goes over so many bytes.
    pub(crate) fn begin(&self, doing: &'static str, length: u64) {
        self.0.set_message(doing);
        self.0.reset();
        self.0.set_length(length);
    }

    /// The bar of the stage.
    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.0
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
