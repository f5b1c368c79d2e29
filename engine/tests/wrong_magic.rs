//! A segment whose first eight bytes are neither right nor half written, wherever it stands: no crash
//! leaves it, so it is never cut, replaced or gone over; the log says which file it is, what stands
//! there and where the log stops, and all in front of that can be read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::sim::{Decay, Missed, Place, SimDisk};
use quipu::{
    Batch, Damage, Durability, Event, Fault, Log, OpenError, OpenErrorKind, Options, Position,
    Proof,
};
use quipu_format::SegmentHeaderError;

#[path = "common/files.rs"]
mod files;

use files::{Files, HEADER_BYTES, damage, open, payloads, segment};

const SEGMENT_BYTES: usize = 8 << 10;

/// The position at the start of each segment, and at the end; the last one is prepared and unused.
const BASES: [u64; 4] = [0, 3, 6, 8];

fn options() -> Options {
    Log::options().segment_bytes(SEGMENT_BYTES as u64)
}

fn payload(number: u8) -> Vec<u8> {
    vec![number; 900]
}

fn written(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(payload).collect()
}

fn append(log: &Log, numbers: std::ops::Range<u8>, durability: Durability) {
    for number in numbers {
        let event = Event::new("T", payload(number));
        log.append(Batch::new().durability(durability).event("a", event)).unwrap();
    }
}

/// Three segments in use, with three, three and two batches, and one prepared; each batch durable,
/// and a close frame behind the last that says so.
fn closed() -> Files {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..8, Durability::Sync);
    log.close().unwrap();
    with_one_prepared(Files::of(&disk))
}

/// The same without the close frame: the disk proves nothing of it durable.
fn buffered() -> Files {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..8, Durability::Buffered);
    let files = Files::of(&disk);
    drop(log);
    with_one_prepared(files)
}

fn with_one_prepared(mut files: Files) -> Files {
    files.0.insert(segment(3), vec![0; SEGMENT_BYTES]);
    files
}

fn path(sequence: usize) -> String {
    format!("simulated disk/{}", segment(sequence))
}

fn magic(files: &Files, sequence: usize) -> [u8; 8] {
    *files.0[&segment(sequence)].first_chunk().unwrap()
}

/// What must be told of a segment with a wrong magic.
fn told(files: &Files, sequence: usize, position: u64, proof: Proof) -> Damage {
    let found = magic(files, sequence);
    Damage {
        file: path(sequence),
        offset: 0,
        position: Position::new(position),
        fault: Fault::Header(SegmentHeaderError::Magic { found }),
        proof,
    }
}

/// The close frame, which says that all was durable.
fn close_frame(files: &Files) -> Proof {
    let offset = files.frames(2)[2] as u64;
    Proof::Synced { file: path(2), offset, synced_position: Position::new(8) }
}

/// The first frame of all, which says that the header in front of it was durable.
fn first_frame() -> Proof {
    Proof::Settled { file: path(0), offset: HEADER_BYTES as u64 }
}

#[test]
fn every_flipped_bit_of_a_magic_is_told_by_file_offset_and_position() {
    for whole in [closed(), buffered()] {
        let is_closed = whole.frames(2).len() == 3;
        for (sequence, position) in BASES.into_iter().enumerate() {
            for bit in 0..64 {
                let mut files = whole.clone();
                files.segment(sequence)[bit / 8] ^= 1 << (bit % 8);
                let proof = match (is_closed, sequence) {
                    (true, 0..3) => close_frame(&whole),
                    (false, 0) => first_frame(),
                    _ => Proof::WrongMagic,
                };
                let expected = told(&files, sequence, position, proof);
                for options in [options(), options().verify_on_open(true), options().create(false)]
                {
                    assert_eq!(damage(&files, &options, &written(8)), expected, "bit {bit}");
                }
            }
        }
    }
}

#[test]
fn another_sector_in_place_of_a_header_is_told_by_file_offset_and_position() {
    for whole in [closed(), buffered()] {
        let is_closed = whole.frames(2).len() == 3;
        for (sequence, position) in BASES.into_iter().enumerate() {
            // The start of a batch's frame, and the middle of its payload.
            for offset in [HEADER_BYTES as u64, HEADER_BYTES as u64 + 512] {
                let disk = whole.disk();
                let meant_for = Place::new(segment(1), offset);
                let missed = Missed::Own;
                let decay = Decay::MisdirectedSector { offset: 0, meant_for, missed };
                assert!(disk.corrupt(&segment(sequence), decay));
                let files = Files::of(&disk);
                let landed = &whole.0[&segment(1)][offset as usize..][..512];
                assert_eq!(&files.0[&segment(sequence)][..512], landed);
                let proof = match (is_closed, sequence) {
                    (true, 0..3) => close_frame(&whole),
                    (false, 0) => first_frame(),
                    _ => Proof::WrongMagic,
                };
                let expected = told(&files, sequence, position, proof);
                assert_eq!(damage(&files, &options(), &written(8)), expected, "from {offset}");
            }
        }
    }
}

