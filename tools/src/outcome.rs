//! What a command came to, and its exit code.
//!
//! Owns: [`Outcome`]. Calls nothing.

use std::process::ExitCode;

/// What a command came to. Misuse (exit code 2) never gets so far: the argument parser answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: exit code 0.
    Fine,
    /// Something wrong was found, and has been said: exit code 1.
    Wrong,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::Wrong => Self::FAILURE,
        }
    }
}
