//! The indexes of sealed segments: derived, disposable, and never believed where they are wrong. A
//! log that is opened by them answers as one that is read wholly, and damage that they let it pass
//! over is told where it stands when it is read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeMap;

use quipu::sim::{Decay, SimDisk, Survivors};
use quipu::{Batch, Durability, Event, Log, Options, Position, ReadError, ReadErrorKind, Version};

#[path = "common/files.rs"]
mod files;

use files::{Files, HEADER_BYTES, segment};

fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

fn index(sequence: usize) -> String {
    format!("{sequence:020}.idx")
}

/// Some streams in every segment, some in few, one in the first and the last alone.
fn append(log: &Log, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let payload = number.to_le_bytes().repeat(40);
        let event = |kind: &'static str| Event::new(kind, payload.clone()).tag("all");
        let mut batch = Batch::new().event("often", event("Often"));
        batch.push(format!("few-{}", number / 20), &event("Few").tag(format!("tag-{number}")));
        if number % 7 == 0 {
            batch.push("often", &event("Again"));
        }
        if number == 0 || number == 99 {
            batch.push("first-and-last", &event("Rare"));
        }
        let durability = if number % 3 == 0 { Durability::Sync } else { Durability::Buffered };
        log.append(batch.durability(durability)).unwrap();
    }
}

fn closed() -> SimDisk {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..100);
    log.close().unwrap();
    disk
}

/// All that a log answers about its streams, by every way of asking; and that all ways agree.
fn answers(log: &Log) -> BTreeMap<String, Vec<(u64, Vec<u8>)>> {
    let mut streams: BTreeMap<String, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    for event in log.read(..) {
        let event = event.unwrap();
        let of_stream = streams.entry(event.stream().to_owned()).or_default();
        assert_eq!(event.version().as_u64(), of_stream.len() as u64);
        of_stream.push((event.position().as_u64(), event.payload().to_vec()));
    }
    for (name, expected) in &streams {
        let count = expected.len() as u64;
        let read = |from: u64, to: u64, limit: u64, backward: bool| {
            let read = log.read_stream(name, Version::new(from)..Version::new(to)).limit(limit);
            assert_eq!(read.current_version(), Some(Version::new(count - 1)));
            let read = if backward { read.backward() } else { read };
            let event = |event: Result<quipu::RecordedEvent, ReadError>| {
                let event = event.unwrap();
                assert_eq!(event.stream(), name);
                (event.position().as_u64(), event.payload().to_vec())
            };
            read.into_iter().map(event).collect::<Vec<_>>()
        };
        for (from, to) in
            [(0, count), (count / 2, count), (0, count / 2), (count / 3, count / 3 + 2)]
        {
            for limit in [1, 3, u64::MAX] {
                let to = to.min(count);
                let part = &expected[from as usize..to.max(from) as usize];
                let taken = part.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
                assert!(read(from, to, limit, false) == part[..taken], "{name} {from}..{to}");
                let last: Vec<_> = part[part.len() - taken..].iter().rev().cloned().collect();
                assert!(read(from, to, limit, true) == last, "{name} {from}..{to} backward");
            }
        }
        assert_eq!(log.stream_version(name), Some(Version::new(count - 1)));
    }
    assert_eq!(log.stream_version("no such stream"), None);
    streams
}

fn indexes(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let mut files = Files::of(disk).0;
    files.retain(|name, _| name.ends_with(".idx"));
    files
}

#[test]
fn a_log_opened_by_its_indexes_answers_as_one_that_is_read_wholly() {
    let disk = closed();
    let wholly = Log::open_simulated_read_only(&disk, options().verify_on_open(true)).unwrap();
    let expected = answers(&wholly);
    let by_index = Log::open_simulated_read_only(&disk, options()).unwrap();
    let report = by_index.recovery_report();
    assert!(report.indexes_used >= 3, "{report:?}");
    assert_eq!((report.indexes_wrong, report.indexes_made), (0, 0));
    assert_eq!(report.batches, wholly.recovery_report().batches);
    assert_eq!(report.streams, wholly.recovery_report().streams);
    assert!(answers(&by_index) == expected);
    let without = disk.if_rebooted(&Survivors::All);
    for name in indexes(&disk).keys() {
        without.remove_file(name);
    }
    let without = Log::open_simulated_read_only(&without, options()).unwrap();
    let report = without.recovery_report();
    assert_eq!((report.indexes_used, report.indexes_unstored), (0, report.indexes_made));
    assert!(answers(&without) == expected);
}

