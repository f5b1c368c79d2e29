//! Many threads at one log: who wins, who sees what, in which order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use quipu::{
    AppendError, Batch, Durability, Event, ExpectedVersion, Log, Position, Receipt, Version,
};

#[path = "common/support.rs"]
mod support;
use support::{block_on, dense, one, options, payloads, plain};

const CALLERS: usize = 64;

/// The rounds that a caller has won. What it was told must be true of either outcome.
fn rounds_won(answers: impl Iterator<Item = (u64, Result<Receipt, AppendError>)>) -> Vec<u64> {
    let mut won = Vec::new();
    for (round, answer) in answers {
        match answer {
            Ok(receipt) => {
                assert_eq!(receipt.first_position(), Position::new(round));
                assert_eq!(receipt.version("s"), Some(Version::new(round)));
                won.push(round);
            }
            Err(AppendError::PreconditionFailed(failed)) => {
                let is = failed[0].actual.unwrap();
                assert_eq!((failed.len(), is.version), (1, Version::new(round)));
                assert_eq!(is.position, Position::new(round));
            }
            Err(error) => panic!("{error}"),
        }
    }
    won
}

#[test]
fn of_64_callers_with_the_same_exact_version_one_wins_each_round() {
    const ROUNDS: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let start = Barrier::new(CALLERS);
    // Nobody judges before all have come to the end: whoever fails must not leave others waiting.
    let answers: Vec<Vec<Result<Receipt, AppendError>>> = thread::scope(|scope| {
        let (log, start) = (&log, &start);
        let run = move |caller: usize| {
            let append = |round: u64| {
                let before = Version::new(round).before();
                let expected = before.map_or(ExpectedVersion::NoStream, ExpectedVersion::Exact);
                let batch = one("s", format!("{caller}")).expect("s", expected);
                start.wait();
                let answer = log.append(batch);
                start.wait();
                answer
            };
            (0..ROUNDS).map(append).collect()
        };
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || run(caller))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let wins: Vec<Vec<u64>> =
        answers.into_iter().map(|answers| rounds_won((0..).zip(answers))).collect();
    let stored: Vec<String> = payloads(log.read_stream("s", ..));
    assert_eq!(stored.len() as u64, ROUNDS, "a refused batch takes no position");
    for (round, winner) in (0..ROUNDS).zip(&stored) {
        let told: Vec<usize> = (0..CALLERS).filter(|at| wins[*at].contains(&round)).collect();
        assert_eq!(told, [winner.parse::<usize>().unwrap()], "round {round}");
    }
    dense(&log);
}

#[test]
fn of_64_callers_with_any_all_succeed_and_each_ones_order_is_kept() {
    const BATCHES: u64 = 30;
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let log = &log;
            scope.spawn(move || {
                let mut after = None;
                for number in 0..BATCHES {
                    let batch = Batch::new()
                        .expect("shared", ExpectedVersion::Any)
                        .event("shared", Event::new("T", format!("{caller}:{number}")))
                        .event(format!("own-{caller}"), Event::new("T", format!("{number}")));
                    let receipt = log.append(batch).unwrap();
                    assert!(Some(receipt.first_position()) > after, "a later append stands later");
                    assert_eq!(receipt.version(&format!("own-{caller}")), Some(number.into()));
                    after = Some(receipt.last_position());
                }
            });
        }
    });
    assert_eq!(dense(&log).len() as u64, 2 * BATCHES * CALLERS as u64);
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for payload in payloads(log.read_stream("shared", ..)) {
        let (caller, number) = payload.split_once(':').unwrap();
        numbers.entry(caller.to_owned()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(numbers.len(), CALLERS);
    assert!(numbers.values().all(|numbers| numbers.iter().copied().eq(0..BATCHES)));
}

/// Appends batches in every way there is, at random, and gives what was appended in order.
fn append_in_every_way(log: &Log, caller: u64, count: u64) {
    let mut random = fastrand::Rng::with_seed(caller);
    let mut tickets = Vec::new();
    for number in 0..count {
        let durability = match random.bool() {
            true => Durability::Sync,
            false => Durability::Buffered,
        };
        let batch = one(&format!("own-{caller}"), format!("{number}")).durability(durability);
        match random.u8(..4) {
            0 => tickets.push(log.submit(batch).unwrap()),
            1 if durability == Durability::Sync => tickets.push(log.submit(batch).unwrap()),
            _ => {
                let receipt = log.append(batch).unwrap();
                assert_eq!(receipt.version(&format!("own-{caller}")), Some(number.into()));
            }
        }
    }
    let mut before = None;
    for ticket in tickets {
        let position = ticket.wait().unwrap().first_position();
        assert!(Some(position) > before, "tickets keep the order of submit");
        before = Some(position);
    }
}

#[test]
fn one_callers_order_is_kept_over_submits_and_appends_of_both_durabilities() {
    const COUNT: u64 = 1_500;
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for callers in [0..1, 1..5] {
        thread::scope(|scope| {
            for caller in callers.clone() {
                let log = &log;
                scope.spawn(move || append_in_every_way(log, caller, COUNT));
            }
        });
        for caller in callers {
            let stored = payloads(log.read_stream(format!("own-{caller}"), ..));
            let expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
            assert_eq!(stored, expected, "caller {caller}");
        }
    }
    dense(&log);
}

#[test]
fn tickets_are_futures_and_can_be_waited_for_in_any_mixture() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    thread::scope(|scope| {
        for caller in 0..4_u64 {
            let log = &log;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(caller);
                for _ in 0..20 {
                    let submit = |_| log.submit(one(&format!("s{caller}"), "")).unwrap();
                    let mut tickets: Vec<_> = (0..10).map(submit).collect();
                    let mut versions = Vec::new();
                    while !tickets.is_empty() {
                        let ticket = tickets.swap_remove(random.usize(..tickets.len()));
                        let receipt = match random.bool() {
                            true => block_on(ticket).unwrap(),
                            false => ticket.wait().unwrap(),
                        };
                        versions.push(receipt.version(&format!("s{caller}")).unwrap());
                    }
                    versions.sort();
                    let end = log.stream_version(format!("s{caller}")).unwrap().plus(1);
                    let expected = (0..10_u64).map(|at| Version::new(end.as_u64() - 10 + at));
                    assert!(versions.into_iter().eq(expected));
                }
            });
        }
    });
    let awaited_together = async {
        let first = log.submit(one("a", "1")).unwrap();
        let second = log.submit(one("a", "2")).unwrap();
        // The later one first: it is not the order of waiting that decides.
        let second = second.await.unwrap();
        (first.await.unwrap().first_position(), second.first_position())
    };
    let (first, second) = block_on(awaited_together);
    assert_eq!(first.plus(1), second);
    drop(log.submit(one("a", "3")).unwrap());
    log.sync().unwrap();
    assert_eq!(payloads(log.read_stream("a", ..)), ["1", "2", "3"], "dropping takes nothing back");
}

