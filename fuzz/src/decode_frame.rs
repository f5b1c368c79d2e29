//! Target: one frame, at an offset that the input gives.
//!
//! Input: flags, the offset in steps of 8 (u16), then the bytes from the frame's first one on.

use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::layout::event;
use quipu_format::{
    BatchEncoder, Body, ByteOffset, CommitFields, EventFields, Frame, FrameHeader, FrameKind, Salt,
    SegmentSeq,
};

use crate::repair::fix_frame;
use crate::{FLAG_FIX, LOG_ID};

/// What decodes obeys the rules, encodes to the same bytes, and verifies nowhere else.
pub fn decode_frame(data: &[u8]) -> bool {
    let Some((&[flags, low, high], rest)) = data.split_first_chunk() else { return false };
    let mut bytes = rest.to_vec();
    let offset = ByteOffset::new(u64::from(u16::from_le_bytes([low, high])) * 8);
    let salt = Salt::new(LOG_ID, SegmentSeq::ZERO);
    if flags & FLAG_FIX != 0 {
        fix_frame(&mut bytes, salt, offset);
    }
    if let Ok(Some(header)) = FrameHeader::decode(&bytes, salt, offset) {
        let (again, _) = header.encode(salt, offset);
        assert_eq!(again[..], bytes[..again.len()], "one header has one encoding");
        assert!(header.synced_position <= header.first_position);
        assert!(header.stream_count <= header.event_count);
        assert!(header.event_count as usize * event::BYTES_MIN <= header.frame_bytes as usize);
    }
    let Ok(Some(frame)) = Frame::decode(&bytes, salt, offset) else {
        if let Ok(Some(frame)) = Frame::decode_trusted(&bytes, salt, offset) {
            let _ = read_all(&frame);
        }
        return false;
    };
    let trusted = Frame::decode_trusted(&bytes, salt, offset).unwrap().unwrap();
    assert_eq!(trusted.header, frame.header, "what verifies can be trusted");
    assert_eq!(trusted.commit_checksum(), frame.commit_checksum());
    let elsewhere = offset.plus(8 + 8 * u64::from(flags));
    assert!(Frame::decode(&bytes, salt, elsewhere).is_err(), "a frame is bound to its offset");
    assert_eq!(read_all(&frame), Body::decode(&frame).is_ok_and(|body| body.check().is_ok()));
    if !read_all(&frame) {
        return false;
    }
    let again = encode_again(&frame, salt, offset);
    assert_eq!(again[..], bytes[..again.len()], "one batch has one encoding");
    assert_eq!(again.len(), frame.header.frame_bytes as usize);
    true
}

/// Reads what a frame has, event by event; whether that is all there is, and in order.
fn read_all(frame: &Frame<'_>) -> bool {
    let Ok(body) = Body::decode(frame) else { return false };
    assert_eq!(body.streams().len(), frame.header.stream_count);
    let names = body.streams().names().filter(Result::is_ok).count();
    let (mut used, mut events) = (0, 0);
    for found in body.events() {
        let Ok(event) = found else { return false };
        let start = frame.body_bytes().as_ptr().addr();
        assert!((event.payload.as_ptr().addr() - start).is_multiple_of(8), "payloads are aligned");
        assert!(event.id.is_none_or(|id| !id.is_nil()));
        assert!(event.tags.iter().all(|tag| !tag.is_empty() && event.tags.contains(tag)));
        if event.stream > used || event.stream >= frame.header.stream_count {
            return false;
        }
        used = used.max(event.stream + 1);
        events += 1;
    }
    // What is left behind the last event, and padding, only the check sees.
    names == used as usize
        && used == frame.header.stream_count
        && events == frame.header.event_count
        && body.check().is_ok()
}

fn encode_again(frame: &Frame<'_>, salt: Salt, offset: ByteOffset) -> Vec<u8> {
    let header = &frame.header;
    if let FrameKind::Control(kind) = header.kind {
        let fields = ControlFields {
            position: header.first_position,
            time: header.commit_time,
            synced_position: header.synced_position,
            settled: header.settled,
            previous: header.previous,
        };
        return control_frame(kind, fields, salt, offset).0.to_vec();
    }
    let body = Body::decode(frame).unwrap();
    let mut encoder = BatchEncoder::new();
    for name in body.streams().names() {
        encoder.add_stream(name.unwrap()).unwrap();
    }
    for event in body.events() {
        let event = event.unwrap();
        let tags: Vec<&str> = event.tags.iter().collect();
        let fields = EventFields {
            event_type: event.event_type,
            id: event.id,
            tags: &tags,
            metadata: event.metadata,
            payload: event.payload,
        };
        encoder.push(event.stream, &fields).unwrap();
    }
    for checkpoint in body.checkpoints().unwrap() {
        let checkpoint = checkpoint.unwrap();
        encoder.checkpoint(checkpoint.name, checkpoint.position).unwrap();
    }
    let mut batch = encoder.finish().unwrap();
    for index in 0..header.stream_count {
        batch.set_first_version(index, frame.first_version(index).unwrap());
    }
    let fields = CommitFields {
        offset,
        first_position: header.first_position,
        commit_time: header.commit_time,
        synced_position: header.synced_position,
        settled: header.settled,
        previous: header.previous,
    };
    batch.commit(&fields, salt);
    batch.parts().concat()
}
