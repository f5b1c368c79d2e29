//! Regions: what they give out, what they refuse, and that it stays.

use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::*;

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Region>();
    shared::<RegionWriter>();
};

fn heap_region(capacity: usize) -> (Arc<Region>, RegionWriter) {
    let (region, writer) = Region::map_heap(&Heap::new(capacity), 0, Access::Write).unwrap();
    (region, writer.unwrap())
}

fn file_of(length: u64) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(length).unwrap();
    file
}

fn refused<T>(answer: io::Result<T>) -> bool {
    answer.is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput)
}

#[test]
fn bytes_are_given_below_the_mark_only() {
    let (region, mut writer) = heap_region(16);
    writer.copy(&[b"ab", b"", b"cd"]).unwrap();
    assert_eq!(region.bytes(0..4), Some(&b"abcd"[..]));
    assert_eq!(region.bytes(4..4), Some(&b""[..]));
    assert_eq!(region.bytes(0..5), None);
    assert_eq!(region.bytes(u64::MAX..u64::MAX), None);
    #[allow(clippy::reversed_empty_ranges)] // on purpose
    let reversed = 3..2;
    assert_eq!(region.bytes(reversed), None);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_of_it_stored() {
    let (region, mut writer) = heap_region(4);
    writer.copy(&[b"abc"]).unwrap();
    assert_eq!(writer.copy(&[b"d", b"e"]), Err(NoRoom { needed: 2, room: 1 }));
    assert_eq!(writer.advance(2), Err(NoRoom { needed: 2, room: 1 }));
    assert_eq!((region.written(), writer.room()), (3, 1));
    writer.copy(&[b"d"]).unwrap();
    assert_eq!(region.bytes(0..4), Some(&b"abcd"[..]));
}

#[test]
fn slices_stay_as_they_are_while_more_is_appended_and_outlive_the_region() {
    let (region, mut writer) = heap_region(1 << 12);
    writer.copy(&[b"first"]).unwrap();
    let borrowed = region.bytes(0..5).unwrap();
    let counted = region.slice(1..4).unwrap();
    while writer.copy(&[&[0xff; 100]]).is_ok() {}
    assert_eq!(borrowed, b"first");
    drop((writer, region));
    assert_eq!(&counted[..], b"irs");
    assert_eq!(&counted.slice(1..2)[..], b"r");
}

#[test]
fn a_slice_beyond_the_mark_is_refused() {
    let (region, _writer) = heap_region(8);
    assert!(region.slice(0..1).is_none());
}

#[test]
fn readers_see_whole_copies_only_while_the_writer_runs() {
    const COPIES: u64 = 2_000;
    let (region, mut writer) = heap_region((COPIES * 8) as usize);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < COPIES {
                    let written = region.written();
                    assert_eq!(written % 8, 0);
                    for number in seen..written / 8 {
                        let bytes = region.bytes(number * 8..number * 8 + 8).unwrap();
                        assert_eq!(bytes, number.to_le_bytes());
                    }
                    seen = written / 8;
                }
            });
        }
        for number in 0..COPIES {
            let bytes = number.to_le_bytes();
            writer.copy(&[&bytes[..3], &bytes[3..]]).unwrap();
        }
    });
}

#[test]
fn memory_has_one_writer_at_a_time() {
    let heap = Heap::new(8);
    let (_, writer) = Region::map_heap(&heap, 0, Access::Write).unwrap();
    assert!(refused(Region::map_heap(&heap, 0, Access::Write)));
    drop(writer);
    assert!(Region::map_heap(&heap, 0, Access::Write).is_ok());
}

#[test]
fn a_writer_cannot_start_below_what_a_reader_was_promised() {
    let heap = Heap::new(8);
    let (reader, _) = Region::map_heap(&heap, 4, Access::Read).unwrap();
    assert!(refused(Region::map_heap(&heap, 3, Access::Write)));
    drop(reader);
    assert!(Region::map_heap(&heap, 3, Access::Write).is_ok());
}

#[test]
fn a_reader_follows_a_writer_of_the_same_process_up_to_its_mark() {
    let heap = Heap::new(8);
    let (early, none) = Region::map_heap(&heap, 0, Access::Read).unwrap();
    assert!(none.is_none());
    let mut writer = Region::map_heap(&heap, 0, Access::Write).unwrap().1.unwrap();
    writer.copy(&[b"abc"]).unwrap();
    let (late, _) = Region::map_heap(&heap, 8, Access::Read).unwrap();
    assert_eq!(late.written(), 3);
    assert_eq!(early.raise(2), 2);
    assert_eq!(early.raise(8), 3);
    assert_eq!(early.bytes(0..3), Some(&b"abc"[..]));
    drop(writer);
    assert_eq!(early.raise(100), 8, "without a writer the capacity is the limit");
    assert_eq!(early.raise(1), 8, "a mark never falls");
}

