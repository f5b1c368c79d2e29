//! Every adapter of this build on small workloads, in processes of their own as in a run: what was
//! acknowledged is there when another process counts, and a wrong count fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::path::{Path, PathBuf};
use std::time::Duration;

use quipu_compare::engine::{Adapter, Need};
use quipu_compare::engines::{self, forgetful};
use quipu_compare::report::Report;
use quipu_compare::run::{Run, syncs};
use quipu_compare::workload::named;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_compare"))
}

/// Runs small workloads and gives the JSON lines of it back.
fn run(adapters: Vec<&'static Adapter>, workloads: &[&str]) -> (usize, Vec<Value>) {
    let root = tempfile::tempdir().unwrap();
    let json = root.path().join("run.jsonl");
    let run = Run {
        program: program(),
        root: root.path().to_owned(),
        adapters,
        workloads: workloads.iter().map(|id| named(id).unwrap()).collect(),
        rounds: 2,
        duration: Duration::from_millis(5),
        parts: 1_000,
        idle_limit: Duration::ZERO,
        process_limit: LIMIT,
    };
    let mut report = Report::new(Some(&json)).unwrap();
    run.carry_out(&mut report).unwrap();
    if report.end() == 0 {
        report.draw(&root.path().join("chart.svg")).unwrap();
        let chart = std::fs::read_to_string(root.path().join("chart.svg")).unwrap();
        assert!(chart.contains("<svg"), "{chart}");
    }
    let lines = std::fs::read_to_string(json).unwrap();
    (report.failures(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn what_every_adapter_has_acknowledged_is_there_when_another_process_counts() {
    let workloads = [
        "W1",
        "W2-16",
        "W2p",
        "W3",
        "W4",
        "W4m",
        "W9",
        "W9b",
        "W10-50",
        "W5-clean-1M",
        "W6",
        "W8-batches",
        "W5-crash-1M",
        "W7",
        "W8-memory-1M",
    ];
    let (failures, lines) = run(engines::all(), &workloads);
    assert_eq!(failures, 0);
    for adapter in engines::all() {
        let name = adapter.name;
        let mine = |line: &&&Value| line["engine"] == name;
        let measured = of_kind(&lines, "measurement");
        let measured: Vec<_> = measured.iter().filter(mine).collect();
        assert!(!measured.is_empty(), "{name} was not measured at all");
        for line in measured {
            let outcome = &line["outcome"];
            assert!(outcome["counted"].as_u64().unwrap() > 0, "{line}");
            let appended = outcome["appended"].as_u64().unwrap();
            assert!(appended == 0 || outcome["counted"] == appended, "{line}");
        }
        // What it cannot do is said, and everything else was done.
        let skipped = of_kind(&lines, "skipped");
        let skipped = skipped.iter().filter(mine).count();
        let lacking = workloads
            .iter()
            .filter(|id| adapter.lacking(&named(id).unwrap().needs()).is_some())
            .count();
        assert_eq!(skipped, lacking, "{name}");
    }
}

#[test]
fn a_log_that_lost_an_acknowledged_event_fails_its_measurement() {
    let (failures, lines) = run(vec![&forgetful::ADAPTER], &["W1", "W3", "W5-crash-1M"]);
    assert_eq!(failures, 3);
    for line in of_kind(&lines, "measurement") {
        let failed = line["outcome"]["failed"].as_str().unwrap();
        assert!(failed.contains("events were acknowledged"), "{failed}");
    }
    // What failed once is not measured again, and has no median.
    assert_eq!(of_kind(&lines, "measurement").len(), 3);
    assert!(of_kind(&lines, "summary").is_empty());
}

#[test]
fn every_durable_append_of_every_engine_syncs() {
    if !syncs::has_strace() {
        println!("skipped: no strace that may trace");
        return;
    }
    let count = |adapter: &Adapter, directory: &Path| {
        syncs::count(&program(), adapter, directory, (20, false), LIMIT).unwrap()
    };
    for adapter in engines::all() {
        if adapter.lacking(&[Need::Durable]).is_some() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let found = count(adapter, directory.path());
        assert!(found.per_append() >= 1.0, "{}: {}", adapter.name, found.describe());
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(count(&forgetful::ADAPTER, directory.path()).per_append(), 0.0);
}
