//! Runs [`quipu_fuzz::decode_segment_header`] under libFuzzer: `cargo +nightly fuzz run decode_segment_header`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::decode_segment_header(data);
});

#[cfg(not(fuzzing))]
fn main() {}
