//! Goal: verify, read and export say what is there, beside a live writer too, by output and exit code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{fine, import, json_lines, line, quipu, text};
use quipu::{Batch, Durability, Event, Log};
use serde_json::Value;

fn log_of_five() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines: String =
        (0..5).map(|data| line(if data % 2 == 0 { "even" } else { "odd" }, data)).collect();
    assert_eq!(import(directory.path(), &lines).code, 0);
    directory
}

/// The numbers that `read --json` gives.
fn numbers(directory: &tempfile::TempDir, arguments: &[&str]) -> Vec<u64> {
    let all = [&["read", "--json", "--dir", text(directory.path())], arguments].concat();
    json_lines(&fine(&all)).iter().map(|line| line["data"].as_u64().unwrap()).collect()
}

#[test]
fn any_part_of_the_log_or_a_stream_is_read_in_either_direction() {
    let directory = log_of_five();
    for (arguments, wanted) in [
        (&[][..], &[0, 1, 2, 3, 4][..]),
        (&["--from", "3"], &[3, 4]),
        (&["--from", "1", "--to", "2"], &[1, 2]),
        (&["--backward", "--limit", "2"], &[4, 3]),
        (&["--from", "1", "--to", "3", "--backward"], &[3, 2, 1]),
        (&["--stream", "even"], &[0, 2, 4]),
        (&["--stream", "even", "--from", "1", "--limit", "1"], &[2]),
        (&["--stream", "odd", "--backward"], &[3, 1]),
        (&["--stream", "none"], &[]),
        (&["--from", "9"], &[]),
    ] {
        assert_eq!(numbers(&directory, arguments), wanted, "{arguments:?}");
    }
    let dir = text(directory.path());
    let last: Value = serde_json::from_str(&fine(&[
        "read",
        "--json",
        "--backward",
        "--limit",
        "1",
        "--dir",
        dir,
    ]))
    .unwrap();
    assert_eq!(
        (&last["position"], &last["version"], &last["stream"]),
        (&4.into(), &2.into(), &"even".into())
    );
    let shown = fine(&["read", "--dir", dir, "--from", "3", "--to", "3"]);
    assert!(shown.starts_with("       3  20") && shown.ends_with("  odd@1  T  3\n"), "{shown:?}");
}

#[test]
fn damage_and_a_torn_tail_are_told_apart_by_the_exit_code() {
    let directory = log_of_five();
    let dir = text(directory.path()).to_owned();
    let whole = fine(&["verify", &dir]);
    assert!(whole.starts_with("ok: 5 batches, 5 events, 2 streams; every checksum"), "{whole}");
    assert_eq!(whole, fine(&["verify", "--dir", &dir]));

    let path = directory.path().join("00000000000000000000.seg");
    let bytes = fs::read(&path).unwrap();
    let mut damaged = bytes.clone();
    damaged[4096 + 60] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let ran = quipu(&["verify", &dir]);
    assert_eq!(ran.code, 1);
    let start = "DAMAGED: 00000000000000000000.seg at offset 4096: position 0 cannot be read";
    assert!(ran.out.starts_with(start), "{}", ran.out);
    // The engine is of the same opinion, and serves what is in front.
    for command in ["read", "export"] {
        let ran = quipu(&[command, "--dir", &dir]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        assert!(ran.err.contains("is damaged at offset 4096"), "{}", ran.err);
    }

    // Half a batch behind the close: written by a crash.
    let mut torn = bytes;
    let end = (torn.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(8);
    torn[end..end + 100].fill(7);
    fs::write(&path, &torn).unwrap();
    let said = fine(&["verify", &dir]);
    assert!(said.contains(&format!("a torn tail of 100 bytes from offset {end} of")), "{said}");
    assert_eq!(fs::read(&path).unwrap(), torn, "verifying changes nothing");
}

#[test]
fn misuse_is_told_apart_from_what_is_wrong() {
    assert_eq!(quipu(&["verify"]).code, 2);
    assert_eq!(quipu(&["import", "x"]).code, 2);
    assert_eq!(quipu(&["frobnicate"]).code, 2);
    let empty = tempfile::tempdir().unwrap();
    let missing = empty.path().join("no");
    for directory in [empty.path(), &missing] {
        for command in ["verify", "read", "export"] {
            let ran = quipu(&[command, "--dir", text(directory)]);
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{command}");
            assert!(ran.err.starts_with("quipu: "), "{command}: {}", ran.err);
        }
    }
    assert!(!missing.exists());
    assert!(fine(&["--help"]).contains("Exit codes:"));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let lines: String = (0..20_000).map(|data| line("s", data)).collect();
    assert_eq!(import(directory.path(), &lines).code, 0);
    for command in ["read", "export"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args([command, "--dir", text(directory.path())])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut some = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
    }
}

#[test]
fn a_live_log_verifies_and_reads_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(16 << 10).open(directory.path()).unwrap();
    let stop = AtomicBool::new(false);
    let dir = text(directory.path());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (log, stop) = (&log, &stop);
            scope.spawn(move || {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let durability = [Durability::Sync, Durability::Buffered][number as usize % 2];
                    let payload = format!("\"{}\"", "x".repeat(number as usize % 700));
                    let batch = Batch::new()
                        .durability(durability)
                        .event(format!("s-{thread}"), Event::new("T", &payload))
                        .event("shared", Event::new("T", &payload));
                    log.append(batch).unwrap();
                }
            });
        }
        let stopped_at_the_end = StopOnDrop(&stop);
        for round in 0..40 {
            let report: Value = serde_json::from_str(&fine(&["verify", "--json", dir])).unwrap();
            assert_eq!(report["ok"], true, "round {round}: {report}");
            let read =
                json_lines(&fine(&["read", "--json", "--backward", "--limit", "50", "--dir", dir]));
            let positions: Vec<_> =
                read.iter().map(|it| it["position"].as_u64().unwrap()).collect();
            assert!(positions.windows(2).all(|pair| pair[0] == pair[1] + 1), "{positions:?}");
        }
        drop(stopped_at_the_end);
    });
    let events = log.end().as_u64();
    log.close().unwrap();
    let report: Value = serde_json::from_str(&fine(&["verify", "--json", dir])).unwrap();
    assert_eq!((&report["tail"]["kind"], &report["events"]), (&"clean".into(), &events.into()));
    assert!(report["segments"].as_u64().unwrap() > 2, "{report}");
}

/// Ends the writers even if an assertion fails: a scope waits for its threads.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
