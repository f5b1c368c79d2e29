//! A batch goes in, comes back by every kind of read, and is there after reopening.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::{
    Batch, Event, ExpectedVersion, Log, Options, Position, ReadError, RecordedEvent, Version,
};

fn options() -> Options {
    Log::options().segment_bytes(64 << 10)
}

fn payloads(events: impl IntoIterator<Item = Result<RecordedEvent, ReadError>>) -> Vec<String> {
    let text = |event: RecordedEvent| String::from_utf8(event.payload().to_vec()).unwrap();
    events.into_iter().map(|event| text(event.unwrap())).collect()
}

/// Two streams, five batches, nine events; payloads say where they should be.
fn fill(log: &Log) {
    for round in 0..4_u64 {
        let a = Event::new("A", format!("a{round}")).tag("even").metadata("meta");
        let b = Event::new("B", format!("b{round}")).id(u128::from(round) + 1);
        let receipt = log.append(Batch::new().event("a", a).event("b", b)).unwrap();
        assert_eq!(receipt.first_position(), Position::new(2 * round));
        assert_eq!(receipt.last_position(), Position::new(2 * round + 1));
        assert_eq!(receipt.version("a"), Some(Version::new(round)));
        assert_eq!(receipt.version("c"), None);
    }
    log.append(Batch::new().event("a", Event::new("A", "a4"))).unwrap();
}

fn check(log: &Log) {
    assert_eq!(log.end(), Position::new(9));
    assert_eq!(log.stream_version("a"), Some(Version::new(4)));
    assert_eq!(log.stream_version("b"), Some(Version::new(3)));
    assert_eq!(log.stream_version("c"), None);
    check_global_reads(log);
    check_stream_reads(log);
    check_batches(log);
}

fn check_global_reads(log: &Log) {
    let forward = ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3", "a4"];
    for from in 0..10 {
        for to in from..11 {
            let range = Position::new(from)..Position::new(to);
            let expected = &forward[from.min(9) as usize..to.min(9) as usize];
            assert_eq!(payloads(log.read(range.clone())), expected, "{range:?}");
            let expected: Vec<_> = expected.iter().rev().copied().collect();
            assert_eq!(payloads(log.read(range.clone()).backward()), expected, "{range:?}");
        }
    }
    assert_eq!(payloads(log.read(..).limit(2)), ["a0", "b0"]);
    assert_eq!(payloads(log.read(..).backward().limit(2)), ["a4", "b3"]);
    assert_eq!(payloads(log.read(..).stream_prefix("b").limit(2)), ["b0", "b1"]);
    assert_eq!(payloads(log.read(..).event_type("B").backward().limit(1)), ["b3"]);
    assert_eq!(payloads(log.read(..).tag("even")), ["a0", "a1", "a2", "a3"]);
    let first = log.read(..).into_iter().next().unwrap().unwrap();
    assert_eq!((first.stream(), first.event_type(), first.metadata()), ("a", "A", &b"meta"[..]));
    assert_eq!(first.tags().iter().collect::<Vec<_>>(), ["even"]);
    assert_eq!(first.payload_bytes(), "a0");
}

fn check_stream_reads(log: &Log) {
    assert_eq!(payloads(log.read_stream("a", ..)), ["a0", "a1", "a2", "a3", "a4"]);
    assert_eq!(payloads(log.read_stream("a", ..).backward().limit(2)), ["a4", "a3"]);
    assert_eq!(payloads(log.read_stream("a", ..).limit(2).backward()), ["a4", "a3"]);
    assert_eq!(payloads(log.read_stream("a", Version::new(1)..=Version::new(2))), ["a1", "a2"]);
    assert_eq!(payloads(log.read_stream("a", Version::new(9)..)), Vec::<String>::new());
    let absent = log.read_stream("c", ..);
    assert_eq!(absent.current_version(), None);
    assert_eq!(payloads(absent), Vec::<String>::new());
}

