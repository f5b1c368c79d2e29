//! What the system is asked for: one sync for each durable append, and nothing else in its way.
//!
//! Seen from outside, by `strace`; skipped, with a message, where that is not installed or allowed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use quipu::{Durability, Log, StoreMode};

#[path = "common/support.rs"]
mod support;
use support::{child_value, one, program};

/// How many appends the child makes: enough for several segments, few enough for a buffered log not
/// to hold more unsynced files than it may.
const APPENDS: usize = 400;

/// Not a test by itself: run by others, traced. Does nothing without its value.
#[test]
fn child_that_appends() {
    let Some(value) = child_value() else { return };
    let mut words = value.split(' ');
    let (mode, durability, interval) =
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let mut options = Log::options()
        .segment_bytes(64 << 10)
        .idle_mark_after(Duration::from_secs(3_600))
        .store_mode(if mode == "mapped" { StoreMode::Mapped } else { StoreMode::Positioned })
        .durability(if durability == "sync" { Durability::Sync } else { Durability::Buffered });
    if interval == "interval" {
        options = options.sync_interval(Duration::from_millis(5));
    }
    let dir = tempfile::tempdir().unwrap();
    let log = options.open(dir.path()).unwrap();
    log.append(one("s", "warm")).unwrap();
    for (id, name) in threads() {
        println!("\nTHREAD {id} {name}");
    }
    mark("BEGIN");
    for _ in 0..APPENDS {
        log.append(one("s", "x".repeat(512))).unwrap();
    }
    mark("END");
    println!("\nSEGMENTS {}", fs::read_dir(dir.path()).unwrap().count());
}

/// The threads of this process, by id, once the log's three have taken their names: a thread has
/// its parent's until it runs for the first time.
fn threads() -> Vec<(String, String)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        let named = tasks.map(|path| {
            let name = fs::read_to_string(path.join("comm")).unwrap();
            let id = path.file_name().unwrap().to_string_lossy().into_owned();
            (id, name.trim().to_owned())
        });
        let threads: Vec<(String, String)> = named.collect();
        if threads.iter().filter(|(_, name)| name.starts_with("quipu-")).count() == 3 {
            return threads;
        }
        assert!(Instant::now() < deadline, "the log's threads have their names: {threads:?}");
        std::thread::yield_now();
    }
}

/// A line that the trace shows as one write.
fn mark(word: &str) {
    let mut out = std::io::stderr();
    out.write_all(format!("{word}\n").as_bytes()).unwrap();
}

/// How often each kind of call was made between the marks, by the name of the thread.
type Calls = BTreeMap<(String, String), usize>;

/// Runs the child under strace. `None`, with a message, where that cannot be done.
fn trace(what: &str) -> Option<Calls> {
    let dir = tempfile::tempdir().unwrap();
    let output_path = dir.path().join("trace");
    let traced = "trace=fsync,fdatasync,msync,sync,syncfs,sync_file_range,write";
    let mut command = Command::new("strace");
    command.args(["-f", "-e", traced, "-o"]).arg(&output_path).arg(program());
    command.args(["--exact", "child_that_appends", "--nocapture", "--test-threads=1"]);
    let output = match command.env("QUIPU_TEST_CHILD", what).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("ptrace") || said.contains("attach"), "the child failed: {said}");
            println!("skipped: strace may not trace: {said}");
            return None;
        }
        Err(error) => {
            println!("skipped: strace cannot be run: {error}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for line in said.lines().filter_map(|line| line.strip_prefix("THREAD ")) {
        let (id, name) = line.split_once(' ').unwrap();
        names.insert(id, name);
    }
    let segments = said.lines().find_map(|line| line.strip_prefix("SEGMENTS ")).unwrap();
    assert!(segments.parse::<usize>().unwrap() >= 5, "it rolled over several times: {segments}");
    let trace = fs::read_to_string(&output_path).unwrap();
    let between = trace.lines().skip_while(|line| !line.contains("\"BEGIN")).skip(1);
    let mut calls = Calls::new();
    for line in between.take_while(|line| !line.contains("\"END")) {
        let (id, rest) = line.split_once(' ').unwrap();
        // A call that another thread interrupts in the trace is shown twice: where it begins counts.
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call != "write" && !call.contains(' ') {
            let name = names.get(id).copied().unwrap_or("unknown").to_owned();
            *calls.entry((name, call.to_owned())).or_default() += 1;
        }
    }
    Some(calls)
}

/// Calls by threads other than the one that prepares segments.
fn on_the_writers_path(calls: &Calls) -> BTreeMap<&str, usize> {
    let mut counted = BTreeMap::new();
    for ((thread, call), count) in calls {
        if thread != "quipu-prepare" {
            *counted.entry(call.as_str()).or_default() += count;
        }
    }
    counted
}

#[test]
fn a_durable_append_costs_one_fdatasync_over_segments_too_and_nothing_else() {
    for mode in ["mapped", "positioned"] {
        let Some(calls) = trace(&format!("{mode} sync none")) else { return };
        let expected = BTreeMap::from([("fdatasync", APPENDS)]);
        assert_eq!(on_the_writers_path(&calls), expected, "{mode}: {calls:?}");
        let preparing = calls.keys().any(|(thread, _)| thread == "quipu-prepare");
        assert!(preparing, "segments are prepared and sealed in the background: {calls:?}");
    }
}

#[test]
fn buffered_appends_sync_nothing() {
    for mode in ["mapped", "positioned"] {
        let Some(calls) = trace(&format!("{mode} buffered none")) else { return };
        assert_eq!(on_the_writers_path(&calls), BTreeMap::new(), "{mode}: {calls:?}");
    }
}

#[test]
fn an_interval_syncs_on_the_writers_threads_and_never_on_the_callers() {
    let Some(calls) = trace("mapped buffered interval") else { return };
    let others = calls.keys().filter(|(thread, _)| !thread.starts_with("quipu-"));
    assert_eq!(others.count(), 0, "{calls:?}");
    let kinds: Vec<&str> = on_the_writers_path(&calls).into_keys().collect();
    assert!(kinds.is_empty() || kinds == ["fdatasync"], "{calls:?}");
    let most = APPENDS / 4;
    assert!(on_the_writers_path(&calls).values().all(|count| *count < most), "{calls:?}");
}
