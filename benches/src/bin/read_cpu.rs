//! What a read costs in processor time, for machines that do other things as well.
//!
//! `read_cpu [--dir DIR] [--rounds N]`
//!
//! Counts the time that the reading thread was on a processor, not the time that went by: so it
//! tells one version of the engine from the next where `floor_compare` drowns in noise. What is
//! printed is the quarter of the rounds that was disturbed least: caches and memory are shared still.

use std::hint::black_box;
use std::path::PathBuf;

use nix::time::{ClockId, clock_gettime};
use quipu::{Batch, Durability, Event, Log, StoreMode};
use quipu_bench::measure::Failure;
use quipu_bench::{PAYLOAD_BYTES, STREAM_EVENTS, engine, machine, prepared, sum};

/// Streams in the log of batches of ten events, and in that of batches of one.
const STREAMS: [u64; 2] = [2_000, 1_000];

fn main() -> Result<(), Failure> {
    let (mut directory, mut rounds) = (std::env::temp_dir(), 30);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--dir" => directory = PathBuf::from(value),
            "--rounds" => rounds = value.parse()?,
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    let root = tempfile::tempdir_in(directory)?;
    println!("{}", machine::describe(root.path()));
    println!("{:46}  ns of processor time an event", "");
    let [tens, ones] = STREAMS.map(|streams| root.path().join(streams.to_string()));
    let log = engine::open(&tens, StoreMode::Mapped, Durability::Buffered)?;
    engine::fill(&log, STREAMS[0])?;
    log.close()?;
    let log = engine::open(&ones, StoreMode::Mapped, Durability::Buffered)?;
    for number in 0..STREAMS[1] * STREAM_EVENTS {
        let event = Event::new("Happened", &[7; PAYLOAD_BYTES]);
        log.append(Batch::new().event(format!("stream-{}", number % STREAMS[1]), event))?;
    }
    log.close()?;

    let total = STREAMS[0] * STREAM_EVENTS;
    let bytes = usize::try_from(total)? * PAYLOAD_BYTES;
    let mut file = prepared::PreparedFile::new(&root.path().join("bytes"), bytes)?;
    (0..total).try_for_each(|_| file.copy(&[7; PAYLOAD_BYTES]))?;
    report("sum of the same bytes", rounds, total, || Ok(sum(black_box(file.bytes()))))?;
    for verify in [true, false] {
        for (path, streams, batch) in [(&tens, STREAMS[0], "ten"), (&ones, STREAMS[1], "one")] {
            let log = Log::options().verify_reads(verify).open(path)?;
            let checked = if verify { "verified" } else { "trusted" };
            let name = |what: &str| format!("{what}, batches of {batch}, {checked}");
            let total = streams * STREAM_EVENTS;
            report(&name("scan by batch"), rounds, total, || Ok(engine::scan_batches(&log)?))?;
            report(&name("scan by event"), rounds, total, || Ok(engine::scan_events(&log)?))?;
            let mut at = 0;
            report(&name("streams of 100"), rounds, 200 * STREAM_EVENTS, || {
                for _ in 0..200 {
                    // In an order that no cache foresees.
                    at = (at + 769) % streams;
                    black_box(engine::read_stream(&log, at)?);
                }
                Ok(0)
            })?;
        }
    }
    Ok(())
}

/// Prints what one of `events` costs in the quarter of the rounds that was disturbed least.
fn report(
    name: &str,
    rounds: usize,
    events: u64,
    mut round: impl FnMut() -> Result<u64, Failure>,
) -> Result<(), Failure> {
    let mut costs = Vec::new();
    for _ in 0..rounds.max(1) {
        let before = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
        black_box(round()?);
        let taken = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)? - before;
        let seconds = taken.tv_sec() as f64 + taken.tv_nsec() as f64 / 1e9;
        costs.push(seconds * 1e9 / events as f64);
    }
    costs.sort_by(f64::total_cmp);
    let cost = costs.get(costs.len() / 4).copied().unwrap_or(f64::NAN);
    println!("{name:46}  {cost:8.1}");
    Ok(())
}
