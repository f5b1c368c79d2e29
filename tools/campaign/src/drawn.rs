//! Scripts drawn at random.
//!
//! Owns: [`Script::draw`] and what weighs its choices. May call: draw.

use quipu::sim::{Errno, Operation};
use quipu::{Durability, Preparation, StoreMode};

use crate::draw::Draw;
use crate::script::{
    Draft, DraftEvent, End, Expectation, Life, Mishap, Misuse, STREAMS, Script, Step,
};
use crate::sought::{Since, Sought, Traits};

impl Script {
    /// Draws a script. `mishaps`: whether calls are made to fail.
    pub fn draw(draw: &mut impl Draw, mishaps: bool) -> Self {
        let by_size = StoreMode::BySize { positioned_from: 700 };
        let mode = *draw.choose(&[StoreMode::Mapped, StoreMode::Positioned, by_size]);
        let preparation =
            *draw.choose(&[Preparation::Populate, Preparation::DirectZeros, Preparation::Allocate]);
        let lives = draw.between(1, LIVES_MAX);
        Self {
            disk_seed: draw.below(u64::MAX),
            mode,
            preparation,
            lives: (0..lives).map(|_| Life::draw(draw, mishaps)).collect(),
        }
    }
}

impl Life {
    fn draw(draw: &mut impl Draw, mishaps: bool) -> Self {
        let steps = draw.between(0, STEPS_MAX);
        let fails = mishaps && !draw.one_in(4);
        Self {
            segment_pages: *draw.choose(&[2, 2, 2, 3, 4]),
            mishaps: (0..u64::from(fails)).map(|_| Mishap::draw(draw)).collect(),
            steps: (0..steps).map(|_| Step::draw(draw, mishaps)).collect(),
            end: *draw.choose(&[End::Close, End::Kill, End::PowerCut, End::PowerCut]),
        }
    }
}

impl Mishap {
    fn draw(draw: &mut impl Draw) -> Self {
        if draw.one_in(6) {
            return Self::Kill { call: draw.below(160) };
        }
        let operation = *draw.choose(&[
            Operation::List,
            Operation::Lock,
            Operation::Create,
            Operation::Open,
            Operation::Rename,
            Operation::Remove,
            Operation::SyncDirectory,
            Operation::Length,
            Operation::Prepare,
            Operation::Read,
            Operation::Write,
            Operation::Write,
            Operation::Sync,
            Operation::Sync,
            Operation::Sync,
            Operation::Sync,
            Operation::Map,
            Operation::Append,
            Operation::Append,
        ]);
        let error = *draw.choose(&[Errno::Io, Errno::NoSpace, Errno::TooManyFiles]);
        let most = *draw.choose(&[2, 8, 30]);
        let (nth, for_good) = (draw.between(1, most), draw.one_in(3));
        Self::Failure { operation, error, nth, for_good, stored: None }
    }
}

impl Step {
    fn draw(draw: &mut impl Draw, mishaps: bool) -> Self {
        match draw.below(24) {
            0 => Self::Sync,
            1 => Self::Quiet,
            2 | 3 => Self::Again(draw.below(4) as u8),
            4 => Self::Append(Draft::check(draw)),
            5 if mishaps => Self::Room((!draw.one_in(3)).then(|| draw.below(6) as u8)),
            6 if draw.one_in(4) => Self::Misuse(*draw.choose(&[
                Misuse::Empty,
                Misuse::Contradiction,
                Misuse::TooLarge,
                Misuse::LongName,
                Misuse::IdempotentTooLate,
                Misuse::OpenTwice,
                Misuse::WriteReadOnly,
                Misuse::Option,
            ])),
            _ => Self::Append(Draft::draw(draw)),
        }
    }
}

impl Draft {
    fn draw(draw: &mut impl Draw) -> Self {
        let count = if draw.one_in(4) { draw.between(1, 8) } else { 1 };
        let events: Vec<_> = (0..count).map(|_| DraftEvent::draw(draw)).collect();
        let first = events.first().map_or(0, |event| event.stream);
        let idempotent = draw.one_in(4);
        let mut expectations: Vec<(u8, Expectation)> = Vec::new();
        if idempotent {
            // So that it tells where the batch goes.
            expectations.push((first, Expectation::Right));
        } else {
            for _ in 0..draw.below(3) {
                let stream = if draw.one_in(2) { first } else { draw_stream(draw) };
                if !expectations.iter().any(|(other, _)| *other == stream) {
                    expectations.push((stream, Expectation::draw(draw)));
                }
            }
        }
        let queries = draw_queries(draw);
        Self { events, expectations, queries, durability: draw_durability(draw), idempotent }
    }

    /// A batch without events.
    fn check(draw: &mut impl Draw) -> Self {
        let queries = draw_queries(draw);
        let expectations = match queries.is_empty() {
            true => vec![(draw_stream(draw), Expectation::draw(draw))],
            false => Vec::new(),
        };
        let durability = draw_durability(draw);
        Self { events: Vec::new(), expectations, queries, durability, idempotent: false }
    }
}

impl DraftEvent {
    fn draw(draw: &mut impl Draw) -> Self {
        let payload_bytes = match draw.below(4) {
            0 => draw.below(2000),
            1 => 0,
            _ => draw.below(200),
        };
        let (stream, traits) = (draw_stream(draw), Traits::draw(draw));
        Self { stream, traits, payload_bytes: payload_bytes as u16 }
    }
}

impl Expectation {
    /// Mostly right, at times not.
    fn draw(draw: &mut impl Draw) -> Self {
        match draw.below(9) {
            0 => Self::Any,
            1 => Self::NoStream,
            2 => Self::Exists,
            3 => Self::Exact(draw.below(5) as u8),
            4 => Self::LastPosition(draw.below(20) as u8),
            5 => Self::RightPosition,
            _ => Self::Right,
        }
    }
}

/// Often none.
fn draw_queries(draw: &mut impl Draw) -> Vec<(Sought, Since)> {
    let count = if draw.one_in(3) { draw.between(1, 2) } else { 0 };
    (0..count).map(|_| (Sought::draw(draw), Since::draw(draw))).collect()
}

fn draw_stream(draw: &mut impl Draw) -> u8 {
    draw.below(STREAMS.len() as u64) as u8
}

fn draw_durability(draw: &mut impl Draw) -> Durability {
    *draw.choose(&[Durability::Sync, Durability::Buffered])
}

/// Lives of one script, at most.
const LIVES_MAX: u64 = 3;

/// Steps of one life, at most.
const STEPS_MAX: u64 = 14;
