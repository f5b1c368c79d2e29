//! Fuzz targets for the log and its format: each takes any bytes, checks what must hold of them, and
//! panics where it does not.
//!
//! `cargo +nightly fuzz run decode_frame` runs one under libFuzzer; on stable, `tests/corpus.rs` runs
//! all of them over `corpus/`, and `tests/memory.rs` sees what they allocate (under libFuzzer:
//! `-malloc_limit_mb=32`). A target gives whether the bytes decoded, so that the test sees that the
//! corpus reaches what lies behind the checksums.
//!
//! The first byte of every input is a set of flags that says how the rest is laid out and whether
//! its checksums are made right, without which random bytes would never get past them. Directories
//! begin with a real log instead, and are made wrong step by step.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a panic is how a target reports

mod by_format;
mod decode_frame;
mod decode_segment_header;
mod edit;
mod forge;
mod input;
mod logs;
mod operations;
mod read_base;
mod read_index;
mod recover_directory;
mod repair;
mod scan_segment;

pub use decode_frame::decode_frame;
pub use decode_segment_header::decode_segment_header;
pub use operations::operations;
pub use read_base::read_base;
pub use read_index::read_index;
pub use recover_directory::{directory_bytes, recover_directory};
pub use scan_segment::scan_segment;

use quipu_format::LogId;

/// The log id that frames are checked against: that of the golden files.
pub const LOG_ID: LogId = LogId::from_bytes(*b"quipu golden log");

/// Flag: checksums are made right before decoding.
pub const FLAG_FIX: u8 = 1;
/// Flag: what chains a frame to the one before is made right, too; with [`FLAG_FIX`] only.
pub const FLAG_CHAIN: u8 = 2;
/// Flag: the rest is taken as it is, and not laid out in a segment first.
pub const FLAG_RAW: u8 = 4;
