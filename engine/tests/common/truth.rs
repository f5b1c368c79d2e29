//! What FORMAT.md says must become of a log whose files have decayed, computed with the format crate
//! alone. The frames are walked in the files as they were; a frame counts as lost when one of its
//! bytes is another, whether a checksum would find that or not.
#![allow(dead_code)] // each test uses a part of it

use std::ops::Range;

use quipu_format::{
    ByteOffset, Chain, ControlKind, FrameHeader, FrameKind, LogId, Salt, SegmentHeader,
    SegmentHeaderError, SegmentSeq, Step, layout,
};

use super::files::{Files, HEADER_BYTES, segment};

/// A log as it was.
#[derive(Debug)]
pub(crate) struct Truth {
    files: Files,
    /// Segment headers and frames, in the order of the log.
    parts: Vec<Part>,
}

/// A segment header or a frame.
#[derive(Debug, Clone)]
struct Part {
    sequence: usize,
    bytes: Range<usize>,
    kind: PartKind,
    /// The positions of its events; in a part without events, both the position there.
    positions: Range<u64>,
    /// All below was durable when it was written.
    synced_position: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Header,
    Seal,
    /// A batch, a close or a mark.
    Frame,
}

/// What opening must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It opens with so many events.
    Opens(u64),
    /// It is refused: the part at this place is missing and had been durable, or cannot have been
    /// torn away; or it is the start of a file with a magic that no crash leaves, at X or behind it.
    Damaged { file: String, offset: u64, position: u64 },
    /// It is refused before any decision: this file is none of this log (section 8).
    NotOfThisLog { file: String },
}

impl Truth {
    /// Walks a log that is whole.
    pub(crate) fn of(files: Files) -> Self {
        let mut truth = Self { files: files.segments(), parts: Vec::new() };
        let mut sequence = 0;
        while truth.walk(sequence) {
            sequence += 1;
        }
        let unused = truth.files.0.iter().filter(|(name, _)| **name > segment(sequence));
        assert!(unused.flat_map(|(_, bytes)| bytes).all(|byte| *byte == 0));
        truth
    }

