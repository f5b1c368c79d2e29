//! What stands against opening a log: each reason by its own words, and nothing changed on disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use quipu::{Log, OpenError, OpenErrorKind, Options};
use quipu_format::layout::segment as header;

#[path = "common/support.rs"]
mod support;
use support::{Picture, child, child_value, dense, one, program, segment};

/// The smallest segments, and nothing written by itself.
fn options() -> Options {
    Log::options().segment_bytes(8 << 10).idle_mark_after(Duration::from_secs(3_600))
}

/// A log of several full segments, closed. Gives its id.
fn make_log(directory: &Path) -> String {
    let log = options().open(directory).unwrap();
    for number in 0..60 {
        log.append(one(&format!("s{}", number % 7), "x".repeat(300))).unwrap();
    }
    let id = log.recovery_report().log_id.to_string();
    log.close().unwrap();
    assert!(segment(directory, 5).exists(), "enough segments for every case");
    id
}

/// Changes bytes of a segment's header and makes its checksum right again.
fn patch_header(path: &Path, at: usize, bytes: &[u8]) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut block = vec![0; header::BYTES];
    file.read_exact_at(&mut block, 0).unwrap();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    block[header::CHECKSUM..header::CHECKSUM + 4].fill(0);
    let sum = crc32c::crc32c(&block);
    block[header::CHECKSUM..header::CHECKSUM + 4].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&block, 0).unwrap();
}

/// Opens for writing, and if `reading` also for reading: both are refused with these words, where
/// `DIR` stands for the directory, and nothing has changed.
fn assert_refused(directory: &Path, kind: OpenErrorKind, words: &str, reading: bool) {
    let before = Picture::of(directory);
    let check = |error: OpenError| {
        let text = error.to_string().replace(&directory.display().to_string(), "DIR");
        assert_eq!(text, words);
        assert_eq!(error.kind(), kind);
        assert!(error.source().is_none(), "what led to it stands in the message");
        before.assert_unchanged(directory);
    };
    check(options().open(directory).unwrap_err());
    check(options().create(false).open(directory).unwrap_err());
    if reading {
        check(Log::open_read_only(directory).unwrap_err());
    }
}

#[test]
fn an_unknown_required_feature_is_refused_and_an_unknown_optional_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    patch_header(&segment(dir.path(), 2), header::REQUIRED_FEATURES, &[0, 2]);
    assert_refused(
        dir.path(),
        OpenErrorKind::Unsupported,
        "DIR/00000000000000000002.seg needs a newer release: \
         required feature flags 0x200 are not known to this release",
        true,
    );
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    drop(log);
    patch_header(&segment(dir.path(), 0), header::OPTIONAL_FEATURES, &[1]);
    options().open(dir.path()).unwrap();
}

#[test]
fn a_newer_format_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    patch_header(&segment(dir.path(), 0), header::FORMAT_VERSION, &[2]);
    assert_refused(
        dir.path(),
        OpenErrorKind::Unsupported,
        "DIR/00000000000000000000.seg needs a newer release: format version 2, this release knows 1",
        true,
    );
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (id, other_id) = (make_log(dir.path()), make_log(other.path()));
    fs::copy(segment(other.path(), 3), segment(dir.path(), 3)).unwrap();
    assert_refused(
        dir.path(),
        OpenErrorKind::Damage,
        &format!("DIR/00000000000000000003.seg belongs to the log {other_id}, this is {id}"),
        true,
    );
}

#[test]
fn a_missing_segment_in_the_middle_is_damage_and_all_before_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    let whole = dense(&Log::open_read_only(dir.path()).unwrap());
    fs::remove_file(segment(dir.path(), 2)).unwrap();
    let log = Log::open_read_only(dir.path()).unwrap();
    let before = dense(&log);
    assert!(!before.is_empty() && before[..] == whole[..before.len()]);
    let damage = log.recovery_report().damage.clone().unwrap();
    assert_eq!((damage.position, damage.offset), (log.end(), 0));
    let position = log.end();
    drop(log);
    let OpenError::Damaged(found) = options().open(dir.path()).unwrap_err() else {
        panic!("it is damage");
    };
    assert_eq!(*found, damage);
    let proof = found.proof.to_string().replace(&dir.path().display().to_string(), "DIR");
    assert_refused(
        dir.path(),
        OpenErrorKind::Damage,
        &format!(
            "DIR/00000000000000000002.seg is damaged at offset 0: position {position} had been \
             durable and cannot be read (the file is missing). Proof: {proof}. Open it for reading \
             to get all before position {position}; restore a \
             backup, or take all that is whole into a new log with `quipu salvage`"
        ),
        false,
    );
    assert!(proof.contains("durable"), "{proof}");
}

