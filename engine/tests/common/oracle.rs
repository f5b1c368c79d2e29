//! A plain model of a log: what was submitted, what was answered, what must therefore be there.
#![allow(dead_code)] // each test uses a part of it

use std::collections::HashMap;

use quipu::{
    AppendError, Batch, Durability, Event, EventId, ExpectedVersion, FailedPrecondition, Log,
    Position, Receipt, RecordedEvent, StreamHead, Version,
};

/// An event as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submitted {
    pub(crate) stream: String,
    pub(crate) id: Option<EventId>,
    pub(crate) payload: Vec<u8>,
}

/// A batch as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submission {
    pub(crate) events: Vec<Submitted>,
    pub(crate) expectations: Vec<(String, ExpectedVersion)>,
    pub(crate) durability: Durability,
    pub(crate) idempotent: bool,
}

impl Submission {
    /// The batch for the log.
    pub(crate) fn batch(&self) -> Batch {
        let mut batch = Batch::new().durability(self.durability);
        if self.idempotent {
            batch = batch.idempotent();
        }
        for (stream, expected) in &self.expectations {
            batch = batch.expect(stream, *expected);
        }
        for event in &self.events {
            let mut given = Event::new("T", &event.payload[..]);
            if let Some(id) = event.id {
                given = given.id(id);
            }
            batch.push(&event.stream, &given);
        }
        batch
    }
}

/// What the log must be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle {
    /// The history: all that was acknowledged, and at the end what may be there.
    history: Vec<Submission>,
    /// So many of its batches are there after a power cut.
    durable: usize,
    /// So many of its batches are there after the process was killed.
    acknowledged: usize,
}

impl Oracle {
    pub(crate) fn len(&self) -> usize {
        self.history.len()
    }

    pub(crate) fn history(&self) -> &[Submission] {
        &self.history
    }

    /// How many batches a power cut must leave.
    pub(crate) fn durable(&self) -> usize {
        self.durable
    }

    /// The position behind the last event.
    pub(crate) fn end(&self) -> u64 {
        self.history.iter().map(|batch| batch.events.len() as u64).sum()
    }

    /// Each stream's last event.
    pub(crate) fn heads(&self) -> HashMap<&str, StreamHead> {
        let mut heads: HashMap<&str, StreamHead> = HashMap::new();
        let events = self.history.iter().flat_map(|batch| &batch.events);
        for (at, event) in (0_u64..).zip(events) {
            let version =
                heads.get(&*event.stream).map_or(Version::ZERO, |head| head.version.plus(1));
            heads.insert(&event.stream, StreamHead { version, position: Position::new(at) });
        }
        heads
    }

    /// Checks the answer to a batch, and takes it down.
    pub(crate) fn answered(
        &mut self,
        submission: &Submission,
        answer: &Result<Receipt, AppendError>,
    ) {
        let failed = self.failed(submission);
        match answer {
            Ok(receipt) if receipt.replayed() => {
                assert!(submission.idempotent && !failed.is_empty(), "replayed without a cause");
                let (place, first) = self.find(submission).expect("what is replayed is there");
                assert_eq!(receipt.first_position().as_u64(), first);
                if submission.durability == Durability::Sync {
                    self.durable = self.durable.max(place + 1);
                }
            }
            Ok(receipt) => {
                assert_eq!(failed, [], "committed although a precondition does not hold");
                assert_eq!(receipt.first_position().as_u64(), self.end());
                if !submission.events.is_empty() {
                    self.history.push(submission.clone());
                    self.acknowledged = self.history.len();
                    for (stream, head) in self.heads() {
                        if submission.events.iter().any(|event| event.stream == stream) {
                            assert_eq!(receipt.version(stream), Some(head.version), "{stream}");
                        }
                    }
                    if submission.durability == Durability::Sync {
                        self.durable = self.history.len();
                    }
                }
                self.judged(submission);
            }
            Err(AppendError::PreconditionFailed(told)) => {
                assert_eq!(told[..], failed[..], "all that failed, as it is");
                let there = submission.idempotent && self.find(submission).is_some();
                assert!(!there, "a repeated batch was refused");
                self.judged(submission);
            }
            Err(error) if error.outcome() == quipu::Outcome::Unknown => {
                // One that is there already was recognised, and the sync that proves it failed.
                let recognised = submission.idempotent && self.find(submission).is_some();
                if failed.is_empty() || !recognised {
                    assert_eq!(failed, [], "stored although a precondition does not hold");
                    self.history.push(submission.clone());
                }
            }
            Err(_) => {}
        }
    }

    /// All committed so far is durable.
    pub(crate) fn synced(&mut self) {
        self.durable = self.acknowledged;
    }

