//! `quipu crash`: attacks on a log, to be repeated by anyone.
//!
//! Owns: the list of its subcommands, each of which has its arguments and its `run` in a module of its
//! own. Each prints what its cases are drawn from first, and ends with exit code 1 if a promise was
//! broken.
//!
//! | module | command |
//! |---|---|
//! | [`sim`] | `quipu crash sim`: power cuts, failing calls and decay on the simulated disk |
//! | [`exhaust`] | `quipu crash exhaust`: everything that can happen to a few small logs |
//! | [`sites`] | `quipu crash sites`: every call on the disk failed in turn |
//! | [`kill`] | `quipu crash kill`: kills processes that write |
//! | [`fault`] | `quipu crash fault`: full disks, failing devices, failing system calls |

pub mod exhaust;
pub mod fault;
pub mod kill;
mod orders;
mod place;
pub mod sim;
pub mod sites;
mod summary;
pub mod worker;

use clap::Subcommand;

use crate::outcome::Outcome;

/// What is to be attacked, and how.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cuts the power of a simulated machine before each effect of many runs, and checks what is
    /// there, for every small subset of what was in flight; lets it decay, too.
    Sim(sim::Request),
    /// Tries everything on a few small logs: each crash with each subset, each bit flipped, each
    /// length.
    Exhaust(exhaust::Request),
    /// Fails every place in the engine that calls the disk, in every way, and shows what callers
    /// are told.
    Sites(sites::Request),
    /// Kills a writing process at random moments, reopens its log, and checks it.
    Kill(kill::Request),
    /// Fills real disks, makes real devices fail, and fails each system call in turn.
    Fault(fault::Request),
    /// Carries out a small fixed piece of work: what `fault` traces.
    #[command(hide = true)]
    Worker(worker::Request),
}

/// Carries out one of the commands.
///
/// # Errors
/// A broken promise, or what kept it from being looked for.
pub fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Sim(request) => sim::run(&request),
        Command::Exhaust(request) => exhaust::run(&request),
        Command::Sites(request) => sites::run(&request),
        Command::Kill(request) => kill::run(&request),
        Command::Fault(request) => fault::run(&request),
        Command::Worker(request) => worker::run(&request),
    }
}
