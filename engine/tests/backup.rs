//! A backup is a log: the events up to a durable point, whole, nothing else; made beside appends,
//! brought up to date, refused where it cannot be one; and neither log ever changes the other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{
    AppendError, BackupError, BackupErrorKind, BackupOptions, BackupReport, Batch, CommitTime,
    Durability, Event, Log, OpenError, OpenErrorKind, Position,
};

#[path = "common/support.rs"]
mod support;

use support::{Picture, dense, one, options, payloads, poll_until, segment};

/// A place for a log and one for its backup.
struct Places {
    _root: tempfile::TempDir,
    log: PathBuf,
    backup: PathBuf,
}

fn places() -> Places {
    let root = tempfile::tempdir().unwrap();
    let (log, backup) = (root.path().join("log"), root.path().join("backup"));
    Places { _root: root, log, backup }
}

/// Batches of some 9 KiB: six fill a segment.
fn append(log: &Log, numbers: std::ops::Range<u32>) {
    for number in numbers {
        log.append(one(&format!("s-{}", number % 3), format!("{number:09000}"))).unwrap();
    }
}

fn numbers(log: &Log) -> Vec<u32> {
    payloads(log.read(..)).iter().map(|payload| payload.parse().unwrap()).collect()
}

/// Waits until the first `count` segments have their indexes.
fn wait_for_indexes(directory: &Path, count: u64) {
    for sequence in 0..count {
        let index = segment(directory, sequence).with_extension("idx");
        poll_until("an index", || index.exists().then_some(()));
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn counts(report: &BackupReport) -> (usize, usize, usize) {
    (report.segments_kept, report.segments_linked, report.segments_copied)
}

#[test]
fn a_backup_opens_as_the_log_that_it_was_made_of() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    log.append(Batch::new().checkpoint("p", Position::new(7))).unwrap();
    wait_for_indexes(&path, 3);
    let report = log.backup(&backup).unwrap();
    assert_eq!((report.end, counts(&report)), (log.end(), (0, 3, 1)));

    let copy = options().verify_on_open(true).open(&backup).unwrap();
    assert!(copy.recovery_report().clean_close);
    assert_eq!(copy.recovery_report().log_id, log.recovery_report().log_id);
    assert_eq!(numbers(&copy), (0..20).collect::<Vec<_>>());
    assert_eq!(dense(&copy), dense(&log));
    assert_eq!(copy.checkpoint("p"), Some(Position::new(7)));
    append(&copy, 20..40);
    assert_eq!(numbers(&copy), (0..40).collect::<Vec<_>>());
    copy.close().unwrap();
    assert_eq!(numbers(&log), (0..20).collect::<Vec<_>>());
}

#[test]
fn the_same_log_again_brings_only_what_is_new() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    wait_for_indexes(&path, 3);
    log.backup(&backup).unwrap();
    let before = Picture::of(&backup);
    let again = log.backup(&backup).unwrap();
    assert_eq!(counts(&again), (4, 0, 0), "nothing is new");
    before.assert_unchanged(&backup);

    append(&log, 20..40);
    wait_for_indexes(&path, 6);
    let more = log.backup(&backup).unwrap();
    assert_eq!(counts(&more), (3, 3, 1), "the one that was the last is linked now");
    assert_eq!(more.end, Position::new(40));
    let copy = options().verify_on_open(true).open(&backup).unwrap();
    assert_eq!(numbers(&copy), (0..40).collect::<Vec<_>>());
}

#[test]
fn copies_share_no_file_with_the_log() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    wait_for_indexes(&path, 3);
    let report = log.backup_with(&backup, &BackupOptions::new().copies(), |_| {}).unwrap();
    assert_eq!(counts(&report), (0, 0, 4));
    for sequence in 0..4 {
        assert_ne!(inode(&segment(&path, sequence)), inode(&segment(&backup, sequence)));
    }
    let copy = options().verify_on_open(true).open(&backup).unwrap();
    assert_eq!(dense(&copy), dense(&log));
}

