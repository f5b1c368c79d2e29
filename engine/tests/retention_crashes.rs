//! Dropping the front of the log, over every crash and failing call on the way, with wrong copies
//! of what outlives it, and on a full disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeSet;

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{Batch, Event, Fault, Log, OpenError, Position, Proof, TruncateError};

#[path = "common/dropping.rs"]
mod dropping;
#[path = "common/files.rs"]
mod files;
use dropping::{append, at, check_kept, known, names, options, truncated};
use files::Files;

#[test]
fn after_a_power_cut_at_any_effect_the_log_begins_where_it_did_or_where_it_was_to_begin() {
    for earlier in [None, Some(9)] {
        let disk = SimDisk::new(7);
        let log = Log::open_simulated(&disk, options()).unwrap();
        append(&log, 0..40);
        if let Some(earlier) = earlier {
            log.truncate_before(at(earlier)).unwrap();
        }
        let (before, old) = (known(&log), log.first_available());
        disk.record_crash_points(true);
        let new = log.truncate_before(at(24)).unwrap().first_available;
        let points = disk.take_crash_points();
        assert!(points.len() > 20, "{}", points.len());
        let (mut begun, mut left) = (BTreeSet::new(), 0);
        for point in points.iter().chain([&disk]) {
            for seed in 0..20 {
                let survivors = match seed {
                    0 => Survivors::All,
                    1 => Survivors::None,
                    _ => Survivors::Random,
                };
                let after = point.if_rebooted(&survivors);
                let reader = Log::open_simulated_read_only(&after, options()).unwrap();
                let seen = (reader.first_available(), known(&reader));
                let log = Log::open_simulated(&after, options()).unwrap();
                let first = log.first_available();
                assert_eq!(seen, (first, before.clone()), "for reading only");
                assert!(first == old || first == new, "{first}");
                assert_eq!(known(&log), before);
                check_kept(&log);
                left += log.recovery_report().dropped_files_found;
                begun.insert(first);
                append(&log, 40..43);
                let listed = names(&after);
                let sequence = |name: &String| name.get(..20)?.parse::<u64>().ok();
                let least = listed.iter().filter_map(sequence).min();
                assert_eq!(least, Some(first.as_u64() / 3), "{listed:?}");
            }
        }
        assert_eq!(begun, BTreeSet::from([old, new]));
        assert!(left > 0, "no crash has left anything behind");
    }
}

#[test]
fn a_failing_call_drops_nothing_and_the_log_goes_on() {
    let operations = [
        Operation::Create,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncDirectory,
        Operation::Read,
        Operation::Open,
        Operation::Remove,
    ];
    let mut failures = 0;
    for (operation, nth) in operations.into_iter().flat_map(|one| (1..=4).map(move |n| (one, n))) {
        let disk = SimDisk::new(7);
        let log = Log::open_simulated(&disk, options()).unwrap();
        append(&log, 0..40);
        log.truncate_before(at(9)).unwrap();
        let before = known(&log);
        disk.fail(FaultPlan::new(operation, Errno::NoSpace).nth(nth));
        let answer = log.truncate_before(at(24));
        disk.heal();
        let what = format!("{operation:?} {nth}");
        match answer {
            Ok(dropped) => assert_eq!(dropped.first_available, at(24), "{what}"),
            Err(TruncateError::Io(_)) => {
                failures += 1;
                assert_eq!(log.first_available(), at(9), "{what}");
                let after = disk.if_rebooted(&Survivors::All);
                let opened = Log::open_simulated(&after, options()).unwrap();
                assert_eq!(opened.first_available(), at(9), "{what}, opened again");
            }
            Err(error) => panic!("{what}: {error}"),
        }
        assert_eq!(known(&log), before, "{what}");
        check_kept(&log);
        append(&log, 40..50);
        assert_eq!(log.truncate_before(at(27)).unwrap().first_available, at(27), "{what}");
        let before = known(&log);
        let after = disk.reboot(&Survivors::None);
        let log = Log::open_simulated(&after, options()).unwrap();
        assert_eq!((log.first_available(), known(&log)), (at(27), before), "{what}");
        check_kept(&log);
    }
    assert!(failures >= 9, "{failures}");
}

