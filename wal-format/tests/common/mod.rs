//! What the tests of the format share: a log written into memory, and the surgeon's knife.
#![allow(dead_code, unreachable_pub)] // each test file is a crate of its own and uses some of it
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // tests write what they index

pub mod golden;
pub mod index;

use std::collections::BTreeMap;

use quipu_format::checksum::{body_checksum, commit_checksum};
use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::layout::{self, header, segment, trailer, versions};
use quipu_format::{
    BatchEncoder, Body, ByteOffset, Chain, CommitFields, CommitTime, ControlKind, EncodedBatch,
    EventFields, EventId, Frame, FrameKind, LogId, Position, Predecessor, Salt, SegmentHeader,
    SegmentSeq, Step, Version,
};

/// The id of the log that all tests write.
pub const LOG_ID: LogId = LogId::from_bytes(*b"quipu golden log");
/// Its first creation time.
pub const CREATED_AT: u64 = 1_700_000_000_000_000_000;
/// The capacity of its segments.
pub const CAPACITY: usize = 8192;

/// One event as a test writes and expects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEvent {
    pub stream: String,
    pub event_type: String,
    pub id: Option<EventId>,
    pub tags: Vec<String>,
    pub metadata: Vec<u8>,
    pub payload: Vec<u8>,
}

impl TestEvent {
    pub fn new(stream: &str, event_type: &str, payload: &[u8]) -> Self {
        Self {
            stream: stream.into(),
            event_type: event_type.into(),
            id: None,
            tags: Vec::new(),
            metadata: Vec::new(),
            payload: payload.into(),
        }
    }

    pub fn id(mut self, id: u128) -> Self {
        self.id = Some(id.into());
        self
    }

    pub fn tags(mut self, tags: &[&str]) -> Self {
        self.tags = tags.iter().map(|tag| (*tag).into()).collect();
        self
    }

    pub fn metadata(mut self, metadata: &[u8]) -> Self {
        self.metadata = metadata.into();
        self
    }
}

/// The caller's half of a batch, and the streams of its table.
pub fn encode(events: &[TestEvent]) -> EncodedBatch {
    encode_with(events, &[])
}

/// As [`encode`], with named checkpoints.
pub fn encode_with(events: &[TestEvent], checkpoints: &[(&str, u64)]) -> EncodedBatch {
    let mut encoder = BatchEncoder::new();
    for (name, position) in checkpoints {
        encoder.checkpoint(name, Position::new(*position)).unwrap();
    }
    let mut table: Vec<&str> = Vec::new();
    for event in events {
        let known = table.iter().position(|name| *name == event.stream);
        let stream = known.map_or_else(
            || {
                table.push(&event.stream);
                encoder.add_stream(&event.stream).unwrap()
            },
            |at| at as u32,
        );
        let tags: Vec<&str> = event.tags.iter().map(String::as_str).collect();
        let fields = EventFields {
            event_type: &event.event_type,
            id: event.id,
            tags: &tags,
            metadata: &event.metadata,
            payload: &event.payload,
        };
        encoder.push(stream, &fields).unwrap();
    }
    encoder.finish().unwrap()
}

/// The events of a body, as a test would have written them.
pub fn events_of(body: &Body<'_>) -> Vec<TestEvent> {
    let to_test = |event: quipu_format::RecordedEventRef<'_>| TestEvent {
        stream: body.streams().name(event.stream).unwrap().into(),
        event_type: event.event_type.into(),
        id: event.id,
        tags: event.tags.iter().map(String::from).collect(),
        metadata: event.metadata.into(),
        payload: event.payload.into(),
    };
    body.events().map(|event| to_test(event.unwrap())).collect()
}

/// The named checkpoints of a body.
pub fn checkpoints_of(body: &Body<'_>) -> Vec<(String, u64)> {
    let checkpoints = body.checkpoints().unwrap().map(Result::unwrap);
    checkpoints.map(|found| (found.name.to_owned(), found.position.as_u64())).collect()
}