#[test]
fn sixteen_threads_append_while_backups_are_taken_and_each_is_exactly_a_prefix() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    let done = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        for thread in 0..16 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                for number in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let durability =
                        if number % 2 == 0 { Durability::Sync } else { Durability::Buffered };
                    let name = format!("s-{thread}");
                    let payload = format!("{number:0600}");
                    let batch = Batch::new()
                        .event(&name, Event::new("T", payload.as_str()))
                        .event("all", Event::new("T", payload.as_str()))
                        .durability(durability);
                    log.append(batch).unwrap();
                }
            });
        }
        let mut taken = 0;
        for round in 0..12 {
            let least = log.synced_end();
            let report = log.backup(&backup).unwrap();
            assert!(report.end >= least, "all that was durable before is in it");
            // Opened for reading only, it stays a backup that can be brought up to date.
            let copy = options().verify_on_open(true).open_read_only(&backup).unwrap();
            assert_eq!(copy.end(), report.end);
            assert_eq!(report.end.as_u64() % 2, 0, "whole batches of two");
            let found = dense(&copy);
            let all = support::plain(log.read(..report.end));
            assert_eq!(found, all, "round {round}");
            taken += report.segments_linked + report.segments_copied;
        }
        done.store(true, Ordering::Relaxed);
        taken
    });
    assert!(taken > 12, "there was something new each time");
}

#[test]
fn neither_log_ever_changes_a_file_that_both_have() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    wait_for_indexes(&path, 3);
    log.backup(&backup).unwrap();
    let shared: Vec<PathBuf> = (0..3).map(|sequence| segment(&backup, sequence)).collect();
    for (sequence, file) in (0..).zip(&shared) {
        assert_eq!(inode(file), inode(&segment(&path, sequence)), "linked");
    }
    let bytes: Vec<Vec<u8>> = shared.iter().map(|file| fs::read(file).unwrap()).collect();
    let assert_same = || {
        for (file, bytes) in shared.iter().zip(&bytes) {
            assert!(fs::read(file).unwrap() == *bytes, "{}", file.display());
        }
    };
    // Both are written to, side by side, without the indexes by which they would be passed over.
    let copy = options().open(&backup).unwrap();
    append(&copy, 100..120);
    append(&log, 20..40);
    assert_same();
    drop((log, copy));
    for directory in [&path, &backup] {
        for sequence in 0..3 {
            fs::remove_file(segment(directory, sequence).with_extension("idx")).unwrap();
        }
        fs::remove_file(directory.join("streams.ckpt")).unwrap();
        options().verify_on_open(true).open(directory).unwrap().close().unwrap();
        assert_same();
    }
    let log = options().open(&path).unwrap();
    assert_eq!(numbers(&log), (0..40).collect::<Vec<_>>());
    let copy = options().open(&backup).unwrap();
    assert_eq!(numbers(&copy), (0..20).chain(100..120).collect::<Vec<_>>());
}

/// The last full segment has decayed where nothing behind it says that more had been durable, as
/// the writer was killed: it is cut, in this log alone.
#[test]
fn a_cut_in_a_shared_segment_is_made_in_a_copy() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    // Buffered, so that no frame says that anything was durable.
    for number in 0..7_u32 {
        let batch = one("a", format!("{number:09000}")).durability(Durability::Buffered);
        log.append(batch).unwrap();
    }
    wait_for_indexes(&path, 1);
    log.backup(&backup).unwrap();
    let picture = places();
    fs::create_dir(&picture.log).unwrap();
    for sequence in 0..2 {
        // As a kill leaves it: without a close frame.
        fs::copy(segment(&path, sequence), segment(&picture.log, sequence)).unwrap();
    }
    drop(log);
    let shared = segment(&backup, 0);
    for name in fs::read_dir(&path).unwrap() {
        fs::remove_file(name.unwrap().path()).unwrap();
    }
    fs::copy(segment(&picture.log, 1), segment(&path, 1)).unwrap();
    fs::hard_link(&shared, segment(&path, 0)).unwrap();
    // The second segment's only batch is lost, and so is the last of the first one.
    let mut second = fs::read(segment(&path, 1)).unwrap();
    second[4096..].fill(0);
    fs::write(segment(&path, 1), second).unwrap();
    let mut first = fs::read(&shared).unwrap();
    // In the payload: one such byte alone may stand in any checksum.
    let at = first.windows(9).rposition(|bytes| bytes == b"000000005").unwrap();
    first[at] ^= 1;
    fs::write(&shared, &first).unwrap();

    let log = options().open(&path).unwrap();
    assert!(log.recovery_report().bytes_cut > 0);
    assert_eq!(log.end(), Position::new(5));
    assert!(fs::read(&shared).unwrap() == first, "the backup's file is as it was");
    assert_ne!(inode(&shared), inode(&segment(&path, 0)));
}

