//! Decay, deletion and mix-ups, in every byte and file: what had been proved durable is found to be
//! missing when the log is opened, in the right place; a refused open changes nothing; nothing is
//! ever shortened in silence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::sim::{Decay, SimDisk};
use quipu::{Batch, Durability, Event, Fault, Log, OpenError, Options, Position, Proof};

#[path = "common/files.rs"]
mod files;

use files::{CONTROL_BYTES, Files, HEADER_BYTES, damage, open, payloads, segment};

/// Everything is read when the log is opened: what a segment's index lets it pass over is found when
/// it is read, which `tests/sidecars.rs` shows.
fn options() -> Options {
    Log::options().segment_bytes(8 << 10).verify_on_open(true)
}

/// The payload of a batch of one event.
fn payload(number: u8) -> Vec<u8> {
    vec![number; 900]
}

fn append(log: &Log, numbers: std::ops::Range<u8>) {
    for number in numbers {
        log.append(Batch::new().event("a", Event::new("T", payload(number)))).unwrap();
    }
}

fn written(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(payload).collect()
}

/// Three segments: three batches in each of the first two, two in the last.
fn log_of_eight(disk: &SimDisk) -> Log {
    let log = Log::open_simulated(disk, options()).unwrap();
    append(&log, 0..8);
    log
}

fn closed() -> Files {
    closed_on(1)
}

/// The log's id is drawn from the disk's seed.
fn closed_on(seed: u64) -> Files {
    let disk = SimDisk::new(seed);
    log_of_eight(&disk).close().unwrap();
    let files = Files::of(&disk);
    let frames: Vec<usize> = (0..3).map(|sequence| files.frames(sequence).len()).collect();
    assert_eq!(frames, [4, 4, 3], "batches, and a seal or a close frame");
    assert_eq!(files.0.len(), 6, "three segments, the indexes of two, and the table of streams");
    files
}

/// Every append was acknowledged, but nothing behind the last one says so.
fn killed() -> Files {
    let disk = SimDisk::new(1);
    let log = log_of_eight(&disk);
    let files = Files::of(&disk);
    drop(log);
    files
}

