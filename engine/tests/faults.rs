//! Calls that fail: callers are told the truth, nothing acknowledged is lost, nothing is tried
//! again that must not be, and opening the log again settles the rest for good.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::panic::{AssertUnwindSafe, catch_unwind};

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{
    AppendError, Batch, Durability, Event, ExpectedVersion, Log, Options, Outcome, StoreMode,
};

const MODES: [StoreMode; 3] = [
    StoreMode::Mapped,
    StoreMode::Positioned,
    // Small batches are copied, large ones written.
    StoreMode::BySize { positioned_from: 700 },
];

fn options(mode: StoreMode) -> Options {
    Log::options().segment_bytes(8 << 10).store_mode(mode)
}

fn batch(number: u8) -> Batch {
    let event = |part: u8| Event::new("T", vec![number, part]);
    Batch::new().event("a", event(0)).event("b", event(1)).event("a", event(2))
}

/// One that takes a third of a segment's room, so that the fourth rolls over.
fn large(number: u8) -> Batch {
    Batch::new().event("a", Event::new("T", vec![number; 1000]))
}

/// The first byte of each event's payload: which batch it is of.
fn numbers(log: &Log) -> Vec<u8> {
    log.read(..).into_iter().map(|event| event.unwrap().payload()[0]).collect()
}

/// Opens after a failure: in the next process of the same boot, then after a power cut. What the
/// first has found is what the second finds.
fn settle(disk: &SimDisk, mode: StoreMode, survivors: &Survivors) -> Vec<u8> {
    disk.heal();
    let disk = disk.restart_process();
    let log = Log::open_simulated(&disk, options(mode)).unwrap();
    let found = numbers(&log);
    let disk = disk.reboot(survivors);
    let log = Log::open_simulated(&disk, options(mode)).unwrap();
    assert_eq!(numbers(&log), found, "what was found once stays");
    log.append(batch(99)).unwrap();
    found
}

/// Everything that holds once a write or sync has failed: `before` is what was durable.
fn check_poisoned(disk: &SimDisk, log: Log, failure: &AppendError, before: &[u8]) {
    let AppendError::OutcomeUnknown(cause) = failure else { panic!("{failure}") };
    let effects = disk.effects();
    for durability in [Durability::Sync, Durability::Buffered] {
        let later = log.append(batch(50).durability(durability)).unwrap_err();
        let AppendError::Poisoned(first) = &later else { panic!("{later}") };
        assert_eq!((later.outcome(), first.to_string()), (Outcome::NotApplied, cause.to_string()));
    }
    assert!(matches!(log.sync(), Err(AppendError::Poisoned(_))));
    assert_eq!(numbers(&log), before, "reads of what was durable go on, and see no more");
    assert_eq!(log.end().as_u64(), before.len() as u64);
    let versions = log.read_stream("a", ..).into_iter().count() as u64;
    assert_eq!(log.stream_version("a").map_or(0, |version| version.as_u64() + 1), versions);
    assert!(matches!(log.close(), Err(AppendError::Poisoned(_))));
    assert_eq!(disk.effects(), effects, "nothing is written or synced after a failure");
}

#[test]
fn a_failed_sync_poisons_the_log_and_reopening_settles_what_became_of_the_batch() {
    for mode in MODES {
        for seed in 0..40 {
            let left =
                [Survivors::None, Survivors::All, Survivors::Random][seed as usize % 3].clone();
            let disk = SimDisk::new(seed);
            let log = Log::open_simulated(&disk, options(mode)).unwrap();
            log.append(batch(1)).unwrap();
            disk.fail(FaultPlan::new(Operation::Sync, Errno::Io).leaving(left));
            let failure = log.append(batch(2)).unwrap_err();
            check_poisoned(&disk, log, &failure, &[1, 1, 1]);
            let found = settle(&disk, mode, &Survivors::None);
            assert_eq!(found, [1, 1, 1, 2, 2, 2], "the page cache still shows it: taken in whole");

            // The same, but the power is cut before the log is opened again.
            let disk = disk.if_rebooted(&Survivors::Random);
            let log = Log::open_simulated(&disk, options(mode)).unwrap();
            assert!(
                [&[1, 1, 1][..], &[1, 1, 1, 2, 2, 2], &[1, 1, 1, 2, 2, 2, 99, 99, 99]]
                    .contains(&&numbers(&log)[..])
            );
        }
    }
}

