//! Goal: `quipu bench` measures each workload beside its floor, and removes what it made.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{fine, text};
use serde_json::Value;

#[test]
fn each_workload_stands_beside_its_floor_and_nothing_is_left() {
    let place = tempfile::tempdir().unwrap();
    let arguments = ["bench", text(place.path()), "--seconds", "1"];
    let report: Value =
        serde_json::from_str(&fine(&[&arguments[..], &["--json"]].concat())).unwrap();
    let rows = report["workloads"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        for name in ["events_per_second", "floor_events_per_second", "to_the_floor"] {
            let [least, median, most] =
                ["least", "median", "most"].map(|of| row[name][of].as_f64().unwrap());
            assert!(0.0 < least && least <= median && median <= most, "{name}: {row}");
        }
        let quantiles = ["p50", "p90", "p99", "p999", "most"];
        let nanos = quantiles.map(|of| row["append_nanos"][of].as_u64().unwrap());
        assert!(nanos[0] > 0 && nanos.is_sorted(), "{row}");
    }
    let shown = fine(&arguments);
    for wanted in ["durable, 16 threads", "to the floor", "How long an append took", "####"] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_one_leaves_nothing_behind_either() {
    let place = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
        .args(["bench", text(place.path()), "--seconds", "3600"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let left = || std::fs::read_dir(place.path()).unwrap().count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while left() == 0 {
        assert!(Instant::now() < deadline, "it has not begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    let signal = ["-INT".to_owned(), child.id().to_string()];
    assert!(Command::new("kill").args(signal).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left(), 0);
}
