//! Target: a directory of any files is opened as a log.
//!
//! Input: see [`crate::edit`].

use std::collections::BTreeSet;

use quipu::sim::{SimDisk, Survivors};
use quipu::{Batch, Event, Log, OpenError, RecordedEvent};

use crate::by_format::{self, Found, Verdict};
use crate::edit;
use crate::logs::{Files, files_of, options, trusting_options};

/// What opens can be read, gone on with and opened again; what does not has not been touched; both
/// as the format alone says.
pub fn recover_directory(data: &[u8]) -> bool {
    let files = edit::directory(data);
    let found = by_format::look(&files);
    let disk = SimDisk::new(1);
    for (name, bytes) in &files {
        disk.write_file(name, bytes);
    }
    let reader = Log::open_simulated_read_only(&disk, options());
    assert_untouched(&disk, &files);
    let opened = Log::open_simulated(&disk, options());
    if opened.is_err() {
        assert_untouched(&disk, &files);
    }
    match opened {
        Ok(log) => {
            assert_eq!(found.verdict, Verdict::Opens, "{found:?}");
            assert_eq!(log.recovery_report().batches, found.batches);
            let events = read_all(&log);
            assert_eq!(events.len() as u64, found.position);
            check_reader(reader, &events);
            go_on(log, &disk, events);
        }
        Err(error) => {
            match &error {
                OpenError::Damaged(damage) => {
                    assert_eq!(found.verdict, Verdict::Damaged, "{found:?}, {damage}");
                    let file = format!("{:020}.seg", found.damage.0);
                    assert!(damage.file.ends_with(&file), "{found:?}, {damage}");
                    let place = (damage.offset, damage.position.as_u64());
                    assert_eq!(place, (found.damage.1, found.position));
                }
                OpenError::NotASegment { .. }
                | OpenError::Unsupported { .. }
                | OpenError::ForeignSegment { .. }
                | OpenError::Misnamed { .. } => assert_eq!(found.verdict, Verdict::Refused),
                other => panic!("{other}, {found:?}"),
            }
            check_refused_reader(reader, &error, &found);
        }
    }
    found.batches > 0
}

/// How many bytes the files of an input have.
pub fn directory_bytes(data: &[u8]) -> usize {
    edit::directory(data).values().map(Vec::len).sum()
}

/// Neither what the machine sees nor what a power cut leaves is another.
fn assert_untouched(disk: &SimDisk, files: &Files) {
    assert!(files_of(disk) == *files, "a file has changed");
    assert!(disk.in_flight().is_empty());
    assert!(files.iter().all(|(name, bytes)| disk.durable_file(name).as_ref() == Some(bytes)));
}

/// Who reads a log that opens sees all of it.
fn check_reader(reader: Result<Log, OpenError>, events: &[Plain]) {
    match reader {
        Ok(reader) => {
            assert_eq!(reader.recovery_report().damage, None);
            assert!(read_all(&reader) == events, "the reader sees something else");
        }
        Err(OpenError::NoLog { .. }) => assert!(events.is_empty(), "no log, but events"),
        Err(error) => panic!("it opens for writing, and not for reading: {error}"),
    }
}

/// Who reads a damaged log is told, and sees all in front of the damage.
fn check_refused_reader(reader: Result<Log, OpenError>, error: &OpenError, found: &Found) {
    match (reader, error) {
        (Ok(reader), OpenError::Damaged(damage)) => {
            assert_eq!(reader.recovery_report().damage.as_ref(), Some(&**damage));
            assert_eq!(reader.recovery_report().batches, found.batches);
            assert_eq!(read_all(&reader).len() as u64, found.position);
        }
        (Err(told), error) => assert_eq!(told.to_string(), error.to_string()),
        (Ok(_), error) => panic!("it opens for reading although {error}"),
    }
}

