//! Every row of recovery's table, met on a real directory: what stands there, what opening makes of
//! it, and that the log goes on from there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{
    Batch, CommitTime, Durability, Event, Fault, Log, OpenError, Options, Position, Proof,
    RecoveryReport, Version,
};
use quipu_format::{BatchEncoder, ByteOffset, CommitFields, EventFields, Salt, SegmentHeader};

#[path = "common/files.rs"]
mod files;

use files::{CONTROL_BYTES, Files, HEADER_BYTES, damage, payloads, segment};

/// Everything is read when the log is opened, whatever the indexes of sealed segments say.
fn options() -> Options {
    Log::options().segment_bytes(8 << 10).verify_on_open(true)
}

fn payload(number: u8) -> Vec<u8> {
    vec![number; 900]
}

fn written(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(payload).collect()
}

fn append(log: &Log, numbers: std::ops::Range<u8>, durability: Durability) {
    for number in numbers {
        let event = Event::new("T", payload(number));
        log.append(Batch::new().durability(durability).event("a", event)).unwrap();
    }
}

/// Three segments with three, three and two batches, of which the disk proves nothing durable.
fn buffered() -> Files {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..8, Durability::Buffered);
    let files = Files::of(&disk);
    drop(log);
    files
}

/// The same, each batch durable before the next.
fn synced() -> Files {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..8, Durability::Sync);
    let files = Files::of(&disk);
    drop(log);
    files
}

/// Opens and finds the first `count` batches; then goes on, so that the history is whole again,
/// through a power cut. Gives the report of the first opening.
fn heals(files: &Files, count: u8) -> RecoveryReport {
    let disk = files.disk();
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(payloads(&log) == written(count), "{} batches", payloads(&log).len());
    append(&log, count..12, Durability::Sync);
    let report = log.recovery_report().clone();
    let disk = disk.reboot(&Survivors::None);
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(payloads(&log) == written(12));
    assert_eq!(log.recovery_report().bytes_cut, 0, "the cut was durable");
    report
}

#[test]
fn an_end_with_nothing_behind_it_is_clean() {
    let report = heals(&Files::default(), 0);
    assert_eq!((report.bytes_cut, report.clean_close), (0, true));
    let report = heals(&buffered(), 8);
    assert_eq!((report.bytes_cut, report.clean_close), (0, false));
}

#[test]
fn a_tail_torn_at_any_frame_or_in_the_middle_of_one_is_cut_there() {
    let whole = buffered();
    for sequence in 0..3 {
        let batches: Vec<usize> = whole.frames(sequence);
        let batches = batches.into_iter().filter(|at| whole.is_batch(sequence, *at));
        for (place, at) in batches.enumerate() {
            for into in [0, 8, 20, 48, 500, 900] {
                let mut files = whole.clone();
                files.zero(sequence, at + into);
                (sequence + 1..3).for_each(|later| files.zero(later, 0));
                let report = heals(&files, (3 * sequence + place) as u8);
                assert_eq!(report.bytes_cut > 0, into > 0);
            }
        }
    }
}

#[test]
fn a_tail_torn_in_front_of_segments_in_use_is_cut_if_nothing_says_it_was_durable() {
    let mut files = buffered();
    let second = files.frames(0)[1];
    files.segment(0)[second..second + 512].fill(0);
    let report = heals(&files, 1);
    // To the last byte of each of the three files that is not zero; a checksum may end in zeros.
    let mut used = |sequence| {
        let last = files.segment(sequence).iter().rposition(|byte| *byte != 0);
        last.map_or(0, |last| last + 1)
    };
    let bytes = used(0) - second + used(1) + used(2);
    assert_eq!(report.bytes_cut, bytes as u64);
}

#[test]
fn a_synced_position_above_a_torn_place_is_damage_wherever_it_stands() {
    let whole = synced();
    for sequence in 0..2 {
        for at in whole.frames(sequence).into_iter().filter(|at| whole.is_batch(sequence, *at)) {
            let mut files = whole.clone();
            files.segment(sequence)[at + 100] ^= 1;
            let found = damage(&files, &options(), &written(8));
            assert!(matches!(found.proof, Proof::Synced { .. }), "{found}");
            assert_eq!(found.offset, at as u64);
        }
    }
}

