//! A read-only log that follows a writer in another process.
//!
//! Owns: [`Follower`]; the parts: `way` (frame by frame), `poller` (a thread that looks while
//! somebody waits). May call: storage, segment, index, recovery's window and indexes, the watermarks,
//! the notifier. Writes nothing, and holds no lock that a writer waits for.
//!
//! Invariants:
//! - What is taken in is proved durable, by the live writer's word or by the synced position of a
//!   later frame; and every frame of it has been read, verified, and follows the one in front.
//! - The tip stands right behind the last event that was taken in: a frame without events that stands
//!   there may not last, and is looked at again when there is an event behind it.
//! - Whatever is seen by readers was put in its place before: segment list, landmarks, index.
//!
//! | the writer | then |
//! |---|---|
//! | syncs | its claim rises, and the frames below are taken in |
//! | rolls over | the seal is met, and the next segment opened once its header verifies and follows |
//! | is killed | its claim stays, and is still true |
//! | comes back | its claim begins at the end of what its recovery has kept: no lower |
//! | says nothing, or cannot | later frames tell: at the latest the mark of an idle log |
//! | drops the front of the log | what is gone leaves the list at the next thorough look; a reader that has not come so far goes on where the base says, and its subscriptions are told [`ReadError::Truncated`] |

pub(crate) mod poller;
mod way;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use quipu_format::sidecar::{SealedSegment, Section};
use quipu_format::{
    Body, ByteOffset, Frame, FrameError, FrameKind, NamedCheckpoint, Position, SegmentSeq,
};

use crate::error::ReadError;
use crate::index::checkpoints::PublishedCheckpoints;
use crate::index::{StreamIndex, intake};
use crate::recovery::{Reached, indexes};
use crate::segment::base::{self, Base};
use crate::segment::landmarks::Landmarks;
use crate::segment::name::{Named, parse, segment_name};
use crate::segment::reader::Segment;
use crate::segment::set::SegmentSet;
use crate::segment::sidecar;
use crate::storage::beacon::{self, Claim};
use crate::storage::{Access, Directory, IoError};
use crate::subscribe::notifier::Notifier;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Instant, Mutex};
use crate::watermark::{Reach, Watermarks};
use way::{Met, Way};

/// Takes in what a writer in another process makes durable.
#[derive(Debug)]
pub(crate) struct Follower {
    directory: Arc<dyn Directory>,
    index: Arc<StreamIndex>,
    segments: Arc<SegmentSet>,
    watermarks: Arc<Watermarks>,
    checkpoints: Arc<PublishedCheckpoints>,
    notifier: Arc<Notifier>,
    /// `None`: the system does not tell, and no claim is believed.
    boot: Option<u128>,
    /// How often more is looked at than the claim.
    thorough_every: Duration,
    state: Mutex<State>,
    /// Whether it has not come on for so long that readers are told.
    has_failed: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Right behind the last event taken in.
    tip: Way,
    /// The segment of the tip.
    segment: Arc<Segment>,
    /// The session whose claims are taken up.
    session: Option<u64>,
    /// What was claimed at the last look that has come to its end.
    claim: Option<Claim>,
    looked_thoroughly: Option<Instant>,
    /// How far frames have been searched for synced positions, while there are no claims.
    ahead: Option<Way>,
    /// How many searches since then have found nothing.
    fruitless: u32,
    /// Checkpoints set by what was taken in, to be shown with it.
    set: Vec<(Box<str>, Position)>,
    /// In front of a frame that says that all in front of it is durable, behind the tip.
    settled: Option<Way>,
    /// Sealed segments without an index.
    unindexed: VecDeque<Arc<Segment>>,
    /// Why it has not come on, and since when.
    trouble: Option<(Instant, ReadError)>,
}

