//! The `quipu` command: arguments in, a call of the library, an exit code out.

#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use quipu_format::LogId;
use quipu_tools::outcome::Outcome;
use quipu_tools::variant::Variant;
use quipu_tools::{
    crash, demo, export, import, info, inspect, read, repair, salvage, streams, truncate, verify,
};

/// Looks after Quipu logs: durable, ordered, version-checked events in a directory.
#[derive(Debug, Parser)]
#[command(name = "quipu", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  something wrong was found: damage, a refused line, a broken promise, an error of the system
  2  the command was misused";

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows in ten seconds what Quipu gives: appends, kills, reopens, checks.
    Demo(DemoArguments),
    /// Appends JSON lines to a log, one batch a line; said again, it goes on where it stopped.
    #[command(after_help = LINE_FORMAT)]
    Import(ImportArguments),
    /// Writes a log as JSON lines, one batch a line, as import takes them. Named checkpoints are not in it.
    Export {
        #[command(flatten)]
        log: LogDirectory,
        /// Writes to this file instead of stdout.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Says what a log is and how it stands, at a glance.
    Info {
        /// The log's directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The same as JSON, each segment by itself.
        #[arg(long)]
        json: bool,
    },
    /// Shows segments and frames as they stand on disk, without the engine.
    #[command(after_help = EXIT_CODES)]
    Inspect(InspectArguments),
    /// Lists the streams of a log, with the version that each has come to.
    Streams {
        /// The log's directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Only streams whose name begins so.
        #[arg(long, default_value = "")]
        prefix: String,
        /// JSON lines, one stream a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints events of a log or of one stream; works beside a live writer.
    Read(ReadArguments),
    /// Checks every byte of a log that counts, without the engine; never changes anything.
    #[command(after_help = EXIT_CODES)]
    Verify(VerifyArguments),
    /// Says what a crash has left to cut off and, with --apply, cuts it off; keeps the originals.
    #[command(after_help = REPAIR_EXIT_CODES)]
    Repair {
        /// The log's directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Does it; otherwise it is only said.
        #[arg(long)]
        apply: bool,
        /// The same as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says which full segments hold only events below a position and, with --apply, drops them.
    Truncate {
        /// The log's directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Segments whose events are all below this position.
        #[arg(long, value_name = "POSITION")]
        before: u64,
        /// Does it; otherwise it is only said.
        #[arg(long)]
        apply: bool,
        /// The same as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Takes all whole batches of a damaged log over into a new one, and lists what is missing.
    #[command(after_help = SALVAGE_EXIT_CODES)]
    Salvage(SalvageArguments),
    /// Attacks logs: kills their processes, fails their disks and their system calls.
    #[command(subcommand)]
    Crash(crash::Command),
    /// Appends orders until it is killed: the other half of the demo.
    #[command(hide = true)]
    DemoWriter {
        #[command(flatten)]
        log: LogDirectory,
        #[arg(long)]
        round: u32,
        #[arg(long)]
        threads: u32,
        #[command(flatten)]
        variant: Variant,
    },
}

const LINE_FORMAT: &str = r#"One line, one batch:
  {"time":1427842295.5,"events":[{"stream":"order-1","type":"OrderPlaced","data":{"total":12}}]}
time, in seconds, may be left out. An event may also have "id" (a UUID), "tags" (strings),
"metadata" (any JSON) and "expected_version": a version, "any", "no_stream" or "exists", of
its stream before this batch. "data_base64" and "metadata_base64" carry bytes that are not
JSON. Other fields are refused."#;

#[derive(Debug, Args)]
struct LogDirectory {
    /// The log's directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// Keeps the log in this directory, which must be empty or missing.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How often the writing process is killed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Threads of the writing process.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// What the moments of the kills are drawn from; another one each time, if it is not given.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// The file with the lines; - is stdin.
    file: PathBuf,
    #[command(flatten)]
    log: LogDirectory,
    /// Appends every line, even those that are in the log already.
    #[arg(long)]
    again: bool,
    /// The size of new segments, in bytes.
    #[arg(long, value_name = "BYTES")]
    segment_bytes: Option<u64>,
}

#[derive(Debug, Args)]
struct ReadArguments {
    #[command(flatten)]
    log: LogDirectory,
    /// One stream instead of the whole log.
    #[arg(long)]
    stream: Option<String>,
    /// The first position (with --stream: version).
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The last position (with --stream: version).
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// From the last to the first.
    #[arg(long)]
    backward: bool,
    /// At most so many events.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// JSON lines, one event a line.
    #[arg(long)]
    json: bool,
    /// Whole payloads, however wide the terminal is.
    #[arg(long)]
    full: bool,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The log's directory.
    #[arg(value_name = "DIR", required_unless_present = "dir", conflicts_with = "dir")]
    directory: Option<PathBuf>,
    /// The same, named.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct InspectArguments {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only this segment.
    #[arg(long, value_name = "N", conflicts_with = "position")]
    segment: Option<u64>,
    /// Only the frame that holds this position, drawn part by part.
    #[arg(long, value_name = "P")]
    position: Option<u64>,
    /// The bytes, too.
    #[arg(long, conflicts_with = "json")]
    hex: bool,
    /// JSON lines, one segment or frame a line.
    #[arg(long)]
    json: bool,
}

const REPAIR_EXIT_CODES: &str = "\
Exit codes:
  0  there is nothing to repair, or it can be repaired without loss, or it was
  1  something durable is gone, which no repair brings back, or an error of the system
  2  the command was misused";

const SALVAGE_EXIT_CODES: &str = "\
The old log is never changed. Events behind a loss move down in the new log; the report says from
where to where.

Exit codes:
  0  nothing was lost, but for a torn tail that was never acknowledged as durable
  1  something was lost or is wrong, or an error of the system
  2  the command was misused";

#[derive(Debug, Args)]
struct SalvageArguments {
    /// The old log's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The new log's directory, which must be empty or missing.
    #[arg(long, value_name = "NEW", required_unless_present = "dry_run")]
    to: Option<PathBuf>,
    /// Only says what would be salvaged and what is lost.
    #[arg(long)]
    dry_run: bool,
    /// The old log's id, as verify tells it of a backup, where no segment header is left.
    #[arg(long, value_name = "ID", value_parser = log_id)]
    log_id: Option<LogId>,
    /// The size of the new segments, in bytes, if not that of the old ones.
    #[arg(long, value_name = "BYTES")]
    segment_bytes: Option<u64>,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        // Whoever read from us has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quipu: {error:#}");
            Outcome::Wrong.into()
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let outcome = match command {
        Command::Demo(DemoArguments { dir, rounds, threads, seed }) => {
            demo::run(&demo::Request { directory: dir, rounds, threads, seed })
        }
        Command::Import(ImportArguments { file, log, again, segment_bytes }) => {
            import::run(&import::Request { file, directory: log.dir, again, segment_bytes })
        }
        Command::Export { log, output } => export::run(&log.dir, output.as_deref()),
        Command::Read(arguments) => {
            let ReadArguments { log, stream, from, to, backward, limit, json, full } = arguments;
            let request = read::Request { stream, from, to, backward, limit, json, full };
            read::run(&log.dir, &request)
        }
        Command::Info { directory, json } => info::run(&directory, json),
        Command::Inspect(arguments) => {
            let InspectArguments { directory, segment, position, hex, json } = arguments;
            inspect::run(&directory, &inspect::Request { segment, position, hex, json })
        }
        Command::Streams { directory, prefix, json } => {
            streams::run(&directory, &streams::Request { prefix, json })
        }
        Command::Repair { directory, apply, json } => {
            repair::run(&directory, &repair::Request { apply, json })
        }
        Command::Truncate { directory, before, apply, json } => {
            truncate::run(&directory, &truncate::Request { before, apply, json })
        }
        Command::Verify(VerifyArguments { directory, dir, json }) => {
            // The parser has made sure that one of them is there.
            verify::run(&directory.or(dir).unwrap_or_default(), json)
        }
        Command::Salvage(arguments) => {
            let SalvageArguments { directory, to, dry_run, log_id, segment_bytes, json } =
                arguments;
            let request = salvage::Request { directory, to, dry_run, log_id, segment_bytes };
            if let Err(misuse) = request.check() {
                Arguments::command().error(ErrorKind::ValueValidation, misuse).exit();
            }
            salvage::run(&request, json)
        }
        Command::Crash(command) => crash::run(command),
        Command::DemoWriter { log, round, threads, variant } => {
            return demo::writer::run(&log.dir, round, threads, &variant);
        }
    };
    outcome.map(ExitCode::from)
}

/// A log id as 32 hexadecimal digits.
fn log_id(text: &str) -> Result<LogId, String> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
    let number = number.ok_or_else(|| "a log id has 32 hexadecimal digits".to_owned())?;
    Ok(LogId::from_bytes(number.to_be_bytes()))
}

/// Whether the reader of our output has gone away.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref().map(io::Error::kind);
        let json = cause.downcast_ref().and_then(serde_json::Error::io_error_kind);
        kind.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
