//! What the system is asked for: one sync for each durable append, and nothing else in its way.
//!
//! Seen from outside, by `strace`; skipped, with a message, where that is not installed or allowed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
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

/// Runs a child under strace; gives what it says. `None`, with a message, where that cannot be done.
fn strace(options: &[&str], child: &str, value: &str, output_path: &Path) -> Option<String> {
    let mut command = Command::new("strace");
    command.arg("-f").args(options).arg("-o").arg(output_path).arg(program());
    command.args(["--exact", child, "--nocapture", "--test-threads=1"]);
    match command.env("QUIPU_TEST_CHILD", value).output() {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("ptrace") || said.contains("attach"), "the child failed: {said}");
            println!("skipped: strace may not trace: {said}");
            None
        }
        Err(error) => {
            println!("skipped: strace cannot be run: {error}");
            None
        }
    }
}

/// What the child that appends asks for between its marks.
fn trace(what: &str) -> Option<Calls> {
    let dir = tempfile::tempdir().unwrap();
    let output_path = dir.path().join("trace");
    let traced = "trace=fsync,fdatasync,msync,sync,syncfs,sync_file_range,write";
    let said = strace(&["-e", traced], "child_that_appends", what, &output_path)?;
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

/// Not a test by itself: run by others, traced. Does nothing without its value. Ends like a process
/// that is killed.
#[test]
fn child_that_opens_a_log_and_is_gone() {
    let Some(path) = child_value() else { return };
    let log = Log::options().durability(Durability::Buffered).open(path).unwrap();
    log.append(one("s", "x")).unwrap();
    std::process::exit(0);
}

/// Runs that child under strace; gives its calls, with the paths of the files. `None`: skipped.
fn trace_opening(log: &Path) -> Option<String> {
    let output_path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let options = ["-y", "-e", "trace=fsync,pwrite64"];
    strace(&options, "child_that_opens_a_log_and_is_gone", log.to_str().unwrap(), &output_path)?;
    Some(fs::read_to_string(&output_path).unwrap())
}

#[test]
fn every_directory_on_the_way_to_a_new_log_is_synced_for_the_name_that_it_gets() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().canonicalize().unwrap();
    let log = dir.join("a/b");
    let Some(calls) = trace_opening(&log) else { return };
    for synced in [dir.clone(), dir.join("a"), log] {
        let path = format!("<{}>", synced.display());
        let is_sync = |line: &str| line.contains("fsync(") && line.contains(&path);
        assert!(calls.lines().any(is_sync), "{path}: {calls}");
    }
}

#[test]
fn what_a_process_that_was_killed_has_not_synced_is_stored_again_when_the_log_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut stores = Vec::new();
    for _ in 0..2 {
        let Some(calls) = trace_opening(dir.path()) else { return };
        let is_store = |line: &&str| line.contains("pwrite64(") && line.contains(".seg>");
        stores.push(calls.lines().filter(is_store).count());
    }
    // Appends store through the mapping.
    assert_eq!(stores, [0, 1]);
}
