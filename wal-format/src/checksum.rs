//! CRC32C, and how it is bound to a place.
//!
//! Owns: [`Salt`], the state that every frame checksum of one segment starts from.
//! May call: the `crc32c` crate.
//!
//! CRC32C is the Castagnoli polynomial (RFC 3720, appendix B.4), which finds every burst of up to
//! 32 bits. Two frames that differ only in their offset differ in a burst of at most 32 bits once
//! the offsets are below 2^32, so a frame moved within a segment of up to 4 GiB never verifies;
//! further off, or into another segment or log, it verifies once in 2^32 cases.
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
        let state = crc32c::crc32c(log_id.as_bytes());
        Self(crc32c::crc32c_append(state, &sequence.as_u64().to_le_bytes()))
    }

    /// The checksum of the header fields `fields` of a frame at `offset`.
    #[must_use]
    pub fn header_checksum(self, offset: ByteOffset, fields: &[u8]) -> u32 {
        let state = crc32c::crc32c_append(self.0, &offset.as_u64().to_le_bytes());
        crc32c::crc32c_append(state, fields)
    }
}

/// The checksum of a batch's body.
#[must_use]
pub fn body_checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |state, part| crc32c::crc32c_append(state, part))
}

/// The commit checksum: goes on from the header's over the versions and the trailer's fields.
#[must_use]
pub fn commit_checksum(header_checksum: u32, versions: &[u8], trailer_fields: &[u8]) -> u32 {
    let state = crc32c::crc32c_append(header_checksum, versions);
    crc32c::crc32c_append(state, trailer_fields)
}
