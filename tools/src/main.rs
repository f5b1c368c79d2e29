//! The `quipu` command: arguments in, a call of the library, an exit code out.
//!
//! Owns: the list of commands. Each has its arguments, its help and its `run` in a module of its
//! own.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use quipu_tools::outcome::{Misuse, Outcome, explain_exit_codes};
use quipu_tools::{
    append, backup, bench, completions, crash, demo, export, import, info, inspect, man, read,
    repair, restore, salvage, streams, tail, truncate, verify,
};

/// Looks after Quipu logs: durable, ordered, version-checked events in a directory.
#[derive(Debug, Parser)]
#[command(name = "quipu", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows in ten seconds what Quipu gives: appends, kills, reopens, checks.
    Demo(demo::Request),
    /// Appends JSON lines to a log, one batch a line; said again, it goes on where it stopped.
    Import(import::Request),
    /// Appends JSON lines to a log, and prints the position of each as it is acknowledged.
    Append(append::Request),
    /// Writes a log as JSON lines, one batch a line, as import takes them. Named checkpoints are
    /// not in it.
    Export(export::Request),
    /// Says what a log is and how it stands, at a glance.
    Info(info::Request),
    /// Shows segments and frames as they stand on disk, without the engine.
    Inspect(inspect::Request),
    /// Lists the streams of a log, with the version that each has come to.
    Streams(streams::Request),
    /// Prints events of a log or of one stream; works beside a live writer.
    Read(read::Request),
    /// Prints the last events of a log and, with -f, each one that comes.
    Tail(tail::Request),
    /// Checks every byte of a log that counts, without the engine; never changes anything.
    Verify(verify::Request),
    /// Says what a crash has left to cut off and, with --apply, cuts it off; keeps the originals.
    Repair(repair::Request),
    /// Makes a second directory with the log in it, or brings one up to date; works beside a live
    /// writer.
    Backup(backup::Request),
    /// Makes a log from a backup, whole or as it was at some position or time; whole batches only.
    Restore(restore::Request),
    /// Says which full segments hold only events below a position and, with --apply, drops them.
    Truncate(truncate::Request),
    /// Takes all whole batches of a damaged log over into a new one, and lists what is missing.
    Salvage(salvage::Arguments),
    /// Measures this disk for ten seconds, and Quipu beside it.
    Bench(bench::Request),
    /// Prints completions of this command line for a shell.
    Completions(completions::Request),
    /// Writes manual pages, one a command.
    Man(man::Request),
    /// Attacks logs: kills their processes, fails their disks and their system calls.
    #[command(subcommand)]
    Crash(crash::Command),
    /// Appends orders until it is killed: the other half of the demo.
    #[command(hide = true)]
    DemoWriter(demo::writer::Request),
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(arguments.command) {
        Ok(outcome) => outcome.into(),
        // Whoever read from us has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(misuse) = error.downcast_ref::<Misuse>() {
                command().error(ErrorKind::ValueValidation, misuse).exit();
            }
            eprintln!("quipu: {error:#}");
            Outcome::Wrong.into()
        }
    }
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(request) => demo::run(&request),
        Command::Import(request) => import::run(&request),
        Command::Append(request) => append::run(&request),
        Command::Export(request) => export::run(&request),
        Command::Info(request) => info::run(&request),
        Command::Inspect(request) => inspect::run(&request),
        Command::Streams(request) => streams::run(&request),
        Command::Read(request) => read::run(&request),
        Command::Tail(request) => tail::run(&request),
        Command::Verify(request) => verify::run(&request),
        Command::Repair(request) => repair::run(&request),
        Command::Backup(request) => backup::run(&request),
        Command::Restore(request) => restore::run(&request),
        Command::Truncate(request) => truncate::run(&request),
        Command::Salvage(arguments) => salvage::run(&arguments),
        Command::Bench(request) => bench::run(&request),
        Command::Completions(request) => completions::run(&request, self::command()),
        Command::Man(request) => man::run(&request, self::command()),
        Command::Crash(command) => crash::run(command),
        Command::DemoWriter(request) => demo::writer::run(&request),
    }
}

/// The whole command line, with its help.
fn command() -> clap::Command {
    explain_exit_codes(Arguments::command())
}

/// Whether the reader of our output has gone away.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref().map(io::Error::kind);
        let json = cause.downcast_ref().and_then(serde_json::Error::io_error_kind);
        kind.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
