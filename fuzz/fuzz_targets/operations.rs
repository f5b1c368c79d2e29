//! Runs [`quipu_fuzz::operations`] under libFuzzer: `cargo +nightly fuzz run operations`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::operations(data);
});

#[cfg(not(fuzzing))]
fn main() {}
