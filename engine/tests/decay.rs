//! Every decay of the disk, at every sector and page of small logs, closed and killed: opening gives
//! every batch that must be there, or refuses and says where the first lost one stood; never fewer
//! batches without a word. What must be there is what FORMAT.md says, computed without the engine.
//! `QUIPU_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::ops::AddAssign;

use fastrand::Rng;
use quipu::sim::{Decay, Missed, PAGE_BYTES, Place, SECTOR_BYTES, SimDisk, Survivors};
use quipu::{Batch, Durability, Event, Log, OpenError, Options};

#[path = "common/files.rs"]
mod files;
#[path = "common/truth.rs"]
mod truth;

use files::{Files, payloads, segment};
use truth::{Expected, Truth};

const SEGMENT_BYTES: u64 = 12 << 10;

fn options() -> Options {
    Log::options().segment_bytes(SEGMENT_BYTES).verify_on_open(true)
}

/// Batches of one to three events, the frames of 150 to 2,000 bytes: many cross a sector's edge,
/// some a page's.
fn append(log: &Log, numbers: std::ops::Range<u8>, durability: impl Fn(u8) -> Durability) {
    for number in numbers {
        let mut batch = Batch::new().durability(durability(number));
        for event in 0..=number % 3 {
            let length = 40 + usize::from(number) * 379 % 600;
            let event = Event::new("T", vec![number ^ event << 6; length]);
            batch.push(["a", "b"][usize::from(number % 2)], &event);
        }
        log.append(batch).unwrap();
    }
}

fn sync(_: u8) -> Durability {
    Durability::Sync
}

fn open(disk: &SimDisk) -> Log {
    Log::open_simulated(disk, options()).unwrap()
}

/// A log at rest, and what it holds.
struct Rested {
    name: &'static str,
    disk: SimDisk,
    truth: Truth,
    payloads: Vec<Vec<u8>>,
}

impl Rested {
    fn new(name: &'static str, disk: SimDisk) -> Self {
        let truth = Truth::of(Files::of(&disk));
        let look = disk.if_rebooted(&Survivors::All);
        let payloads = payloads(&Log::open_simulated_read_only(&look, options()).unwrap());
        assert_eq!(payloads.len() as u64, truth.events());
        Self { name, disk, truth, payloads }
    }

    /// Each segment's name and length.
    fn segments(&self) -> Vec<(String, u64)> {
        let files = self.disk.files().into_iter();
        let segments = files.filter(|entry| entry.name.ends_with(".seg"));
        segments.map(|entry| (entry.name, entry.length)).collect()
    }

    /// Every place at a multiple of `step`.
    fn places(&self, step: usize) -> Vec<Place> {
        let of = |(name, length): (String, u64)| {
            (0..length).step_by(step).map(move |offset| Place::new(&name, offset))
        };
        self.segments().into_iter().flat_map(of).collect()
    }
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.keep_history();
    disk
}

/// Two sealed segments, an active one, and one that is prepared.
fn closed() -> Rested {
    let disk = new_disk();
    let log = open(&disk);
    append(&log, 0..26, sync);
    log.close().unwrap();
    assert_eq!(
        disk.files().len(),
        6,
        "three segments, the indexes of two, and the table of streams"
    );
    disk.write_file(&segment(3), &[0; SEGMENT_BYTES as usize]);
    Rested::new("closed", disk)
}

/// Every append was acknowledged, but nothing behind the last one says so.
fn killed() -> Rested {
    let disk = new_disk();
    let log = open(&disk);
    append(&log, 0..26, sync);
    let disk = disk.restart_process();
    drop(log);
    Rested::new("killed", disk)
}

/// Most of it was never proved durable.
fn killed_buffered() -> Rested {
    let disk = new_disk();
    let log = open(&disk);
    append(&log, 0..26, |number| match number % 7 {
        3 => Durability::Sync,
        _ => Durability::Buffered,
    });
    let disk = disk.restart_process();
    drop(log);
    Rested::new("killed, mostly buffered", disk)
}

