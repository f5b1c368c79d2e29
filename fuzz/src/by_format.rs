//! What FORMAT.md says of the files of a directory, decided with the format crate alone.

use std::collections::BTreeMap;

use quipu_format::layout::{self, segment};
use quipu_format::{
    Body, ByteOffset, Chain, CommitTime, ControlKind, Frame, FrameHeader, FrameKind, LogId,
    Position, Predecessor, Salt, SegmentHeader, SegmentHeaderError, SegmentSeq, Step,
};

use crate::logs::Files;

/// How far a log goes, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) verdict: Verdict,
    pub(crate) batches: u64,
    pub(crate) position: u64,
    /// The segment and offset of the damage, if there is any: X, or by rule 8 a wrong magic.
    pub(crate) damage: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ends there, or has a torn tail.
    Opens,
    /// Something durable is gone, or no crash explains what is there.
    Damaged,
    /// A file does not belong there, or a newer release wrote it.
    Refused,
}

type Header = Result<Option<SegmentHeader>, SegmentHeaderError>;

/// The walk over the segments.
struct Walk<'a> {
    segments: BTreeMap<u64, (&'a [u8], Header)>,
    /// The next version of each stream.
    streams: BTreeMap<String, u64>,
    /// What each named checkpoint is set to.
    checkpoints: BTreeMap<String, u64>,
    chain: Chain,
    batches: u64,
    /// Where the walk stands, and the segment in front that is sealed.
    place: (u64, u64),
    sealed: Option<Predecessor>,
    /// Whether checksums are right there and what they cover breaks a rule.
    is_contradiction: bool,
}

/// Looks at a directory.
pub(crate) fn look(files: &Files) -> Found {
    let number = |name: &str| {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
        digits.parse::<u64>().ok()
    };
    let segments: BTreeMap<u64, (&[u8], Header)> = files
        .iter()
        .filter_map(|(name, bytes)| Some((number(name)?, (&bytes[..], header(bytes)))))
        .collect();
    let mut walk = Walk {
        segments,
        streams: BTreeMap::new(),
        checkpoints: BTreeMap::new(),
        chain: Chain {
            position: Position::ZERO,
            previous: 0,
            time: CommitTime::ZERO,
            synced_position: Position::ZERO,
        },
        batches: 0,
        place: (0, 0),
        sealed: None,
        is_contradiction: false,
    };
    let log_id = walk.log_id();
    let (mut verdict, mut damage) = (Verdict::Refused, None);
    if walk.all_belong(log_id) {
        while walk.segment() {}
        damage = walk.damage(log_id);
        verdict = if damage.is_some() { Verdict::Damaged } else { Verdict::Opens };
    }
    Found {
        verdict,
        damage: damage.unwrap_or_default(),
        batches: walk.batches,
        position: walk.chain.position.as_u64(),
    }
}

/// Section 3.5, the fifth rule of frames.
fn has_room(frame: &Frame<'_>, at: usize, capacity: usize) -> bool {
    let is_seal = frame.header.kind == FrameKind::Control(ControlKind::Seal);
    is_seal || at + frame.header.frame_bytes as usize + layout::CONTROL_FRAME_BYTES <= capacity
}

fn header(bytes: &[u8]) -> Header {
    let block = &bytes[..bytes.len().min(segment::BYTES)];
    match SegmentHeader::decode(block) {
        Err(_) if block.iter().all(|byte| *byte == 0) => Ok(None),
        found => found,
    }
}

