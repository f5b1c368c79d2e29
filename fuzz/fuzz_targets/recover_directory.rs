//! Runs [`quipu_fuzz::recover_directory`] under libFuzzer: `cargo +nightly fuzz run recover_directory`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quipu_fuzz::recover_directory(data);
});

#[cfg(not(fuzzing))]
fn main() {}
