//! A log of many events and streams: opening, memory, reading.
//!
//! `at_scale [--dir DIR] [--chart FILE] [EVENTS ...]`
//!
//! For each number of events (100,000, 1 and 10 million) a log is made, in batches of ten: half of the
//! events in streams of 100, the other half spread over as many streams that there are ten events to a
//! stream in all. Then a process of its own opens it after a clean close, and tells how long that took,
//! how much memory of its own it needs, how fast it reads streams of 100 at random, and how soon it has
//! the last ten events of one. Then all files that are derived from segments are removed, and it is
//! opened once more. The floor of an opening is to read those files. Last, as many events of no more than
//! ten thousand streams: what an opening takes goes by streams, not by bytes. `--chart` draws the openings.
//!
//! Memory is told twice: as the log is left, with the lists of the segment that is written, and once more
//! when that one is full, has its index, and the next has just begun: what remains is the index of streams,
//! and their names. The lists are the fixed part: never more than the events of a segment need.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use quipu::{Batch, Durability, Event, Log};
use quipu_bench::chart::{self, Line};
use quipu_bench::measure::Failure;
use quipu_bench::{STREAM_EVENTS, machine, sum};

/// Events of a batch, each of another stream.
const BATCH: u64 = 10;
const PAYLOAD: [u8; 64] = [7; 64];
/// So many events there are to a stream, over all.
const EVENTS_A_STREAM: u64 = 10;
/// No more than so many where events grow and streams do not.
const FEW_STREAMS: u64 = 10_000;
const OPENINGS: usize = 7;
const READING: Duration = Duration::from_secs(2);
const LAST_TENS: usize = 5_000;

fn main() -> Result<(), Failure> {
    let (mut directory, mut picture, mut sizes) = (env::temp_dir(), None, Vec::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--dir" => directory = PathBuf::from(value()?),
            "--chart" => picture = Some(PathBuf::from(value()?)),
            "--open" => return open(Path::new(&value()?)),
            "--look" => return look(Path::new(&value()?)),
            "--rebuild" => return rebuild(Path::new(&value()?)),
            "--memory" => return memory(Path::new(&value()?)),
            size => sizes.push(size.parse::<u64>()?),
        }
    }
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000, 10_000_000];
    }
    println!("{}", machine::describe(&directory));
    let mut lines = [
        Line::new("with all indexes"),
        Line::new("with none of them"),
        Line::new("with all indexes, ten thousand streams in all"),
    ];
    for events in sizes {
        let root = tempfile::tempdir_in(&directory)?;
        fill(root.path(), events, events / EVENTS_A_STREAM)?;
        let (segments, derived) = (bytes_of(root.path(), true)?, bytes_of(root.path(), false)?);
        println!(
            "\n{events} events, {} streams: {} MiB of segments, {} MiB derived from them",
            events / EVENTS_A_STREAM,
            segments >> 20,
            derived >> 20
        );
        let with = told(&["--look", &root.path().to_string_lossy()])?;
        remove_derived(root.path())?;
        let without = told(&["--rebuild", &root.path().to_string_lossy()])?;
        begin_segment(root.path())?;
        told(&["--memory", &root.path().to_string_lossy()])?;
        drop(root);
        let few = tempfile::tempdir_in(&directory)?;
        fill(few.path(), events, (events / EVENTS_A_STREAM).min(FEW_STREAMS))?;
        println!("the same number of events in no more than {FEW_STREAMS} streams:");
        let few = told(&["--open", &few.path().to_string_lossy()])?;
        for (line, millis) in lines.iter_mut().zip([with, without, few]) {
            line.points.push((events as f64, millis));
        }
    }
    match picture {
        Some(file) => chart::draw(&file, "Opening a log", ("events", "ms"), &lines),
        None => Ok(()),
    }
}

/// Streams of 100 events; they hold half of all events.
fn long_streams(events: u64) -> u64 {
    (events / 2 / STREAM_EVENTS).max(1)
}

fn fill(directory: &Path, events: u64, streams: u64) -> Result<(), Failure> {
    let long = long_streams(events).min((streams / 2).max(1));
    let short = streams.saturating_sub(long).max(1);
    let log = Log::options().durability(Durability::Buffered).open(directory)?;
    for first in (0..events).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for number in first..(first + BATCH).min(events) {
            let nth = number / 2;
            let stream = match number % 2 {
                0 => format!("order-{}", nth % long),
                _ => format!("visit-{}", nth % short),
            };
            batch.push(stream, &Event::new("T", &PAYLOAD));
        }
        log.append(batch)?;
    }
    log.close()?;
    Ok(())
}

/// Runs a part in a process of its own, passes on what it tells, and gives its last number.
fn told(arguments: &[&str]) -> Result<f64, Failure> {
    let output = Command::new(env::current_exe()?).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let (last, lines) = text.lines().rev().collect::<Vec<_>>().split_first().map_or_else(
        || (String::new(), Vec::new()),
        |(last, lines)| (last.to_string(), lines.iter().rev().map(ToString::to_string).collect()),
    );
    lines.iter().for_each(|line| println!("{line}"));
    Ok(last.parse()?)
}

