//! A log's files as bytes, read with the format crate alone.
//!
//! Owns: [`Image`], [`Item`]. It knows nothing of the engine: what it says of a log is a second
//! opinion.

use std::collections::BTreeMap;
use std::ops::Range;

use quipu::sim::SimDisk;
use quipu_format::sidecar::LogBase;
use quipu_format::{
    ByteOffset, Chain, ControlKind, FrameKind, LogId, Salt, SegmentHeader, SegmentSeq, Step, layout,
};

/// All files of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<String, Vec<u8>>,
}

/// A part of a log with a checksum of its own: a segment's header, or a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The file's name.
    pub file: String,
    /// Its bytes.
    pub bytes: Range<usize>,
    /// Which kind it is.
    pub kind: ItemKind,
    /// The position of the log in front of it.
    pub position: u64,
    /// The position behind it.
    pub end: u64,
    /// Batches in front of it.
    pub batches: usize,
    /// The log that it is of.
    pub log_id: LogId,
    /// What the checksums of its segment are bound to.
    pub salt: Salt,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// The header of a segment.
    Header,
    /// A batch.
    Batch,
    /// A batch of named checkpoints alone.
    Checkpoints,
    /// The last frame of a full segment.
    Seal,
    /// A frame that says how far the log was durable.
    Mark,
    /// The same, of a log that was closed.
    Close,
}

impl ItemKind {
    /// Whether a caller has committed it.
    #[must_use]
    pub fn is_committed(self) -> bool {
        matches!(self, Self::Batch | Self::Checkpoints)
    }
}

impl Image {
    /// What a machine sees.
    #[must_use]
    pub fn of(disk: &SimDisk) -> Self {
        let file = |name: String| Some((name.clone(), disk.read_file(&name)?));
        Self { files: disk.files().into_iter().filter_map(|entry| file(entry.name)).collect() }
    }

    /// A disk that holds it, durably.
    #[must_use]
    pub fn disk(&self, seed: u64) -> SimDisk {
        let disk = SimDisk::new(seed);
        self.files.iter().for_each(|(name, bytes)| disk.write_file(name, bytes));
        disk
    }

    /// The files, by name.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// The same, but for the files that are `chosen`: those as they are in `other`.
    #[must_use]
    pub fn with_files_of(&self, other: &Self, chosen: impl Fn(&str) -> bool) -> Self {
        let kept = self.files.iter().filter(|(name, _)| !chosen(name));
        let taken = other.files.iter().filter(|(name, _)| chosen(name));
        let files = kept.chain(taken).map(|(name, bytes)| (name.clone(), bytes.clone()));
        Self { files: files.collect() }
    }

    /// A file's bytes.
    #[must_use]
    pub fn bytes(&self, file: &str, range: Range<usize>) -> Option<&[u8]> {
        self.files.get(file)?.get(range)
    }

    /// The header of a segment, if it has one.
    fn header(&self, number: u64) -> Option<SegmentHeader> {
        let block = self.bytes(&segment_name(number), 0..layout::segment::BYTES)?;
        SegmentHeader::decode(block).ok()?
    }

    /// The segment that the log begins with, and the position there, if its front was dropped: by the newest
    /// base of which a copy is right, if it is the newest there is.
    #[must_use]
    pub fn base(&self) -> Option<(u64, u64)> {
        let newest = self.bases().map(|(number, _)| number).max()?;
        let copies = self.bases().filter(|(number, _)| *number == newest);
        copies.filter_map(|(number, name)| Some((number, self.base_in(name, number)?))).next()
    }

    /// The position in front of a segment, if a file is a base in front of that.
    #[must_use]
    pub fn base_in(&self, name: &str, number: u64) -> Option<u64> {
        let base = LogBase::decode(self.files.get(name)?).ok()?;
        (base.first_segment() == SegmentSeq::new(number)).then_some(base.chain().position.as_u64())
    }

    /// The files that are named like bases.
    pub fn bases(&self) -> impl Iterator<Item = (u64, &str)> {
        let number = |name: &str| {
            let digits = name.strip_suffix(".base").or(name.strip_suffix(".base2"))?;
            digits.parse().ok()
        };
        self.files.keys().filter_map(move |name| Some((number(name)?, &**name)))
    }

