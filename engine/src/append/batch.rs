//! A batch: what a caller builds, and what goes to the writer.
//!
//! Owns: [`Batch`], and [`PreparedBatch`] as the writer gets it: encoded, its streams hashed. May
//! call: the format's encoder, the filter. All of it runs on the caller's thread; the writer's work does not
//! grow with the payload, but for one copy.
//!
//! Invariant: once a call has been given something that breaks a limit, the batch remembers the
//! first such error and is never committed.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use quipu_format::sidecar::{NameHash, NameHasher};
use quipu_format::{
    BatchEncoder, CommitTime, EncodeError, EncodedBatch, EventFields, EventId, Position,
};
use smallvec::SmallVec;

use super::event::Event;
use super::expected::ExpectedVersion;
use crate::error::{AppendError, InvalidBatch};
use crate::options::Durability;
use crate::read::filter::Filter;
use crate::read::query::Query;

/// Events over one or more streams, and preconditions, that are committed whole or not at all.
///
/// ```
/// use quipu::{Batch, Event, ExpectedVersion};
/// let batch = Batch::new()
///     .expect("order-1", ExpectedVersion::NoStream)
///     .event("order-1", Event::new("OrderPlaced", "{}"))
///     .event("stock-9", Event::new("StockReserved", "{}"));
/// assert_eq!(batch.event_count(), 2);
/// ```
///
/// The events take consecutive positions in the order of the calls. A batch without events but with
/// preconditions is a check: it takes no position. Nor does one that only sets named checkpoints. Limits: a stream name has 1 to 1,024 bytes; the
/// encoded batch must fit into a segment (see [`Options::segment_bytes`](crate::Options)).
#[derive(Debug, Clone)]
pub struct Batch {
    encoder: BatchEncoder,
    streams: StreamNumbers,
    preconditions: Vec<(String, ExpectedVersion)>,
    queries: Vec<(Query, Position)>,
    tags: Tags,
    durability: Option<Durability>,
    commit_time: Option<CommitTime>,
    event_ids: Option<Vec<Option<EventId>>>,
    first_error: Option<InvalidBatch>,
}

impl Batch {
    /// Begins a batch without events and preconditions.
    #[must_use]
    pub fn new() -> Self {
        Self {
            encoder: BatchEncoder::new(),
            streams: StreamNumbers::default(),
            preconditions: Vec::new(),
            queries: Vec::new(),
            tags: Tags::default(),
            durability: None,
            commit_time: None,
            event_ids: None,
            first_error: None,
        }
    }

    /// Adds a precondition on a stream, which the batch may or may not write.
    ///
    /// Judged against what is committed before this batch, never against its own events. The same
    /// expectation twice is one; two different ones for one stream make the batch invalid.
    #[must_use]
    pub fn expect(mut self, stream: impl AsRef<str>, expected: ExpectedVersion) -> Self {
        self.preconditions.push((stream.as_ref().to_owned(), expected));
        self
    }

    /// Adds a precondition on a query: no event that matches it stands at `after` or behind.
    ///
    /// What a caller has decided on is what a query had found in the log up to some position; the
    /// decision is still right if nothing more has come that the query matches. `after` is the end of what
    /// the caller has seen, as reads and subscriptions tell it: [`Read::end`](crate::Read::end),
    /// [`Log::end`](crate::Log::end) before the read, [`Delivery::resume_from`](crate::Delivery::resume_from). The event
    /// at `after` itself is one that the caller has not seen, and counts; after reading the event at
    /// position 7, say 8. `Position::ZERO` is for "no such event at all". Positions that the log has not
    /// reached are allowed: the precondition holds.
    ///
    /// Judged as [`Batch::expect`] is: by the one writer, at the commit point, against all that is
    /// committed before this batch, never against its own events. Any number of these may be given,
    /// with other preconditions or by themselves; without events they are a check.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// use quipu::{Batch, Event, Query};
    /// let enrolments = || Query::new().event_type("Enrolled").tag("course:1");
    /// let read = log.read(..).matching(enrolments());
    /// let after = read.end();
    /// let taken = read.into_iter().count();
    /// assert!(taken < 20, "there is a place left, and one caller of all gets it");
    /// let enrol = |student: &'static str| {
    ///     Batch::new()
    ///         .expect_none(enrolments(), after)
    ///         .event("enrolments", Event::new("Enrolled", "").tag("course:1").tag(student))
    /// };
    /// log.append(enrol("student:7"))?;
    /// let error = log.append(enrol("student:8")).unwrap_err();
    /// assert_eq!(error.failed_queries()[0].position, after);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Its cost: what was committed when the call is made is searched on the caller's thread, as a read
    /// is ([`Read`](crate::Read)); the writer searches only what came since. A query each of whose items has a tag
    /// is answered by indexes, and looks at events that bear the rarest of the tags alone. One without
    /// tags looks at events from `after` on: all those that are not in full segments.
    #[must_use]
    pub fn expect_none(mut self, query: impl Into<Query>, after: Position) -> Self {
        self.queries.push((query.into(), after));
        self
    }

