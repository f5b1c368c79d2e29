//! Names, types, tags and batches at their limits and beyond them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::{AppendError, Batch, Durability, Event, EventId, InvalidBatch, Log, Outcome, Position};

#[path = "common/support.rs"]
mod support;
use support::{dense, one, options, plain};

fn long(length: usize) -> String {
    "n".repeat(length)
}

/// Appends, reads back, appends nothing more: what went in is what comes out.
fn assert_comes_back(log: &Log, stream: &str, event: &Event<'_>, tags: &[&str], payload: &[u8]) {
    let receipt = log.append(Batch::new().event(stream, event.clone())).unwrap();
    let read = log.read(receipt.first_position()..).into_iter().next().unwrap().unwrap();
    assert_eq!(read.stream(), stream);
    assert_eq!(read.tags().iter().collect::<Vec<_>>(), tags);
    assert_eq!(read.payload(), payload);
    assert_eq!(read.payload_bytes(), payload);
    let by_stream = log.read_stream(stream, ..).backward().into_iter().next().unwrap().unwrap();
    assert_eq!(by_stream.position(), receipt.first_position());
}

#[test]
fn what_is_just_allowed_comes_back_by_every_way_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let open = || options().segment_bytes(256 << 10).open(dir.path()).unwrap();
    let log = open();
    for stream in [&long(1), &long(1024), "\u{e9}\u{4e2d}\u{1f980} \0\n\"", &"\u{20ac}".repeat(341)]
    {
        let event = Event::new(long(255), "payload");
        assert_comes_back(&log, stream, &event, &[], b"payload");
    }
    let tag = long(255);
    let most: Vec<&str> = std::iter::repeat_n(tag.as_str(), 255).chain([&tag[..254]]).collect();
    assert_eq!(most.iter().map(|tag| 1 + tag.len()).sum::<usize>(), 65_535);
    let tagged = most.iter().fold(Event::new("\u{e9}", ""), |event, tag| event.tag(*tag));
    assert_comes_back(&log, "tagged", &tagged, &most, b"");
    let short = Event::new("T", [0xff].as_slice()).tag("x").metadata([0x80].as_slice());
    assert_comes_back(&log, "short", &short, &["x"], &[0xff]);
    assert_eq!(log.read(..).event_type("\u{e9}").tag(tag).into_iter().count(), 1);
    let before = log.end();
    log.close().unwrap();
    assert_eq!(open().end(), before);
}

#[test]
fn what_breaks_a_limit_is_refused_by_name_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().segment_bytes(256 << 10).open(dir.path()).unwrap();
    log.append(one("before", "")).unwrap();
    let event = || Event::new("T", "");
    let tag = long(255);
    let too_many = (0..256).fold(event(), |event, _| event.tag(tag.clone()));
    for (batch, words) in [
        (one("", ""), "stream name is 0 bytes long, it must be 1 to 1024"),
        (one(&long(1025), ""), "stream name is 1025 bytes long, it must be 1 to 1024"),
        (one(&"\u{20ac}".repeat(342), ""), "stream name is 1026 bytes long, it must be 1 to 1024"),
        (
            Batch::new().event("s", Event::new("", "")),
            "event type is 0 bytes long, it must be 1 to 255",
        ),
        (
            Batch::new().event("s", Event::new(long(256), "")),
            "event type is 256 bytes long, it must be 1 to 255",
        ),
        (Batch::new().event("s", event().tag("")), "tag is 0 bytes long, it must be 1 to 255"),
        (
            Batch::new().event("s", event().tag(long(256))),
            "tag is 256 bytes long, it must be 1 to 255",
        ),
        (
            Batch::new().event("s", too_many),
            "tags together is 65536 bytes long, it must be 0 to 65535",
        ),
        // The first fault counts, and nothing of what is right around it is stored.
        (
            one("fine", "").event("", event()).event("fine", Event::new("", "")),
            "stream name is 0 bytes long, it must be 1 to 1024",
        ),
    ] {
        for error in [log.append(batch.clone()).unwrap_err(), log.submit(batch).unwrap_err()] {
            assert_eq!(error.to_string(), format!("the batch is invalid: {words}"));
            assert!(matches!(error, AppendError::InvalidBatch(InvalidBatch::Encode(_))));
            assert_eq!(error.outcome(), Outcome::NotApplied);
        }
    }
    assert_eq!(dense(&log).len(), 1);
}

