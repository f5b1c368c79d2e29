//! Runs [`quipu_fuzz::decode_frame`] under libFuzzer: `cargo +nightly fuzz run decode_frame`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::decode_frame(data);
});

#[cfg(not(fuzzing))]
fn main() {}