/// Close frames stand between its batches.
fn closed_often() -> Rested {
    let disk = new_disk();
    for first in (0..25).step_by(5) {
        let log = open(&disk);
        append(&log, first..first + 5, sync);
        log.close().unwrap();
    }
    Rested::new("closed five times", disk)
}

/// A torn tail was cut off, and others stand where it stood.
fn cut() -> Rested {
    let disk = new_disk();
    let log = open(&disk);
    append(&log, 0..10, sync);
    append(&log, 10..20, |_| Durability::Buffered);
    disk.crash();
    drop(log);
    let (disk, log) = std::iter::repeat_with(|| disk.reboot(&Survivors::Weighted(50)))
        .map(|next| (next.clone(), open(&next)))
        .find(|(_, log)| log.recovery_report().bytes_cut > 3000)
        .unwrap();
    append(&log, 30..42, sync);
    log.close().unwrap();
    Rested::new("cut and gone on with", disk)
}

/// Every frame is a sector of its own: one that is moved stands where a frame belongs.
fn frames_of_a_sector() -> Rested {
    let disk = new_disk();
    let log = open(&disk);
    for number in 0..40 {
        log.append(Batch::new().event("a", Event::new("T", vec![number; 408]))).unwrap();
    }
    log.close().unwrap();
    let files = Files::of(&disk);
    assert!(files.frames(0).iter().all(|frame| frame % SECTOR_BYTES == 0));
    Rested::new("of frames of a sector", disk)
}

fn one_segment(is_closed: bool) -> Rested {
    let disk = new_disk();
    let log = open(&disk);
    append(&log, 0..6, sync);
    if is_closed {
        log.close().unwrap();
        return Rested::new("of one segment, closed", disk);
    }
    let disk = disk.restart_process();
    drop(log);
    Rested::new("of one segment, killed", disk)
}

fn logs() -> Vec<Rested> {
    vec![
        closed(),
        killed(),
        killed_buffered(),
        closed_often(),
        cut(),
        frames_of_a_sector(),
        one_segment(true),
        one_segment(false),
    ]
}

/// How the cases of one kind of decay came out.
#[derive(Debug, Clone, Copy, Default)]
struct Outcomes {
    /// All events are there.
    whole: u32,
    /// Fewer are there, and nothing that is left says that there were more.
    cannot_be_told: u32,
    /// Refused with file, offset and position.
    damaged: u32,
    /// Refused: a file does not belong there.
    foreign: u32,
    /// Refused: the device does not give a sector back.
    unreadable: u32,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.whole += other.whole;
        self.cannot_be_told += other.cannot_be_told;
        self.damaged += other.damaged;
        self.foreign += other.foreign;
        self.unreadable += other.unreadable;
    }
}

impl Outcomes {
    fn cases(&self) -> u32 {
        self.whole + self.cannot_be_told + self.damaged + self.foreign + self.unreadable
    }
}

/// Lets every log decay in all the ways that are given for it, each time anew, and opens it.
fn judge(kind: &str, decays: impl Fn(&Rested) -> Vec<(String, Decay)>) -> Outcomes {
    let mut all = Outcomes::default();
    for log in logs() {
        let mut outcomes = Outcomes::default();
        for (file, decay) in decays(&log) {
            let disk = log.disk.if_rebooted(&Survivors::All);
            if disk.corrupt(&file, decay.clone()) {
                let what = || format!("{}, {file}: {decay:?}", log.name);
                outcomes += one_case(&log, &disk, &what);
            }
        }
        println!("{kind}, {}: {} cases, {outcomes:?}", log.name, outcomes.cases());
        all += outcomes;
    }
    println!("{kind}: {} cases, {all:?}", all.cases());
    all
}

