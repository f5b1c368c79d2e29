//! The names of one kind in a sidecar, each with the positions of its events.
//!
//! Owns: [`NamedPositions`], [`StreamPositions`], [`Names`] (read in place) and [`NamesBuilder`].
//! May call: cursor, hash, positions, varint, layout.
//!
//! A table of fixed entries, sorted by hash and then by name, leads to records of any length. As
//! hashes are spread evenly, the place of one is guessed from its value: a look touches about one
//! page of the table and one of the records.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashTable;

use super::hash::{NameHash, NameHasher, NameKind};
use super::positions::{Positions, PositionsBuilder};
use super::{SidecarError, varint};
use crate::cursor::Cursor;
use crate::ids::{Position, Version};
use crate::layout::{sidecar::entry, streams::NAME_BYTES_MAX};

/// A tag or an event type, and the positions of its events.
#[derive(Debug, Clone, Copy)]
pub struct NamedPositions<'a> {
    /// The name.
    pub name: &'a str,
    /// Its hash.
    pub hash: NameHash,
    /// Where its events stand.
    pub positions: Positions<'a>,
}

/// A stream, and the positions of its events: the one with version v is at index v - `first_version`.
#[derive(Debug, Clone, Copy)]
pub struct StreamPositions<'a> {
    /// The name.
    pub name: &'a str,
    /// Its hash.
    pub hash: NameHash,
    /// The version of its first event in this segment.
    pub first_version: Version,
    /// The position of the stream's event before that one, in the last segment in front that has
    /// one. `None`: there is none, or it was not known any more when the sidecar was made.
    pub previous: Option<Position>,
    /// Where its events stand.
    pub positions: Positions<'a>,
}

impl StreamPositions<'_> {
    /// The version of its last event in this segment.
    #[must_use]
    pub const fn last_version(&self) -> Version {
        self.first_version.plus(self.positions.len() - 1)
    }
}

/// All names of a kind in a sidecar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) kind: NameKind,
    pub(super) table: &'a [[u8; entry::BYTES]],
    pub(super) records: &'a [u8],
    pub(super) base: Position,
    pub(super) end: Position,
}

