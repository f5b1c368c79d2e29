//! `quipu completions`: what a shell needs in order to complete the command line.

use std::io::{self, Write};

use clap_complete::{Shell, generate};

use crate::outcome::Outcome;

/// For which shell.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions of `command`.
///
/// # Errors
/// Output that cannot be written.
pub fn run(request: &Request, mut command: clap::Command) -> anyhow::Result<Outcome> {
    // Into memory first: the generator takes a failed write for a fault of its own.
    let mut script = Vec::new();
    generate(request.shell, &mut command, NAME, &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Fine)
}

/// What the command is called.
const NAME: &str = "quipu";
