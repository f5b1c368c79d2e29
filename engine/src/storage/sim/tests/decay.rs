//! Decay with a second place or an older version in it: what it changes, what it leaves alone, and
//! what it answers.

use super::*;

/// Two durable files of three pages each, every sector another byte.
fn two_files() -> SimDisk {
    let disk = SimDisk::new(1);
    for (name, first) in [("a", 0), ("b", 100)] {
        let sectors = (0..24).flat_map(|sector| [first + sector + 1; SECTOR_BYTES]);
        disk.write_file(name, &sectors.collect::<Vec<u8>>());
    }
    disk
}

/// The byte that fills each sector of a file, live and durable.
fn fills(disk: &SimDisk, name: &str) -> Vec<u8> {
    let [live, durable] = [disk.read_file(name).unwrap(), disk.durable_file(name).unwrap()];
    assert_eq!(live, durable);
    let fill = |sector: &[u8]| {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a whole sector");
        sector[0]
    };
    live.chunks(SECTOR_BYTES).map(fill).collect()
}

/// A disk with a history whose one file held 1, 2 and 3 in its second page, and is not yet synced
/// with 4.
fn with_a_past() -> (SimDisk, Arc<dyn File>) {
    let (disk, file) = with_file(1);
    disk.keep_history();
    for byte in 1..=4 {
        file.write_at(4096, &[byte; PAGE_BYTES]).unwrap();
        if byte < 4 {
            file.sync().unwrap();
        }
    }
    (disk, file)
}

/// The first byte of the page at 4096, live and durable.
fn second_page(disk: &SimDisk) -> (u8, u8) {
    let first = |bytes: Option<Vec<u8>>| bytes.unwrap()[4096];
    (first(disk.read_file("segment")), first(disk.durable_file("segment")))
}

#[test]
fn a_misdirected_sector_lands_elsewhere_and_leaves_its_own_place_alone() {
    let disk = two_files();
    let before = (fills(&disk, "a"), fills(&disk, "b"));
    let misdirected = |offset, meant_for: Place| {
        let missed = Missed::Own;
        disk.corrupt("a", Decay::MisdirectedSector { offset, meant_for, missed })
    };
    assert!(misdirected(9 * 512 + 5, Place::new("b", 3 * 512 + 500)));
    assert!(misdirected(2 * 512, Place::new("a", 20 * 512)));
    let mut after = before.clone();
    after.0[9] = 104;
    after.0[2] = 21;
    assert_eq!((fills(&disk, "a"), fills(&disk, "b")), after);
    assert!(!misdirected(9 * 512, Place::new("b", 3 * 512)), "it is so already");
    assert!(!misdirected(7 * 512, Place::new("a", 7 * 512 + 1)), "its own sector");
    assert!(!misdirected(24 * 512, Place::new("b", 0)), "behind the end");
    assert!(!misdirected(0, Place::new("b", 24 * 512)), "from behind the end");
    assert!(!misdirected(0, Place::new("none", 0)));
    assert_eq!((fills(&disk, "a"), fills(&disk, "b")), after);
}

#[test]
fn the_sector_that_a_misdirected_store_was_meant_for_may_keep_what_it_held() {
    let (disk, file) = with_file(1);
    disk.keep_history();
    for first in [1, 11] {
        let sectors = (first..first + 8).flat_map(|sector| [sector; SECTOR_BYTES]);
        file.write_at(0, &sectors.collect::<Vec<u8>>()).unwrap();
        file.sync().unwrap();
    }
    let misdirected = |back| {
        let (meant_for, missed) = (Place::new("segment", 512), Missed::Older { back });
        disk.corrupt("segment", Decay::MisdirectedSector { offset: 8192, meant_for, missed })
    };
    let before = fills(&disk, "segment");
    assert!(!misdirected(3), "nothing is that old");
    assert_eq!(fills(&disk, "segment"), before, "all of it or nothing");
    assert!(misdirected(1));
    let found = fills(&disk, "segment");
    assert_eq!((&found[..3], &found[15..18]), (&[11, 2, 13][..], &[0, 12, 0][..]));
}

