//! Goal: `quipu crash` breaks no promise, says what it did, and leaves nothing behind.
//!
//! Each test runs a small part of a campaign. What a machine cannot do is said to be skipped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{fine, quipu, text};

/// Runs `quipu crash`; gives what it says, which must be that nothing is broken.
fn crash(arguments: &[&str]) -> String {
    let said = fine(&[&["crash"], arguments].concat());
    print!("{said}");
    assert!(said.starts_with("Seed "), "{said}");
    assert!(!said.contains("BROKEN"), "{said}");
    said
}

/// Lines about single cases: how many held, how many were skipped.
fn cases(said: &str) -> (usize, usize) {
    let count = |mark: &str| {
        said.lines().filter(|line| line.starts_with("  ") && line.contains(mark)).count()
    };
    (count(": held: "), count(": skipped: "))
}

#[test]
fn kills_break_no_promise_and_say_what_they_cannot_show() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("kills");
    let said = crash(&["kill", "--kills", "25", "--dir", text(&dir)]);
    assert!(said.contains("They find no missing sync: the page cache\nsurvives them."), "{said}");
    assert!(said.contains("\n25 kills in "), "{said}");
    assert!(said.ends_with("No promise broken.\n"), "{said}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "a log that was checked is removed");

    fs::write(dir.join("something"), "").unwrap();
    let again = quipu(&["crash", "kill", "--kills", "1", "--dir", text(&dir)]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("is not empty"), "{}", again.err);
}

#[test]
fn full_file_systems_are_survived() {
    let said = crash(&["fault", "--part", "full", "--seed", "1"]);
    let (held, skipped) = cases(&said);
    assert_eq!(held + skipped, 2 * 6, "two kinds, three ways to store, two to prepare: {said}");
    assert!(said.contains(&format!("{held} cases held, 0 broken, {skipped} skipped")), "{said}");
}

#[test]
fn failing_devices_are_survived() {
    let said = crash(&["fault", "--part", "failing", "--seed", "1"]);
    let (held, skipped) = cases(&said);
    assert_eq!(held + skipped, 4 * 6, "writes or flushes, with a journal or without: {said}");
    assert!(said.contains(&format!("{held} cases held, 0 broken, {skipped} skipped")), "{said}");
}

#[test]
fn calls_that_fail_are_survived_and_end_up_in_the_table() {
    let place = tempfile::tempdir().unwrap();
    let table = place.path().join("table.md");
    let calls = ["--call", "fallocate", "--call", "rename", "--call", "pwritev", "--call", "fsync"];
    let part = ["fault", "--part", "calls", "--seed", "1", "--table", text(&table)];
    let said = crash(&[&part[..], &calls].concat());
    let (held, skipped) = cases(&said);
    if skipped > 0 {
        assert_eq!((held, skipped), (0, 1), "{said}");
        return;
    }
    assert_eq!(held, 4, "two pieces of work, stored and prepared in two ways each: {said}");
    let table = fs::read_to_string(table).unwrap();
    assert_eq!(table.matches("\n## ").count(), 4, "{table}");
    for row in [
        "| `fallocate` | segment 0, in preparation | 1 | open: Io | open: Io |",
        "| `pwritev` | segment 0 | 2 to ",
        "| `rename` | segment 1, in preparation | 1 | unnoticed | unnoticed |",
        "| `fsync` | the directory above | 1 | open: Io | open: Io |",
    ] {
        assert!(table.contains(row), "{row}: {table}");
    }
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let killed = rows.clone().filter(|row| row.ends_with("| killed |")).count();
    assert_eq!(killed, rows.count(), "every call can be the last one: {table}");
}

#[test]
fn an_interrupted_campaign_leaves_nothing_mounted_and_no_files() {
    let place = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
        .args(["crash", "fault", "--part", "failing"])
        .env("TMPDIR", place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if !wait_for_mount(&mut child, place.path()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let signal = ["-TERM".to_owned(), child.id().to_string()];
    assert!(Command::new("kill").args(signal).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!is_mounted_below(place.path()));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

/// Waits until something is mounted below a directory. `false`: the campaign has ended without.
fn wait_for_mount(child: &mut Child, directory: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if is_mounted_below(directory) {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the campaign does nothing");
}

fn is_mounted_below(directory: &Path) -> bool {
    let directory = fs::canonicalize(directory).unwrap();
    fs::read_to_string("/proc/mounts").unwrap().contains(text(&directory))
}
