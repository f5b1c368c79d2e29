//! Failing calls, decay, and what one process leaves the next.

use std::collections::BTreeSet;
use std::io;

use super::*;

#[test]
fn a_failed_sync_loses_the_data_and_the_next_one_succeeds_without_it() {
    let (disk, file) = with_file(1);
    file.write_at(0, b"lost").unwrap();
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io).leaving(Survivors::None));
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(libc::EIO));
    file.sync().unwrap();
    let next_process = disk.restart_process();
    let mut read = [0; 4];
    next_process.open("segment", Access::Read).unwrap().read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"lost", "the page cache still shows it");
    let crashed = disk.if_rebooted(&Survivors::All);
    assert_eq!(crashed.read_file("segment").unwrap()[..4], [0; 4]);
    // Stored again, the page is dirty again, and a sync takes it along.
    let file = next_process.open("segment", Access::Write).unwrap();
    file.write_at(1, b"o").unwrap();
    file.sync().unwrap();
    assert_eq!(&disk.durable_file("segment").unwrap()[..4], b"lost");
}

#[test]
fn a_failed_sync_leaves_any_subset() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let (disk, file) = with_file(seed);
        file.write_at(0, &[7; PAGE_BYTES]).unwrap();
        disk.fail(FaultPlan::new(Operation::Sync, Errno::Interrupted));
        assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::Interrupted);
        found.insert(sectors(&disk.reboot(&Survivors::None), 7));
    }
    assert!(found.len() > 10, "{}", found.len());
}

#[test]
fn a_failed_directory_sync_loses_the_name_and_the_next_one_succeeds_without_it() {
    let disk = SimDisk::new(1);
    disk.create("a").unwrap();
    let plan = FaultPlan::new(Operation::SyncDirectory, Errno::Io).leaving(Survivors::None);
    disk.fail(plan);
    assert!(disk.sync().is_err());
    assert_eq!(disk.in_flight(), []);
    assert_eq!(names(&disk.restart_process()), ["a"]);
    assert_eq!(names(&disk.reboot(&Survivors::All)), [""; 0]);
}

#[test]
fn a_plan_fails_the_call_it_names_and_no_other() {
    let (disk, file) = with_file(1);
    disk.fail(FaultPlan::new(Operation::Open, Errno::TooManyFiles).nth(2));
    file.sync().unwrap();
    file.sync().unwrap();
    disk.fail(FaultPlan::new(Operation::Create, Errno::NoSpace).on_files_with(".idx"));
    disk.open("segment", Access::Read).unwrap();
    file.sync().unwrap();
    let error = disk.open("segment", Access::Read).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    disk.open("segment", Access::Read).unwrap();
    disk.create("b.seg").unwrap();
    disk.remove("b.seg").unwrap();
    let error = disk.create("b.idx").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.create("b.idx").unwrap();
    disk.fail(FaultPlan::new(Operation::Read, Errno::Io).from_then_on());
    for _ in 0..3 {
        assert!(file.read_at(0, &mut [0]).is_err());
    }
    disk.heal();
    file.read_at(0, &mut [0]).unwrap();
}

#[test]
fn a_failed_positioned_append_may_have_stored_a_part_and_does_not_move_the_mark() {
    let (disk, file) = with_file(1);
    let mut writer = writer_of(&file);
    disk.fail(FaultPlan::new(Operation::Append, Errno::NoSpace).storing(3));
    file.append(&mut writer, &[b"mapped"], StoreMode::Mapped).unwrap();
    let parts: [&[u8]; 2] = [b"ab", b"cdef"];
    let error = file.append(&mut writer, &parts, StoreMode::Positioned).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(writer.written(), 6);
    assert_eq!(&disk.read_file("segment").unwrap()[..10], b"mappedabc\0");
    file.append(&mut writer, &[b"xy"], StoreMode::Positioned).unwrap();
    assert_eq!(writer.region().bytes(0..8), Some(&b"mappedxy"[..]));
}

