//! What a command came to, and its exit code.
//!
//! Owns: [`Outcome`], [`Misuse`], [`explain_exit_codes`]. Calls nothing.

use std::fmt::Display;
use std::process::ExitCode;

/// What a command came to. Most misuse (exit code 2) never gets so far: the argument parser answers
/// it. What only the command itself can see is a [`Misuse`].
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

/// Arguments that cannot be meant: exit code 2. Nothing has been done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(String);

impl Misuse {
    /// One with this reason, ready to be given up the line.
    #[must_use]
    #[allow(clippy::new_ret_no_self)] // it is only ever an error on its way
    pub fn new(reason: impl Display) -> anyhow::Error {
        Self(reason.to_string()).into()
    }
}

/// What every command ends with, unless its help says it in its own words.
const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  something wrong was found: damage, a refusal, a broken promise, an error of the system
  2  the command was misused";

/// Adds the exit codes to the help of a command and of all below it, where it does not have them.
#[must_use]
pub fn explain_exit_codes(command: clap::Command) -> clap::Command {
    let said = command.get_after_help().map(ToString::to_string);
    let command = match said {
        Some(said) if said.contains("Exit codes:") => command,
        Some(said) => command.after_help(format!("{said}\n\n{EXIT_CODES}")),
        None => command.after_help(EXIT_CODES),
    };
    command.mut_subcommands(explain_exit_codes)
}