    /// Sets a named checkpoint: how far a projection has come, under its name.
    ///
    /// Committed atomically with the batch's events, or alone: a batch may have checkpoints only. It
    /// takes no position, and survives as events do. A checkpoint goes forward only: one that is not
    /// above what is there, by the commit, refuses the whole batch
    /// ([`AppendError::CheckpointRefused`]). So of two who do the same work, and say so in one batch
    /// with what comes of it, one commits it. [`Log::checkpoint`](crate::Log::checkpoint) reads it.
    ///
    /// A name has 1 to 1,024 bytes, and has nothing to do with names of streams. The position may be any
    /// number: it need not be one of this log. The same checkpoint twice is one; with two positions the
    /// batch is invalid.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// use quipu::{Batch, Event, Position};
    /// let handled = Position::new(41);
    /// log.append(
    ///     Batch::new()
    ///         .event("mail-7", Event::new("MailSent", ""))
    ///         .checkpoint("mailer", handled),
    /// )?;
    /// assert_eq!(log.checkpoint("mailer"), Some(handled));
    /// let again = log.append(Batch::new().checkpoint("mailer", handled)).unwrap_err();
    /// assert_eq!(again.refused_checkpoints()[0].actual, handled);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn checkpoint(mut self, name: impl AsRef<str>, position: Position) -> Self {
        let name = name.as_ref();
        if self.first_error.is_none()
            && let Err(error) = self.encoder.checkpoint(name, position)
        {
            self.reject(match error {
                EncodeError::CheckpointTwice { first, second } => {
                    let name = name.to_owned();
                    InvalidBatch::ContradictoryCheckpoints { name, first, second }
                }
                error => InvalidBatch::Encode(error),
            });
        }
        self
    }

    /// Adds an event to a stream.
    #[must_use]
    pub fn event(mut self, stream: impl AsRef<str>, event: Event<'_>) -> Self {
        self.push(stream.as_ref(), &event);
        self
    }

    /// As [`Batch::event`], for building a batch in a loop.
    pub fn push(&mut self, stream: impl AsRef<str>, event: &Event<'_>) {
        if self.first_error.is_some() {
            return;
        }
        let tags: Vec<&str> = event.tags.iter().map(|tag| &**tag).collect();
        let fields = EventFields {
            event_type: &event.event_type,
            id: event.id,
            tags: &tags,
            metadata: event.metadata.as_ref(),
            payload: event.payload.as_ref(),
        };
        let pushed = self
            .streams
            .number_of(stream.as_ref(), &mut self.encoder)
            .and_then(|number| self.encoder.push(number, &fields));
        match pushed {
            Ok(()) => {
                self.tags.push(self.encoder.event_count() - 1, &tags);
                if let Some(ids) = &mut self.event_ids {
                    ids.push(event.id.filter(|id| !id.is_nil()));
                }
            }
            Err(error) => self.reject(InvalidBatch::Encode(error)),
        }
    }

    /// Overrides the log's durability for this batch.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Records this commit time instead of the clock's, for importing history. A time below that
    /// of the batch before is raised to it: commit times never run backwards.
    #[must_use]
    pub fn committed_at(mut self, time: CommitTime) -> Self {
        self.commit_time = Some(time);
        self
    }

    /// Makes a retry safe: if a precondition fails because this very batch is already there, the
    /// answer is the original receipt, marked as replayed.
    ///
    /// "This very batch" is decided by event ids: every event needs one, and where the batch's
    /// [`ExpectedVersion::NoStream`], `Exact` or `LastPosition` on a stream that it writes would
    /// have put its events, exactly these ids stand in one batch, in this order and on these
    /// streams. A query of [`Batch::expect_none`] that finds one of the batch's own events first does the
    /// same, and a named checkpoint that was set to the same by that batch. The stored batch must have set
    /// exactly the checkpoints that this one sets. A batch without events has no ids, and is never
    /// recognised. Must be called before the first event.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        if self.event_count() > 0 {
            self.reject(InvalidBatch::IdempotentTooLate);
        }
        self.event_ids = Some(Vec::new());
        self
    }

    /// Number of events so far.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.encoder.event_count() as usize
    }

    /// Whether anything of it would be stored: events or checkpoints.
    pub(crate) fn is_stored(&self) -> bool {
        self.event_count() > 0 || self.encoder.checkpoint_count() > 0
    }

    /// Bytes that the batch takes in a segment.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.encoder.frame_bytes()
    }

    /// Ends the batch: body and checksum are final, every stream is hashed.
    pub(crate) fn prepare(
        self,
        hasher: &NameHasher,
        default_durability: Durability,
    ) -> Result<PreparedBatch, AppendError> {
        if let Some(error) = self.first_error {
            return Err(AppendError::InvalidBatch(error));
        }
        let is_stored = self.is_stored();
        if !is_stored && self.preconditions.is_empty() && self.queries.is_empty() {
            return Err(AppendError::InvalidBatch(InvalidBatch::Empty));
        }
        let expectations = distinct(self.preconditions)?;
        let hash = |name: &str| hasher.stream(name).as_u64();
        let stream_hashes = self.encoder.stream_names().map(hash).collect();
        let preconditions = expectations
            .into_iter()
            .map(|(stream, expected)| Precondition { hash: hash(&stream), stream, expected })
            .collect();
        let query = |(query, after)| PreparedQuery {
            filter: Filter::of(query, hasher),
            after,
            searched_to: after,
            found: None,
        };
        let queries = self.queries.into_iter().map(query).collect();
        let tag_hashes = self.tags.hashes(hasher);
        // One event without an id, and the batch cannot be recognised.
        let event_ids = self.event_ids.and_then(|ids| ids.into_iter().collect::<Option<Vec<_>>>());
        let encoded = match is_stored {
            false => None,
            true => Some(
                self.encoder
                    .finish()
                    .map_err(|error| AppendError::InvalidBatch(InvalidBatch::Encode(error)))?,
            ),
        };
        Ok(PreparedBatch {
            encoded,
            stream_hashes,
            tag_hashes,
            preconditions,
            queries,
            durability: self.durability.unwrap_or(default_durability),
            commit_time: self.commit_time,
            event_ids,
        })
    }

    fn reject(&mut self, error: InvalidBatch) {
        self.first_error.get_or_insert(error);
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Drops expectations that are there twice; two different ones for one stream are an error.
fn distinct(
    expectations: Vec<(String, ExpectedVersion)>,
) -> Result<Vec<(String, ExpectedVersion)>, AppendError> {
    if expectations.len() < 2 {
        return Ok(expectations);
    }
    let mut seen: HashMap<String, ExpectedVersion> = HashMap::with_capacity(expectations.len());
    let mut kept = Vec::with_capacity(expectations.len());
    for (stream, second) in expectations {
        match seen.get(&stream) {
            None => {
                seen.insert(stream.clone(), second);
                kept.push((stream, second));
            }
            Some(first) if *first == second => {}
            Some(first) => {
                let first = *first;
                let error = InvalidBatch::ContradictoryExpectations { stream, first, second };
                return Err(AppendError::InvalidBatch(error));
            }
        }
    }
    Ok(kept)
}

/// The hashes of a batch's streams; of one or two without an allocation.
pub(crate) type StreamHashes = SmallVec<[u64; 2]>;

/// A batch as the writer gets it.
#[derive(Debug)]
pub(crate) struct PreparedBatch {
    /// The frame but for what the commit decides; `None`: a check. Of checkpoints alone it has no
    /// events.
    pub(crate) encoded: Option<EncodedBatch>,
    /// The hash of each stream of the table.
    pub(crate) stream_hashes: StreamHashes,
    /// The hash of each tag, and which event of the batch bears it, in the events' order.
    pub(crate) tag_hashes: Vec<(u32, NameHash)>,
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) queries: Vec<PreparedQuery>,
    pub(crate) durability: Durability,
    pub(crate) commit_time: Option<CommitTime>,
    /// The events' ids if a replay may be recognised by them: all there, and wanted.
    pub(crate) event_ids: Option<Vec<EventId>>,
}

