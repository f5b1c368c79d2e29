//! Goal: what is read and written in pieces is read and written whole: segments longer than the
//! pieces in which recovery looks at them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::sim::{SimDisk, Survivors};
use quipu::{Batch, Durability, Event, Log, Options, Proof};

#[path = "common/files.rs"]
mod files;

use files::{Files, HEADER_BYTES, damage, payloads};

/// Recovery searches so much at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The begin header of a frame.
const FRAME_HEADER_BYTES: usize = 48;

fn options() -> Options {
    Log::options().segment_bytes(3 << 20)
}

fn append(log: &Log, payload: Vec<u8>) {
    let event = Event::new("T", payload);
    log.append(Batch::new().durability(Durability::Buffered).event("a", event)).unwrap();
}

/// Three buffered batches, of which the last alone says that the two in front are durable. Its frame
/// begins at `third`.
fn log_with_third_at(third: usize) -> (Files, Vec<Vec<u8>>) {
    let small = vec![1; 64];
    let write = |filler: usize| {
        let disk = SimDisk::new(1);
        let log = Log::open_simulated(&disk, options()).unwrap();
        let written = vec![small.clone(), vec![2; filler], small.clone()];
        append(&log, written[0].clone());
        append(&log, written[1].clone());
        log.sync().unwrap();
        append(&log, written[2].clone());
        let files = Files::of(&disk);
        drop(log);
        (files, written)
    };
    let least = write(0).0.frames(0)[2];
    let (files, written) = write(third - least);
    assert_eq!(files.frames(0)[2], third);
    (files, written)
}

#[test]
fn a_header_across_two_pieces_that_are_searched_is_seen() {
    for in_front in (0..=FRAME_HEADER_BYTES).step_by(8) {
        let third = HEADER_BYTES + PIECE_BYTES - in_front;
        let (mut files, written) = log_with_third_at(third);
        files.segment(0)[HEADER_BYTES + 100] ^= 1;
        let found = damage(&files, &options(), &written);
        let Proof::Synced { offset, synced_position, .. } = found.proof else { panic!("{found}") };
        assert_eq!((offset, synced_position.as_u64()), (third as u64, 2));
    }
}

#[test]
fn a_cut_reaches_to_the_last_byte_of_the_segment() {
    let (mut files, written) = log_with_third_at(2 * PIECE_BYTES);
    // Nothing says that it was durable: the last batch is gone too.
    files.zero(0, 2 * PIECE_BYTES);
    files.segment(0)[HEADER_BYTES + 100] ^= 1;
    *files.segment(0).last_mut().unwrap() = 1;
    let disk = files.disk();
    let log = Log::open_simulated(&disk, options()).unwrap();
    assert!(payloads(&log).is_empty());
    let cut = files.segment(0).len() - HEADER_BYTES;
    assert_eq!(log.recovery_report().bytes_cut, cut as u64);
    let disk = disk.reboot(&Survivors::None);
    assert!(Files::of(&disk).segment(0)[HEADER_BYTES..].iter().all(|byte| *byte == 0));

    let log = Log::open_simulated(&disk, options()).unwrap();
    written.iter().for_each(|payload| append(&log, payload.clone()));
    assert!(payloads(&log) == written);
}
