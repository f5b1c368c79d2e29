//! A log's files as plain bytes: taken from a simulated disk, changed by hand, put onto another.
#![allow(dead_code)] // each test uses a part of it

use std::collections::BTreeMap;

use quipu::sim::SimDisk;
use quipu::{Damage, Log, OpenError, Options};
use quipu_format::checksum::{body_checksum, commit_checksum};
use quipu_format::{ByteOffset, Salt, SegmentHeader};

/// Bytes by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

/// The first block of a segment; frames follow.
pub(crate) const HEADER_BYTES: usize = 4096;

/// A seal, mark or close frame.
pub(crate) const CONTROL_BYTES: usize = 64;

impl Files {
    /// All that the machine sees.
    pub(crate) fn of(disk: &SimDisk) -> Self {
        let file = |name: String| (name.clone(), disk.read_file(&name).unwrap());
        Self(disk.files().into_iter().map(|entry| file(entry.name)).collect())
    }

    /// The segments alone, without what is derived from them.
    pub(crate) fn segments(mut self) -> Self {
        self.0.retain(|name, _| name.ends_with(".seg"));
        self
    }

    /// A disk that holds them, durably.
    pub(crate) fn disk(&self) -> SimDisk {
        let disk = SimDisk::new(1);
        for (name, bytes) in &self.0 {
            disk.write_file(name, bytes);
        }
        disk
    }

    /// The bytes of a segment.
    pub(crate) fn segment(&mut self, sequence: usize) -> &mut Vec<u8> {
        self.0.get_mut(&segment(sequence)).unwrap()
    }

    /// Zeroes a segment from `from` on.
    pub(crate) fn zero(&mut self, sequence: usize, from: usize) {
        self.segment(sequence)[from..].fill(0);
    }

    /// Where the last frame of a segment ends: frames end in no zeros.
    pub(crate) fn end(&self, sequence: usize) -> usize {
        let bytes = &self.0[&segment(sequence)];
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        (last + 1).next_multiple_of(8)
    }

    /// Where each frame of a segment begins, control frames too.
    pub(crate) fn frames(&self, sequence: usize) -> Vec<usize> {
        let bytes = &self.0[&segment(sequence)];
        let mut frames = Vec::new();
        let mut at = HEADER_BYTES;
        while at < self.end(sequence) {
            frames.push(at);
            at += u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        }
        frames
    }

    /// The header of a segment.
    pub(crate) fn header(&self, sequence: usize) -> SegmentHeader {
        SegmentHeader::decode(&self.0[&segment(sequence)][..HEADER_BYTES]).unwrap().unwrap()
    }

    /// Whether a frame is a batch.
    pub(crate) fn is_batch(&self, sequence: usize, at: usize) -> bool {
        self.0[&segment(sequence)][at + 4] == 1
    }
}

/// Makes the checksums of a frame without streams right again, which stands at `at`.
pub(crate) fn fix_frame(frame: &mut [u8], salt: Salt, at: usize) {
    let put = |frame: &mut [u8], at: usize, sum: u32| {
        frame[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    };
    let length = u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize;
    let header = salt.header_checksum(ByteOffset::new(at as u64), &frame[..44]);
    put(frame, 44, header);
    let trailer = length - 16;
    let body = body_checksum(&[&frame[48..trailer]]);
    put(frame, trailer, body);
    let commit = commit_checksum(header, &[], &frame[trailer..trailer + 12]);
    put(frame, trailer + 12, commit);
}

/// The name of a segment.
pub(crate) fn segment(sequence: usize) -> String {
    format!("{sequence:020}.seg")
}

/// Opens; a refusal changes nothing, and the log can be read up to the damage. Gives the payloads.
pub(crate) fn open(files: &Files, options: &Options) -> Result<Vec<Vec<u8>>, OpenError> {
    let disk = files.disk();
    match Log::open_simulated(&disk, options.clone()) {
        Ok(log) => Ok(payloads(&log)),
        Err(error) => {
            assert!(Files::of(&disk) == *files, "a refused open has changed something");
            Err(error)
        }
    }
}

/// Opens what is damaged, and reads all in front of the damage.
pub(crate) fn damage(files: &Files, options: &Options, written: &[Vec<u8>]) -> Damage {
    let error = open(files, options).expect_err("it is damaged");
    let OpenError::Damaged(damage) = error else { panic!("{error}") };
    let log = Log::open_simulated_read_only(&files.disk(), options.clone()).unwrap();
    assert_eq!(log.recovery_report().damage.as_ref(), Some(&*damage));
    let position = damage.position.as_u64() as usize;
    assert!(payloads(&log) == written[..position], "all in front of the damage, and no more");
    let backward: Result<Vec<_>, _> = log.read(..).backward().into_iter().collect();
    assert_eq!(backward.unwrap().len(), position);
    *damage
}

pub(crate) fn payloads(log: &Log) -> Vec<Vec<u8>> {
    log.read(..).into_iter().map(|event| event.unwrap().payload().to_vec()).collect()
}
