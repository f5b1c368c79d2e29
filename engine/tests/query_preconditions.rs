//! Preconditions on queries: a batch is refused if, and only if, an event that a query matches stands at
//! the position given or behind it, whoever committed it and when.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::VecDeque;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;
use quipu::sim::{Decay, SimDisk};
use quipu::{
    AppendError, AppendErrorKind, Batch, Durability, Event, ExpectedVersion, FailedQuery, Log,
    Options, Outcome, Position, Query, QueryItem, Receipt, Ticket,
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

fn tagged(tag: &str) -> Batch {
    Batch::new().event("s", Event::new("T", "").tag(tag.to_owned()))
}

fn at(position: u64) -> Position {
    Position::new(position)
}

fn tag(tag: &str) -> Query {
    Query::new().tag(tag)
}

#[test]
fn the_event_at_the_position_given_counts_and_the_one_in_front_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for name in ["other", "x", "other", "x", "other"] {
        log.append(tagged(name)).unwrap();
    }
    for (after, first) in [(0, Some(1)), (1, Some(1)), (2, Some(3)), (3, Some(3)), (4, None)] {
        let answer = log.append(Batch::new().expect_none(tag("x"), at(after)));
        match first {
            None => assert_eq!(answer.unwrap().first_position(), at(5)),
            Some(first) => {
                let (query, position) = (tag("x"), at(first));
                let expected = FailedQuery { query, after: at(after), position };
                assert_eq!(answer.unwrap_err().failed_queries(), [expected]);
            }
        }
    }
    for beyond in [5, 6, 1_000, u64::MAX] {
        log.append(Batch::new().expect_none(Query::new(), at(beyond))).unwrap();
    }
    let error = log.append(Batch::new().expect_none(Query::new(), at(4))).unwrap_err();
    assert_eq!(error.failed_queries()[0].position, at(4), "anything at all");
    assert_eq!(log.end(), at(5), "checks take no position");
}

#[test]
fn a_refusal_names_every_query_and_stream_that_failed_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    log.append(tagged("x")).unwrap();
    log.append(tagged("y")).unwrap();
    let either = QueryItem::new().event_type("T").event_type("U").tag("y");
    let error = log
        .append(
            tagged("z")
                .expect_none(tag("x"), at(0))
                .expect_none(tag("x"), at(1))
                .expect("s", ExpectedVersion::NoStream)
                .expect_none(Query::new().item(either).stream_prefix("s"), at(1)),
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "event 0 matches tag \"x\", expected none from position 0 on; \
         event 1 matches (type \"T\" or \"U\", tag \"y\"), stream \"s\"..., expected none from \
         position 1 on; stream \"s\" is at version 1, expected no events"
    );
    assert_eq!(error.kind(), AppendErrorKind::Precondition);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!((error.failed_queries().len(), error.failed_preconditions().len()), (2, 1));
    let error = log.append(tagged("z").expect("s", ExpectedVersion::NoStream)).unwrap_err();
    assert!(
        matches!(error, AppendError::PreconditionFailed(_)) && error.failed_queries().is_empty()
    );
    assert_eq!(log.end(), at(2));
    // Not judged against its own events.
    log.append(tagged("z").expect_none(tag("z"), at(0))).unwrap();
}

/// A batch on its way, and the answer that it must get.
struct OnItsWay {
    ticket: Ticket,
    expected: Result<u64, Vec<u64>>,
}

impl OnItsWay {
    fn check(self) {
        let answer = self.ticket.wait();
        match (&answer, &self.expected) {
            (Ok(receipt), Ok(first)) => assert_eq!(receipt.first_position().as_u64(), *first),
            (Err(error), Err(positions)) => {
                let told = error.failed_queries().iter().map(|failed| failed.position.as_u64());
                assert_eq!(told.collect::<Vec<_>>(), *positions);
            }
            (answer, expected) => panic!("{answer:?}, expected {expected:?}"),
        }
    }
}

/// Random batches with random queries, some waited for at once and some in flight together.
fn random_batches(
    rng: &mut Rng,
    log: &Log,
    events: &mut Vec<Plain>,
    in_flight_max: usize,
) -> usize {
    let (mut refused, mut in_flight) = (0, VecDeque::<OnItsWay>::new());
    for _ in 0..rng.usize(30..120) {
        let time = events.last().map_or(0, |event| event.time) + rng.u64(..2);
        let drawn = if rng.u8(..6) == 0 { Vec::new() } else { draw_batch(rng, time) };
        let mut given = batch(&drawn);
        let mut failed = Vec::new();
        for _ in 0..rng.usize(1..3) {
            let asked = Asked::draw(rng, time);
            let count = events.len() as u64;
            let after = match rng.u8(..3) {
                0 => rng.u64(..=count),
                _ => (count + 2).saturating_sub(rng.u64(..20)),
            };
            given = given.expect_none(asked.query(), at(after));
            let behind = (after..).zip(events.get(after as usize..).unwrap_or_default());
            let first = behind.filter(|(_, event)| asked.matches(event)).map(|(at, _)| at).next();
            failed.extend(first);
        }
        let durability = if rng.bool() { Durability::Sync } else { Durability::Buffered };
        let expected = match failed.is_empty() {
            true => Ok(events.len() as u64),
            false => Err(failed),
        };
        refused += usize::from(expected.is_err());
        if expected.is_ok() {
            events.extend(drawn);
        }
        let ticket = log.submit(given.durability(durability)).unwrap();
        in_flight.push_back(OnItsWay { ticket, expected });
        while in_flight.len() > in_flight_max {
            in_flight.pop_front().unwrap().check();
        }
        if rng.u8(..10) == 0 {
            in_flight.drain(..).for_each(OnItsWay::check);
        }
    }
    in_flight.into_iter().for_each(OnItsWay::check);
    refused
}