/// Whatever was done to the files: either it is found and nothing is changed, or at least `least`
/// events are there, and none that is wrong.
fn judge(files: &Files, least: usize, what: impl Fn() -> String) -> bool {
    let all = written(8);
    match open(files, &options()) {
        Ok(found) => {
            assert!(found.len() >= least, "{}: {} events in silence", what(), found.len());
            assert!(found[..] == all[..found.len()], "{}: wrong events", what());
            false
        }
        Err(OpenError::Damaged(_)) => {
            damage(files, &options(), &all);
            true
        }
        Err(
            OpenError::ForeignSegment { .. }
            | OpenError::Misnamed { .. }
            | OpenError::Unsupported { .. },
        ) => true,
        Err(error) => panic!("{}: {error}", what()),
    }
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found_or_harmless() {
    let files = closed();
    let mut refused = 0;
    for sequence in 0..3 {
        for at in 0..8 << 10 {
            let mut flipped = files.clone();
            flipped.segment(sequence)[at] ^= 1 << (at % 8);
            let found = judge(&flipped, 8, || format!("segment {sequence}, byte {at}"));
            let close = files.end(2) - CONTROL_BYTES;
            let in_batches = match sequence {
                2 => (HEADER_BYTES..close).contains(&at),
                _ => (HEADER_BYTES..files.end(sequence) - CONTROL_BYTES).contains(&at),
            };
            assert!(found || !in_batches, "segment {sequence}, byte {at} of a batch");
            refused += u32::from(found);
        }
    }
    assert!(refused > 8 * 900);
}

#[test]
fn every_flipped_bit_of_a_killed_log_is_found_but_for_the_last_batch() {
    let files = killed();
    let last = *files.frames(2).last().unwrap();
    for sequence in 0..3 {
        for at in 0..8 << 10 {
            let mut flipped = files.clone();
            flipped.segment(sequence)[at] ^= 1 << (at % 8);
            // Nothing stands behind the last group that says that it had been durable.
            let least = if (sequence, at) >= (2, last) { 7 } else { 8 };
            let found = judge(&flipped, least, || format!("segment {sequence}, byte {at}"));
            let in_front = sequence < 2 || (HEADER_BYTES..last).contains(&at);
            assert!(found || !in_front || !is_batch_byte(&files, sequence, at));
        }
    }
}

fn is_batch_byte(files: &Files, sequence: usize, at: usize) -> bool {
    let frame = files.frames(sequence).into_iter().rfind(|frame| *frame <= at);
    at < files.end(sequence) && frame.is_some_and(|frame| files.is_batch(sequence, frame))
}

#[test]
fn every_lost_sector_of_a_closed_log_is_found_or_harmless() {
    for sequence in 0..3 {
        for sector in (0..8 << 10).step_by(512) {
            let mut files = closed();
            let close = files.end(2) - CONTROL_BYTES;
            files.segment(sequence)[sector..sector + 512].fill(0);
            // A sector that the last batch shares with the close frame goes with its witness.
            let with_witness = sequence == 2 && (sector..sector + 512).contains(&close);
            judge(&files, if with_witness { 7 } else { 8 }, || {
                format!("segment {sequence}, sector at {sector}")
            });
        }
    }
}

#[test]
fn every_length_to_which_a_segment_is_cut_is_found() {
    for (files, sequences) in [(closed(), 0..3), (killed(), 2..3)] {
        for sequence in sequences {
            for length in (0..8 << 10).step_by(8) {
                let mut cut = files.clone();
                cut.segment(sequence).truncate(length);
                let found = damage(&cut, &options(), &written(8));
                let right = match found.fault {
                    Fault::Length { expected: 8192, found } => found == length as u64,
                    Fault::NoSegmentLength { found } => found == length as u64,
                    _ => false,
                };
                assert!(right, "{length}: {found}");
            }
        }
    }
}

#[test]
fn damage_is_described_by_its_place_and_its_proof() {
    let mut files = closed();
    let second = files.frames(1)[1];
    files.segment(1)[second + 500] ^= 4;
    let found = damage(&files, &options(), &written(8));
    let path = |sequence| format!("simulated disk/{}", segment(sequence));
    assert_eq!((&found.file, found.offset), (&path(1), second as u64));
    assert_eq!(found.position, Position::new(4));
    assert!(matches!(found.fault, Fault::Frame(quipu_format::FrameError::BodyChecksum { .. })));
    let close = files.frames(2)[2] as u64;
    let synced_position = Position::new(8);
    assert_eq!(found.proof, Proof::Synced { file: path(2), offset: close, synced_position });
}

#[test]
fn a_bad_sector_is_an_error_of_the_device_and_changes_nothing() {
    let files = closed();
    let disk = files.disk();
    assert!(disk.corrupt(&segment(1), Decay::UnreadableSector { offset: 5000 }));
    let error = Log::open_simulated(&disk, options()).unwrap_err();
    assert!(matches!(error, OpenError::Io(_)), "{error}");
    assert!(Files::of(&disk) == files);
}

#[test]
fn a_deleted_segment_is_missed_wherever_it_stood() {
    for files in [closed(), killed()] {
        for sequence in 0..3 {
            let mut files = files.clone();
            files.0.remove(&segment(sequence));
            let found = damage(&files, &options(), &written(8));
            assert_eq!(found.fault, Fault::MissingFile);
            assert_eq!(found.position, Position::new(3 * sequence as u64));
            assert!(found.file.ends_with(&segment(sequence)), "{found}");
            match found.proof {
                Proof::Synced { .. } | Proof::InUse { .. } => assert!(sequence < 2),
                Proof::Sealed { file } => assert!(sequence == 2 && file.ends_with(&segment(1))),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_log_whose_only_segment_is_gone_is_no_new_log_if_the_next_was_prepared() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..2);
    log.close().unwrap();
    let mut files = Files::of(&disk);
    files.0.remove(&segment(0));
    files.0.insert(segment(1), vec![0; 8 << 10]);
    let OpenError::Damaged(found) = open(&files, &options()).unwrap_err() else { panic!() };
    assert!(matches!(found.proof, Proof::InUse { .. }));
}

#[test]
fn renamed_copied_and_exchanged_segments_are_told() {
    let files = closed();
    for from in 0..3 {
        for to in 0..4 {
            let mut copied = files.clone();
            let bytes = copied.segment(from).clone();
            copied.0.insert(segment(to), bytes);
            match open(&copied, &options()) {
                Ok(found) => assert!(from == to && found == written(8)),
                Err(OpenError::Misnamed { file, found }) => {
                    assert!(file.ends_with(&segment(to)));
                    assert_eq!(found.as_u64(), from as u64);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let mut exchanged = files.clone();
    let (first, second) = (files.0[&segment(0)].clone(), files.0[&segment(1)].clone());
    exchanged.0.insert(segment(0), second);
    exchanged.0.insert(segment(1), first);
    let error = open(&exchanged, &options()).unwrap_err();
    assert!(matches!(error, OpenError::Misnamed { .. }), "{error}");
}

#[test]
fn a_segment_of_another_log_is_told() {
    let (ours, other) = (closed_on(1), closed_on(2));
    for sequence in 0..3 {
        let mut mixed = ours.clone();
        mixed.0.insert(segment(sequence), other.0[&segment(sequence)].clone());
        let error = open(&mixed, &options()).unwrap_err();
        assert!(matches!(error, OpenError::ForeignSegment { .. }), "{error}");
    }
}

#[test]
fn a_segment_of_a_newer_release_is_told() {
    let mut newer = closed();
    let block = &mut newer.segment(1)[..HEADER_BYTES];
    block[8] = 2;
    block[12..16].fill(0);
    let checksum = crc32c::crc32c(block);
    block[12..16].copy_from_slice(&checksum.to_le_bytes());
    let error = open(&newer, &options()).unwrap_err();
    let OpenError::Unsupported { cause, .. } = error else { panic!("{error}") };
    assert!(matches!(cause, quipu_format::SegmentHeaderError::FormatVersion { found: 2 }));
}

#[test]
fn an_earlier_state_of_a_segment_is_found_out() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..1);
    let early = disk.read_file(&segment(0)).unwrap();
    append(&log, 1..5);
    let middle = disk.read_file(&segment(1)).unwrap();
    append(&log, 5..8);
    log.close().unwrap();
    for (sequence, stale, position) in [(0, early, 1), (1, middle, 5)] {
        let mut files = Files::of(&disk);
        files.0.insert(segment(sequence), stale);
        let found = damage(&files, &options(), &written(8));
        assert_eq!(found.position, Position::new(position));
    }
}

#[test]
fn an_earlier_state_of_the_last_segment_is_what_cannot_be_found_out() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..7);
    let stale = disk.read_file(&segment(2)).unwrap();
    append(&log, 7..8);
    log.close().unwrap();
    let mut files = Files::of(&disk);
    files.0.insert(segment(2), stale);
    // Nothing outside of this file knows of the last event. Documented, not wished for.
    assert_eq!(open(&files, &options()).unwrap(), written(7));
}

#[test]
fn the_last_batch_is_guarded_by_a_close_frame_or_by_the_batch_behind_it() {
    // Killed right after the last append: a torn tail looks the same.
    let mut files = killed();
    let last = *files.frames(2).last().unwrap();
    files.segment(2)[last + 100] ^= 1;
    assert_eq!(open(&files, &options()).unwrap(), written(7));
    // Closed: it is told.
    let mut files = closed();
    files.segment(2)[last + 100] ^= 1;
    let found = damage(&files, &options(), &written(8));
    assert_eq!((found.offset, found.position), (last as u64, Position::new(7)));
}

#[test]
fn the_last_batch_is_guarded_by_the_mark_of_an_idle_log() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = std::time::Duration::from_millis(1);
    let log = options().idle_mark_after(quiet).open(dir.path()).unwrap();
    append(&log, 0..1);
    // A copy says what is proved durable by what stands in it: that is the mark.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut files = Files::default();
    while files.0.is_empty()
        || Log::open_simulated_read_only(&files.disk(), options()).unwrap().synced_end()
            < Position::new(1)
    {
        assert!(std::time::Instant::now() < deadline, "no mark");
        let bytes = std::fs::read(dir.path().join(segment(0))).unwrap();
        files.0.insert(segment(0), bytes);
    }
    assert_eq!(open(&files, &options()).unwrap(), written(1));
    files.segment(0)[HEADER_BYTES + 100] ^= 1;
    let found = damage(&files, &options(), &written(1));
    assert_eq!(found.position, Position::ZERO);
    drop(log);
}

#[test]
fn a_reader_of_a_damaged_log_beside_a_live_writer_is_told_too() {
    let disk = SimDisk::new(1);
    let log = log_of_eight(&disk);
    assert!(disk.corrupt(&segment(1), Decay::FlipBit { offset: 4200, bit: 3 }));
    let reader = Log::open_simulated_read_only(&disk, options()).unwrap();
    let found = reader.recovery_report().damage.as_ref().unwrap();
    assert_eq!((found.position, payloads(&reader).len()), (Position::new(3), 3));
    drop(log);
}

#[test]
fn bytes_behind_the_end_are_cut_and_told() {
    let mut files = closed();
    let end = files.end(2);
    files.segment(2)[end + 16] = 1;
    let log = Log::open_simulated(&files.disk(), options()).unwrap();
    assert_eq!(log.recovery_report().bytes_cut, 17);
    assert_eq!(payloads(&log), written(8));
}

#[test]
fn a_buffered_log_that_was_never_synced_is_cut_where_it_does_not_verify() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options().durability(Durability::Buffered)).unwrap();
    append(&log, 0..8);
    let files = Files::of(&disk);
    drop(log);
    for (sequence, position) in [(0, 0), (1, 3), (2, 6)] {
        let mut torn = files.clone();
        torn.segment(sequence)[HEADER_BYTES + 700] ^= 1;
        assert_eq!(open(&torn, &options()).unwrap(), written(position));
    }
}
