//! What the `quipu` command does.
#![forbid(unsafe_code)]

pub mod number;
pub mod outcome;
mod time;
pub mod verify;
