//! The logs that inputs begin with: small, real, made by the engine on a simulated disk, the same in
//! every process.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use quipu::sim::{SimDisk, Survivors};
use quipu::{Batch, Durability, Event, Log, Options};

/// A directory: bytes by file name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// How every log is opened: with a look at everything. So small a segment holds some ten batches.
pub(crate) fn options() -> Options {
    Log::options().segment_bytes(8 << 10).verify_on_open(true)
}

/// As [`options`], but for segments that have an index.
pub(crate) fn trusting_options() -> Options {
    options().verify_on_open(false)
}

/// What a disk holds, as the running machine sees it.
pub(crate) fn files_of(disk: &SimDisk) -> Files {
    let file = |name: String| (name.clone(), disk.read_file(&name).unwrap());
    disk.files().into_iter().map(|entry| file(entry.name)).collect()
}

/// Another one for each number: segments alone, without what is derived from them.
pub(crate) fn log(number: u8) -> Files {
    static LOGS: OnceLock<Vec<Files>> = OnceLock::new();
    let logs = LOGS.get_or_init(|| {
        [empty(), closed(1), closed(5), closed(30), killed(5, 1), killed(30, 4), torn(), larger()]
            .map(|mut files| {
                files.retain(|name, _| name.ends_with(".seg"));
                files
            })
            .into()
    });
    logs[usize::from(number) % logs.len()].clone()
}

fn append(log: &Log, numbers: std::ops::Range<u8>, synced_every: u8) {
    for number in numbers {
        let synced = number % synced_every == synced_every - 1;
        let durability = if synced { Durability::Sync } else { Durability::Buffered };
        let stream = ["a", "b", "order-1"][usize::from(number % 3)];
        let payload = vec![number; usize::from(number) * 97 % 700];
        let tagged = Event::new("T", &payload[..]).id(u128::from(number) + 1).tag("t").tag("u");
        let mut batch = Batch::new().durability(durability).event(stream, tagged);
        for _ in 0..number % 3 {
            batch.push("all", &Event::new("Other", "y").metadata("m"));
        }
        log.append(batch).unwrap();
    }
}

fn open(disk: &SimDisk) -> Log {
    Log::open_simulated(disk, options()).unwrap()
}

fn empty() -> Files {
    let disk = SimDisk::new(1);
    open(&disk);
    files_of(&disk)
}

/// Closed twice: a close frame in the middle, and one at the end.
fn closed(batches: u8) -> Files {
    let disk = SimDisk::new(1);
    for numbers in [0..batches / 2, batches / 2..batches] {
        let log = open(&disk);
        append(&log, numbers, 1);
        log.close().unwrap();
    }
    files_of(&disk)
}

fn killed(batches: u8, synced_every: u8) -> Files {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 0..batches, synced_every);
    let disk = disk.restart_process();
    drop(log);
    files_of(&disk)
}

/// Its segments have another length than new ones will have.
fn larger() -> Files {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options().segment_bytes(12 << 10)).unwrap();
    append(&log, 0..20, 1);
    log.close().unwrap();
    files_of(&disk)
}

/// As a power cut left it: a tail with holes, over several segments.
fn torn() -> Files {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 0..5, 1);
    append(&log, 5..30, 255);
    disk.crash();
    drop(log);
    files_of(&disk.reboot(&Survivors::Weighted(70)))
}