impl<'a> Names<'a> {
    /// Finds a tag or an event type.
    pub(super) fn find(
        &self,
        hash: NameHash,
        name: &str,
    ) -> Result<Option<NamedPositions<'a>>, SidecarError> {
        for index in self.first_not_below(hash)..self.table.len() {
            if self.hash_at(index) != Some(hash) {
                break;
            }
            let found = self.named(index)?;
            if found.name == name {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Finds a stream.
    pub(super) fn find_stream(
        &self,
        hash: NameHash,
        name: &str,
    ) -> Result<Option<StreamPositions<'a>>, SidecarError> {
        for index in self.first_not_below(hash)..self.table.len() {
            if self.hash_at(index) != Some(hash) {
                break;
            }
            let found = self.stream(index)?;
            if found.name == name {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The tag or event type at `index`.
    pub(super) fn named(&self, index: usize) -> Result<NamedPositions<'a>, SidecarError> {
        let (hash, name, mut cursor) = self.record(index)?;
        let positions = Positions::decode(&mut cursor, self.base, self.end)?;
        Ok(NamedPositions { name, hash, positions })
    }

    /// The stream at `index`.
    pub(super) fn stream(&self, index: usize) -> Result<StreamPositions<'a>, SidecarError> {
        let (hash, name, mut cursor) = self.record(index)?;
        let first = varint::take(&mut cursor, "first version")?;
        let back = varint::take(&mut cursor, "way back")?;
        if back > self.base.as_u64() {
            return Err(SidecarError::Field { field: "way back", found: back });
        }
        let previous = (back > 0).then(|| Position::new(self.base.as_u64() - back));
        let positions = Positions::decode(&mut cursor, self.base, self.end)?;
        if first.checked_add(positions.len()).is_none() || (first == 0 && back > 0) {
            return Err(SidecarError::Field { field: "first version", found: first });
        }
        Ok(StreamPositions { name, hash, first_version: Version::new(first), previous, positions })
    }

    /// Checks that the table is sorted, that the records stand one behind the other, and each
    /// record; gives the number of events in all.
    pub(super) fn check(&self, hasher: &NameHasher) -> Result<u64, SidecarError> {
        let mut events = 0_u64;
        let mut before = None;
        for index in 0..self.table.len() {
            let (hash, name, _) = self.record(index)?;
            let start = self.record_start(index);
            if index == 0 && start != Some(0) {
                return Err(SidecarError::Field { field: "record offset", found: 0 });
            }
            if before >= Some((hash, name)) || hasher.hash(name, self.kind) != hash {
                return Err(SidecarError::Field { field: "name hash", found: hash.as_u64() });
            }
            before = Some((hash, name));
            let positions = match self.kind {
                NameKind::Stream => self.stream(index)?.positions,
                NameKind::Tag | NameKind::EventType => self.named(index)?.positions,
            };
            positions.check()?;
            events = events.saturating_add(positions.len());
        }
        if self.table.is_empty() && !self.records.is_empty() {
            let found = self.records.len() as u64;
            return Err(SidecarError::Field { field: "records", found });
        }
        Ok(events)
    }

    /// The record at `index`, and its name read.
    fn record(&self, index: usize) -> Result<(NameHash, &'a str, Cursor<'a>), SidecarError> {
        let bounds = self.record_start(index).zip(match index + 1 < self.table.len() {
            true => self.record_start(index + 1),
            false => Some(self.records.len()),
        });
        let record = bounds.and_then(|(start, end)| self.records.get(start..end));
        let (Some(hash), Some(record)) = (self.hash_at(index), record) else {
            return Err(SidecarError::Field { field: "record offset", found: index as u64 });
        };
        let mut cursor = Cursor::new(record);
        let name = take_name(&mut cursor)?;
        Ok((hash, name, cursor))
    }

    pub(super) fn hash_at(&self, index: usize) -> Option<NameHash> {
        Some(NameHash::new(word(self.table.get(index)?, entry::HASH)))
    }

    fn record_start(&self, index: usize) -> Option<usize> {
        usize::try_from(word(self.table.get(index)?, entry::RECORD)).ok()
    }

    /// The first entry whose hash is not below `hash`: guessed, then searched for around the guess.
    fn first_not_below(&self, hash: NameHash) -> usize {
        let length = self.table.len();
        let below = |index: usize| self.hash_at(index).is_some_and(|found| found < hash);
        let guess = ((u128::from(hash.as_u64()) * length as u128) >> u64::BITS) as usize;
        let (mut low, mut high, mut reach) = (0, length, GUESS_REACH);
        if below(guess) {
            low = guess;
            while let Some(further) = low.checked_add(reach).filter(|at| *at < length) {
                if !below(further) {
                    high = further;
                    break;
                }
                (low, reach) = (further, reach.saturating_mul(2));
            }
        } else {
            high = guess;
            while high > 0 {
                let nearer = high.saturating_sub(reach);
                if below(nearer) {
                    low = nearer;
                    break;
                }
                (high, reach) = (nearer, reach.saturating_mul(2));
            }
        }
        let around = self.table.get(low..high).unwrap_or(&[]);
        low + around.partition_point(|found| word(found, entry::HASH) < hash.as_u64())
    }
}

/// How far from the guess is looked first.
const GUESS_REACH: usize = 16;

fn word(entry: &[u8; entry::BYTES], at: usize) -> u64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// A name with its length in front.
pub(super) fn take_name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, SidecarError> {
    let length = varint::take(cursor, "name length")?;
    if length == 0 || length > NAME_BYTES_MAX as u64 {
        return Err(SidecarError::Field { field: "name length", found: length });
    }
    let name = cursor.bytes(length as usize, "name")?;
    core::str::from_utf8(name).map_err(|_| SidecarError::Utf8 { field: "name" })
}

/// Appends a name with its length in front.
pub(super) fn put_name(into: &mut Vec<u8>, name: &str) {
    varint::put(into, name.len() as u64);
    into.extend_from_slice(name.as_bytes());
}

/// The names of a kind, being collected.
#[derive(Debug)]
pub(super) struct NamesBuilder {
    kind: NameKind,
    hasher: NameHasher,
    by_hash: HashTable<u32>,
    entries: Vec<Collected>,
    /// One behind the other.
    names: String,
}

#[derive(Debug)]
struct Collected {
    hash: NameHash,
    /// Where the name stands.
    name: Range<usize>,
    /// Of a stream.
    first_version: Version,
    positions: PositionsBuilder,
}

impl NamesBuilder {
    pub(super) fn new(kind: NameKind, hasher: NameHasher) -> Self {
        let (by_hash, entries, names) = (HashTable::new(), Vec::new(), String::new());
        Self { kind, hasher, by_hash, entries, names }
    }

    /// Notes the event at `position`, less the base position.
    pub(super) fn push(&mut self, name: &str, position: u64) {
        self.push_at(name, position, Version::ZERO);
    }

    /// Notes an event of a stream; its version is `version`. Gives the version that was due.
    pub(super) fn push_at(&mut self, name: &str, position: u64, version: Version) -> Version {
        let hash = self.hasher.hash(name, self.kind);
        let Self { by_hash, entries, names, .. } = self;
        let same = |index: &u32| {
            let entry = entries.get(*index as usize).filter(|entry| entry.hash == hash);
            entry.is_some_and(|entry| names.get(entry.name.clone()) == Some(name))
        };
        let found = by_hash.find(hash.as_u64(), same).copied();
        if let Some(entry) = found.and_then(|index| entries.get_mut(index as usize)) {
            let due = entry.first_version.plus(entry.positions.len());
            entry.positions.push(position);
            return due;
        }
        let index = u32::try_from(entries.len()).expect(
            "four thousand million names and their entries do not fit into the memory of a machine",
        );
        let positions = PositionsBuilder::new(position);
        let start = names.len();
        names.push_str(name);
        let name = start..names.len();
        entries.push(Collected { hash, name, first_version: version, positions });
        by_hash.insert_unique(hash.as_u64(), index, |index| {
            entries.get(*index as usize).map_or(0, |at| at.hash.as_u64())
        });
        version
    }

    /// In the order of the table.
    pub(super) fn sort(&mut self) {
        let Self { entries, names, .. } = self;
        let name = |entry: &Collected| names.get(entry.name.clone());
        entries.sort_unstable_by(|a, b| a.hash.cmp(&b.hash).then_with(|| name(a).cmp(&name(b))));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = NameHash> {
        self.entries.iter().map(|entry| entry.hash)
    }

    /// The table and the records. `way_back` gives a stream's, from the position of its first event
    /// here, less the base position; it is asked where that is not the stream's first of all.
    pub(super) fn encode(&self, mut way_back: impl FnMut(u64) -> u64) -> (Vec<u8>, Vec<u8>) {
        let mut table = Vec::with_capacity(self.entries.len().saturating_mul(entry::BYTES));
        let mut records = Vec::new();
        for collected in &self.entries {
            table.extend_from_slice(&collected.hash.as_u64().to_le_bytes());
            table.extend_from_slice(&(records.len() as u64).to_le_bytes());
            put_name(&mut records, self.names.get(collected.name.clone()).unwrap_or_default());
            if self.kind == NameKind::Stream {
                varint::put(&mut records, collected.first_version.as_u64());
                let back = match collected.first_version {
                    Version::ZERO => 0,
                    _ => way_back(collected.positions.first()),
                };
                varint::put(&mut records, back);
            }
            collected.positions.encode(&mut records);
        }
        (table, records)
    }
}
