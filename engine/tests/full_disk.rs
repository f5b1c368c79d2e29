//! No room: appends say so and change nothing, what is acknowledged stays, and room is all it needs.
//!
//! On small real file systems, which only root may mount; skipped, with a message, elsewhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use quipu::{AppendError, Durability, Log, Options, Outcome, Preparation, StoreMode};

#[path = "common/support.rs"]
mod support;
use support::{dense, is_root, one};

/// A small file system of its own; unmounted when dropped.
struct SmallDisk {
    root: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with a message, where it cannot be had.
    fn mount(kind: &str) -> Option<Self> {
        let skip = |why: &str| println!("skipped on {kind}: {why}");
        if !is_root() {
            skip("only root may mount a file system");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("disk")).unwrap();
        let (image, disk) = (root.path().join("image"), root.path().join("disk"));
        let mut mount = Command::new("mount");
        if kind == "tmpfs" {
            mount.args(["-t", "tmpfs", "-o", "size=4m", "quipu-test"]);
        } else {
            File::create(&image).unwrap().set_len(12 << 20).unwrap();
            let make = Command::new(format!("mkfs.{kind}")).args(["-q", "-F"]).arg(&image).output();
            if !make.is_ok_and(|made| made.status.success()) {
                skip("it cannot be made here");
                return None;
            }
            mount.args(["-o", "loop"]).arg(&image);
        }
        match mount.arg(&disk).output() {
            Ok(output) if output.status.success() => Some(Self { root }),
            Ok(output) => {
                skip(String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                skip(&error.to_string());
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let name = |number: usize| self.path().join(format!("ballast-{number}"));
        let number = (0..).find(|number| !name(*number).exists()).unwrap();
        let mut file = File::create(name(number)).unwrap();
        // Down to the last byte: the last blocks go in small pieces.
        for length in [64 << 10, 4096, 512, 1] {
            while file.write_all(&vec![1; length]).is_ok() {}
        }
        let _ = file.sync_all();
    }

    /// Gives the room back.
    fn make_room(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("ballast-") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

/// Appends until it is answered `Full`; gives how many were stored.
fn append_until_full(log: &Log) -> u64 {
    for stored in 0..100_000 {
        match log.append(one("s", "x".repeat(1_000))) {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, AppendError::Full(_)), "{error}");
                assert_eq!(error.outcome(), Outcome::NotApplied);
                assert!(
                    error.to_string().starts_with("the disk is full, the batch was not written: "),
                    "{error}"
                );
                return stored;
            }
        }
    }
    panic!("a small disk is full at some time");
}

fn options() -> Options {
    Log::options().segment_bytes(64 << 10).idle_mark_after(Duration::from_millis(1))
}

fn run(disk: &SmallDisk, options: &Options) {
    let log = options.clone().open(disk.log()).unwrap();
    log.append(one("s", "")).unwrap();
    disk.fill();
    let mut count = 1 + append_until_full(&log);
    for _ in 0..5 {
        // Again and again, of either durability, handed over or not.
        assert_eq!(append_until_full(&log), 0);
        let buffered = one("s", "x".repeat(1_000)).durability(Durability::Buffered);
        let error = log.append(buffered.clone()).unwrap_err();
        assert!(matches!(error, AppendError::Full(_)), "{error}");
        let error = log.submit(buffered).unwrap().wait().unwrap_err();
        assert!(matches!(error, AppendError::Full(_)), "{error}");
        assert_eq!(dense(&log).len() as u64, count, "what is acknowledged stays, and no more");
    }
    log.sync().unwrap();

    // Room, and the same handle goes on.
    disk.make_room();
    log.append(one("s", "x".repeat(1_000))).unwrap();
    disk.fill();
    count += 1 + append_until_full(&log);
    assert_eq!(dense(&log).len() as u64, count);
    log.close().unwrap();

    // Opening needs no room, neither after a close nor a second time.
    for _ in 0..2 {
        disk.fill();
        let reader = Log::open_read_only(disk.log()).unwrap();
        assert_eq!(dense(&reader).len() as u64, count);
        let log = options.clone().open(disk.log()).unwrap();
        assert!(log.recovery_report().clean_close);
        assert_eq!(dense(&log).len() as u64, count);
        assert_eq!(append_until_full(&log), 0);
        log.close().unwrap();
    }
    let log = options.clone().open(disk.log()).unwrap();
    disk.make_room();
    log.append(one("s", "x".repeat(1_000))).unwrap();
    assert_eq!(dense(&log).len() as u64, count + 1);
}

fn run_on(kind: &str) {
    for mode in [StoreMode::default(), StoreMode::Mapped, StoreMode::Positioned] {
        for preparation in [Preparation::Populate, Preparation::DirectZeros] {
            let Some(disk) = SmallDisk::mount(kind) else { return };
            run(&disk, &options().store_mode(mode).preparation(preparation));
        }
    }
}

#[test]
fn a_full_tmpfs_is_survived() {
    run_on("tmpfs");
}

#[test]
fn a_full_ext4_is_survived() {
    run_on("ext4");
}

#[test]
fn a_log_that_finds_no_room_for_its_first_segment_is_not_made_and_can_be_made_later() {
    let Some(disk) = SmallDisk::mount("tmpfs") else { return };
    fs::create_dir(disk.log()).unwrap();
    disk.fill();
    let error = options().open(disk.log()).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("No space left on device (os error 28)"), "{text}");
    assert!(no_segments(&disk.log()), "nothing is left behind");
    disk.make_room();
    let log = options().open(disk.log()).unwrap();
    log.append(one("s", "")).unwrap();
    assert_eq!(dense(&log).len(), 1);
}

fn no_segments(directory: &Path) -> bool {
    let mut names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.all(|name| name == "LOCK")
}