#[test]
fn every_answer_is_that_of_a_look_at_every_event_over_segments_and_openings() {
    let seeds = 0..40;
    println!("seeds {seeds:?}");
    let mut refused = 0;
    for seed in seeds {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let disk = SimDisk::new(seed);
        let mut events = Vec::new();
        for _ in 0..3 {
            let log = Log::open_simulated(&disk, options()).unwrap();
            refused += random_batches(&mut rng, &log, &mut events, 0);
            log.close().unwrap();
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn batches_in_flight_together_are_judged_against_those_in_front_of_them() {
    let seeds = 0..40;
    println!("seeds {seeds:?}");
    for seed in seeds {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut events = Vec::new();
        for _ in 0..2 {
            let log = options().open(dir.path()).unwrap();
            random_batches(&mut rng, &log, &mut events, 40);
            log.close().unwrap();
        }
    }
}

#[test]
fn of_many_batches_in_flight_with_one_query_the_first_wins() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for round in 0..200 {
        let name = format!("round-{round}");
        let after = log.end();
        let claim = || log.submit(tagged(&name).expect_none(tag(&name), after)).unwrap();
        let tickets: Vec<Ticket> = (0..16).map(|_| claim()).collect();
        for (number, ticket) in tickets.into_iter().enumerate() {
            match ticket.wait() {
                Ok(receipt) => assert_eq!((number, receipt.first_position()), (0, after)),
                Err(error) => assert_eq!(error.failed_queries()[0].position, after, "{number}"),
            }
        }
    }
    assert_eq!(log.end(), at(200));
}

/// Each round every thread looks, decides and claims: one may win.
#[test]
fn of_many_threads_that_claim_one_value_one_wins_each_round() {
    const THREADS: usize = 32;
    const ROUNDS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let barrier = Barrier::new(THREADS);
    let claim = |log: &Log, number: usize, round: usize| {
        let name = format!("claim-{round}");
        let read = log.read(..).tag(&*name);
        let after = read.end();
        if read.into_iter().next().is_some() {
            return None;
        }
        let durability = if (number + round).is_multiple_of(3) {
            Durability::Sync
        } else {
            Durability::Buffered
        };
        let batch = tagged(&name).expect_none(tag(&name), after).durability(durability);
        let answer = match number % 2 {
            0 => log.append(batch),
            _ => log.submit(batch).and_then(Ticket::wait),
        };
        Some((round, after, answer))
    };
    // Judged when all have ended: who panics in between leaves the others waiting.
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (log, barrier, claim) = (log.clone(), &barrier, &claim);
                scope.spawn(move || {
                    let rounds = (0..ROUNDS).map(|round| {
                        barrier.wait();
                        claim(&log, number, round)
                    });
                    rounds.collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).flatten().collect()
    });
    let mut wins = vec![0; ROUNDS];
    for (round, after, answer) in answers {
        match answer {
            Ok(_) => wins[round] += 1,
            Err(error) => assert!(error.failed_queries()[0].position >= after, "{error}"),
        }
    }
    assert_eq!(wins, [1; ROUNDS]);
    assert_eq!(log.end(), at(ROUNDS as u64));
}

/// Places in a course: whoever sees one left may take it. Each decision is checked afterwards.
#[test]
fn no_decision_of_many_threads_was_overtaken() {
    const THREADS: u64 = 64;
    const COURSES: u64 = 8;
    const PLACES: usize = 12;
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let retries = AtomicU64::new(0);
    let about = |course: u64| Query::new().event_type("Taken").tag(format!("course:{course}"));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (log, retries) = (log.clone(), &retries);
            scope.spawn(move || {
                for course in (0..COURSES).map(|at| (at + number) % COURSES) {
                    loop {
                        let read = log.read(..).matching(about(course));
                        let after = read.end();
                        if read.into_iter().count() >= PLACES {
                            break;
                        }
                        // What was decided on stands in the event.
                        let seen = after.as_u64().to_le_bytes();
                        let event = Event::new("Taken", &seen).tag(format!("course:{course}"));
                        let noise = Event::new("Noise", &seen).tag("noise");
                        let batch = Batch::new().event("n", noise).event("s", event);
                        let durability = match number % 4 {
                            0 => Durability::Sync,
                            _ => Durability::Buffered,
                        };
                        let batch = batch.durability(durability).expect_none(about(course), after);
                        match log.append(batch) {
                            Ok(_) => break,
                            Err(error) => {
                                assert_eq!(error.failed_queries().len(), 1, "{error}");
                                retries.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    log.close().unwrap();
    let log = options().open(dir.path()).unwrap();
    for course in 0..COURSES {
        let taken: Vec<(u64, u64)> = log
            .read(..)
            .matching(about(course))
            .into_iter()
            .map(|event| {
                let event = event.unwrap();
                let seen = u64::from_le_bytes(event.payload().try_into().unwrap());
                (seen, event.position().as_u64())
            })
            .collect();
        assert_eq!(taken.len(), PLACES, "course {course}");
        for pair in taken.windows(2) {
            assert!(pair[0].1 < pair[1].0, "{pair:?}: the second had not seen the first");
        }
    }
    println!("{} refused", retries.load(Ordering::Relaxed));
}

#[test]
fn a_refusal_and_a_check_speak_of_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    log.append(tagged("x").durability(Durability::Buffered)).unwrap();
    log.append(tagged("y").durability(Durability::Buffered)).unwrap();
    let check = |name, after| Batch::new().expect_none(tag(name), at(after));
    log.append(check("x", 0).durability(Durability::Buffered)).unwrap_err();
    assert_eq!(log.synced_end(), at(0), "a buffered one speaks of the page cache");
    log.append(check("none", 0)).unwrap();
    assert_eq!(log.synced_end(), at(0), "that nothing came after nothing stays so");
    log.append(check("x", 0)).unwrap_err();
    assert_eq!(log.synced_end(), at(2));
    log.append(tagged("x").durability(Durability::Buffered)).unwrap();
    log.append(check("none", 3)).unwrap();
    assert_eq!(log.synced_end(), at(3), "what its caller has seen is there");
}

#[test]
fn a_batch_sent_twice_is_recognised_by_its_own_event_that_the_query_finds() {
    let dir = tempfile::tempdir().unwrap();
    let event = |id: u128, tag: &'static str| Event::new("T", "").id(id).tag(tag);
    let open = || options().open(dir.path()).unwrap();
    let claim = |id: u128, after: u64| {
        let batch = Batch::new().idempotent().expect_none(tag("x"), at(after));
        batch.event("n", event(id, "other")).event("s", event(id + 1, "x"))
    };
    let mut log = open();
    log.append(tagged("noise")).unwrap();
    let original = log.append(claim(1, 0)).unwrap();
    for _ in 0..2 {
        let again = log.append(claim(1, 0)).unwrap();
        assert!(again.replayed() && !original.replayed());
        let told = |receipt: &Receipt| (receipt.first_position(), receipt.last_position());
        assert_eq!(told(&again), told(&original));
        // Another batch is refused, and so is this one where it would have stood further behind.
        assert_eq!(log.append(claim(7, 0)).unwrap_err().failed_queries()[0].position, at(2));
        log.close().unwrap();
        log = open();
    }
    log.append(tagged("x")).unwrap();
    assert!(log.append(claim(1, 0)).unwrap().replayed(), "what came behind it changes nothing");
    assert!(!log.append(claim(1, 4)).unwrap().replayed(), "from 4 on it is not there yet");
    log.append(claim(7, 3)).unwrap_err();
    // The stream would place it where it is, but in front of it stands what the query finds.
    let placed = |after| claim(1, after).expect("n", ExpectedVersion::NoStream);
    assert!(log.append(placed(0)).unwrap().replayed());
    let in_front = placed(0).expect_none(tag("noise"), at(0));
    assert_eq!(log.append(in_front).unwrap_err().failed_queries().len(), 2);
}

#[test]
fn what_cannot_be_read_is_not_judged_and_nothing_is_written() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    let event = || Event::new("T", &[7; 200]).tag("x");
    for _ in 0..60 {
        log.append(Batch::new().event("s", event())).unwrap();
    }
    log.close().unwrap();
    let frame = Files::of(&disk).frames(0)[1];
    disk.corrupt(&segment(0), Decay::FlipBit { offset: frame as u64 + 60, bit: 1 });
    let log = Log::open_simulated(&disk, options()).unwrap();
    let error = log.append(tagged("y").expect_none(tag("x"), at(1))).unwrap_err();
    assert!(matches!(error, AppendError::NotJudged(_)), "{error}");
    assert_eq!((error.kind(), error.outcome()), (AppendErrorKind::Damage, Outcome::NotApplied));
    assert_eq!(log.end(), at(60));
    log.append(tagged("y").expect_none(tag("z"), at(0))).unwrap();
}