    /// Walks one segment. Whether it is sealed.
    fn walk(&mut self, sequence: usize) -> bool {
        let bytes = &self.files.0[&segment(sequence)];
        let header = SegmentHeader::decode(&bytes[..HEADER_BYTES]).unwrap().unwrap();
        let salt = Salt::new(header.log_id, header.sequence);
        let mut chain = Chain::at_start_of(&header);
        let base = chain.position.as_u64();
        self.parts.push(Part {
            sequence,
            bytes: 0..HEADER_BYTES,
            kind: PartKind::Header,
            positions: base..base,
            synced_position: header.synced_position.as_u64(),
        });
        let mut at = HEADER_BYTES;
        loop {
            match chain.step(&bytes[at..], salt, ByteOffset::new(at as u64)) {
                Step::Frame { frame, chain: behind } => {
                    let header = frame.header;
                    let is_seal = header.kind == FrameKind::Control(ControlKind::Seal);
                    let end = at + header.frame_bytes as usize;
                    self.parts.push(Part {
                        sequence,
                        bytes: at..end,
                        kind: if is_seal { PartKind::Seal } else { PartKind::Frame },
                        positions: header.first_position.as_u64()..behind.position.as_u64(),
                        synced_position: said(&header),
                    });
                    (chain, at) = (behind, end);
                    if is_seal {
                        return true;
                    }
                }
                Step::NeverWritten => {
                    assert!(bytes[at..].iter().all(|byte| *byte == 0), "it is whole");
                    return false;
                }
                Step::Bad(error) => panic!("it is whole: {error}"),
            }
        }
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> u64 {
        self.parts.last().unwrap().positions.end
    }

    /// What must become of it, its files being these now.
    pub(crate) fn expected(&self, now: &Files) -> Expected {
        let log_id = match belonging(now) {
            Ok(log_id) => log_id,
            Err(file) => return Expected::NotOfThisLog { file },
        };
        let lost = (0..self.parts.len()).find(|place| self.is_lost(*place, now));
        let (sequence, offset, position) = match lost.and_then(|place| self.parts.get(place)) {
            Some(part) => (part.sequence, part.bytes.start, part.positions.start),
            None => {
                let last = self.parts.last().unwrap();
                (last.sequence, last.bytes.end, last.positions.end)
            }
        };
        let witnessed = witnessed(now, log_id, sequence, offset);
        // Without any header that tells the log's id no frame can be read; rule 7 speaks then.
        if let (Some(place), Some(_)) = (lost, log_id) {
            self.check_witnesses(now, &self.parts[place], witnessed);
        }
        // Section 8, rules 1, 6, 7 and 8. The others are about missing files and right checksums.
        let has_changed_length = offset == 0 && !has_its_length(now, sequence);
        let is_unchecked = log_id.is_none() && now.0.values().any(|it| has_contents(it));
        let wrong_magic = now.0.iter().skip(sequence).find(|(_, bytes)| has_wrong_magic(bytes));
        if witnessed > position || has_changed_length || (is_unchecked && wrong_magic.is_none()) {
            let file = segment(sequence);
            return Expected::Damaged { file, offset: offset as u64, position };
        }
        if let Some((file, _)) = wrong_magic {
            return Expected::Damaged { file: file.clone(), offset: 0, position };
        }
        Expected::Opens(position)
    }

    /// Whether the walk cannot get over this part. One of a file of another length counts as its
    /// header's; a seal is made again by the next segment's header.
    fn is_lost(&self, place: usize, now: &Files) -> bool {
        let part = &self.parts[place];
        match part.kind {
            PartKind::Header => {
                let (was, is) = (self.files.0.get(&part.file()), now.0.get(&part.file()));
                !self.is_whole(part, now) || was.map(Vec::len) != is.map(Vec::len)
            }
            PartKind::Seal => {
                let next = self.parts.get(place + 1);
                !self.is_whole(part, now) && !next.is_some_and(|next| self.is_whole(next, now))
            }
            PartKind::Frame => !self.is_whole(part, now),
        }
    }

    /// Whether every byte of a part is as it was.
    fn is_whole(&self, part: &Part, now: &Files) -> bool {
        let bytes =
            |files: &Files| Some(files.0.get(&part.file())?.get(part.bytes.clone())?.to_vec());
        bytes(now) == bytes(&self.files)
    }

    /// Whatever is whole behind the first part that is lost has been taken for a witness.
    fn check_witnesses(&self, now: &Files, lost: &Part, witnessed: u64) {
        let behind =
            |part: &&Part| (part.sequence, part.bytes.start) > (lost.sequence, lost.bytes.start);
        let whole = self.parts.iter().filter(behind).filter(|part| self.is_whole(part, now));
        let known = whole.map(|part| part.synced_position).max().unwrap_or(0);
        assert!(known <= witnessed, "{known} was durable by what is left, {witnessed} by the scan");
    }
}

impl Part {
    fn file(&self) -> String {
        segment(self.sequence)
    }
}

/// The log's id, where any header tells it, if all files may belong to one log; else the first that
/// does not, or the first of all if none is a segment.
fn belonging(now: &Files) -> Result<Option<LogId>, String> {
    if now.0.values().all(|bytes| has_wrong_magic(bytes)) {
        return Err(now.0.keys().next().unwrap().clone());
    }
    let headers: Vec<_> = now.0.iter().map(|(name, bytes)| (name, header(bytes))).collect();
    let log_id =
        headers.iter().find_map(|(_, header)| Some(header.as_ref().ok()?.as_ref()?.log_id));
    for (sequence, (name, header)) in headers.iter().enumerate() {
        let belongs = match header {
            Ok(None) => true,
            Ok(Some(header)) => {
                header.sequence == SegmentSeq::new(sequence as u64) && log_id == Some(header.log_id)
            }
            Err(error) => !matches!(
                error,
                SegmentHeaderError::FormatVersion { .. }
                    | SegmentHeaderError::RequiredFeatures { .. }
            ),
        };
        if !belongs {
            return Err((*name).clone());
        }
    }
    Ok(log_id)
}

fn header(bytes: &[u8]) -> Result<Option<SegmentHeader>, SegmentHeaderError> {
    SegmentHeader::decode(&bytes[..bytes.len().min(HEADER_BYTES)])
}

/// Below which position all had been durable, by a frame in front of which all has to be: of one that
/// is settled, wherever it stands.
fn said(header: &FrameHeader) -> u64 {
    if header.settled { u64::MAX } else { header.synced_position.as_u64() }
}

/// The highest synced position that any header at or behind X tells, looked for at every multiple
/// of 8; more than any if one behind X is settled.
fn witnessed(now: &Files, log_id: Option<LogId>, sequence: usize, offset: usize) -> u64 {
    let Some(log_id) = log_id else { return 0 };
    let mut highest = 0;
    for (later, bytes) in now.0.values().enumerate().skip(sequence) {
        let from = if later == sequence { offset } else { 0 };
        if let (0, Ok(Some(header))) = (from, header(bytes)) {
            highest = highest.max(header.synced_position.as_u64());
        }
        let salt = Salt::new(log_id, SegmentSeq::new(later as u64));
        for at in (from.max(HEADER_BYTES)..bytes.len()).step_by(8) {
            let place = ByteOffset::new(at as u64);
            if let Ok(Some(found)) = FrameHeader::decode(&bytes[at..], salt, place) {
                let is_at_x = (later, at) == (sequence, offset);
                let told = if is_at_x { found.synced_position.as_u64() } else { said(&found) };
                highest = highest.max(told);
            }
        }
    }
    highest
}

/// Whether a file is as long as its header says, or without one as long as some segment.
fn has_its_length(now: &Files, sequence: usize) -> bool {
    use layout::segment::{CAPACITY_MAX, CAPACITY_MIN, CAPACITY_STEP};
    let bytes = &now.0[&segment(sequence)];
    let length = bytes.len() as u64;
    match header(bytes) {
        Ok(Some(header)) => header.capacity == length,
        _ => {
            (CAPACITY_MIN..=CAPACITY_MAX).contains(&length) && length.is_multiple_of(CAPACITY_STEP)
        }
    }
}

/// Whether a file begins with a magic that is neither right nor half written.
fn has_wrong_magic(bytes: &[u8]) -> bool {
    let right = layout::segment::MAGIC_VALUE;
    bytes.len() >= right.len()
        && bytes.iter().zip(right).any(|(found, right)| *found != 0 && *found != right)
}

fn has_contents(bytes: &[u8]) -> bool {
    bytes.iter().skip(HEADER_BYTES).any(|byte| *byte != 0)
}
