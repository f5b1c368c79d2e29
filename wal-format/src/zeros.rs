//! Bytes that were never written.
//!
//! Owns: [`last_nonzero`]. May call: nothing.

/// Where the last byte stands that is not zero; `None` where there is none.
///
/// Most of what is asked about is a part of a segment that nothing was written to, and a large one:
/// opening a log reads everything behind its end. Zeros are passed over as fast as memory gives them.
///
/// ```
/// use quipu_format::zeros::last_nonzero;
/// assert_eq!(last_nonzero(&[0, 7, 0, 9, 0]), Some(3));
/// assert_eq!(last_nonzero(&[0; 4096]), None);
/// ```
#[must_use]
pub fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    let mut start = bytes.len();
    for block in bytes.rchunks(BLOCK_BYTES) {
        start -= block.len();
        // A sum has no early end, and so takes many bytes at a time.
        if block.iter().fold(0, |sum, byte| sum | byte) != 0 {
            return block.iter().rposition(|byte| *byte != 0).map(|at| start + at);
        }
    }
    None
}

/// Looked at as a whole first; the one that is not zero is looked at byte by byte.
const BLOCK_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_last_of_those_that_a_look_at_each_byte_finds(
            length in 0..3 * BLOCK_BYTES,
            some in proptest::collection::vec((0..3 * BLOCK_BYTES, any::<u8>()), 0..4),
        ) {
            let mut bytes = vec![0; length];
            for (at, value) in some {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let each = bytes.iter().rposition(|byte| *byte != 0);
            prop_assert_eq!(last_nonzero(&bytes), each);
        }
    }
}
