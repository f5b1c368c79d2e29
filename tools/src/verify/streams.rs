//! The version of every stream and every named checkpoint, as the log itself tells it.
//!
//! Owns: [`Streams`], the one part of the verifier whose memory grows with the log (with the number
//! of its streams and checkpoints and the length of their names). Calls the format's body.

use std::collections::{BTreeMap, HashMap};

use quipu_format::sidecar::LogBase;
use quipu_format::{Body, BodyError, Frame};

/// Every stream met so far.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_name: HashMap<Box<str>, Stream>,
    checkpoints: BTreeMap<String, u64>,
    batches: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    next_version: u64,
    /// The last batch that named this stream, counted from 1.
    named_by: u64,
}

/// A rule that a frame's stream table breaks although all checksums are right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamFault {
    /// The body is none.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A stream's stored version does not go on from the one before.
    #[error("stream {stream:?} goes on with version {found}, expected {expected}")]
    Version { stream: String, found: u64, expected: u64 },
    /// A name stands in one table twice.
    #[error("stream {stream:?} is named twice in one batch")]
    NamedTwice { stream: String },
    /// A checkpoint does not rise.
    #[error("checkpoint {name:?} is set to {found}, it was {before} before")]
    Checkpoint { name: String, found: u64, before: u64 },
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        // A refused batch may have left names without events.
        self.by_name.values().filter(|stream| stream.next_version > 0).count()
    }

    /// What each named checkpoint is set to.
    pub(super) fn checkpoints(&self) -> &BTreeMap<String, u64> {
        &self.checkpoints
    }

    /// Takes what streams and checkpoints had come to where the log begins.
    pub(super) fn begin(&mut self, base: &LogBase<'_>) {
        for stream in base.streams().flatten() {
            let next_version = stream.version.as_u64() + 1;
            self.by_name.insert(stream.name.into(), Stream { next_version, named_by: 0 });
        }
        let set = base.checkpoints().flatten();
        self.checkpoints = set.map(|set| (set.name.to_owned(), set.position.as_u64())).collect();
    }

    /// Takes the events and checkpoints of a frame, if every stream goes on with its next version and
    /// every checkpoint rises. On a fault nothing has moved.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> Result<(), StreamFault> {
        let body = Body::decode(frame)?;
        for checkpoint in body.checkpoints()? {
            let checkpoint = checkpoint?;
            let (name, found) = (checkpoint.name.to_owned(), checkpoint.position.as_u64());
            if let Some(before) = self.checkpoints.get(&name).copied().filter(|was| *was >= found) {
                return Err(StreamFault::Checkpoint { name, found, before });
            }
        }
        let mut event_counts = vec![0_u64; body.streams().len() as usize];
        for event in body.events() {
            if let Some(count) = event_counts.get_mut(event?.stream as usize) {
                *count += 1;
            }
        }
        self.batches += 1;
        for (index, name) in (0..).zip(body.streams().names()) {
            let name = name?;
            if !self.by_name.contains_key(name) {
                self.by_name.insert(name.into(), Stream::default());
            }
            let stream = self.by_name.get_mut(name);
            let Some(stream) = stream else { continue };
            if stream.named_by == self.batches {
                return Err(StreamFault::NamedTwice { stream: name.to_owned() });
            }
            stream.named_by = self.batches;
            let found = frame.first_version(index).map_or(u64::MAX, u64::from);
            let expected = stream.next_version;
            if found != expected {
                return Err(StreamFault::Version { stream: name.to_owned(), found, expected });
            }
        }
        for (name, count) in body.streams().names().zip(event_counts) {
            if let Some(stream) = self.by_name.get_mut(name?) {
                stream.next_version += count;
            }
        }
        for checkpoint in body.checkpoints()? {
            let checkpoint = checkpoint?;
            self.checkpoints.insert(checkpoint.name.to_owned(), checkpoint.position.as_u64());
        }
        Ok(())
    }
}