/// Opens what has decayed, and compares what comes of it with what must.
fn one_case(log: &Rested, disk: &SimDisk, what: &dyn Fn() -> String) -> Outcomes {
    let now = Files::of(disk);
    let expected = log.truth.expected(&now.clone().segments());
    let mut outcomes = Outcomes::default();
    let opened = Log::open_simulated(disk, options());
    if opened.is_err() {
        assert!(Files::of(disk) == now, "{}: a refused open has changed something", what());
    }
    let path = |file: &str| format!("simulated disk/{file}");
    match (opened, &expected) {
        (Ok(opened), Expected::Opens(events)) => {
            let there = &log.payloads[..*events as usize];
            assert!(payloads(&opened) == there, "{}: {} events", what(), opened.end());
            goes_on(opened, disk, there, what);
            match *events == log.truth.events() {
                true => outcomes.whole += 1,
                false => outcomes.cannot_be_told += 1,
            }
        }
        (Err(OpenError::Damaged(damage)), Expected::Damaged { file, offset, position }) => {
            let found = (damage.file.clone(), damage.offset, damage.position.as_u64());
            assert_eq!(found, (path(file), *offset, *position), "{}", what());
            let reader = Log::open_simulated_read_only(disk, options()).unwrap();
            assert_eq!(reader.recovery_report().damage.as_ref(), Some(&*damage), "{}", what());
            assert!(payloads(&reader) == log.payloads[..*position as usize], "{}", what());
            outcomes.damaged += 1;
        }
        (Err(error), Expected::NotOfThisLog { file }) => {
            let (OpenError::NotASegment { file: found, .. }
            | OpenError::Misnamed { file: found, .. }
            | OpenError::ForeignSegment { file: found, .. }
            | OpenError::Unsupported { file: found, .. }) = &error
            else {
                panic!("{}: {error}", what());
            };
            assert_eq!(*found, path(file), "{}", what());
            let reader = Log::open_simulated_read_only(disk, options());
            assert_eq!(reader.unwrap_err().to_string(), error.to_string(), "{}", what());
            outcomes.foreign += 1;
        }
        (Ok(opened), _) => {
            panic!("{}: {expected:?}, but it opens with {} events", what(), opened.end())
        }
        (Err(error), _) => panic!("{}: {expected:?}, but {error}", what()),
    }
    outcomes
}

/// What has been opened takes another batch, and has it when it is opened again.
fn goes_on(log: Log, disk: &SimDisk, there: &[Vec<u8>], what: &dyn Fn() -> String) {
    log.append(Batch::new().event("a", Event::new("T", "behind"))).unwrap();
    log.close().unwrap();
    let found = payloads(&open(&disk.if_rebooted(&Survivors::None)));
    let (last, before) = found.split_last().unwrap();
    assert!(before == there && last == b"behind", "{}: gone on with", what());
}

