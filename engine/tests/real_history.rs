//! The history of a real project goes in line by line and comes back as it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeMap;
use std::path::Path;

use quipu::{Batch, CommitTime, Event, Log, Position};
use serde_json::Value;

#[path = "common/support.rs"]
mod support;
use support::{Plain, dense, options, plain};

/// One batch of the file: its time in seconds, and stream, type and data of its events.
struct Line {
    seconds: u64,
    events: Vec<[String; 3]>,
}

/// `None`, with a message, where the file is not there.
fn history() -> Option<Vec<Line>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let Ok(text) = std::fs::read_to_string(root.join("repository-history.jsonl")) else {
        println!("skipped: repository-history.jsonl is not there");
        return None;
    };
    let text_of = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let events = line["events"].as_array().unwrap().iter().map(|event| {
            [text_of(&event["stream"]), text_of(&event["type"]), event["data"].to_string()]
        });
        Line { seconds: line["time"].as_u64().unwrap(), events: events.collect() }
    };
    Some(text.lines().map(line).collect())
}

fn import(log: &Log, history: &[Line]) {
    let mut position = 0;
    let tickets: Vec<_> = history
        .iter()
        .map(|Line { seconds, events }| {
            let mut batch = Batch::new().committed_at(CommitTime::new(seconds * 1_000_000_000));
            for [stream, event_type, data] in events {
                batch.push(stream, &Event::new(event_type.as_str(), data));
            }
            log.submit(batch).unwrap()
        })
        .collect();
    for (line, ticket) in history.iter().zip(tickets) {
        let receipt = ticket.wait().unwrap();
        assert_eq!(receipt.first_position(), Position::new(position));
        position += line.events.len() as u64;
    }
}

/// What the log should hold, by a model of a few lines.
fn model(history: &[Line]) -> Vec<Plain> {
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let events = history.iter().flat_map(|line| &line.events);
    (0..)
        .zip(events)
        .map(|(position, [stream, event_type, data])| {
            let next = versions.entry(stream).or_default();
            let version = *next;
            *next += 1;
            let (stream, event_type) = (stream.clone(), event_type.clone());
            Plain { position, stream, version, event_type, id: None, payload: data.clone() }
        })
        .collect()
}

fn check(log: &Log, history: &[Line], expected: &[Plain]) {
    assert!(dense(log) == expected, "every event, in order");
    let mut streams: BTreeMap<&str, Vec<&Plain>> = BTreeMap::new();
    for event in expected {
        streams.entry(&event.stream).or_default().push(event);
    }
    assert_eq!(streams.len(), 4_351);
    for (stream, expected) in streams {
        let read = log.read_stream(stream, ..);
        assert_eq!(read.current_version().unwrap().as_u64() + 1, expected.len() as u64);
        assert!(plain(read).iter().eq(expected.iter().copied()), "stream {stream}");
        let backward = plain(log.read_stream(stream, ..).backward());
        assert!(backward.iter().rev().eq(expected.iter().copied()), "stream {stream}, backward");
    }
    let mut time = 0;
    let mut batches = log.batches(..);
    for line in history {
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch.event_count() as usize, line.events.len());
        time = time.max(line.seconds * 1_000_000_000);
        assert_eq!(batch.committed_at(), CommitTime::new(time), "times never run backwards");
    }
    assert!(batches.next().is_none());
}

#[test]
fn the_history_of_a_repository_comes_back_by_every_read_and_after_reopening() {
    let Some(history) = history() else { return };
    let expected = model(&history);
    assert_eq!((history.len(), expected.len()), (7_680, 32_614));
    let dir = tempfile::tempdir().unwrap();
    let open = || options().segment_bytes(1 << 20).open(dir.path()).unwrap();
    let log = open();
    import(&log, &history);
    check(&log, &history, &expected);
    log.close().unwrap();

    let log = open();
    let report = log.recovery_report();
    assert_eq!((report.batches, report.events, report.streams), (7_680, 32_614, 4_351));
    assert!(report.segments > 5 && report.clean_close);
    check(&log, &history, &expected);
}