#[test]
fn the_words_claim_no_loss_that_is_not_known() {
    let mut files = buffered();
    files.segment(1)[7] = b'X';
    assert_eq!(
        damage(&files, &options(), &written(8)).to_string(),
        "simulated disk/00000000000000000001.seg is damaged at offset 0: the log stops at position \
         3, more may be lost (not a segment: the first eight bytes are [51, 55, 49, 50, 55, 53, 45, \
         58]). Proof: a magic that is neither right nor half written is no torn store's and no \
         unused segment's, so the file is foreign or has decayed. Open it for reading to get all \
         before position 3; restore a backup, or take all that is whole into a new log with `quipu \
         salvage`"
    );
}

#[test]
fn a_torn_tail_in_front_of_a_wrong_magic_is_not_cut() {
    let mut files = buffered();
    let last = files.frames(2)[1];
    files.zero(2, last + 100);
    assert_eq!(open(&files, &options()).unwrap(), written(7), "without it, it is");
    for sequence in [3, 9] {
        let mut files = files.clone();
        files.0.insert(segment(sequence), b"PK\x03\x04, a zip archive".to_vec());
        let expected = told(&files, sequence, 7, Proof::WrongMagic);
        assert_eq!(damage(&files, &options(), &written(8)), expected);
    }
}

#[test]
fn a_file_of_something_else_behind_the_log_is_left_alone_and_can_be_moved_away() {
    for whole in [closed(), buffered(), Files::default()] {
        let events = if whole.0.is_empty() { 0 } else { 8 };
        for length in [8, 100, HEADER_BYTES, SEGMENT_BYTES] {
            let mut files = whole.clone();
            let mut archive = vec![7; length];
            archive[..4].copy_from_slice(b"PK\x03\x04");
            // Of two, the first is told.
            files.0.extend([5, 9].map(|sequence| (segment(sequence), archive.clone())));
            files.0.insert(segment(4), vec![0; SEGMENT_BYTES]);
            let found = open(&files, &options()).unwrap_err();
            let OpenError::Damaged(found) = found else { panic!("{found}") };
            match events {
                // Segment 0 has its name before any other.
                0 => assert_eq!(found.fault, Fault::MissingFile),
                _ => assert_eq!(*found, told(&files, 5, events, Proof::WrongMagic)),
            }
            files.0.retain(|name, _| *name < segment(4) || name.ends_with(".idx"));
            let disk = files.disk();
            let log = Log::open_simulated(&disk, options()).unwrap();
            append(&log, events as u8..10, Durability::Sync);
            assert!(payloads(&log) == written(10));
        }
    }
}

#[test]
fn a_reader_beside_a_live_writer_is_told_of_a_wrong_magic() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..8, Durability::Sync);
    log.sync().unwrap();
    disk.write_file(&segment(7), b"PK\x03\x04, a zip archive");
    let files = Files::of(&disk);
    let reader = Log::open_simulated_read_only(&disk, options()).unwrap();
    let found = reader.recovery_report().damage.clone().unwrap();
    assert_eq!(found, told(&files, 7, 8, Proof::WrongMagic));
    let read = payloads(&reader);
    assert!(read.len() >= 7 && read == written(8)[..read.len()], "what was proved durable");
    drop(log);
}

#[test]
fn a_lost_header_of_the_only_segment_is_damage_beside_a_prepared_one() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..2, Durability::Sync);
    log.close().unwrap();
    let mut files = Files::of(&disk);
    files.0.insert(segment(1), vec![0; SEGMENT_BYTES]);
    files.segment(0)[0] ^= 1;
    let expected = told(&files, 0, 0, Proof::WrongMagic);
    for options in [options(), options().create(false)] {
        assert_eq!(damage(&files, &options, &written(2)), expected);
    }
}

#[test]
fn files_of_which_none_begins_like_a_segment_are_no_log_and_stay_as_they_are() {
    let mut archives = Files::default();
    archives.0.extend([0, 3].map(|sequence| (segment(sequence), b"PK\x03\x04 archive".to_vec())));
    let mut all_headers_lost = closed();
    all_headers_lost.0.remove(&segment(3));
    (0..3).for_each(|sequence| {
        all_headers_lost.segment(sequence)[..4].copy_from_slice(b"PK\x03\x04")
    });
    let rest = [["20, 61, 72, 63"], ["55, 53, 45, 47"]];
    for (files, [rest]) in [archives, all_headers_lost].into_iter().zip(rest) {
        let words = format!(
            "simulated disk/00000000000000000000.seg is not a segment of a log at offset 0, and \
             there is no other: this is no log, or nothing of it can be read from position 0 on \
             (not a segment: the first eight bytes are [50, 4b, 03, 04, {rest}]); move the files \
             away if they do not belong there, restore a backup if they do"
        );
        let disk = files.disk();
        for opened in [
            Log::open_simulated(&disk, options()),
            Log::open_simulated(&disk, options().create(false)),
            Log::open_simulated_read_only(&disk, options()),
        ] {
            let error = opened.unwrap_err();
            assert!(matches!(error, OpenError::NotASegment { .. }), "{error}");
            assert_eq!((error.to_string(), error.kind()), (words.clone(), OpenErrorKind::Damage));
            assert!(Files::of(&disk) == files, "nothing is touched");
        }
    }
}
