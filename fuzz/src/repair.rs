//! Makes checksums right, as a faulty or hostile writer would.

use quipu_format::checksum::{body_checksum, commit_checksum, crc32c_append};
use quipu_format::layout::{
    CONTROL_FRAME_BYTES, aligned, base, checkpoint, header, segment, sidecar, trailer, versions,
};
use quipu_format::{ByteOffset, Salt};

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Makes the checksums of the frame at the front of `bytes` right, as far as its own length and
/// stream count lead.
pub(crate) fn fix_frame(bytes: &mut [u8], salt: Salt, offset: ByteOffset) {
    if bytes.len() < CONTROL_FRAME_BYTES {
        return;
    }
    let sum = salt.header_checksum(offset, &bytes[..header::CHECKSUM]);
    put(bytes, header::CHECKSUM, &sum.to_le_bytes());
    let length = u32_at(bytes, header::LENGTH) as usize;
    let streams = u32_at(bytes, header::STREAM_COUNT) as usize;
    let tail = streams.saturating_mul(versions::ENTRY_BYTES).saturating_add(trailer::BYTES);
    let Some(body_end) =
        length.checked_sub(tail).filter(|end| *end >= header::BYTES && length <= bytes.len())
    else {
        return;
    };
    let at = length - trailer::BYTES;
    let body = body_checksum(&[&bytes[header::BYTES..body_end]]);
    put(bytes, at + trailer::BODY_CHECKSUM, &body.to_le_bytes());
    put(bytes, at + trailer::MAGIC, &trailer::MAGIC_VALUE);
    let fields = &bytes[at..at + trailer::COMMIT_CHECKSUM];
    let commit = commit_checksum(sum, &bytes[body_end..at], fields);
    put(bytes, at + trailer::COMMIT_CHECKSUM, &commit.to_le_bytes());
}

/// Makes the magic, the version and the checksum of a segment header right.
pub(crate) fn fix_segment_header(block: &mut [u8]) {
    put(block, segment::MAGIC, &segment::MAGIC_VALUE);
    put(block, segment::FORMAT_VERSION, &quipu_format::layout::FORMAT_VERSION.to_le_bytes());
    fix_segment_checksum(block);
}

/// Makes the checksum of a segment header right.
pub(crate) fn fix_segment_checksum(block: &mut [u8]) {
    fix_block(block, segment::CHECKSUM, segment::BYTES);
}

/// Makes the magic, the version and the checksums of an index right, as far as its sections lead.
pub(crate) fn fix_index(bytes: &mut [u8]) {
    put(bytes, sidecar::MAGIC, &sidecar::MAGIC_VALUE);
    put(bytes, sidecar::FORMAT_VERSION_AT, &sidecar::FORMAT_VERSION.to_le_bytes());
    let mut start = sidecar::BYTES;
    for number in 0..sidecar::SECTION_COUNT {
        let at = sidecar::SECTIONS + number * sidecar::section::BYTES;
        let end = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let Some(section) = bytes.get(start..end) else { break };
        let sum = crc32c_append(0, section);
        put(bytes, at + sidecar::section::CHECKSUM, &sum.to_le_bytes());
        start = aligned(end);
    }
    fix_block(bytes, sidecar::CHECKSUM, sidecar::BYTES);
}

/// Makes the magic, the version, the length and the checksums of a checkpoint right.
pub(crate) fn fix_checkpoint(bytes: &mut [u8]) {
    put(bytes, checkpoint::MAGIC, &checkpoint::MAGIC_VALUE);
    put(bytes, checkpoint::FORMAT_VERSION_AT, &checkpoint::FORMAT_VERSION.to_le_bytes());
    let length = bytes.len() as u64;
    put(bytes, checkpoint::LENGTH, &length.to_le_bytes());
    let sum = crc32c_append(0, &bytes[checkpoint::BYTES..]);
    put(bytes, checkpoint::RECORDS_CHECKSUM, &sum.to_le_bytes());
    fix_block(bytes, checkpoint::CHECKSUM, checkpoint::BYTES);
}

/// Makes the magic, the version, the length and the checksums of a base right.
pub(crate) fn fix_base(bytes: &mut [u8]) {
    put(bytes, checkpoint::MAGIC, &base::MAGIC_VALUE);
    put(bytes, checkpoint::FORMAT_VERSION_AT, &base::FORMAT_VERSION.to_le_bytes());
    let length = bytes.len() as u64;
    put(bytes, checkpoint::LENGTH, &length.to_le_bytes());
    let sum = crc32c_append(0, &bytes[base::BYTES..]);
    put(bytes, checkpoint::RECORDS_CHECKSUM, &sum.to_le_bytes());
    fix_block(bytes, checkpoint::CHECKSUM, base::BYTES);
}

/// Makes the checksum at `at` of the header of `length` bytes right.
fn fix_block(bytes: &mut [u8], at: usize, length: usize) {
    put(bytes, at, &[0; 4]);
    let sum = crc32c_append(0, &bytes[..length]);
    put(bytes, at, &sum.to_le_bytes());
}
