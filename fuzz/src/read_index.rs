//! Target: the index of a segment, or a checkpoint of the streams.
//!
//! Input: flags, then the file. With [`FLAG_FIX`] its checksums are made right; with [`FLAG_RAW`] it
//! is a checkpoint.

use quipu_format::layout::{checkpoint, sidecar};
use quipu_format::sidecar::{
    CheckpointBuilder, NameHasher, Positions, Sidecar, SidecarHeader, StreamCheckpoint, StreamState,
};

use crate::repair::{fix_checkpoint, fix_index};
use crate::{FLAG_FIX, FLAG_RAW};

/// What passes the full check answers for every name in it, and no flipped bit of it passes.
pub fn read_index(data: &[u8]) -> bool {
    let Some((&flags, rest)) = data.split_first() else { return false };
    let mut bytes = rest.to_vec();
    if flags & FLAG_RAW != 0 {
        return read_checkpoint(flags, &mut bytes);
    }
    if flags & FLAG_FIX != 0 && bytes.len() >= sidecar::BYTES {
        fix_index(&mut bytes);
    }
    let Ok(header) = SidecarHeader::decode(&bytes) else { return false };
    let segment = header.segment;
    if let Ok(sidecar) = Sidecar::decode_trusted(&bytes, &segment) {
        ask_all(&sidecar);
    }
    let Ok(sidecar) = Sidecar::decode(&bytes, &segment) else { return false };
    let whole = sidecar.check().is_ok();
    if whole {
        check_answers(&sidecar);
    }
    let mut flipped = bytes.clone();
    let at = flip(flags, rest, &mut flipped);
    assert!(Sidecar::decode(&flipped, &segment).is_err(), "a flipped bit in byte {at}");
    whole
}

fn read_checkpoint(flags: u8, bytes: &mut [u8]) -> bool {
    if flags & FLAG_FIX != 0 && bytes.len() >= checkpoint::BYTES {
        fix_checkpoint(bytes);
    }
    let Ok(found) = StreamCheckpoint::decode(bytes) else { return false };
    let streams: Result<Vec<StreamState<'_>>, _> = found.streams().collect();
    if let Ok(streams) = &streams {
        assert_eq!(streams.len() as u64, found.header().stream_count);
        let mut again = CheckpointBuilder::new(found.checkpoints().map(Result::unwrap));
        streams.iter().for_each(|stream| again.push(stream));
        assert_eq!(again.finish(&found.header().segment), bytes, "one encoding");
    }
    let whole = streams.is_ok();
    let mut flipped = bytes.to_vec();
    let at = flip(flags, bytes, &mut flipped);
    assert!(StreamCheckpoint::decode(&flipped).is_err(), "a flipped bit in byte {at}");
    whole
}

/// Flips one bit; which, the input decides.
fn flip(flags: u8, input: &[u8], bytes: &mut [u8]) -> usize {
    let hash = input.iter().fold(17_usize, |hash, byte| hash * 31 % 65_521 + usize::from(*byte));
    let at = hash % bytes.len();
    bytes[at] ^= 1 << (flags >> 5);
    at
}

/// Asks an index, right or wrong, everything: no answer takes longer than the file is.
fn ask_all(sidecar: &Sidecar<'_>) {
    let most = sidecar.header().file_bytes() as usize;
    let list = |positions: &Positions<'_>| {
        for index in [0, 1, 127, 128, positions.len() / 2, positions.len(), u64::MAX] {
            let _ = positions.get(index);
            let _ = positions.count_below(positions.first().plus(index));
        }
        assert!(positions.iter_from(0).map_or(0, Iterator::count) <= most);
    };
    for stream in sidecar.streams().flatten() {
        list(&stream.positions);
        assert_eq!(
            stream.last_version().as_u64(),
            stream.first_version.as_u64() + stream.positions.len() - 1
        );
        let _ = sidecar.stream(stream.hash, stream.name);
    }
    for named in sidecar.tags().chain(sidecar.event_types()).flatten() {
        list(&named.positions);
        let _ = (sidecar.tag(named.hash, named.name), sidecar.event_type(named.hash, named.name));
    }
    if let Ok(batches) = sidecar.batches() {
        assert!(batches.count() <= most);
    }
    for position in [0, 1, u64::MAX] {
        let at = sidecar.header().segment.base_position.plus(position);
        let _ = sidecar.frame_before(at);
    }
}

fn check_answers(sidecar: &Sidecar<'_>) {
    let hasher = NameHasher::new(sidecar.header().segment.log_id);
    let mut events = 0;
    for stream in sidecar.streams() {
        let stream = stream.unwrap();
        assert_eq!(hasher.stream(stream.name), stream.hash);
        assert!(sidecar.may_hold(stream.hash));
        let found = sidecar.stream(stream.hash, stream.name).unwrap().unwrap();
        assert_eq!(found.positions.len(), stream.positions.len());
        check_list(&stream.positions);
        events += stream.positions.len();
    }
    let segment = sidecar.header().segment;
    assert_eq!(events, segment.end_position.as_u64() - segment.base_position.as_u64());
    for tag in sidecar.tags() {
        let tag = tag.unwrap();
        assert!(sidecar.may_hold(tag.hash));
        assert!(sidecar.tag(hasher.tag(tag.name), tag.name).unwrap().is_some());
        check_list(&tag.positions);
    }
    for named in sidecar.event_types() {
        let named = named.unwrap();
        let hash = hasher.event_type(named.name);
        assert!(sidecar.event_type(hash, named.name).unwrap().is_some());
        check_list(&named.positions);
    }
    for place in sidecar.batches().unwrap() {
        let place = place.unwrap();
        assert_eq!(sidecar.frame_before(place.first_position), Ok(Some(place)));
    }
}

/// Ascending, and the same from wherever it is read.
fn check_list(positions: &Positions<'_>) {
    let mut last = None;
    for (index, position) in positions.iter_from(0).unwrap().enumerate() {
        let position = position.unwrap();
        assert!(last < Some(position));
        assert_eq!(positions.get(index as u64), Ok(Some(position)));
        assert_eq!(positions.count_below(position), Ok(index as u64));
        last = Some(position);
    }
    assert_eq!(last, Some(positions.last()));
}
