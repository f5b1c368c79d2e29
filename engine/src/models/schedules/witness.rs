//! What callers were told and readers saw, and whether all of it was true.
//!
//! Owns: [`Witness`]. Takes everything down while threads run, without giving them a place to go
//! on, and judges when they have ended. What an answer says about a power cut is judged on a picture
//! of the disk taken at the moment of the answer: what a power cut would have left then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::payload::{Payload, assert_whole_and_in_order};
use crate::append::receipt::Receipt;
use crate::error::{AppendError, Outcome};
use crate::sim::{SimDisk, Survivors};
use crate::{Durability, Log, Position, Read, RecordedEvent};

/// What was told and seen in one run.
#[derive(Debug)]
pub(super) struct Witness {
    disk: SimDisk,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// The batches that were committed, by their first event, and where that stands.
    committed: Vec<(Payload, Position)>,
    /// Those that were not applied.
    refused: Vec<Payload>,
    /// Those of which it is unknown.
    unknown: Vec<Payload>,
    /// The longest history that a reader has seen.
    seen: Vec<Payload>,
    /// What a power cut would have left, by the number of effects before it, and how many events of
    /// it were said to be durable.
    pictures: BTreeMap<u64, (SimDisk, u64)>,
}

impl Witness {
    pub(super) fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), told: Mutex::default() }
    }

    /// Takes down the answer to the batch that begins with `first`.
    pub(super) fn answered(&self, first: Payload, answer: &Result<Receipt, AppendError>) {
        if first.durability == Durability::Sync {
            self.durable_below(speaks_of(answer));
        }
        let mut told = self.told();
        match answer.as_ref().map(Receipt::first_position).map_err(AppendError::outcome) {
            Ok(position) => told.committed.push((first, position)),
            Err(Outcome::NotApplied) => told.refused.push(first),
            Err(Outcome::Unknown) => told.unknown.push(first),
        }
    }

    /// Takes a picture of the disk: somebody was told just now that all below `end` is durable.
    pub(super) fn durable_below(&self, end: Position) {
        let effects = self.disk.effects();
        if !self.told().pictures.contains_key(&effects) {
            let picture = self.disk.if_rebooted(&Survivors::None);
            self.told().pictures.entry(effects).or_insert((picture, 0));
        }
        // One that was there shows the disk as it is now, or a little later.
        if let Some((_, durable)) = self.told().pictures.get_mut(&effects) {
            *durable = (*durable).max(end.as_u64());
        }
    }

    /// Reads all there is, and compares it with what was read before.
    pub(super) fn read(&self, log: &Log) {
        self.durable_below(log.synced_end());
        let end = log.end();
        let read = log.read(..);
        let ends = end.as_u64()..=log.end().as_u64();
        let found = events(read);
        assert!(
            ends.contains(&(found.len() as u64)),
            "{} events, the end is {ends:?}",
            found.len()
        );
        read_streams(log, &found);
        let found: Vec<_> = found.into_iter().map(|(_, payload)| payload).collect();
        // Whoever asked for it to be durable is not shown before it is.
        let synced = found.iter().rposition(|payload| payload.durability == Durability::Sync);
        self.durable_below(Position::new(synced.map_or(0, |last| last as u64 + 1)));
        let mut told = self.told();
        for (position, (before, now)) in told.seen.iter().zip(&found).enumerate() {
            assert_eq!(before, now, "another event at position {position} than was seen before");
        }
        if found.len() > told.seen.len() {
            told.seen = found;
        }
    }

    /// Judges all of it by the history that is in the log in the end.
    pub(super) fn judge(&self, last: &[Payload]) {
        let told = std::mem::take(&mut *self.told());
        let mut places = BTreeMap::new();
        for (position, payload) in (0_u64..).zip(last).filter(|(_, payload)| payload.place == 1) {
            places.insert(payload.batch(), position);
        }
        for (payload, position) in &told.committed {
            let found = places.remove(&payload.batch());
            assert_eq!(found, Some(position.as_u64()), "{payload} was acknowledged there, once");
        }
        for payload in &told.refused {
            assert!(!places.contains_key(&payload.batch()), "{payload} was refused, and is there");
        }
        for payload in &told.unknown {
            places.remove(&payload.batch());
        }
        assert!(places.is_empty(), "there without an answer: {places:?}");
        assert!(last.starts_with(&told.seen), "readers saw {:?}, the log has {last:?}", told.seen);
        for (effects, (picture, durable)) in told.pictures {
            let log = Log::open_simulated_read_only(&picture, Log::options()).unwrap();
            let left = history(&log);
            let promised = &last[..durable as usize];
            assert!(
                left.starts_with(promised),
                "{promised:?} was said to be durable after {effects} effects, when a power cut \
                 would have left {left:?}"
            );
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that the answer to a durable batch speaks of lies below this position.
fn speaks_of(answer: &Result<Receipt, AppendError>) -> Position {
    match answer {
        Ok(receipt) => receipt.last_position().plus(1),
        Err(error) => {
            let judged = error.failed_preconditions().iter().filter_map(|failed| failed.actual);
            let matched = error.failed_queries().iter().map(|failed| failed.position);
            let spoken_of = judged.map(|head| head.position).chain(matched);
            spoken_of.map(|position| position.plus(1)).max().unwrap_or_default()
        }
    }
}

/// The payloads of all events, in whole batches, whose positions and versions are without gaps.
pub(super) fn history(log: &Log) -> Vec<Payload> {
    events(log.read(..)).into_iter().map(|(_, payload)| payload).collect()
}

/// As [`history`], with the streams of the events.
fn events(read: Read) -> Vec<(String, Payload)> {
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut events = Vec::new();
    for event in read {
        let event = event.unwrap();
        let stream = event.stream().to_owned();
        assert_eq!(event.position().as_u64(), events.len() as u64, "positions are dense");
        let version = versions.entry(stream.clone()).or_default();
        assert_eq!(event.version().as_u64(), *version, "versions of {stream} are dense");
        *version += 1;
        events.push((stream, payload_of(&event)));
    }
    assert_whole_and_in_order(events.iter().map(|(_, payload)| payload));
    events
}

/// Reads every stream by itself: it has all that was found of it, and perhaps what came since.
fn read_streams(log: &Log, found: &[(String, Payload)]) {
    let mut streams: BTreeMap<&str, Vec<&Payload>> = BTreeMap::new();
    for (stream, payload) in found {
        streams.entry(stream).or_default().push(payload);
    }
    for (stream, payloads) in streams {
        let count = log.stream_version(stream).map(|version| version.as_u64() + 1);
        assert!(count >= Some(payloads.len() as u64), "{stream} has {count:?} events");
        let read = log.read_stream(stream, ..);
        let read: Vec<_> = read.into_iter().map(|event| payload_of(&event.unwrap())).collect();
        let same = read.len() >= payloads.len() && read.iter().zip(&payloads).all(|(a, b)| a == *b);
        assert!(same, "{stream}: {read:?}, but {payloads:?} in the log");
    }
}

fn payload_of(event: &RecordedEvent) -> Payload {
    std::str::from_utf8(event.payload()).unwrap().parse().unwrap()
}