#[test]
fn the_mark_of_a_writable_region_is_its_writers_alone() {
    let (region, writer) = heap_region(8);
    assert_eq!(region.raise(4), 0);
    drop(writer);
    assert_eq!(region.raise(4), 0);
}

#[test]
fn memory_is_stored_to_past_the_regions_only_where_it_was_not_promised() {
    let heap = Heap::new(8);
    heap.store(0, b"abcd").unwrap();
    let (region, writer) = Region::map_heap(&heap, 4, Access::Write).unwrap();
    assert!(refused(heap.store(4, b"x")), "a writer lives");
    drop(writer);
    assert!(refused(heap.store(3, b"x")), "promised");
    assert!(refused(heap.store(4, b"12345")), "beyond the end");
    assert!(refused(heap.store(u64::MAX, b"1")), "overflow");
    heap.store(4, b"efgh").unwrap();
    assert_eq!(region.bytes(0..4), Some(&b"abcd"[..]));
    assert_eq!(heap.highest_mark(), 4);
}

#[test]
fn a_mapping_shows_what_the_file_holds_and_holds_what_is_appended() {
    let file = file_of(8192);
    file.write_all_at(b"header", 0).unwrap();
    let (region, writer) = Region::map_file(&file, 6, Access::Write).unwrap();
    let mut writer = writer.unwrap();
    region.populate().unwrap();
    writer.copy(&[b"frame"]).unwrap();
    assert_eq!(region.bytes(0..11), Some(&b"headerframe"[..]));
    let mut read = [0; 5];
    file.read_exact_at(&mut read, 6).unwrap();
    assert_eq!(&read, b"frame");
}

#[test]
fn two_mappings_of_one_file_share_their_promises() {
    let file = file_of(4096);
    let again = File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
    let again = again.unwrap();
    let (_, _writer) = Region::map_file(&file, 0, Access::Write).unwrap();
    assert!(refused(Region::map_file(&again, 0, Access::Write)));
    assert_eq!(Region::map_file(&again, 4096, Access::Read).unwrap().0.written(), 0);
}

#[test]
fn an_empty_file_maps_to_an_empty_region() {
    let (region, writer) = Region::map_file(&file_of(0), 0, Access::Write).unwrap();
    region.populate().unwrap();
    assert_eq!(region.bytes(0..0), Some(&b""[..]));
    assert!(writer.unwrap().copy(&[b"x"]).is_err());
}

#[test]
fn a_mapping_cannot_promise_more_than_the_file_has() {
    assert!(refused(Region::map_file(&file_of(8), 9, Access::Read)));
}

#[test]
fn a_gathered_write_stores_more_parts_than_one_call_takes() {
    let file = file_of(0);
    let numbers: Vec<[u8; 4]> = (0..3_000_u32).map(u32::to_le_bytes).collect();
    let mut parts: Vec<&[u8]> = numbers.iter().map(|number| &number[..]).collect();
    parts.insert(7, b"");
    parts.push(b"");
    write_vectored_at(&file, 10, &parts).unwrap();
    let mut read = vec![0; 12_000];
    file.read_exact_at(&mut read, 10).unwrap();
    assert_eq!(read, numbers.concat());
    assert_eq!(file.metadata().unwrap().len(), 12_010);
}

#[test]
fn allocated_files_have_their_blocks() {
    let file = file_of(0);
    allocate(&file, 20_000).unwrap();
    let about = file.metadata().unwrap();
    assert_eq!(about.len(), 20_000);
    assert!(about.blocks() * 512 >= 20_000);
}

#[test]
fn offsets_beyond_what_files_have_are_refused() {
    let file = file_of(0);
    assert!(refused(write_vectored_at(&file, u64::MAX, &[b"x"])));
    assert!(refused(allocate(&file, u64::MAX)));
}

#[test]
fn a_sync_of_what_cannot_be_synced_fails() {
    let (pipe, _other) = std::io::pipe().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
    assert!(sync_data(&pipe).is_err());
    assert!(sync_all(&pipe).is_err());
}