#[test]
fn by_size_what_has_as_many_bytes_as_the_bound_is_written_and_what_has_fewer_copied() {
    let (disk, file) = with_file(1);
    let mut writer = writer_of(&file);
    let mode = StoreMode::BySize { positioned_from: 6 };
    // Only a write can fail.
    disk.fail(FaultPlan::new(Operation::Append, Errno::Io).storing(0).from_then_on());
    let mut append = |parts: &[&[u8]]| file.append(&mut writer, parts, mode);
    append(&[b"abc", b"de"]).unwrap();
    assert!(append(&[b"abc", b"def"]).is_err());
    disk.heal();
    append(&[b"ABC", b"DEF"]).unwrap();
    assert_eq!(writer.region().bytes(0..11), Some(&b"abcdeABCDEF"[..]));
    assert_eq!(&disk.read_file("segment").unwrap()[..12], b"abcdeABCDEF\0");
}

#[test]
fn a_full_disk_refuses_what_needs_room_until_it_has_some() {
    let (disk, file) = with_file(1);
    assert_eq!(disk.used(), LENGTH);
    disk.set_capacity(Some(LENGTH + 5000));
    let more = disk.create("more").unwrap();
    let error = more.prepare(LENGTH, Preparation::Populate).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(more.len().unwrap() <= 4096);
    file.write_at(LENGTH - 1, b"x").unwrap();
    assert_eq!(file.write_at(LENGTH, &[1; 9000]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.remove("more").unwrap();
    disk.set_capacity(Some(2 * LENGTH + 4096));
    let more = disk.create("more").unwrap();
    more.prepare(LENGTH - 4096, Preparation::Populate).unwrap();
}

#[test]
fn decay_changes_what_is_at_rest() {
    let (disk, file) = with_file(1);
    file.write_at(0, &[1; 2 * SECTOR_BYTES]).unwrap();
    file.sync().unwrap();
    assert!(disk.corrupt("segment", Decay::FlipBit { offset: 3, bit: 1 }));
    assert!(disk.corrupt("segment", Decay::ZeroSector { offset: 700 }));
    assert!(!disk.corrupt("segment", Decay::ZeroSector { offset: LENGTH }));
    assert!(!disk.corrupt("none", Decay::ZeroSector { offset: 0 }));
    for bytes in [disk.read_file("segment").unwrap(), disk.durable_file("segment").unwrap()] {
        assert_eq!(bytes[..5], [1, 1, 1, 3, 1]);
        assert_eq!(bytes[512..1024], [0; 512]);
    }
}

#[test]
fn a_sector_that_cannot_be_read_answers_with_an_error_until_it_is_stored_to() {
    let (disk, file) = with_file(1);
    assert!(disk.corrupt("segment", Decay::UnreadableSector { offset: 600 }));
    file.read_at(0, &mut [0; 512]).unwrap();
    file.read_at(1024, &mut [0; 512]).unwrap();
    let next = disk.if_rebooted(&Survivors::All);
    let again = next.open("segment", Access::Write).unwrap();
    for file in [file, again] {
        let error = file.read_at(0, &mut [0; 513]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        file.write_at(1000, b"x").unwrap();
        file.read_at(0, &mut [0; 1024]).unwrap();
    }
}

#[test]
fn files_can_be_taken_out_and_put_back() {
    let (disk, file) = with_file(1);
    let before = disk.read_file("segment").unwrap();
    file.write_at(0, b"later").unwrap();
    disk.write_file("segment", &before);
    let crashed = disk.if_rebooted(&Survivors::None);
    assert_eq!(crashed.read_file("segment"), Some(before));
    assert!(disk.remove_file("segment") && !disk.remove_file("segment"));
    assert_eq!(disk.read_file("segment"), None);
}

#[test]
fn the_lock_is_held_once_and_dies_with_its_process() {
    let disk = SimDisk::new(1);
    let lock = disk.lock().unwrap();
    assert!(matches!(disk.lock(), Err(LockError::Held { pid: Some(1) })));
    drop(lock);
    let old = disk.lock().unwrap();
    let next = disk.restart_process();
    let _new = next.lock().unwrap();
    drop(old);
    assert!(matches!(next.lock(), Err(LockError::Held { pid: Some(2) })));
    let rebooted = disk.reboot(&Survivors::None);
    rebooted.lock().unwrap();
}

#[test]
fn what_a_killed_process_had_open_is_dead_and_its_writer_with_it() {
    let (disk, file) = with_file(1);
    let mut writer = writer_of(&file);
    file.append(&mut writer, &[b"kept"], StoreMode::Mapped).unwrap();
    let next = disk.restart_process();
    let error = file.append(&mut writer, &[b"dead"], StoreMode::Mapped).unwrap_err();
    assert!(!is_machine_down(&error));
    assert!(disk.list().is_err());
    let file = next.open("segment", Access::Write).unwrap();
    let mut writer = file.map(4, Access::Write).unwrap().1.unwrap();
    file.append(&mut writer, &[b"new"], StoreMode::Mapped).unwrap();
    assert_eq!(writer.region().bytes(0..7), Some(&b"keptnew"[..]));
}

#[test]
fn a_reader_tails_a_writer_through_a_mapping_of_its_own() {
    let (disk, file) = with_file(1);
    let reading = disk.open("segment", Access::Read).unwrap();
    let (tail, none) = reading.map(0, Access::Read).unwrap();
    assert!(none.is_none() && reading.map(0, Access::Write).is_err());
    file.write_at(0, b"head").unwrap();
    let mut writer = file.map(4, Access::Write).unwrap().1.unwrap();
    file.append(&mut writer, &[b"frame"], StoreMode::Mapped).unwrap();
    assert_eq!(tail.raise(LENGTH), 9);
    assert_eq!(tail.bytes(0..9), Some(&b"headframe"[..]));
    assert!(reading.write_at(100, b"x").is_err(), "opened for reading");
}

#[test]
fn a_mapping_shows_what_is_written_behind_its_mark() {
    let (_disk, file) = with_file(1);
    let (region, _) = file.map(0, Access::Read).unwrap();
    file.write_at(0, b"later").unwrap();
    assert_eq!(region.raise(5), 5);
    assert_eq!(region.bytes(0..5), Some(&b"later"[..]));
}

#[test]
fn a_write_below_what_a_mapping_has_promised_is_refused() {
    let (disk, file) = with_file(1);
    let (region, _) = file.map(100, Access::Read).unwrap();
    let error = file.write_at(99, b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    file.write_at(100, b"x").unwrap();
    drop(region);
    file.write_at(99, b"x").unwrap();
    assert_eq!(&disk.read_file("segment").unwrap()[99..101], b"xx");
}

#[test]
fn an_append_through_another_file_is_refused() {
    let (disk, file) = with_file(1);
    let mut writer = writer_of(&file);
    let other = disk.create("other").unwrap();
    assert!(other.append(&mut writer, &[b"x"], StoreMode::Positioned).is_err());
}

#[test]
fn a_removed_file_lives_on_for_who_has_it_open() {
    let (disk, file) = with_file(1);
    disk.remove("segment").unwrap();
    disk.sync().unwrap();
    file.read_at(0, &mut [0]).unwrap();
    assert_eq!(disk.open("segment", Access::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.create("segment").unwrap();
    let error = disk.create("segment").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn several_threads_may_use_it() {
    let disk = SimDisk::new(1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let disk = &disk;
            scope.spawn(move || {
                let file = disk.create(&format!("{thread}")).unwrap();
                for at in 0..200 {
                    file.write_at(at, &[thread]).unwrap();
                    file.sync().unwrap();
                }
            });
        }
    });
    assert_eq!(disk.effects(), 4 * 401);
    assert!((0..4_u8).all(|n| disk.durable_file(&n.to_string()).unwrap() == [n; 200]));
}
