//! CRC32C, and how it is bound to a place.
//!
//! Owns: [`Salt`], the state that every frame checksum of one segment starts from.
//! May call: the crates `crc32c` and `crc-fast` (feature `std`; without it, a table in this file).
//!
//! CRC32C is the Castagnoli polynomial (RFC 3720, appendix B.4), which finds every burst of up to
//! 32 bits. The checksums of a frame at its own place and of a copy elsewhere run over inputs that
//! differ in the place only. So a frame moved within the first 4 GiB of a segment, or copied to the
//! same offset of another segment of its log (sequence numbers below 2^32), never verifies: that is
//! one burst. Moved further, or to another offset of another segment, or into another log, it
//! verifies once in 2^32 cases, and then the chain refuses it.
//!
//! A checksum never runs over another checksum that covers the same prefix from the same start:
//! the CRC of a message with its own CRC behind it is a constant and binds nothing. The commit
//! checksum therefore goes on from the header's checksum as its state, not over its bytes.

use crate::ids::{ByteOffset, LogId, SegmentSeq};

/// The start of every frame checksum of one segment: the CRC32C of log id and sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// The salt of segment `sequence` of the log `log_id`.
    #[must_use]
    pub fn new(log_id: LogId, sequence: SegmentSeq) -> Self {
        let state = crc32c_append(0, log_id.as_bytes());
        Self(crc32c_append(state, &sequence.as_u64().to_le_bytes()))
    }

    /// The checksum of the header fields `fields` of a frame at `offset`.
    #[must_use]
    #[inline]
    pub fn header_checksum(self, offset: ByteOffset, fields: &[u8]) -> u32 {
        let state = crc32c_append(self.0, &offset.as_u64().to_le_bytes());
        crc32c_append(state, fields)
    }
}

/// The checksum of a batch's body, given in parts. It is bound to no place: the commit checksum
/// covers it, and that is.
#[must_use]
pub fn body_checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |state, part| crc32c_append(state, part))
}

/// The commit checksum: goes on from the header's over the versions and the trailer's fields.
#[must_use]
pub fn commit_checksum(header_checksum: u32, versions: &[u8], trailer_fields: &[u8]) -> u32 {
    let state = crc32c_append(header_checksum, versions);
    crc32c_append(state, trailer_fields)
}

/// The CRC32C of what gave `state` followed by `bytes`; the state of nothing is 0.
#[must_use]
pub fn crc32c_append(state: u32, bytes: &[u8]) -> u32 {
    if bytes.is_empty() {
        return state;
    }
    #[cfg(feature = "std")]
    return processor_append(state, bytes);
    #[cfg(not(feature = "std"))]
    return table_append(state, bytes);
}

/// CRC32C by the processor: by its own instruction, which is the quickest to begin, and for more by
/// the widest that it has.
#[cfg(feature = "std")]
fn processor_append(state: u32, bytes: &[u8]) -> u32 {
    use crc_fast::{CrcAlgorithm, Digest};
    if bytes.len() < LONG_BYTES {
        return crc32c::crc32c_append(state, bytes);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!state));
    digest.update(bytes);
    digest.finalize() as u32
}

/// From here on the widest instructions are ahead; `cargo bench -p quipu-bench --bench commit checksum`
/// shows it.
#[cfg(feature = "std")]
const LONG_BYTES: usize = 128;

/// CRC32C byte by byte: slow, and in need of nothing.
#[cfg(any(test, not(feature = "std")))]
fn table_append(state: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!state, |state, byte| {
        let entry = TABLE.get(usize::from(state as u8 ^ byte)).copied().unwrap_or(0);
        state >> 8 ^ entry
    })
}

/// What each byte does to an empty state.
#[cfg(any(test, not(feature = "std")))]
#[allow(clippy::indexing_slicing)] // evaluated by the compiler, where a bad index is an error
const fn table() -> [u32; 256] {
    const POLYNOMIAL_REVERSED: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 0 { state >> 1 } else { state >> 1 ^ POLYNOMIAL_REVERSED };
            bit += 1;
        }
        table[byte] = state;
        byte += 1;
    }
    table
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::{body_checksum, crc32c_append, table_append};

    #[test]
    fn the_checksum_is_the_one_of_rfc_3720() {
        let ascending: [u8; 32] = core::array::from_fn(|at| at as u8);
        for append in [crc32c_append, table_append] {
            assert_eq!(append(0, &[0; 32]), 0x8a91_36aa);
            assert_eq!(append(0, &[0xff; 32]), 0x62a8_ab43);
            assert_eq!(append(0, &ascending), 0x46dd_794e);
            assert_eq!(append(0, b"123456789"), 0xe306_9283);
            assert_eq!(append(append(0, b"1234"), b"56789"), 0xe306_9283);
        }
    }

    #[test]
    fn the_processor_sums_as_the_table_does_whatever_length_place_and_state() {
        let bytes: [u8; 700] = core::array::from_fn(|at| (at * at / 8) as u8);
        for start in 0..9 {
            for end in (start..bytes.len()).step_by(1 + start) {
                let (state, part) = ((end * 0x9e37_79b1) as u32, &bytes[start..end]);
                let found = crc32c_append(state, part);
                assert_eq!(found, table_append(state, part), "{start}..{end} after {state:x}");
            }
        }
    }

    #[test]
    fn a_body_in_parts_has_the_checksum_of_the_whole() {
        assert_eq!(body_checksum(&[b"1234", b"", b"56789"]), 0xe306_9283);
        assert_eq!(body_checksum(&[]), 0);
    }
}
