//! Directories that no crash or decay would leave: no panic, no loop, no memory out of proportion.

use fastrand::Rng;
use quipu_format::frame::FrameHeader;
use quipu_format::{ByteOffset, CommitTime, FrameKind, Position, Salt, SegmentSeq};

use super::*;

#[test]
fn headers_that_lie_within_one_another_do_not_cost_the_square_of_their_number() {
    const LENGTH: usize = 4 << 20;
    let mut log = TestLog::new();
    let salt = Salt::new(LogId::from_bytes(*b"verify test log "), SegmentSeq::ZERO);
    log.bytes(0).resize(LENGTH, 0);
    // Each begins a frame that ends with the file.
    for at in (4096..LENGTH - 4096).step_by(48) {
        let header = FrameHeader {
            frame_bytes: (LENGTH - at) as u32,
            kind: FrameKind::Batch,
            settled: false,
            checkpoint_count: 0,
            event_count: 1,
            stream_count: 1,
            first_position: Position::ZERO,
            commit_time: CommitTime::ZERO,
            synced_position: Position::ZERO,
            previous: 0,
        };
        let (bytes, _) = header.encode(salt, ByteOffset::new(at as u64));
        log.bytes(0)[at..at + 48].copy_from_slice(&bytes);
    }
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let found = Inventory::of(&Source::new(directory.path(), Stages::hidden()), None).unwrap();
    let tried: usize = found.segments[0].gaps.iter().map(|gap| gap.broken.len()).sum();
    // Without a bound it would be all 87,000, with two megabytes each.
    assert!((1..100).contains(&tried), "{tried} frames were read");
    assert!(found.runs.is_empty());
}

#[test]
fn names_at_the_end_of_all_numbers_and_things_that_are_no_files_do_no_harm() {
    let log = closed_log();
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path());
    let path = directory.path();
    fs::copy(path.join(file(1)), path.join("18446744073709551615.seg")).unwrap();
    fs::create_dir(path.join(file(3))).unwrap();
    std::os::unix::fs::symlink(file(0), path.join(file(4))).unwrap();
    fs::write(path.join("LOCK"), "no number").unwrap();
    fs::write(path.join(format!("{}.tmp", file(5))), "unfinished").unwrap();
    let found = salvage(&dry(path)).unwrap();
    assert_eq!((found.batches, lost(&found)), (6, vec![]), "{found}");
    assert_eq!(found.damage.len(), 1, "{found}");
    assert_eq!(found.damage[0].fault, "the header is that of segment 1");
}

#[test]
fn a_header_alone_at_the_end_of_all_numbers_names_all_between_in_one_line() {
    let mut log = closed_log();
    log.prepare();
    let path = tempfile::tempdir().unwrap();
    log.write_to(path.path());
    let block = log.bytes(2)[..4096].to_vec();
    let header = quipu_format::SegmentHeader::decode(&block).unwrap().unwrap();
    let far = quipu_format::SegmentHeader {
        sequence: SegmentSeq::new(u64::MAX),
        base_position: Position::new(u64::MAX - 1),
        ..header
    };
    let mut bytes = far.encode().to_vec();
    bytes.resize(8192, 0);
    fs::write(path.path().join("18446744073709551615.seg"), bytes).unwrap();
    let found = salvage(&dry(path.path())).unwrap();
    assert_eq!(lost(&found), [(15, u64::MAX - 2, false)], "{found}");
    let missing = found.damage.iter().filter(|it| it.fault.contains("missing")).count();
    assert_eq!((missing, found.batches), (1, 6), "{found}");
}

#[test]
fn bytes_changed_at_random_never_make_a_batch_that_was_not_there() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for _ in 0..2000 {
        let mut log = closed_log();
        for _ in 0..rng.usize(1..20) {
            let segment = rng.usize(..3);
            let bytes = log.bytes(segment);
            if bytes.is_empty() {
                continue;
            }
            let (from, to) = (rng.usize(..bytes.len()), rng.usize(..bytes.len()));
            match rng.u8(..5) {
                0 => bytes[from] = rng.u8(..),
                1 => {
                    bytes[from..].iter_mut().take(rng.usize(..600)).for_each(|it| *it = rng.u8(..))
                }
                2 => bytes.truncate(from),
                3 => bytes.copy_within(from.min(to)..from.max(to), 0),
                _ => bytes.extend(std::iter::repeat_n(0, rng.usize(..9000))),
            }
        }
        let directory = tempfile::tempdir().unwrap();
        log.write_to(directory.path());
        let mut request = dry(directory.path());
        request.log_id = Some(LogId::from_bytes(*b"verify test log "));
        match salvage(&request) {
            Ok(found) => {
                assert!(found.batches <= 6, "{found}");
                assert!(!found.to_string().is_empty());
            }
            Err(error) => assert!(matches!(error, SalvageError::Unsupported { .. }), "{error}"),
        }
    }
}
