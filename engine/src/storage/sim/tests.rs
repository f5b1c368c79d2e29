//! Crashes of the simulated disk: what is kept, what may be lost, and that both are chosen well.

use std::collections::BTreeSet;

use super::super::{Access, Directory, File, LockError, Preparation, RegionWriter, StoreMode};
use super::*;

mod decay;
mod faults;

const LENGTH: u64 = 16 << 10;

/// A disk with one synced, prepared file, empty but for its zeros.
fn with_file(seed: u64) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(seed);
    let file = disk.create("segment").unwrap();
    file.prepare(LENGTH, Preparation::Populate).unwrap();
    file.sync().unwrap();
    disk.sync().unwrap();
    (disk, file)
}

fn writer_of(file: &Arc<dyn File>) -> RegionWriter {
    file.map(0, Access::Write).unwrap().1.unwrap()
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|entry| entry.name).collect()
}

/// Whether each sector of the disk's one file is as `byte` fills it; `None` where it is neither so
/// nor of zeros.
fn sectors(disk: &SimDisk, byte: u8) -> Vec<Option<bool>> {
    let bytes = disk.read_file("segment").unwrap();
    let is = |sector: &[u8], with: u8| sector.iter().all(|held| *held == with);
    bytes
        .chunks(SECTOR_BYTES)
        .map(|sector| if is(sector, byte) { Some(true) } else { is(sector, 0).then_some(false) })
        .collect()
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_nothing_else_need_be() {
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        let (disk, file) = with_file(1);
        let mut writer = writer_of(&file);
        file.append(&mut writer, &[b"syn", b"ced"], mode).unwrap();
        file.sync().unwrap();
        file.append(&mut writer, &[b"not"], mode).unwrap();
        assert_eq!(&disk.read_file("segment").unwrap()[..9], b"syncednot");
        assert_eq!(&disk.durable_file("segment").unwrap()[..9], b"synced\0\0\0");
        let old = disk.reboot(&Survivors::None);
        assert_eq!(&old.read_file("segment").unwrap()[..9], b"synced\0\0\0");
        let all = disk.reboot(&Survivors::All);
        assert_eq!(&all.read_file("segment").unwrap()[..9], b"syncednot");
    }
}

#[test]
fn an_append_is_seen_by_the_mapping_and_by_reads() {
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        let (disk, file) = with_file(1);
        let mut writer = writer_of(&file);
        file.append(&mut writer, &[b"ab", b"", b"cd"], mode).unwrap();
        assert_eq!(writer.region().bytes(0..4), Some(&b"abcd"[..]));
        let mut read = [0; 4];
        disk.open("segment", Access::Read).unwrap().read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"abcd");
    }
}

#[test]
fn an_append_that_does_not_fit_stores_nothing() {
    let (disk, file) = with_file(1);
    let mut writer = file.map(LENGTH - 2, Access::Write).unwrap().1.unwrap();
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        let error = file.append(&mut writer, &[b"ab", b"c"], mode).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    assert_eq!(disk.read_file("segment").unwrap(), [0; LENGTH as usize]);
}

#[test]
fn only_an_empty_file_can_be_prepared() {
    let (_disk, file) = with_file(1);
    assert!(file.prepare(2 * LENGTH, Preparation::Populate).is_err());
    assert_eq!(file.len().unwrap(), LENGTH);
}