impl Follower {
    /// One that goes on where opening has come to.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        reached: &Reached,
        (index, watermarks, checkpoints): (
            &Arc<StreamIndex>,
            &Arc<Watermarks>,
            &Arc<PublishedCheckpoints>,
        ),
        notifier: &Arc<Notifier>,
        thorough_every: Duration,
    ) -> io::Result<Self> {
        let segments = Arc::clone(index.segments());
        let last = segments.snapshot().last().cloned();
        let state = State {
            tip: Way::from(reached, &*directory)?,
            segment: last.ok_or(io::ErrorKind::NotFound)?,
            session: reached.session,
            claim: None,
            looked_thoroughly: None,
            ahead: None,
            fruitless: 0,
            set: Vec::new(),
            settled: None,
            unindexed: VecDeque::new(),
            trouble: None,
        };
        Ok(Self {
            boot: directory.boot().ok(),
            directory,
            index: Arc::clone(index),
            segments,
            watermarks: Arc::clone(watermarks),
            checkpoints: Arc::clone(checkpoints),
            notifier: Arc::clone(notifier),
            thorough_every,
            state: Mutex::new(state),
            has_failed: AtomicBool::new(false),
        })
    }

    /// Looks whether more is durable, and takes it in. Whether there was more.
    pub(crate) fn look(&self) -> bool {
        let mut state = self.state.lock();
        let before = self.watermarks.published();
        match self.try_look(&mut state) {
            Ok(()) => {
                state.trouble = None;
                self.has_failed.store(false, Ordering::Release);
            }
            Err(trouble) => {
                // To be looked at again, whether there is another claim or not.
                state.claim = None;
                let now = Instant::now();
                let (since, _) = *state.trouble.get_or_insert((now, trouble.clone()));
                state.trouble = Some((since, trouble));
                let has_failed = now.saturating_duration_since(since) >= TROUBLE_MAX;
                self.has_failed.store(has_failed, Ordering::Release);
            }
        }
        drop(state);
        let has_moved = self.watermarks.published() > before;
        if has_moved || self.has_failed() {
            self.notifier.notify();
        }
        has_moved
    }

    /// Whether it has not come on for long, although there is more.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Why.
    pub(crate) fn failure(&self) -> Option<ReadError> {
        let trouble = || self.state.lock().trouble.as_ref().map(|(_, trouble)| trouble.clone());
        self.has_failed().then(trouble).flatten()
    }

    fn try_look(&self, state: &mut State) -> Result<(), ReadError> {
        let thorough = state.is_thorough_look_due(self.thorough_every);
        // One that cannot be read is as good as none.
        let claim = beacon::read(&*self.directory, thorough).unwrap_or_default();
        if claim == state.claim && !thorough {
            return Ok(());
        }
        if thorough {
            // Before the tip goes on: the segment behind it may be gone.
            self.drop_front(state)?;
        }
        let end = match self.taken_up(state, claim)? {
            Some(end) => Some(end),
            None if thorough => Some(self.search(state)?),
            None => None,
        };
        if let Some(end) = end {
            self.advance(state, end)?;
        }
        if thorough {
            self.settle(state)?;
            self.attach_indexes(state);
        }
        state.claim = claim;
        Ok(())
    }

    /// How far a claim says that the log is durable, if it may be taken at its word.
    fn taken_up(
        &self,
        state: &mut State,
        claim: Option<Claim>,
    ) -> Result<Option<Position>, ReadError> {
        let is_ours = |claim: &Claim| {
            Some(claim.boot) == self.boot && claim.log_id == state.tip.header.log_id
        };
        let Some(Claim { session, position, .. }) = claim.filter(is_ours) else { return Ok(None) };
        let before = state.session;
        if before != Some(session) {
            let looked = self.directory.is_locked();
            let is_locked = looked.map_err(|error| {
                IoError::new("look at the lock of", self.directory.name(), error)
            })?;
            if !is_locked {
                return Ok(None);
            }
            state.session = Some(session);
        }
        let seen = state.tip.position();
        if position < seen && before != Some(session) {
            // It began at the end of what its recovery had kept.
            state.session = before;
            return Err(ReadError::Rewound { end: position, seen });
        }
        Ok(Some(position))
    }

    /// How far later frames say that the log is durable.
    fn search(&self, state: &mut State) -> Result<Position, ReadError> {
        let tip = &state.tip;
        let kept = state.ahead.take().filter(|ahead| ahead.is_behind(tip));
        let mut ahead = kept.unwrap_or_else(|| tip.clone());
        let start = (ahead.header.sequence, ahead.offset);
        loop {
            let file = Arc::clone(&ahead.file);
            let mut window = ahead.window(&*file);
            let failed = |error| self.failed("read", &state.segment, error);
            let ended = loop {
                match ahead.step(&mut window).map_err(failed)? {
                    Met::Frame(..) => {}
                    met => break met,
                }
            };
            let next = match ended {
                Met::Sealed => ahead.next_segment(&*self.directory).map_err(failed)?,
                _ => None,
            };
            match next {
                Some(next) => ahead = next,
                None => break,
            }
        }
        let proved = ahead.proved();
        let has_moved = (ahead.header.sequence, ahead.offset) != start;
        state.fruitless = if has_moved { 0 } else { state.fruitless + 1 };
        // What was followed may have been cut off since, and other frames may stand there now.
        state.ahead = (state.fruitless < FRUITLESS_MAX).then_some(ahead);
        state.fruitless %= FRUITLESS_MAX;
        Ok(proved)
    }

    /// Takes in all up to `end`, which is durable, and shows it.
    fn advance(&self, state: &mut State, end: Position) -> Result<(), ReadError> {
        let walked = match state.tip.position() < end {
            true => self.walk_to(state, end),
            false => Ok(()),
        };
        self.publish(state, end);
        walked
    }

    fn walk_to(&self, state: &mut State, end: Position) -> Result<(), ReadError> {
        let mut way = state.tip.clone();
        let mut passed: Vec<(SealedSegment, Way)> = Vec::new();
        // Of frames without events, which are durable once an event behind them is.
        let mut set = Vec::new();
        loop {
            let file = Arc::clone(&way.file);
            let mut window = way.window(&*file);
            let next = loop {
                let at = way.offset;
                let damaged = |fault| state.segment.damaged(at, state.tip.position(), fault);
                let position = way.position();
                let met = way.step(&mut window);
                match met.map_err(|error| self.failed("read", &state.segment, error))? {
                    // Part of a batch is proved durable, so there is no such batch.
                    Met::Frame(..) if way.position() > end => {
                        let (expected, found) = (end, way.position());
                        return Err(damaged(FrameError::Position { expected, found }));
                    }
                    Met::Frame(frame, at) if frame.header.kind == FrameKind::Batch => {
                        set.extend(checkpoints_of(&frame).map_err(damaged)?);
                        for (sealed, start) in passed.drain(..) {
                            self.enter(state, sealed, start)?;
                        }
                        self.take(state, &frame, at)?;
                        state.set.append(&mut set);
                        state.tip = way.clone();
                        if way.position() == end {
                            return Ok(());
                        }
                    }
                    Met::Frame(frame, _) => {
                        set.extend(checkpoints_of(&frame).map_err(damaged)?);
                    }
                    Met::Sealed => {
                        let next = way.next_segment(&*self.directory);
                        let next = next.map_err(|error| self.failed("open", &state.segment, error));
                        break next?.ok_or_else(|| damaged(missing(position)))?;
                    }
                    Met::Nothing => return Err(damaged(missing(position))),
                    Met::Bad(fault) => return Err(damaged(fault)),
                }
            };
            passed.push((way.sealed(), next.clone()));
            way = next;
        }
    }

    /// Goes on in the next segment.
    fn enter(&self, state: &mut State, sealed: SealedSegment, start: Way) -> Result<(), ReadError> {
        let full = &state.segment;
        let failed = |error| self.failed("map", full, error);
        let first = Segment::FIRST_FRAME.as_u64();
        let (region, _) = start.file.map(first, Access::Read).map_err(failed)?;
        state.tip.file.raise(full.region(), sealed.seal_end.as_u64()).map_err(failed)?;
        if full.sealed().is_none() {
            full.seal(sealed);
            state.unindexed.push_back(Arc::clone(full));
        }
        let header = start.header;
        let landmarks = Landmarks::new(header.capacity);
        let next = Arc::new(Segment::new(header, region, landmarks));
        self.segments.push(Arc::clone(&next));
        self.index.update(|streams| streams.begin_segment(header.sequence, header.base_position));
        (state.segment, state.tip) = (next, start);
        self.publish(state, state.tip.position());
        Ok(())
    }

    /// Takes in a batch.
    fn take(&self, state: &State, frame: &Frame<'_>, at: ByteOffset) -> Result<(), ReadError> {
        let State { tip, segment, .. } = state;
        let end = at.as_u64() + u64::from(frame.header.frame_bytes);
        let raised = tip.file.raise(segment.region(), end);
        raised.map_err(|error| self.failed("map", segment, error))?;
        let damaged = |fault| segment.damaged(at, frame.header.first_position, fault);
        if segment.region().written() < end {
            // A writer in this process has stored it, and is about to say so.
            return Err(damaged(missing(frame.header.first_position)));
        }
        let capacity = tip.header.capacity;
        let taken = self.index.update(|streams| {
            intake::take(&self.index, streams, (frame, at), capacity) //
        });
        taken.map_err(damaged)?;
        segment.landmarks().note(frame.header.first_position, at);
        Ok(())
    }

    /// Shows what has been taken in, all of which is durable up to `end`.
    fn publish(&self, state: &mut State, end: Position) {
        let taken = state.tip.position();
        // Frames are counted by writers.
        let reach = |position| Reach { position, frames: 0 };
        self.watermarks.write(reach(taken));
        self.watermarks.sync(reach(end.min(taken).max(self.watermarks.synced())));
        self.show_checkpoints(std::mem::take(&mut state.set), || self.watermarks.publish(taken));
    }

    /// Shows checkpoints together with what `publish` shows. Those of frames without events may have
    /// been shown before.
    fn show_checkpoints(&self, set: Vec<(Box<str>, Position)>, publish: impl FnOnce()) {
        let rises = |(name, position): &(Box<str>, Position)| {
            self.checkpoints.find(name).is_none_or(|shown| shown < *position)
        };
        self.checkpoints.publish(set.into_iter().filter(rises).collect(), publish);
    }

    /// Shows the checkpoints set by frames without events behind the tip, as far as a frame says that
    /// they are durable.
    fn settle(&self, state: &mut State) -> Result<(), ReadError> {
        let kept = state.settled.take().filter(|settled| settled.is_behind(&state.tip));
        let mut way = kept.clone().unwrap_or_else(|| state.tip.clone());
        state.settled = kept;
        let failed = |error| self.failed("read", &state.segment, error);
        let mut set = Vec::new();
        loop {
            let file = Arc::clone(&way.file);
            let mut window = way.window(&*file);
            let ended = loop {
                let before = way.clone();
                match way.step(&mut window).map_err(failed)? {
                    Met::Frame(frame, _) if frame.header.kind == FrameKind::Batch => return Ok(()),
                    Met::Frame(frame, at) => {
                        let damaged =
                            |fault| state.segment.damaged(at, state.tip.position(), fault);
                        if frame.header.settled {
                            self.show_checkpoints(std::mem::take(&mut set), || ());
                            state.settled = Some(before);
                        }
                        set.extend(checkpoints_of(&frame).map_err(damaged)?);
                    }
                    met => break met,
                }
            };
            let next = match ended {
                Met::Sealed => way.next_segment(&*self.directory).map_err(failed)?,
                _ => None,
            };
            match next {
                Some(next) => way = next,
                None => return Ok(()),
            }
        }
    }

    /// Takes the indexes that the writer has made of sealed segments, in the place of what is kept in
    /// memory until then.
    fn attach_indexes(&self, state: &mut State) {
        state.unindexed.retain(|segment| {
            let Some(sealed) = segment.sealed() else { return false };
            let loaded = sidecar::load(&*self.directory, &sealed, &Section::ALL);
            let Ok(own) = loaded else { return true };
            indexes::give(segment, own, &self.index);
            false
        });
        while state.unindexed.len() > UNINDEXED_MAX {
            let oldest = state.unindexed.pop_front();
            let oldest = oldest.as_slice();
            indexes::complete(&*self.directory, false, oldest, &self.index, || 1);
        }
    }

    /// Lets go of segments that the writer has dropped: reads begin where its base says. One that has not
    /// come so far goes on there.
    fn drop_front(&self, state: &mut State) -> Result<(), ReadError> {
        let Some(oldest) = self.segments.snapshot().first().map(|first| first.sequence()) else {
            return Ok(());
        };
        let opened = self.directory.open(&segment_name(oldest), Access::Read);
        let is_gone = opened.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let Some(base) = is_gone.then(|| self.base()).flatten() else { return Ok(()) };
        if base.first > state.segment.sequence() {
            return self.go_on_behind(state, &base);
        }
        self.segments.drop_before(base.first);
        self.drop_tails(state, base.first);
        Ok(())
    }

    /// Goes on where the log begins now. Whatever was known only rises by that. The list of segments comes
    /// first: who finds a stream's new head is told that it has been dropped, and no damage.
    fn go_on_behind(&self, state: &mut State, base: &Base) -> Result<(), ReadError> {
        let failed = |error| self.failed("open", &state.segment, error);
        let view = base.view().map_err(|error| failed(io::Error::other(error)))?;
        let start = Way::behind(base, &*self.directory).map_err(failed)?;
        // Dropped itself since: the next look finds where the log begins then.
        let Some(start) = start else { return Ok(()) };
        let first = Segment::FIRST_FRAME.as_u64();
        let (region, _) = start.file.map(first, Access::Read).map_err(failed)?;
        let header = start.header;
        let next = Arc::new(Segment::new(header, region, Landmarks::new(header.capacity)));
        self.segments.put(vec![Arc::clone(&next)]);
        let behind = std::mem::replace(&mut state.segment, next);
        self.index.update(|streams| streams.take_tail(behind.sequence()));
        self.drop_tails(state, base.first);
        self.index.update(|streams| {
            streams.load(view.table());
            streams.begin_segment(header.sequence, header.base_position);
        });
        state.set = view
            .checkpoints()
            .flatten()
            .map(|checkpoint| (checkpoint.name.into(), checkpoint.position))
            .collect();
        (state.tip, state.ahead, state.settled) = (start, None, None);
        self.publish(state, base.chain.position);
        Ok(())
    }

    /// Lets go of what is kept in memory of segments in front of `first`.
    fn drop_tails(&self, state: &mut State, first: SegmentSeq) {
        state.unindexed.retain(|segment| {
            let is_kept = segment.sequence() >= first;
            if !is_kept {
                self.index.update(|streams| streams.take_tail(segment.sequence()));
            }
            is_kept
        });
    }

    /// What the log begins with now, if its front has been dropped.
    fn base(&self) -> Option<Base> {
        let listed = self.directory.list().ok()?;
        let bases = listed.iter().filter_map(|entry| match parse(&entry.name) {
            Named::Base(sequence) if entry.is_file => Some(sequence),
            _ => None,
        });
        base::load(&*self.directory, bases.max()?).ok()
    }

    fn failed(&self, operation: &'static str, segment: &Segment, error: io::Error) -> ReadError {
        let path = format!("{}/{}", self.directory.name(), segment.name());
        IoError::new(operation, path, error).into()
    }
}

