//! Goal: every command that reads works on the history of real repositories: 7,680 batches of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use common::{fine, json_lines, quipu, repository_history, text};
use serde_json::Value;

#[test]
fn the_history_of_real_repositories_is_shown_alike_by_every_command() {
    let Some(history) = repository_history() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (log, copy) = (directory.path().join("log"), directory.path().join("copy"));
    let (log, copy) = (text(&log), text(&copy));
    let arguments =
        ["import", text(&history), "--dir", log, "--segment-bytes", "1048576", "--json"];
    let imported: Value = serde_json::from_str(&fine(&arguments)).unwrap();
    let events = imported["events"].as_u64().unwrap();
    assert!(events > 10_000, "{imported}");

    let verified: Value = serde_json::from_str(&fine(&["verify", log, "--json"])).unwrap();
    let info: Value = serde_json::from_str(&fine(&["info", log, "--json"])).unwrap();
    for count in ["batches", "events", "streams"] {
        assert_eq!(verified[count], imported[count], "{count}");
        assert_eq!(info[count], imported[count], "{count}");
    }
    assert!(verified["segments"].as_u64().unwrap() > 5, "{verified}");

    let read = fine(&["read", log, "--json"]);
    assert_eq!(read.lines().count() as u64, events);
    let tail = fine(&["tail", log, "-n", "1000", "--json"]);
    assert!(read.ends_with(&tail) && tail.lines().count() == 1000);
    let streams = json_lines(&fine(&["streams", log, "--json"]));
    assert_eq!(streams.len() as u64, imported["streams"].as_u64().unwrap());
    let longest = streams.iter().max_by_key(|stream| stream["version"].as_u64()).unwrap();
    let (name, version) =
        (longest["stream"].as_str().unwrap(), longest["version"].as_u64().unwrap());
    let of_stream = json_lines(&fine(&["read", log, "--json", "--stream", name]));
    assert_eq!(of_stream.len() as u64, version + 1, "{name}");
    let deleted = json_lines(&fine(&["read", log, "--json", "--type", "FileDeleted"]));
    let wanted = json_lines(&read).into_iter().filter(|event| event["type"] == "FileDeleted");
    assert_eq!(deleted, wanted.collect::<Vec<_>>());

    let exported = directory.path().join("lines");
    fine(&["export", log, "--output", text(&exported)]);
    let appended = quipu(&["append", copy, text(&exported), "--buffered"]);
    assert_eq!((appended.code, appended.err.as_str()), (0, ""));
    assert_eq!(fine(&["export", copy]), std::fs::read_to_string(&exported).unwrap());
    let frames = json_lines(&fine(&["inspect", log, "--json"]));
    let batches = frames.iter().filter(|frame| frame["frame"] == "batch").count();
    assert_eq!(batches as u64, imported["batches"].as_u64().unwrap());
    assert!(fine(&["repair", log]).contains("nothing to repair"));
    assert_eq!(quipu(&["salvage", log, "--dry-run"]).code, 0);
}
