//! `quipu backup` and `quipu restore`: beside a live writer, again and again, up to a position or a
//! time; and what they refuse.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{fine, import, json_lines, line, quipu, text};
use serde_json::Value;

struct Places {
    _root: tempfile::TempDir,
    log: PathBuf,
    backup: PathBuf,
    restored: PathBuf,
}

fn places() -> Places {
    let root = tempfile::tempdir().unwrap();
    let path = |name| root.path().join(name);
    let (log, backup, restored) = (path("log"), path("backup"), path("restored"));
    Places { _root: root, log, backup, restored }
}

/// Batches of two events, one a second from 1,000 seconds on, over several segments.
fn lines(numbers: std::ops::Range<u64>) -> String {
    let filling = "x".repeat(2000);
    let line = |number: u64| {
        let time = 1000 + number;
        format!(
            r#"{{"time":{time},"events":[{{"stream":"a","type":"T","data":{number}}},{{"stream":"b-{number}","type":"T","data":"{filling}"}}]}}"#
        ) + "\n"
    };
    numbers.map(line).collect()
}

fn filled(log: &Path, numbers: std::ops::Range<u64>) {
    let ran = import(log, &lines(numbers));
    assert_eq!(ran.code, 0, "{}", ran.err);
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&fine(arguments)).unwrap()
}

fn exported(directory: &Path) -> String {
    fine(&["export", "--dir", text(directory)])
}

fn verified(directory: &Path) -> Value {
    json(&["verify", text(directory), "--json"])
}

#[test]
fn a_backup_brings_what_is_new_and_restores_to_the_same_log() {
    let Places { _root, log, backup, restored } = places();
    filled(&log, 0..100);
    let first = json(&["backup", text(&log), text(&backup), "--json"]);
    assert_eq!(first["events"], 200);
    assert!(first["segments_linked"].as_u64().unwrap() > 1, "{first}");
    filled(&log, 100..150);
    let second = json(&["backup", text(&log), text(&backup), "--json"]);
    assert_eq!(second["events"], 300);
    let before = first["segments_linked"].as_u64().unwrap();
    assert_eq!(second["segments_kept"].as_u64().unwrap(), before, "{second}");
    let said = fine(&["backup", text(&log), text(&backup)]);
    assert!(said.contains("300 events, all that was durable"), "{said}");
    assert!(said.contains("0 linked (0 bytes), 0 copied"), "nothing is new: {said}");
    assert_eq!(exported(&backup), exported(&log));

    let said = fine(&["restore", text(&backup), text(&restored)]);
    assert!(said.contains("300 events of 151 streams"), "{said}");
    assert!(said.ends_with("Nothing was left out.\n"), "{said}");
    assert_eq!(exported(&restored), exported(&log));
    let (ours, theirs) = (verified(&log), verified(&restored));
    for same in ["log_id", "events", "batches", "streams", "last_commit_nanos", "closed"] {
        assert_eq!(ours[same], theirs[same], "{same}");
    }
    // It shares no file with the backup, and takes appends.
    filled(&restored, 150..160);
    assert_eq!(verified(&restored)["events"], 320);
    assert_eq!(verified(&backup)["events"], 300);
}

#[test]
fn a_restore_ends_at_the_last_whole_batch_in_front_of_the_position_or_time() {
    let Places { _root, log, backup, restored } = places();
    filled(&log, 0..100);
    fine(&["backup", "--copy", text(&log), text(&backup)]);
    let cases = [
        ("--to-position", "0", 0),
        ("--to-position", "1", 1),
        ("--to-position", "122", 61),
        ("--to-position", "123", 62),
        ("--to-position", "199", 100),
        ("--to-position", "18446744073709551615", 100),
        ("--to-time", "999.5", 0),
        ("--to-time", "1000", 1),
        ("--to-time", "1070.999999999", 71),
        ("--to-time", "1970-01-01T00:17:50Z", 71),
        ("--to-time", "2500-01-01T00:00:00Z", 100),
    ];
    for (number, (option, value, batches)) in cases.into_iter().enumerate() {
        let to = restored.with_extension(number.to_string());
        let told = json(&["restore", text(&backup), text(&to), option, value, "--json"]);
        assert_eq!(told["events"], 2 * batches, "{option} {value}: {told}");
        assert_eq!(told["left_out"]["events"], 200 - 2 * batches);
        assert_eq!(told["left_out"]["batches"], 100 - batches);
        let first_left_out = (batches < 100).then(|| (1000 + batches) * 1_000_000_000);
        assert_eq!(told["left_out"]["first_commit_nanos"].as_u64(), first_left_out);
        let kept: String = exported(&log).split_inclusive('\n').take(batches as usize).collect();
        assert_eq!(exported(&to), kept, "{option} {value}");
        if batches > 0 {
            assert_eq!(told["streams"], batches + 1);
            // The versions go on where they were.
            filled(&to, 100..101);
            let last = fine(&["read", "--dir", text(&to), "--stream", "a", "--backward", "--json"]);
            assert_eq!(json_lines(&last)[0]["version"], batches);
        }
    }
    let said = fine(&["restore", text(&backup), text(&restored), "--to-position", "122"]);
    assert!(
        said.contains("Left out: 78 events in 39 batches, committed from 1970-01-01T00:17:41Z on."),
        "{said}"
    );
}

