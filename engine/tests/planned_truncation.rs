//! Goal: what would be dropped is said without being done: a log that is open for reading only plans what
//! an opening for writing would drop, and leaves the directory as it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use quipu::{Batch, Durability, Event, Log, Options, Position, TruncateError};

fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

/// Three events to a segment, none known to be durable.
fn append(directory: &Path) -> Log {
    let log = options().durability(Durability::Buffered).open(directory).unwrap();
    for number in 0..20_u8 {
        log.append(Batch::new().event("s", Event::new("T", vec![number; 1000]))).unwrap();
    }
    log
}

/// All files, beside a writer that does no more than make a segment ready or an index.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    loop {
        let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
        let named = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            fs::read(entry.path()).map(|bytes| (name, bytes))
        });
        match named.collect() {
            Ok(contents) => return contents,
            // It has got its own name meanwhile.
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for (name, bytes) in contents(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

#[test]
fn a_reader_plans_what_an_opening_for_writing_would_drop_and_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: String| place.path().join(name);
    let closed = path("closed".to_owned());
    append(&closed).close().unwrap();
    // Without a close frame, and with nothing that says what was durable.
    let killed = path("killed".to_owned());
    let log = append(&path("live".to_owned()));
    copy(&path("live".to_owned()), &killed);
    drop(log);
    for (name, directory) in [("closed", closed), ("killed", killed)] {
        let before = contents(&directory);
        let reader = Log::open_read_only(&directory).unwrap();
        let mut most = 0;
        for position in 0..=22 {
            let planned = reader.would_truncate_before(Position::new(position)).unwrap();
            let other = path(format!("{name}-{position}"));
            copy(&directory, &other);
            let writer = options().open(&other).unwrap();
            let found = writer.truncate_before(Position::new(position)).unwrap();
            assert_eq!(planned, found, "{name}, {position}");
            most = most.max(found.segments);
            writer.close().unwrap();
        }
        assert!(most > 4, "{name}: {most} segments");
        assert!(contents(&directory) == before, "{name} has changed");
    }
}

#[test]
fn nothing_is_planned_of_a_log_that_could_not_be_opened_for_writing() {
    let place = tempfile::tempdir().unwrap();
    append(place.path()).close().unwrap();
    let first = place.path().join("00000000000000000000.seg");
    let mut bytes = fs::read(&first).unwrap();
    bytes[40] ^= 1;
    fs::write(&first, bytes).unwrap();
    assert!(options().open(place.path()).is_err());
    let reader = Log::open_read_only(place.path()).unwrap();
    let refused = reader.would_truncate_before(Position::new(15)).unwrap_err();
    assert!(matches!(refused, TruncateError::Damaged(_)), "{refused}");
    assert!(refused.to_string().contains("00000000000000000000.seg"), "{refused}");
}
