//! What opening a log of many segments costs, with the checkpoint of the streams and without.
//!
//! `open_table [--dir DIR] [--streams N] [--events N] [--segment-bytes N] [--rounds N]`
//!
//! Every stream has so many events (two), far apart. Both ways are taken in turn, in one run; printed are the
//! medians of the time that went by and of the processor time of the opening thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use quipu::{Batch, Durability, Event, Log};
use quipu_bench::machine;
use quipu_bench::measure::Failure;

/// Events of a batch.
const BATCH: u64 = 100;

fn main() -> Result<(), Failure> {
    let (mut directory, mut rounds, mut events) = (std::env::temp_dir(), 9, 2_u64);
    let (mut streams, mut segment_bytes) = (1_000_000_u64, 256 << 10);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--dir" => directory = PathBuf::from(value),
            "--events" => events = value.parse()?,
            "--streams" => streams = value.parse()?,
            "--segment-bytes" => segment_bytes = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    let root = tempfile::tempdir_in(directory)?;
    println!("{}", machine::describe(root.path()));
    let log = Log::options()
        .segment_bytes(segment_bytes)
        .durability(Durability::Buffered)
        .open(root.path())?;
    for first in (0..events * streams).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for number in first..(first + BATCH).min(events * streams) {
            let stream = format!("order-{}", number % streams);
            batch.push(stream, &Event::new("T", &b"{}"[..]));
        }
        log.append(batch)?;
    }
    log.close()?;
    let table = root.path().join("streams.ckpt");
    let kept = fs::read(&table)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut segments = 0;
    for _ in 0..rounds {
        fs::write(&table, &kept)?;
        with.push(open(root.path(), true, &mut segments)?);
        fs::remove_file(&table)?;
        without.push(open(root.path(), false, &mut segments)?);
    }
    println!(
        "{segments} segments of {segment_bytes} bytes, {streams} streams, {} events, {} bytes of streams.ckpt",
        events * streams,
        kept.len()
    );
    for (what, mut times) in [("with", with), ("without", without)] {
        times.sort_unstable();
        let (took, _) = times.get(times.len() / 2).copied().unwrap_or_default();
        times.sort_unstable_by_key(|(_, cpu)| *cpu);
        let (_, cpu) = times.get(times.len() / 2).copied().unwrap_or_default();
        println!("{what:8} {:8.1} ms, {:8.1} ms of processor", millis(took), millis(cpu));
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Opens for reading, so that nothing is written in between.
fn open(
    directory: &Path,
    with: bool,
    segments: &mut usize,
) -> Result<(Duration, Duration), Failure> {
    let (started, cpu) = (Instant::now(), clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let log = Log::open_read_only(directory)?;
    let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)? - cpu;
    let took = started.elapsed();
    let report = log.recovery_report();
    if report.stream_table_used != with {
        return Err("the checkpoint of the streams was not used as it should be".into());
    }
    *segments = report.segments;
    Ok((took, cpu.into()))
}
