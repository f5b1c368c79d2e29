//! Files that are missing, of another length, or none of the log.

use super::*;

#[test]
fn the_first_header_gone_is_no_empty_log() {
    let mut log = TestLog::of_three_segments();
    log.bytes(0)[..4096].fill(0);
    let (found, offset, position, _) = damage(&log);
    assert_eq!((found, offset, position), (file(0), 0, 0));

    // Where no header at all tells the log's id, the frames cannot be checked.
    let mut log = TestLog::new();
    log.batch(&["a"]);
    log.bytes(0)[..4096].fill(0);
    let (.., proof) = damage(&log);
    assert!(proof.contains("cannot be checked without a header"), "{proof}");
}

#[test]
fn a_missing_file_in_front_of_a_segment_in_use_is_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll_with(false).batch_unsynced(&["b"]).roll_with(false);
    log.segments[1].bytes = None;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 1));
    assert_eq!(proof, format!("{} comes after it and cannot be there without it", file(2)));
    // In front of a prepared one, and not behind a seal, it is only a hole in the numbers.
    let mut log = TestLog::new();
    log.batch(&["a"]).prepare().prepare();
    log.segments[1].bytes = None;
    assert_eq!(report(&log).tail, Tail::Clean);
}

#[test]
fn a_missing_file_behind_a_seal_is_damage() {
    let mut log = TestLog::new();
    log.batch(&["a"]).roll_with(false).batch_unsynced(&["b"]).prepare();
    log.segments[1].bytes = None;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(1), 0, 1));
    assert_eq!(proof, format!("{} is sealed, so the one behind it had its name, durably", file(0)));
    // Prepared is enough.
    log.segments[1].bytes = Some(vec![0; CAPACITY]);
    assert_eq!(report(&log).tail, Tail::Clean);
}

#[test]
fn the_first_file_missing_is_no_empty_log_if_there_is_any_other() {
    let mut log = TestLog::new();
    log.batch(&["a"]).prepare();
    log.segments[0].bytes = None;
    let (found, offset, position, proof) = damage(&log);
    assert_eq!((found, offset, position), (file(0), 0, 0));
    assert_eq!(proof, format!("{} comes after it and cannot be there without it", file(1)));
}

#[test]
fn a_directory_or_a_link_in_the_place_of_a_segment_is_no_file() {
    let mut log = TestLog::of_three_segments();
    log.segments[1].bytes = None;
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let place = directory.path().join(file(1));
    std::fs::create_dir(&place).unwrap();
    for _ in 0..2 {
        let Tail::Damaged { file: found, fault, .. } = verify(directory.path()).unwrap().tail
        else {
            panic!("it is damaged")
        };
        assert_eq!((found, fault.as_str()), (file(1), "the file is missing"));
        let _ = std::fs::remove_dir(&place);
        let _ = std::os::unix::fs::symlink(file(0), &place);
    }
}

#[test]
fn a_length_that_no_segment_has_is_damage_even_without_a_header() {
    for length in [0, 1, 4096, 5000, 8191, 8193] {
        let mut log = TestLog::new();
        log.batch(&["a"]).control(ControlKind::Seal, true).prepare();
        log.bytes(1).resize(length, 0);
        let (found, offset, position, proof) = damage(&log);
        assert_eq!((found, offset, position), (file(1), 0, 1));
        assert_eq!(proof, "the length of a segment never changes");
    }
}

#[test]
fn a_file_of_another_length_is_damage() {
    for length in [CAPACITY - 1, CAPACITY + 1, CAPACITY - 4096] {
        let mut log = TestLog::of_three_segments();
        log.bytes(2).resize(length, 0);
        let (found, _, position, proof) = damage(&log);
        assert_eq!((found, position), (file(2), 10));
        assert!(
            proof == "the length of a segment never changes" || proof.contains("was durable"),
            "{proof}"
        );
    }
}

#[test]
fn files_of_which_none_begins_like_a_segment_are_no_log() {
    let mut log = TestLog::of_three_segments();
    (0..3).for_each(|segment| log.bytes(segment)[..2].copy_from_slice(b"PK"));
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let error = verify(directory.path()).unwrap_err();
    assert!(matches!(&error, VerifyError::NotASegment { file: found, .. } if *found == file(0)));
    assert_eq!(
        error.to_string(),
        format!(
            "{} is not a segment of a log at offset 0, and there is no other (not a segment: the \
             first eight bytes are [50, 4b, 49, 50, 55, 53, 45, 47]): this is no log, or nothing of \
             it can be read",
            file(0)
        )
    );
}

#[test]
fn what_does_not_belong_there_is_no_matter_of_a_crash() {
    let log = TestLog::of_three_segments();
    let with = |name: &str, bytes: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        log.write_to(directory.path());
        std::fs::write(directory.path().join(name), bytes).unwrap();
        verify(directory.path()).unwrap_err().to_string()
    };
    let second = log.segments[1].bytes.clone().unwrap();
    let error = with(&file(7), &second);
    assert!(error.starts_with(&format!("{} is segment 1 by its header", file(7))), "{error}");

    let mut foreign = second.clone();
    foreign[32..48].copy_from_slice(b"some other log!!");
    fix_header(&mut foreign);
    let error = with(&file(1), &foreign);
    assert!(error.contains("belongs to the log 736f6d65"), "{error}");

    let mut newer = second;
    newer[8] = 2;
    fix_header(&mut newer);
    let error = with(&file(1), &newer);
    assert_eq!(
        error,
        format!("{} needs a newer release: format version 2, this release knows 1", file(1))
    );

    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(verify(empty.path()), Err(VerifyError::NoLog(_))));
    assert!(matches!(verify(&empty.path().join("no")), Err(VerifyError::Open { .. })));
}
