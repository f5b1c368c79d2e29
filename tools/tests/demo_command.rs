//! Goal: the demo shows what it promises, leaves nothing behind, and keeps its log if it is asked to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{fine, quipu, text};

#[test]
fn a_demo_in_a_directory_of_its_own_keeps_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("log");
    let shown = fine(&["demo", "--rounds", "2", "--seed", "7", "--dir", text(&dir)]);
    assert!(shown.contains("Seed 7."), "{shown}");
    for wanted in
        ["\n    2  ", "none lost", "Verified without the engine: ok", "power cut", "order-"]
    {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    assert!(fine(&["verify", text(&dir)]).starts_with("ok: "));
    let again = quipu(&["demo", "--rounds", "1", "--dir", text(&dir)]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("is not empty"), "{}", again.err);
}

#[test]
fn a_demo_leaves_nothing_behind_even_if_it_is_interrupted() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = |rounds: &str| {
        Command::new(env!("CARGO_BIN_EXE_quipu"))
            .args(["demo", "--rounds", rounds])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let left = || std::fs::read_dir(temporary.path()).unwrap().count();
    assert!(demo("1").wait().unwrap().success());
    assert_eq!(left(), 0);

    let mut child = demo("1000");
    while left() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let signal = ["-TERM".to_owned(), child.id().to_string()];
    assert!(Command::new("kill").args(signal).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left(), 0);
}
