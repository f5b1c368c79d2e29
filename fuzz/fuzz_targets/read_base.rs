//! Runs [`quipu_fuzz::read_base`] under libFuzzer: `cargo +nightly fuzz run read_base`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::read_base(data);
});

#[cfg(not(fuzzing))]
fn main() {}
