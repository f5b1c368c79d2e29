//! Target: one block as a segment header.
//!
//! Input: flags, then the block; filled up with zeros to 4096 bytes, unless [`FLAG_RAW`] is set.

use quipu_format::layout::segment;
use quipu_format::{Chain, SegmentHeader, SegmentSeq};

use crate::repair::fix_segment_header;
use crate::{FLAG_FIX, FLAG_RAW};

/// What decodes obeys the rules, encodes to the same bytes, and has no neighbour that decodes.
pub fn decode_segment_header(data: &[u8]) -> bool {
    let Some((flags, rest)) = data.split_first() else { return false };
    let mut block = rest.to_vec();
    if flags & FLAG_RAW == 0 {
        block.resize(segment::BYTES, 0);
    }
    if flags & FLAG_FIX != 0 && block.len() >= segment::BYTES {
        fix_segment_header(&mut block);
    }
    let header = match SegmentHeader::decode(&block) {
        Ok(Some(header)) => header,
        Ok(None) => {
            assert!(block[..segment::BYTES].iter().all(|byte| *byte == 0), "prepared is all zero");
            return false;
        }
        Err(_) => return false,
    };
    assert_eq!(header.encode()[..], block[..segment::BYTES], "one header has one encoding");
    assert_eq!(header.checksum().to_le_bytes()[..], block[segment::CHECKSUM..][..4]);
    assert!((segment::CAPACITY_MIN..=segment::CAPACITY_MAX).contains(&header.capacity));
    assert!(header.capacity.is_multiple_of(segment::CAPACITY_STEP));
    assert!(header.synced_position <= header.base_position);
    assert_eq!(header.predecessor.is_none(), header.sequence == SegmentSeq::ZERO);
    let chain = Chain::at_start_of(&header);
    assert_eq!(chain.position, header.base_position);
    // The checksum finds any flipped bit; which one, the input decides.
    let at = usize::from(*rest.last().unwrap_or(&0)) * 16 + usize::from(flags >> 4);
    block[at % segment::BYTES] ^= 1 << (flags >> 1 & 7);
    assert!(SegmentHeader::decode(&block).is_err(), "a flipped bit in byte {at}");
    true
}
