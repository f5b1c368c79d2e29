//! What the log must be: a plain model of what was submitted and answered.
//!
//! Owns: [`Model`], [`Submission`]. May call: the engine's types for batches, answers, versions.
//! It knows nothing of segments, frames or disks, so that it cannot repeat the engine's mistakes.
//!
//! Invariants:
//! - The history is all that was acknowledged, in order, and behind that at most what may be there.
//! - A batch without events sets a checkpoint, so that no two beginnings of the history look the same.
//! - `durable <= acknowledged <= history.len()`, counted in batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use quipu::{
    AppendError, Batch, Durability, EventId, ExpectedVersion, FailedPrecondition, FailedQuery,
    Outcome, Position, ReadError, Receipt, RefusedCheckpoint, StreamHead, Version,
};

use crate::script::{STREAMS, checkpoint_name, stream_name};
use crate::sought::{Since, Sought, Traits};
use crate::violation::Violation;

/// An event as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its stream, by number.
    pub stream: u8,
    /// Its type and tags.
    pub traits: Traits,
    /// Its id.
    pub id: Option<EventId>,
    /// Its payload: no two events of a script have the same.
    pub payload: Vec<u8>,
}

/// A batch as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its events.
    pub events: Vec<Submitted>,
    /// Its preconditions, for streams by number.
    pub expectations: Vec<(u8, ExpectedVersion)>,
    /// What is to be nowhere from a position on.
    pub queries: Vec<(Sought, u64)>,
    /// What it sets named checkpoints to, by number; each of them once.
    pub checkpoints: Vec<(u8, u64)>,
    /// When it is acknowledged.
    pub durability: Durability,
    /// Whether it may be repeated.
    pub idempotent: bool,
}

/// What each named checkpoint is set to.
pub type Checkpoints = BTreeMap<&'static str, u64>;

/// A batch in its place in the history.
#[derive(Debug, Clone)]
pub struct Placed {
    /// What was submitted.
    pub submission: Arc<Submission>,
    /// The position of its first event.
    pub first: u64,
    /// The version of each of its events.
    pub versions: Arc<[u64]>,
}

/// Which preconditions do not hold.
#[derive(Debug)]
struct Failed {
    streams: Vec<FailedPrecondition>,
    queries: Vec<FailedQuery>,
    checkpoints: Vec<RefusedCheckpoint>,
}

impl Failed {
    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.queries.is_empty() && self.checkpoints.is_empty()
    }

    /// Whether it tells that a batch which repeats itself is at `original`: its streams say where it
    /// went, or a checkpoint that is just what it sets, or else the first event that any query matches.
    fn tells_place(&self, submission: &Submission, original: &Placed) -> bool {
        let is_same = |refused: &RefusedCheckpoint| refused.given == refused.actual;
        let first = self.queries.iter().map(|failed| failed.position.as_u64()).min();
        submission.places_itself()
            || self.checkpoints.iter().any(is_same)
            || first.is_some_and(|first| (original.first..original.end()).contains(&first))
    }

    fn is_what_is_told_by(&self, error: &AppendError) -> bool {
        !self.is_empty()
            && error.failed_preconditions() == self.streams
            && error.failed_queries() == self.queries
            && error.refused_checkpoints() == self.checkpoints
    }
}

/// What the log must be.
#[derive(Debug, Clone, Default)]
pub struct Model {
    history: Vec<Placed>,
    /// So many of its batches are there after a power cut.
    durable: usize,
    /// So many of its batches are there after the process was killed.
    acknowledged: usize,
    /// Each stream's last event.
    heads: [Option<StreamHead>; STREAMS.len()],
    end: u64,
    /// Where the log begins.
    begin: Begin,
    /// Where it may begin as well, when it is opened again.
    may_begin: Vec<Begin>,
    /// All places that it has begun at, or might have.
    known: Vec<Begin>,
}

/// A place that a log begins at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Begin {
    /// The position of its first event.
    pub position: u64,
    /// The number of batches in front, those without events too.
    pub batches: usize,
}

impl Submission {
    /// Whether anything of it is stored: else it is a check.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        !self.events.is_empty() || !self.checkpoints.is_empty()
    }

    /// Whether it expects of a stream that it writes to end at a place of its own.
    fn places_itself(&self) -> bool {
        use ExpectedVersion::{Exact, LastPosition, NoStream};
        let writes = |stream| self.events.iter().any(|event| event.stream == stream);
        self.expectations.iter().any(|(stream, expected)| {
            writes(*stream) && matches!(expected, NoStream | Exact(_) | LastPosition(_))
        })
    }

    /// The batch for the log.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let mut batch = Batch::new().durability(self.durability);
        if self.idempotent {
            batch = batch.idempotent();
        }
        for (stream, expected) in &self.expectations {
            batch = batch.expect(stream_name(*stream), *expected);
        }
        for (sought, after) in &self.queries {
            batch = batch.expect_none(sought.query(), Position::new(*after));
        }
        for (number, position) in &self.checkpoints {
            batch = batch.checkpoint(checkpoint_name(*number), Position::new(*position));
        }
        for event in &self.events {
            let mut given = event.traits.event(&event.payload);
            if let Some(id) = event.id {
                given = given.id(id);
            }
            batch.push(stream_name(event.stream), &given);
        }
        batch
    }
}