impl Walk<'_> {
    fn header(&self, sequence: u64) -> Option<SegmentHeader> {
        self.segments.get(&sequence)?.1.ok()?
    }

    fn log_id(&self) -> Option<LogId> {
        self.segments.keys().find_map(|sequence| Some(self.header(*sequence)?.log_id))
    }

    /// Section 8, before any decision.
    fn all_belong(&self, log_id: Option<LogId>) -> bool {
        let mut segments = self.segments.values();
        if !self.segments.is_empty() && segments.all(|(_, header)| is_wrong(header)) {
            return false;
        }
        self.segments.iter().all(|(sequence, (_, header))| match header {
            Ok(None) => true,
            Ok(Some(header)) => {
                header.sequence == SegmentSeq::new(*sequence) && Some(header.log_id) == log_id
            }
            Err(
                SegmentHeaderError::FormatVersion { .. }
                | SegmentHeaderError::RequiredFeatures { .. },
            ) => false,
            Err(_) => true,
        })
    }

    /// Walks the segment at whose start the walk stands. Whether it is sealed.
    fn segment(&mut self) -> bool {
        let sequence = self.place.0;
        let Some((bytes, found)) = self.segments.get(&sequence).copied() else { return false };
        let header = match found {
            Ok(Some(header)) => header,
            found => {
                self.is_contradiction = matches!(found, Err(SegmentHeaderError::Field { .. }));
                return false;
            }
        };
        let follows = match self.sealed {
            Some(before) => self.chain.leads_to(&header, before.end),
            None => header.predecessor.is_none(),
        };
        if header.capacity != bytes.len() as u64 || !follows {
            return false;
        }
        self.chain = Chain::at_start_of(&header);
        let salt = Salt::new(header.log_id, header.sequence);
        let mut at = segment::BYTES;
        loop {
            let offset = ByteOffset::new(at as u64);
            self.place.1 = offset.as_u64();
            let step = self.chain.step(&bytes[at..], salt, offset);
            let (frame, chain) = match step {
                Step::Frame { frame, chain }
                    if has_room(&frame, at, bytes.len()) && self.take(&frame) =>
                {
                    (frame, chain)
                }
                bad => {
                    self.is_contradiction = match bad {
                        Step::Frame { .. } => true,
                        Step::NeverWritten => false,
                        Step::Bad(error) => error.is_contradiction(),
                    };
                    return self.missing_seal(bytes.len(), salt, offset);
                }
            };
            at += frame.header.frame_bytes as usize;
            self.chain = chain;
            if frame.header.kind == FrameKind::Control(ControlKind::Seal) {
                let end = ByteOffset::new(at as u64);
                return self.leave(Predecessor { end, checksum: chain.previous });
            }
        }
    }

    /// Takes a batch's streams on their next versions, if these are the next ones, and its
    /// checkpoints, if they rise.
    fn take(&mut self, frame: &Frame<'_>) -> bool {
        let body = Body::decode(frame).unwrap();
        let set = body.checkpoints().unwrap().map(Result::unwrap);
        let set: Vec<_> = set.map(|it| (it.name.to_owned(), it.position.as_u64())).collect();
        if set.iter().any(|(name, at)| self.checkpoints.get(name).is_some_and(|was| was >= at)) {
            return false;
        }
        if frame.header.kind != FrameKind::Batch {
            self.checkpoints.extend(set);
            return true;
        }
        let names: Vec<&str> = body.streams().names().map(Result::unwrap).collect();
        let mut heads = BTreeMap::new();
        for (index, name) in (0..).zip(&names) {
            let next = self.streams.get(*name).copied().unwrap_or(0);
            let is_next = frame.first_version(index).is_some_and(|found| found.as_u64() == next);
            if !is_next || heads.insert(*name, next).is_some() {
                return false;
            }
        }
        for event in body.events() {
            *heads.get_mut(names[event.unwrap().stream as usize]).unwrap() += 1;
        }
        self.checkpoints.extend(set);
        self.streams.extend(heads.into_iter().map(|(name, next)| (name.to_owned(), next)));
        self.batches += 1;
        true
    }

    /// Section 5: whether the next header says what the seal was.
    fn missing_seal(&mut self, capacity: usize, salt: Salt, offset: ByteOffset) -> bool {
        let next = self.place.0.checked_add(1).and_then(|next| self.header(next));
        let Some((next, seal)) = next.and_then(|next| Some((next, next.predecessor?))) else {
            return false;
        };
        let is_named = self.chain.seal_named_by(&next, salt, offset).is_some();
        if !is_named || seal.end.as_u64() > capacity as u64 {
            return false;
        }
        (self.chain.previous, self.chain.time) = (seal.checksum, next.created_at);
        self.chain.synced_position = next.synced_position;
        self.leave(seal)
    }

    fn leave(&mut self, seal: Predecessor) -> bool {
        (self.sealed, self.place, self.is_contradiction) =
            (Some(seal), (self.place.0 + 1, 0), false);
        true
    }

    /// Section 8, the eight rules: where the damage is.
    fn damage(&self, log_id: Option<LogId>) -> Option<(u64, u64)> {
        let mut from_here = self.segments.range(self.place.0..);
        let wrong = from_here.find(|(_, (_, header))| is_wrong(header));
        match self.is_damage_at_x(log_id) {
            true => Some(self.place),
            false => match wrong {
                Some((sequence, _)) => Some((*sequence, 0)),
                None => self.is_unchecked(log_id).then_some(self.place),
            },
        }
    }

    /// Rule 7.
    fn is_unchecked(&self, log_id: Option<LogId>) -> bool {
        log_id.is_none() && self.segments.values().any(|(bytes, _)| has_frames(bytes))
    }

    /// Rules 1 to 6.
    fn is_damage_at_x(&self, log_id: Option<LogId>) -> bool {
        let (sequence, offset) = self.place;
        let later = || self.segments.range(sequence..).filter(|(later, _)| **later > sequence);
        let is_missing = !self.segments.contains_key(&sequence);
        let activated_later = later().any(|(later, _)| self.header(*later).is_some());
        self.witnessed(log_id) > self.chain.position
            || self.is_contradiction
            || is_missing && activated_later
            || is_missing && self.sealed.is_some()
            || is_missing && sequence == 0 && later().next().is_some()
            || offset == 0 && !is_missing && !self.has_its_length(sequence)
    }

    fn has_its_length(&self, sequence: u64) -> bool {
        let length = self.segments[&sequence].0.len() as u64;
        match self.header(sequence) {
            Some(header) => header.capacity == length,
            None => {
                let lengths = segment::CAPACITY_MIN..=segment::CAPACITY_MAX;
                lengths.contains(&length) && length.is_multiple_of(segment::CAPACITY_STEP)
            }
        }
    }

    /// The highest synced position that anything at or behind X tells; of a settled frame behind X
    /// more than any.
    fn witnessed(&self, log_id: Option<LogId>) -> Position {
        let Some(log_id) = log_id else { return Position::ZERO };
        let (first, offset) = self.place;
        let mut highest = Position::ZERO;
        for (sequence, (bytes, _)) in self.segments.range(first..) {
            let from = if *sequence == first { offset as usize } else { 0 };
            let header = self.header(*sequence).filter(|_| from == 0);
            highest = header.map_or(highest, |header| highest.max(header.synced_position));
            let salt = Salt::new(log_id, SegmentSeq::new(*sequence));
            for at in (from.max(segment::BYTES)..bytes.len()).step_by(layout::ALIGNMENT) {
                // Most of a segment is zeros.
                if bytes[at..].first_chunk() == Some(&[0; 8]) {
                    continue;
                }
                let offset = ByteOffset::new(at as u64);
                if let Ok(Some(found)) = FrameHeader::decode(&bytes[at..], salt, offset) {
                    highest = highest.max(found.synced_position);
                    if found.settled && (*sequence, at as u64) > self.place {
                        return Position::new(u64::MAX);
                    }
                }
            }
        }
        highest
    }
}

/// Whether it is a magic that is neither right nor half written.
fn is_wrong(header: &Header) -> bool {
    let half = |(found, right): (&u8, u8)| *found == 0 || *found == right;
    match header {
        Err(SegmentHeaderError::Magic { found }) => {
            !found.iter().zip(segment::MAGIC_VALUE).all(half)
        }
        _ => false,
    }
}

fn has_frames(bytes: &[u8]) -> bool {
    bytes.iter().skip(segment::BYTES).any(|byte| *byte != 0)
}