#[test]
fn the_first_segment_missing_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    fs::remove_file(segment(dir.path(), 0)).unwrap();
    let error = options().open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Damage, "{error}");
    assert_refused(dir.path(), OpenErrorKind::Damage, &shown(&error, dir.path()), false);
}

#[test]
fn a_segment_of_another_length_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    let file = fs::OpenOptions::new().write(true).open(segment(dir.path(), 1)).unwrap();
    file.set_len(4 << 10).unwrap();
    let error = options().open(dir.path()).unwrap_err();
    let text = shown(&error, dir.path());
    assert!(
        text.starts_with("DIR/00000000000000000001.seg is damaged at offset 0: position ")
            && text.contains("(the file is 4096 bytes long, its header says 8192)"),
        "{text}"
    );
    assert_refused(dir.path(), OpenErrorKind::Damage, &text, false);
}

fn shown(error: &OpenError, directory: &Path) -> String {
    error.to_string().replace(&directory.display().to_string(), "DIR")
}

#[test]
fn a_file_that_is_no_segment_is_refused_wherever_its_name_puts_it() {
    for sequence in [0, 3, 99] {
        let dir = tempfile::tempdir().unwrap();
        make_log(dir.path());
        fs::write(segment(dir.path(), sequence), b"PK\x03\x04 a zip archive, not a segment")
            .unwrap();
        let log = Log::open_read_only(dir.path()).unwrap();
        let (damage, end) = (log.recovery_report().damage.clone().unwrap(), log.end());
        drop(log);
        let (about, is_behind) = (shown(&OpenError::Damaged(damage.into()), dir.path()), 99);
        let known = match sequence == is_behind {
            true => format!("the log stops at position {end}, more may be lost"),
            false => format!("position {end} had been durable and cannot be read"),
        };
        let start = format!(
            "DIR/{sequence:020}.seg is damaged at offset 0: {known} (not a segment: the first \
             eight bytes are [50, 4b, 03, 04, 20, 61, 20, 7a]). Proof: "
        );
        assert!(about.starts_with(&start), "{about}");
        assert_eq!(end.as_u64() == 60, sequence == is_behind);
        assert_refused(dir.path(), OpenErrorKind::Damage, &about, false);
    }
}

#[test]
fn a_directory_of_files_that_are_no_segments_is_no_log() {
    let dir = tempfile::tempdir().unwrap();
    for sequence in [0, 1] {
        fs::write(segment(dir.path(), sequence), b"PK\x03\x04 a zip archive").unwrap();
    }
    assert_refused(
        dir.path(),
        OpenErrorKind::Damage,
        "DIR/00000000000000000000.seg is not a segment of a log at offset 0, and there is no other: \
         this is no log, or nothing of it can be read from position 0 on (not a segment: the first \
         eight bytes are [50, 4b, 03, 04, 20, 61, 20, 7a]); move the files away if they do not \
         belong there, restore a backup if they do",
        true,
    );
}

#[test]
fn a_renamed_and_a_copied_segment_are_refused() {
    let cases: [fn(&Path, &Path); 2] = [
        |from, to| fs::rename(from, to).unwrap(),
        |from, to| assert!(fs::copy(from, to).unwrap() > 0),
    ];
    for displace in cases {
        let dir = tempfile::tempdir().unwrap();
        make_log(dir.path());
        displace(&segment(dir.path(), 2), &segment(dir.path(), 77));
        assert_refused(
            dir.path(),
            OpenErrorKind::Damage,
            "DIR/00000000000000000077.seg is segment 2 by its header, \
             rename it back or move it away",
            true,
        );
    }
}