#[test]
fn after_a_failed_sync_and_a_power_cut_a_batch_is_there_whole_or_not_at_all() {
    let mut outcomes = [0, 0];
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
        log.append(large(1)).unwrap();
        disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
        log.append(large(2)).unwrap_err();
        let disk = disk.reboot(&Survivors::Random);
        let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
        let found = numbers(&log);
        assert!(found == [1] || found == [1, 2], "{found:?}");
        outcomes[found.len() - 1] += 1;
        let again = Log::open_simulated_read_only(&disk.reboot(&Survivors::None), Log::options());
        assert_eq!(numbers(&again.unwrap()), found);
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "both happen: {outcomes:?}");
}

#[test]
fn a_positioned_write_that_fails_in_the_middle_leaves_no_trace_or_all_of_the_batch() {
    for errno in [Errno::Io, Errno::NoSpace] {
        for stored in [0, 1, 7, 8, 40, 48, 100, 200, 250, u64::MAX] {
            let disk = SimDisk::new(stored);
            let log = Log::open_simulated(&disk, options(StoreMode::Positioned)).unwrap();
            log.append(batch(1)).unwrap();
            disk.fail(FaultPlan::new(Operation::Append, errno).storing(stored));
            let failure = log.append(batch(2)).unwrap_err();
            check_poisoned(&disk, log, &failure, &[1, 1, 1]);
            let found = settle(&disk, StoreMode::Positioned, &Survivors::Random);
            let whole: &[u8] =
                if stored >= batch(2).frame_bytes() as u64 { &[2, 2, 2] } else { &[] };
            assert_eq!(found, [&[1, 1, 1], whole].concat(), "{stored} bytes stored");
        }
    }
}

#[test]
fn by_size_the_write_of_a_large_batch_can_fail_behind_copied_ones() {
    let mode = MODES[2];
    for stored in [0, 1, 40, 700, u64::MAX] {
        let disk = SimDisk::new(stored);
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        disk.fail(FaultPlan::new(Operation::Append, Errno::Io).storing(stored));
        log.append(batch(1)).unwrap();
        let failure = log.append(large(2)).unwrap_err();
        check_poisoned(&disk, log, &failure, &[1, 1, 1]);
        let found = settle(&disk, mode, &Survivors::Random);
        let whole: &[u8] = if stored == u64::MAX { &[2] } else { &[] };
        assert_eq!(found, [&[1, 1, 1], whole].concat(), "{stored} bytes stored");
    }
}

#[test]
fn a_sync_that_fails_at_a_roll_over_loses_nothing_that_was_acknowledged() {
    for mode in MODES {
        for file in ["0.seg", "1.seg"] {
            for seed in 0..20 {
                let disk = SimDisk::new(seed);
                let log = Log::open_simulated(&disk, options(mode)).unwrap();
                for number in 1..=3 {
                    log.append(large(number).durability(Durability::Buffered)).unwrap();
                }
                log.sync().unwrap();
                // The next one rolls over; the batch in the old segment is not synced yet.
                disk.fail(FaultPlan::new(Operation::Sync, Errno::Io).on_files_with(file));
                let first = log.append(large(4).durability(Durability::Buffered));
                let second = log.append(large(5));
                let third = log.append(large(6));
                let survivors = Survivors::Weighted((seed * 5) as u8);
                let found = settle(&disk, mode, &survivors);
                let acknowledged = 3 + [first.is_ok(), second.is_ok(), third.is_ok()]
                    .iter()
                    .filter(|is_ok| **is_ok)
                    .count();
                assert!(found.len() >= acknowledged, "{found:?} of {acknowledged}");
                assert!(found.is_sorted() && found.len() <= 6, "{found:?}");
            }
        }
    }
}

#[test]
fn a_seal_whose_sync_failed_off_the_path_of_appends_lets_nothing_be_acknowledged_any_more() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        let buffered = |number| log.append(large(number).durability(Durability::Buffered));
        (0..4).for_each(|number| drop(buffered(number).unwrap()));
        // The first segment is sealed. It is synced when the second is full: then it fails, and the
        // kernel takes its pages for clean.
        let fails = FaultPlan::new(Operation::Sync, Errno::Io).on_files_with("0.seg");
        disk.fail(fails.leaving(Survivors::None));
        assert!((0..20).any(|_| buffered(4).is_err()), "the failure shuts the log");
        disk.heal();
        assert!(matches!(log.append(large(5)), Err(AppendError::Poisoned(_))));
        assert!(matches!(log.sync(), Err(AppendError::Poisoned(_))));
        assert_eq!(log.synced_end().as_u64(), 0);
        settle(&disk, mode, &Survivors::None);
    }
}

