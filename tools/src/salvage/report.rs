//! What a salvage found, as data.
//!
//! Owns: [`Report`] and its parts, all of them serialised for `--json`. Calls nothing of the salvage's.
//! How it reads for people is in `text`.

use std::collections::BTreeMap;
use std::ops::Range;

use quipu_format::Position;
use serde::Serialize;

/// What was salvaged, and what was not.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The directory of the old log.
    pub directory: String,
    /// The directory of the new one, if one was to be written.
    pub to: Option<String>,
    /// Whether it was written.
    pub written: bool,
    /// Whether all that had been durable is there, and nothing is wrong. A torn tail is not wrong.
    pub ok: bool,
    /// The old log's id.
    pub log_id: String,
    /// The new log's id; another one.
    pub new_log_id: Option<String>,
    /// The position of the first event that was not dropped from the old log on purpose.
    pub first_available: u64,
    /// The position at which the new log begins, with streams and checkpoints as they were there: the
    /// same, or 0 if nothing says any more what they were.
    pub begins_at: u64,
    /// Copies of the base, which says that, that are wrong or missing, while another is right.
    pub base_copies_wrong: Vec<String>,
    /// Segments of the old log in which a header or a whole frame was found.
    pub segments: u64,
    /// Batches that were whole.
    pub batches: u64,
    /// Their events.
    pub events: u64,
    /// Their streams, and those of which all events were dropped.
    pub streams: u64,
    /// Named checkpoints, with what the whole frames set each to last. What a frame has set that is not
    /// whole is lost: it may have been more.
    pub checkpoints: BTreeMap<String, u64>,
    /// Commit time of the first of them, in nanoseconds since the Unix epoch.
    pub first_commit_nanos: Option<u64>,
    /// Commit time of the last of them.
    pub last_commit_nanos: Option<u64>,
    /// How many positions are missing, as far as is known.
    pub events_lost: u64,
    /// Which ones.
    pub lost: Vec<Lost>,
    /// Where the events stand that are not missing: all of them, in order.
    pub moved: Vec<Moved>,
    /// Versions of streams that are missing, as far as later batches tell.
    pub lost_versions: Vec<LostVersions>,
    /// Places of the old log at which no whole frame stands, though one should.
    pub damage: Vec<Damage>,
    /// Bytes in those places.
    pub bytes_skipped: u64,
    /// What the device did not give back, wherever it is.
    pub unreadable: Vec<UnreadableBytes>,
    /// Whole frames that were not taken over, because they contradict others.
    pub left: Vec<Left>,
    /// Events that were taken over and stood, in the old log, in front of such frames: some may be of
    /// the same tail that was cut off.
    pub doubtful: Vec<Doubtful>,
    /// What is wrong in batches that were taken over.
    pub contradictions: Vec<Contradiction>,
    /// How the old log ends.
    pub end: End,
    /// Whether it is known by that that nothing is missing behind the last event.
    pub end_known: bool,
}

/// Positions that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lost {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Whether what is left of the log says that they had been durable.
    pub durable: bool,
}

/// A stretch of positions, and where it is in the new log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// The first position in the old log.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The first one's position in the new log.
    pub first_is_now: u64,
}

/// Versions of a stream that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostVersions {
    /// The stream.
    pub stream: String,
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// What version the one behind has in the new log.
    pub next_is_now: u64,
}

/// A place at which the old log is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The last file, if it is the same with several.
    pub last_file: Option<String>,
    /// Where in it.
    pub offset: u64,
    /// How many bytes, to the next whole frame or to the end of what is written; 0: not known.
    pub bytes: u64,
    /// The position behind the last whole frame in front.
    pub position: u64,
    /// What is wrong.
    pub fault: String,
}

/// Bytes that the device did not give back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnreadableBytes {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes, in whole sectors.
    pub bytes: u64,
    /// What the system said.
    pub error: String,
}

/// Whole frames that contradict others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Left {
    /// The file of the first one.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many frames.
    pub frames: u64,
    /// How many events in them.
    pub events: u64,
    /// The position that the first one claims.
    pub position: u64,
    /// What is wrong.
    pub reason: String,
}

/// Positions of the old log whose events may be of a tail that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Doubtful {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl From<Range<Position>> for Doubtful {
    /// The range must not be empty.
    fn from(range: Range<Position>) -> Self {
        Self { first: range.start.as_u64(), last: range.end.as_u64().saturating_sub(1) }
    }
}

/// A batch whose checksums are right and which says what cannot be: a faulty writer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Contradiction {
    /// The file.
    pub file: String,
    /// Where in it the batch stands.
    pub offset: u64,
    /// Its first position in the old log.
    pub position: u64,
    /// What is wrong.
    pub what: String,
}

/// How the old log ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// The log was closed, and nothing is behind: the end is known.
    Closed {
        /// The position behind its last event.
        position: u64,
    },
    /// The last batch, or a note of how far all was durable, with nothing behind. Batches that
    /// stood behind it and were lost without a trace cannot be known of.
    Open {
        /// The position behind its last event.
        position: u64,
        /// All in front of this one had been durable.
        durable_to: u64,
    },
    /// Bytes that were never acknowledged as durable, as a crash leaves them.
    Torn {
        /// The position behind its last event.
        position: u64,
        /// The file.
        file: String,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
        /// What is wrong there.
        fault: String,
    },
    /// Damage stands behind the last whole frame: what was there, and how much, is not known.
    Cut {
        /// The position behind the last event that is whole.
        position: u64,
        /// The log went on at least to here.
        at_least: u64,
    },
}

impl End {
    /// Whether it is known that nothing is missing behind the last event.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}