fn check_batches(log: &Log) {
    let range = Position::new(1)..Position::new(5);
    let batches: Vec<_> = log.batches(range).map(Result::unwrap).collect();
    let bounds: Vec<_> = batches
        .iter()
        .map(|batch| (batch.first_position().as_u64(), batch.last_position().as_u64()))
        .collect();
    assert_eq!(bounds, [(0, 1), (2, 3), (4, 5)], "whole batches that hold a position of the range");
    let event = batches[1].events().unwrap().nth(1).unwrap().unwrap();
    assert_eq!((event.stream(), event.version()), ("b", Version::new(1)));
    assert_eq!(event.id(), Some(2.into()));
    assert_eq!(log.batches(..).backward().count(), 5);
}

#[test]
fn what_goes_in_comes_back_and_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    fill(&log);
    check(&log);
    log.close().unwrap();

    let log = options().open(dir.path()).unwrap();
    let report = log.recovery_report();
    assert_eq!((report.batches, report.events, report.streams), (5, 9, 2));
    assert!(report.clean_close);
    check(&log);
    drop(log);

    check(&Log::open_read_only(dir.path()).unwrap());
}

#[test]
fn many_segments_are_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let open = || options().segment_bytes(8 << 10).open(dir.path()).unwrap();
    let log = open();
    for number in 0..200_u64 {
        let payload = vec![number as u8; 300];
        let batch = Batch::new().event(format!("s{}", number % 7), Event::new("T", payload));
        assert_eq!(log.append(batch).unwrap().first_position(), Position::new(number));
    }
    let numbers = |events: &mut dyn Iterator<Item = Result<RecordedEvent, ReadError>>| -> Vec<u8> {
        events.map(|event| event.unwrap().payload()[0]).collect()
    };
    let check = |log: &Log| {
        assert_eq!(numbers(&mut log.read(..).into_iter()), (0..200).collect::<Vec<_>>());
        let backward = numbers(&mut log.read(..).backward().into_iter());
        assert_eq!(backward, (0..200).rev().collect::<Vec<_>>());
        let every_seventh: Vec<u8> = (0..200).filter(|number| number % 7 == 3).collect();
        assert_eq!(numbers(&mut log.read_stream("s3", ..).into_iter()), every_seventh);
    };
    check(&log);
    let held = log.read(..).into_iter().next().unwrap().unwrap().payload_bytes();
    log.close().unwrap();
    let log = open();
    assert!(log.recovery_report().segments > 5);
    check(&log);
    assert_eq!(held, vec![0; 300], "bytes are held beyond the log they came from");
}

#[test]
fn a_read_sees_the_log_as_it_was_when_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    log.append(Batch::new().event("a", Event::new("T", "0"))).unwrap();
    let (read, stream, batches) = (log.read(..), log.read_stream("a", ..), log.batches(..));
    log.append(Batch::new().event("a", Event::new("T", "1"))).unwrap();
    assert_eq!(payloads(read), ["0"]);
    assert_eq!(payloads(stream), ["0"]);
    assert_eq!(batches.count(), 1);
}

#[test]
fn a_batch_over_five_streams_whose_third_precondition_fails_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    fill(&log);
    let batch = ["s1", "s2", "a", "s4", "s5"].iter().fold(Batch::new(), |batch, stream| {
        batch.expect(stream, ExpectedVersion::NoStream).event(stream, Event::new("T", ""))
    });
    let error = log.append(batch).unwrap_err();
    assert_eq!(error.to_string(), "stream \"a\" is at version 4, expected no events");
    check(&log);
    for stream in ["s1", "s2", "s4", "s5"] {
        assert_eq!(log.stream_version(stream), None);
        assert_eq!(log.read_stream(stream, ..).into_iter().count(), 0);
    }
    log.close().unwrap();
    check(&options().open(dir.path()).unwrap());
}
