//! The streams of what is taken over: which of their versions are missing.
//!
//! Owns: [`tally`], the one part of salvaging whose memory grows with the streams. May call: choose,
//! cut, replay, run.
//!
//! A batch says each stream's version at its first event there. So a batch behind the damage tells
//! how many events the damage took from the streams that it names; of other streams nothing is known.

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};

use quipu_format::{CommitTime, FrameKind, NamedCheckpoint, Position};

use super::SalvageError;
use super::choose::{Choice, Cut, choose, rank};
use super::cut::cut_off;
use super::front::Front;
use super::inventory::Inventory;
use super::replay::{Placed, replay};
use super::report::{Contradiction, Doubtful, LostVersions};
use super::run::{Clash, Run, Strand, strands};
use super::source::Source;

/// What the chosen batches come to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) batches: u64,
    pub(super) events: u64,
    pub(super) streams: u64,
    /// What each named checkpoint was set to last.
    pub(super) checkpoints: BTreeMap<String, u64>,
    pub(super) lost: Vec<LostVersions>,
    pub(super) contradictions: Vec<Contradiction>,
    pub(super) first_commit: Option<CommitTime>,
    pub(super) last_commit: Option<CommitTime>,
}

/// So many ends of strands may be left out; where more clash, whole strands are, and batches whose
/// streams' versions contradict others are taken over and told. Bounds how often the log is read.
const CUTS_MAX: usize = 16;

/// Two batches with the same version of a stream, of which only one can be of this log: the strand and
/// the position of each, the one in front first.
type Clashing = ([(usize, Position); 2], Clash);

/// What is taken over, and what it comes to.
pub(super) struct Settled {
    pub(super) strands: Vec<Strand>,
    pub(super) choice: Choice,
    pub(super) tally: Tally,
    pub(super) doubtful: Vec<Doubtful>,
}

/// Chooses, and reads all that is chosen. What the streams' versions say is of another life than the
/// rest is left out, and it is chosen anew.
pub(super) fn tally(source: &Source, log: &mut Inventory) -> Result<Settled, SalvageError> {
    let mut strands = strands(&log.segments, &log.runs);
    let mut left = log.front.contradicted(&strands, &log.runs);
    let mut doubtful = Vec::new();
    loop {
        let may_cut = doubtful.len() < CUTS_MAX;
        let cut = match choose(&strands, &log.runs, &left, may_cut) {
            Err(cut) => cut,
            Ok(choice) => match read(source, log, &strands, &choice, may_cut)? {
                Ok(tally) => {
                    doubtful.retain(|range: &Range<Position>| !range.is_empty());
                    let doubtful = doubtful.into_iter().map(Doubtful::from).collect();
                    return Ok(Settled { strands, choice, tally, doubtful });
                }
                Err(clashing) => cut_of(&strands, clashing),
            },
        };
        doubtful.push(cut_off(source, log, &mut strands, &mut left, cut)?);
    }
}

/// Which of two batches goes, with all that follows it: the one that is not known to have been durable,
/// or that of the strand which is worth less.
fn cut_of(strands: &[Strand], ([front, back], clash): Clashing) -> Cut {
    let weight = |(number, position): (usize, Position)| {
        let strand = strands.get(number);
        (strand.is_some_and(|strand| strand.is_durable(position)), strand.map(rank))
    };
    let (strand, position) = if weight(front) < weight(back) { front } else { back };
    Cut {
        strand,
        position,
        time: CommitTime::new(u64::MAX),
        synced: Position::new(u64::MAX),
        clash,
    }
}

/// Reads what is chosen.
fn read(
    source: &Source,
    log: &Inventory,
    strands: &[Strand],
    choice: &Choice,
    may_clash: bool,
) -> Result<Result<Tally, Clashing>, SalvageError> {
    let mut streams = Streams { may_clash, ..Streams::of(&log.front) };
    let bytes = runs_of(choice, strands, &log.runs).map(|(_, run)| run.bytes()).sum();
    source.stages.begin("reading", bytes);
    let chosen = runs_of(choice, strands, &log.runs);
    replay(source, &log.segments, chosen, |strand, placed| streams.take(strand, placed))?;
    Ok(match streams.clash.take() {
        Some(clash) => Err(clash),
        None => Ok(streams.finish()),
    })
}

/// The runs that are taken over, in order, each with the number of its strand.
pub(super) fn runs_of<'r>(
    choice: &Choice,
    strands: &[Strand],
    runs: &'r [Run],
) -> impl Iterator<Item = (usize, &'r Run)> {
    choice.taken.iter().flat_map(move |number| {
        let strand = strands.get(*number).and_then(|strand| runs.get(strand.runs.clone()));
        strand.unwrap_or_default().iter().map(|run| (*number, run))
    })
}

/// Every stream met so far.
#[derive(Default)]
struct Streams {
    by_name: HashMap<Box<str>, Stream>,
    tally: Tally,
    /// Missing versions so far.
    missing: u64,
    may_clash: bool,
    clash: Option<Clashing>,
    /// The position of the next event in the new log.
    position: u64,
}