/// In a process of its own: opens the log as it is, and reads.
fn look(directory: &Path) -> Result<(), Failure> {
    let before = own_memory()?;
    let log = Log::open_read_only(directory)?;
    let memory = own_memory()?.saturating_sub(before);
    let events = log.end().as_u64();
    let streams = log.recovery_report().streams as u64;
    let opened = opening(directory)?;
    println!(
        "memory: {memory} bytes, {:.1} for each of {streams} streams",
        memory as f64 / streams as f64
    );
    read_streams(&log, events)?;
    println!("{}", millis(opened));
    Ok(())
}

/// In a process of its own: opens the log as it is.
fn open(directory: &Path) -> Result<(), Failure> {
    println!("{}", millis(opening(directory)?));
    Ok(())
}

/// Opens the log several times, tells what that took beside its floor, and gives it.
fn opening(directory: &Path) -> Result<Duration, Failure> {
    let (mut openings, mut of_processor) = (Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        let (started, cpu) = (Instant::now(), processor_time()?);
        let opened = Log::open_read_only(directory)?;
        openings.push(started.elapsed());
        of_processor.push(processor_time()?.saturating_sub(cpu));
        drop(opened);
    }
    let started = Instant::now();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if !is_segment(&path) {
            black_box(sum(&fs::read(path)?));
        }
    }
    let floor = started.elapsed();
    let opened = median(&mut openings);
    println!(
        "opened after a clean close in {:.1} ms ({:.1} ms of processor; medians of {OPENINGS}); to read the derived files takes {:.1} ms",
        millis(opened),
        millis(median(&mut of_processor)),
        millis(floor)
    );
    Ok(opened)
}

fn read_streams(log: &Log, events: u64) -> Result<(), Failure> {
    let long = long_streams(events);
    let mut random = Random(events);
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < READING {
        let mut total = 0;
        for event in log.read_stream(format!("order-{}", random.below(long)), ..) {
            total += sum(event?.payload());
            count += 1;
        }
        black_box(total);
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for _ in 0..LAST_TENS {
        let name = format!("order-{}", random.below(long));
        let started = Instant::now();
        let last = log.read_stream(name, ..).backward().limit(10).into_iter();
        let last = last.collect::<Result<Vec<_>, _>>()?;
        times.push(started.elapsed());
        if last.len() != 10 {
            return Err(format!("{} of the last ten", last.len()).into());
        }
    }
    let middle = median(&mut times);
    let late = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    println!(
        "streams of {STREAM_EVENTS} at random: {:.2} million events/s; the last ten of one: {:.1} us at the median, {:.1} us at p99",
        rate / 1e6,
        millis(middle) * 1e3,
        millis(late) * 1e3
    );
    Ok(())
}

/// In a process of its own: opens the log without anything that is derived.
fn rebuild(directory: &Path) -> Result<(), Failure> {
    let (started, cpu) = (Instant::now(), processor_time()?);
    let log = Log::open(directory)?;
    let took = started.elapsed();
    let of_processor = processor_time()?.saturating_sub(cpu);
    let made = log.recovery_report().indexes_made;
    println!(
        "opened with all of them removed in {:.1} ms ({:.1} ms of processor); {made} indexes made again",
        millis(took),
        millis(of_processor)
    );
    println!("{}", millis(took));
    Ok(())
}

/// Fills the segment that is written, so that the next one begins.
fn begin_segment(directory: &Path) -> Result<(), Failure> {
    let log = Log::options().durability(Durability::Buffered).open(directory)?;
    let begun = log.stats().segments;
    let payload = vec![7; 1 << 20];
    while log.stats().segments == begun {
        log.append(Batch::new().event(FILLER, Event::new("T", &payload[..])))?;
    }
    log.close()?;
    Ok(())
}

/// The stream that fills a segment.
const FILLER: &str = "filler";

/// In a process of its own: what the index of streams needs, where the segment that is written is empty.
fn memory(directory: &Path) -> Result<(), Failure> {
    let before = own_memory()?;
    let log = Log::open_read_only(directory)?;
    let memory = own_memory()?.saturating_sub(before) as f64;
    let streams = log.recovery_report().streams as f64;
    let events = log.end().as_u64();
    let mut names = std::collections::HashSet::new();
    for event in log.read(..) {
        names.insert(event?.stream().to_owned());
    }
    let bytes = names.iter().map(String::len).sum::<usize>() as f64;
    println!(
        "memory behind a full segment: {:.1} bytes for each stream, of which {:.1} its name, {:.1} all else",
        memory / streams,
        bytes / streams,
        (memory - bytes) / streams
    );
    println!("{events}");
    Ok(())
}

fn remove_derived(directory: &Path) -> Result<(), Failure> {
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "idx" || extension == "ckpt") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn bytes_of(directory: &Path, segments: bool) -> Result<u64, Failure> {
    let mut bytes = 0;
    for file in fs::read_dir(directory)? {
        let file = file?;
        if is_segment(&file.path()) == segments {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Bytes of this process that are in no file.
fn own_memory() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no RssAnon")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

/// What all threads of this process have had of the processors: says more than the time that has passed,
/// on a machine that does other work too.
fn processor_time() -> Result<Duration, Failure> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Numbers that are spread well enough to be no pattern.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}