    /// How many batches stand in front of the last segment that begins at a position. `known`: those in
    /// front of where a log has begun.
    #[must_use]
    pub fn batches_before(&self, position: u64, known: impl Fn(u64) -> Option<usize>) -> usize {
        let items = self.items(known);
        let begins = |item: &&Item| item.kind == ItemKind::Header && item.position == position;
        items.iter().rev().find(begins).map_or(0, |item| item.batches)
    }

    /// The items of the log, in order, up to where it ends. `known`: how many batches were in front of a
    /// position that it has begun at.
    #[must_use]
    pub fn items(&self, known: impl Fn(u64) -> Option<usize>) -> Vec<Item> {
        let mut items = Vec::new();
        let (first, mut position) = self.base().unwrap_or_default();
        let mut batches = known(position).unwrap_or(0);
        for number in first.. {
            let name = segment_name(number);
            let Some(bytes) = self.files.get(&name) else { break };
            let is_as_long = |header: &SegmentHeader| header.capacity == bytes.len() as u64;
            let Some(header) = self.header(number).filter(is_as_long) else { break };
            let salt = Salt::new(header.log_id, SegmentSeq::new(number));
            items.push(Item {
                file: name.clone(),
                bytes: 0..layout::segment::BYTES,
                kind: ItemKind::Header,
                position,
                end: position,
                batches,
                log_id: header.log_id,
                salt,
            });
            let next = self.header(number + 1);
            let mut segment = SegmentItems { name: &name, bytes, salt, next, items: &mut items };
            let is_sealed = segment.walk(&header, (&mut position, &mut batches));
            if !is_sealed {
                break;
            }
        }
        items
    }
}

struct SegmentItems<'a> {
    name: &'a str,
    bytes: &'a [u8],
    salt: Salt,
    next: Option<SegmentHeader>,
    items: &'a mut Vec<Item>,
}

impl SegmentItems<'_> {
    /// Follows the frames. Whether to a seal, which the next header may stand for.
    fn walk(
        &mut self,
        header: &SegmentHeader,
        (position, batches): (&mut u64, &mut usize),
    ) -> bool {
        let mut chain = Chain::at_start_of(header);
        let mut at = layout::segment::BYTES;
        while let Some(rest) = self.bytes.get(at..) {
            let step = chain.step(rest, self.salt, ByteOffset::new(at as u64));
            let offset = ByteOffset::new(at as u64);
            let named = |next| chain.seal_named_by(next, self.salt, offset);
            let (kind, length, after) = match step {
                Step::Frame { frame, chain: after } => {
                    (kind_of(frame.header.kind), frame.header.frame_bytes as usize, after)
                }
                _ if self.next.as_ref().and_then(named).is_some() => {
                    (ItemKind::Seal, layout::CONTROL_FRAME_BYTES, chain)
                }
                _ => return false,
            };
            self.items.push(Item {
                file: self.name.to_owned(),
                bytes: at..at + length,
                kind,
                position: *position,
                end: after.position.as_u64(),
                batches: *batches,
                log_id: header.log_id,
                salt: self.salt,
            });
            *position = after.position.as_u64();
            *batches += usize::from(kind.is_committed());
            chain = after;
            at += length;
            if kind == ItemKind::Seal {
                return true;
            }
        }
        false
    }
}

fn kind_of(kind: FrameKind) -> ItemKind {
    match kind {
        FrameKind::Batch => ItemKind::Batch,
        FrameKind::Checkpoints => ItemKind::Checkpoints,
        FrameKind::Control(ControlKind::Seal) => ItemKind::Seal,
        FrameKind::Control(ControlKind::Close) => ItemKind::Close,
        FrameKind::Control(ControlKind::Mark) => ItemKind::Mark,
    }
}

fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number of a segment by the name of its file.
#[must_use]
pub fn sequence_of(name: &str) -> Option<SegmentSeq> {
    name.strip_suffix(".seg")?.parse().ok().map(SegmentSeq::new)
}
