//! Scripts drawn at random.
//!
//! Owns: [`Script::draw`] and what weighs its choices. May call: draw.

use quipu::sim::{Errno, Operation};
use quipu::{Durability, Preparation, StoreMode};

use crate::draw::Draw;
use crate::script::{
    CHECKPOINTS, Draft, DraftEvent, End, Expectation, Life, Mishap, Misuse, Part, Rise, STREAMS,
    Script, Step,
};
use crate::sought::{Since, Sought, Traits};

impl Script {
    /// Draws a script. `mishaps`: whether calls are made to fail.
    pub fn draw(draw: &mut impl Draw, mishaps: bool) -> Self {
        let by_size = StoreMode::BySize { positioned_from: 700 };
        let mode = *draw.choose(&[StoreMode::Mapped, StoreMode::Positioned, by_size]);
        let preparation = *draw.choose(&[Preparation::Populate, Preparation::DirectZeros]);
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
        let count = draw.between(0, STEPS_MAX);
        let fails = mishaps && !draw.one_in(4);
        let mut life = Self {
            segment_pages: *draw.choose(&[2, 2, 2, 3, 4]),
            mishaps: (0..u64::from(fails)).map(|_| Mishap::draw(draw)).collect(),
            steps: (0..count).map(|_| Step::draw(draw, mishaps)).collect(),
            end: *draw.choose(&[End::Close, End::Kill, End::PowerCut, End::PowerCut]),
        };
        if draw.one_in(5) {
            life.drop_front(draw, fails);
        }
        life
    }

    /// Begins with what fills segments, and drops them: few truncations find any otherwise.
    fn drop_front(&mut self, draw: &mut impl Draw, fails: bool) {
        self.segment_pages = 2;
        if draw.one_in(2) {
            self.steps.clear();
        }
        if fails && !draw.one_in(3) {
            let (operation, most) = *draw.choose(&[
                (Operation::Write, 8),
                (Operation::Write, 8),
                (Operation::Write, 8),
                (Operation::Sync, 13),
                (Operation::Sync, 13),
                (Operation::Sync, 13),
                (Operation::SyncDirectory, 10),
                (Operation::Create, 10),
            ]);
            let (nth, for_good) = (draw.between(2, most), draw.one_in(3));
            let error = Errno::Io;
            self.mishaps = vec![Mishap::Failure { operation, error, nth, for_good, stored: None }];
        }
        let full = (0..draw.between(2, 5)).map(|_| Step::Append(Draft::large()));
        let drop = [Step::Truncate(draw.below(3) as u8)];
        self.steps = full.chain(drop).chain(self.steps.drain(..)).collect();
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
            Operation::Link,
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
        match draw.below(29) {
            0 => Self::Sync,
            27 | 28 => Self::Truncate(draw.below(12) as u8),
            1 => Self::Quiet,
            2 | 3 => Self::Again(draw.below(4) as u8),
            4 => Self::Append(Draft::check(draw)),
            5 if mishaps => Self::Room((!draw.one_in(3)).then(|| draw.below(6) as u8)),
            6 if draw.one_in(4) => Self::Misuse(*draw.choose(&[
                Misuse::Empty,
                Misuse::Contradiction,
                Misuse::TwoPositions,
                Misuse::TooLarge,
                Misuse::LongName,
                Misuse::IdempotentTooLate,
                Misuse::OpenTwice,
                Misuse::WriteReadOnly,
                Misuse::Option,
            ])),
            7 | 8 => Self::Append(Draft::checkpoints(draw)),
            9..13 => {
                let count = draw.between(2, GROUP_MAX);
                Self::Together((0..count).map(|_| Part::draw(draw)).collect())
            }
            13 => Self::Backup { copies: draw.one_in(3) },
            _ => Self::Append(Draft::draw(draw)),
        }
    }
}

impl Part {
    fn draw(draw: &mut impl Draw) -> Self {
        match draw.below(12) {
            0 | 1 => Self::Again(draw.below(4) as u8),
            2 => Self::New(Draft::check(draw)),
            3 => Self::New(Draft::checkpoints(draw)),
            _ => Self::New(Draft::draw(draw)),
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
            let right =
                if draw.one_in(3) { Expectation::RightPosition } else { Expectation::Right };
            expectations.push((first, right));
        } else {
            for _ in 0..draw.below(3) {
                let stream = if draw.one_in(2) { first } else { draw_stream(draw) };
                if !expectations.iter().any(|(other, _)| *other == stream) {
                    expectations.push((stream, Expectation::draw(draw)));
                }
            }
        }
        let queries = draw_queries(draw);
        let checkpoints = if draw.one_in(4) { draw_checkpoints(draw) } else { Vec::new() };
        let durability = draw_durability(draw);
        Self { events, expectations, queries, checkpoints, durability, idempotent }
    }

    /// A batch of named checkpoints alone.
    fn checkpoints(draw: &mut impl Draw) -> Self {
        let expectations = match draw.one_in(5) {
            true => vec![(draw_stream(draw), Expectation::draw(draw))],
            false => Vec::new(),
        };
        let (checkpoints, durability) = (draw_checkpoints(draw), draw_durability(draw));
        Self { expectations, checkpoints, durability, ..Self::nothing() }
    }

    /// A batch without events.
    fn check(draw: &mut impl Draw) -> Self {
        let queries = draw_queries(draw);
        let expectations = match queries.is_empty() {
            true => vec![(draw_stream(draw), Expectation::draw(draw))],
            false => Vec::new(),
        };
        let durability = draw_durability(draw);
        Self { expectations, queries, durability, ..Self::nothing() }
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

/// One or two, mostly forward.
fn draw_checkpoints(draw: &mut impl Draw) -> Vec<(u8, Rise)> {
    let first = draw.below(CHECKPOINTS.len() as u64) as u8;
    let count = if draw.one_in(3) { 2 } else { 1 };
    let rise = |draw: &mut _| match Draw::below(draw, 8) {
        0 => Rise::Same,
        1 => Rise::Back,
        by => Rise::By(by as u8),
    };
    (0..count).map(|at| (first + at, rise(draw))).collect()
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

/// Batches of one group, at most.
const GROUP_MAX: u64 = 5;

/// Lives of one script, at most.
const LIVES_MAX: u64 = 3;

/// Steps of one life, at most.
const STEPS_MAX: u64 = 14;
