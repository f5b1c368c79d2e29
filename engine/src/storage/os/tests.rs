//! The real files, on whatever file system holds the temporary directory.

use std::os::unix::fs::MetadataExt;

use super::super::{Preparation, StoreMode};
use super::*;

const LENGTH: u64 = 256 << 10;

fn directory() -> (tempfile::TempDir, OsDirectory) {
    let kept = tempfile::tempdir().unwrap();
    let directory = OsDirectory::open(kept.path()).unwrap();
    (kept, directory)
}

fn prepared(directory: &OsDirectory, how: Preparation) -> Arc<dyn File> {
    let file = directory.create("segment").unwrap();
    file.prepare(LENGTH, how).unwrap();
    file
}

fn refused<T>(answer: io::Result<T>) -> bool {
    answer.is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput)
}

#[test]
fn either_preparation_gives_real_zeroed_blocks() {
    for how in [Preparation::Populate, Preparation::DirectZeros] {
        // The odd length has a tail that no direct write can do.
        for length in [LENGTH, LENGTH + 100, (2 << 20) + 4096, 100, 0] {
            let (_kept, directory) = directory();
            let file = directory.create("segment").unwrap();
            file.prepare(length, how).unwrap();
            file.sync().unwrap();
            let about = fs::metadata(directory.path().join("segment")).unwrap();
            assert_eq!(file.len().unwrap(), length);
            assert!(about.blocks() * 512 >= length, "{how:?}: {} blocks", about.blocks());
            let mut bytes = vec![1; length as usize];
            file.read_at(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn only_an_empty_file_can_be_prepared() {
    let (_kept, directory) = directory();
    let file = prepared(&directory, Preparation::Populate);
    file.write_at(0, b"bytes").unwrap();
    assert!(refused(file.prepare(LENGTH, Preparation::DirectZeros)));
    let mut read = [0; 5];
    file.read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"bytes");
}

#[test]
fn a_preparation_that_finds_another_file_under_its_name_leaves_that_one_alone() {
    let (_kept, directory) = directory();
    let file = directory.create("temp").unwrap();
    directory.rename("temp", "segment").unwrap();
    fs::write(directory.path().join("temp"), b"other").unwrap();
    file.prepare(LENGTH, Preparation::DirectZeros).unwrap();
    assert_eq!(fs::read(directory.path().join("temp")).unwrap(), b"other");
    assert_eq!(file.len().unwrap(), LENGTH);
}

#[test]
fn both_ways_to_store_are_seen_by_the_mapping_and_by_reads() {
    for how in [Preparation::Populate, Preparation::DirectZeros] {
        let (_kept, directory) = directory();
        let file = prepared(&directory, how);
        file.write_at(0, b"head").unwrap();
        let (region, writer) = file.map(4, Access::Write).unwrap();
        let mut writer = writer.unwrap();
        file.append(&mut writer, &[b"map", b"ped "], StoreMode::Mapped).unwrap();
        file.append(&mut writer, &[b"posi", b"tioned "], StoreMode::Positioned).unwrap();
        file.append(&mut writer, &[b"mapped"], StoreMode::Mapped).unwrap();
        file.sync().unwrap();
        let expected = b"headmapped positioned mapped";
        assert_eq!(region.bytes(0..region.written()), Some(&expected[..]));
        let mut read = vec![0; expected.len()];
        directory.open("segment", Access::Read).unwrap().read_at(0, &mut read).unwrap();
        assert_eq!(read, expected);
    }
}

#[test]
fn an_append_that_does_not_fit_stores_nothing() {
    let (_kept, directory) = directory();
    let file = prepared(&directory, Preparation::Populate);
    let mut writer = file.map(LENGTH - 2, Access::Write).unwrap().1.unwrap();
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        assert!(refused(file.append(&mut writer, &[b"abc"], mode)));
    }
    assert_eq!((writer.written(), file.len().unwrap()), (LENGTH - 2, LENGTH));
}

#[test]
fn an_append_to_a_region_of_another_file_is_refused() {
    let (_kept, directory) = directory();
    let file = prepared(&directory, Preparation::Populate);
    let other = directory.create("other").unwrap();
    other.prepare(LENGTH, Preparation::Populate).unwrap();
    let mut writer = other.map(0, Access::Write).unwrap().1.unwrap();
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        assert!(refused(file.append(&mut writer, &[b"abc"], mode)));
    }
}

#[test]
fn a_write_below_what_a_mapping_has_promised_is_refused_through_every_handle() {
    let (_kept, directory) = directory();
    let file = prepared(&directory, Preparation::Populate);
    let again = directory.open("segment", Access::Write).unwrap();
    let (region, _) = file.map(100, Access::Read).unwrap();
    let held = region.slice(0..1).unwrap();
    drop(region);
    for handle in [&file, &again] {
        assert!(refused(handle.write_at(99, b"x")));
        handle.write_at(100, b"x").unwrap();
    }
    drop(held);
    again.write_at(99, b"x").unwrap();
}

#[test]
fn a_hole_is_filled_before_it_is_mapped_for_writing() {
    let (_kept, directory) = directory();
    let path = directory.path().join("copy");
    FsFile::create_new(&path).unwrap().set_len(LENGTH).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    let file = directory.open("copy", Access::Write).unwrap();
    let _mapped = file.map(0, Access::Write).unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= LENGTH);
}

