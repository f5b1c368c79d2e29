//! Goal: `quipu tail` shows the end of a log, and then each event, once and in order, while another
//! process writes; and it ends when it is told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{fine, import, json_lines, line, quipu, text};
use quipu::{Batch, Durability, Event, Log};
use serde_json::Value;

/// So long nothing takes, on the busiest machine; a wait that is longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `quipu tail -f` under way, killed when it is dropped.
struct Tail {
    child: Child,
    lines: mpsc::Receiver<(Instant, String)>,
}

impl Tail {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args(["tail", "-f", text(directory)])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out: ChildStdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                if send.send((Instant::now(), line.unwrap())).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line, and when it was there.
    fn next(&self) -> (Instant, String) {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    fn signal(&self, name: &str) {
        let signal = [format!("-{name}"), self.child.id().to_string()];
        assert!(Command::new("kill").args(signal).status().unwrap().success());
    }

    /// Waits for the end; gives the exit code, and what is left of the lines.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = wait(&mut self.child);
        (code, self.lines.iter().map(|(_, line)| line).collect())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it does not end");
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn the_last_events_are_shown_in_the_order_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let lines: String =
        (0..30).map(|data| line(["a-1", "a-2", "b"][data % 3], data as u64)).collect();
    assert_eq!(import(directory.path(), &lines).code, 0);
    let numbers = |arguments: &[&str]| -> Vec<u64> {
        let all = [&["tail", "--json", text(directory.path())], arguments].concat();
        json_lines(&fine(&all)).iter().map(|line| line["data"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&[]), (20..30).collect::<Vec<_>>());
    assert_eq!(numbers(&["-n", "2"]), [28, 29]);
    assert_eq!(numbers(&["-n", "0"]), [] as [u64; 0]);
    assert_eq!(numbers(&["-n", "99"]).len(), 30);
    assert_eq!(numbers(&["-n", "2", "--stream", "a-1"]), [24, 27]);
    assert_eq!(numbers(&["-n", "3", "--prefix", "a-"]), [25, 27, 28]);
    assert_eq!(numbers(&["--type", "U"]), [] as [u64; 0]);
    let shown = fine(&["tail", "-n", "1", text(directory.path())]);
    assert!(shown.ends_with("  b@9  T  29\n") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn each_event_of_another_process_appears_once_in_order_and_soon() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(64 << 10).open(directory.path()).unwrap();
    log.append(Batch::new().event("before", Event::new("T", "0"))).unwrap();
    let tail = Tail::start(directory.path(), &["--json"]);
    assert_eq!(event(&tail.next().1)["stream"], "before");
    let mut late = Vec::new();
    for number in 1..=300_u64 {
        let payload = format!(r#"{{"number":{number},"fill":"{}"}}"#, "x".repeat(400));
        log.append(Batch::new().event("s", Event::new("T", &payload))).unwrap();
        let committed = Instant::now();
        let (seen, line) = tail.next();
        let event = event(&line);
        assert_eq!(
            (&event["position"], &event["data"]["number"]),
            (&number.into(), &number.into())
        );
        late.push(seen.saturating_duration_since(committed));
    }
    late.sort();
    let (median, most) = (late[late.len() / 2], late[late.len() - 1]);
    println!("after its commit an event was there within {median:?} (median), {most:?} (most)");

    // Many at once, over several segments, and not all of them durable when they are committed.
    for number in 301..=3_000_u64 {
        let durability = [Durability::Sync, Durability::Buffered][number as usize % 2];
        let event = Event::new("T", number.to_string());
        log.append(Batch::new().durability(durability).event("s", event)).unwrap();
    }
    log.sync().unwrap();
    for number in 301..=3_000_u64 {
        assert_eq!(event(&tail.next().1)["position"], number);
    }
    // The next writer is followed as the first was.
    log.close().unwrap();
    let log = Log::options().segment_bytes(64 << 10).open(directory.path()).unwrap();
    log.append(Batch::new().event("after", Event::new("T", "0"))).unwrap();
    assert_eq!(event(&tail.next().1)["stream"], "after");
    tail.signal("INT");
    assert_eq!(tail.end(), (Some(0), vec![]), "Ctrl-C is how it is ended");
}

#[test]
fn what_is_followed_is_filtered_as_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let append = |stream: &str, event_type: &str, tag: &str| {
        let event = Event::new(event_type, "0").tag(tag);
        log.append(Batch::new().event(stream, event)).unwrap();
    };
    append("order-1", "Placed", "red");
    let tails = [
        Tail::start(directory.path(), &["--json", "--prefix", "order-", "--tag", "red"]),
        Tail::start(directory.path(), &["--json", "--type", "Placed", "--type", "Sent"]),
        Tail::start(directory.path(), &["--json", "--stream", "order-1"]),
    ];
    for tail in &tails {
        assert_eq!(event(&tail.next().1)["position"], 0);
    }
    append("order-11", "Placed", "blue");
    append("stock", "Sent", "red");
    append("order-12", "Lost", "red");
    append("order-1", "Sent", "red");
    for (tail, wanted) in tails.iter().zip([&[3_u64, 4][..], &[1, 2, 4], &[4]]) {
        for position in wanted {
            assert_eq!(event(&tail.next().1)["position"], *position);
        }
    }
    for tail in tails {
        tail.signal("TERM");
        assert_eq!(tail.end(), (Some(0), vec![]));
    }
}

#[test]
fn a_reader_that_has_gone_away_ends_it_even_if_nothing_comes() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(import(directory.path(), &line("s", 1)).code, 0);
    let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
        .args(["tail", "-f", text(directory.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    assert_eq!(wait(&mut child), Some(0));
}

#[test]
fn a_damaged_log_is_shown_up_to_the_damage_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let lines: String = (100_000..100_004).map(|data| line("s", data)).collect();
    assert_eq!(import(directory.path(), &lines).code, 0);
    let path = directory.path().join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    let third = bytes.windows(6).position(|bytes| bytes == b"100002").unwrap();
    bytes[third] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let tail = Tail::start(directory.path(), &["--json"]);
    let (code, lines) = tail.end();
    assert_eq!(code, Some(1));
    assert_eq!(
        lines.iter().map(|line| event(line)["data"].clone()).collect::<Vec<_>>(),
        [100_000, 100_001]
    );
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(import(directory.path(), &line("s", 1)).code, 0);
    let shown = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quipu"));
        command.args(["tail", text(directory.path())]).env_remove("NO_COLOR");
        command.env_remove("CLICOLOR_FORCE").envs(variables.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(!shown(&[]).contains('\u{1b}'), "a pipe is no terminal");
    assert!(shown(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(!shown(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
    assert_eq!(quipu(&["tail", "/nowhere/at/all"]).code, 1);
}
