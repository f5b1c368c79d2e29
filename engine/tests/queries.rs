//! Reads and subscriptions that ask for types, tags, prefixes and times: they give what a look at every
//! event gives, whatever the indexes hold, and a rare tag is found without that look.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::thread;

use fastrand::Rng;
use quipu::sim::{Decay, SimDisk, Survivors};
use quipu::{
    Batch, CommitTime, Delivery, Durability, Event, Log, Options, Position, Query, QueryItem,
    ReadErrorKind,
};

#[path = "common/asked.rs"]
mod asked;
#[path = "common/files.rs"]
mod files;
use asked::{Asked, Plain, batch, draw_batch};
use files::{Files, segment};

fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

fn index_names(disk: &SimDisk) -> Vec<String> {
    let names = disk.files().into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".idx")).collect()
}

/// A log over several segments, and its events.
fn draw_log(rng: &mut Rng, disk: &SimDisk) -> (Log, Vec<Plain>) {
    let log = Log::open_simulated(disk, options()).unwrap();
    let (mut events, mut time) = (Vec::new(), 0);
    for _ in 0..rng.usize(20..160) {
        time += rng.u64(..3);
        let drawn = draw_batch(rng, time);
        log.append(batch(&drawn)).unwrap();
        events.extend(drawn);
    }
    (log, events)
}

/// Asks in every way for what some query of the seed matches.
fn ask(rng: &mut Rng, log: &Log, events: &[Plain]) {
    let last_time = events.last().map_or(0, |event| event.time);
    let asked = Asked::draw(rng, last_time);
    let count = events.len() as u64;
    let (from, to) = match rng.u8(..3) {
        0 => (0, count + 5),
        _ => (rng.u64(..=count), rng.u64(..count + 5)),
    };
    let limit = [1, 3, 40, u64::MAX][rng.usize(..4)];
    let matching = |range: std::ops::Range<u64>| {
        let of_range = (0..).zip(events).filter(move |(position, _)| range.contains(position));
        of_range.filter(|(_, event)| asked.matches(event)).map(|(position, _)| position)
    };
    let limited = usize::try_from(limit).unwrap_or(usize::MAX);
    let forward: Vec<u64> = matching(from..to).take(limited).collect();
    let mut backward: Vec<u64> = matching(from..to).collect();
    backward.reverse();
    backward.truncate(limited);
    for (is_backward, expected) in [(false, forward), (true, backward)] {
        let read = log.read(Position::new(from)..Position::new(to)).matching(asked.query());
        let read = if is_backward { read.backward() } else { read };
        let mut found = Vec::new();
        for event in read.limit(limit) {
            let event = event.unwrap();
            assert!(events[event.position().as_u64() as usize].is(&event));
            found.push(event.position().as_u64());
        }
        let how = format!("{asked:?} {from}..{to}, limit {limit}, backward {is_backward}");
        assert_eq!(found, expected, "{how}");
    }
    let every = rng.u64(1..50);
    let subscription = log.subscribe(Position::new(from)).matching(asked.query());
    let mut found = Vec::new();
    for delivery in subscription.progress_every(every) {
        match delivery.unwrap() {
            Delivery::Event(event) => found.push(event.position().as_u64()),
            Delivery::CaughtUp { position } => {
                assert_eq!(position, log.end().max(Position::new(from)));
                break;
            }
            _ => {}
        }
    }
    assert_eq!(found, matching(from..u64::MAX).collect::<Vec<_>>(), "{asked:?} from {from}");
}

#[test]
fn what_is_asked_for_is_what_a_look_at_every_event_finds() {
    let seeds = 0..60;
    println!("seeds {seeds:?}");
    let mut segments = 0;
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let disk = SimDisk::new(seed);
        let (log, events) = draw_log(&mut rng, &disk);
        let mut ask = |log: &Log| (0..40).for_each(|_| ask(&mut rng, log, &events));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ask(&log);
            log.close().unwrap();
            // By indexes; without some; for reading only, with none.
            let whole = disk.if_rebooted(&Survivors::All);
            let log = Log::open_simulated(&whole, options()).unwrap();
            segments += log.recovery_report().indexes_used;
            ask(&log);
            drop(log);
            let bare = disk.if_rebooted(&Survivors::All);
            for (place, name) in index_names(&bare).iter().enumerate() {
                if place % 2 == 0 {
                    bare.remove_file(name);
                }
            }
            ask(&Log::open_simulated(&bare, options()).unwrap());
            let bare = disk.if_rebooted(&Survivors::All);
            index_names(&bare).iter().for_each(|name| assert!(bare.remove_file(name)));
            ask(&Log::open_simulated_read_only(&bare, options()).unwrap());
        }));
        if let Err(panic) = result {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    assert!(segments > 100, "{segments}");
}

