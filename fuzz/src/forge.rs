//! What a faulty or hostile writer stores: other values in known fields, frames of its own making.

use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::layout::{self, header, segment, trailer};
use quipu_format::{
    BatchEncoder, ByteOffset, Chain, CommitFields, ControlKind, EventFields, Position, Salt,
    SegmentHeader, Step, Version,
};

use crate::input::Input;
use crate::repair::{put, u32_at};

/// Another value in one of the fields, each an offset and a length.
fn forge(input: &mut Input<'_>, bytes: &mut [u8], fields: &[(usize, usize)]) {
    let (at, length) = fields[usize::from(input.u8()) % fields.len()];
    let mut old = [0; 8];
    old[..length].copy_from_slice(&bytes[at..at + length]);
    let new = input.number(u64::from_le_bytes(old)).to_le_bytes();
    put(bytes, at, &new[..length]);
}

/// Another value in one field of a segment header.
pub(crate) fn forge_segment_header_field(input: &mut Input<'_>, block: &mut [u8]) {
    let fields = [
        (segment::MAGIC, 8),
        (segment::FORMAT_VERSION, 4),
        (segment::REQUIRED_FEATURES, 8),
        (segment::OPTIONAL_FEATURES, 8),
        (segment::LOG_ID, 8),
        (segment::SEQUENCE, 8),
        (segment::CAPACITY, 8),
        (segment::BASE_POSITION, 8),
        (segment::CREATED_AT, 8),
        (segment::PREDECESSOR_END, 8),
        (segment::SYNCED_POSITION, 8),
        (segment::PREDECESSOR_CHECKSUM, 4),
        (segment::FIELDS_END, 1),
    ];
    forge(input, block, &fields);
}

/// Another value in one field of a frame.
pub(crate) fn forge_header_field(input: &mut Input<'_>, frame: &mut [u8]) {
    let fields = [
        (header::LENGTH, 4),
        (header::KIND, 1),
        (header::FLAGS, 1),
        (header::CHECKPOINT_COUNT, 2),
        (header::EVENT_COUNT, 4),
        (header::STREAM_COUNT, 4),
        (header::FIRST_POSITION, 8),
        (header::COMMIT_TIME, 8),
        (header::SYNCED_POSITION, 8),
        (header::PREVIOUS, 4),
        (frame.len() - trailer::BYTES + trailer::LENGTH, 4),
        // The last stream's version.
        (frame.len() - trailer::BYTES - 8, 8),
    ];
    forge(input, frame, &fields);
}

/// A control frame that follows, and its checksum.
pub(crate) fn control(
    kind: ControlKind,
    chain: &Chain,
    (synced_position, settled): (Position, bool),
    salt: Salt,
    offset: ByteOffset,
) -> ([u8; layout::CONTROL_FRAME_BYTES], u32) {
    let (position, time, previous) = (chain.position, chain.time, chain.previous);
    // A seal that says so does not encode.
    let settled = settled && kind != ControlKind::Seal;
    let fields = ControlFields { position, time, synced_position, settled, previous };
    control_frame(kind, fields, salt, offset)
}

/// A batch of one named checkpoint, or two.
pub(crate) fn checkpoints(name: u8, at: u64, fields: &CommitFields, salt: Salt) -> Vec<u8> {
    let mut encoder = BatchEncoder::new();
    let names = ["a", "b", "projection", "new", "a projection with a longer name"];
    let places = [name & 15, name >> 4];
    for place in places.iter().take(1 + usize::from(name & 16 != 0)) {
        let name = names[usize::from(*place) % names.len()];
        encoder.checkpoint(name, Position::new(at)).unwrap();
    }
    let mut batch = encoder.finish().unwrap();
    batch.commit(fields, salt);
    batch.parts().concat()
}

/// A batch of one event, or two.
pub(crate) fn batch(stream: u8, version: u64, fields: &CommitFields, salt: Salt) -> Vec<u8> {
    let mut encoder = BatchEncoder::new();
    let names = ["a", "b", "all", "new", "order-1"];
    // A faulty writer may name one twice.
    let places = [stream & 15, stream >> 4];
    for place in places.iter().take(1 + usize::from(stream & 16 != 0)) {
        let index = encoder.add_stream(names[usize::from(*place) % names.len()]).unwrap();
        let event = EventFields {
            event_type: "Forged",
            id: None,
            tags: &[],
            metadata: b"",
            payload: b"payload",
        };
        encoder.push(index, &event).unwrap();
    }
    let mut batch = encoder.finish().unwrap();
    for index in 0..batch.streams().len() {
        batch.set_first_version(index, Version::new(version));
    }
    batch.commit(fields, salt);
    batch.parts().concat()
}

/// Where the frames of a segment stand, as far as lengths lead.
pub(crate) fn frames(file: &[u8]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = segment::BYTES;
    while at + layout::CONTROL_FRAME_BYTES <= file.len() {
        let length = u32_at(file, at) as usize;
        if length < layout::CONTROL_FRAME_BYTES || length > file.len() - at {
            break;
        }
        frames.push(at);
        at += length;
    }
    frames
}

/// The header of a segment, if it is one.
pub(crate) fn header_of(file: &[u8]) -> Option<SegmentHeader> {
    SegmentHeader::decode(file.get(..segment::BYTES)?).ok()?
}

/// The state behind the last frame of a segment that verifies, and where that is.
pub(crate) fn end_of(file: &[u8], salt: Salt) -> Option<(Chain, usize)> {
    let (mut chain, mut at) = (Chain::at_start_of(&header_of(file)?), segment::BYTES);
    loop {
        let step = chain.step(file.get(at..)?, salt, ByteOffset::new(at as u64));
        let Step::Frame { frame, chain: behind } = step else { return Some((chain, at)) };
        (chain, at) = (behind, at + frame.header.frame_bytes as usize);
    }
}

/// The name of a segment's file.
pub(crate) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}.seg")
}
