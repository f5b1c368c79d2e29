//! Goal: a bounded part of the campaigns with every `cargo test`, and that the same seed gives the
//! same trace. `QUIPU_SEED` chooses the first seed, `QUIPU_SEEDS` how many; one drawn anew is printed.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use quipu_campaign::campaign::{Campaign, one};
use quipu_campaign::effort::Effort;
use quipu_campaign::exhaust::Exhaustion;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_crash_failing_call_or_decay_breaks_a_promise() {
    let first_seed = number("QUIPU_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    let seeds = number("QUIPU_SEEDS").unwrap_or(60);
    println!("QUIPU_SEED={first_seed} QUIPU_SEEDS={seeds}");
    let (states_max, effort) = (u64::MAX, Effort::default());
    let campaign = Campaign { first_seed, seeds, states_max, threads: threads(), effort };
    let tally = campaign.run(|_| {}).unwrap_or_else(|failure| {
        panic!("QUIPU_SEED={}\n{}\n{}", failure.seed, failure.script, failure.found)
    });
    assert_eq!(tally.scripts, seeds);
    assert!(tally.inside_recovery * 8 > tally.states, "many crash again inside recovery");
    assert_eq!(tally.inside_that, tally.inside_recovery);
}

#[test]
fn the_same_seed_gives_the_same_trace_on_however_many_threads() {
    let run = |threads| {
        let effort = Effort::default();
        let campaign =
            Campaign { first_seed: 500, seeds: 8, states_max: u64::MAX, threads, effort };
        campaign.run(|_| {}).unwrap()
    };
    let tally = run(1);
    assert_eq!(tally, run(1));
    assert_eq!(tally, run(3));
    let alone = one(500, &Effort::default()).0;
    assert_eq!(alone, one(500, &Effort::default()).0);
    assert_ne!(alone.digest, one(501, &Effort::default()).0.digest);
}

#[test]
fn every_crash_of_small_logs_and_a_share_of_all_defects_is_survived_or_told() {
    let exhaustion = Exhaustion { threads: threads(), every: 499 };
    let tally = exhaustion.run(|_| {}).unwrap_or_else(|failed| panic!("{}", failed.1));
    assert!(tally.crash_points > 100 && tally.decays > 1000, "{tally:?}");
}