    /// Checks what was found on opening, and goes on from it. `killed`: the machine stayed up.
    pub(crate) fn reopened(&mut self, log: &Log, killed: bool) {
        let batches: Result<Vec<_>, _> = log.batches(..).collect();
        let found = batches.unwrap().len();
        let least = if killed { self.acknowledged } else { self.durable };
        assert!(found >= least, "{found} batches found, {least} must be there");
        assert!(found <= self.history.len(), "a batch that was never submitted");
        self.history.truncate(found);
        // What recovery has accepted stays.
        (self.durable, self.acknowledged) = (found, found);
        self.check(log);
    }

    /// Compares everything that can be read with the model. What may be there is not seen before
    /// the log has been opened again.
    pub(crate) fn check(&self, log: &Log) {
        let visible = &self.history[..self.acknowledged];
        let mut expected = Vec::new();
        let mut versions: HashMap<&str, u64> = HashMap::new();
        for event in visible.iter().flat_map(|batch| &batch.events) {
            let version = versions.entry(&event.stream).or_default();
            expected.push((expected.len() as u64, *version, event));
            *version += 1;
        }
        assert_eq!(log.end().as_u64(), expected.len() as u64);
        let forward: Vec<_> = log.read(..).into_iter().map(Result::unwrap).collect();
        same(&forward, &expected.iter().collect::<Vec<_>>());
        let backward: Vec<_> = log.read(..).backward().into_iter().map(Result::unwrap).collect();
        same(&backward, &expected.iter().rev().collect::<Vec<_>>());
        for stream in versions.keys() {
            let of_stream: Vec<_> =
                expected.iter().filter(|(_, _, event)| event.stream == *stream).collect();
            let read = log.read_stream(stream, ..);
            let last = of_stream.last().map(|(_, version, _)| Version::new(*version));
            assert_eq!((read.current_version(), log.stream_version(stream)), (last, last));
            same(&read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), &of_stream);
            let backward = log.read_stream(stream, ..).backward();
            let reversed: Vec<_> = of_stream.into_iter().rev().collect();
            same(&backward.into_iter().map(Result::unwrap).collect::<Vec<_>>(), &reversed);
        }
        let counts: Vec<_> = log.batches(..).map(|batch| batch.unwrap().event_count()).collect();
        let submitted = visible.iter().map(|batch| batch.events.len() as u32);
        assert_eq!(counts, submitted.collect::<Vec<_>>(), "batches are whole");
        let times: Vec<_> = log.batches(..).map(|batch| batch.unwrap().committed_at()).collect();
        assert!(times.is_sorted(), "commit times run backwards");
        assert_eq!(log.batches(..).backward().map(Result::unwrap).count(), counts.len());
    }

    /// Which preconditions do not hold, as the log should tell.
    fn failed(&self, submission: &Submission) -> Vec<FailedPrecondition> {
        let heads = self.heads();
        let failed = |(stream, expected): &(String, ExpectedVersion)| {
            let actual = heads.get(&**stream).copied();
            let (stream, expected) = (stream.clone(), *expected);
            (!expected.holds(actual)).then_some(FailedPrecondition { stream, expected, actual })
        };
        submission.expectations.iter().filter_map(failed).collect()
    }

    /// A judgement under `Sync` is told only when what it speaks of is durable.
    fn judged(&mut self, submission: &Submission) {
        if submission.durability != Durability::Sync {
            return;
        }
        let heads = self.heads();
        let named = submission.expectations.iter();
        // Without its own events: they are durable with the batch itself.
        let last = named.filter_map(|(stream, _)| heads.get(&**stream)).map(|head| head.position);
        let Some(last) = last.max() else { return };
        let mut end = 0;
        for (place, batch) in self.history.iter().enumerate() {
            end += batch.events.len() as u64;
            if last.as_u64() < end {
                self.durable = self.durable.max(place + 1);
                return;
            }
        }
    }

    /// Where a batch with these very events stands: its place, and its first position.
    fn find(&self, submission: &Submission) -> Option<(usize, u64)> {
        let mut first = 0;
        for (place, batch) in self.history.iter().enumerate() {
            if batch.events == submission.events {
                return Some((place, first));
            }
            first += batch.events.len() as u64;
        }
        None
    }
}

fn same(found: &[RecordedEvent], expected: &[&(u64, u64, &Submitted)]) {
    assert_eq!(found.len(), expected.len(), "number of events");
    for (found, (position, version, event)) in found.iter().zip(expected) {
        let place = (found.position().as_u64(), found.version().as_u64());
        assert_eq!(place, (*position, *version));
        assert_eq!((found.stream(), found.id()), (&*event.stream, event.id), "at {position}");
        assert!(found.payload() == event.payload, "another payload at {position}");
    }
}
