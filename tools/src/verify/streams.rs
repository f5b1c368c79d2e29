//! The version of every stream and every named checkpoint, as the log itself tells it.
//!
//! Owns: [`Streams`], the one part of the verifier whose memory grows with the log (with the number
//! of its streams and checkpoints and the length of their names). Calls the format's body.
//!
//! A part of the log can be taken by itself: its first version of each stream is then taken on
//! trust, and [`Streams::join`] asks for it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use quipu_format::sidecar::LogBase;
use quipu_format::{Body, BodyError, Frame};

/// Every stream met so far.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Where each stands among `streams`.
    by_name: HashMap<Box<str>, usize>,
    streams: Vec<Stream>,
    checkpoints: BTreeMap<String, Checkpoint>,
    batches: u64,
    /// What is in front is not known.
    in_the_middle: bool,
    /// The streams of the batch that is taken, and how many events each has there; kept, so as not
    /// to be allocated for each.
    named: Vec<(usize, u64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// The first version met.
    first_version: u64,
    next_version: u64,
    /// The last batch that named this stream, counted from 1.
    named_by: u64,
}

/// What a checkpoint was set to first, and last.
#[derive(Debug, Clone, Copy)]
struct Checkpoint {
    first: u64,
    last: u64,
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
    /// Of a part of the log: each stream begins with whatever version comes first.
    pub(super) fn in_the_middle() -> Self {
        Self { in_the_middle: true, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.streams.iter().filter(|stream| stream.has_events()).count()
    }

    /// What each named checkpoint is set to.
    pub(super) fn checkpoints(&self) -> BTreeMap<String, u64> {
        self.checkpoints.iter().map(|(name, it)| (name.clone(), it.last)).collect()
    }

    /// Takes what streams and checkpoints had come to where the log begins.
    pub(super) fn begin(&mut self, base: &LogBase<'_>) {
        for stream in base.streams().flatten() {
            let next_version = stream.version.as_u64() + 1;
            self.by_name.insert(stream.name.into(), self.streams.len());
            self.streams.push(Stream { first_version: 0, next_version, named_by: 0 });
        }
        for set in base.checkpoints().flatten() {
            let at = set.position.as_u64();
            self.checkpoints.insert(set.name.to_owned(), Checkpoint { first: at, last: at });
        }
    }

    /// Takes the events and checkpoints of a frame whose body has been checked, if every stream
    /// goes on with its next version and every checkpoint rises. On a fault nothing has moved.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> Result<(), StreamFault> {
        let body = Body::decode(frame)?;
        for checkpoint in body.checkpoints()? {
            let checkpoint = checkpoint?;
            let found = checkpoint.position.as_u64();
            let before = self.checkpoints.get(checkpoint.name).map(|it| it.last);
            if let Some(before) = before.filter(|before| *before >= found) {
                let name = checkpoint.name.to_owned();
                return Err(StreamFault::Checkpoint { name, found, before });
            }
        }
        self.batches += 1;
        self.named.clear();
        for (index, name) in (0..).zip(body.streams().names()) {
            let found = frame.first_version(index).map_or(u64::MAX, u64::from);
            let at = self.name(name?, found)?;
            self.named.push((at, 0));
        }
        for event in body.outlines() {
            if let Some((_, count)) = self.named.get_mut(event?.stream() as usize) {
                *count += 1;
            }
        }
        for (at, count) in &self.named {
            if let Some(stream) = self.streams.get_mut(*at) {
                stream.next_version += count;
            }
        }
        for checkpoint in body.checkpoints()? {
            let checkpoint = checkpoint?;
            let set = checkpoint.position.as_u64();
            match self.checkpoints.get_mut(checkpoint.name) {
                Some(known) => known.last = set,
                None => {
                    let first = Checkpoint { first: set, last: set };
                    self.checkpoints.insert(checkpoint.name.to_owned(), first);
                }
            }
        }
        Ok(())
    }

    /// Where the stream stands, if it can go on with the version that this batch says.
    fn name(&mut self, name: &str, found: u64) -> Result<usize, StreamFault> {
        let wrong =
            |expected| Err(StreamFault::Version { stream: name.to_owned(), found, expected });
        let known = self.by_name.get(name).copied();
        let Some((at, stream)) = known.and_then(|at| Some((at, self.streams.get_mut(at)?))) else {
            let first = if self.in_the_middle { found } else { 0 };
            let at = self.insert(name.into(), first);
            if let Some(stream) = self.streams.get_mut(at) {
                stream.named_by = self.batches;
            }
            return if found == first { Ok(at) } else { wrong(first) };
        };
        if stream.named_by == self.batches {
            return Err(StreamFault::NamedTwice { stream: name.to_owned() });
        }
        stream.named_by = self.batches;
        if self.in_the_middle && !stream.has_events() {
            (stream.first_version, stream.next_version) = (found, found);
        }
        let expected = stream.next_version;
        if found == expected { Ok(at) } else { wrong(expected) }
    }

    fn insert(&mut self, name: Box<str>, version: u64) -> usize {
        let at = self.streams.len();
        self.streams.push(Stream { first_version: version, next_version: version, named_by: 0 });
        self.by_name.insert(name, at);
        at
    }

    /// Takes all of a part that stands right behind this, if every stream and every checkpoint of
    /// it goes on from here. `false`: nothing has moved.
    pub(super) fn join(&mut self, part: Self) -> bool {
        let Self { by_name, streams, checkpoints, .. } = part;
        let goes_on = by_name.iter().all(|(name, at)| {
            let next = self.get(name).map_or(0, |known| known.next_version);
            let stream = streams.get(*at).filter(|stream| stream.has_events());
            stream.is_none_or(|stream| stream.first_version == next)
        }) && checkpoints.iter().all(|(name, checkpoint)| {
            self.checkpoints.get(name).is_none_or(|known| known.last < checkpoint.first)
        });
        if !goes_on {
            return false;
        }
        for (name, at) in by_name {
            let Some(stream) = streams.get(at).filter(|stream| stream.has_events()) else {
                continue;
            };
            let at = match self.by_name.get(&name) {
                Some(at) => *at,
                None => self.insert(name, stream.first_version),
            };
            if let Some(known) = self.streams.get_mut(at) {
                known.next_version = stream.next_version;
            }
        }
        for (name, checkpoint) in checkpoints {
            match self.checkpoints.entry(name) {
                Entry::Occupied(mut known) => known.get_mut().last = checkpoint.last,
                Entry::Vacant(new) => drop(new.insert(checkpoint)),
            }
        }
        true
    }

    fn get(&self, name: &str) -> Option<&Stream> {
        self.streams.get(*self.by_name.get(name)?)
    }
}

impl Stream {
    /// A refused batch may have left a name without events.
    fn has_events(&self) -> bool {
        self.next_version > self.first_version
    }
}