/// A query that is to match nothing, and how far it has been searched for.
#[derive(Debug)]
pub(crate) struct PreparedQuery {
    pub(crate) filter: Arc<Filter>,
    pub(crate) after: Position,
    /// No event matches from `after` to here: the log only grows, so this stays so.
    pub(crate) searched_to: Position,
    /// The first event that matches.
    pub(crate) found: Option<Position>,
}

/// The tags of a batch's events, one behind the other, until the log is known whose key hashes them.
#[derive(Debug, Clone, Default)]
struct Tags {
    text: String,
    /// Of each tag, which event bears it and where it ends.
    ends: Vec<(u32, usize)>,
}

impl Tags {
    fn push(&mut self, event: u32, tags: &[&str]) {
        for tag in tags {
            self.text.push_str(tag);
            self.ends.push((event, self.text.len()));
        }
    }

    fn hashes(&self, hasher: &NameHasher) -> Vec<(u32, NameHash)> {
        let mut start = 0;
        let hash = |&(event, end): &(u32, usize)| {
            let tag = self.text.get(std::mem::replace(&mut start, end)..end).unwrap_or_default();
            (event, hasher.tag(tag))
        };
        self.ends.iter().map(hash).collect()
    }
}

/// One precondition, its stream hashed.
#[derive(Debug)]
pub(crate) struct Precondition {
    pub(crate) stream: String,
    pub(crate) hash: u64,
    pub(crate) expected: ExpectedVersion,
}