/// Encodes a decoded frame again. Its body has been checked.
pub fn encode_again(frame: &Frame<'_>, salt: Salt, offset: ByteOffset) -> Vec<u8> {
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

/// One segment being written into memory.
#[derive(Debug, Clone)]
pub struct TestSegment {
    pub header: SegmentHeader,
    pub bytes: Vec<u8>,
    pub salt: Salt,
    pub chain: Chain,
    pub offset: ByteOffset,
    pub next_versions: BTreeMap<String, u64>,
    /// Start and end of each frame.
    pub frames: Vec<(usize, usize)>,
}

impl TestSegment {
    /// The first segment of a log.
    pub fn first() -> Self {
        Self::first_of(LOG_ID)
    }

    pub fn first_of(log_id: LogId) -> Self {
        Self::activate(SegmentHeader {
            log_id,
            sequence: SegmentSeq::ZERO,
            capacity: CAPACITY as u64,
            base_position: Position::ZERO,
            created_at: CommitTime::new(CREATED_AT),
            synced_position: Position::ZERO,
            predecessor: None,
            optional_features: 0,
        })
    }

    pub fn activate(header: SegmentHeader) -> Self {
        let mut bytes = vec![0; usize::try_from(header.capacity).unwrap()];
        bytes[..segment::BYTES].copy_from_slice(&header.encode());
        Self {
            header,
            bytes,
            salt: Salt::new(header.log_id, header.sequence),
            chain: Chain { time: header.created_at, ..Chain::at_start_of(&header) },
            offset: ByteOffset::new(segment::BYTES as u64),
            next_versions: BTreeMap::new(),
            frames: Vec::new(),
        }
    }

    pub fn at(&self) -> usize {
        self.offset.as_u64() as usize
    }

    /// Commits a batch one second after the frame before, everything in front of it being synced.
    pub fn batch(&mut self, events: &[TestEvent]) -> &mut Self {
        let synced_position = self.chain.position;
        self.batch_with(events, synced_position)
    }

    pub fn batch_with(&mut self, events: &[TestEvent], synced_position: Position) -> &mut Self {
        self.commit((events, &[]), synced_position, false)
    }

    /// Commits named checkpoints, with events or without; `settled`: all in front was synced.
    pub fn checkpoints(
        &mut self,
        events: &[TestEvent],
        checkpoints: &[(&str, u64)],
        settled: bool,
    ) -> &mut Self {
        self.commit((events, checkpoints), self.chain.position, settled)
    }

    fn commit(
        &mut self,
        (events, checkpoints): (&[TestEvent], &[(&str, u64)]),
        synced_position: Position,
        settled: bool,
    ) -> &mut Self {
        let mut batch = encode_with(events, checkpoints);
        let names: Vec<String> =
            batch.streams().names().map(|name| name.unwrap().to_owned()).collect();
        for (index, name) in names.iter().enumerate() {
            let next = self.next_versions.get(name).copied().unwrap_or(0);
            batch.set_first_version(index as u32, Version::new(next));
        }
        for event in events {
            *self.next_versions.entry(event.stream.clone()).or_default() += 1;
        }
        let fields = CommitFields {
            offset: self.offset,
            first_position: self.chain.position,
            commit_time: self.chain.time.plus(1_000_000_000),
            synced_position,
            settled,
            previous: self.chain.previous,
        };
        batch.commit(&fields, self.salt);
        let bytes = batch.parts().concat();
        assert_eq!(bytes.len(), batch.frame_bytes() as usize);
        self.store(&bytes)
    }

    /// Writes a control frame; all in front of it is synced.
    pub fn control(&mut self, kind: ControlKind) -> &mut Self {
        self.control_with(kind, false)
    }

    pub fn control_with(&mut self, kind: ControlKind, settled: bool) -> &mut Self {
        let fields = ControlFields {
            position: self.chain.position,
            time: self.chain.time.plus(1_000_000_000),
            synced_position: self.chain.position,
            settled,
            previous: self.chain.previous,
        };
        let (bytes, _) = control_frame(kind, fields, self.salt, self.offset);
        self.store(&bytes)
    }

    /// Seals this segment and activates the next one.
    pub fn seal(&mut self) -> Self {
        self.control(ControlKind::Seal);
        let mut next = Self::activate(SegmentHeader {
            sequence: self.header.sequence.plus(1),
            base_position: self.chain.position,
            created_at: self.chain.time,
            synced_position: self.chain.synced_position,
            predecessor: Some(Predecessor { end: self.offset, checksum: self.chain.previous }),
            ..self.header
        });
        next.next_versions.clone_from(&self.next_versions);
        next
    }

    fn store(&mut self, bytes: &[u8]) -> &mut Self {
        let (start, end) = (self.at(), self.at() + bytes.len());
        self.bytes[start..end].copy_from_slice(bytes);
        match self.chain.step(&self.bytes[start..], self.salt, self.offset) {
            Step::Frame { chain, .. } => self.chain = chain,
            other => panic!("a frame just written must verify: {other:?}"),
        }
        self.offset = ByteOffset::new(end as u64);
        self.frames.push((start, end));
        self
    }

    /// The bytes of frame `index`.
    pub fn frame(&self, index: usize) -> &[u8] {
        let (start, end) = self.frames[index];
        &self.bytes[start..end]
    }
}

/// A batch that uses every feature of the format.
pub fn rich_batch() -> Vec<TestEvent> {
    vec![
        TestEvent::new("order-1", "OrderPlaced", b"{\"total\":42}")
            .id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
            .tags(&["customer:7", "eu"])
            .metadata(b"trace=1"),
        TestEvent::new("stock-9", "StockReserved", b""),
        TestEvent::new("order-1", "OrderPaid", b"12345678").tags(&["eu"]),
        TestEvent::new("k\u{f6}nig", "T", b"1").metadata(b"m"),
    ]
}

/// Writes `value` at `at`, little-endian.
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Writes `value` at `at`, little-endian.
pub fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Makes the checksums of the frame in `bytes` right again, as far as its own length and stream
/// count lead: what a faulty or hostile writer would store.
pub fn fix_frame(bytes: &mut [u8], salt: Salt, offset: ByteOffset) {
    if bytes.len() < layout::CONTROL_FRAME_BYTES {
        return;
    }
    let sum = salt.header_checksum(offset, &bytes[..header::CHECKSUM]);
    put_u32(bytes, header::CHECKSUM, sum);
    let length = read_u32(bytes, header::LENGTH) as usize;
    let streams = read_u32(bytes, header::STREAM_COUNT) as usize;
    let versions_bytes = streams.saturating_mul(versions::ENTRY_BYTES);
    let Some(body_end) = length
        .checked_sub(trailer::BYTES)
        .and_then(|end| end.checked_sub(versions_bytes))
        .filter(|end| *end >= header::BYTES && length <= bytes.len())
    else {
        return;
    };
    let trailer_at = length - trailer::BYTES;
    let body = body_checksum(&[&bytes[header::BYTES..body_end]]);
    put_u32(bytes, trailer_at + trailer::BODY_CHECKSUM, body);
    let fields = &bytes[trailer_at..trailer_at + trailer::COMMIT_CHECKSUM];
    let commit = commit_checksum(sum, &bytes[body_end..trailer_at], fields);
    put_u32(bytes, trailer_at + trailer::COMMIT_CHECKSUM, commit);
}

/// Makes the checksum of a segment header right again.
pub fn fix_segment_header(bytes: &mut [u8]) {
    put_u32(bytes, segment::CHECKSUM, 0);
    let sum = quipu_format::checksum::crc32c_append(0, &bytes[..segment::BYTES]);
    put_u32(bytes, segment::CHECKSUM, sum);
}