#[test]
fn a_lost_seal_is_made_again_from_the_next_header_and_stays() {
    for whole in [buffered(), synced()] {
        let mut files = whole.clone();
        for sequence in 0..2 {
            let seal = files.end(sequence) - CONTROL_BYTES;
            files.zero(sequence, seal);
        }
        // For reading only it is not there, and not missed in any direction.
        let log = Log::open_simulated_read_only(&files.disk(), options()).unwrap();
        assert!(payloads(&log) == written(8));
        let mut backward: Vec<_> = log.read(..).backward().into_iter().collect();
        backward.reverse();
        assert_eq!(
            backward.into_iter().map(|event| event.unwrap().payload().len()).sum::<usize>(),
            8 * 900
        );

        let disk = files.disk();
        let log = Log::open_simulated(&disk, options()).unwrap();
        assert_eq!(log.recovery_report().seals_made_again, 2);
        let disk = disk.reboot(&Survivors::None);
        for sequence in 0..2 {
            assert!(disk.read_file(&segment(sequence)).unwrap() == whole.0[&segment(sequence)]);
        }
        assert_eq!(heals(&Files::of(&disk), 8).seals_made_again, 0);
    }
}

#[test]
fn a_seal_lost_together_with_the_next_header_is_a_torn_tail_or_damage() {
    for (whole, proved) in [(buffered(), false), (synced(), true)] {
        let mut files = whole.clone();
        let seal = files.end(0) - CONTROL_BYTES;
        files.zero(0, seal);
        files.segment(1)[..HEADER_BYTES].fill(0);
        match proved {
            false => assert!(heals(&files, 3).bytes_cut > 0),
            true => {
                let found = damage(&files, &options(), &written(8));
                assert_eq!((found.offset, found.fault), (seal as u64, Fault::NeverWritten));
            }
        }
    }
}

#[test]
fn a_segment_of_which_only_the_header_is_lost_or_only_the_header_is_there() {
    let mut files = buffered();
    files.segment(1)[..HEADER_BYTES].fill(0);
    heals(&files, 3);
    let mut files = buffered();
    files.zero(1, HEADER_BYTES);
    files.0.remove(&segment(2));
    heals(&files, 3);
    // Half of a header: the system may write a page back in the middle of a store.
    for length in [1, 4, 7, 8, 20, 100] {
        let mut files = buffered();
        files.zero(1, length);
        files.0.remove(&segment(2));
        heals(&files, 3);
    }
}

#[test]
fn a_missing_file_is_damage_behind_a_seal_and_in_front_of_others() {
    for sequence in 0..3 {
        let mut files = buffered();
        files.0.remove(&segment(sequence));
        let found = damage(&files, &options(), &written(8));
        assert_eq!(found.fault, Fault::MissingFile);
        assert_eq!(matches!(found.proof, Proof::Sealed { .. }), sequence == 2);
    }
}

#[test]
fn a_sealed_segment_goes_on_in_the_one_that_was_prepared_for_it() {
    for length in [8 << 10, 16 << 10, 12 << 10] {
        let mut files = buffered();
        files.0.insert(segment(2), vec![0; length]);
        let report = heals(&files, 6);
        assert_eq!(report.bytes_cut, 0);
    }
}

#[test]
fn unused_segments_are_used_if_they_fit_and_removed_if_not() {
    let mut files = buffered();
    for (sequence, length) in [(3, 8 << 10), (4, 16 << 10), (5, 8 << 10)] {
        files.0.insert(segment(sequence), vec![0; length]);
    }
    let disk = files.disk();
    let log = Log::open_simulated(&disk, options()).unwrap();
    let mut names: Vec<String> = disk.files().into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".seg"));
    assert_eq!(names, [0, 1, 2, 3].map(segment));
    append(&log, 8..20, Durability::Sync);
    let log = Log::open_simulated(&disk.reboot(&Survivors::None), options()).unwrap();
    assert!(payloads(&log) == written(20));
}

#[test]
fn an_unfinished_preparation_is_removed() {
    let mut files = buffered();
    files.0.insert(format!("{}.tmp", segment(3)), vec![7; 100]);
    assert_eq!(heals(&files, 8).unfinished_removed, 1);
    let disk = files.disk();
    drop(Log::open_simulated(&disk, options()).unwrap());
    assert!(!disk.files().iter().any(|entry| entry.name.ends_with(".tmp")));
}

