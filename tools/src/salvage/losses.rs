//! What is missing: positions, and how the log ends.
//!
//! Owns: [`losses`], pure. May call: places, run.
//!
//! Positions are dense, so that two whole frames tell exactly what is missing between them. Behind the
//! last one, only what still bears witness is known: a synced position, the base position of a later
//! segment, the begin header of a batch that is not whole.

use quipu_format::{ControlKind, FrameKind, Position};

use super::places::{Found, Place, Severity, places};
use super::report::{Damage, End, Lost, Moved};
use super::run::Run;
use super::scan::Segment;

/// What is missing.
#[derive(Debug)]
pub(super) struct Losses {
    pub(super) lost: Vec<Lost>,
    pub(super) moved: Vec<Moved>,
    pub(super) damage: Vec<Damage>,
    pub(super) end: End,
    /// Whether nothing is missing or wrong, but for a torn tail.
    pub(super) none: bool,
}

/// Compares what is there with what the log says of itself. `left`: runs that are not taken over.
pub(super) fn losses(found: &Found<'_>, left: &[&Run]) -> Losses {
    let witness = Witness::of(found, left);
    let last = found.taken.last().copied();
    let begin = found.first_available();
    let position = last.map_or(begin, |run| run.chain.position);
    let at_least = witness.at_least.max(position);

    let mut places = places(found);
    let (left_behind, left_between): (Vec<&Run>, Vec<&Run>) = left
        .iter()
        .copied()
        .partition(|run| last.is_none_or(|last| last.place_behind() <= run.place()));
    places.extend(left_behind.into_iter().map(|run| found.left_place(run)));
    places.sort_by_key(Place::key);

    let mut lost = Vec::new();
    let mut reached = begin;
    for run in found.taken {
        witness.split(reached, run.first.first_position, &mut lost);
        reached = run.chain.position;
    }
    witness.split(position, at_least, &mut lost);

    // Without any header the log's id was only given: nothing can be said of frames that are not whole.
    let has_header = found.log.segments.iter().any(|segment| segment.own_header().is_some());
    let may_be_torn = |place: &Place| {
        place.severity == Severity::Tearable && (has_header || place.damage.offset == 0)
    };
    let is_behind = |place: &Place| {
        place.severity != Severity::Harmless
            && last.is_none_or(|run| place.key() >= run.place_behind())
    };
    let behind: Vec<&Place> = places.iter().filter(|place| is_behind(place)).collect();
    let settled = |segment: &Segment| {
        let place = segment.gaps.iter().rev().find_map(|gap| gap.settled_at);
        place.is_some_and(|at| last.is_none_or(|run| (segment.sequence, at) > run.place_behind()))
    };
    let torn = witness.durable <= position
        && behind.iter().all(|place| may_be_torn(place))
        && !found.log.segments.iter().any(settled);
    let end = match behind.first() {
        Some(first) if torn => {
            let Damage { file, offset, fault, .. } = first.damage.clone();
            let bytes = behind.iter().map(|place| place.damage.bytes).sum();
            End::Torn { position: position.as_u64(), file, offset, bytes, fault }
        }
        None if at_least == position => clean_end(last, begin),
        _ => End::Cut { position: position.as_u64(), at_least: at_least.as_u64() },
    };
    if matches!(end, End::Torn { .. }) {
        places.retain(|place| !is_behind(place));
    }
    let none = places.iter().all(|place| place.severity == Severity::Harmless)
        && left_between.is_empty()
        && !matches!(end, End::Cut { .. })
        && lost.iter().all(|lost| lost.first >= position.as_u64());
    let damage = places.into_iter().map(|place| place.damage).collect();
    let moved = moved(found.taken, found.log.front.start());
    Losses { lost, moved, damage, end, none }
}

/// The end of a log behind whose last frame nothing stands.
fn clean_end(last: Option<&Run>, begin: Position) -> End {
    let position = last.map_or(begin, |run| run.chain.position).as_u64();
    match last.map(|run| run.last) {
        Some(FrameKind::Control(ControlKind::Close)) => End::Closed { position },
        _ => {
            let durable_to = last.map_or(begin, |run| run.chain.synced_position).as_u64();
            End::Open { position, durable_to }
        }
    }
}

/// Where the events of each stretch without a missing position are in the new log, which begins at
/// position `start`.
fn moved(taken: &[&Run], start: Position) -> Vec<Moved> {
    let mut moved: Vec<Moved> = Vec::new();
    let mut now = start.as_u64();
    for run in taken.iter().filter(|run| run.events > 0) {
        let (first, end) = (run.first.first_position.as_u64(), run.chain.position.as_u64());
        match moved.last_mut() {
            Some(before) if before.last.checked_add(1) == Some(first) => before.last = end - 1,
            _ => moved.push(Moved { first, last: end - 1, first_is_now: now }),
        }
        now += run.events;
    }
    moved
}

/// What the log says of itself.
struct Witness {
    /// All below had been durable.
    durable: Position,
    /// The log went on at least to here.
    at_least: Position,
}

impl Witness {
    fn of(found: &Found<'_>, left: &[&Run]) -> Self {
        let begin = found.first_available();
        let mut witness = Self { durable: begin, at_least: begin };
        for run in found.taken {
            witness.durable(run.chain.synced_position);
        }
        // What is stale tells nothing of the log's end, but never lies about what was synced.
        for run in left {
            witness.durable(run.chain.synced_position);
        }
        let last = found.taken.last();
        for segment in &found.log.segments {
            if let Some(header) = segment.own_header() {
                witness.durable(header.synced_position);
                witness.at_least = witness.at_least.max(header.base_position);
            }
            for header in segment.gaps.iter().flat_map(|gap| &gap.broken) {
                witness.durable(header.synced_position);
                let goes_on = last.is_none_or(|run| {
                    header.first_position >= run.chain.position
                        && header.commit_time >= run.chain.time
                });
                if goes_on {
                    witness.at_least = witness.at_least.max(header.end_position());
                }
            }
        }
        witness.at_least = witness.at_least.max(witness.durable);
        witness
    }

    fn durable(&mut self, synced: Position) {
        self.durable = self.durable.max(synced);
    }

    /// Notes the positions `from..to`, if there are any, as missing.
    fn split(&self, from: Position, to: Position, lost: &mut Vec<Lost>) {
        let between = self.durable.clamp(from, to.max(from));
        for (from, to, durable) in [(from, between, true), (between, to, false)] {
            if from < to {
                lost.push(Lost { first: from.as_u64(), last: to.as_u64() - 1, durable });
            }
        }
    }
}