#[test]
fn the_right_answer_survives_indexes_that_decay() {
    let mut wrong = 0;
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let disk = SimDisk::new(seed);
        let (log, events) = draw_log(&mut rng, &disk);
        log.close().unwrap();
        for name in index_names(&disk) {
            let length = disk.read_file(&name).unwrap().len() as u64;
            for _ in 0..rng.usize(..3) {
                let (offset, bit) = (rng.u64(..length), rng.u8(..8));
                disk.corrupt(&name, Decay::FlipBit { offset, bit });
            }
        }
        let log = Log::open_simulated(&disk, options()).unwrap();
        wrong += usize::from(log.recovery_report().indexes_used > 0);
        println!("seed {seed}");
        (0..40).for_each(|_| ask(&mut rng, &log, &events));
    }
    assert!(wrong > 20, "an index may be taken whose tags have not been looked at: {wrong}");
}

/// One event in the middle of every 40 bears a tag of its own.
fn with_rare_tags() -> (SimDisk, Vec<u64>) {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    for number in 0..400_u64 {
        let event = Event::new(if number % 40 == 20 { "Rare" } else { "T" }, &[7; 90]);
        let event = if number % 40 == 20 { event.tag("rare") } else { event.tag("common") };
        log.append(Batch::new().event("s", event)).unwrap();
    }
    log.close().unwrap();
    (disk, (20..400).step_by(40).collect())
}

#[test]
fn a_rare_tag_or_type_is_found_without_a_look_at_other_events() {
    let (disk, expected) = with_rare_tags();
    let files = Files::of(&disk);
    // Every other frame of the full segments is gone: who looks at them all meets that.
    let log = Log::open_simulated_read_only(&disk, options()).unwrap();
    let mut position = 0;
    let sealed = index_names(&disk).len();
    assert!(sealed > 3);
    for sequence in 0..sealed {
        for at in files.frames(sequence) {
            if files.is_batch(sequence, at) {
                if position % 40 != 20 {
                    let offset = at as u64 + 60;
                    disk.corrupt(&segment(sequence), Decay::FlipBit { offset, bit: 1 });
                }
                position += 1;
            }
        }
    }
    drop(log);
    let log = Log::open_simulated(&disk, options()).unwrap();
    let error = log.read(..).into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ReadErrorKind::Damage);
    let sealed_end = position;
    let expected: Vec<u64> = expected.into_iter().filter(|at| *at < sealed_end).collect();
    let range = || log.read(..Position::new(sealed_end));
    let item = || QueryItem::new().tag("no such tag");
    let either = || Query::new().item(item()).item(QueryItem::new().tag("rare"));
    for read in [range().tag("rare"), range().event_type("Rare"), range().matching(either())] {
        let positions = |read: quipu::Read| -> Vec<u64> {
            read.into_iter().map(|event| event.unwrap().position().as_u64()).collect()
        };
        assert_eq!(positions(read.clone()), expected);
        let mut backward = positions(read.backward());
        backward.reverse();
        assert_eq!(backward, expected);
    }
}

#[test]
fn a_time_range_takes_in_its_start_and_not_its_end_and_looks_at_no_segment_outside() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    for time in 0..200_u64 {
        let event = Event::new("T", &[7; 90]);
        log.append(Batch::new().committed_at(CommitTime::new(time / 2)).event("s", event)).unwrap();
    }
    let positions = |from: u64, to: u64| -> Vec<u64> {
        let read = log.read(..).committed(CommitTime::new(from)..CommitTime::new(to));
        read.into_iter().map(|event| event.unwrap().position().as_u64()).collect()
    };
    for from in 0..102 {
        for to in [0, from, from + 1, from + 7, 100, 300] {
            let expected = (from * 2).min(200)..(to * 2).min(200);
            assert_eq!(positions(from, to), expected.collect::<Vec<_>>(), "{from}..{to}");
        }
    }
    let open = log.read(..).committed(CommitTime::new(99)..);
    assert_eq!(open.into_iter().count(), 2);
    log.append(
        Batch::new().committed_at(CommitTime::new(u64::MAX)).event("s", Event::new("T", "")),
    )
    .unwrap();
    assert_eq!(log.read(..).committed(CommitTime::new(u64::MAX)..).into_iter().count(), 1);
    log.close().unwrap();
    // The first segment is damaged where only those look who have to.
    let files = Files::of(&disk);
    let at = files.frames(0)[3];
    disk.corrupt(&segment(0), Decay::FlipBit { offset: at as u64 + 60, bit: 1 });
    let log = Log::open_simulated(&disk, options()).unwrap();
    let late = log.read(..).committed(CommitTime::new(80)..CommitTime::new(90));
    assert_eq!(late.into_iter().filter(|event| event.is_ok()).count(), 20);
    let early = log.read(..).committed(..CommitTime::new(90)).into_iter();
    assert!(early.last().unwrap().is_err());
}

