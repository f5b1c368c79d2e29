//! Engine and floor in turn, round by round, in one process: how many times the floor's time does
//! the engine take?
//!
//! `floor_compare [--dir DIR] [--rounds N] [--seconds S] [--only NAME] [--side engine|floor]
//! [--store NAME] [--segment-mib N]`
//!
//! With `--side` only one of the two runs: for a profiler. With segments so large that none is
//! prepared meanwhile, appends are seen without that.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quipu::{Durability, Log, StoreMode};
use quipu_bench::floor::{Floor, GroupCommit, Store, pipelined};
use quipu_bench::measure::{Failure, Ratios, rate, rate_of_threads};
use quipu_bench::{
    BATCH_EVENTS, IN_FLIGHT_MAX, PAYLOAD_BYTES, STREAM_EVENTS, engine, machine, prepared, sum,
};

const PAYLOAD: [u8; PAYLOAD_BYTES] = [7; PAYLOAD_BYTES];

/// Streams in the log that is read.
const STREAMS: u64 = 2_000;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse()?;
    let root = tempfile::tempdir_in(&arguments.dir)?;
    println!("{}", machine::describe(root.path()));
    println!("{}", Row::HEAD);
    for (store, mode) in [
        ("by size", StoreMode::default()),
        ("mapped", StoreMode::Mapped),
        ("positioned", StoreMode::Positioned),
    ] {
        let here = Here { root: root.path(), arguments: &arguments, store, mode };
        if arguments.store.as_ref().is_none_or(|wanted| wanted == store) {
            here.appends()?;
        }
    }
    let here =
        Here { root: root.path(), arguments: &arguments, store: "", mode: StoreMode::default() };
    here.reads()
}

struct Arguments {
    dir: PathBuf,
    rounds: usize,
    duration: Duration,
    only: Option<String>,
    side: Option<String>,
    store: Option<String>,
    segment_bytes: u64,
}

impl Arguments {
    fn parse() -> Result<Self, Failure> {
        let mut parsed = Self {
            dir: std::env::temp_dir(),
            rounds: 5,
            duration: Duration::from_millis(500),
            only: None,
            side: None,
            store: None,
            segment_bytes: 64 << 20,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--dir" => parsed.dir = value.into(),
                "--rounds" => parsed.rounds = value.parse()?,
                "--seconds" => parsed.duration = Duration::from_secs_f64(value.parse()?),
                "--only" => parsed.only = Some(value),
                "--side" => parsed.side = Some(value),
                "--store" => parsed.store = Some(value),
                "--segment-mib" => parsed.segment_bytes = value.parse::<u64>()? << 20,
                _ => return Err(format!("unknown argument {name}").into()),
            }
        }
        Ok(parsed)
    }
}

/// A line of the table.
struct Row<'a> {
    name: &'a str,
    store: &'a str,
    /// Events that one count of a rate stands for.
    events: f64,
    ratios: Ratios,
}

impl Row<'_> {
    const HEAD: &'static str = "workload                          store        engine ev/s   floor \
                                ev/s   times the floor's time: median (least, most)";

    fn print(&self) {
        let (engine, floor) = self.ratios.medians();
        let (median, least, most) = self.ratios.ratio();
        println!(
            "{:32}  {:10}  {:>12.0}  {:>12.0}   {median:.2} ({least:.2}, {most:.2})",
            self.name,
            self.store,
            engine * self.events,
            floor * self.events,
        );
    }
}

/// Where a workload runs.
struct Here<'a> {
    root: &'a Path,
    arguments: &'a Arguments,
    store: &'a str,
    mode: StoreMode,
}