/// Opens what `left` is once the disk is full, goes on, and cuts the power: whichever base that
/// leaves, all is there that it had. Whether there was no room for the base.
fn goes_on_without_room(left: &SimDisk, firsts: [Position; 2]) -> bool {
    left.set_capacity(Some(left.used()));
    let log = Log::open_simulated(left, options()).unwrap();
    let was_unstored = log.recovery_report().base_unstored;
    log.append(Batch::new().event("last", Event::new("T", vec![40; 100]))).unwrap();
    let before = known(&log);
    for seed in 0..6 {
        let survivors = match seed {
            0 => Survivors::All,
            1 => Survivors::None,
            _ => Survivors::Random,
        };
        let after = left.if_rebooted(&survivors);
        after.set_capacity(None);
        let log = Log::open_simulated(&after, options()).unwrap();
        assert!(!log.recovery_report().base_unstored);
        let first = log.first_available();
        assert!(firsts.contains(&first), "{first}");
        assert_eq!(known(&log), before);
        check_kept(&log);
        let listed = names(&after);
        let sequence = |name: &String| name.get(..20)?.parse::<u64>().ok();
        let least = listed.iter().filter_map(sequence).min();
        assert_eq!(least, Some(first.as_u64() / 3), "{listed:?}");
    }
    was_unstored
}

#[test]
fn a_disk_without_room_is_opened_with_what_a_truncation_has_left() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..40);
    disk.record_crash_points(true);
    let new = log.truncate_before(at(24)).unwrap().first_available;
    let points = disk.take_crash_points();
    let killed = points.iter().map(SimDisk::restart_process);
    let unstored = killed.filter(|left| goes_on_without_room(left, [at(0), new])).count();
    assert!(unstored > 10, "{unstored}");
}

#[test]
fn many_segments_at_once_leave_what_one_after_the_other_leaves() {
    let base_of = |positions: &[u64]| {
        let disk = SimDisk::new(7);
        let log = Log::open_simulated(&disk, options()).unwrap();
        append(&log, 0..160);
        for position in positions {
            log.truncate_before(at(*position)).unwrap();
        }
        assert_eq!(log.first_available(), at(150));
        disk.read_file("00000000000000000050.base").unwrap()
    };
    let one_by_one: Vec<u64> = (1..=50).map(|segment| 3 * segment).collect();
    assert!(base_of(&[150]) == base_of(&one_by_one));
}

#[test]
fn one_wrong_copy_of_the_base_is_made_again_and_two_are_damage() {
    let (disk, log, _) = truncated();
    let before = known(&log);
    log.close().unwrap();
    let whole = Files::of(&disk);
    let copies = ["00000000000000000010.base", "00000000000000000010.base2"];
    let length = whole.0[copies[0]].len();
    assert_eq!(whole.0[copies[0]], whole.0[copies[1]]);
    for copy in copies {
        for offset in (0..length).step_by(7).chain([length]) {
            let mut files = Files(whole.0.clone());
            match files.0.get_mut(copy).unwrap().get_mut(offset) {
                Some(byte) => *byte ^= 0x10,
                None => drop(files.0.remove(copy)),
            }
            let reader = Log::open_simulated_read_only(&files.disk(), options()).unwrap();
            assert_eq!(reader.recovery_report().base_copies_wrong, 1);
            assert_eq!(known(&reader), before);
            let disk = files.disk();
            let log = Log::open_simulated(&disk, options()).unwrap();
            assert_eq!(log.recovery_report().base_copies_wrong, 1, "{copy} at {offset}");
            assert_eq!(known(&log), before, "{copy} at {offset}");
            assert_eq!(disk.durable_file(copy), whole.0.get(copy).cloned());
        }
    }
    for offset in [0, 50, 110] {
        let mut files = Files(whole.0.clone());
        for copy in copies {
            files.0.get_mut(copy).unwrap()[offset] ^= 1;
        }
        let disk = files.disk();
        for opened in
            [Log::open_simulated(&disk, options()), Log::open_simulated_read_only(&disk, options())]
        {
            let Err(OpenError::Damaged(damage)) = opened else { panic!("{opened:?}") };
            assert!(damage.file.ends_with(copies[0]), "{damage}");
            assert_eq!(damage.offset, if offset < 104 { 0 } else { 104 }, "{damage}");
            assert!(matches!((&damage.fault, &damage.proof), (Fault::Base(_), Proof::BothCopies)));
        }
    }
}