impl State {
    fn is_thorough_look_due(&mut self, every: Duration) -> bool {
        let now = Instant::now();
        let is_due = self
            .looked_thoroughly
            .is_none_or(|before| now.saturating_duration_since(before) >= every);
        if is_due {
            self.looked_thoroughly = Some(now);
        }
        is_due
    }
}

/// The checkpoints that a frame sets.
fn checkpoints_of(frame: &Frame<'_>) -> Result<Vec<(Box<str>, Position)>, FrameError> {
    let set = Body::decode(frame)?.checkpoints()?;
    let owned = set.map(|checkpoint| {
        let NamedCheckpoint { name, position } = checkpoint?;
        Ok((name.into(), position))
    });
    owned.collect()
}

/// An event that is durable is not there.
fn missing(position: Position) -> FrameError {
    FrameError::Field { field: "first position", found: position.as_u64() }
}

/// More is looked at so often: whether the page is another one, whether a writer has come, what later
/// frames say, whether there are new indexes.
pub(crate) const THOROUGH_EVERY: Duration = Duration::from_millis(50);

/// Trouble that lasts longer is told to subscribers.
const TROUBLE_MAX: Duration = Duration::from_secs(1);

/// After so many searches that found nothing the next begins at the tip: once a second.
const FRUITLESS_MAX: u32 = 20;

/// So many sealed segments may wait for their index; the oldest gets one in memory.
const UNINDEXED_MAX: usize = 4;
