//! Target: the base of a log whose front was dropped.
//!
//! Input: flags, then the file. With [`FLAG_FIX`] its checksums are made right.

use quipu_format::layout::base;
use quipu_format::sidecar::{CheckpointBuilder, LogBase, StreamState};

use crate::FLAG_FIX;
use crate::repair::fix_base;

/// What is right accounts for every event, has one encoding, and is refused with any bit changed.
pub fn read_base(data: &[u8]) -> bool {
    let Some((&flags, rest)) = data.split_first() else { return false };
    let mut bytes = rest.to_vec();
    if flags & FLAG_FIX != 0 && bytes.len() >= base::BYTES {
        fix_base(&mut bytes);
    }
    if let Some(length) = LogBase::length_said(&bytes) {
        assert!(length >= base::BYTES as u64);
    }
    let Ok(found) = LogBase::decode(&bytes) else { return false };
    assert_eq!(LogBase::length_said(&bytes), Some(bytes.len() as u64));
    let streams: Vec<StreamState<'_>> = found.streams().map(Result::unwrap).collect();
    let chain = found.chain();
    let events: u64 = streams.iter().map(|stream| stream.version.as_u64() + 1).sum();
    assert_eq!(events, chain.position.as_u64(), "every event belongs to one stream");
    let mut again = CheckpointBuilder::new(found.checkpoints().map(Result::unwrap));
    streams.iter().for_each(|stream| again.push(stream));
    let segment = &found.header().segment;
    let encoded = again.finish_base(segment, chain.time, chain.synced_position);
    assert_eq!(encoded, bytes, "one encoding");
    let hash = rest.iter().fold(17_usize, |hash, byte| hash * 31 % 65_521 + usize::from(*byte));
    let at = hash % bytes.len();
    let mut flipped = bytes.clone();
    flipped[at] ^= 1 << (flags >> 5);
    assert!(LogBase::decode(&flipped).is_err(), "a flipped bit in byte {at}");
    true
}
