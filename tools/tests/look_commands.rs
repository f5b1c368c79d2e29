//! Goal: info, inspect and streams say what is there, in text and as JSON, of whole logs and damaged
//! ones, and change nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fine, import, json_lines, quipu, text};
use serde_json::{Value, json};

/// Three batches: two events over two streams, one, and one with tags and metadata.
const LINES: &str = r#"{"time":1427842295,"events":[{"stream":"order-1","type":"Placed","data":{"total":12}},{"stream":"stock-9","type":"Reserved","data":1}]}
{"time":1427842296.5,"events":[{"stream":"order-1","type":"Paid","data":12}]}
{"time":1427842297,"events":[{"stream":"order-2","type":"Placed","data":3,"tags":["customer:7"],"metadata":{"by":"a"}}]}
"#;

fn log() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(import(directory.path(), LINES).code, 0);
    directory
}

fn first_segment(directory: &Path) -> PathBuf {
    directory.join("00000000000000000000.seg")
}

/// The files with their bytes.
fn picture(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The lines that `inspect --json` gives.
fn inspected(directory: &Path, arguments: &[&str]) -> (i32, Vec<Value>) {
    let ran = quipu(&[&["inspect", "--json", text(directory)], arguments].concat());
    (ran.code, json_lines(&ran.out))
}

#[test]
fn info_tells_what_the_log_is_and_leaves_it_as_it_was() {
    let directory = log();
    let before = picture(directory.path());
    let info: Value =
        serde_json::from_str(&fine(&["info", "--json", text(directory.path())])).unwrap();
    for (name, wanted) in [
        ("events", json!(4)),
        ("batches", json!(3)),
        ("streams", json!(3)),
        ("synced_position", json!(4)),
        ("closed", json!(true)),
        ("damage", Value::Null),
        ("first_commit_nanos", json!(1_427_842_295_000_000_000_u64)),
        ("last_commit_nanos", json!(1_427_842_297_000_000_000_u64)),
    ] {
        assert_eq!(info[name], wanted, "{name}");
    }
    let first = &info["segments"][0];
    assert_eq!((&first["state"], &first["events"]), (&json!("active"), &json!(4)));
    assert_eq!(info["segments"][1]["state"], "prepared");
    let used = first["bytes_used"].as_u64().unwrap();
    assert_eq!(info["bytes_used"], used);
    let bytes = &fs::read(first_segment(directory.path())).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    assert!(last < used && used <= last + 64, "{used} bytes are used, the last is at {last}");
    let shown = fine(&["info", text(directory.path())]);
    assert!(shown.contains("last commit       2015-03-31T22:51:37Z\n"), "{shown}");
    assert!(!shown.contains('█'), "a bar is for terminals: {shown}");
    assert_eq!(picture(directory.path()), before);
}

#[test]
fn info_of_a_damaged_log_says_so_and_what_is_readable() {
    let directory = log();
    flip(&first_segment(directory.path()), 4096 + 60);
    let ran = quipu(&["info", "--json", text(directory.path())]);
    assert_eq!(ran.code, 1);
    let info: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&info["events"], &info["last_commit_nanos"]), (&json!(0), &Value::Null));
    assert!(info["damage"].as_str().unwrap().contains("00000000000000000000.seg"), "{info}");
}

#[test]
fn streams_are_listed_by_name_with_where_each_has_come_to() {
    let directory = log();
    let lines = json_lines(&fine(&["streams", "--json", text(directory.path())]));
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["stream"].as_str().unwrap(), &line["version"], &line["last_position"]))
        .collect();
    let wanted = [
        ("order-1", &json!(1), &json!(2)),
        ("order-2", &json!(0), &json!(3)),
        ("stock-9", &json!(0), &json!(1)),
    ];
    assert_eq!(told, wanted);
    assert_eq!(lines[0]["last_commit"], json!(1_427_842_296.5));
    let shown = fine(&["streams", "--prefix", "order-", text(directory.path())]);
    let names: Vec<_> = shown.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["order-1", "order-2"]);
    assert_eq!(fine(&["streams", "--prefix", "x", text(directory.path())]), "");
}

