//! Goal: no input of the corpora makes a target take memory out of proportion, whatever lengths and
//! counts it claims. The one test of its process: what else runs would be counted too.
#![allow(clippy::unwrap_used)] // a failed unwrap fails the test

use std::path::Path;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most that a target may take for each byte that it is given: copies of files, and events as
/// plain values.
const TIMES: usize = 10;

/// Runs a target over its corpus. `fixed`: the most that it may take besides; `size`: the bytes that
/// it is given.
fn run(name: &str, target: fn(&[u8]) -> bool, fixed: usize, size: fn(&[u8]) -> usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let (mut most, mut inputs) = ((0, 0), 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        let given = size(&data);
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        target(&data);
        let taken = ALLOCATOR.peak_usage().saturating_sub(before);
        assert!(taken <= fixed + TIMES * given, "{}: {taken} for {given}", path.display());
        most = most.max((taken, given));
        inputs += 1;
    }
    println!("{name}: {inputs} inputs, at most {} bytes for {} given", most.0, most.1);
}

#[test]
fn memory_is_in_proportion_to_the_input() {
    // A format's target lays a segment out; the other keeps the logs that inputs begin with.
    let (segment, logs) = (64 << 10, 1 << 20);
    run("decode_segment_header", quipu_fuzz::decode_segment_header, segment, <[u8]>::len);
    run("decode_frame", quipu_fuzz::decode_frame, segment, <[u8]>::len);
    run("scan_segment", quipu_fuzz::scan_segment, segment, <[u8]>::len);
    run("read_index", quipu_fuzz::read_index, segment, <[u8]>::len);
    run("recover_directory", quipu_fuzz::recover_directory, logs, quipu_fuzz::directory_bytes);
}
