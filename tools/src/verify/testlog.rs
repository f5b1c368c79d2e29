//! A small log for the verifier's tests: made by the format alone, then damaged at will.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::layout::segment;
use quipu_format::{
    BatchEncoder, ByteOffset, Chain, CommitFields, CommitTime, ControlKind, EventFields, Frame,
    LogId, Position, Predecessor, Salt, SegmentHeader, SegmentSeq, Version,
};

use super::directory::segment_name;
use super::{Report, VerifyError, judge, verify};

pub(crate) const CAPACITY: usize = 8192;
const STARTED: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A log in memory; [`TestLog::verify`] puts it into a directory.
#[derive(Debug, Clone)]
pub(crate) struct TestLog {
    pub(crate) segments: Vec<TestSegment>,
    pub(crate) chain: Chain,
    pub(crate) offset: ByteOffset,
    versions: BTreeMap<String, u64>,
    header: SegmentHeader,
}

#[derive(Debug, Clone)]
pub(crate) struct TestSegment {
    /// `None`: the file is missing.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Where each frame stands.
    pub(crate) frames: Vec<std::ops::Range<usize>>,
}

/// What a faulty writer would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    SkipsVersion,
    SkipsPosition,
    NamesStreamTwice,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        let header = SegmentHeader {
            log_id: LogId::from_bytes(*b"verify test log "),
            sequence: SegmentSeq::ZERO,
            capacity: CAPACITY as u64,
            base_position: Position::ZERO,
            created_at: CommitTime::new(STARTED),
            synced_position: Position::ZERO,
            predecessor: None,
            optional_features: 0,
        };
        let mut log = Self {
            segments: Vec::new(),
            chain: Chain { time: header.created_at, ..Chain::at_start_of(&header) },
            offset: ByteOffset::ZERO,
            versions: BTreeMap::new(),
            header,
        };
        log.activate(header);
        log
    }

    /// A log of three segments, each with two batches; everything is synced but for the last one.
    pub(crate) fn of_three_segments() -> Self {
        let mut log = Self::new();
        for segment in 0..3 {
            log.batch(&["a", "b"]).batch(&["b", "c", "b"]);
            if segment < 2 {
                log.roll();
            }
        }
        log
    }

    fn activate(&mut self, header: SegmentHeader) {
        let mut bytes = vec![0; CAPACITY];
        bytes[..segment::BYTES].copy_from_slice(&header.encode());
        self.segments.push(TestSegment { bytes: Some(bytes), frames: Vec::new() });
        self.header = header;
        self.chain = Chain { time: header.created_at, ..Chain::at_start_of(&header) };
        self.offset = ByteOffset::new(segment::BYTES as u64);
    }

    /// A batch of one event on each of these streams; all in front of it is synced.
    pub(crate) fn batch(&mut self, streams: &[&str]) -> &mut Self {
        self.batch_with(streams, self.chain.position, Lie::None)
    }

    /// As [`TestLog::batch`], but nothing new is known to be synced.
    pub(crate) fn batch_unsynced(&mut self, streams: &[&str]) -> &mut Self {
        self.batch_with(streams, self.chain.synced_position, Lie::None)
    }

    pub(crate) fn batch_with(&mut self, streams: &[&str], synced: Position, lie: Lie) -> &mut Self {
        let mut encoder = BatchEncoder::new();
        let mut table: Vec<&str> = Vec::new();
        for stream in streams {
            let known = table.iter().position(|name| name == stream);
            let known = known.filter(|_| lie != Lie::NamesStreamTwice);
            let index = known.map_or_else(
                || {
                    table.push(stream);
                    encoder.add_stream(stream).unwrap()
                },
                |at| at as u32,
            );
            let (event_type, payload) = ("T", &b"0123456789"[..]);
            let fields = EventFields { event_type, id: None, tags: &[], metadata: b"", payload };
            encoder.push(index, &fields).unwrap();
        }
        let mut batch = encoder.finish().unwrap();
        for (index, name) in (0..).zip(&table) {
            let next = self.versions.get(*name).copied().unwrap_or(0);
            let skipped = u64::from(lie == Lie::SkipsVersion);
            batch.set_first_version(index, Version::new(next + skipped));
        }
        for stream in streams {
            *self.versions.entry((*stream).to_owned()).or_default() += 1;
        }
        let fields = CommitFields {
            offset: self.offset,
            first_position: self.chain.position.plus(u64::from(lie == Lie::SkipsPosition)),
            commit_time: self.chain.time.plus(SECOND),
            synced_position: synced,
            settled: false,
            previous: self.chain.previous,
        };
        batch.commit(&fields, self.salt());
        self.store(&batch.parts().concat())
    }

    /// Named checkpoints alone; nothing new is known to be synced.
    pub(crate) fn checkpoints(&mut self, checkpoints: &[(&str, u64)]) -> &mut Self {
        let mut encoder = BatchEncoder::new();
        for (name, position) in checkpoints {
            encoder.checkpoint(name, Position::new(*position)).unwrap();
        }
        let mut batch = encoder.finish().unwrap();
        let fields = CommitFields {
            offset: self.offset,
            first_position: self.chain.position,
            commit_time: self.chain.time.plus(SECOND),
            synced_position: self.chain.synced_position,
            settled: false,
            previous: self.chain.previous,
        };
        batch.commit(&fields, self.salt());
        self.store(&batch.parts().concat())
    }

    /// A close frame that says that all in front of it is synced.
    pub(crate) fn settled_close(&mut self) -> &mut Self {
        self.control_with(ControlKind::Close, self.chain.position, true)
    }

    /// A control frame; `synced`: whether all in front of it is.
    pub(crate) fn control(&mut self, kind: ControlKind, synced: bool) -> &mut Self {
        let synced = if synced { self.chain.position } else { self.chain.synced_position };
        self.control_with(kind, synced, false)
    }

    fn control_with(&mut self, kind: ControlKind, synced: Position, settled: bool) -> &mut Self {
        let fields = ControlFields {
            position: self.chain.position,
            time: self.chain.time.plus(SECOND),
            synced_position: synced,
            settled,
            previous: self.chain.previous,
        };
        let (bytes, _) = control_frame(kind, fields, self.salt(), self.offset);
        self.store(&bytes)
    }

    /// Seals the segment and activates the next one.
    pub(crate) fn roll(&mut self) -> &mut Self {
        self.roll_with(true)
    }

    pub(crate) fn roll_with(&mut self, synced: bool) -> &mut Self {
        self.control(ControlKind::Seal, synced);
        let predecessor = Predecessor { end: self.offset, checksum: self.chain.previous };
        self.activate(SegmentHeader {
            sequence: self.header.sequence.plus(1),
            base_position: self.chain.position,
            created_at: self.chain.time,
            synced_position: self.chain.synced_position,
            predecessor: Some(predecessor),
            ..self.header
        });
        self
    }

    /// A prepared segment behind the active one.
    pub(crate) fn prepare(&mut self) -> &mut Self {
        self.segments.push(TestSegment { bytes: Some(vec![0; CAPACITY]), frames: Vec::new() });
        self
    }

    fn salt(&self) -> Salt {
        Salt::new(self.header.log_id, self.header.sequence)
    }

    fn store(&mut self, bytes: &[u8]) -> &mut Self {
        let salt = self.salt();
        let start = self.offset.as_u64() as usize;
        let frame = Frame::decode(bytes, salt, self.offset).unwrap().unwrap();
        self.chain = Chain {
            position: frame.header.end_position(),
            previous: frame.commit_checksum(),
            time: frame.header.commit_time,
            synced_position: frame.header.synced_position,
        };
        let segment = self.segments.last_mut().unwrap();
        let place = start..start + bytes.len();
        segment.bytes.as_mut().unwrap()[place.clone()].copy_from_slice(bytes);
        segment.frames.push(place.clone());
        self.offset = ByteOffset::new(place.end as u64);
        self
    }

    /// The bytes of a segment.
    pub(crate) fn bytes(&mut self, segment: usize) -> &mut Vec<u8> {
        self.segments[segment].bytes.as_mut().unwrap()
    }

    /// The bytes of a frame.
    pub(crate) fn frame(&mut self, segment: usize, frame: usize) -> &mut [u8] {
        let place = self.segments[segment].frames[frame].clone();
        &mut self.bytes(segment)[place]
    }

    pub(crate) fn frame_offset(&self, segment: usize, frame: usize) -> u64 {
        self.segments[segment].frames[frame].start as u64
    }

    pub(crate) fn write_to(&self, directory: &Path) {
        for (sequence, segment) in (0..).zip(&self.segments) {
            if let Some(bytes) = &segment.bytes {
                fs::write(directory.join(segment_name(SegmentSeq::new(sequence))), bytes).unwrap();
            }
        }
    }

    /// Verifies the log, which must not change by that.
    pub(crate) fn verify(&self) -> Result<Report, VerifyError> {
        let directory = tempfile::tempdir().unwrap();
        self.write_to(directory.path());
        let report = verify(directory.path());
        let ahead = judge(directory.path(), &ProgressBar::hidden(), true);
        assert_eq!(format!("{ahead:?}"), format!("{report:?}"), "ahead, and in order");
        for (sequence, segment) in (0..).zip(&self.segments) {
            let found = fs::read(directory.path().join(segment_name(SegmentSeq::new(sequence))));
            assert_eq!(found.ok(), segment.bytes, "the verifier has changed segment {sequence}");
        }
        report
    }
}