/// A killed writer's log whose first segment is one file with its backup's, and has decayed where
/// nothing behind it says that it was durable.
fn decayed_and_shared() -> SimDisk {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, small()).unwrap();
    for _ in 0..7 {
        let batch = Batch::new().event("a", Event::new("T", vec![7; 900]));
        log.append(batch.durability(Durability::Buffered)).unwrap();
    }
    let report = log.backup_simulated(&disk.folder("backup"), &BackupOptions::new()).unwrap();
    assert_eq!(counts(&report), (0, 1, 2));
    let disk = disk.restart_process();
    assert!(disk.corrupt(FIRST, quipu::sim::Decay::FlipBit { offset: 4096 + 1500, bit: 1 }));
    disk
}

fn small() -> quipu::Options {
    Log::options().segment_bytes(8 << 10).verify_on_open(true)
}

const FIRST: &str = "00000000000000000000.seg";

/// It is opened, cut behind its first batch, and the backup's file is what it was.
fn assert_cut(disk: &SimDisk) {
    let log = Log::open_simulated(disk, small()).unwrap();
    assert_eq!(log.end(), Position::new(1));
    assert_eq!(disk.folder("backup").read_file(FIRST), decayed_and_shared().read_file(FIRST));
    assert_ne!(disk.read_file(FIRST), disk.folder("backup").read_file(FIRST));
}

#[test]
fn a_cut_in_a_shared_segment_outlasts_a_crash_at_any_moment() {
    let disk = decayed_and_shared();
    disk.record_crash_points(true);
    assert_cut(&disk);
    let points = disk.take_crash_points();
    assert!(points.len() > 10);
    for machine in points {
        for survivors in [Survivors::None, Survivors::All, Survivors::Random, Survivors::Random] {
            assert_cut(&machine.if_rebooted(&survivors));
        }
        assert_cut(&machine.restart_process());
    }
}

#[test]
fn a_cut_in_a_shared_segment_is_made_when_calls_have_failed_too() {
    use Operation::{Create, Length, Open, Read, Remove, Rename, Sync, SyncDirectory, Write};
    let mut failed = 0;
    for operation in [Create, Length, Open, Read, Remove, Rename, Sync, SyncDirectory, Write] {
        for nth in 1..30 {
            let disk = decayed_and_shared();
            disk.fail(FaultPlan::new(operation, Errno::NoSpace).nth(nth));
            failed += u32::from(Log::open_simulated(&disk, small()).is_err());
            let disk = disk.restart_process();
            disk.heal();
            assert_cut(&disk);
            assert_cut(&disk.reboot(&Survivors::None));
        }
    }
    assert!(failed > 30, "{failed}");
}

/// A killed writer's log whose first segment is one file with its backup's, and reads as zeros
/// behind its header: nothing is left to be cut, and the log goes on right there.
#[test]
fn a_shared_segment_in_which_the_log_goes_on_is_copied() {
    let disk = decayed_and_shared();
    for offset in (4096..8192).step_by(512) {
        disk.corrupt(FIRST, quipu::sim::Decay::ZeroSector { offset });
    }
    let shared = disk.folder("backup").read_file(FIRST);
    let goes_on = |disk: &SimDisk| {
        let log = Log::open_simulated(disk, small()).unwrap();
        let end = log.end();
        log.append(Batch::new().event("b", Event::new("T", vec![8; 900]))).unwrap();
        assert_eq!(log.read(..).into_iter().filter(Result::is_ok).count() as u64, end.as_u64() + 1);
        assert!(disk.folder("backup").read_file(FIRST) == shared, "the backup's file is as it was");
    };
    disk.record_crash_points(true);
    goes_on(&disk);
    let points = disk.take_crash_points();
    assert!(points.len() > 10);
    for machine in points {
        for survivors in [Survivors::None, Survivors::All, Survivors::Random, Survivors::Random] {
            goes_on(&machine.if_rebooted(&survivors));
        }
        goes_on(&machine.restart_process());
    }
}

