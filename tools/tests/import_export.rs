//! Goal: what is imported comes back by export, once, however often and brokenly it is imported.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;

use common::{fine, import, json_lines, line, quipu, repository_history, text};
use serde_json::Value;

/// A log's events as export gives them.
fn exported(directory: &std::path::Path) -> Vec<Value> {
    let lines = json_lines(&fine(&["export", "--dir", text(directory)]));
    lines.into_iter().map(|line| line["events"].clone()).collect()
}

#[test]
fn the_history_of_real_repositories_comes_back_batch_by_batch() {
    let Some(history) = repository_history() else { return };
    let directory = tempfile::tempdir().unwrap();
    let dir = text(directory.path());
    let segment_bytes = (1_u64 << 20).to_string();
    let ran = quipu(&["import", text(&history), "--segment-bytes", &segment_bytes, "--dir", dir]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.err,
        "imported 7,680 batches, 32,614 events in 4,351 streams, positions 0 to 32,613; \
         skipped 0 batches that were there already\n"
    );

    let output = directory.path().join("out.jsonl");
    fine(&["export", "--dir", dir, "--output", text(&output)]);
    let given = json_lines(&fs::read_to_string(&history).unwrap());
    let found = json_lines(&fs::read_to_string(&output).unwrap());
    assert_eq!((given.len(), found.len()), (7_680, 7_680));
    let mut time = 0;
    for (given, found) in given.iter().zip(&found) {
        assert_eq!(given["events"], found["events"]);
        // A time that runs backwards is raised to that of the batch before.
        time = given["time"].as_u64().unwrap().max(time);
        assert_eq!(found["time"], time);
    }

    let report: Value = serde_json::from_str(&fine(&["verify", "--json", dir])).unwrap();
    assert_eq!(report["tail"]["kind"], "clean");
    for (field, count) in [("batches", 7_680), ("events", 32_614), ("streams", 4_351)] {
        assert_eq!(report[field], count, "{field}");
    }
    assert!(report["segments"].as_u64().unwrap() > 3);

    let ran = quipu(&["import", text(&history), "--dir", dir]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            0,
            "imported 0 batches, 0 events in 0 streams; skipped 7,680 batches that were there already\n"
        )
    );
}

#[test]
fn every_field_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let lines = concat!(
        r#"{"time":1427842294.000000001,"events":[{"stream":"s","type":"T","id":"01234567-89ab-cdef-0123-456789abcdef","#,
        r#""tags":["a","b"],"metadata":{"m":null},"data":{"z":1.50,"a":[1e400]}},"#,
        r#"{"stream":"t \"1\"","type":"U","metadata_base64":"/w==","data_base64":""}]}"#,
        "\n\n",
        r#"{"time":1427842295,"events":[{"stream":"s","type":"T","data":null,"expected_version":0}]}"#,
    );
    assert_eq!(import(directory.path(), lines).code, 0);
    let found = fine(&["export", "--dir", text(directory.path())]);
    let wanted = lines.replace("\n\n", "\n").replace(r#","expected_version":0"#, "");
    assert_eq!(found, wanted + "\n");
    // What was exported is what was imported.
    let ran = import(directory.path(), &found);
    assert!(ran.err.ends_with("skipped 2 batches that were there already\n"), "{}", ran.err);
}