fn rng() -> Rng {
    let seed = std::env::var("QUIPU_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("QUIPU_SEED={seed}");
    Rng::with_seed(seed)
}

#[test]
fn flipped_bits_are_found_or_change_nothing() {
    let seed = rng().u64(..);
    let outcomes = judge("flipped bits", |log| {
        let mut rng = Rng::with_seed(seed);
        let flip = |Place { file, offset }| {
            let offset = offset + rng.u64(..8);
            (file, Decay::FlipBit { offset, bit: rng.u8(..8) })
        };
        log.places(8).into_iter().map(flip).collect()
    });
    assert!(outcomes.whole > 0 && outcomes.damaged > 0 && outcomes.foreign > 0);
}

#[test]
fn lost_sectors_are_found_or_had_nothing_in_them() {
    let zeroed = |Place { file, offset }| (file, Decay::ZeroSector { offset });
    let outcomes =
        judge("lost sectors", |log| log.places(SECTOR_BYTES).into_iter().map(zeroed).collect());
    assert!(outcomes.damaged > 0);
}

#[test]
fn unreadable_sectors_are_errors_of_the_device_and_change_nothing() {
    let mut outcomes = Outcomes::default();
    for log in logs() {
        for Place { file, offset } in log.places(SECTOR_BYTES) {
            let disk = log.disk.if_rebooted(&Survivors::All);
            let before = Files::of(&disk);
            assert!(disk.corrupt(&file, Decay::UnreadableSector { offset }));
            let what = || format!("{}, {file} at {offset}", log.name);
            match Log::open_simulated(&disk, options()) {
                // Nobody needs what it held.
                Ok(opened) => {
                    assert!(payloads(&opened) == log.payloads, "{}", what());
                    outcomes.whole += 1;
                }
                Err(OpenError::Io(error)) => {
                    assert_eq!(error.io_error().raw_os_error(), Some(libc::EIO), "{}", what());
                    assert!(error.file().ends_with(&file), "{}: {error}", what());
                    assert!(Files::of(&disk) == before, "{}", what());
                    outcomes.unreadable += 1;
                }
                Err(error) => panic!("{}: {error}", what()),
            }
        }
    }
    println!("unreadable sectors: {} cases, {outcomes:?}", outcomes.cases());
    assert!(outcomes.unreadable > 0);
}

#[test]
fn misdirected_sectors_are_found_where_they_landed_and_where_they_are_missed() {
    let outcomes = judge("misdirected sectors", |log| {
        let sectors = log.places(SECTOR_BYTES);
        let mut decays = Vec::new();
        for Place { file, offset } in &sectors {
            for meant_for in &sectors {
                let older = log.disk.older_versions(&meant_for.file, meant_for.offset);
                let missed = (1..=older.min(1)).map(|back| Missed::Older { back });
                for missed in missed.chain([Missed::Own]) {
                    let (offset, meant_for) = (*offset, meant_for.clone());
                    decays.push((
                        file.clone(),
                        Decay::MisdirectedSector { offset, meant_for, missed },
                    ));
                }
            }
        }
        decays
    });
    assert!(outcomes.whole > 0 && outcomes.damaged > 0 && outcomes.foreign > 0);
}

#[test]
fn swapped_pages_are_found_at_the_first_of_them() {
    let outcomes = judge("swapped pages", |log| {
        let pages = log.places(PAGE_BYTES);
        let mut decays = Vec::new();
        for (number, Place { file, offset }) in pages.iter().enumerate() {
            for with in &pages[number + 1..] {
                let (offset, with) = (*offset, with.clone());
                decays.push((file.clone(), Decay::SwappedPages { offset, with }));
            }
        }
        decays
    });
    assert!(outcomes.damaged > 0 && outcomes.foreign > 0);
}

#[test]
fn stale_pages_and_sectors_are_found_where_more_was_durable() {
    let versions = |log: &Rested, step: usize, decay: fn(u64, usize) -> Decay| {
        let mut decays = Vec::new();
        for Place { file, offset } in log.places(step) {
            for back in 1..=log.disk.older_versions(&file, offset) {
                decays.push((file.clone(), decay(offset, back)));
            }
        }
        decays
    };
    let pages = judge("stale pages", |log| {
        versions(log, PAGE_BYTES, |offset, back| Decay::StalePage { offset, back })
    });
    let sectors = judge("stale sectors", |log| {
        versions(log, SECTOR_BYTES, |offset, back| Decay::StaleSector { offset, back })
    });
    assert!(pages.damaged > 0 && sectors.damaged > 0);
}

#[test]
fn every_change_of_length_of_a_segment_in_use_is_found() {
    let outcomes = judge("changed lengths", |log| {
        let mut decays = Vec::new();
        for (file, length) in log.segments() {
            let sectors = (0..=length + 4 * 4096).step_by(SECTOR_BYTES);
            let around = sectors.flat_map(|at| [at.saturating_sub(1), at, at + 1, at + 8]);
            decays.extend(around.map(|length| (file.clone(), Decay::Truncate { length })));
        }
        decays
    });
    assert_eq!(outcomes.cannot_be_told, 0);
}
