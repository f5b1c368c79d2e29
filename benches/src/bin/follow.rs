//! How soon a reader in another process sees what was committed, and what that costs either of them.
//!
//! Appends in this process, one at a time, and follows the log in a second one, which runs this program
//! too. Prints, for several paces of the writer, the time from the return of `append` to the delivery by
//! the reader's subscription (before the return counts as none), the processor time that the reader takes
//! while it waits in vain, and the rate of appends with and without it.
//! `QUIPU_BENCH_DIR` says on which disk.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use quipu::{Batch, Delivery, Event, Log, Position};
use quipu_bench::PAYLOAD_BYTES;

type Anything<T> = Result<T, Box<dyn Error>>;

fn main() -> Anything<()> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "reader") {
        let directory = arguments.next().ok_or("no directory")?;
        return read(Path::new(&directory));
    }
    let disk = std::env::var_os("QUIPU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let root = tempfile::tempdir_in(disk)?;
    println!("commit to delivery in another process, in microseconds");
    for (pace, count) in [(None, 20_000), (Some(1), 1_000), (Some(20), 100)] {
        let directory = root.path().join(format!("log-{pace:?}"));
        let log = Log::open(&directory)?;
        let reader = Reader::start(&directory)?;
        let returned = append(&log, count, pace.map(Duration::from_millis))?;
        log.close()?;
        let mut late: Vec<u64> = reader.end(count)?.into_iter().zip(returned).map(late).collect();
        late.sort_unstable();
        let at =
            |part: f64| late.get((late.len() as f64 * part) as usize).map_or(0, |ns| ns / 1000);
        let pace = pace.map_or("at full speed".to_owned(), |ms| format!("one in {ms} ms"));
        let (half, most, worst) = (at(0.5), at(0.99), late.last().map_or(0, |ns| ns / 1000));
        println!("  {pace:16} p50 {half:6}  p99 {most:6}  most {worst:6}");
    }
    let directory = root.path().join("idle");
    let log = Log::open(&directory)?;
    let reader = Reader::start(&directory)?;
    std::thread::sleep(Duration::from_millis(200));
    let (before, started) = (reader.processor_time()?, Instant::now());
    std::thread::sleep(IDLE);
    let taken = reader.processor_time()? - before;
    let part = taken.as_secs_f64() / started.elapsed().as_secs_f64();
    println!("a reader that waits in vain takes {:.2} % of a processor", part * 100.0);
    drop((reader, log));
    for is_read in [false, true, false, true] {
        let directory = root.path().join(format!("rate-{is_read}"));
        let log = Log::open(&directory)?;
        let reader = if is_read { Some(Reader::start(&directory)?) } else { None };
        let started = Instant::now();
        append(&log, 20_000, None)?;
        let rate = 20_000.0 / started.elapsed().as_secs_f64();
        println!("durable appends a second, one thread, reader {is_read:5}: {rate:.0}");
        drop((reader, log));
        std::fs::remove_dir_all(directory)?;
    }
    Ok(())
}

const IDLE: Duration = Duration::from_secs(3);

/// Appends so many events; gives when each append returned.
fn append(log: &Log, count: u64, pace: Option<Duration>) -> Anything<Vec<u64>> {
    let mut returned = Vec::new();
    for _ in 0..count {
        log.append(Batch::new().event("s", Event::new("T", &[7; PAYLOAD_BYTES])))?;
        returned.push(now()?);
        pace.into_iter().for_each(std::thread::sleep);
    }
    Ok(returned)
}

/// How long after the append's return it was delivered.
fn late((delivered, returned): (u64, u64)) -> u64 {
    delivered.saturating_sub(returned)
}

/// The clock that all processes share, in nanoseconds.
fn now() -> Anything<u64> {
    Ok(u64::try_from(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_nanos())?)
}

/// The second process: says when each event has come, once a line on its input has said how many.
fn read(directory: &Path) -> Anything<()> {
    let log = Log::open_read_only(directory)?;
    let mut delivered = Vec::new();
    let subscription = log.subscribe(Position::ZERO).start();
    let canceller = subscription.canceller();
    let last = std::thread::spawn(move || {
        let mut line = String::new();
        let asked = std::io::stdin().read_line(&mut line);
        let count: u64 = asked.ok().and_then(|_| line.trim().parse().ok()).unwrap_or_default();
        while log.end().as_u64() < count {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(100));
        canceller.cancel();
    });
    println!("ready");
    for delivery in subscription {
        if let Delivery::Event(_) = delivery? {
            delivered.push(now()?);
        }
    }
    last.join().map_err(|_| "the thread that waits for the end panicked")?;
    let mut out = std::io::stdout().lock();
    delivered.into_iter().try_for_each(|at| writeln!(out, "{at}"))?;
    Ok(())
}

/// The reading process; killed when this is dropped.
struct Reader {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Reader {
    fn start(directory: &Path) -> Anything<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("reader").arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        said.read_line(&mut String::new())?;
        Ok(Self { child, said })
    }

    /// When each of so many events came.
    fn end(mut self, count: u64) -> Anything<Vec<u64>> {
        writeln!(self.child.stdin.take().ok_or("no pipe")?, "{count}")?;
        let lines = self.said.by_ref().lines();
        lines.map(|line| Ok(line?.parse()?)).collect()
    }

    /// User's and system's, as the system counts them.
    fn processor_time(&self) -> Anything<Duration> {
        let mut all = Duration::ZERO;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let run = text.split(' ').next().ok_or("no figures")?.parse()?;
            all += Duration::from_nanos(run);
        }
        Ok(all)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