#[test]
fn what_follows_a_sealed_segment_is_there_whatever_fails_while_it_is_replaced() {
    let mut files = buffered();
    files.0.insert(segment(2), vec![0; 16 << 10]);
    let mut failed = 0;
    for operation in [
        Operation::Create,
        Operation::Prepare,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncDirectory,
        Operation::Map,
    ] {
        for nth in 1..=3 {
            let disk = files.disk();
            disk.fail(FaultPlan::new(operation, Errno::Io).nth(nth));
            failed += u32::from(Log::open_simulated(&disk, options()).is_err());
            disk.heal();
            heals(&Files::of(&disk.restart_process()), 6);
        }
    }
    assert!(failed >= 10, "{failed}");
}

#[test]
fn a_log_whose_creation_was_cut_off_anywhere_can_be_opened() {
    let mut cut_off = 0;
    for effects in 0..12 {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            disk.crash_after(effects);
            cut_off += u32::from(Log::open_simulated(&disk, options()).is_err());
            let survivors = match seed {
                0 => Survivors::None,
                1 => Survivors::All,
                _ => Survivors::Random,
            };
            let disk = disk.reboot(&survivors);
            let log = Log::open_simulated(&disk, options()).unwrap();
            append(&log, 0..2, Durability::Sync);
            let log = Log::open_simulated(&disk.reboot(&Survivors::None), options()).unwrap();
            assert!(payloads(&log) == written(2));
        }
    }
    assert!(cut_off > 5 * 50, "the creation takes so many effects: {cut_off}");
}

#[test]
fn a_length_that_a_segment_never_had_is_damage() {
    let mut files = buffered();
    files.segment(2).extend([0; 4096]);
    let found = damage(&files, &options(), &written(8));
    assert_eq!(found.fault, Fault::Length { expected: 8192, found: 12288 });
    assert_eq!(found.proof, Proof::FixedLength);
    for length in [0, 1, 4096, 5000] {
        let mut files = buffered();
        files.0.insert(segment(2), vec![0; length]);
        let found = damage(&files, &options(), &written(8));
        assert_eq!(found.fault, Fault::NoSegmentLength { found: length as u64 });
        assert_eq!(found.proof, Proof::FixedLength);
    }
}

#[test]
fn contents_behind_the_only_header_that_is_lost_are_damage() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..2, Durability::Sync);
    drop(log);
    for from in [0, 50] {
        let mut files = Files::of(&disk);
        files.segment(0)[from..HEADER_BYTES].fill(0);
        let found = damage(&files, &options(), &[]);
        assert!(matches!(found.proof, Proof::Contents { .. }), "{found}");
    }
}

/// Two logs with one beginning: of the second, all but the first segment was written again.
fn forked(durability: Durability) -> (Files, Files) {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..3, durability);
    let fork = Files::of(&disk);
    append(&log, 3..8, durability);
    let ours = Files::of(&disk);
    drop(log);
    let disk = fork.disk();
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 103..108, durability);
    (ours, Files::of(&disk))
}

#[test]
fn a_segment_that_does_not_continue_the_one_before_is_cut_or_damage() {
    for (durability, proved) in [(Durability::Buffered, false), (Durability::Sync, true)] {
        let (mut ours, other) = forked(durability);
        ours.0.insert(segment(2), other.0[&segment(2)].clone());
        match proved {
            false => assert!(heals(&ours, 6).bytes_cut > 0),
            true => {
                let found = damage(&ours, &options(), &written(8));
                assert_eq!(found.fault, Fault::Unlinked);
            }
        }
    }
}

#[test]
fn a_frame_of_another_history_is_cut_like_any_tail() {
    let (mut ours, other) = forked(Durability::Buffered);
    let at = ours.frames(1)[2];
    ours.segment(1)[at..].copy_from_slice(&other.0[&segment(1)][at..]);
    ours.zero(2, 0);
    assert!(heals(&ours, 5).bytes_cut > 0);
}

#[test]
fn right_checksums_over_what_this_release_does_not_know_are_damage() {
    let mut files = buffered();
    let at = files.frames(2)[1];
    let header = SegmentHeader::decode(&files.segment(2)[..HEADER_BYTES]).unwrap().unwrap();
    let salt = Salt::new(header.log_id, header.sequence);
    // A frame flag of a release to come.
    let frame = &mut files.segment(2)[at..at + 48];
    frame[5] = 1;
    let checksum = salt.header_checksum(ByteOffset::new(at as u64), &frame[..44]);
    frame[44..].copy_from_slice(&checksum.to_le_bytes());
    let found = damage(&files, &options(), &written(8));
    assert_eq!((found.offset, found.proof), (at as u64, Proof::Contradiction));
}

