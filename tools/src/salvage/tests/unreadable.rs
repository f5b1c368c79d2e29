//! Sectors that a device does not give back: they are damage like any other, and no more than that.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;

use super::super::patient::Access;
use super::*;
use crate::verify::window::ReadAt;

const SECTOR_BYTES: usize = 512;

/// A file on a device with bad sectors. Through the page cache, what touches a unit with one fails.
#[derive(Debug)]
struct BadSectors {
    file: File,
    bad: Vec<(u64, u64)>,
    unit: u64,
}

impl ReadAt for BadSectors {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = offset / self.unit * self.unit;
        let end = (offset + into.len() as u64).next_multiple_of(self.unit);
        match self.bad.iter().any(|(from, to)| *from < end && start < *to) {
            true => Err(io::Error::from_raw_os_error(5)),
            false => ReadAt::read_at(&self.file, into, offset),
        }
    }
}

/// Salvages a log of which these sectors of a segment cannot be read.
fn salvage_without(log: &TestLog, segment: usize, bad: &[(u64, u64)], to: Option<&Path>) -> Report {
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let (name, bad) = (file(segment as u32), bad.to_vec());
    let direct_is_possible = direct_is_possible(directory.path());
    let source = Source::reading_through(
        directory.path(),
        Rc::new(move |opened, file, access| {
            let bad = if opened == name { bad.clone() } else { Vec::new() };
            let cached = access == Access::Cached && direct_is_possible;
            let unit = if cached { 64 << 10 } else { SECTOR_BYTES as u64 };
            Box::new(BadSectors { file, bad, unit })
        }),
    );
    let to = to.map(Path::to_owned);
    let request = Request { dry_run: to.is_none(), to, ..dry(directory.path()) };
    salvage_from(&source, &request).unwrap()
}

/// Whether this file system lets files be read past the page cache. Where it does not, the page cache
/// has to give each sector by itself.
fn direct_is_possible(directory: &Path) -> bool {
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_DIRECT);
    let possible = options.open(directory.join(file(0))).is_ok();
    if !possible {
        eprintln!("SKIPPED: no O_DIRECT here, units of the page cache are as small as sectors");
    }
    possible
}

/// The positions that are left when these bytes read as zeros.
fn left_without(log: &TestLog, segment: usize, bad: &Range<usize>) -> Vec<u64> {
    let mut zeroed = log.clone();
    zeroed.bytes(segment)[bad.clone()].fill(0);
    let found = report(&zeroed);
    found.moved.iter().flat_map(|it| it.first..=it.last).collect()
}

#[test]
fn any_sector_may_be_bad_and_all_the_rest_is_read() {
    let log = closed_log();
    let mut taken = 0;
    for segment in 0..3 {
        for sector in (0..log.segments[segment].bytes.as_ref().unwrap().len()).step_by(SECTOR_BYTES)
        {
            let bad = sector..sector + SECTOR_BYTES;
            let found = salvage_without(&log, segment, &[(bad.start as u64, bad.end as u64)], None);
            let left: Vec<u64> = found.moved.iter().flat_map(|it| it.first..=it.last).collect();
            assert_eq!(left, left_without(&log, segment, &bad), "sector {sector}: {found}");
            assert!(!found.ok, "sector {sector}: {found}");
            let [unreadable] = &found.unreadable[..] else { panic!("sector {sector}: {found}") };
            assert_eq!(
                (&unreadable.file, unreadable.offset, unreadable.bytes),
                (&file(segment as u32), sector as u64, SECTOR_BYTES as u64)
            );
            assert_eq!(unreadable.error, "Input/output error (os error 5)");
            // Lost events are explained by a place that cannot be read.
            let told = found.damage.iter().any(|it| it.fault.starts_with("cannot be read from"));
            assert!(told || found.lost.is_empty(), "sector {sector}: {found}");
            taken += left.len();
        }
    }
    assert!(taken > 0);
}

#[test]
fn a_segment_of_which_nothing_is_readable_is_lost_and_the_others_are_not() {
    let log = closed_log();
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    let found = salvage_without(&log, 1, &[(0, 8192)], Some(&new));
    assert_eq!((found.batches, lost(&found)), (4, vec![(5, 9, true)]), "{found}");
    let unreadable: Vec<_> = found.unreadable.iter().map(|it| (it.offset, it.bytes)).collect();
    assert_eq!(unreadable, [(0, 8192)]);
    assert!(found.written && fs::exists(new).unwrap());
}

#[test]
fn bad_sectors_apart_from_one_another_are_told_apart() {
    let mut log = TestLog::new();
    log.batch(&["a"]).batch(&["b"]).control(ControlKind::Close, true);
    let found = salvage_without(&log, 0, &[(512, 1024), (6144, 7168), (7680, 8192)], None);
    let unreadable: Vec<_> = found.unreadable.iter().map(|it| (it.offset, it.bytes)).collect();
    assert_eq!(unreadable, [(512, 512), (6144, 1024), (7680, 512)]);
    // Zeros in the header are what stood there; but behind the close nothing is known.
    assert_eq!((found.batches, found.ok, found.end_known), (2, false, false), "{found}");
}