#[test]
fn a_bad_line_is_refused_with_its_number_and_all_before_it_stays() {
    for (bad, reason) in [
        ("{\"events\":", "column 10: EOF while parsing a value"),
        ("{\"events\":[]}", "the batch has no events"),
        (
            "{\"when\":1,\"events\":[]}",
            "column 7: unknown field `when`, expected `time` or `events`",
        ),
        (
            r#"{"events":[{"stream":"x","type":"T","data":1},{"stream":"y","type":"T"}]}"#,
            "event 2 has no data, it must have data or data_base64",
        ),
        (
            r#"{"events":[{"stream":"x","type":"","data":1}]}"#,
            "the batch is invalid: event type is 0 bytes long, it must be 1 to 255",
        ),
        (
            r#"{"events":[{"stream":"x","type":"T","data":1,"expected_version":4}]}"#,
            "stream \"x\" has no events, expected version 4",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let lines = line("a", 1) + &line("b", 2) + bad + "\n" + &line("c", 3);
        let ran = import(directory.path(), &lines);
        assert_eq!(ran.code, 1, "{bad}");
        let said = format!("quipu: stdin:3: {reason}");
        assert!(ran.err.contains(&said), "{}\n{said}", ran.err);
        assert!(
            ran.err.starts_with("imported 2 batches, 2 events in 2 streams, positions 0 to 1;")
        );
        assert_eq!(exported(directory.path()).len(), 2, "{bad}");

        // Mended, it goes on where it stopped.
        let mended = line("a", 1) + &line("b", 2) + &line("x", 9) + &line("c", 3);
        let ran = import(directory.path(), &mended);
        assert!(
            ran.err.starts_with("imported 2 batches, 2 events in 2 streams, positions 2 to 3;")
        );
        assert!(ran.err.ends_with("skipped 2 batches that were there already\n"));
        let found: Vec<_> =
            exported(directory.path()).iter().map(|it| it[0]["stream"].clone()).collect();
        assert_eq!(found, ["a", "b", "x", "c"]);
    }
}

#[test]
fn no_line_behind_a_refused_one_is_stored_although_many_are_under_way() {
    // The refusal is the log's, so that it comes when the lines behind have been submitted.
    let directory = tempfile::tempdir().unwrap();
    let mut lines: String = (0..50).map(|data| line("s", data)).collect();
    lines += r#"{"events":[{"stream":"s","type":"T","data":50,"expected_version":7}]}"#;
    lines += "\n";
    lines.extend((51..3000).map(|data| line("s", data)));
    let ran = import(directory.path(), &lines);
    assert_eq!(ran.code, 1);
    let said = "quipu: stdin:51: stream \"s\" is at version 49, expected 7";
    assert!(ran.err.contains(said), "{}", ran.err);
    assert_eq!(exported(directory.path()).len(), 50);
}

#[test]
fn versions_expected_by_every_line_are_checked_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let expecting = |stream: &str, expected: &str| {
        format!(
            r#"{{"events":[{{"stream":"{stream}","type":"T","data":1,"expected_version":{expected}}}]}}"#
        ) + "\n"
    };
    let mut lines = expecting("s", "\"no_stream\"") + &expecting("t", "\"any\"");
    for version in 0..100 {
        lines += &expecting("s", &version.to_string());
        lines += &expecting("t", "\"exists\"");
    }
    let ran = import(directory.path(), &lines);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(exported(directory.path()).len(), 202);
    let ran = import(directory.path(), &(lines + &expecting("s", "99")));
    assert!(
        ran.err.contains("stdin:203: stream \"s\" is at version 100, expected 99"),
        "{}",
        ran.err
    );
}

#[test]
fn an_import_goes_on_although_others_have_written_in_between() {
    let directory = tempfile::tempdir().unwrap();
    import(directory.path(), &(line("a", 1) + &line("a", 1)));
    import(directory.path(), &(line("other", 7)));
    let ran = import(directory.path(), &(line("a", 1) + &line("a", 1) + &line("a", 1)));
    // `other` stands behind the first two, so the third line is new.
    assert!(
        ran.err.starts_with("imported 1 batch, 1 event in 1 stream, positions 3 to 3;"),
        "{}",
        ran.err
    );
    let ran = import(directory.path(), &(line("a", 1) + &line("a", 1) + &line("a", 1)));
    assert!(ran.err.starts_with("imported 0 batches"), "{}", ran.err);

    let args = ["import", "-", "--again", "--dir", text(directory.path())];
    let ran = common::quipu_with(&args, &line("a", 1));
    assert!(ran.err.contains("positions 4 to 4; skipped 0 batches"), "{}", ran.err);
}

#[test]
fn a_line_that_differs_in_anything_is_another_batch() {
    let event = |change: (&str, &str)| {
        let whole = r#"{"stream":"s","type":"T","id":"00000000-0000-0000-0000-000000000001","tags":["a"],"metadata":1,"data":1}"#;
        assert!(change.0.is_empty() || whole.contains(change.0));
        whole.replace(change.0, change.1)
    };
    let line = |events: &[String]| format!("{{\"events\":[{}]}}\n", events.join(","));
    let same = event(("", ""));
    for change in [
        ("\"s\"", "\"t\""),
        ("\"T\"", "\"U\""),
        ("0001\"", "0002\""),
        ("[\"a\"]", "[\"a\",\"b\"]"),
        ("\"metadata\":1", "\"metadata\":2"),
        ("\"data\":1", "\"data\":1.0"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let first = line(&[same.clone(), event(change)]);
        assert_eq!(import(directory.path(), &first).code, 0);
        let swapped = line(&[event(change), same.clone()]);
        for other in
            [line(&[same.clone(), same.clone()]), line(std::slice::from_ref(&same)), swapped]
        {
            let ran = import(directory.path(), &other);
            assert!(ran.err.starts_with("imported 1 batch"), "{change:?}: {}", ran.err);
        }
        let ran = import(directory.path(), &first);
        assert!(ran.err.starts_with("imported 0 batches"), "{change:?}: {}", ran.err);
    }
}