#[test]
fn a_backup_of_which_both_copies_of_the_base_have_decayed_gets_them_anew() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, small()).unwrap();
    for _ in 0..20 {
        log.append(Batch::new().event("a", Event::new("T", vec![7; 900]))).unwrap();
    }
    let first = log.truncate_before(Position::new(9)).unwrap().first_available;
    let backup = disk.folder("backup");
    log.backup_simulated(&backup, &BackupOptions::new()).unwrap();
    let bases = backup.files().into_iter().map(|entry| entry.name);
    let bases: Vec<String> = bases.filter(|name| name.contains(".base")).collect();
    assert_eq!(bases.len(), 2);
    for (name, offset) in bases.iter().flat_map(|name| [(name, 3), (name, 110)]) {
        assert!(backup.corrupt(name, quipu::sim::Decay::FlipBit { offset, bit: 1 }));
    }
    log.backup_simulated(&backup, &BackupOptions::new()).unwrap();
    let opened = Log::open_simulated(&backup, small()).unwrap();
    assert_eq!((opened.first_available(), opened.end()), (first, log.end()));
    assert_eq!(opened.recovery_report().base_copies_wrong, 0);
}

#[test]
fn a_backup_ends_where_it_is_told_to_at_a_batch() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    for number in 0..30_u64 {
        let payload = format!("{number:09000}");
        let batch = Batch::new()
            .event("a", Event::new("T", payload.as_str()))
            .event("b", Event::new("T", payload.as_str()))
            .checkpoint("p", Position::new(number + 1))
            .committed_at(CommitTime::new(1_000 + number));
        log.append(batch).unwrap();
    }
    let cases = [
        (BackupOptions::new().up_to(Position::new(0)), 0),
        (BackupOptions::new().up_to(Position::new(1)), 0),
        (BackupOptions::new().up_to(Position::new(17)), 16),
        (BackupOptions::new().up_to(Position::new(18)), 18),
        (BackupOptions::new().up_to(Position::new(500)), 60),
        (BackupOptions::new().up_to_time(CommitTime::new(999)), 0),
        (BackupOptions::new().up_to_time(CommitTime::new(1_000)), 2),
        (BackupOptions::new().up_to_time(CommitTime::new(1_012)), 26),
        (BackupOptions::new().up_to_time(CommitTime::new(u64::MAX)), 60),
    ];
    for (number, (options_of_it, end)) in cases.iter().enumerate() {
        let to = backup.join(number.to_string());
        let report = log.backup_with(&to, options_of_it, |_| {}).unwrap();
        assert_eq!(report.end, Position::new(*end), "{options_of_it:?}");
        let copy = options().verify_on_open(true).open(&to).unwrap();
        assert_eq!(dense(&copy), support::plain(log.read(..Position::new(*end))));
        let checkpoint = (*end > 0).then_some(Position::new(end / 2));
        assert_eq!(copy.checkpoint("p"), checkpoint);
    }
    // Every bound between, too.
    for end in 0..60 {
        let to = backup.join(format!("each-{end}"));
        let options_of_it = BackupOptions::new().up_to(Position::new(end));
        assert_eq!(log.backup_with(&to, &options_of_it, |_| {}).unwrap().end.as_u64(), end / 2 * 2);
    }
}

#[test]
fn what_is_no_backup_of_this_log_is_refused_and_stays_as_it_is() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    let refused = |error: BackupError, kind: BackupErrorKind| {
        assert_eq!(error.kind(), kind, "{error}");
        error
    };

    let same = refused(log.backup(&path).unwrap_err(), BackupErrorKind::Target);
    assert!(matches!(same, BackupError::SameDirectory { .. }), "{same}");

    let other = options().open(&backup).unwrap();
    append(&other, 0..2);
    let in_use = refused(log.backup(&backup).unwrap_err(), BackupErrorKind::InUse);
    let pid = std::process::id();
    assert!(matches!(in_use, BackupError::InUse { pid: Some(it), .. } if it == pid), "{in_use}");
    other.close().unwrap();
    let before = Picture::of(&backup);
    let foreign = refused(log.backup(&backup).unwrap_err(), BackupErrorKind::Target);
    assert!(matches!(foreign, BackupError::OtherLog { .. }), "{foreign}");
    before.assert_unchanged(&backup);

    let with_a_file = backup.join("with a file");
    fs::create_dir(&with_a_file).unwrap();
    fs::write(with_a_file.join("notes.txt"), "mine").unwrap();
    let before = Picture::of(&with_a_file);
    let foreign = refused(log.backup(&with_a_file).unwrap_err(), BackupErrorKind::Target);
    assert!(matches!(foreign, BackupError::ForeignFile { .. }), "{foreign}");
    assert!(
        foreign
            .to_string()
            .ends_with("notes.txt is no part of a backup, move it away or name another directory")
    );
    before.assert_unchanged(&with_a_file);

    log.clone().close().unwrap();
    let closed = refused(log.backup(backup.join("new")).unwrap_err(), BackupErrorKind::Log);
    assert!(
        matches!(closed, BackupError::NotSynced(cause) if matches!(*cause, AppendError::Closed))
    );
}

