//! The file of all streams: written when segments are sealed, used at opening, and worth nothing if it
//! is missing, stale or wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{Batch, Event, Log, Options, Position, RecoveryReport};
use quipu_format::sidecar::{CheckpointHeader, StreamCheckpoint};

#[path = "common/files.rs"]
mod files;
use files::Files;

const TABLE: &str = "streams.ckpt";

fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

/// Three events to a segment: new streams, old ones, and checkpoints.
fn append(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let stream = if number % 3 == 0 { "often".to_owned() } else { format!("s-{number}") };
        let mut batch = Batch::new().event(stream, Event::new("T", vec![number as u8; 1000]));
        if number % 4 == 1 {
            batch = batch.checkpoint("p", Position::new(number));
        }
        log.append(batch).unwrap();
    }
}

/// The versions of the streams, the checkpoints, the number of events.
type Known = (Vec<Option<u64>>, Vec<(String, Position)>, usize);

/// All that the index knows.
fn known(log: &Log) -> Known {
    let names = (0..80).map(|number| format!("s-{number}")).chain(["often".to_owned()]);
    let versions = names.map(|name| log.stream_version(name).map(quipu::Version::as_u64));
    (versions.collect(), log.checkpoints(), log.read(..).into_iter().count())
}

/// A log of 24 segments, closed, and what it knows.
fn closed() -> (Files, Known) {
    let disk = SimDisk::new(3);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..70);
    let known = known(&log);
    log.close().unwrap();
    (Files::of(&disk), known)
}

fn open(files: &Files) -> (Log, SimDisk, RecoveryReport) {
    let disk = files.disk();
    let log = Log::open_simulated(&disk, options()).unwrap();
    let report = log.recovery_report().clone();
    (log, disk, report)
}

fn covered(files: &Files) -> u64 {
    CheckpointHeader::decode(&files.0[TABLE]).unwrap().segment.sequence.as_u64()
}

#[test]
fn the_file_is_made_when_as_much_has_come_as_it_has() {
    let disk = SimDisk::new(4);
    let log = Log::open_simulated(&disk, options()).unwrap();
    let mut made = Vec::new();
    for number in 0..70 {
        append(&log, number..number + 1);
        if let Some(bytes) = disk.read_file(TABLE) {
            let header = CheckpointHeader::decode(&bytes).unwrap();
            if made.last().is_none_or(|(sequence, _)| *sequence < header.segment.sequence.as_u64())
            {
                made.push((header.segment.sequence.as_u64(), header.stream_count));
            }
        }
    }
    assert!(made.len() >= 4, "{made:?}");
    assert_eq!(made[0].0, 0, "as soon as there is something");
    // Each time for about as many new entries as it had.
    for pair in made.windows(2) {
        let [(_, before), (_, streams)] = *pair else { unreachable!() };
        assert!(streams > before, "{made:?}");
    }
    assert!(made.len() <= 8, "not for every segment: {made:?}");
}

#[test]
fn opening_takes_streams_and_checkpoints_from_it_and_later_ones_from_indexes() {
    let (files, expected) = closed();
    let (log, disk, report) = open(&files);
    assert!(report.stream_table_used && !report.stream_table_wrong);
    assert_eq!(known(&log), expected);
    assert_eq!(report.streams, expected.0.iter().flatten().count());
    assert_eq!((report.events, report.batches), (70, 70));
    let table = StreamCheckpoint::decode(&files.0[TABLE]).unwrap();
    assert!(table.header().stream_count > 10, "{:?}", table.header());
    append(&log, 70..79);
    let expected = known(&log);
    drop(log);
    let disk = disk.reboot(&Survivors::None);
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert_eq!(known(&log), expected);
    let everything = options().verify_on_open(true);
    let log = Log::open_simulated(&Files::of(&disk).disk(), everything).unwrap();
    assert!(!log.recovery_report().stream_table_used, "everything is read");
    assert_eq!(known(&log), expected);
}

#[test]
fn for_reading_only_it_is_used_too() {
    let (files, expected) = closed();
    let log = Log::open_simulated_read_only(&files.disk(), options()).unwrap();
    assert!(log.recovery_report().stream_table_used);
    assert_eq!(known(&log), expected);
}