/// Which streams a batch has, by name. Small batches compare names, large ones hash them.
#[derive(Debug, Clone, Default)]
struct StreamNumbers {
    last: u32,
    large: Option<Box<LargeTable>>,
}

/// The streams of a large batch.
#[derive(Debug, Clone, Default)]
struct LargeTable {
    table: HashTable<(u64, u32)>,
    hasher: std::hash::RandomState,
}

/// Up to this many streams are told apart by comparing names.
const COMPARED_STREAMS_MAX: u32 = 8;

impl StreamNumbers {
    fn number_of(
        &mut self,
        name: &str,
        encoder: &mut BatchEncoder,
    ) -> Result<u32, quipu_format::EncodeError> {
        if encoder.is_stream(self.last, name) {
            return Ok(self.last);
        }
        self.last = match self.find(name, encoder) {
            Some(number) => number,
            None => self.add(name, encoder)?,
        };
        Ok(self.last)
    }

    fn find(&self, name: &str, encoder: &BatchEncoder) -> Option<u32> {
        let Some(LargeTable { table, hasher }) = self.large.as_deref() else {
            return (0..encoder.stream_count()).find(|number| encoder.is_stream(*number, name));
        };
        let hash = hasher.hash_one(name);
        let same =
            |(known, number): &(u64, u32)| *known == hash && encoder.is_stream(*number, name);
        table.find(hash, same).map(|(_, number)| *number)
    }

    fn add(
        &mut self,
        name: &str,
        encoder: &mut BatchEncoder,
    ) -> Result<u32, quipu_format::EncodeError> {
        let number = encoder.add_stream(name)?;
        if number >= COMPARED_STREAMS_MAX {
            let large = self.large.get_or_insert_with(|| {
                let mut large = Box::<LargeTable>::default();
                for (number, name) in (0..).zip(encoder.stream_names()) {
                    large.insert(name, number);
                }
                large
            });
            if number > COMPARED_STREAMS_MAX {
                large.insert(name, number);
            }
        }
        Ok(number)
    }
}

impl LargeTable {
    fn insert(&mut self, name: &str, number: u32) {
        let hash = self.hasher.hash_one(name);
        self.table.insert_unique(hash, (hash, number), |(hash, _)| *hash);
    }
}
