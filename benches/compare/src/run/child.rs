//! Processes of this program that carry out one task each.
//!
//! Owns: the command line that a task becomes and how it is read back ([`TaskArguments`]), starting
//! such a process and taking its answer ([`Child`]), ending one ([`end`]). May call: measure.
//!
//! A child ends by `_exit`: nothing is closed, no destructor runs, and what the engine holds back in
//! the process is gone. What it has to say goes before that, in one line of its output.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use wait_timeout::ChildExt;

use crate::engine::{Adapter, Durability, Failure};
use crate::measure::{Measured, Order, Task, carry_out};
use crate::workload::{Fill, named};

/// A task as it stands on a command line.
#[derive(Debug, Clone, Args)]
pub struct TaskArguments {
    /// The engine.
    #[arg(long)]
    engine: String,
    /// The directory of the log.
    #[arg(long)]
    dir: PathBuf,
    /// fill, crash, touch, count, syncs, refusals or measure.
    #[arg(long)]
    task: String,
    /// What is measured.
    #[arg(long, default_value = "")]
    workload: String,
    /// How long.
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
    /// Events in the log, or to append.
    #[arg(long, default_value_t = 0)]
    events: u64,
    /// Events to a batch; 0: there was no fill.
    #[arg(long, default_value_t = 0)]
    batch: usize,
    /// Streams of the fill.
    #[arg(long, default_value_t = 0)]
    streams: u32,
    /// Streams of each batch.
    #[arg(long, default_value_t = 0)]
    batch_streams: u32,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 0)]
    payload: usize,
    /// Whether appends need not be durable.
    #[arg(long)]
    buffered: bool,
}

impl TaskArguments {
    fn of(adapter: &Adapter, order: &Order) -> Vec<String> {
        let mut arguments = vec![
            "task".to_owned(),
            "--engine".to_owned(),
            adapter.name.to_owned(),
            "--dir".to_owned(),
            order.directory.to_string_lossy().into_owned(),
        ];
        let mut add = |name: &str, value: String| {
            arguments.push(format!("--{name}"));
            arguments.push(value);
        };
        let add_fill = |add: &mut dyn FnMut(&str, String), fill: Fill| {
            add("batch", fill.batch.to_string());
            add("streams", fill.streams.to_string());
            add("batch-streams", fill.batch_streams.to_string());
            add("payload", fill.payload_bytes.to_string());
        };
        let mut buffered = false;
        match order.task {
            Task::Fill(fill, durability) | Task::Crash(fill, durability) => {
                let is_fill = matches!(order.task, Task::Fill(..));
                add("task", if is_fill { "fill" } else { "crash" }.to_owned());
                add("events", fill.events.to_string());
                add_fill(&mut add, fill);
                buffered = durability == Durability::Buffered;
            }
            Task::Touch(payload) | Task::Count(payload) => {
                let is_touch = matches!(order.task, Task::Touch(_));
                add("task", if is_touch { "touch" } else { "count" }.to_owned());
                add("payload", payload.to_string());
            }
            Task::Syncs { appends, refused } => {
                add("task", if refused { "refusals" } else { "syncs" }.to_owned());
                add("events", appends.to_string());
            }
            Task::Measure { workload, duration, events, fill } => {
                add("task", "measure".to_owned());
                add("workload", workload.id.to_owned());
                add("seconds", duration.as_secs_f64().to_string());
                add("events", events.to_string());
                if let Some(fill) = fill {
                    add_fill(&mut add, fill);
                }
            }
        }
        arguments.extend(buffered.then(|| "--buffered".to_owned()));
        arguments
    }

    fn order(&self) -> Result<Order, Failure> {
        let fill = Fill {
            events: self.events,
            batch: self.batch,
            streams: self.streams,
            batch_streams: self.batch_streams,
            payload_bytes: self.payload,
        };
        let durability = if self.buffered { Durability::Buffered } else { Durability::Durable };
        let task = match self.task.as_str() {
            "fill" => Task::Fill(fill, durability),
            "crash" => Task::Crash(fill, durability),
            "touch" => Task::Touch(self.payload),
            "count" => Task::Count(self.payload),
            "syncs" => Task::Syncs { appends: self.events, refused: false },
            "refusals" => Task::Syncs { appends: self.events, refused: true },
            "measure" => Task::Measure {
                workload: named(&self.workload).ok_or("no such workload")?,
                duration: Duration::from_secs_f64(self.seconds),
                events: self.events,
                fill: (self.batch > 0).then_some(fill),
            },
            other => return Err(format!("no task {other}").into()),
        };
        Ok(Order { directory: self.dir.clone(), task })
    }
}

/// Before the answer in a child's output, in which engines write too.
const ANSWER: &str = "quipu-compare-answer ";

/// Carries out the task of a command line and ends the process, with the log open.
pub fn end(arguments: &TaskArguments) -> ! {
    let answer = arguments.order().and_then(|order| {
        let adapter = crate::engines::named(&arguments.engine).ok_or("no such engine")?;
        let measured = carry_out(adapter, &order)?;
        Ok(serde_json::to_string(&measured)?)
    });
    let code = match answer {
        Ok(line) => {
            println!("\n{ANSWER}{line}");
            0
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    let _ = std::io::stdout().flush();
    signal_hook::low_level::exit(code)
}

/// A child that is about to be started.
pub struct Child {
    command: Command,
    limit: Duration,
}

impl Child {
    /// For a task of this program, `program`; what it prints goes to files in `scratch`.
    #[must_use]
    pub fn new(program: &Path, adapter: &Adapter, order: &Order, limit: Duration) -> Self {
        let mut command = Command::new(program);
        command.args(TaskArguments::of(adapter, order));
        Self { command: of_engines(command, order), limit }
    }

    /// The same, started by another program that gets `arguments` before it.
    #[must_use]
    pub fn under(
        (tracer, arguments): (&str, &[&str]),
        program: &Path,
        adapter: &Adapter,
        order: &Order,
        limit: Duration,
    ) -> Self {
        let mut command = Command::new(tracer);
        command.args(arguments).arg(program).args(TaskArguments::of(adapter, order));
        Self { command: of_engines(command, order), limit }
    }

    /// Starts it, waits for its end, and gives its answer.
    ///
    /// # Errors
    /// What it says before it fails; that it takes too long.
    pub fn run(mut self) -> Result<Measured, Failure> {
        let (mut output, mut errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
        self.command.stdin(Stdio::null());
        self.command.stdout(output.try_clone()?).stderr(errors.try_clone()?);
        let mut child = self.command.spawn()?;
        let Some(status) = child.wait_timeout(self.limit)? else {
            child.kill()?;
            child.wait()?;
            return Err(format!("took longer than {} s", self.limit.as_secs()).into());
        };
        let answer = read_back(&mut output)?;
        let answer = answer.lines().rev().find_map(|line| line.strip_prefix(ANSWER));
        match (status.success(), answer) {
            (true, Some(answer)) => Ok(serde_json::from_str(answer)?),
            _ => {
                let said = read_back(&mut errors)?;
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                Err(format!("{status}: {}", last.join(" | ")).into())
            }
        }
    }
}

fn of_engines(mut command: Command, order: &Order) -> Command {
    // walrus takes its directory from here, and is chatty without the other.
    command.env("WALRUS_DATA_DIR", order.directory.join("walrus")).env("WALRUS_QUIET", "1");
    command
}

fn read_back(file: &mut std::fs::File) -> Result<String, Failure> {
    use std::io::{Read, Seek};
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