#[test]
fn inspect_shows_each_frame_and_where_nothing_was_written() {
    let directory = log();
    let (code, lines) = inspected(directory.path(), &[]);
    assert_eq!(code, 0);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "segment");
    assert_eq!(kinds.last(), Some(&"prepared"));
    assert!(kinds.contains(&"end"));
    let batches: Vec<_> = lines.iter().filter(|line| line["frame"] == "batch").collect();
    let positions: Vec<_> = batches
        .iter()
        .map(|batch| (batch["first_position"].clone(), batch["events"].clone()))
        .collect();
    assert_eq!(positions, [(json!(0), json!(2)), (json!(2), json!(1)), (json!(3), json!(1))]);
    assert_eq!(lines.iter().filter(|line| line["frame"] == "close").count(), 1);
    let shown = fine(&["inspect", "--segment", "0", text(directory.path())]);
    assert!(shown.contains("never written") && !shown.contains("prepared"), "{shown}");
    let none = quipu(&["inspect", "--segment", "9", text(directory.path())]);
    assert_eq!((none.code, none.out.as_str()), (1, ""));
}

#[test]
fn the_frame_of_a_position_is_drawn_in_its_parts() {
    let directory = log();
    let shown = fine(&["inspect", "--position", "3", "--hex", text(directory.path())]);
    for wanted in [
        "a batch of",
        "committed 2015-03-31T22:51:37Z, position 3,",
        "stream 0: order-2, from version 0 on",
        "event 3: stream 0, Placed [customer:7], 10 bytes of metadata, 1 byte of payload",
        "4b 4e 4f 54", // the trailer's magic
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    assert!(shown.contains("is right") && !shown.contains("CHECKSUM"), "{shown}");
    assert_eq!(fine(&["inspect", "--position", "99", text(directory.path())]).lines().count(), 1);
}

#[test]
fn the_first_frame_that_does_not_verify_is_marked_with_the_reason() {
    let directory = log();
    let (_, lines) = inspected(directory.path(), &[]);
    let second = lines.iter().find(|line| line["first_position"] == 2).unwrap();
    let at = usize::try_from(second["offset"].as_u64().unwrap()).unwrap();
    flip(&first_segment(directory.path()), at + 50);
    let (code, lines) = inspected(directory.path(), &[]);
    assert_eq!(code, 1);
    let wrong = lines.iter().find(|line| line["kind"] == "wrong").unwrap();
    assert_eq!(wrong["offset"], at as u64);
    assert!(wrong["why"].as_str().unwrap().starts_with("body checksum is "), "{wrong}");
    let ran = quipu(&["inspect", text(directory.path())]);
    assert!(ran.out.contains("DOES NOT VERIFY") && ran.out.contains("CHECKSUM"), "{}", ran.out);
    // A header that does not verify tells nothing of its frame.
    flip(&first_segment(directory.path()), at + 4);
    let (_, lines) = inspected(directory.path(), &[]);
    let wrong = lines.iter().find(|line| line["kind"] == "wrong").unwrap();
    assert!(wrong["why"].as_str().unwrap().starts_with("frame header checksum is "), "{wrong}");
    // Nor does that of a segment.
    flip(&first_segment(directory.path()), 40);
    let (code, lines) = inspected(directory.path(), &["--segment", "0"]);
    assert_eq!((code, lines.len(), &lines[0]["offset"]), (1, 1, &json!(0)));
}

#[test]
fn what_is_no_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["info", "inspect", "streams", "repair"] {
        let ran = quipu(&[command, text(directory.path())]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{command}: {}", ran.err);
        assert!(!ran.err.is_empty());
    }
}
