//! Directories that no engine has left: other kinds of files under a log's names, and more segments
//! than a process may have files. Nothing hangs, and every answer is a clear one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use quipu::{AppendError, Batch, Event, Log, OpenError, Options};

fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

fn large(number: usize) -> Batch {
    Batch::new().event("a", Event::new("T", vec![number as u8; 3000]))
}

fn name(sequence: usize) -> String {
    format!("{sequence:020}.seg")
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Every batch fills a segment.
fn fill(path: &Path, batches: usize) {
    let log = options().open(path).unwrap();
    (0..batches).for_each(|number| drop(log.append(large(number)).unwrap()));
    log.close().unwrap();
}

#[test]
fn a_pipe_in_place_of_the_lock_makes_nobody_wait() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 2);
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    make_pipe(&dir.path().join("LOCK"));
    assert_eq!(Log::open_read_only(dir.path()).unwrap().end().as_u64(), 2);
    // Whether it can be locked is the system's to say; it says so at once.
    drop(options().open(dir.path()));
}

#[test]
fn what_is_no_regular_file_is_no_segment() {
    let others: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| make_pipe(path),
        |path| symlink("/dev/zero", path).unwrap(),
    ];
    for other in others {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 3);
        // In place of a segment: it is missing.
        let moved = dir.path().join("moved");
        fs::rename(dir.path().join(name(1)), &moved).unwrap();
        other(&dir.path().join(name(1)));
        let error = options().open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged(_)), "{error}");
        let log = Log::open_read_only(dir.path()).unwrap();
        assert!(log.recovery_report().damage.is_some() && log.end().as_u64() == 1);
    }
}

#[test]
fn a_directory_where_the_next_segment_should_go_latches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 2);
    let last = (0..9).find(|sequence| !dir.path().join(name(*sequence)).exists()).unwrap();
    let obstacle = dir.path().join(name(last));
    fs::create_dir(&obstacle).unwrap();
    let log = options().open(dir.path()).unwrap();
    let error = (0..9).find_map(|number| log.append(large(number)).err()).unwrap();
    assert!(matches!(error, AppendError::NoSegment(_)), "{error}");
    fs::remove_dir(obstacle).unwrap();
    log.append(large(10)).unwrap();
}

#[test]
fn a_log_may_have_more_segments_than_a_process_may_have_files() {
    const DIRECTORY: &str = "QUIPU_TEST_MANY_SEGMENTS";
    const SEGMENTS: usize = 150;
    if let Some(path) = env::var_os(DIRECTORY) {
        let log = options().open(&path).unwrap();
        assert_eq!(log.end().as_u64() as usize, SEGMENTS);
        let events: Result<Vec<_>, _> = log.read(..).into_iter().collect();
        assert_eq!(events.unwrap().len(), SEGMENTS);
        log.append(large(1)).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), SEGMENTS);
    let mut child = Command::new("sh");
    child
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\""])
        .arg(env::current_exe().unwrap());
    child.arg("a_log_may_have_more_segments_than_a_process_may_have_files");
    let output = child.env(DIRECTORY, dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