#[test]
fn a_backup_that_was_appended_to_or_is_ahead_is_refused() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..8);
    log.backup(&backup).unwrap();
    // Opened and closed without appends it is what it was.
    options().open(&backup).unwrap().close().unwrap();
    log.backup(&backup).unwrap();
    let diverged_at = |error: BackupError| match error {
        BackupError::Diverged { position, .. } => position.as_u64(),
        other => panic!("{other}"),
    };

    let copy = options().open(&backup).unwrap();
    copy.append(one("a", "its own")).unwrap();
    copy.close().unwrap();
    append(&log, 8..10);
    let before = Picture::of(&backup);
    assert_eq!(diverged_at(log.backup(&backup).unwrap_err()), 8);
    append(&log, 10..30);
    assert_eq!(diverged_at(log.backup(&backup).unwrap_err()), 8);
    before.assert_unchanged(&backup);

    let ahead = backup.join("ahead");
    log.backup(&ahead).unwrap();
    for end in [0, 3, 8, 12, 29] {
        let options_of_it = BackupOptions::new().up_to(Position::new(end));
        let refused = log.backup_with(&ahead, &options_of_it, |_| {}).unwrap_err();
        assert!(diverged_at(refused) >= end, "{end}");
    }
    // With more than a segment of its own.
    let copy = options().open(&ahead).unwrap();
    append(&copy, 30..60);
    copy.close().unwrap();
    assert_eq!(diverged_at(log.backup(&ahead).unwrap_err()), 30);
}

/// Both go on with as much, so that their second segments are sealed in the same place: the log has
/// a mark where the backup has its close frame.
#[test]
fn a_full_segment_of_another_way_is_told_by_its_seal() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, small()).unwrap();
    let append = |log: &Log, byte: u8, batches: usize| {
        for _ in 0..batches {
            log.append(Batch::new().event("a", Event::new("T", vec![byte; 900]))).unwrap();
        }
    };
    append(&log, 7, 5);
    log.be_quiet();
    let backup = disk.folder("backup");
    log.backup_simulated(&backup, &BackupOptions::new()).unwrap();
    let copy = Log::open_simulated(&backup, small()).unwrap();
    append(&copy, 8, 8);
    copy.close().unwrap();
    append(&log, 9, 8);
    let name = "00000000000000000001.seg";
    let ends = [&disk, &backup].map(|folder| {
        let bytes = folder.read_file(name).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() / 64
    });
    assert_eq!(ends[0], ends[1], "sealed in the same place");
    match log.backup_simulated(&backup, &BackupOptions::new()).unwrap_err() {
        BackupError::Diverged { position, file } => {
            assert_eq!(position, Position::new(5));
            assert!(file.ends_with(name), "{file}");
        }
        other => panic!("{other}"),
    }
}

/// The seal of a killed writer's segment did not reach the disk: the next header names it.
#[test]
fn a_seal_that_is_not_there_is_made_again_in_the_backup() {
    let disk = SimDisk::new(5);
    let options = || Log::options().segment_bytes(8 << 10);
    let log = Log::open_simulated(&disk, options()).unwrap();
    for _ in 0..5 {
        log.append(Batch::new().event("a", Event::new("T", vec![7; 900]))).unwrap();
    }
    let disk = disk.restart_process();
    let name = "00000000000000000000.seg";
    let mut bytes = disk.read_file(name).unwrap();
    let sealed = bytes.clone();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    // The end of it, or all of it.
    for missing in [8, 32, 64] {
        bytes[end - missing..].fill(0);
        disk.write_file(name, &bytes);
        let reader = Log::open_simulated_read_only(&disk, options()).unwrap();
        assert_eq!(reader.end(), Position::new(5));
        let folder = disk.folder(&format!("backup {missing}"));
        let report = reader.backup_simulated(&folder, &BackupOptions::new()).unwrap();
        assert_eq!((report.end, counts(&report)), (Position::new(5), (0, 0, 2)));
        assert_eq!(folder.read_file(name), Some(sealed.clone()));
        assert_eq!(disk.read_file(name), Some(bytes.clone()), "the log is not written to");
        let copy = Log::open_simulated(&folder, options()).unwrap();
        assert_eq!((copy.end(), copy.recovery_report().seals_made_again), (Position::new(5), 0));
    }
}