#[test]
fn a_log_is_backed_up_while_another_process_writes_it() {
    let Places { _root, log, backup, .. } = places();
    let mut writer = Command::new(env!("CARGO_BIN_EXE_quipu"))
        .args(["import", "-", "--segment-bytes", "65536", "--dir", text(&log)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = writer.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        for number in 0..4000 {
            std::io::Write::write_all(&mut pipe, lines(number..number + 1).as_bytes()).unwrap();
        }
    });
    while !log.join("00000000000000000001.seg").exists() {
        std::thread::yield_now();
    }
    let mut ends = Vec::new();
    for _ in 0..8 {
        let told = json(&["backup", text(&log), text(&backup), "--json"]);
        assert_eq!(verified(&backup)["events"], told["events"]);
        ends.push(told["events"].as_u64().unwrap());
    }
    feeding.join().unwrap();
    assert!(writer.wait().unwrap().success());
    assert!(ends.is_sorted(), "{ends:?}");
    json(&["backup", text(&log), text(&backup), "--json"]);
    assert_eq!(exported(&backup), exported(&log));
}

#[test]
fn what_cannot_be_is_refused_with_its_exit_code() {
    let Places { _root, log, backup, restored } = places();
    filled(&log, 0..100);
    let refused = |arguments: &[&str], code: i32, why: &str| {
        let ran = quipu(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
    };
    refused(&["backup", text(&log), text(&log)], 2, "is the log's own directory");
    refused(&["backup", text(&log)], 2, "<TO>");
    refused(&["backup", text(&restored), text(&backup)], 1, "holds no log");
    fine(&["backup", text(&log), text(&backup)]);
    refused(&["restore", text(&backup), text(&log)], 2, "is not empty");
    let both = ["restore", text(&backup), text(&restored), "--to-time", "1", "--to-position", "1"];
    refused(&both, 2, "cannot be used with");
    refused(&["restore", text(&backup), text(&restored), "--to-time", "soon"], 2, "no date like");
    refused(&["restore", text(&backup), "/dev/null/x"], 2, "cannot be a directory");

    let other = restored.with_extension("other");
    let ran = import(&other, &line("a", 1));
    assert_eq!(ran.code, 0, "{}", ran.err);
    refused(&["backup", text(&other), text(&backup)], 1, "name another directory");
    fs::write(backup.join("notes"), "mine").unwrap();
    refused(&["backup", text(&log), text(&backup)], 1, "is no part of a backup");
    fs::remove_file(backup.join("notes")).unwrap();

    // One that was interrupted: nothing takes it for a log, and it goes on.
    fs::write(backup.join("backup.unfinished"), "").unwrap();
    for command in
        [["verify", text(&backup)], ["restore", text(&backup)], ["streams", text(&backup)]]
    {
        let mut arguments = command.to_vec();
        if command[0] == "restore" {
            arguments.push(text(&restored));
        }
        refused(&arguments, 1, "not finished");
    }
    fine(&["backup", text(&log), text(&backup)]);
    fine(&["verify", text(&backup)]);
    fine(&["restore", text(&backup), text(&restored)]);
    // So does a restore.
    fs::write(restored.join("backup.unfinished"), "").unwrap();
    fs::remove_file(restored.join("00000000000000000001.seg")).unwrap();
    refused(&["streams", text(&restored)], 1, "not finished");
    fine(&["restore", text(&backup), text(&restored)]);
    assert_eq!(exported(&restored), exported(&log));

    // A damaged log is not backed up.
    let last = log.join("00000000000000000002.seg");
    let mut bytes = fs::read(&last).unwrap();
    bytes[5000..5010].fill(0xff);
    fs::write(&last, bytes).unwrap();
    let index = last.with_extension("idx");
    let _ = fs::remove_file(index);
    refused(&["backup", text(&log), text(&restored.with_extension("new"))], 1, "damaged");
}
