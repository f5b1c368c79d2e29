//! What the tests of the command share: running the real program.
#![allow(dead_code, unreachable_pub)] // each test file is a crate of its own and uses some of it
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What the command came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `quipu` with these arguments and this on stdin.
pub fn quipu_with(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quipu"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = std::thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writing.join().unwrap();
    Ran {
        code: status.code().expect("it was not killed"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

pub fn quipu(arguments: &[&str]) -> Ran {
    quipu_with(arguments, "")
}

/// Runs `quipu`, which must say that all is well; gives its output.
pub fn fine(arguments: &[&str]) -> String {
    let ran = quipu(arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
    ran.out
}

/// Imports lines into the log in `directory`.
pub fn import(directory: &Path, lines: &str) -> Ran {
    quipu_with(&["import", "-", "--segment-bytes", "65536", "--dir", text(directory)], lines)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines as JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A batch of one event as a line.
pub fn line(stream: &str, data: u64) -> String {
    format!(r#"{{"events":[{{"stream":"{stream}","type":"T","data":{data}}}]}}"#) + "\n"
}

/// The history of real repositories, if it is on this machine.
pub fn repository_history() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = manifest.join("../../shared/data/repository-history.jsonl");
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there, nothing was tested", path.display());
    None
}