#[derive(Default)]
struct Stream {
    /// The version that its next event has in the old log, and in the new one.
    next: u64,
    next_now: u64,
    /// The strand, the position and the batch, counted from 1, that named it last.
    strand: usize,
    position: Position,
    batch: u64,
}

/// In the place of a strand: what was dropped from the front of the log.
const DROPPED: usize = usize::MAX;

impl Streams {
    /// As they were where the log begins.
    fn of(front: &Front) -> Self {
        let mut streams = Self { position: front.start().as_u64(), ..Self::default() };
        let Some(base) = front.view() else { return streams };
        for stream in base.streams().flatten() {
            let next = stream.version.as_u64() + 1;
            let (strand, position) = (DROPPED, stream.position);
            let state = Stream { next, next_now: next, strand, position, batch: 0 };
            streams.by_name.insert(stream.name.into(), state);
        }
        let set = base.checkpoints().flatten();
        streams.tally.checkpoints =
            set.map(|set| (set.name.to_owned(), set.position.as_u64())).collect();
        streams
    }

    fn take(
        &mut self,
        strand: usize,
        placed: &Placed<'_>,
    ) -> Result<ControlFlow<()>, SalvageError> {
        let header = placed.frame.header;
        self.take_checkpoints(placed)?;
        if header.kind != FrameKind::Batch {
            return Ok(ControlFlow::Continue(()));
        }
        let mut event_counts = vec![0_u64; header.stream_count as usize];
        for event in placed.body.events() {
            let stream = event.map_err(|_| placed.changed())?.stream;
            if let Some(count) = event_counts.get_mut(stream as usize) {
                *count += 1;
            }
        }
        self.tally.batches += 1;
        // Positions that are missing in front of this batch.
        let positions = header.first_position.as_u64().saturating_sub(self.position);
        for ((index, name), count) in (0..).zip(placed.body.streams().names()).zip(event_counts) {
            let name = name.map_err(|_| placed.changed())?;
            let first = placed.frame.first_version(index).map_or(u64::MAX, u64::from);
            if self.go_on(strand, placed, name, first, positions).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if let Some(stream) = self.by_name.get_mut(name) {
                stream.next = first.max(stream.next).saturating_add(count);
                stream.next_now += count;
            }
        }
        let tally = &mut self.tally;
        tally.events += u64::from(header.event_count);
        self.position += u64::from(header.event_count);
        tally.first_commit.get_or_insert(header.commit_time);
        tally.last_commit = Some(header.commit_time);
        Ok(ControlFlow::Continue(()))
    }

    /// Notes the named checkpoints that a frame sets. One that does not rise stays as it is.
    fn take_checkpoints(&mut self, placed: &Placed<'_>) -> Result<(), SalvageError> {
        for checkpoint in placed.body.checkpoints().map_err(|_| placed.changed())? {
            let NamedCheckpoint { name, position } = checkpoint.map_err(|_| placed.changed())?;
            let found = position.as_u64();
            match self.tally.checkpoints.get_mut(name) {
                Some(before) if *before >= found => {
                    let what = format!("checkpoint {name:?} goes back to {found} from {before}");
                    self.tally.contradictions.push(placed.contradicts(what));
                }
                Some(before) => *before = found,
                None => drop(self.tally.checkpoints.insert(name.to_owned(), found)),
            }
        }
        Ok(())
    }

    /// Notes that a batch goes on with a stream at version `first`.
    fn go_on(
        &mut self,
        strand: usize,
        placed: &Placed<'_>,
        name: &str,
        first: u64,
        positions_missing: u64,
    ) -> ControlFlow<()> {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.into(), Stream::default());
        }
        let Some(stream) = self.by_name.get_mut(name) else { return ControlFlow::Continue(()) };
        let (next, front) = (stream.next, (stream.strand, stream.position));
        let twice = stream.batch == self.tally.batches;
        let position = placed.frame.header.first_position;
        (stream.strand, stream.position, stream.batch) = (strand, position, self.tally.batches);
        let mut contradiction = None;
        if twice {
            contradiction = Some(format!("stream {name:?} is named twice in one batch"));
        } else if first < next {
            if self.may_clash && front.0 != strand && front.0 != DROPPED {
                let clash = Clash::Version { stream: name.to_owned(), version: first };
                self.clash = Some(([front, (strand, position)], clash));
                return ControlFlow::Break(());
            }
            contradiction =
                Some(format!("stream {name:?} goes back to version {first} from {next}"));
        } else if first > next {
            self.missing = self.missing.saturating_add(first - next);
            self.tally.lost.push(LostVersions {
                stream: name.to_owned(),
                first: next,
                last: first - 1,
                next_is_now: stream.next_now,
            });
            if self.missing > positions_missing {
                contradiction = Some(format!(
                    "stream {name:?} goes on with version {first} after {next}, and no missing \
                     position explains it"
                ));
            }
        }
        self.tally.contradictions.extend(contradiction.map(|what| placed.contradicts(what)));
        ControlFlow::Continue(())
    }

    fn finish(self) -> Tally {
        Tally { streams: self.by_name.len() as u64, ..self.tally }
    }
}