#[test]
fn missing_it_costs_time_and_nothing_else_and_it_is_made_again() {
    let (mut files, expected) = closed();
    files.0.remove(TABLE);
    let (log, disk, report) = open(&files);
    assert!(!report.stream_table_used && !report.stream_table_wrong);
    assert_eq!(known(&log), expected);
    append(&log, 70..79);
    let expected = known(&log);
    log.close().unwrap();
    assert!(covered(&Files::of(&disk)) > 20);
    let (log, _, report) = open(&Files::of(&disk));
    assert!(report.stream_table_used);
    assert_eq!(known(&log), expected);
}

#[test]
fn every_flipped_bit_of_it_is_found_and_does_no_harm() {
    let (whole, expected) = closed();
    let length = whole.0[TABLE].len();
    for at in (0..length).step_by(7).chain(0..120) {
        let mut files = whole.clone();
        files.0.get_mut(TABLE).unwrap()[at] ^= 1 << (at % 8);
        let (log, _, report) = open(&files);
        assert!(!report.stream_table_used && report.stream_table_wrong, "byte {at}");
        assert_eq!(known(&log), expected, "byte {at}");
    }
    for length in [0, 7, 87, 88, length - 8, length + 8] {
        let mut files = whole.clone();
        files.0.get_mut(TABLE).unwrap().resize(length, 0);
        let (log, _, report) = open(&files);
        assert!(!report.stream_table_used && report.stream_table_wrong, "{length} bytes");
        assert_eq!(known(&log), expected);
    }
}

#[test]
fn one_of_another_log_or_state_is_not_used_and_an_older_one_of_this_log_is() {
    let (files, expected) = closed();
    let disk = SimDisk::new(99);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..10);
    let mut foreign = files.clone();
    foreign.0.insert(TABLE.to_owned(), disk.read_file(TABLE).unwrap());
    let (log, _, report) = open(&foreign);
    assert!(report.stream_table_wrong && known(&log) == expected);

    let disk = SimDisk::new(3);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..12);
    let mut older = files.clone();
    older.0.insert(TABLE.to_owned(), disk.read_file(TABLE).unwrap());
    assert!(covered(&older) < covered(&files));
    let (log, _, report) = open(&older);
    assert!(report.stream_table_used && known(&log) == expected);
}

#[test]
fn a_missing_index_in_front_of_it_is_made_again_and_the_file_used_the_next_time() {
    let (mut files, expected) = closed();
    files.0.remove(&format!("{:020}.idx", 2));
    let (log, disk, report) = open(&files);
    assert!(report.stream_table_wrong && !report.stream_table_used);
    assert_eq!((report.indexes_made, known(&log)), (1, expected.clone()));
    log.close().unwrap();
    let (log, _, report) = open(&Files::of(&disk));
    assert!(report.stream_table_used);
    assert_eq!(known(&log), expected);
}

#[test]
fn an_index_whose_sections_have_decayed_is_made_again_when_it_is_read() {
    let (mut files, expected) = closed();
    for (name, bytes) in &mut files.0 {
        if name.ends_with(".idx") {
            let at = bytes.len() - 60;
            bytes[250..at].iter_mut().for_each(|byte| *byte ^= 0x55);
        }
    }
    let (log, _, report) = open(&files);
    assert!(report.stream_table_used, "their headers are right");
    assert_eq!(known(&log), expected);
    assert_eq!(log.read_stream("often", ..).into_iter().count(), 24);
}

#[test]
fn a_disk_that_refuses_it_keeps_nobody_from_appending() {
    for operation in [Operation::Create, Operation::Sync, Operation::Rename] {
        for nth in 1..30 {
            let disk = SimDisk::new(5);
            let log = Log::open_simulated(&disk, options()).unwrap();
            append(&log, 0..10);
            disk.fail(FaultPlan::new(operation, Errno::NoSpace).nth(nth));
            for number in 10..40 {
                let event = Event::new("T", vec![1; 1000]);
                let _ = log.append(Batch::new().event(format!("s-{number}"), event));
            }
            let end = log.end();
            drop(log);
            disk.heal();
            let log = Log::open_simulated(&disk.restart_process(), options()).unwrap();
            assert!(log.end() >= end);
        }
    }
}
