//! The filter of a sidecar: whether a stream or a tag may be in its segment.
//!
//! Owns: [`Filter`], read in place, and [`build`]. Calls nothing. A split block Bloom filter: a
//! name sets one bit in each of the eight words of one block, so that a look costs one cache line,
//! and pages of one byte and a third a name are read instead of tables of 16. About one name in 80
//! that is not there passes.

use alloc::vec::Vec;

use super::NameHash;
use crate::layout::sidecar::filter::{BLOCK_BYTES, NAMES_PER_BLOCK};

/// What picks the bit of each word: odd numbers, those of the Parquet format.
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// A filter in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    blocks: &'a [[u8; BLOCK_BYTES]],
}

impl<'a> Filter<'a> {
    /// `bytes` is whole blocks.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { blocks: bytes.as_chunks().0 }
    }

    /// `false`: the name with this hash is not there.
    pub(super) fn may_hold(&self, hash: NameHash) -> bool {
        let Some(block) = self.blocks.get(block_of(hash, self.blocks.len())) else { return false };
        let (words, _) = block.as_chunks();
        words.iter().zip(SALTS).all(|(word, salt)| u32::from_le_bytes(*word) & bit(hash, salt) != 0)
    }
}

/// How many bytes the filter of so many names has.
pub(super) const fn bytes_for(names: u64) -> u64 {
    names.div_ceil(NAMES_PER_BLOCK as u64).saturating_mul(BLOCK_BYTES as u64)
}

/// Appends the filter of `names` hashes.
pub(super) fn build(into: &mut Vec<u8>, names: usize, hashes: impl Iterator<Item = NameHash>) {
    let start = into.len();
    into.resize(start + bytes_for(names as u64) as usize, 0);
    let (blocks, _) = into.get_mut(start..).unwrap_or_default().as_chunks_mut::<BLOCK_BYTES>();
    for hash in hashes {
        let Some(block) = blocks.get_mut(block_of(hash, blocks.len())) else { continue };
        let (words, _) = block.as_chunks_mut();
        for (word, salt) in words.iter_mut().zip(SALTS) {
            *word = (u32::from_le_bytes(*word) | bit(hash, salt)).to_le_bytes();
        }
    }
}

/// The upper half of the hash picks the block.
fn block_of(hash: NameHash, blocks: usize) -> usize {
    let scaled = u128::from(hash.as_u64() >> 32) * blocks as u128;
    (scaled >> 32) as usize
}

/// The lower half picks a bit of each word.
fn bit(hash: NameHash, salt: u32) -> u32 {
    1 << ((hash.as_u64() as u32).wrapping_mul(salt) >> 27)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LogId;
    use crate::sidecar::NameHasher;

    #[test]
    fn what_is_there_passes_and_little_else_does() {
        extern crate std;
        let hasher = NameHasher::new(LogId::from_bytes([5; 16]));
        let hash = |number: u32| hasher.stream(&std::format!("stream-{number}"));
        let mut bytes = Vec::new();
        build(&mut bytes, 10_000, (0..10_000).map(hash));
        assert_eq!(bytes.len() as u64, bytes_for(10_000));
        let filter = Filter::new(&bytes);
        assert!((0..10_000).all(|number| filter.may_hold(hash(number))));
        let passed = (10_000..110_000).filter(|number| filter.may_hold(hash(*number))).count();
        assert!(passed < 2_000, "{passed} of 100,000");
        assert!(!Filter::new(&[]).may_hold(hash(1)), "a filter of no names");
    }
}