#[test]
fn an_index_that_is_made_again_is_the_same_byte_for_byte() {
    let disk = closed();
    let written = indexes(&disk);
    assert!(written.len() >= 3);
    let names: Vec<&String> = written.keys().collect();
    for missing in 1..1_u32 << names.len().min(4) {
        let again = disk.if_rebooted(&Survivors::All);
        for (place, name) in names.iter().enumerate() {
            if missing >> place & 1 == 1 {
                again.remove_file(name);
            }
        }
        let log = Log::open_simulated(&again, options()).unwrap();
        let report = log.recovery_report();
        assert_eq!(report.indexes_made as u32, missing.count_ones(), "{report:?}");
        assert_eq!((report.indexes_wrong, report.indexes_unstored), (0, 0));
        assert!(indexes(&again) == written, "{missing:b} are made again");
    }
}

#[test]
fn every_flipped_bit_of_an_index_is_found_or_changes_no_answer() {
    let disk = closed();
    let expected = answers(&Log::open_simulated_read_only(&disk, options()).unwrap());
    let written = indexes(&disk);
    let (name, bytes) = written.iter().nth(1).unwrap();
    let mut found = 0;
    for bit in (0..bytes.len() as u64 * 8).step_by(3) {
        let flipped = disk.if_rebooted(&Survivors::All);
        assert!(flipped.corrupt(name, Decay::FlipBit { offset: bit / 8, bit: (bit % 8) as u8 }));
        let log = Log::open_simulated(&flipped, options()).unwrap();
        assert!(answers(&log) == expected, "bit {bit}");
        let report = log.recovery_report();
        found += report.indexes_wrong;
        if report.indexes_wrong > 0 {
            assert_eq!(report.indexes_made, 1, "bit {bit}");
            assert!(indexes(&flipped) == written, "bit {bit}: made again");
        }
    }
    assert!(found > 0);
}

#[test]
fn the_index_of_another_segment_or_log_or_cut_off_anywhere_is_made_again() {
    let disk = closed();
    let written = indexes(&disk);
    let other = SimDisk::new(2);
    let log = Log::open_simulated(&other, options()).unwrap();
    append(&log, 0..100);
    log.close().unwrap();
    let whole = &written[&index(1)];
    let foreign = indexes(&other).remove(&index(1)).unwrap();
    let mut replaced: Vec<Vec<u8>> =
        vec![written[&index(0)].clone(), foreign, Vec::new(), b"an index, they say".to_vec()];
    replaced.extend((0..whole.len()).step_by(61).map(|length| whole[..length].to_vec()));
    replaced.push([&whole[..], &[0; 8]].concat());
    for bytes in replaced {
        let changed = disk.if_rebooted(&Survivors::All);
        changed.write_file(&index(1), &bytes);
        let log = Log::open_simulated(&changed, options()).unwrap();
        let report = log.recovery_report();
        assert_eq!((report.indexes_wrong, report.indexes_made), (1, 1), "{} bytes", bytes.len());
        assert!(indexes(&changed) == written);
    }
}

#[test]
fn an_index_without_its_segment_is_removed() {
    let disk = closed();
    let bytes = indexes(&disk).remove(&index(0)).unwrap();
    disk.write_file(&index(77), &bytes);
    disk.write_file(&format!("{}.tmp", index(78)), &bytes);
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert_eq!(log.recovery_report().unfinished_removed, 1);
    let names: Vec<String> = disk.files().into_iter().map(|entry| entry.name).collect();
    assert!(!names.iter().any(|name| name.contains("77") || name.contains("78")), "{names:?}");
}

#[test]
fn a_disk_without_room_for_an_index_keeps_it_in_memory() {
    let disk = closed();
    let expected = answers(&Log::open_simulated_read_only(&disk, options()).unwrap());
    for name in indexes(&disk).keys() {
        disk.remove_file(name);
    }
    disk.set_capacity(Some(disk.used()));
    let log = Log::open_simulated(&disk, options()).unwrap();
    let report = log.recovery_report();
    assert!(report.indexes_made >= 3 && report.indexes_unstored == report.indexes_made);
    assert!(answers(&log) == expected);
}