/// Segments fill, and their indexes take the place of what is in memory, while others read.
#[test]
fn who_reads_by_tag_beside_a_writer_sees_all_that_is_there_and_nothing_else() {
    const EVENTS: u64 = 4_000;
    const KINDS: u64 = 23;
    let dir = tempfile::tempdir().unwrap();
    let log = options().durability(Durability::Buffered).open(dir.path()).unwrap();
    let of_kind = |kind: u64, end: u64| (0..end).filter(move |at| at % KINDS == kind);
    let reads: u64 = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|number| {
                let log = log.clone();
                scope.spawn(move || {
                    let mut reads = 0;
                    while log.end().as_u64() < EVENTS {
                        let kind = (reads * 3 + number) % KINDS;
                        let read = log.read(..).tag(format!("kind:{kind}"));
                        let end = read.end().as_u64();
                        let read = if reads % 2 == 0 { read } else { read.backward() };
                        let mut found: Vec<u64> = read
                            .into_iter()
                            .map(|event| event.unwrap().position().as_u64())
                            .collect();
                        found.sort_unstable();
                        assert_eq!(found, of_kind(kind, end).collect::<Vec<_>>(), "below {end}");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let subscriber = {
            let log = log.clone();
            scope.spawn(move || {
                let subscription = log.subscribe(Position::ZERO).tag("kind:5").start();
                let events = subscription.filter_map(|delivery| delivery.unwrap().into_event());
                let wanted = of_kind(5, EVENTS);
                events.map(|event| event.position().as_u64()).take(wanted.count()).collect()
            })
        };
        for at in 0..EVENTS {
            let event = Event::new("T", &[7; 60]).tag(format!("kind:{}", at % KINDS));
            log.append(Batch::new().event("s", event)).unwrap();
        }
        let heard: Vec<u64> = subscriber.join().unwrap();
        assert_eq!(heard, of_kind(5, EVENTS).collect::<Vec<_>>());
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(reads > 20, "{reads}");
}

/// So many in one segment that they are looked up in several goes.
#[test]
fn lists_longer_than_what_is_looked_up_at_once_are_given_whole() {
    const EVENTS: u64 = 30_000;
    let every = [9, 10, 37, 701];
    let disk = SimDisk::new(1);
    let fill = |log: &Log| {
        for first in (0..EVENTS).step_by(100) {
            let mut batch = Batch::new();
            for at in first..first + 100 {
                let tags = every.iter().filter(|step| at % *step == 0);
                let event = Event::new("T", &[7; 8]);
                batch
                    .push("s", &tags.fold(event, |event, step| event.tag(format!("every:{step}"))));
            }
            log.append(batch).unwrap();
        }
    };
    let options = || options().segment_bytes(512 << 10);
    let log = Log::open_simulated(&disk, options()).unwrap();
    fill(&log);
    let ask = |log: &Log| {
        let mut rng = Rng::with_seed(7);
        for _ in 0..200 {
            let chosen: Vec<u64> = (0..rng.usize(1..3)).map(|_| every[rng.usize(..4)]).collect();
            let item = |step: &u64| QueryItem::new().tag(format!("every:{step}"));
            let query = chosen.iter().map(item).fold(Query::new(), Query::item);
            let (from, to) = (rng.u64(..EVENTS), rng.u64(..EVENTS + 2));
            let limit = [1, 300, usize::MAX][rng.usize(..3)];
            let expected = (from..to.min(EVENTS))
                .filter(|at| chosen.iter().any(|step| at.is_multiple_of(*step)));
            let read = log.read(Position::new(from)..Position::new(to)).matching(query);
            let read = read.limit(limit as u64);
            let positions = |read: quipu::Read| -> Vec<u64> {
                read.into_iter().map(|event| event.unwrap().position().as_u64()).collect()
            };
            let backward: Vec<u64> = expected.clone().rev().take(limit).collect();
            let how = format!("{chosen:?} {from}..{to}, limit {limit}");
            assert_eq!(positions(read.clone().backward()), backward, "backward {how}");
            assert_eq!(positions(read), expected.take(limit).collect::<Vec<_>>(), "{how}");
        }
    };
    ask(&log);
    log.close().unwrap();
    assert!(index_names(&disk).len() >= 2);
    ask(&Log::open_simulated(&disk, options()).unwrap());
    // All in memory.
    let disk = SimDisk::new(2);
    let one_segment = || options().segment_bytes(8 << 20);
    let all = Log::open_simulated(&disk, one_segment()).unwrap();
    fill(&all);
    assert!(index_names(&disk).is_empty());
    ask(&all);
}