impl Model {
    /// All batches, those that may be there too.
    #[must_use]
    pub fn history(&self) -> &[Placed] {
        &self.history
    }

    /// How many batches a power cut must leave.
    #[must_use]
    pub fn durable(&self) -> usize {
        self.durable
    }

    /// How many batches a killed process must leave; those are what readers see.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// The position behind the last event of the first `batches`.
    #[must_use]
    pub fn end_of(&self, batches: usize) -> u64 {
        self.history.get(batches).map_or(self.end, |next| next.first)
    }

    /// The place where the log begins.
    #[must_use]
    pub fn begin(&self) -> Begin {
        self.begin
    }

    /// The number of batches in front of a position that the log has begun at, or may begin at.
    #[must_use]
    pub fn batches_before(&self, position: u64) -> Option<usize> {
        let known = self.known.iter().find(|begin| begin.position == position);
        known.map(|begin| begin.batches).or((position == 0).then_some(0))
    }

    /// Whether a log that is opened now may begin there.
    #[must_use]
    pub fn may_begin_at(&self, position: u64) -> bool {
        let mut places = std::iter::once(&self.begin).chain(&self.may_begin);
        places.any(|begin| begin.position == position)
    }

    /// The same model with a truncation on its way, or one that has failed: the log begins where it did,
    /// and may begin there when it is opened again.
    #[must_use]
    pub fn with_truncation(&self, begin: Begin) -> Self {
        let mut model = self.clone();
        model.may_begin.push(begin);
        model.known.push(begin);
        model
    }

    /// The log was truncated, and begins there.
    pub fn truncated(&mut self, begin: Begin) {
        self.known.push(begin);
        self.begin = begin;
        // What a failed attempt to go further has left still counts.
        self.may_begin.retain(|left| left.position > begin.position);
    }

    /// The log has been opened, and begins there.
    pub fn begins_at(&mut self, position: u64) {
        let batches = self.batches_before(position).unwrap_or(0);
        self.begin = Begin { position, batches };
        self.may_begin.clear();
    }

    /// Whether what a batch asks about is gone.
    fn is_gone(&self, submission: &Submission) -> bool {
        let first = self.begin.position;
        submission.queries.iter().any(|(_, after)| *after < first)
    }

    /// The payload of the event at a position.
    #[must_use]
    pub fn payload_at(&self, position: u64) -> Option<&[u8]> {
        let behind = self.history.partition_point(|placed| placed.first <= position);
        let placed = self.history.get(behind.checked_sub(1)?)?;
        let event = placed.submission.events.get((position - placed.first) as usize)?;
        Some(&event.payload)
    }

    /// A stream's last event.
    #[must_use]
    pub fn head(&self, stream: u8) -> Option<StreamHead> {
        self.heads.get(usize::from(stream) % STREAMS.len()).copied().flatten()
    }

    /// Where each stream of the first `batches` ends.
    #[must_use]
    pub fn heads_of(&self, batches: usize) -> [Option<StreamHead>; STREAMS.len()] {
        let mut heads = [None; STREAMS.len()];
        for placed in self.history.iter().take(batches) {
            placed.note(&mut heads);
        }
        heads
    }

    /// What the named checkpoints are set to by the first `batches`.
    #[must_use]
    pub fn checkpoints_of(&self, batches: usize) -> Checkpoints {
        let set = self.history.iter().take(batches).flat_map(|it| &it.submission.checkpoints);
        set.map(|(number, position)| (checkpoint_name(*number), *position)).collect()
    }

    /// What a named checkpoint is set to.
    #[must_use]
    pub fn checkpoint(&self, number: u8) -> Option<u64> {
        self.set_last(number).map(|(_, position)| position)
    }

    /// Which batch has set a named checkpoint last, and to what.
    fn set_last(&self, number: u8) -> Option<(usize, u64)> {
        let name = checkpoint_name(number);
        let set = |placed: &Placed| {
            let all = placed.submission.checkpoints.iter();
            all.clone().find(|(number, _)| checkpoint_name(*number) == name).map(|(_, at)| *at)
        };
        self.history.iter().enumerate().rev().find_map(|(place, it)| Some((place, set(it)?)))
    }