/// What recovery has accepted survives a power cut; the log takes more, is closed, and has it all
/// when it is opened again.
fn go_on(log: Log, disk: &SimDisk, mut events: Vec<Plain>) {
    let crashed = disk.if_rebooted(&Survivors::None);
    let again = Log::open_simulated(&crashed, trusting_options()).unwrap();
    assert!(read_all(&again) == events, "what was accepted is durable");
    drop(again);
    let stream = events.first().map_or("a", |event| &event.stream).to_owned();
    for number in 0..3 {
        let batch = Batch::new()
            .expect(&stream, log.expect_unchanged(&stream))
            .event(&stream, Event::new("T", vec![number; 1500]))
            .event("new", Event::new("T", "x"));
        let receipt = log.append(batch).unwrap();
        assert_eq!(receipt.first_position().as_u64(), events.len() as u64 + 2 * u64::from(number));
    }
    let all = read_all(&log);
    assert!(all.starts_with(&events) && all.len() == events.len() + 6);
    log.close().unwrap();
    events = all;
    let found = by_format::look(&files_of(disk));
    assert_eq!((found.verdict, found.position), (Verdict::Opens, events.len() as u64));
    let disk = disk.reboot(&Survivors::None);
    let reader = Log::open_simulated_read_only(&disk, trusting_options()).unwrap();
    assert!(read_all(&reader) == events, "what was closed is there, by its indexes");
    drop(reader);
    let again = Log::open_simulated(&disk, options()).unwrap();
    let report = again.recovery_report();
    assert!(report.clean_close && report.bytes_cut == 0, "nothing is left behind: {report:?}");
    assert!(read_all(&again) == events, "what was closed is there");
}

/// An event as plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    stream: String,
    version: u64,
    rest: (String, Option<quipu::EventId>, Vec<String>, Vec<u8>, Vec<u8>, u64),
}

/// Reads a log in every way; all ways agree, positions and versions are dense.
fn read_all(log: &Log) -> Vec<Plain> {
    let mut events = Vec::new();
    for (position, event) in (0..).zip(log.read(..)) {
        let event = event.unwrap();
        assert_eq!(event.position().as_u64(), position);
        events.push(plain(&event));
    }
    assert_eq!(log.end().as_u64(), events.len() as u64);
    let backward = log.read(..).backward().into_iter().map(|event| plain(&event.unwrap()));
    assert!(backward.eq(events.iter().rev().cloned()), "backward");
    let mut from_batches = 0;
    for batch in log.batches(..) {
        let batch = batch.unwrap();
        assert_eq!(batch.first_position().as_u64(), from_batches);
        let read = batch.events().unwrap().map(|event| event.unwrap().version().as_u64());
        let from = from_batches as usize;
        let expected = events[from..from + batch.event_count() as usize].iter();
        assert!(read.eq(expected.map(|event| event.version)), "by batch");
        from_batches += u64::from(batch.event_count());
    }
    assert_eq!(from_batches, events.len() as u64);
    let streams: BTreeSet<&str> = events.iter().map(|event| &*event.stream).collect();
    for stream in streams {
        let of_stream: Vec<&Plain> = events.iter().filter(|event| event.stream == stream).collect();
        assert!((0..).zip(&of_stream).all(|(version, event)| event.version == version));
        let read = log.read_stream(stream, ..).into_iter().map(|event| plain(&event.unwrap()));
        assert!(read.eq(of_stream.iter().copied().cloned()), "by stream");
        let last = log.stream_version(stream).map(|version| version.as_u64() + 1);
        assert_eq!(last, Some(of_stream.len() as u64));
    }
    events
}

fn plain(event: &RecordedEvent) -> Plain {
    let tags = event.tags().iter().map(str::to_owned).collect();
    let (metadata, payload) = (event.metadata().to_vec(), event.payload().to_vec());
    let (event_type, time) = (event.event_type().to_owned(), event.committed_at().as_u64());
    Plain {
        stream: event.stream().to_owned(),
        version: event.version().as_u64(),
        rest: (event_type, event.id(), tags, metadata, payload, time),
    }
}