#[test]
fn a_file_opened_for_reading_can_be_mapped_but_not_written() {
    let (_kept, directory) = directory();
    prepared(&directory, Preparation::Populate);
    let file = directory.open("segment", Access::Read).unwrap();
    assert!(file.map(0, Access::Read).unwrap().1.is_none());
    assert!(file.map(0, Access::Write).is_err());
    assert!(file.write_at(0, b"x").is_err());
}

#[test]
fn a_read_beyond_the_end_says_so() {
    let (_kept, directory) = directory();
    let file = directory.create("short").unwrap();
    file.write_at(0, b"abc").unwrap();
    let error = file.read_at(1, &mut [0; 3]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn the_lock_is_held_once_and_names_its_holder() {
    let (_kept, directory) = directory();
    let again = OsDirectory::open(directory.path()).unwrap();
    let lock = directory.lock().unwrap();
    let held = again.lock().unwrap_err();
    assert!(matches!(held, LockError::Held { pid } if pid == Some(std::process::id())), "{held:?}");
    let text = fs::read_to_string(directory.path().join(LOCK)).unwrap();
    assert_eq!(text, format!("{}\n", std::process::id()));
    drop(lock);
    assert!(directory.path().join(LOCK).exists(), "the file stays");
    drop(again.lock().unwrap());
}

#[test]
fn a_lock_file_that_holds_no_pid_still_locks() {
    let (_kept, directory) = directory();
    let holder = FsFile::create_new(directory.path().join(LOCK)).unwrap();
    holder.lock().unwrap();
    (&holder).write_all(&[0xff; 100]).unwrap();
    assert!(matches!(directory.lock(), Err(LockError::Held { pid: None })));
    drop(holder);
    directory.lock().unwrap();
}

#[test]
fn names_with_a_path_in_them_are_refused() {
    let (_kept, directory) = directory();
    for name in ["", ".", "..", "a/b", "/a", "../a", "a\0"] {
        assert!(refused(directory.create(name)), "{name:?}");
        assert!(refused(directory.open(name, Access::Read)), "{name:?}");
        assert!(refused(directory.remove(name)), "{name:?}");
        assert!(refused(directory.rename(name, "b")), "{name:?}");
    }
}

#[test]
fn names_are_created_once_listed_renamed_and_removed() {
    let (_kept, directory) = directory();
    directory.create("b").unwrap().write_at(0, b"12").unwrap();
    directory.create("a").unwrap();
    assert_eq!(directory.create("a").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    fs::create_dir(directory.path().join("sub")).unwrap();
    directory.rename("b", "a").unwrap();
    directory.sync().unwrap();
    let mut entries = directory.list().unwrap();
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    let sub = entries.pop().unwrap();
    assert_eq!((sub.name.as_str(), sub.is_file), ("sub", false));
    assert_eq!(entries, [Entry { name: "a".into(), length: 2, is_file: true }]);
    directory.remove("a").unwrap();
    let error = directory.open("a", Access::Read).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_file_that_has_no_name_any_more_is_told_so_when_it_is_to_get_another() {
    let (_kept, directory) = directory();
    let replaced = directory.create("a").unwrap();
    directory.link(&*replaced, "b").unwrap();
    directory.create("c").unwrap();
    directory.rename("c", "a").unwrap();
    let other = directory.link(&*replaced, "d").unwrap_err();
    assert_eq!(other.kind(), io::ErrorKind::CrossesDevices, "its name is another file's");
    directory.remove("a").unwrap();
    let none = directory.link(&*replaced, "d").unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::NotFound);
}

#[test]
fn only_regular_files_are_opened() {
    let (_kept, directory) = directory();
    fs::create_dir(directory.path().join("sub")).unwrap();
    assert!(refused(directory.open("sub", Access::Read)));
}

#[test]
fn directories_are_made_with_what_is_missing_above_them() {
    let kept = tempfile::tempdir().unwrap();
    let path = kept.path().join("a/b/c");
    assert_eq!(OsDirectory::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    let directory = OsDirectory::create_all(&path).unwrap();
    assert_eq!(directory.name(), path.display().to_string());
    OsDirectory::create_all(&path).unwrap();
    let file = kept.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(OsDirectory::create_all(&file).is_err());
}
