//! Goal: what the log calls durable is durable, and what it calls closed needs no repair.
#![allow(clippy::unwrap_used)] // a test may panic

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{AppendError, Batch, Durability, Event, Log, Options, StoreMode};

fn options(mode: StoreMode) -> Options {
    Log::options().segment_bytes(8 << 10).store_mode(mode)
}

fn batch(number: u8, durability: Durability) -> Batch {
    Batch::new().durability(durability).event("a", Event::new("T", vec![number; 1000]))
}

fn ends(log: &Log) -> (u64, u64) {
    (log.synced_end().as_u64(), log.end().as_u64())
}

#[test]
fn a_sync_that_fails_makes_nothing_durable() {
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let log = Log::open_simulated(&disk, options(mode)).unwrap();
            log.append(batch(0, Durability::Sync)).unwrap();
            log.append(batch(1, Durability::Buffered)).unwrap();
            assert_eq!(ends(&log), (1, 2));
            disk.fail(FaultPlan::new(Operation::Sync, Errno::Io).leaving(Survivors::None));
            log.append(batch(2, Durability::Sync)).unwrap_err();
            assert_eq!(ends(&log), (1, 2), "neither durable nor visible");
            let disk = disk.reboot(&Survivors::Random);
            let log = Log::open_simulated(&disk, options(mode)).unwrap();
            assert!(log.end().as_u64() >= 1);
        }
    }
}

#[test]
fn all_that_opening_has_found_is_durable_from_then_on() {
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        let disk = SimDisk::new(3);
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        (0..8).for_each(|number| drop(log.append(batch(number, Durability::Buffered)).unwrap()));
        assert_eq!(ends(&log), (0, 8));
        let disk = disk.restart_process();
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        assert_eq!(ends(&log), (8, 8));
        let disk = disk.reboot(&Survivors::None);
        let log = Log::open_simulated(&disk, options(mode)).unwrap();
        assert_eq!(ends(&log), (8, 8));
    }
}

#[test]
fn a_closed_log_needs_no_repair_after_a_power_cut() {
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        for durability in [Durability::Sync, Durability::Buffered] {
            for count in 0..20 {
                let disk = SimDisk::new(u64::from(count));
                let log = Log::open_simulated(&disk, options(mode)).unwrap();
                (0..count).for_each(|number| drop(log.append(batch(number, durability)).unwrap()));
                log.close().unwrap();
                let disk = disk.reboot(&Survivors::None);
                let effects = disk.effects();
                let log = Log::open_simulated(&disk, options(mode)).unwrap();
                let report = log.recovery_report();
                assert_eq!(ends(&log).1, u64::from(count));
                assert!(report.clean_close, "{count} batches: {report:?}");
                let repairs =
                    (report.bytes_cut, report.seals_made_again, report.unfinished_removed);
                assert_eq!(repairs, (0, 0, 0), "{count} batches, {mode:?}, {durability:?}");
                assert!(disk.effects() > effects, "it is synced all the same");
            }
        }
    }
}

#[test]
fn a_log_whose_segment_is_full_to_the_last_byte_can_be_marked_and_closed() {
    let mut full = 0;
    for payload_bytes in (3000..4000).step_by(8) {
        let disk = SimDisk::new(1);
        let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
        let event = Event::new("T", vec![1; payload_bytes]);
        let Ok(_) = log.append(Batch::new().event("a", event)) else { break };
        log.be_quiet();
        log.close().unwrap();
        let disk = disk.reboot(&Survivors::None);
        let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
        assert!(log.recovery_report().clean_close, "{payload_bytes} bytes");
        // It may take the last of the room: the seal then ends with the file.
        log.append(batch(2, Durability::Sync)).unwrap();
        log.close().unwrap();
        let disk = disk.reboot(&Survivors::None);
        let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
        let seals_made_again = log.recovery_report().seals_made_again;
        assert_eq!((log.end().as_u64(), seals_made_again), (2, 0), "{payload_bytes} bytes");
        full += 1;
    }
    assert!(full > 50, "{full}");
}

#[test]
fn a_log_that_is_opened_and_closed_again_stays_as_it_is() {
    let disk = SimDisk::new(1);
    let close = || Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap().close().unwrap();
    let bytes = || disk.read_file("00000000000000000000.seg").unwrap();
    close();
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    log.append(batch(1, Durability::Sync)).unwrap();
    log.close().unwrap();
    let closed = bytes();
    // More often than a segment has room for close frames.
    (0..100).for_each(|_| close());
    assert!(bytes() == closed);
}

#[test]
fn a_log_that_is_left_alone_notes_once_how_far_it_is_durable() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    let bytes = || disk.read_file("00000000000000000000.seg").unwrap();
    let new = bytes();
    log.be_quiet();
    assert!(bytes() == new, "there is nothing to note");
    log.append(batch(1, Durability::Sync)).unwrap();
    let appended = bytes();
    log.be_quiet();
    let noted = bytes();
    assert!(noted != appended);
    (0..100).for_each(|_| log.be_quiet());
    assert!(bytes() == noted);
    log.append(batch(2, Durability::Sync)).unwrap();
}

#[test]
fn an_append_on_a_closed_log_is_refused_as_such() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options(StoreMode::Mapped)).unwrap();
    let other = log.clone();
    log.close().unwrap();
    let effects = disk.effects();
    for durability in [Durability::Sync, Durability::Buffered] {
        let refusal = other.append(batch(1, durability)).unwrap_err();
        assert!(matches!(refusal, AppendError::Closed), "{refusal}");
    }
    assert!(matches!(other.sync(), Err(AppendError::Closed)));
    assert_eq!(disk.effects(), effects);
}
