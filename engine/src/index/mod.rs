//! The index of streams: which there are, how far each has come, where its events stand.
//!
//! Owns: [`StreamIndex`], shared between the writer and the readers. May call: segment, the format.
//! Rebuilt on open.
//!
//! | part | owns |
//! |---|---|
//! | [`streams`] | every stream's version and last position, by number and by name |
//! | [`tail`] | positions of events in segments that have no index of their own yet |
//! | [`tags`] | positions of events by their tags, in those segments |
//! | [`checkpoints`] | how far projections have come, by name |
//! | [`arena`] | names, each once, and vectors that grow without moving |
//! | [`history`] | finding a stream's events over all segments |
//! | [`table`] | the file of all streams at the end of a sealed segment |
//! | [`indexer`] | making the index of a segment that has been sealed |
//! | [`intake`] | putting the events of a frame that was read here |
//!
//! Invariants:
//! - One writer pushes events in the order of their positions, right after it has stored them and
//!   before they are published; a reader bounds what it takes by the end it has seen published, so
//!   that it never meets an event that is stored and not yet visible.
//! - Hashes are made by the caller with a hash keyed by the log's id, the one of the sidecars, so
//!   that names cannot be chosen to collide by whoever does not know it. Names are compared in full
//!   all the same.
//! - Every segment with events is in the segment list before its events are in the index, and has
//!   a tail here or an index of its own: that one is attached before the tail is taken away.

pub(crate) mod arena;
pub(crate) mod checkpoints;
pub(crate) mod history;
pub(crate) mod indexer;
pub(crate) mod intake;
pub(crate) mod streams;
pub(crate) mod table;
pub(crate) mod tags;
pub(crate) mod tail;

use std::sync::Arc;

use quipu_format::sidecar::NameHasher;
use quipu_format::{LogId, Position};

use crate::append::expected::StreamHead;
use crate::segment::set::SegmentSet;
use crate::sync::{RwLock, RwLockReadGuard};
use history::History;
pub(crate) use streams::{StreamNumber, Streams};

/// All streams, shared between the writer and the readers.
#[derive(Debug)]
pub(crate) struct StreamIndex {
    hasher: NameHasher,
    streams: RwLock<Streams>,
    segments: Arc<SegmentSet>,
}

impl StreamIndex {
    /// The index of a log, empty, over a list of segments that is empty yet.
    pub(crate) fn new(log_id: LogId) -> Self {
        Self {
            hasher: NameHasher::new(log_id),
            streams: RwLock::default(),
            segments: Arc::new(SegmentSet::new(Vec::new())),
        }
    }

    /// The log's segments.
    pub(crate) fn segments(&self) -> &Arc<SegmentSet> {
        &self.segments
    }

    /// The hash that a stream of this name has.
    pub(crate) fn hash(&self, name: &str) -> u64 {
        self.hasher.stream(name).as_u64()
    }

    /// The hasher, for whoever hashes many names.
    pub(crate) fn hasher(&self) -> &NameHasher {
        &self.hasher
    }

    /// A look at the streams. Held for moments only: the writer waits meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Streams> {
        self.streams.read()
    }

    /// Changes the streams. By the one writer, by recovery before there is one, and by the indexer,
    /// which takes tails away.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Streams) -> T) -> T {
        change(&mut self.streams.write())
    }

    /// The last event of a stream below `end`.
    pub(crate) fn head_below(&self, name: &str, end: Position) -> Option<StreamHead> {
        let history = History::open(self, name, end);
        // Where segment and index are damaged beneath a reader that came in between storing and
        // publishing: what is stored is as good an answer as none.
        history.map_or_else(
            |_| {
                let streams = self.read();
                streams.head(streams.find(self.hash(name), name)?)
            },
            |history| history.head(),
        )
    }
}
