//! Runs [`quipu_fuzz::read_index`] under libFuzzer: `cargo +nightly fuzz run read_index`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::read_index(data);
});

#[cfg(not(fuzzing))]
fn main() {}
