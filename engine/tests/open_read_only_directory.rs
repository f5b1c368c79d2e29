//! A log that may not be written: refused for writing by its own words, served for reading.
//!
//! Permission bits bind everyone but root. Where the tests run as root, each open is done by another
//! process of this program, as a user without rights.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quipu::{Log, Options};

#[path = "common/support.rs"]
mod support;
use support::{Picture, child, child_value, dense, is_root, one, program, segment, set_mode};

/// The user without rights, as which nothing belongs to us.
const NOBODY: u32 = 65_534;

fn options() -> Options {
    Log::options().segment_bytes(8 << 10).idle_mark_after(Duration::from_secs(3_600))
}

/// A directory that everybody may enter, with a log of 30 events and this program in it.
struct Place {
    root: tempfile::TempDir,
    log: PathBuf,
    program: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        set_mode(root.path(), 0o755);
        let (log, copy) = (root.path().join("log"), root.path().join("program"));
        fs::copy(program(), &copy).unwrap();
        set_mode(&copy, 0o755);
        let writer = options().open(&log).unwrap();
        for number in 0..30 {
            writer.append(one("s", format!("{number}{}", "x".repeat(300)))).unwrap();
        }
        writer.close().unwrap();
        Self { root, log, program: copy }
    }

    /// What an open by a user without rights says; `how` is `write` or `read`.
    fn open_as_nobody(&self, how: &str, directory: &Path) -> String {
        let value = format!("{how} {}", directory.display());
        let mut command = child(&self.program, "child_that_opens_a_log", value);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.current_dir("/").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = text.lines().find_map(|line| line.strip_prefix("ANSWER "));
        let answer = answer.unwrap_or_else(|| {
            panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
        });
        answer.replace(&self.root.path().display().to_string(), "ROOT")
    }

    /// Sets the permission bits of every file of the log.
    fn set_file_modes(&self, mode: u32) {
        for entry in fs::read_dir(&self.log).unwrap() {
            set_mode(&entry.unwrap().path(), mode);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        set_mode(&self.log, 0o755);
    }
}

/// Not a test by itself: run by others in another process. Does nothing without its value.
#[test]
fn child_that_opens_a_log() {
    let Some(value) = child_value() else { return };
    let opened = match value.split_once(' ').unwrap() {
        ("write", directory) => options().open(directory),
        (_, directory) => Log::open_read_only(directory),
    };
    match opened {
        Ok(log) => println!("\nANSWER {} events", dense(&log).len()),
        Err(error) => println!("\nANSWER {error}"),
    }
}

#[test]
fn a_directory_that_may_not_be_written_is_refused_for_writing_and_served_for_reading() {
    let place = Place::new();
    place.set_file_modes(0o444);
    set_mode(&place.log, 0o555);
    let before = Picture::of(&place.log);
    assert_eq!(
        place.open_as_nobody("write", &place.log),
        "ROOT/log cannot be written, open it for reading or mend its rights: \
         cannot lock ROOT/log: Permission denied (os error 13)"
    );
    assert_eq!(place.open_as_nobody("read", &place.log), "30 events");
    before.assert_unchanged(&place.log);
}

#[test]
fn a_segment_that_may_not_be_written_is_refused_for_writing() {
    let place = Place::new();
    place.set_file_modes(0o666);
    set_mode(&place.log, 0o777);
    set_mode(&segment(&place.log, 1), 0o444);
    let before = Picture::of(&place.log);
    assert_eq!(
        place.open_as_nobody("write", &place.log),
        "ROOT/log cannot be written, open it for reading or mend its rights: \
         cannot open ROOT/log/00000000000000000001.seg: Permission denied (os error 13)"
    );
    assert_eq!(place.open_as_nobody("read", &place.log), "30 events");
    before.assert_unchanged(&place.log);
}

#[test]
fn a_log_that_may_not_be_made_is_refused() {
    let place = Place::new();
    set_mode(&place.log, 0o555);
    assert_eq!(
        place.open_as_nobody("write", &place.log.join("new")),
        "ROOT/log/new cannot be written, open it for reading or mend its rights: \
         cannot open ROOT/log/new: Permission denied (os error 13)"
    );
    assert!(!place.log.join("new").exists());
}

#[test]
fn a_log_that_may_not_be_read_is_refused() {
    let place = Place::new();
    place.set_file_modes(0o600);
    if is_root() {
        assert_eq!(
            place.open_as_nobody("read", &place.log),
            "cannot look at the lock of ROOT/log: Permission denied (os error 13)"
        );
    }
}
