//! Goal: 200 SIGKILLs at random moments lose nothing that was acknowledged and tear no batch.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::sync::Arc;
use std::time::{Duration, Instant};

use quipu_tools::demo::campaign::{Campaign, Plan};
use quipu_tools::variant::Variant;
use quipu_tools::verify::{Tail, verify};

const KILLS: u32 = 200;

#[test]
fn two_hundred_kills_lose_nothing_acknowledged_and_tear_no_batch() {
    let given = std::env::var("QUIPU_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
    println!("QUIPU_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut campaign = Campaign::new(Plan {
        executable: env!("CARGO_BIN_EXE_quipu").into(),
        directory: directory.path().to_owned(),
        threads: 3,
        life: Duration::from_millis(5)..Duration::from_millis(60),
        leaves_recovery_to_writer: true,
        // Small, so that the log rolls over many times, however slow the disk is.
        variant: Some(Variant { segment_bytes: 32 << 10, ..Variant::default() }),
        seed,
        interrupted: Arc::default(),
    });
    let (mut unacknowledged, mut bytes_cut, mut segments) = (0, 0, 0);
    for _ in 0..KILLS {
        let round = campaign.round().unwrap_or_else(|error| panic!("QUIPU_SEED={seed}: {error:#}"));
        assert!(round.acknowledged > 0);
        unacknowledged += round.unacknowledged;
        bytes_cut += round.bytes_cut;
        segments = round.segments;
    }
    let check = campaign.check_all().unwrap_or_else(|error| panic!("QUIPU_SEED={seed}: {error:#}"));
    let report = verify(directory.path()).unwrap();
    println!(
        "{KILLS} kills in {:?}: {} batches, {} events, {segments} segments, {} acknowledged, \
         {unacknowledged} committed without, {} refused, {bytes_cut} bytes cut",
        started.elapsed(),
        check.batches(),
        check.events(),
        campaign.ledger().acknowledged(),
        campaign.ledger().refused(),
    );
    assert!(report.ok, "QUIPU_SEED={seed}: {}", report.verdict());
    assert_eq!((report.batches, report.events), (check.batches(), check.events()));
    assert!(!matches!(report.tail, Tail::Damaged { .. }));
    assert!(segments > 5, "the log rolls over, and is killed there too: {segments} segments");
    assert!(started.elapsed() < Duration::from_secs(110), "the campaign takes too long");
}