impl Here<'_> {
    fn appends(&self) -> Result<(), Failure> {
        let duration = self.arguments.duration;
        let floor_store = match self.mode {
            StoreMode::Positioned => Store::Write,
            _ => Store::Copy,
        };
        // Of much at a time the quicker of the two.
        let large_store = match self.mode {
            StoreMode::Mapped => Store::Copy,
            _ => Store::Write,
        };
        let floor = || Floor::new(&self.root.join("floor"), floor_store);
        self.compare("W1 durable 256 B, 1 thread", 1, Durability::Sync, |log| {
            let mut floor = floor()?;
            let log = log.clone();
            Ok((
                Box::new(move || rate(duration, || Ok(log.append(engine::single(0)).map(drop)?))),
                Box::new(move || rate(duration, || Ok(floor.durable(&PAYLOAD)?))),
            ))
        })?;
        for threads in [16, 64] {
            let name = format!("W2 durable 256 B, {threads} threads");
            self.compare(&name, 1, Durability::Sync, |log| {
                let group = GroupCommit::new(&self.root.join("floor"), floor_store)?;
                let log = log.clone();
                Ok((
                    Box::new(move || {
                        rate_of_threads(duration, threads, |thread| {
                            Ok(log.append(engine::single(thread)).map(drop)?)
                        })
                    }),
                    Box::new(move || {
                        rate_of_threads(duration, threads, |_| Ok(group.durable(&PAYLOAD)?))
                    }),
                ))
            })?;
        }
        const TURN: u64 = 8 * IN_FLIGHT_MAX;
        self.compare("W2p durable 256 B, 8192 in flight", TURN, Durability::Sync, |log| {
            let mut floor = floor()?;
            let log = log.clone();
            Ok((
                Box::new(move || rate(duration, || Ok(engine::pipelined(&log, TURN)?))),
                Box::new(move || {
                    rate(duration, || Ok(pipelined(&mut floor, &PAYLOAD, IN_FLIGHT_MAX, TURN)?))
                }),
            ))
        })?;
        let events = BATCH_EVENTS as u64;
        self.compare("W3 durable 1000 x 256 B", events, Durability::Sync, |log| {
            let mut floor = Floor::new(&self.root.join("floor"), large_store)?;
            let log = log.clone();
            let bytes = vec![7; BATCH_EVENTS * PAYLOAD_BYTES];
            Ok((
                Box::new(move || rate(duration, || Ok(log.append(engine::large()).map(drop)?))),
                Box::new(move || rate(duration, || Ok(floor.durable(&bytes)?))),
            ))
        })?;
        self.compare("W4 buffered 256 B / bare pwrite", 1, Durability::Buffered, |log| {
            let mut floor = Floor::new(&self.root.join("floor"), Store::Write)?;
            let log = log.clone();
            Ok((
                Box::new(move || rate(duration, || Ok(log.append(engine::single(0)).map(drop)?))),
                Box::new(move || rate(duration, || Ok(floor.buffered(&PAYLOAD)?))),
            ))
        })
    }

    fn reads(&self) -> Result<(), Failure> {
        let duration = self.arguments.duration;
        let directory = self.root.join("read");
        let log = engine::open(&directory, StoreMode::default(), Durability::Buffered)?;
        engine::fill(&log, STREAMS)?;
        let total = STREAMS * STREAM_EVENTS;
        let bytes = usize::try_from(total)? * PAYLOAD_BYTES;
        let mut file = prepared::PreparedFile::new(&self.root.join("bytes"), bytes)?;
        for _ in 0..total {
            file.copy(&PAYLOAD)?;
        }
        let all = || {
            rate(duration, || {
                black_box(sum(file.bytes()));
                Ok(())
            })
        };
        let one = |scan: &dyn Fn() -> Result<u64, quipu::ReadError>| {
            rate(duration, || {
                black_box(scan()?);
                Ok(())
            })
        };
        self.take_turns("W6 scan by batch / sum of bytes", total, || {
            Ok((self.engine(|| one(&|| engine::scan_batches(&log)))?, self.floor(all)?))
        })?;
        self.take_turns("W6 scan by event / sum of bytes", total, || {
            Ok((self.engine(|| one(&|| engine::scan_events(&log)))?, self.floor(all)?))
        })?;
        // Streams in an order that no cache foresees; the events of one stand a round apart.
        let mut at = 0;
        let mut next = move || {
            at = (at + 769) % STREAMS;
            at
        };
        let stride = usize::try_from(STREAMS)? * PAYLOAD_BYTES;
        self.take_turns("W7 stream of 100 / sum of bytes", STREAM_EVENTS, || {
            let engine = self.engine(|| {
                rate(duration, || {
                    black_box(engine::read_stream(&log, next())?);
                    Ok(())
                })
            })?;
            let floor = self.floor(|| {
                rate(duration, || {
                    let start = usize::try_from(next())? * PAYLOAD_BYTES;
                    for event in 0..usize::try_from(STREAM_EVENTS)? {
                        let from = start + event * stride;
                        black_box(sum(file.bytes().get(from..from + PAYLOAD_BYTES).unwrap_or(&[])));
                    }
                    Ok(())
                })
            })?;
            Ok((engine, floor))
        })
    }

    /// Compares on a log of its own. The two halves are built before the first round.
    fn compare(
        &self,
        name: &str,
        events: u64,
        durability: Durability,
        halves: impl FnOnce(&Log) -> Result<(Half, Half), Failure>,
    ) -> Result<(), Failure> {
        if self.is_left_out(name) {
            return Ok(());
        }
        let directory = self.root.join("log");
        let options = Log::options().store_mode(self.mode).durability(durability);
        let log = options.segment_bytes(self.arguments.segment_bytes).open(&directory)?;
        let (mut engine, mut floor) = halves(&log)?;
        self.take_turns(name, events, || Ok((self.engine(&mut engine)?, self.floor(&mut floor)?)))?;
        drop((engine, floor));
        log.close()?;
        Ok(std::fs::remove_dir_all(directory)?)
    }

    /// One round to warm up, then those that count.
    fn take_turns(
        &self,
        name: &str,
        events: u64,
        mut round: impl FnMut() -> Result<(f64, f64), Failure>,
    ) -> Result<(), Failure> {
        if self.is_left_out(name) {
            return Ok(());
        }
        round()?;
        let mut ratios = Ratios::default();
        for _ in 0..self.arguments.rounds {
            let (engine, floor) = round()?;
            ratios.add(engine, floor);
        }
        Row { name, store: self.store, events: events as f64, ratios }.print();
        Ok(())
    }

    /// The engine's half of a round, unless only the other is wanted.
    fn engine(&self, half: impl FnOnce() -> Result<f64, Failure>) -> Result<f64, Failure> {
        if self.arguments.side.as_deref() == Some("floor") { Ok(f64::NAN) } else { half() }
    }

    /// The floor's half of a round, unless only the other is wanted.
    fn floor(&self, half: impl FnOnce() -> Result<f64, Failure>) -> Result<f64, Failure> {
        if self.arguments.side.as_deref() == Some("engine") { Ok(f64::NAN) } else { half() }
    }

    fn is_left_out(&self, name: &str) -> bool {
        self.arguments.only.as_ref().is_some_and(|only| !name.contains(only.as_str()))
    }
}

/// The engine's half of a round, or the floor's.
type Half = Box<dyn FnMut() -> Result<f64, Failure>>;
