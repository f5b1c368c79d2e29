//! Where the log begins: at position 0, or behind segments that have been dropped.
//!
//! Owns: [`Front`]. May call: source, run, the verifier's directory, the format. [`Front::store`] alone
//! writes, and only into the new log.
//!
//! What was dropped is not lost: a base says what the streams and checkpoints had come to. The new log
//! begins with the same base under its own id, so that positions and versions go on as they were. If no
//! copy of the base is right, nobody knows that any more, and the new log begins at position 0.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use quipu_format::sidecar::{
    CheckpointBuilder, LogBase, NameHasher, SealedSegment, SidecarError, StreamState,
};
use quipu_format::{
    ByteOffset, Chain, CommitTime, LogId, Position, Predecessor, SegmentHeader, SegmentSeq,
};

use super::run::{Clash, Run, Strand};
use crate::verify::directory::{self, COPIES, Directory, segment_name};

/// The beginning of the old log.
#[derive(Debug)]
pub(super) struct Front {
    /// Its first segment.
    pub(super) first: SegmentSeq,
    /// The log's state in front of it, and where the segment in front of it ended.
    chain: Chain,
    seal_end: ByteOffset,
    /// The bytes of a base; they have been verified.
    base: Option<Vec<u8>>,
    /// The file of a base of which no copy is right, and what is wrong with it.
    pub(super) lost: Option<(String, String)>,
    /// Copies of the base that are wrong or missing, while another is right.
    pub(super) copies_wrong: Vec<String>,
}

impl Front {
    /// Of a log of which nothing was ever dropped.
    pub(super) const fn whole() -> Self {
        let chain = Chain {
            position: Position::ZERO,
            previous: 0,
            time: CommitTime::ZERO,
            synced_position: Position::ZERO,
        };
        Self {
            first: SegmentSeq::ZERO,
            chain,
            seal_end: ByteOffset::ZERO,
            base: None,
            lost: None,
            copies_wrong: Vec::new(),
        }
    }

    /// By what was found in the directory of the log `log_id`.
    pub(super) fn of(found: directory::Front, log_id: LogId) -> Self {
        let lost = |first, file: String, error: String| Self {
            first,
            lost: Some((file, error)),
            ..Self::whole()
        };
        match found {
            directory::Front::Whole => Self::whole(),
            directory::Front::Lost { first, file, error } => lost(first, file, error.to_string()),
            directory::Front::Based(base) => match LogBase::decode(&base.bytes) {
                Ok(view) if view.log_id() == log_id => Self {
                    first: base.first,
                    chain: view.chain(),
                    seal_end: view.seal_end(),
                    copies_wrong: base.unsound,
                    base: Some(base.bytes),
                    lost: None,
                },
                Ok(view) => {
                    let error = format!("the base is that of the log {}", view.log_id());
                    lost(base.first, base.name, error)
                }
                Err(error) => lost(base.first, base.name, error.to_string()),
            },
        }
    }

    /// Where the new log begins.
    pub(super) const fn start(&self) -> Position {
        self.chain.position
    }

    /// Whether there is a base that says that the first segment had been in use.
    pub(super) const fn is_proved(&self) -> bool {
        self.base.is_some() || self.lost.is_some()
    }

    /// Whether a segment is no part of the log any more. Without a base nothing proves that.
    pub(super) fn is_dropped(&self, sequence: SegmentSeq) -> bool {
        self.base.is_some() && sequence < self.first
    }

    /// The base, where there is one.
    pub(super) fn view(&self) -> Option<LogBase<'_>> {
        self.base.as_deref().and_then(|bytes| LogBase::decode(bytes).ok())
    }

    /// Whether the header of the first segment goes on from what was dropped.
    pub(super) fn leads_to(&self, header: &SegmentHeader) -> bool {
        match &self.base {
            Some(_) => self.chain.leads_to(header, self.seal_end),
            None => self.lost.is_some() || header.predecessor.is_none(),
        }
    }

    /// The strands that cannot stand behind what was dropped, and why.
    pub(super) fn contradicted(&self, strands: &[Strand], runs: &[Run]) -> Vec<(usize, Clash)> {
        let clash = |strand: &Strand| {
            let first = runs.get(strand.runs.start)?.first;
            let Chain { position, time, synced_position, .. } = self.chain;
            if first.first_position < position {
                return Some(Clash::Position { before: position, found: first.first_position });
            }
            if first.commit_time < time {
                return Some(Clash::Time { before: time, found: first.commit_time });
            }
            let found = first.synced_position;
            (found < synced_position).then_some(Clash::Synced { before: synced_position, found })
        };
        let all = strands.iter().enumerate();
        all.filter_map(|(number, strand)| Some((number, clash(strand)?))).collect()
    }

    /// Puts the same beginning into the directory of a new log: both copies of the base, and a first
    /// segment of `capacity` bytes without a frame. All of it is durable but for the names.
    pub(super) fn store(&self, into: &Path, log_id: LogId, capacity: u64) -> io::Result<()> {
        let Some(view) = self.view() else { return Ok(()) };
        let Chain { position, previous, time, synced_position } = self.chain;
        let base = again(&view, log_id).map_err(io::Error::other)?;
        for name in COPIES.map(|copy| Directory::base_name(self.first, copy)) {
            let mut file = create(&into.join(name))?;
            file.write_all(&base)?;
            file.sync_all()?;
        }
        let header = SegmentHeader {
            log_id,
            sequence: self.first,
            capacity,
            base_position: position,
            created_at: time,
            synced_position,
            predecessor: Some(Predecessor { end: self.seal_end, checksum: previous }),
            optional_features: 0,
        };
        let mut file = create(&into.join(segment_name(self.first)))?;
        let mut block = header.encode().to_vec();
        let mut left = capacity;
        // Real zeros: a mapped file with holes cannot be stored into when the disk is full.
        while left > 0 {
            let bytes = left.min(block.len() as u64);
            file.write_all(block.get(..bytes as usize).unwrap_or_default())?;
            left -= bytes;
            block = vec![0; ZEROS_BYTES];
        }
        file.sync_all()?;
        File::open(into)?.sync_all()
    }
}

/// Written at a time.
const ZEROS_BYTES: usize = 1 << 20;

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// What a base says, as that of another log. Its order goes by hashes, which hang on the log's id.
fn again(base: &LogBase<'_>, log_id: LogId) -> Result<Vec<u8>, SidecarError> {
    let hasher = NameHasher::new(log_id);
    let mut streams = base
        .streams()
        .map(|stream| stream.map(|it| StreamState { hash: hasher.stream(it.name), ..it }))
        .collect::<Result<Vec<_>, _>>()?;
    streams.sort_unstable_by_key(|stream| (stream.hash, stream.name));
    let mut builder = CheckpointBuilder::new(base.checkpoints().collect::<Result<Vec<_>, _>>()?);
    streams.iter().for_each(|stream| builder.push(stream));
    let segment = SealedSegment { log_id, ..base.header().segment };
    let Chain { time, synced_position, .. } = base.chain();
    Ok(builder.finish_base(&segment, time, synced_position))
}