#[test]
fn a_log_that_is_open_for_reading_only_is_backed_up_beside_its_writer() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    let reader = options().open_read_only(&path).unwrap();
    let report = reader.backup(&backup).unwrap();
    assert_eq!(report.end, Position::new(20));
    append(&log, 20..40);
    wait_for_indexes(&path, 6);
    let report = reader.backup(&backup).unwrap();
    assert_eq!((report.end, report.segments_kept), (Position::new(40), 3));
    drop(log);
    let report = reader.backup(&backup).unwrap();
    assert_eq!(counts(&report), (7, 0, 0));
    let copy = options().verify_on_open(true).open(&backup).unwrap();
    assert_eq!(numbers(&copy), (0..40).collect::<Vec<_>>());
}

#[test]
fn an_unfinished_backup_is_refused_and_goes_on_when_it_is_made_again() {
    let sim = |disk: &SimDisk| Log::open_simulated(disk, Log::options().segment_bytes(8 << 10));
    let disk = SimDisk::new(3);
    let log = sim(&disk).unwrap();
    let payload = vec![7; 900];
    for _ in 0..11 {
        log.append(Batch::new().event("a", Event::new("T", &payload[..]))).unwrap();
    }
    let folder = disk.folder("backup");
    disk.fail(FaultPlan::new(Operation::Sync, Errno::NoSpace).on_files_with("backup/"));
    let full = log.backup_simulated(&folder, &BackupOptions::new()).unwrap_err();
    assert!(matches!(&full, BackupError::Io(error) if error.is_full()), "{full}");
    for refused in [sim(&folder), Log::open_simulated_read_only(&folder, Log::options())] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, OpenError::UnfinishedBackup { .. }), "{refused}");
        assert_eq!(refused.kind(), OpenErrorKind::Unfinished);
        assert_eq!(
            refused.to_string(),
            "simulated disk/backup is a backup that was not finished: make it again, or if its \
             log is gone, take what is whole into a new one with `quipu salvage`"
        );
    }
    // Nothing is poisoned.
    log.append(Batch::new().event("a", Event::new("T", &payload[..]))).unwrap();
    let report = log.backup_simulated(&folder, &BackupOptions::new()).unwrap();
    assert_eq!(report.end, Position::new(12));
    assert!(report.segments_kept > 0, "what was brought over stays: {report:?}");
    let copy = sim(&folder).unwrap();
    assert_eq!(copy.end(), Position::new(12));
}

#[test]
fn a_segment_that_has_decayed_is_not_taken_over() {
    let disk = SimDisk::new(3);
    let options = || Log::options().segment_bytes(8 << 10);
    let log = Log::open_simulated(&disk, options()).unwrap();
    for _ in 0..11 {
        log.append(Batch::new().event("a", Event::new("T", vec![7; 900]))).unwrap();
    }
    let flipped = quipu::sim::Decay::FlipBit { offset: 4500, bit: 3 };
    assert!(disk.corrupt("00000000000000000001.seg", flipped));
    let folder = disk.folder("backup");
    let copies = BackupOptions::new().copies();
    let refused = log.backup_simulated(&folder, &copies).unwrap_err();
    assert_eq!(refused.kind(), BackupErrorKind::Damage);
    let said = refused.to_string();
    let expected = "what was to be backed up does not verify: 00000000000000000001.seg is damaged at \
                    offset 4096, position 3 cannot be read: body checksum is ";
    assert!(said.starts_with(expected), "{said}");
    let opened = Log::open_simulated(&folder, options()).unwrap_err();
    assert!(matches!(opened, OpenError::UnfinishedBackup { .. }), "{opened}");
}

#[test]
fn the_bytes_in_the_way_of_progress_are_told_up_to_all() {
    let Places { _root, log: path, backup } = places();
    let log = options().open(&path).unwrap();
    append(&log, 0..20);
    let mut told = Vec::new();
    log.backup_with(&backup, &BackupOptions::new(), |progress| told.push(progress)).unwrap();
    assert!(told.is_sorted_by_key(|progress| progress.bytes_done));
    let last = told.last().unwrap();
    assert_eq!(last.bytes_done, last.bytes_all);
    assert_eq!(told.first().unwrap().bytes_done, 0);
}