#[test]
fn damage_that_was_passed_over_is_told_where_it_stands_when_it_is_read() {
    let disk = closed();
    let log = Log::open_simulated_read_only(&disk, options()).unwrap();
    let all: Vec<Vec<u8>> =
        log.read(..).into_iter().map(|event| event.unwrap().payload().to_vec()).collect();
    drop(log);
    let files = Files::of(&disk);
    let frames = files.frames(1);
    let mut told = 0;
    for (place, at) in frames.iter().enumerate() {
        let end = frames.get(place + 1).copied().unwrap_or(files.end(1));
        for offset in (*at..end).step_by(11) {
            if !files.is_batch(1, *at) {
                continue; // the seal is read when the log is opened
            }
            let decayed = disk.if_rebooted(&Survivors::All);
            decayed.corrupt(&segment(1), Decay::FlipBit { offset: offset as u64, bit: 3 });
            let log = Log::open_simulated(&decayed, options()).unwrap();
            let read: Vec<_> = log.read(..).into_iter().collect();
            let (last, before) = read.split_last().unwrap();
            for (event, payload) in before.iter().zip(&all) {
                assert!(event.as_ref().unwrap().payload() == payload);
            }
            let Err(ReadError::Damaged { file, offset: place, position, .. }) = last else {
                panic!("byte {offset} is not missed")
            };
            assert_eq!((file.as_str(), *place), (&*segment(1), *at as u64), "byte {offset}");
            assert_eq!(position.as_u64(), before.len() as u64);
            let strict =
                Log::open_simulated(&decayed.restart_process(), options().verify_on_open(true));
            assert!(strict.is_err(), "byte {offset}");
            told += 1;
        }
    }
    assert!(told > 300, "{told}");
}

/// What stood there before, in a tail that was cut off: whole, at its place, of this log.
#[test]
fn a_frame_of_a_tail_that_was_cut_is_not_taken_for_the_one_that_was_sealed() {
    let disk = SimDisk::new(1);
    disk.keep_history();
    let log = Log::open_simulated(&disk, options()).unwrap();
    let event = |text: &str| Batch::new().event("a", Event::new("T", text.repeat(100)));
    log.append(event("kept")).unwrap();
    log.append(event("lost").durability(Durability::Buffered)).unwrap();
    let (files, at) = (Files::of(&disk), Files::of(&disk).frames(0)[1]);
    let lost = files.0[&segment(0)][at..files.end(0)].to_vec();
    disk.crash();
    drop(log);
    let disk = disk.reboot(&Survivors::None);
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert_eq!(log.end(), Position::new(1), "it was cut");
    for _ in 0..20 {
        log.append(event("real")).unwrap();
    }
    log.close().unwrap();
    let mut files = Files::of(&disk);
    assert_eq!(files.frames(0)[1], at);
    files.segment(0)[at..at + lost.len()].copy_from_slice(&lost);
    let disk = files.disk();
    assert!(
        Log::open_simulated_read_only(&disk, options().verify_on_open(true))
            .unwrap()
            .recovery_report()
            .damage
            .is_some()
    );
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(log.recovery_report().indexes_used > 0);
    for read in [log.read(Position::new(1)..), log.read(..Position::new(2)).backward()] {
        let error = read.into_iter().next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ReadErrorKind::Damage);
    }
    let mut stream = log.read_stream("a", ..).into_iter();
    assert!(stream.next().unwrap().is_ok());
    assert_eq!(stream.next().unwrap().unwrap_err().kind(), ReadErrorKind::Damage);
    assert!(at > HEADER_BYTES);
}

#[test]
fn an_index_is_not_stored_before_its_segment_is_on_the_device() {
    let disk = SimDisk::new(3);
    disk.record_crash_points(true);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..60);
    log.close().unwrap();
    let mut looked = 0;
    for machine in disk.take_crash_points() {
        for (name, bytes) in indexes(&machine) {
            let segment = name.replace(".idx", ".seg");
            assert_eq!(machine.durable_file(&segment), machine.read_file(&segment), "{segment}");
            assert!(!bytes.is_empty());
            looked += 1;
        }
    }
    assert!(looked > 20, "{looked}");
}