#[test]
fn a_full_disk_is_told_and_passes() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        disk.set_capacity(Some(disk.used()));
        let mut there = Vec::new();
        let full = loop {
            let number = there.len() as u8;
            match log.append(large(number)) {
                Ok(_) => there.push(number),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, AppendError::Full(_)), "{full}");
        assert_eq!(full.outcome(), Outcome::NotApplied);
        assert!(matches!(log.append(large(90)), Err(AppendError::Full(_))));
        // A smaller one still fits, and nothing of the refused ones is there.
        log.append(batch(91)).unwrap();
        there.extend([91, 91, 91]);
        assert_eq!(numbers(&log), there);
        let used = disk.used();
        // With room the same handle goes on.
        disk.set_capacity(Some(used + (64 << 10)));
        for number in 92..99 {
            log.append(large(number)).unwrap();
            there.push(number);
        }
        assert_eq!(numbers(&log), there);
        drop(log);
        let log = Log::open_simulated(&disk.reboot(&Survivors::None), options(mode)).unwrap();
        assert_eq!(numbers(&log), there);
    }
}

#[test]
fn a_full_disk_can_be_reopened_without_room() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    disk.set_capacity(Some(disk.used()));
    let appended = (0..).take_while(|number| log.append(large(*number)).is_ok()).count();
    let disk = disk.reboot(&Survivors::Random);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    assert_eq!(numbers(&log).len(), appended);
    assert!(matches!(log.append(large(90)), Err(AppendError::Full(_))));
    log.close().unwrap();
}

#[test]
fn whatever_fails_while_a_segment_is_prepared_latches_nothing() {
    let operations = [
        Operation::Create,
        Operation::Prepare,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncDirectory,
        Operation::Map,
    ];
    for operation in operations {
        for errno in [Errno::Io, Errno::TooManyFiles, Errno::NoSpace] {
            let disk = SimDisk::new(1);
            let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
            let before: Vec<u8> = (0..)
                .take_while(|number| {
                    // Up to the one that would roll over.
                    *number < 3 && log.append(large(*number)).is_ok()
                })
                .collect();
            let mut plan = FaultPlan::new(operation, errno).from_then_on();
            if operation == Operation::Sync {
                plan = plan.on_files_with(".tmp");
            }
            disk.fail(plan);
            // What the attempt leaves behind cannot be removed either.
            disk.fail(FaultPlan::new(Operation::Remove, errno).from_then_on());
            for _ in 0..3 {
                match log.append(large(50)).unwrap_err() {
                    AppendError::Full(_) => assert_eq!(errno, Errno::NoSpace),
                    AppendError::NoSegment(_) => assert_ne!(errno, Errno::NoSpace),
                    other => panic!("{operation:?} {errno:?}: {other}"),
                }
            }
            assert_eq!(numbers(&log), before, "{operation:?}");
            disk.heal();
            log.append(large(60)).unwrap();
            let there = [&before[..], &[60]].concat();
            assert_eq!(numbers(&log), there);
            let disk = disk.reboot(&Survivors::None);
            let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
            assert_eq!(numbers(&log), there, "{operation:?} {errno:?}");
        }
    }
}

#[test]
fn a_segment_whose_name_was_not_durable_is_not_used_by_the_next_process_as_if_it_were() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    for number in 0..3 {
        log.append(large(number)).unwrap();
    }
    let fails = FaultPlan::new(Operation::SyncDirectory, Errno::Io).leaving(Survivors::None);
    disk.fail(fails);
    assert!(matches!(log.append(large(3)), Err(AppendError::NoSegment(_))));
    let disk = disk.restart_process();
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    log.append(large(3)).unwrap();
    let disk = disk.reboot(&Survivors::None);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    assert_eq!(numbers(&log), [0, 1, 2, 3]);
}

#[test]
fn a_check_whose_sync_fails_is_told_to_have_stored_nothing() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    log.append(batch(1).durability(Durability::Buffered)).unwrap();
    // What it speaks of is not durable yet.
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
    let failure = log.append(Batch::new().expect("a", ExpectedVersion::StreamExists)).unwrap_err();
    assert!(matches!(failure, AppendError::Poisoned(_)), "{failure}");
    assert_eq!(failure.outcome(), Outcome::NotApplied);
}

#[test]
fn a_panic_in_the_middle_of_an_append_lets_nothing_in_after_it() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        log.append(batch(1)).unwrap();
        // Between the store and the end of the sync.
        disk.observe(|operation| assert!(operation != Operation::Sync, "as planned"));
        let append = || log.append(batch(2));
        assert!(catch_unwind(AssertUnwindSafe(append)).is_err());
        disk.observe(|_| {});
        assert!(matches!(log.append(batch(3)), Err(AppendError::Poisoned(_))));
        assert_eq!(numbers(&log), [1, 1, 1]);
    }
}

#[test]
fn a_close_frame_that_fails_is_told() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    log.append(batch(1)).unwrap();
    // All else is durable: this is the close frame's own sync.
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
    assert!(matches!(log.close(), Err(AppendError::Poisoned(_))));
}