#[test]
fn what_has_landed_on_an_unreadable_sector_can_be_read() {
    let disk = two_files();
    assert!(disk.corrupt("a", Decay::UnreadableSector { offset: 512 }));
    assert!(!disk.corrupt("a", Decay::UnreadableSector { offset: 513 }), "it is so already");
    let file = disk.open("a", Access::Read).unwrap();
    assert!(file.read_at(512, &mut [0]).is_err());
    let (meant_for, missed) = (Place::new("a", 512), Missed::Own);
    let lands = Decay::MisdirectedSector { offset: 512, meant_for, missed };
    assert!(!disk.corrupt("a", lands), "its own place");
    let (meant_for, missed) = (Place::new("b", 0), Missed::Own);
    assert!(disk.corrupt("a", Decay::MisdirectedSector { offset: 512, meant_for, missed }));
    let mut read = [0];
    file.read_at(512, &mut read).unwrap();
    assert_eq!(read, [101]);
}

#[test]
fn swapped_pages_change_places_within_a_file_and_between_two() {
    let disk = two_files();
    let (a, b) = (fills(&disk, "a"), fills(&disk, "b"));
    let swap = |name, offset, with| disk.corrupt(name, Decay::SwappedPages { offset, with });
    assert!(swap("a", 4100, Place::new("b", 8191)), "any offset in the page");
    assert_eq!(fills(&disk, "a"), [&a[..8], &b[8..16], &a[16..]].concat());
    assert_eq!(fills(&disk, "b"), [&b[..8], &a[8..16], &b[16..]].concat());
    assert!(swap("a", 4096, Place::new("b", 4096)), "and back");
    assert!(swap("b", 0, Place::new("b", 8192)));
    assert_eq!(fills(&disk, "b"), [&b[16..], &b[8..16], &b[..8]].concat());
    assert_eq!(fills(&disk, "a"), a);
    assert!(!swap("a", 0, Place::new("a", 4095)), "one page");
    assert!(!swap("a", 0, Place::new("b", 3 * 4096)));
    assert!(!swap("a", 3 * 4096, Place::new("b", 0)));
}

#[test]
fn a_page_of_which_a_file_has_only_a_part_takes_no_more_than_that() {
    let disk = two_files();
    disk.write_file("short", &[7; 100]);
    assert!(disk.corrupt("short", Decay::SwappedPages { offset: 0, with: Place::new("a", 0) }));
    assert_eq!(disk.read_file("short").unwrap(), [1; 100]);
    let a = disk.read_file("a").unwrap();
    assert_eq!((&a[..100], &a[100..4096]), (&[7; 100][..], &[0; 3996][..]));
    assert!(disk.corrupt("short", Decay::Truncate { length: 200 }));
    assert_eq!(disk.read_file("short").unwrap()[100..], [0; 100]);
}

#[test]
fn a_stale_page_or_sector_is_as_it_was_at_an_earlier_sync() {
    let (disk, file) = with_a_past();
    assert_eq!(disk.older_versions("segment", 4096), 3, "zeros, 1 and 2; 3 is on the disk");
    assert_eq!(disk.older_versions("segment", 0), 0);
    assert_eq!(second_page(&disk), (4, 3));
    assert!(disk.corrupt("segment", Decay::StalePage { offset: 5000, back: 1 }));
    assert_eq!(second_page(&disk), (2, 2));
    assert!(disk.corrupt("segment", Decay::StaleSector { offset: 4096 + 512, back: 3 }));
    let page = &disk.read_file("segment").unwrap()[4096..8192];
    assert_eq!((page[511], &page[512..1024], page[1024]), (2, &[0; 512][..], 2));
    for (offset, back) in [(4096, 0), (4096, 4), (0, 1), (LENGTH, 1)] {
        assert!(!disk.corrupt("segment", Decay::StalePage { offset, back }));
    }
    file.write_at(4096, &[5]).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.older_versions("segment", 4096), 4, "syncs go on being kept");
}

#[test]
fn older_versions_are_kept_over_crashes_and_failed_syncs_and_of_new_files() {
    let (disk, file) = with_a_past();
    let crashed = disk.if_rebooted(&Survivors::All);
    assert_eq!((second_page(&crashed), crashed.older_versions("segment", 4096)), ((4, 4), 4));
    assert!(crashed.corrupt("segment", Decay::StalePage { offset: 4096, back: 1 }));
    assert_eq!(second_page(&crashed), (3, 3), "what stood there before the crash");
    let crashed = disk.if_rebooted(&Survivors::None);
    assert_eq!((second_page(&crashed), crashed.older_versions("segment", 4096)), ((3, 3), 3));
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io).leaving(Survivors::All));
    file.sync().unwrap_err();
    assert_eq!(disk.older_versions("segment", 4096), 4);
    let new = crashed.create("new").unwrap();
    new.prepare(LENGTH, Preparation::Populate).unwrap();
    new.sync().unwrap();
    new.write_at(0, b"x").unwrap();
    new.sync().unwrap();
    assert_eq!(crashed.older_versions("new", 0), 1);
}