    /// The same model with a batch that is on its way: nothing has been answered yet.
    #[must_use]
    pub fn with_in_flight(&self, submission: &Submission) -> Self {
        let mut model = self.clone();
        if model.failed(submission).is_empty() && submission.is_stored() {
            model.push(submission);
        }
        model
    }

    /// Checks the answer to a batch, and takes it down.
    ///
    /// # Errors
    /// The answer that is not as it must be.
    pub fn answered(
        &mut self,
        submission: &Submission,
        answer: &Result<Receipt, AppendError>,
    ) -> Result<(), Violation> {
        let failed = self.failed(submission);
        match answer {
            Ok(receipt) if receipt.replayed() => self.replayed(submission, receipt, &failed),
            Ok(receipt) => self.committed(submission, receipt, &failed),
            Err(
                told @ (AppendError::PreconditionFailed(_)
                | AppendError::QueryMatched { .. }
                | AppendError::CheckpointRefused { .. }),
            ) => {
                check(failed.is_what_is_told_by(told), || {
                    format!("told {told:?} failed, in truth {failed:?}")
                })?;
                let there = submission.idempotent.then(|| self.find(submission)).flatten();
                let original = there.and_then(|place| self.history.get(place));
                check(!original.is_some_and(|it| failed.tells_place(submission, it)), || {
                    "a repeated batch was refused".to_owned()
                })?;
                self.judged(submission);
                Ok(())
            }
            Err(AppendError::NotJudged(ReadError::Truncated { first_available })) => {
                let (told, first) = (first_available.as_u64(), self.begin.position);
                check(told == first && self.is_gone(submission), || {
                    format!("not judged below {told}, the log begins at {first}")
                })
            }
            Err(error) if error.outcome() == Outcome::Unknown => {
                // One that is there already was recognised, and the sync that proves it failed.
                let recognised = submission.idempotent && self.find(submission).is_some();
                if failed.is_empty() || !recognised {
                    check(failed.is_empty(), || {
                        format!("perhaps stored, although {failed:?} do not hold")
                    })?;
                    self.push(submission);
                }
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// All committed so far is durable.
    pub fn synced(&mut self) {
        self.durable = self.acknowledged;
    }

    /// The power was cut: what was not durable may be gone.
    pub fn power_cut(&mut self) {
        self.acknowledged = self.durable;
    }

    /// So many batches were found on opening: they are what is there from now on.
    pub fn reopened(&mut self, found: usize) {
        self.history.truncate(found);
        (self.durable, self.acknowledged) = (found, found);
        self.end = self.history.last().map_or(0, Placed::end);
        self.heads = self.heads_of(found);
    }

    fn replayed(
        &mut self,
        submission: &Submission,
        receipt: &Receipt,
        failed: &Failed,
    ) -> Result<(), Violation> {
        check(submission.idempotent && !failed.is_empty(), || {
            "replayed without a cause".to_owned()
        })?;
        let found = self.find(submission).map(|place| (place, self.history.get(place)));
        let Some((place, Some(placed))) = found else {
            return Err(Violation::Answer("replayed, but it was never there".to_owned()));
        };
        let (told, first) = (receipt.first_position().as_u64(), placed.first);
        check(told == first, || format!("replayed at {told}, it is at {first}"))?;
        if submission.durability == Durability::Sync {
            self.durable = self.durable.max(place + 1);
        }
        Ok(())
    }

    fn committed(
        &mut self,
        submission: &Submission,
        receipt: &Receipt,
        failed: &Failed,
    ) -> Result<(), Violation> {
        check(failed.is_empty(), || format!("committed, although {failed:?} do not hold"))?;
        check(!self.is_gone(submission), || "judged by what is gone".to_owned())?;
        let (told, end) = (receipt.first_position().as_u64(), self.end);
        check(told == end, || format!("committed at {told}, it must be {end}"))?;
        if submission.is_stored() {
            self.push(submission);
            self.acknowledged = self.history.len();
            for (stream, head) in STREAMS.iter().zip(self.heads) {
                let writes =
                    submission.events.iter().any(|event| stream_name(event.stream) == *stream);
                let (told, expected) =
                    (receipt.version(stream), head.filter(|_| writes).map(|head| head.version));
                check(told == expected, || {
                    format!("told version {told:?} of {stream:?}, it is {expected:?}")
                })?;
            }
            if submission.durability == Durability::Sync {
                self.durable = self.history.len();
            }
        }
        self.judged(submission);
        Ok(())
    }

    fn push(&mut self, submission: &Submission) {
        let mut heads = self.heads;
        let versions = submission.events.iter().zip(self.end..).map(|(event, position)| {
            note(&mut heads, event.stream, position).map_or(0, |head| head.version.as_u64())
        });
        let versions = versions.collect();
        let placed = Placed { submission: Arc::new(submission.clone()), first: self.end, versions };
        (self.heads, self.end) = (heads, placed.end());
        self.history.push(placed);
    }

    /// Which preconditions do not hold, as the log should tell.
    fn failed(&self, submission: &Submission) -> Failed {
        let failed = |(stream, expected): &(u8, ExpectedVersion)| {
            let actual = self.head(*stream);
            let (stream, expected) = (stream_name(*stream).to_owned(), *expected);
            (!expected.holds(actual)).then_some(FailedPrecondition { stream, expected, actual })
        };
        let streams = submission.expectations.iter().filter_map(failed).collect();
        let matched = |(sought, after): &(Sought, u64)| {
            let position = self.matched(*sought).find(|position| position >= after)?;
            let (after, position) = (Position::new(*after), Position::new(position));
            Some(FailedQuery { query: sought.query(), after, position })
        };
        let queries = submission.queries.iter().filter_map(matched).collect();
        let refused = |(number, given): &(u8, u64)| {
            let actual = self.checkpoint(*number).filter(|actual| given <= actual)?;
            let (name, given) = (checkpoint_name(*number).to_owned(), Position::new(*given));
            Some(RefusedCheckpoint { name, given, actual: Position::new(actual) })
        };
        let mut checkpoints: Vec<_> = submission.checkpoints.iter().filter_map(refused).collect();
        checkpoints.sort_by(|one, other| one.name.cmp(&other.name));
        Failed { streams, queries, checkpoints }
    }

    /// The positions of all events that a query matches, by a look at every one.
    fn matched(&self, sought: Sought) -> impl DoubleEndedIterator<Item = u64> {
        self.history.iter().flat_map(move |placed| {
            let events = placed.submission.events.iter().enumerate();
            let matching = events.filter(move |(_, event)| sought.matches(event.traits));
            matching.map(|(at, _)| placed.first + at as u64)
        })
    }

    /// A position relative to the log as it is now.
    #[must_use]
    pub fn since(&self, sought: Sought, since: Since) -> u64 {
        match since {
            Since::Position(position) => u64::from(position),
            Since::BeforeEnd(events) => self.end.saturating_sub(u64::from(events)),
            Since::LastMatch => self.matched(sought).next_back().map_or(0, |last| last + 1),
        }
    }

    /// A judgement under `Sync` is told only when what it speaks of is durable.
    fn judged(&mut self, submission: &Submission) {
        if submission.durability != Durability::Sync {
            return;
        }
        // Its own events are durable with the batch itself.
        let queries = submission.queries.iter().map(|(sought, after)| {
            let matched = self.matched(*sought).find(|position| position >= after);
            matched.map_or((*after).min(self.end), |position| position + 1)
        });
        // A checkpoint that goes forward is not spoken of.
        let refused = submission.checkpoints.iter().filter_map(|(number, given)| {
            let (place, actual) = self.set_last(*number)?;
            (*given <= actual).then_some(place + 1)
        });
        let set_by = refused.max().unwrap_or(0);
        let named = submission.expectations.iter().filter_map(|(stream, _)| self.head(*stream));
        let streams = named.map(|head| head.position.as_u64() + 1);
        let spoken_of = streams.chain(queries).max().unwrap_or(0);
        // Up to the batch that holds it: what takes no position may stand behind.
        let holding = spoken_of.checked_sub(1).map(|last| {
            let place = self.history.iter().position(|placed| placed.end() > last);
            place.map_or(self.history.len(), |place| place + 1)
        });
        self.durable = self.durable.max(set_by).max(holding.unwrap_or(0));
    }

    /// Which batch has these very events, which are still there.
    fn find(&self, submission: &Submission) -> Option<usize> {
        let begin = self.begin.position;
        let is_same = |placed: &Placed| {
            if placed.first < begin {
                return false;
            }
            let Submission { events, checkpoints, .. } = &*placed.submission;
            *events == submission.events && *checkpoints == submission.checkpoints
        };
        self.history.iter().position(is_same)
    }
}

impl Placed {
    /// The position behind its last event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.submission.events.len() as u64
    }

    fn note(&self, heads: &mut [Option<StreamHead>; STREAMS.len()]) {
        for (event, position) in self.submission.events.iter().zip(self.first..) {
            note(heads, event.stream, position);
        }
    }
}

/// One more event of a stream.
fn note(
    heads: &mut [Option<StreamHead>; STREAMS.len()],
    stream: u8,
    position: u64,
) -> Option<StreamHead> {
    let head = heads.get_mut(usize::from(stream) % STREAMS.len())?;
    let version = head.map_or(Version::ZERO, |head| head.version.plus(1));
    *head = Some(StreamHead { version, position: Position::new(position) });
    *head
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::Answer(what())) }
}