#[test]
fn a_batch_that_names_a_stream_twice_is_damage_under_right_checksums() {
    let disk = SimDisk::new(1);
    drop(Log::open_simulated(&disk, options()).unwrap());
    let mut files = Files::of(&disk);
    files.segment(0)[HEADER_BYTES..].fill(0);
    let header = SegmentHeader::decode(&files.segment(0)[..HEADER_BYTES]).unwrap().unwrap();
    let mut encoder = BatchEncoder::new();
    for _ in 0..2 {
        let stream = encoder.add_stream("a").unwrap();
        let (id, tags, metadata, payload) = (None, &[][..], &[][..], &[][..]);
        let event = EventFields { event_type: "T", id, tags, metadata, payload };
        encoder.push(stream, &event).unwrap();
    }
    let mut batch = encoder.finish().unwrap();
    (0..2).for_each(|stream| batch.set_first_version(stream, Version::new(0)));
    let fields = CommitFields {
        offset: ByteOffset::new(HEADER_BYTES as u64),
        first_position: Position::new(0),
        commit_time: CommitTime::new(1),
        synced_position: Position::new(0),
        settled: false,
        previous: header.checksum(),
    };
    batch.commit(&fields, Salt::new(header.log_id, header.sequence));
    let frame = batch.parts().concat();
    files.segment(0)[HEADER_BYTES..HEADER_BYTES + frame.len()].copy_from_slice(&frame);
    let found = damage(&files, &options(), &written(0));
    assert_eq!((found.offset, found.proof), (HEADER_BYTES as u64, Proof::Contradiction));
}

#[test]
fn nothing_that_was_cut_comes_back_after_a_sync_that_failed_meanwhile() {
    // Only the header of the second segment is lost. The one that recovery makes in its place is
    // the same, so that the frames behind it would follow if they were still there.
    let options = options().segment_bytes(64 << 10);
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options.clone()).unwrap();
    for number in 0..9 {
        let event = Event::new("T", vec![number; 12_000]);
        log.append(Batch::new().durability(Durability::Buffered).event("a", event)).unwrap();
    }
    let mut files = Files::of(&disk);
    files.segment(1)[..HEADER_BYTES].fill(0);
    let left = files.frames(0).len() - 1;
    let mut refused = 0;
    // The zeros behind the mark, the mark, the header that is made again.
    for nth in 1..=3 {
        for survivors in [Survivors::None, Survivors::All, Survivors::Weighted(50)] {
            let disk = files.disk();
            let plan = FaultPlan::new(Operation::Sync, Errno::Io).nth(nth);
            disk.fail(plan.on_files_with("1.seg").leaving(survivors));
            match Log::open_simulated(&disk, options.clone()) {
                Ok(_) => {}
                Err(OpenError::Io(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            disk.heal();
            let disk = disk.restart_process();
            let log = Log::open_simulated(&disk, options.clone()).unwrap();
            assert_eq!(payloads(&log).len(), left);
            let disk = disk.reboot(&Survivors::None);
            let bytes = disk.read_file(&segment(1)).unwrap();
            assert!(bytes[HEADER_BYTES..].iter().all(|byte| *byte == 0), "sync {nth}");
            let log = Log::open_simulated(&disk, options.clone()).unwrap();
            assert_eq!(payloads(&log).len(), left, "sync {nth}");
        }
    }
    assert_eq!(refused, 3 * 3, "each of these syncs is needed");
}

#[test]
fn a_tail_of_many_segments_is_stored_again_where_a_failed_sync_left_it_in_the_page_cache_alone() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..2, Durability::Sync);
    append(&log, 2..8, Durability::Buffered);
    let mut disk = disk.restart_process();
    drop(log);
    for sequence in 0..3 {
        let plan = FaultPlan::new(Operation::Sync, Errno::Io).on_files_with(segment(sequence));
        disk.fail(plan.leaving(Survivors::None));
        Log::open_simulated(&disk, options()).unwrap_err();
        disk.heal();
        disk = disk.restart_process();
    }
    let again = Log::open_simulated(&disk, options()).unwrap();
    assert!(payloads(&again) == written(8), "the page cache shows all");
    assert_eq!(again.recovery_report().proved_durable, Position::new(2), "in the first segment");
    let disk = disk.reboot(&Survivors::None);
    drop(again);
    let after = Log::open_simulated(&disk, options()).unwrap();
    assert!(payloads(&after) == written(8), "{} after a power cut", payloads(&after).len());
}