#[test]
fn nothing_is_kept_that_was_not_asked_for() {
    let (disk, file) = with_file(1);
    for byte in 1..=3 {
        file.write_at(0, &[byte; 9]).unwrap();
        file.sync().unwrap();
    }
    assert_eq!(disk.older_versions("segment", 0), 0);
    assert!(!disk.corrupt("segment", Decay::StalePage { offset: 0, back: 1 }));
    assert!(!disk.corrupt("segment", Decay::StaleSector { offset: 0, back: 1 }));
}

#[test]
fn the_oldest_versions_go_when_there_are_many() {
    let (disk, file) = with_file(1);
    disk.keep_history();
    for byte in 1..=100 {
        file.write_at(0, &[byte; PAGE_BYTES]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[byte; PAGE_BYTES]).unwrap();
        file.sync().unwrap();
    }
    assert_eq!(disk.older_versions("segment", 0), 64);
    assert!(disk.corrupt("segment", Decay::StalePage { offset: 0, back: 64 }));
    assert_eq!(disk.read_file("segment").unwrap()[0], 36, "the same bytes twice are one version");
}

#[test]
fn a_file_is_cut_short_or_grown() {
    let disk = two_files();
    let a = disk.read_file("a").unwrap();
    assert!(disk.corrupt("a", Decay::UnreadableSector { offset: 11 * 512 }));
    let to = |length| disk.corrupt("a", Decay::Truncate { length });
    assert!(to(5000) && !to(5000));
    assert_eq!(disk.read_file("a").unwrap(), a[..5000]);
    assert!(to(9000));
    let grown = disk.if_rebooted(&Survivors::All);
    assert_eq!(disk.durable_file("a"), grown.read_file("a"));
    assert_eq!(grown.read_file("a").unwrap(), [&a[..5000], &[0; 4000]].concat());
    let file = grown.open("a", Access::Read).unwrap();
    file.read_at(0, &mut [0; 9000]).unwrap();
    assert!(to(0) && disk.read_file("a").unwrap().is_empty());
    assert!(!disk.corrupt("none", Decay::Truncate { length: 0 }));
}

#[test]
fn what_was_not_synced_of_a_file_that_was_cut_is_gone_with_the_rest() {
    for seed in 0..20 {
        let (disk, file) = with_file(seed);
        file.write_at(8192, &[7; PAGE_BYTES]).unwrap();
        file.write_at(8192, &[9; PAGE_BYTES]).unwrap();
        file.write_at(LENGTH, &[8; 10]).unwrap();
        assert!(disk.corrupt("segment", Decay::Truncate { length: 4096 }));
        assert_eq!(disk.in_flight(), []);
        let next = disk.if_rebooted(&Survivors::All);
        assert_eq!(next.read_file("segment").unwrap(), [0; 4096]);
        assert!(disk.corrupt("segment", Decay::Truncate { length: LENGTH }));
        assert_eq!(disk.in_flight(), [], "it does not come back with the length");
        assert_eq!(disk.if_rebooted(&Survivors::All).read_file("segment").unwrap(), [0; 16384]);
    }
}

#[test]
fn a_decay_that_changes_nothing_says_so() {
    let (disk, _file) = with_file(1);
    assert!(!disk.corrupt("segment", Decay::ZeroSector { offset: 0 }));
    assert!(!disk.corrupt("segment", Decay::FlipBit { offset: LENGTH, bit: 0 }));
    assert!(disk.corrupt("segment", Decay::FlipBit { offset: 5, bit: 0 }));
    assert!(disk.corrupt("segment", Decay::ZeroSector { offset: 511 }));
    assert!(!disk.corrupt("segment", Decay::ZeroSector { offset: 0 }));
    for flipped in [4, 0] {
        assert!(disk.corrupt("segment", Decay::FlipBit { offset: 0, bit: 2 }));
        assert_eq!(disk.read_file("segment").unwrap()[0], flipped);
    }
}
