//! How many bytes reach the device for one byte of payload, in durable appends of 512 bytes?
//!
//! `device_bytes [--dir DIR] [--appends N] [--rounds N]`
//!
//! Counted in two ways: by the counters of the device under the directory, which count everybody's
//! writes, and by the kernel's count for this process, which is of pages and knows nothing of
//! journals. What others write only adds, so that the least of the rounds counts, and a figure that
//! is too high is measured again, up to [`ROUNDS_MAX`] times. Fails if the engine takes more than
//! [`MOST`].

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use quipu::{Batch, Event, Log, Preparation, StoreMode};
use quipu_bench::machine::{self, Device};
use quipu_bench::measure::Failure;
use quipu_bench::prepared::PreparedFile;

/// Payload bytes of an append.
const PAYLOAD: [u8; 512] = [7; 512];

/// Bytes to the device for one of payload that the engine may take.
const MOST: f64 = 12.0;

/// Rounds after which a figure that is too high is believed.
const ROUNDS_MAX: usize = 12;

/// Room for all appends of a round, so that no segment is prepared meanwhile.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Segments so small that a round fills several: what preparing them costs is counted too.
const SMALL_SEGMENT_BYTES: u64 = 1 << 20;

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse()?;
    let root = tempfile::tempdir_in(&arguments.dir)?;
    println!("{}", machine::describe(root.path()));
    let counted = Counted {
        device: Device::under(root.path()),
        arguments: &arguments,
        is_beyond_hope: false,
    };
    if counted.device.is_none() {
        println!(
            "there is no device to count on under this directory: the process's count holds\n"
        );
    }
    println!("bytes written for one byte of payload                    device   process");
    let mut worst: f64 = 0.0;
    for (store, mode) in [("mapped", StoreMode::Mapped), ("positioned", StoreMode::Positioned)] {
        for (prepared, how) in
            [("populated", Preparation::Populate), ("direct zeros", Preparation::DirectZeros)]
        {
            for (segments, bytes) in
                [("one segment", SEGMENT_BYTES), ("several segments", SMALL_SEGMENT_BYTES)]
            {
                let options = Log::options().store_mode(mode).preparation(how).segment_bytes(bytes);
                let least = counted.least(root.path(), |directory| {
                    let log = options.clone().open(directory)?;
                    Ok(Box::new(move || {
                        let event = Event::new("Measured", &PAYLOAD);
                        Ok(log.append(Batch::new().event("stream", event)).map(drop)?)
                    }))
                })?;
                let name = format!("engine, {store}, {prepared}, {segments}");
                println!("{name:54} {:8.2}  {:8.2}", least.device, least.process);
                worst = worst.max(least.holds());
            }
        }
    }
    let floor = counted.least(root.path(), |directory| {
        let mut file = PreparedFile::new(&directory.join("floor"), 64 << 20)?;
        Ok(Box::new(move || {
            file.copy(&PAYLOAD)?;
            Ok(file.sync()?)
        }))
    })?;
    let name = "bare copy and fdatasync, populated";
    println!("{name:54} {:8.2}  {:8.2}", floor.device, floor.process);
    let badly = counted.few().least(root.path(), badly_prepared)?;
    let name = "bare copy and fdatasync, zeros by 1 MiB writes";
    println!("{name:54} {:8.2}  {:8.2}", badly.device, badly.process);
    if worst > MOST {
        println!("\nthe engine takes {worst:.2} bytes for one, more than {MOST}");
        return Ok(ExitCode::FAILURE);
    }
    println!("\nthe engine takes at most {worst:.2} bytes for one; {MOST} are allowed");
    Ok(ExitCode::SUCCESS)
}

/// What is done again and again.
type Once = Box<dyn FnMut() -> Result<(), Failure>>;

/// What not to do: the page cache keeps the zeros in large folios, and each small store through a
/// mapping dirties all of one.
fn badly_prepared(directory: &Path) -> Result<Once, Failure> {
    let path = directory.join("badly");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    let mut mapped = PreparedFile::over(&path)?;
    Ok(Box::new(move || {
        mapped.copy(&PAYLOAD)?;
        Ok(mapped.sync()?)
    }))
}

struct Arguments {
    dir: PathBuf,
    appends: u64,
    rounds: usize,
}

impl Arguments {
    fn parse() -> Result<Self, Failure> {
        let mut parsed = Self { dir: std::env::temp_dir(), appends: 4_000, rounds: 3 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--dir" => parsed.dir = value.into(),
                "--appends" => parsed.appends = value.parse()?,
                "--rounds" => parsed.rounds = value.parse()?,
                _ => return Err(format!("unknown argument {name}").into()),
            }
        }
        Ok(parsed)
    }
}

/// Counts what is written.
struct Counted<'a> {
    device: Option<Device>,
    arguments: &'a Arguments,
    /// Whether a figure that is too high is to be expected.
    is_beyond_hope: bool,
}

/// Bytes written for one byte of payload.
#[derive(Clone, Copy)]
struct Written {
    /// Not a number where there is no device to count on.
    device: f64,
    process: f64,
}

impl Written {
    /// The figure that counts: the device's, where there is one.
    fn holds(self) -> f64 {
        if self.device.is_nan() { self.process } else { self.device }
    }
}

impl Counted<'_> {
    /// As this, for what is so slow that fewer appends must do.
    fn few(&self) -> Self {
        const FEW: &Arguments = &Arguments { dir: PathBuf::new(), appends: 200, rounds: 2 };
        Self { device: self.device.clone(), arguments: FEW, is_beyond_hope: true }
    }

    /// The least of several rounds, each with files of its own.
    fn least(
        &self,
        root: &Path,
        prepare: impl Fn(&Path) -> Result<Once, Failure>,
    ) -> Result<Written, Failure> {
        let mut least = Written { device: f64::NAN, process: f64::NAN };
        for round in 0..ROUNDS_MAX {
            if round >= self.arguments.rounds && (least.holds() <= MOST || self.is_beyond_hope) {
                break;
            }
            let directory = root.join("round");
            fs::create_dir(&directory)?;
            let mut once = prepare(&directory)?;
            // Once, and everything else that is still on its way: only then count.
            once()?;
            std::thread::sleep(std::time::Duration::from_millis(200));
            machine::sync_all();
            let before = self.counters()?;
            for _ in 0..self.arguments.appends {
                once()?;
            }
            let after = self.counters()?;
            drop(once);
            fs::remove_dir_all(&directory)?;
            let payload = (self.arguments.appends * PAYLOAD.len() as u64) as f64;
            let per_byte = |after: u64, before: u64| (after - before) as f64 / payload;
            // The least of a number and none is the number.
            least.process = least.process.min(per_byte(after.1, before.1));
            if let (Some(after), Some(before)) = (after.0, before.0) {
                least.device = least.device.min(per_byte(after, before));
            }
        }
        Ok(least)
    }

    fn counters(&self) -> Result<(Option<u64>, u64), Failure> {
        let device = self.device.as_ref().map(Device::written_bytes).transpose()?;
        Ok((device, machine::process_written_bytes()?))
    }
}
