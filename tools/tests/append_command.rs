//! Goal: `quipu append` acknowledges each line with its position, and refuses what is not as
//! expected.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ran, fine, json_lines, line, quipu, quipu_with, text};
use serde_json::{Value, json};

fn append(directory: &Path, arguments: &[&str], lines: &str) -> Ran {
    quipu_with(&[&["append", text(directory)], arguments].concat(), lines)
}

/// An event by itself as a line.
fn event(stream: &str) -> String {
    format!(r#"{{"stream":"{stream}","type":"T","data":1}}"#) + "\n"
}

fn positions(directory: &Path) -> usize {
    fine(&["read", "--json", text(directory)]).lines().count()
}

#[test]
fn each_line_is_a_batch_and_its_place_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let two =
        r#"{"events":[{"stream":"a","type":"T","data":1},{"stream":"b","type":"T","data":2}]}"#;
    let lines = format!("{}\n{two}\n{}", line("a", 1), event("b"));
    let ran = append(directory.path(), &[], &lines);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "position 0  a@0\npositions 1 to 2  a@1 b@0\nposition 3  b@1\n");
    let ran = append(directory.path(), &["--json", "--buffered"], &event("c"));
    let wanted =
        json!({"first_position": 4, "last_position": 4, "versions": {"c": 0}, "replayed": false});
    assert_eq!(json_lines(&ran.out), [wanted]);
    assert_eq!(positions(directory.path()), 5);
    assert!(fine(&["verify", text(directory.path())]).starts_with("ok: 4 batches, 5 events"));
}

#[test]
fn a_line_is_acknowledged_before_the_next_one_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
        .args(["append", text(directory.path())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut input = child.stdin.take().unwrap();
    for position in 0..5 {
        input.write_all(event("s").as_bytes()).unwrap();
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        assert_eq!(said, format!("position {position}  s@{position}\n"));
        assert_eq!(positions(directory.path()), position + 1, "what is acknowledged is there");
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_expected_holds_of_a_stream_before_the_command_and_then_of_what_it_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let three = event("s").repeat(3);
    assert_eq!(append(dir, &["--expect", "exists"], &three).code, 1);
    assert_eq!(append(dir, &["--expect", "none"], &three).code, 0);
    assert_eq!(append(dir, &["--expect", "none"], &three).code, 1);
    assert_eq!(append(dir, &["--expect", "exists"], &three).code, 0);
    assert_eq!(append(dir, &["--expect", "5"], &three).code, 0);
    assert_eq!(append(dir, &["--expect", "5"], &three).code, 1);
    assert_eq!(append(dir, &["--expect", "any"], &three).code, 0);
    assert_eq!(positions(dir), 12, "what was refused has written nothing");
    // What a line says itself goes before.
    let own = r#"{"stream":"s","type":"T","data":1,"expected_version":11}"#;
    assert_eq!(append(dir, &["--expect", "none"], own).code, 0);
}

#[test]
fn a_refusal_tells_what_was_expected_and_what_is_and_ends_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    assert_eq!(append(dir, &[], &event("s").repeat(4)).code, 0);
    let lines = event("t") + &event("s") + &event("u");
    let ran = append(dir, &["--expect", "none", "--json"], &lines);
    assert_eq!(ran.code, 1);
    let told = "quipu: stdin:2: stream \"s\" is at version 3, expected no events\n";
    assert_eq!(ran.err, told);
    let said: Vec<Value> = json_lines(&ran.out);
    assert_eq!(said.len(), 2);
    assert_eq!(said[0]["first_position"], 4);
    let failed = json!([{"stream": "s", "expected": "no events", "actual": 3}]);
    assert_eq!((&said[1]["line"], &said[1]["failed"]), (&json!(2), &failed));
    assert_eq!(positions(dir), 5, "the line before stays, the one behind is not tried");
    let ran = append(dir, &["--expect", "7"], &event("new"));
    assert_eq!(ran.err, "quipu: stdin:1: stream \"new\" has no events, expected version 7\n");
}

#[test]
fn a_line_that_is_no_batch_ends_the_command_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let ran = append(directory.path(), &[], &(event("s") + "{\"stream\":1}\n" + &event("s")));
    assert_eq!((ran.code, ran.out.as_str()), (1, "position 0  s@0\n"));
    assert!(ran.err.starts_with("quipu: stdin:2: "), "{}", ran.err);
    assert_eq!(positions(directory.path()), 1);
}

#[test]
fn a_line_with_ids_can_be_said_again() {
    let directory = tempfile::tempdir().unwrap();
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    let line = format!(r#"{{"stream":"s","type":"T","data":1,"id":"{id}"}}"#);
    let arguments = ["--expect", "none", "--idempotent"];
    assert_eq!(append(directory.path(), &arguments, &line).out, "position 0  s@0\n");
    let again = append(directory.path(), &arguments, &line);
    assert_eq!(
        (again.code, again.out.as_str()),
        (0, "position 0  s@0  (was there already)\n"),
        "{}",
        again.err
    );
    assert_eq!(append(directory.path(), &["--expect", "none"], &line).code, 1);
}

#[test]
fn misuse_is_exit_code_2_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    for arguments in [
        &["--expect", "perhaps"][..],
        &["--durable", "--buffered"],
        &["--segment-bytes", "5"],
        &["--segment-bytes", "many"],
    ] {
        let ran = append(&log, arguments, "");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {}", ran.err);
    }
    assert_eq!(quipu(&["append"]).code, 2);
    assert!(!log.exists());
}