#[test]
fn without_a_base_or_the_segment_it_names_the_log_is_damaged() {
    let (disk, log, _) = truncated();
    log.close().unwrap();
    let whole = Files::of(&disk);
    let damage_of = |files: Files| {
        let opened = Log::open_simulated(&files.disk(), options());
        let Err(OpenError::Damaged(damage)) = opened else { panic!("{opened:?}") };
        *damage
    };
    let mut files = Files(whole.0.clone());
    files.0.retain(|name, _| !name.contains(".base"));
    let damage = damage_of(files);
    assert_eq!((damage.position, damage.fault), (at(0), Fault::MissingFile));
    let first = "00000000000000000010.seg";
    for (what, change) in [
        ("gone", None),
        ("zero", Some(vec![0; 8192])),
        ("another", Some(whole.0["00000000000000000011.seg"].clone())),
    ] {
        let mut files = Files(whole.0.clone());
        // Nothing behind it says that it was durable.
        files.0.retain(|name, _| !name.ends_with(".seg"));
        files.0.extend(change.map(|bytes| (first.to_owned(), bytes)));
        let opened = Log::open_simulated(&files.disk(), options());
        match opened {
            Err(OpenError::Damaged(damage)) => {
                assert!(matches!(damage.proof, Proof::Base { .. }), "{what}: {damage}");
                assert_eq!((damage.position, damage.offset), (at(30), 0), "{what}");
            }
            Err(OpenError::Misnamed { .. }) if what == "another" => {}
            opened => panic!("{what}: {opened:?}"),
        }
    }
    // A segment that is not the one that the base was made in front of.
    let other = SimDisk::new(8);
    let log = Log::open_simulated(&other, options()).unwrap();
    append(&log, 0..60);
    log.truncate_before(at(30)).unwrap();
    log.close().unwrap();
    let mut files = Files(whole.0.clone());
    for name in ["00000000000000000010.base", "00000000000000000010.base2"] {
        files.0.insert(name.to_owned(), other.read_file(name).unwrap());
    }
    let opened = Log::open_simulated(&files.disk(), options());
    assert!(matches!(opened, Err(OpenError::ForeignSegment { .. })), "{opened:?}");
    // Nor one of a log of the same id, in which other events stood.
    let other = SimDisk::new(7);
    let log = Log::open_simulated(&other, options()).unwrap();
    log.append(Batch::new().event("other", Event::new("T", vec![1; 1000]))).unwrap();
    append(&log, 1..60);
    log.truncate_before(at(30)).unwrap();
    log.close().unwrap();
    for name in ["00000000000000000010.base", "00000000000000000010.base2"] {
        files.0.insert(name.to_owned(), other.read_file(name).unwrap());
    }
    let damage = damage_of(files);
    assert_eq!((damage.fault, damage.position), (Fault::Unlinked, at(30)));
}

#[test]
fn the_file_of_streams_goes_on_behind_a_base() {
    let (disk, log, _) = truncated();
    append(&log, 60..75);
    log.truncate_before(at(45)).unwrap();
    append(&log, 75..80);
    let before = known(&log);
    log.close().unwrap();
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(log.recovery_report().stream_table_used, "{:?}", log.recovery_report());
    assert_eq!(known(&log), before);
    log.close().unwrap();
    disk.remove_file("streams.ckpt");
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(!log.recovery_report().stream_table_used);
    assert_eq!(known(&log), before);
    append(&log, 80..100);
    let before = known(&log);
    log.close().unwrap();
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(log.recovery_report().stream_table_used, "it is made again from the base");
    assert_eq!(known(&log), before);
}

#[test]
fn a_file_of_streams_that_is_older_than_the_base_is_not_used_and_not_wrong() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..40);
    log.truncate_before(at(36)).unwrap();
    let before = known(&log);
    log.close().unwrap();
    assert!(names(&disk).contains("streams.ckpt"));
    let log = Log::open_simulated(&disk, options()).unwrap();
    let report = log.recovery_report();
    assert!(!report.stream_table_used && !report.stream_table_wrong, "{report:?}");
    assert_eq!(known(&log), before);
}