#[test]
fn a_queue_and_a_group_of_one_are_slow_and_right() {
    let dir = tempfile::tempdir().unwrap();
    for (queue, group) in [(1, 8192), (8192, 1), (1, 1)] {
        let log = options()
            .queue_batches_max(queue)
            .group_batches_max(group)
            .open(dir.path().join(format!("{queue}-{group}")))
            .unwrap();
        thread::scope(|scope| {
            for caller in 0..8_u64 {
                let log = &log;
                scope.spawn(move || append_in_every_way(log, caller, 60));
            }
        });
        assert_eq!(dense(&log).len(), 480, "queue {queue}, group {group}");
        log.close().unwrap();
    }
}

#[test]
fn a_group_ends_at_its_bound_of_bytes_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().group_bytes_max(4 << 10).open(dir.path()).unwrap();
    let payload = "x".repeat(5_000);
    let tickets: Vec<_> = (0..50).map(|_| log.submit(one("s", &payload)).unwrap()).collect();
    for (at, ticket) in (0..).zip(tickets) {
        assert_eq!(ticket.wait().unwrap().first_position(), Position::new(at));
    }
    assert_eq!(log.synced_end(), Position::new(50));
}

#[test]
fn expecting_a_stream_unchanged_can_lose_a_race_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let as_it_is = log.expect_unchanged("s");
    assert_eq!(as_it_is, ExpectedVersion::NoStream);
    log.append(one("s", "in between")).unwrap();
    let lost = log.append(one("s", "too late").expect("s", as_it_is)).unwrap_err();
    assert_eq!(lost.to_string(), "stream \"s\" is at version 0, expected no events");
    let as_it_is = log.expect_unchanged("s");
    log.append(one("s", "in between again")).unwrap();
    let lost = log.append(one("s", "too late").expect("s", as_it_is)).unwrap_err();
    assert_eq!(lost.to_string(), "stream \"s\" is at version 1, expected 0");

    // Whoever tries again until it works adds exactly one event each time.
    let conflicts = AtomicU64::new(0);
    thread::scope(|scope| {
        for caller in 0..8 {
            let (log, conflicts) = (&log, &conflicts);
            scope.spawn(move || {
                for number in 0..25 {
                    let attempt = || {
                        let as_it_is = log.expect_unchanged("s");
                        log.append(one("s", format!("{caller}:{number}")).expect("s", as_it_is))
                    };
                    while let Err(error) = attempt() {
                        assert_eq!(error.failed_preconditions().len(), 1, "{error}");
                        conflicts.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let stored = plain(log.read_stream("s", ..));
    assert_eq!(stored.len(), 2 + 8 * 25, "{conflicts:?} conflicts");
    dense(&log);
}
