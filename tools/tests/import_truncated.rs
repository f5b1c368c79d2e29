//! Goal: an import goes on in a log of which the front has been dropped, exactly where it had stopped, or
//! says that it cannot tell and appends nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::path::Path;

use common::{Ran, fine, import, json_lines, line, quipu, quipu_with, text};
use quipu_tools::verify::verify;

const LINES: u64 = 60;

/// Batch `number`: two streams that go on and one of its own; ten batches to a segment.
fn batch(number: u64) -> String {
    let metadata = "x".repeat(6000);
    let event = |stream: &str| format!(r#"{{"stream":"{stream}","type":"T","data":{number}}}"#);
    let more = format!(r#","metadata":"{metadata}"}}"#);
    let last = event(&format!("one-{number}")).replace('}', &more);
    format!(r#"{{"events":[{},{},{last}]}}"#, event(&format!("s-{}", number % 7)), event("all"))
        + "\n"
}

fn batches(numbers: std::ops::Range<u64>) -> String {
    numbers.map(batch).collect()
}

/// A log with the first `count` batches, without its front; the position of the first event kept.
fn truncated(directory: &Path, count: u64, before: u64) -> u64 {
    let ran = import(directory, &batches(0..count));
    assert_eq!(ran.code, 0, "{}", ran.err);
    truncate(directory, before)
}

fn truncate(directory: &Path, before: u64) -> u64 {
    fine(&["truncate", text(directory), "--before", &before.to_string(), "--apply"]);
    let first = verify(directory).unwrap().first_available;
    assert!(first > 0 && first <= before, "{first}");
    first
}

/// The numbers of the events of the stream that every batch goes to, as far as they are kept.
fn kept(directory: &Path) -> Vec<u64> {
    let first = verify(directory).unwrap().first_available.to_string();
    let read = fine(&["read", text(directory), "--from", &first, "--json"]);
    let events = json_lines(&read).into_iter().filter(|event| event["stream"] == "all");
    events.map(|event| event["data"].as_u64().unwrap()).collect()
}

/// Nothing was appended, and that is said.
fn is_refused(ran: &Ran, directory: &Path, events: u64, why: &str) {
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains(why) && ran.err.contains("--again"), "{}", ran.err);
    assert!(ran.err.contains("skipped 0 batches"), "{}", ran.err);
    assert_eq!(verify(directory).unwrap().events, events);
}

#[test]
fn an_import_that_stopped_goes_on_behind_what_was_dropped() {
    for stopped in [20, 41, LINES] {
        let folder = tempfile::tempdir().unwrap();
        let first = truncated(folder.path(), stopped, 40);
        let ran = import(folder.path(), &batches(0..LINES));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let said = format!("imported {} batches", LINES - stopped);
        assert!(ran.err.contains(&said), "{}", ran.err);
        assert!(ran.err.contains(&format!("skipped {stopped} batches")), "{}", ran.err);
        assert_eq!(kept(folder.path()), (first / 3..LINES).collect::<Vec<_>>());
        assert!(verify(folder.path()).unwrap().ok);
    }
}

#[test]
fn batches_of_others_on_other_streams_do_not_hinder_it() {
    let folder = tempfile::tempdir().unwrap();
    for numbers in [0..10, 10..30] {
        assert_eq!(import(folder.path(), &batches(numbers.clone())).code, 0);
        let other = line(&format!("other-{}", numbers.start), 1);
        assert_eq!(import(folder.path(), &other).code, 0);
    }
    truncate(folder.path(), 70);
    let ran = import(folder.path(), &batches(0..LINES));
    assert!(
        ran.err.contains("imported 30 batches") && ran.err.contains("skipped 30"),
        "{}",
        ran.err
    );
}

#[test]
fn a_file_of_new_streams_is_new() {
    let folder = tempfile::tempdir().unwrap();
    truncated(folder.path(), 40, 100);
    let ran = import(folder.path(), &line("new", 1));
    assert!(ran.err.contains("imported 1 batch,") && ran.err.contains("skipped 0"), "{}", ran.err);
}

#[test]
fn what_cannot_be_told_is_refused_and_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    truncated(directory, 40, 100);
    let events = 3 * 40;
    // Perhaps the dropped one, perhaps another of the same stream.
    is_refused(
        &import(directory, &line("one-0", 7)),
        directory,
        events,
        "every line would have been",
    );
    // Events are missing that were dropped.
    let most: String = (0..LINES).filter(|number| *number != 3).map(batch).collect();
    is_refused(&import(directory, &most), directory, events, "dropped");
    // The same places in the same streams, other contents from where they can be compared.
    let other = batches(0..LINES).replace(r#""type":"T""#, r#""type":"U""#);
    is_refused(&import(directory, &other), directory, events, "not found in what is kept");
    // A part of one line's events would be in front, the others behind.
    let one = r#"{"events":[{"stream":"all","type":"T","data":0},"#;
    let all_at_once = format!("{one}{}", r#"{"stream":"new","type":"T","data":0}]}"#);
    is_refused(&import(directory, &all_at_once), directory, events, "only a part");
    let again =
        quipu_with(&["import", "-", "--again", "--dir", text(directory)], &line("one-0", 7));
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(quipu(&["verify", text(directory)]).code == 0);
    assert_eq!(verify(directory).unwrap().events, events + 1);
}
