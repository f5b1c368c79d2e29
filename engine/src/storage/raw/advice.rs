//! Advice to the system about a mapping, in pieces.
//!
//! Owns: [`advise_in_pieces`]. May call: `memmap2`.

#![forbid(unsafe_code)]

use std::io;

use memmap2::{Advice, MmapRaw};

/// Gives `advice` about all of a mapping.
///
/// For as long as one such call takes, no other thread of the process can map memory, or be started:
/// its stack is mapped.
pub(super) fn advise_in_pieces(mapping: &MmapRaw, advice: Advice) -> io::Result<()> {
    let mut at = 0;
    while at < mapping.len() {
        let length = ADVISED_BYTES.min(mapping.len() - at);
        mapping.advise_range(advice, at, length)?;
        at += length;
    }
    Ok(())
}

/// Advised at a time: some tenths of a millisecond.
const ADVISED_BYTES: usize = 1 << 20;
