//! What is asked for, where it goes, and what is refused.

use quipu::Log;

use super::*;

fn to(directory: &Path, new: &Path) -> Request {
    Request { to: Some(new.to_owned()), dry_run: false, ..dry(directory) }
}

/// A directory with the log in `old`.
fn with_log(log: &TestLog) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    fs::create_dir(&old).unwrap();
    log.write_to(&old);
    (directory, old, new)
}

#[test]
fn the_new_log_has_segments_like_the_old_one_or_as_wanted_but_large_enough() {
    let (_directory, old, new) = with_log(&closed_log());
    let capacity = |new: &Path| fs::metadata(new.join(file(0))).unwrap().len();
    salvage(&to(&old, &new)).unwrap();
    assert_eq!(capacity(&new), 8192);
    fs::remove_dir_all(&new).unwrap();
    salvage(&Request { segment_bytes: Some(20_000), ..to(&old, &new) }).unwrap();
    assert_eq!(capacity(&new), 20_480);

    // A batch that fills its segment to the seal.
    let mut log = TestLog::new();
    let streams: Vec<String> = (0..70).map(|number| format!("s-{number}")).collect();
    log.batch(&streams.iter().map(String::as_str).collect::<Vec<_>>());
    let frame_bytes = log.frame(0, 0).len() as u64;
    assert!((3900..=4096 - 64).contains(&frame_bytes), "{frame_bytes}");
    let (_directory, old, new) = with_log(&log);
    let found = salvage(&to(&old, &new)).unwrap();
    assert_eq!((found.batches, found.events), (1, 70));
    assert_eq!(capacity(&new), 12_288);
}

#[test]
fn an_empty_directory_may_be_there_and_the_new_log_can_be_written_to() {
    let (_directory, old, new) = with_log(&closed_log());
    fs::create_dir(&new).unwrap();
    let found = salvage(&to(&old, &new)).unwrap();
    assert!(found.written && found.new_log_id.is_some());
    assert_ne!(found.new_log_id.as_ref(), Some(&found.log_id));
    let log = Log::open(&new).unwrap();
    assert!(log.recovery_report().clean_close);
    let receipt = log.append(quipu::Batch::new().event("a", quipu::Event::new("T", "x"))).unwrap();
    assert_eq!(receipt.first_position().as_u64(), 15);
    assert_eq!(receipt.version("a").map(u64::from), Some(3));
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_read() {
    let (directory, old, new) = with_log(&closed_log());
    let misuse = |request: &Request| match salvage(request) {
        Err(SalvageError::Misuse(misuse)) => misuse,
        other => panic!("{other:?}"),
    };
    assert_eq!(misuse(&Request { to: None, ..to(&old, &new) }), Misuse::NoTarget);
    assert!(matches!(misuse(&to(&old, directory.path())), Misuse::NotEmpty(_)));
    assert!(matches!(misuse(&to(&old, &old)), Misuse::NotEmpty(_)));
    assert!(matches!(misuse(&to(&old, &old.join("new"))), Misuse::Inside(_)));
    assert!(matches!(misuse(&to(&old, &new.join("x"))), Misuse::NoPlace { .. }));
    assert!(matches!(
        misuse(&to(&old, Path::new("/"))),
        Misuse::NoPlace { .. } | Misuse::NotEmpty(_)
    ));
    assert!(matches!(misuse(&to(&old, &old.join(file(0)))), Misuse::NoPlace { .. }));
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&old, &link).unwrap();
    assert!(matches!(misuse(&to(&old, &link.join("new"))), Misuse::Inside(_)));
    assert!(!new.exists());
    // An empty directory is not the old log, and has none in it.
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(misuse(&to(&empty, &empty)), Misuse::Inside(_)));
    let error = salvage(&dry(&empty)).unwrap_err();
    assert!(error.to_string().ends_with("empty holds no log"), "{error}");
}

#[test]
fn a_log_with_a_live_writer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let log = Log::options().segment_bytes(8192).open(&old).unwrap();
    log.append(quipu::Batch::new().event("a", quipu::Event::new("T", "x"))).unwrap();
    let error = salvage(&to(&old, &new)).unwrap_err();
    let by = format!("is in use by process {}", std::process::id());
    assert!(error.to_string().contains(&by), "{error}");
    assert!(!new.exists());
    log.close().unwrap();
    assert!(salvage(&to(&old, &new)).unwrap().ok);
}

#[test]
fn what_an_interrupted_run_has_left_is_not_touched_and_what_fails_leaves_nothing() {
    let (directory, old, new) = with_log(&closed_log());
    let unfinished = directory.path().join("new.unfinished");
    fs::create_dir(&unfinished).unwrap();
    let error = salvage(&to(&old, &new)).unwrap_err();
    assert!(matches!(&error, SalvageError::Unfinished(path) if path.ends_with("new.unfinished")));
    assert!(unfinished.exists() && !new.exists());
    fs::remove_dir(&unfinished).unwrap();

    let error = salvage(&Request { segment_bytes: Some(1 << 50), ..to(&old, &new) }).unwrap_err();
    assert!(matches!(error, SalvageError::Open(_)), "{error}");
    assert!(!unfinished.exists() && !new.exists());
}

#[test]
fn of_two_logs_in_one_directory_the_one_with_more_headers_or_the_one_asked_for_is_meant() {
    let (directory, old, _) = with_log(&closed_log());
    let other = directory.path().join("other");
    let log = Log::options().segment_bytes(8192).open(&other).unwrap();
    log.append(quipu::Batch::new().event("a", quipu::Event::new("T", "x"))).unwrap();
    let id = log.recovery_report().log_id;
    log.close().unwrap();
    fs::copy(other.join(file(0)), old.join(file(0))).unwrap();
    let found = salvage(&dry(&old)).unwrap();
    assert_eq!((found.batches, lost(&found)), (4, vec![(0, 4, true)]), "{found}");
    assert_eq!(found.damage[0].fault, format!("the header is that of the log {id}"));
    let found = salvage(&Request { log_id: Some(id), ..dry(&old) }).unwrap();
    assert_eq!((found.batches, found.events, found.ok), (1, 1, false), "{found}");
}

#[test]
fn a_newer_releases_log_is_left_to_it() {
    let mut log = closed_log();
    let block = &mut log.bytes(1)[..4096];
    block[8] = 2;
    block[12..16].fill(0);
    let checksum = quipu_format::checksum::crc32c_append(0, block);
    block[12..16].copy_from_slice(&checksum.to_le_bytes());
    let (_directory, old, new) = with_log(&log);
    let error = salvage(&to(&old, &new)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} needs a newer release: format version 2, this release knows 1", file(1))
    );
}