#[test]
fn files_of_other_names_and_directories_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("3.seg"), "mine").unwrap();
    fs::create_dir(segment(dir.path(), 50)).unwrap();
    let log = options().open(dir.path()).unwrap();
    assert_eq!(dense(&log).len(), 60);
    log.close().unwrap();
    assert_eq!(fs::read(dir.path().join("notes.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(dir.path().join("3.seg")).unwrap(), b"mine");
    assert!(segment(dir.path(), 50).is_dir());
}

/// Waits until the writer has the segment ready that it keeps ahead of need: until then it changes
/// the directory by itself.
fn wait_for_the_spare(directory: &Path, log: &Log) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        let unfinished = names.iter().any(|name| name.to_string_lossy().ends_with(".tmp"));
        names.retain(|name| name.to_string_lossy().ends_with(".seg"));
        if names.len() == log.recovery_report().segments + 1 && !unfinished {
            return;
        }
        assert!(Instant::now() < deadline, "a segment is prepared ahead of need: {names:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_second_writer_in_this_process_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    let log = options().open(dir.path()).unwrap();
    wait_for_the_spare(dir.path(), &log);
    let pid = std::process::id();
    assert_refused(
        dir.path(),
        OpenErrorKind::InUse,
        &format!("DIR is in use by process {pid}, close it there or open it for reading"),
        false,
    );
    assert_eq!(dense(&Log::open_read_only(dir.path()).unwrap()).len(), 60, "readers are let in");
    log.append(one("s", "")).unwrap();
    drop(log);
    options().open(dir.path()).unwrap();
}

#[test]
fn a_second_writer_in_another_process_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path());
    let log = options().open(dir.path()).unwrap();
    wait_for_the_spare(dir.path(), &log);
    let before = Picture::of(dir.path());
    let path = dir.path().display().to_string();
    let command = || child(&program(), "child_that_opens_a_log", &path);
    let (answer, pid) = (answer_of(command()), std::process::id());
    let expected =
        format!("{path} is in use by process {pid}, close it there or open it for reading");
    assert_eq!(answer, expected);
    before.assert_unchanged(dir.path());
    log.close().unwrap();
    assert_eq!(answer_of(command()), "60 events");
}

/// What [`child_that_opens_a_log`] said.
fn answer_of(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = text.lines().find_map(|line| line.split_once("ANSWER ").map(|(_, answer)| answer));
    answer.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

/// Not a test by itself: run by others in another process. Does nothing without its directory.
#[test]
fn child_that_opens_a_log() {
    let Some(directory) = child_value() else { return };
    match options().open(&directory) {
        Ok(log) => println!("\nANSWER {} events", dense(&log).len()),
        Err(error) => println!("\nANSWER {error}"),
    }
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "mine").unwrap();
    for opened in
        [options().open(&path), options().create(false).open(&path), Log::open_read_only(&path)]
    {
        let error = opened.unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a directory", path.display()));
        assert_eq!(error.kind(), OpenErrorKind::Misuse);
    }
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    let below = path.join("below");
    for opened in [options().open(&below), options().create(false).open(&below)] {
        let error = opened.unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a directory", path.display()));
    }
}

#[test]
fn a_missing_log_is_not_made_unless_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for opened in [options().create(false).open(&missing), Log::open_read_only(&missing)] {
        let error = opened.unwrap_err();
        assert_eq!(error.to_string(), format!("{} holds no log", missing.display()));
        assert_eq!(error.kind(), OpenErrorKind::Misuse);
        assert!(!missing.exists());
    }
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = Log::open_read_only(&empty).unwrap_err();
    assert_eq!(error.to_string(), format!("{} holds no log", empty.display()));
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    let error = options().create(false).open(&empty).unwrap_err();
    assert_eq!(error.to_string(), format!("{} holds no log", empty.display()));
    options().open(&missing).unwrap();
    options().create(false).open(&missing).unwrap();
}

#[test]
fn an_option_out_of_range_is_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let (day, zero) = (Duration::from_secs(86_400), Duration::ZERO);
    for (options, words) in [
        (options().segment_bytes(0), "segment_bytes is 0, it must be 8192 to 1099511627776"),
        (options().segment_bytes(4096), "segment_bytes is 4096, it must be 8192 to 1099511627776"),
        (
            options().segment_bytes((1 << 40) + 1),
            "segment_bytes is 1099511631872, it must be 8192 to 1099511627776",
        ),
        (
            options().sync_interval(zero),
            "sync_interval (ms) is 0, it must be 1 to 18446744073709551615",
        ),
        (options().idle_mark_after(zero), "idle_mark_after (ms) is 0, it must be 1 to 3600000"),
        (
            options().idle_mark_after(day),
            "idle_mark_after (ms) is 86400000, it must be 1 to 3600000",
        ),
        (options().queue_batches_max(0), "queue_batches_max is 0, it must be 1 to 1048576"),
        (options().group_batches_max(0), "group_batches_max is 0, it must be 1 to 1048576"),
        (options().group_bytes_max(0), "group_bytes_max is 0, it must be 4096 to 1073741824"),
        (options().segments_ahead(0), "segments_ahead is 0, it must be 1 to 16"),
        (options().segments_ahead(17), "segments_ahead is 17, it must be 1 to 16"),
    ] {
        for error in [
            options.clone().open(&missing).unwrap_err(),
            options.open_read_only(&missing).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), format!("option {words}"));
            assert_eq!(error.kind(), OpenErrorKind::Misuse);
        }
        assert!(!missing.exists());
    }
}
