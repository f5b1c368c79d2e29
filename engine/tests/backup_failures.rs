//! Goal: whatever call fails while a backup is made, once it has been made again it is there, also after a
//! power cut; and until then the folder holds the backup before it, or says that it is not finished.
#![allow(clippy::unwrap_used)] // a test may panic

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{BackupOptions, Batch, Event, Log, OpenError, Options, Position};

fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

fn append(log: &Log, count: u32) {
    for _ in 0..count {
        log.append(Batch::new().event("a", Event::new("T", vec![7; 900]))).unwrap();
    }
}

/// Where the backup's log ends; `None`: it is not finished, or not begun.
fn end_of_backup(disk: &SimDisk) -> Option<Position> {
    match Log::open_simulated_read_only(&disk.folder("backup"), options()) {
        Ok(log) => Some(log.end()),
        Err(OpenError::UnfinishedBackup { .. } | OpenError::NoLog { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_backup_made_again_after_a_failed_call_outlasts_a_power_cut() {
    use Operation::{Create, Length, List, Open, Read, Remove, Rename, Sync, SyncDirectory, Write};
    let how = BackupOptions::new().copies();
    let mut failed = 0;
    for operation in [Create, Length, List, Open, Read, Remove, Rename, Sync, SyncDirectory, Write]
    {
        for nth in 1..20 {
            let what = format!("{operation:?} number {nth}");
            let disk = SimDisk::new(7);
            let log = Log::open_simulated(&disk, options()).unwrap();
            let folder = disk.folder("backup");
            append(&log, 9);
            log.backup_simulated(&folder, &how).unwrap();
            append(&log, 9);
            let fault = FaultPlan::new(operation, Errno::Io).nth(nth);
            disk.fail(fault.leaving(Survivors::None));
            let is_made = log.backup_simulated(&folder, &how).is_ok();
            disk.heal();
            for survivors in [Survivors::None, Survivors::All, Survivors::Random] {
                let end = end_of_backup(&disk.if_rebooted(&survivors));
                let end = end.map(Position::as_u64);
                let may: &[_] = if is_made { &[Some(18)] } else { &[Some(9), Some(18), None] };
                assert!(may.contains(&end), "{what}: {end:?}");
            }
            failed += u32::from(!is_made);
            // The log itself may have met the failure: then it takes nothing more.
            let Ok(report) = log.backup_simulated(&folder, &how) else { continue };
            assert_eq!(report.end, Position::new(18), "{what}");
            let end = end_of_backup(&disk.if_rebooted(&Survivors::None));
            assert_eq!(end, Some(Position::new(18)), "{what}, and the backup made again");
        }
    }
    assert!(failed > 20, "{failed}");
}
