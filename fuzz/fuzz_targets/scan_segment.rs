//! Runs [`quipu_fuzz::scan_segment`] under libFuzzer: `cargo +nightly fuzz run scan_segment`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::scan_segment(data);
});

#[cfg(not(fuzzing))]
fn main() {}