#[test]
fn a_read_beyond_the_end_says_so() {
    let (_disk, file) = with_file(1);
    for offset in [LENGTH - 1, u64::MAX] {
        let error = file.read_at(offset, &mut [0; 2]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn after_the_crash_every_call_fails_and_says_so() {
    let (disk, file) = with_file(1);
    let mut writer = writer_of(&file);
    let before = disk.effects();
    disk.crash_after(2);
    file.append(&mut writer, &[b"1"], StoreMode::Mapped).unwrap();
    file.sync().unwrap();
    let error = file.append(&mut writer, &[b"2"], StoreMode::Mapped).unwrap_err();
    assert!(is_machine_down(&error) && disk.is_down());
    assert_eq!((disk.effects() - before, writer.written()), (2, 1));
    assert!(is_machine_down(&file.sync().unwrap_err()));
    assert!(is_machine_down(&file.read_at(0, &mut [0]).unwrap_err()));
    assert!(is_machine_down(&disk.list().unwrap_err()));
    assert!(matches!(disk.lock(), Err(LockError::Io(error)) if is_machine_down(&error)));
    let next = disk.reboot(&Survivors::All);
    assert_eq!(&next.read_file("segment").unwrap()[..2], b"1\0");
    next.open("segment", Access::Read).unwrap();
    assert!(is_machine_down(&disk.list().unwrap_err()), "the old disk stays down");
}

#[test]
fn every_effect_is_counted_and_nothing_else() {
    let disk = SimDisk::new(1);
    let file = disk.create("a").unwrap();
    file.prepare(8, Preparation::Populate).unwrap();
    file.write_at(0, b"x").unwrap();
    let mut writer = file.map(1, Access::Write).unwrap().1.unwrap();
    file.append(&mut writer, &[b"y"], StoreMode::Mapped).unwrap();
    file.append(&mut writer, &[b"z"], StoreMode::Positioned).unwrap();
    file.sync().unwrap();
    disk.rename("a", "b").unwrap();
    disk.remove("b").unwrap();
    disk.sync().unwrap();
    assert_eq!(disk.effects(), 9);
    let _lock = disk.lock().unwrap();
    disk.list().unwrap();
    file.len().unwrap();
    file.read_at(0, &mut [0]).unwrap();
    assert_eq!(disk.effects(), 9);
}

#[test]
fn sectors_survive_each_for_itself_and_pages_come_whole_and_torn() {
    let mut patterns = BTreeSet::new();
    for seed in 0..300 {
        let (disk, file) = with_file(seed);
        file.write_at(0, &[7; 2 * PAGE_BYTES]).unwrap();
        let found = sectors(&disk.reboot(&Survivors::Random), 7);
        patterns.insert(found[..16].to_vec());
    }
    let page = |pattern: &Vec<Option<bool>>, with| pattern[..8].iter().all(|held| *held == with);
    assert!(patterns.iter().any(|pattern| page(pattern, Some(true))), "new");
    assert!(patterns.iter().any(|pattern| page(pattern, Some(false))), "old");
    let second_only = |pattern: &Vec<Option<bool>>| {
        page(pattern, Some(false)) && pattern[8..].iter().all(|held| *held == Some(true))
    };
    assert!(patterns.iter().any(second_only), "in any order");
    let torn = |pattern: &Vec<Option<bool>>| {
        pattern[..8].contains(&Some(true)) && pattern[..8].contains(&Some(false))
    };
    assert!(patterns.iter().filter(|pattern| torn(pattern)).count() > 10, "torn");
}

#[test]
fn a_page_may_be_found_as_it_was_between_two_stores_and_within_one() {
    let (mut between, mut within) = (0, 0);
    for seed in 0..200 {
        let (disk, file) = with_file(seed);
        file.write_at(0, b"first").unwrap();
        file.write_at(0, b"after").unwrap();
        let next = disk.reboot(&Survivors::Weighted(100));
        match &next.read_file("segment").unwrap()[..5] {
            b"after" => {}
            b"first" => between += 1,
            _ => within += 1,
        }
    }
    assert!(between > 2 && within > 2, "{between} {within}");
}

#[test]
fn the_same_seed_and_calls_give_the_same_disk() {
    let run = |seed| {
        let (disk, file) = with_file(seed);
        let mut writer = writer_of(&file);
        for byte in 0..50 {
            file.append(&mut writer, &[&[byte; 100]], StoreMode::Mapped).unwrap();
            if byte % 20 == 10 {
                disk.if_rebooted(&Survivors::Random);
            }
        }
        let next = disk.reboot(&Survivors::Weighted(50));
        (disk.in_flight(), next.read_file("segment").unwrap())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn looking_at_a_crash_does_not_change_the_run() {
    let run = |looks: usize| {
        let (disk, file) = with_file(9);
        for at in 0..40 {
            file.write_at(at % 4 * 4096, &[at as u8; 9]).unwrap();
            for _ in 0..looks {
                disk.if_rebooted(&Survivors::Random);
            }
        }
        assert!(!disk.is_down());
        disk.in_flight()
    };
    assert_eq!(run(0), run(3));
}

#[test]
fn an_explicit_choice_picks_each_sector_and_name() {
    // A seed under which no page is written back: each thing is there or not.
    let (disk, file, in_flight) = (0..)
        .find_map(|seed| {
            let (disk, file) = with_file(seed);
            disk.create("other").unwrap();
            file.write_at(0, &[7; 3 * SECTOR_BYTES]).unwrap();
            let in_flight = disk.in_flight();
            in_flight.iter().all(|thing| thing.versions == 2).then_some((disk, file, in_flight))
        })
        .unwrap();
    drop(file);
    let sector = |number: u64| Unsynced::Sector { file: "segment".into(), offset: number * 512 };
    let whats: Vec<Unsynced> = in_flight.into_iter().map(|thing| thing.what).collect();
    assert_eq!(whats, [Unsynced::Create("other".into()), sector(0), sector(1), sector(2)]);
    let mut found = BTreeSet::new();
    for bits in 0..16 {
        let chosen = (0..4).map(|bit| bits >> bit & 1).collect();
        let next = disk.reboot(&Survivors::Chosen(chosen));
        let held = sectors(&next, 7);
        assert_eq!(names(&next).contains(&"other".to_owned()), bits & 1 != 0);
        for (number, held) in held[..3].iter().enumerate() {
            assert_eq!(*held, Some(bits >> (number + 1) & 1 != 0));
        }
        found.insert((names(&next), held));
    }
    assert_eq!(found.len(), 16);
    let short = disk.reboot(&Survivors::Chosen(vec![]));
    assert_eq!(names(&short), ["segment"]);
}

#[test]
fn sectors_that_did_not_change_are_not_in_flight() {
    let (disk, file) = with_file(1);
    file.write_at(0, &[0; PAGE_BYTES]).unwrap();
    assert_eq!(disk.in_flight(), []);
    file.write_at(600, b"x").unwrap();
    assert_eq!(disk.in_flight().len(), 1);
    file.sync().unwrap();
    assert_eq!(disk.in_flight(), []);
}

#[test]
fn names_are_there_after_a_crash_only_for_sure_once_the_directory_was_synced() {
    let disk = SimDisk::new(1);
    let file = disk.create("temp").unwrap();
    file.write_at(0, b"data").unwrap();
    file.sync().unwrap();
    assert_eq!(names(&disk.if_rebooted(&Survivors::None)), [""; 0]);
    disk.rename("temp", "segment").unwrap();
    let mut found = BTreeSet::new();
    for bits in 0..4 {
        let chosen = Survivors::Chosen(vec![bits & 1, bits >> 1]);
        found.insert(names(&disk.if_rebooted(&chosen)));
    }
    let found: Vec<Vec<String>> = found.into_iter().collect();
    assert_eq!(found, [vec![], vec!["segment".to_owned()], vec!["temp".to_owned()]]);
    disk.sync().unwrap();
    let next = disk.if_rebooted(&Survivors::None);
    assert_eq!(next.read_file("segment").unwrap(), b"data");
    disk.remove("segment").unwrap();
    assert_eq!(names(&disk.if_rebooted(&Survivors::None)), ["segment"]);
    assert_eq!(names(&disk.if_rebooted(&Survivors::All)), [""; 0]);
}

#[test]
fn a_rename_over_a_file_leaves_the_old_or_the_new_one() {
    let disk = SimDisk::new(1);
    disk.write_file("index", b"old");
    disk.write_file("temp", b"new");
    disk.rename("temp", "index").unwrap();
    let undone = disk.if_rebooted(&Survivors::None);
    assert_eq!(undone.read_file("index").unwrap(), b"old");
    assert_eq!(undone.read_file("temp").unwrap(), b"new");
    let done = disk.if_rebooted(&Survivors::All);
    assert_eq!(done.read_file("index").unwrap(), b"new");
    assert_eq!(names(&done), ["index"]);
}

#[test]
fn no_file_has_two_names_after_a_crash() {
    let disk = SimDisk::new(1);
    disk.write_file("a", b"");
    disk.rename("a", "b").unwrap();
    disk.rename("b", "c").unwrap();
    let second_only = disk.if_rebooted(&Survivors::Chosen(vec![0, 1]));
    assert_eq!(names(&second_only), ["c"]);
}

#[test]
fn a_length_that_was_not_synced_may_be_there_in_part() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = disk.create("segment").unwrap();
        disk.sync().unwrap();
        file.prepare(LENGTH, Preparation::DirectZeros).unwrap();
        found.insert(disk.reboot(&Survivors::Random).files()[0].length);
    }
    assert!(found.contains(&0) && found.contains(&LENGTH) && found.len() > 2, "{found:?}");
}

#[test]
fn bytes_behind_the_length_that_was_found_are_gone() {
    let disk = SimDisk::new(1);
    let file = disk.create("segment").unwrap();
    file.write_at(0, &[7; 100]).unwrap();
    file.sync().unwrap();
    disk.sync().unwrap();
    file.write_at(100, &[8; 5000]).unwrap();
    // The length comes first; it stays, while all the sectors survive.
    let survivors = vec![0].into_iter().chain([9; 20]).collect();
    let next = disk.reboot(&Survivors::Chosen(survivors));
    assert_eq!(next.read_file("segment").unwrap(), [7; 100]);
    let file = next.open("segment", Access::Write).unwrap();
    file.write_at(200, b"x").unwrap();
    assert_eq!(next.read_file("segment").unwrap()[100..200], [0; 100]);
}
