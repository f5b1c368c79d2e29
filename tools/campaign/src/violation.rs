//! A broken promise: which, and the way to it.
//!
//! Owns: [`Violation`], [`Found`]. Calls nothing.

use std::fmt;

/// Which promise of the log was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Something that was acknowledged is not there.
    #[error("{found} batches are there, {least} must be")]
    Lost {
        /// Batches found.
        found: usize,
        /// Batches that must be there.
        least: usize,
    },
    /// Something is there that was never submitted.
    #[error("{found} batches are there, no more than {most} were ever submitted")]
    NeverSubmitted {
        /// Batches found.
        found: usize,
        /// Batches that may be there.
        most: usize,
    },
    /// What is there is not what was submitted.
    #[error("batch {batch} is not as it was submitted: {what}")]
    Differs {
        /// The batch, from 0.
        batch: usize,
        /// In what.
        what: &'static str,
    },
    /// Two ways of reading one log disagree, or one fails.
    #[error("reading: {0}")]
    Reading(String),
    /// An answer that cannot be right.
    #[error("answer: {0}")]
    Answer(String),
    /// A legal state was refused.
    #[error("opening was refused: {0}")]
    Refused(String),
    /// Damage was found where there is none, or not found where there is.
    #[error("damage: {0}")]
    Damage(String),
    /// The engine panicked.
    #[error("panic: {0}")]
    Panic(String),
}

/// A violation and the way to it, from the outermost step inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is wrong.
    pub violation: Violation,
    /// What led there, the innermost first.
    way: Vec<String>,
}

impl From<Violation> for Found {
    fn from(violation: Violation) -> Self {
        Self { violation, way: Vec::new() }
    }
}

impl Found {
    /// Says what the violation happened in.
    #[must_use]
    pub fn within(mut self, what: impl Into<String>) -> Self {
        self.way.push(what.into());
        self
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.way.iter().rev() {
            writeln!(f, "- {step}")?;
        }
        write!(f, "- {}", self.violation)
    }
}

impl std::error::Error for Found {}