#[test]
fn a_batch_that_fills_a_segment_to_the_last_byte_fits_and_one_more_does_not() {
    for segment_bytes in [8 << 10, 64 << 10] {
        let dir = tempfile::tempdir().unwrap();
        let open = || options().segment_bytes(segment_bytes).open(dir.path()).unwrap();
        let log = open();
        let batch = |payload: usize| one("s", long(payload));
        let overhead = batch(0).frame_bytes() as u64;
        // The header's block, and room for a mark, a close frame and the seal.
        let room = segment_bytes - 4096 - 3 * 64;
        let most = usize::try_from(room - overhead).unwrap();
        assert_eq!(batch(most).frame_bytes() as u64, room);
        for round in 0..4 {
            let error = log.append(batch(most + 1)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the batch takes {} bytes, a segment has room for {room}", room + 8)
            );
            assert!(matches!(error, AppendError::TooLarge { .. }));
            assert_eq!(error.outcome(), Outcome::NotApplied);
            assert_eq!(log.append(batch(most)).unwrap().first_position(), Position::new(round));
            log.sync().unwrap();
        }
        log.close().unwrap();
        let log = open();
        assert_eq!(log.recovery_report().segments, 4);
        let lengths: Vec<usize> = dense(&log).iter().map(|event| event.payload.len()).collect();
        assert_eq!(lengths, [most; 4]);
        log.append(batch(0)).unwrap();
    }
}

#[test]
fn segments_of_another_size_take_over_from_the_next_one_on() {
    let dir = tempfile::tempdir().unwrap();
    let open = |bytes| options().segment_bytes(bytes).open(dir.path()).unwrap();
    for (round, bytes) in [8 << 10, 64 << 10, 16 << 10, 8 << 10].into_iter().enumerate() {
        let log = open(bytes);
        let payload = long(usize::try_from(bytes).unwrap() - 4096 - 192 - 120);
        log.append(one("s", payload)).unwrap();
        log.append(one("s", "small")).unwrap();
        assert_eq!(dense(&log).len(), 2 * (round + 1));
    }
}

#[test]
fn a_nil_id_is_stored_as_no_id_and_every_other_one_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for id in [0, 1, u128::MAX] {
        log.append(Batch::new().event("s", Event::new("T", "").id(id))).unwrap();
    }
    let ids: Vec<_> = plain(log.read(..)).into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [None, Some(EventId::from(1)), Some(EventId::from(u128::MAX))]);
}

#[test]
fn a_batch_of_a_hundred_thousand_events_is_one_batch() {
    const EVENTS: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let open = || options().segment_bytes(16 << 20).open(dir.path()).unwrap();
    let log = open();
    let mut batch = Batch::new();
    for number in 0..EVENTS {
        batch.push(format!("s{}", number % 3), &Event::new("T", number.to_string()));
    }
    let receipt = log.append(batch).unwrap();
    assert_eq!(u64::from(receipt.event_count()), EVENTS);
    log.close().unwrap();
    let log = open();
    let events = dense(&log);
    assert!((0..EVENTS).zip(&events).all(|(number, event)| event.payload == number.to_string()));
    assert_eq!(log.batches(Position::new(50_000)..).count(), 1);
    let last = log.read_stream("s0", ..).backward().limit(1);
    assert_eq!(plain(last)[0].payload, "99999");
}

#[test]
fn a_batch_over_ten_thousand_streams_is_one_batch() {
    const STREAMS: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let open = || options().segment_bytes(16 << 20).open(dir.path()).unwrap();
    let log = open();
    for round in 0..2 {
        let mut batch = Batch::new();
        for stream in (0..STREAMS).chain((0..STREAMS).rev()) {
            batch.push(format!("stream-{stream}"), &Event::new("T", stream.to_string()));
        }
        let receipt = log.append(batch.durability(Durability::Buffered)).unwrap();
        assert_eq!(receipt.versions().count() as u64, STREAMS);
        assert!(receipt.versions().all(|(_, version)| version.as_u64() == 2 * round + 1));
        assert_eq!(receipt.version("stream-9999"), Some((2 * round + 1).into()));
    }
    log.close().unwrap();
    let log = open();
    assert_eq!(log.recovery_report().streams as u64, STREAMS);
    assert_eq!(dense(&log).len() as u64, 4 * STREAMS);
}
