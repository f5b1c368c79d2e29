//! Goal: two judges of one log, the verifier by the format alone and the engine's recovery, agree:
//! on whole logs, torn tails, and every kind of damage to one file or two.
//!
//! Small logs are made by the engine in real directories, then changed in memory, and each variant
//! is put into a directory of its own. `QUIPU_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

#[path = "common/variants.rs"]
mod variants;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use quipu::{Batch, Event, Log, OpenError, Proof};
use quipu_tools::verify::{Tail, VerifyError, verify};
use variants::{Files, Variant, options};

/// What both came to, and how often.
#[derive(Debug, Default)]
struct Verdicts {
    clean: usize,
    torn: usize,
    damaged: usize,
    refused: usize,
}

/// Compares the two on one variant; what differs, if anything does.
fn compare(files: &Files, verdicts: &Mutex<Verdicts>) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    files.write_to(directory.path());
    let verified = verify(directory.path());
    let found = Files::of(directory.path());
    if found != *files {
        return Err("the verifier has changed something".to_owned());
    }
    let opened = options().open(directory.path());
    if opened.is_err() && Files::of(directory.path()) != *files {
        return Err("the refused opening has changed something".to_owned());
    }
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let differ = |verified: &dyn std::fmt::Debug, opened: &dyn std::fmt::Debug| {
        Err(format!("\n  verifier: {verified:?}\n  engine:   {opened:?}"))
    };
    let same = |verified: &dyn std::fmt::Debug, opened: &dyn std::fmt::Debug| match format!(
        "{verified:?}"
    ) == format!(
        "{opened:?}"
    ) {
        true => Ok(()),
        false => differ(verified, opened),
    };
    let mut verdicts = verdicts.lock().unwrap();
    match (&verified, opened) {
        (Ok(report), Ok(log)) if report.ok => {
            let bytes_cut = match report.tail {
                Tail::Torn { bytes, .. } => bytes,
                _ => 0,
            };
            match bytes_cut {
                0 => verdicts.clean += 1,
                _ => verdicts.torn += 1,
            }
            drop(verdicts);
            let engine = log.recovery_report();
            same(
                &(report.segments, report.batches, report.events, report.streams, bytes_cut),
                &(engine.segments, engine.batches, engine.events, engine.streams, engine.bytes_cut),
            )?;
            let checkpoints = log.checkpoints();
            let checkpoints: Vec<_> =
                checkpoints.iter().map(|(name, at)| (name, at.as_u64())).collect();
            let verified: Vec<_> =
                report.checkpoints.iter().map(|(name, at)| (name, *at)).collect();
            same(&verified, &checkpoints)?;
            same(
                &(report.seals_missing.len(), report.segments_unfinished, report.synced_position),
                &(
                    engine.seals_made_again,
                    engine.unfinished_removed,
                    engine.proved_durable.as_u64(),
                ),
            )?;
            goes_on(log, report.events, directory.path())
        }
        (Err(VerifyError::NoLog(_)), Ok(log)) => {
            verdicts.clean += 1;
            same(&0, &log.end().as_u64())
        }
        (Ok(report), Err(OpenError::Damaged(engine))) => {
            verdicts.damaged += 1;
            let Tail::Damaged { file, offset, position, proof, .. } = &report.tail else {
                return differ(&report.tail, &engine);
            };
            let place = (name(&engine.file), engine.offset, engine.position.as_u64());
            same(&(file, offset, position), &place)?;
            match engine.proof {
                Proof::Synced { ref file, offset, synced_position } => {
                    let file = name(file);
                    same(proof, &Proof::Synced { file, offset, synced_position }.to_string())
                }
                Proof::Settled { ref file, offset } => {
                    let file = name(file);
                    same(proof, &Proof::Settled { file, offset }.to_string())
                }
                _ if proof.contains("was durable") => differ(proof, &engine),
                _ => Ok(()),
            }
        }
        (Err(verified), Err(engine)) => {
            verdicts.refused += 1;
            let file = match (verified, &engine) {
                (
                    VerifyError::NotASegment { file, .. },
                    OpenError::NotASegment { file: path, .. },
                )
                | (
                    VerifyError::Unsupported { file, .. },
                    OpenError::Unsupported { file: path, .. },
                )
                | (
                    VerifyError::Foreign { file, .. },
                    OpenError::ForeignSegment { file: path, .. },
                )
                | (VerifyError::Misnamed { file, .. }, OpenError::Misnamed { file: path, .. }) => {
                    (file, name(path))
                }
                _ => return differ(verified, &engine),
            };
            same(file.0, &file.1)
        }
        (Ok(report), Ok(log)) => differ(&report.tail, log.recovery_report()),
        (verified, Err(engine)) => differ(verified, &engine),
        (verified, Ok(log)) => differ(verified, log.recovery_report()),
    }
}

/// What the engine made of it and has gone on with is whole to the verifier.
fn goes_on(log: Log, events: u64, directory: &std::path::Path) -> Result<(), String> {
    log.append(Batch::new().event("behind", Event::new("T", "x"))).map_err(|e| e.to_string())?;
    log.close().map_err(|error| error.to_string())?;
    let report = verify(directory).map_err(|error| error.to_string())?;
    let whole = report.tail == Tail::Clean && report.closed && report.events == events + 1;
    if whole { Ok(()) } else { Err(format!("after the repair: {report:?}")) }
}

/// Compares the two on all variants, on several threads: most of the time goes into syncs.
fn judge(variants: &[Variant]) -> Verdicts {
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Verdicts::default()));
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(variant) = variants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(difference) = compare(&variant.files, &verdicts) {
                        let text = format!("{}: {difference}", variant.what);
                        differences.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    let shown = differences.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
    verdicts.into_inner().unwrap()
}

fn rng() -> Rng {
    let seed = std::env::var("QUIPU_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("QUIPU_SEED={seed}");
    Rng::with_seed(seed)
}

#[test]
fn the_verifier_and_the_engine_agree_on_every_damage_to_one_file() {
    let mut rng = rng();
    let mut logs = variants::logs();
    logs.push(variants::with_checkpoints());
    let all: Vec<Variant> = logs.iter().flat_map(|log| variants::single(log, &mut rng)).collect();
    let verdicts = judge(&all);
    println!("{} variants: {verdicts:?}", all.len());
    let Verdicts { clean, torn, damaged, refused } = verdicts;
    assert!([clean, torn, damaged, refused].into_iter().all(|count| count > 20), "{verdicts:?}");
}

#[test]
fn the_verifier_and_the_engine_agree_on_two_damages_at_once() {
    let mut rng = rng();
    let mut logs = variants::logs();
    logs.push(variants::with_checkpoints());
    let all: Vec<Variant> = (0..500)
        .map(|_| {
            let mut log = logs[rng.usize(..logs.len())].clone();
            for _ in 0..2 {
                let variants = variants::single(&log, &mut rng);
                log = variants[rng.usize(..variants.len())].clone();
            }
            log
        })
        .collect();
    println!("{} variants: {:?}", all.len(), judge(&all));
}
