//! Goal: `quipu salvage` as a person runs it: what it prints, its exit codes, what it leaves on disk,
//! also on the history of real repositories, damaged in the middle.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{fine, import, json_lines, line, quipu, repository_history, text};
use quipu::{Batch, Event, Log};
use serde_json::Value;

/// Every file of a directory.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// A log's batches as export gives them.
fn exported(directory: &Path) -> Vec<Value> {
    json_lines(&fine(&["export", "--dir", text(directory)]))
}

#[test]
fn a_damaged_log_is_salvaged_with_a_verdict_and_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let lines: String = (0..5).map(|data| line(&format!("s-{}", data % 2), data)).collect();
    assert_eq!(import(&old, &lines).code, 0);
    let (old, new) = (text(&old), text(&new));

    let said = fine(&["salvage", old, "--dry-run"]);
    let whole = "ok: nothing was lost: 5 batches, 5 events, 2 streams can be salvaged.\n";
    assert!(said.starts_with(whole), "{said}");
    let said = fine(&["salvage", old, "--to", new]);
    let whole = format!("ok: nothing was lost: 5 batches, 5 events, 2 streams are in {new}.\n");
    assert!(said.starts_with(&whole), "{said}");
    assert_eq!(exported(Path::new(new)), exported(Path::new(old)));
    fs::remove_dir_all(new).unwrap();

    let path = Path::new(old).join("00000000000000000000.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 60] ^= 1;
    fs::write(&path, bytes).unwrap();
    let before = files(Path::new(old));
    let ran = quipu(&["salvage", old, "--to", new, "--dry-run"]);
    assert_eq!(ran.code, 1);
    let verdict =
        format!("LOST: 1 event at position 0; 4 batches, 4 events, 2 streams would go to {new}.\n");
    assert!(ran.out.starts_with(&verdict), "{}", ran.out);
    assert!(!Path::new(new).exists());

    let ran = quipu(&["salvage", old, "--to", new, "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["lost"], serde_json::json!([{"first": 0, "last": 0, "durable": true}]));
    let moved = serde_json::json!([{"first": 1, "last": 4, "first_is_now": 0}]);
    assert_eq!((&report["moved"], &report["end_known"]), (&moved, &true.into()));
    assert_eq!(report["lost_versions"][0]["stream"], "s-0");
    assert_eq!(report["damage"][0]["offset"], 4096);
    assert_eq!(files(Path::new(old)), before, "the old log has changed");
    assert!(fine(&["verify", new]).starts_with("ok: 4 batches, 4 events, 2 streams"));
    let read = json_lines(&fine(&["read", "--json", "--dir", new]));
    assert_eq!(
        read.iter().map(|it| it["data"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
}

#[test]
fn misuse_and_what_stands_against_a_salvage_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    assert_eq!(import(&old, &line("s", 1)).code, 0);
    let (old, new, missing) =
        (text(&old), text(&new), text(&directory.path().join("no")).to_owned());
    for arguments in [
        &["salvage", old][..],
        &["salvage", old, "--to", old],
        &["salvage", old, "--to", text(directory.path())],
        &["salvage", old, "--to", &format!("{old}/new")],
        &["salvage", old, "--to", &format!("{missing}/new")],
        &["salvage", old, "--to", new, "--log-id", "123"],
        &["salvage", "--to", new],
    ] {
        let ran = quipu(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{arguments:?}: {}", ran.err);
    }
    let ran = quipu(&["salvage", &missing, "--to", new]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.starts_with("quipu: cannot open"), "{}", ran.err);

    let log = Log::options().segment_bytes(65_536).open(old).unwrap();
    log.append(Batch::new().event("s", Event::new("T", "2"))).unwrap();
    let ran = quipu(&["salvage", old, "--to", new]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let by = format!(
        "quipu: {old} is in use by process {}; close the log there first, or salvage a copy\n",
        std::process::id()
    );
    assert_eq!(ran.err, by);
    assert!(!Path::new(new).exists());
    log.close().unwrap();
    fine(&["salvage", old, "--to", new]);
}

#[test]
fn the_history_of_real_repositories_is_salvaged_around_the_damage() {
    let Some(history) = repository_history() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let segment_bytes = (1_u64 << 20).to_string();
    let dir = text(&old);
    let ran = quipu(&["import", text(&history), "--segment-bytes", &segment_bytes, "--dir", dir]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let all = exported(&old);

    // A lost sector and a flipped bit in one segment, a lost header, a lost file.
    let segment = |number: u32| old.join(format!("{number:020}.seg"));
    let mut bytes = fs::read(segment(2)).unwrap();
    bytes[300_000..300_512].fill(0);
    bytes[600_000] ^= 1;
    bytes[..512].fill(b'x');
    fs::write(segment(2), bytes).unwrap();
    fs::remove_file(segment(4)).unwrap();
    let before = files(&old);

    let ran = quipu(&["salvage", dir, "--to", text(&new), "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(files(&old), before, "the old log has changed");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let ranges = |name: &str| -> Vec<(u64, u64)> {
        let each = report[name].as_array().unwrap().iter();
        each.map(|it| (it["first"].as_u64().unwrap(), it["last"].as_u64().unwrap())).collect()
    };
    let lost = ranges("lost");
    assert_eq!(lost.len(), 3, "{lost:?}");
    assert_eq!(report["damage"].as_array().unwrap().len(), 4);
    assert_eq!(report["end_known"], true);

    // What is not told as lost is there, batch by batch, and nothing else.
    let mut position = 0;
    let mut kept = Vec::new();
    for batch in &all {
        let events = batch["events"].as_array().unwrap().len() as u64;
        let range = position..position + events;
        position = range.end;
        let gone =
            |position: &u64| lost.iter().any(|(first, last)| (first..=last).contains(&position));
        match range.clone().filter(gone).count() as u64 {
            0 => kept.push(batch.clone()),
            count => assert_eq!(count, events, "no batch is lost in part"),
        }
    }
    assert_eq!(exported(&new), kept);
    assert!(fine(&["verify", text(&new)]).starts_with("ok: "));
    let events: u64 = lost.iter().map(|(first, last)| last - first + 1).sum();
    assert_eq!(report["events_lost"], events);
    assert_eq!(report["events"], position - events);
    println!("{} of {} batches, {events} events lost", kept.len(), all.len());
}
