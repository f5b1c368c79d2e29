//! The command: `run`, `syncs`, `list`, and the task of a process that `run` has started.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use quipu_bench::machine;
use quipu_compare::engine::{Adapter, Failure, Need};
use quipu_compare::engines;
use quipu_compare::report::Report;
use quipu_compare::run::Run;
use quipu_compare::run::child::{TaskArguments, end};
use quipu_compare::run::syncs;
use quipu_compare::workload::{self, Workload};

#[derive(Parser)]
#[command(name = "compare", about = "Quipu beside other engines, on the same workloads")]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measures.
    Run(RunArguments),
    /// Counts the calls that sync, for each durable append.
    Syncs(Choice),
    /// Lists workloads and engines.
    List,
    #[command(hide = true)]
    Task(TaskArguments),
}

#[derive(Args)]
struct Choice {
    /// Which engines, by name; all if not given.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Where the logs go; on the file system that is to be measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Results as JSON lines.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct RunArguments {
    #[command(flatten)]
    choice: Choice,
    /// Which workloads, by name (W1-4KiB) or group (W1); all but the large ones if not given.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement of a rate takes.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// A chart, as SVG.
    #[arg(long)]
    chart: Option<PathBuf>,
    /// One short round with a hundredth of the events: shows that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// With the workloads of 10 million events.
    #[arg(long)]
    large: bool,
    /// The longest wait for idle processors before a measurement, in seconds.
    #[arg(long, default_value_t = 10.0)]
    idle_wait: f64,
    /// The longest time that one process may take, in seconds.
    #[arg(long, default_value_t = 1_800)]
    process_limit: u64,
    /// Leaves out the counting of syncs.
    #[arg(long)]
    no_syncs: bool,
}

fn main() -> ExitCode {
    let answer = match Command::parse().what {
        What::Task(arguments) => end(&arguments),
        What::Run(arguments) => run(&arguments),
        What::Syncs(choice) => only_syncs(&choice),
        What::List => {
            list();
            Ok(0)
        }
    };
    match answer {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &RunArguments) -> Result<usize, Failure> {
    let root =
        tempfile::Builder::new().prefix("quipu-compare-").tempdir_in(&arguments.choice.dir)?;
    let quick = arguments.quick;
    let run = Run {
        program: std::env::current_exe()?,
        root: root.path().to_owned(),
        adapters: chosen_engines(&arguments.choice.engines)?,
        workloads: chosen_workloads(&arguments.workloads, arguments.large)?,
        rounds: if quick { 1 } else { arguments.rounds.max(1) },
        duration: Duration::from_secs_f64(if quick { 0.05 } else { arguments.seconds }),
        parts: if quick { 100 } else { 1 },
        idle_limit: Duration::from_secs_f64(if quick { 0.0 } else { arguments.idle_wait }),
        process_limit: Duration::from_secs(arguments.process_limit),
    };
    let mut report = Report::new(arguments.choice.json.as_deref())?;
    report.head(&machine::describe(root.path()))?;
    if !arguments.no_syncs {
        count_syncs(&run.program, &run.root, &run.adapters, &mut report)?;
    }
    run.carry_out(&mut report)?;
    if let Some(chart) = &arguments.chart {
        report.draw(chart)?;
    }
    Ok(report.end())
}

fn only_syncs(choice: &Choice) -> Result<usize, Failure> {
    let root = tempfile::Builder::new().prefix("quipu-compare-").tempdir_in(&choice.dir)?;
    let mut report = Report::new(choice.json.as_deref())?;
    report.head(&machine::describe(root.path()))?;
    let program = std::env::current_exe()?;
    count_syncs(&program, root.path(), &chosen_engines(&choice.engines)?, &mut report)?;
    Ok(report.failures())
}

/// Durable appends that are traced.
const TRACED_APPENDS: u64 = 100;

/// How long a traced process may take.
const TRACE_LIMIT: Duration = Duration::from_secs(120);

fn count_syncs(
    program: &Path,
    root: &Path,
    adapters: &[&'static Adapter],
    report: &mut Report,
) -> Result<(), Failure> {
    if !syncs::has_strace() {
        println!("skipped      counting of syncs: no strace that may trace");
        return Ok(());
    }
    println!("syncs of a durable append ({TRACED_APPENDS} one by one)");
    for adapter in adapters {
        if let Some(reason) = adapter.lacking(&[Need::Durable]) {
            println!("  {:12} skipped: {reason}", adapter.name);
            continue;
        }
        let count = |refused| {
            let directory = root.join("syncs").join(adapter.name);
            std::fs::create_dir_all(&directory)?;
            let appends = (TRACED_APPENDS, refused);
            let found = syncs::count(program, adapter, &directory, appends, TRACE_LIMIT);
            std::fs::remove_dir_all(&directory)?;
            found
        };
        let judges = adapter.lacking(&[Need::Conditions]).is_none();
        let found = count(false).and_then(|appended| {
            let refused = judges.then(|| count(true)).transpose()?;
            Ok((appended, refused))
        });
        match found {
            Ok((appended, refused)) => {
                let told = refused.as_ref().map_or(String::new(), |refused| {
                    format!("; of one that is refused: {}", refused.describe())
                });
                println!("  {:12} {}{told}", adapter.name, appended.describe());
                report.synced(adapter.name, appended, refused)?;
            }
            Err(error) => report.not_synced(adapter.name, &error.to_string())?,
        }
    }
    Ok(())
}

fn chosen_engines(names: &[String]) -> Result<Vec<&'static Adapter>, Failure> {
    if names.is_empty() {
        return Ok(engines::all());
    }
    let chosen = names.iter().map(|name| {
        let left_out = engines::left_out().iter().find(|(left_out, _)| left_out == name);
        match (engines::named(name), left_out) {
            (Some(adapter), _) => Ok(adapter),
            (None, Some((_, reason))) => Err(format!("{name}: {reason}").into()),
            (None, None) => Err(format!("no engine {name}; see `compare list`").into()),
        }
    });
    chosen.collect()
}

fn chosen_workloads(words: &[String], large: bool) -> Result<Vec<&'static Workload>, Failure> {
    for word in words {
        if !workload::ALL.iter().any(|workload| workload.is_meant_by(word)) {
            return Err(format!("no workload {word}; see `compare list`").into());
        }
    }
    let chosen = workload::ALL.iter().filter(|workload| {
        let by_name = |word: &String| workload.id.eq_ignore_ascii_case(word);
        let meant = words.is_empty() || words.iter().any(|word| workload.is_meant_by(word));
        meant && (!workload.large || large || words.iter().any(by_name))
    });
    Ok(chosen.collect())
}

fn list() {
    println!("workloads");
    for workload in workload::ALL {
        let large = if workload.large { " (with --large)" } else { "" };
        println!("  {:14} {}, {} B{large}", workload.id, workload.about, workload.payload_bytes);
    }
    println!("\nengines");
    for adapter in engines::all() {
        println!("  {:14} {}", adapter.name, adapter.durable_by);
        for (need, reason) in adapter.lacks {
            println!("  {:14}   not {need:?}: {reason}", "");
        }
    }
    for (name, reason) in engines::left_out() {
        println!("  {name:14} {reason}");
    }
}
