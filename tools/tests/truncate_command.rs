//! Goal: `quipu truncate` says what it would drop and, told to, drops it; and the other commands know a log
//! of which the front is gone, and what must outlive that.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{fine, import, json_lines, line, quipu, text};
use quipu_tools::verify::{Tail, verify};
use serde_json::Value;

/// A log of several segments.
fn log(directory: &Path) {
    let payload = "x".repeat(2000);
    let batch = |number: u64| {
        line(&format!("s-{}", number % 50), number)
            .replace("}]}", &format!(r#","metadata":"{payload}"}}]}}"#))
    };
    let lines: String = (0..150).map(batch).collect();
    let ran = import(directory, &lines);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let named = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    named.collect()
}

fn names(directory: &Path, end: &str) -> Vec<String> {
    let listed = fs::read_dir(directory).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    names
}

#[test]
fn the_front_is_dropped_only_when_it_is_said_and_every_command_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    log(directory);
    let before = names(directory, ".seg");
    let everything = contents(directory);
    let said = fine(&["truncate", text(directory), "--before", "100"]);
    assert!(said.contains("would drop") && said.contains("--apply"), "{said}");
    assert!(contents(directory) == everything, "a dry run changes no byte");
    let told: Value = serde_json::from_str(&fine(&[
        "truncate",
        text(directory),
        "--before",
        "100",
        "--apply",
        "--json",
    ]))
    .unwrap();
    let first = told["first_available"].as_u64().unwrap();
    assert!((1..=100).contains(&first) && told["segments"].as_u64().unwrap() > 1, "{told}");
    assert_eq!(told["applied"], true);
    assert!(names(directory, ".seg").len() < before.len());
    let verified = verify(directory).unwrap();
    assert!(verified.ok, "{verified}");
    assert_eq!((verified.first_available, verified.events, verified.streams), (first, 150, 50));
    assert!(verified.to_string().contains("dropped"), "{verified}");
    let info: Value = serde_json::from_str(&fine(&["info", text(directory), "--json"])).unwrap();
    assert_eq!(info["first_available"], first);
    assert!(info["first_commit_nanos"].is_u64(), "{info}");
    let exported = json_lines(&fine(&["export", "--dir", text(directory)]));
    assert_eq!(exported.len() as u64, 150 - first);
    assert_eq!(exported[0]["events"][0]["data"], first);
    let read = json_lines(&fine(&["read", "--dir", text(directory), "--json"]));
    assert_eq!(read[0]["position"], first);
    let refused = quipu(&["read", "--dir", text(directory), "--from", "0"]);
    assert!(refused.code == 1 && refused.err.contains("dropped"), "{}", refused.err);
    let of_stream = json_lines(&fine(&["read", text(directory), "--stream", "s-7", "--json"]));
    assert!(of_stream.iter().all(|event| event["position"].as_u64() >= Some(first)));
    assert_eq!(of_stream.last().unwrap()["version"], 2);
    for arguments in [&["-n", "1000"][..], &["-n", "1000", "--stream", "s-7"]] {
        let tail = fine(&[&["tail", text(directory), "--json"], arguments].concat());
        let wanted = if arguments.len() > 2 { of_stream.len() } else { read.len() };
        assert_eq!(json_lines(&tail).len(), wanted, "{arguments:?}");
    }
    assert_eq!(json_lines(&fine(&["streams", text(directory), "--json"])).len(), 50);
    fine(&["inspect", text(directory)]);
    assert!(fine(&["repair", text(directory)]).contains("nothing to repair"));
    // Versions go on.
    let log = quipu::Log::options().segment_bytes(65536).open(directory).unwrap();
    let expected = quipu::ExpectedVersion::Exact(quipu::Version::new(2));
    let batch = quipu::Batch::new().expect("s-0", expected);
    log.append(batch.event("s-0", quipu::Event::new("T", "150"))).unwrap();
    log.close().unwrap();
    assert!(verify(directory).unwrap().ok);
}

#[test]
fn a_dry_run_works_beside_a_live_writer_and_a_real_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    log(directory);
    let writer = quipu::Log::options().segment_bytes(65536).open(directory).unwrap();
    let said = fine(&["truncate", text(directory), "--before", "100", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["segments"].as_u64().unwrap() > 1 && said["applied"] == false, "{said}");
    let refused = quipu(&["truncate", text(directory), "--before", "100", "--apply"]);
    assert!(refused.code == 1 && refused.err.contains("in use"), "{}", refused.err);
    assert_eq!(writer.first_available().as_u64(), 0);
    writer.close().unwrap();
}

#[test]
fn the_verifier_knows_one_wrong_copy_of_the_base_from_two() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    log(directory);
    fine(&["truncate", text(directory), "--before", "100", "--apply"]);
    let copies = [names(directory, ".base"), names(directory, ".base2")].concat();
    assert_eq!(copies.len(), 2, "{copies:?}");
    let damage = |name: &str, offset: usize| {
        let path = directory.join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage(&copies[0], 120);
    let verified = verify(directory).unwrap();
    assert!(verified.ok && verified.base_copies_wrong == copies[..1], "{verified}");
    let to_do = fine(&["repair", text(directory)]);
    assert!(to_do.contains("from the other copy"), "{to_do}");
    fine(&["repair", text(directory), "--apply"]);
    assert!(verify(directory).unwrap().base_copies_wrong.is_empty());
    damage(&copies[0], 120);
    damage(&copies[1], 30);
    let verified = verify(directory).unwrap();
    let Tail::Damaged { file, .. } = &verified.tail else { panic!("{verified}") };
    assert_eq!(file, &copies[0]);
    assert!(!verified.ok);
    let opened = quipu(&["info", text(directory)]);
    assert!(opened.code == 1 && opened.err.contains(&copies[0]), "{}", opened.err);
    // Without the segment that the base names, either.
    damage(&copies[0], 120);
    damage(&copies[1], 30);
    assert!(verify(directory).unwrap().ok);
    fs::remove_file(directory.join(&names(directory, ".seg")[0])).unwrap();
    let verified = verify(directory).unwrap();
    assert!(matches!(verified.tail, Tail::Damaged { .. }), "{verified}");
}
