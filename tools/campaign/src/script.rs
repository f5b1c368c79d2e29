//! What is done to a log, from its first opening to its last, as a plain list.
//!
//! Owns: [`Script`] and its parts. May call: sought. A script says things relative to the log ("the
//! right version"), so that it still makes sense when a part of it is taken out. It prints as text
//! that a person can follow.

use std::fmt;

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk};
use quipu::{Durability, Preparation, StoreMode};

use crate::sought::{Since, Sought, Traits};

/// Several lives of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What the simulated disk draws from.
    pub disk_seed: u64,
    /// How frames get into segments.
    pub mode: StoreMode,
    /// How segments get their blocks.
    pub preparation: Preparation,
    /// One after the other.
    pub lives: Vec<Life>,
}

/// From one opening to what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The size of new segments, in units of 4 KiB; at least 2.
    pub segment_pages: u64,
    /// Calls that fail.
    pub mishaps: Vec<Mishap>,
    /// What the caller does.
    pub steps: Vec<Step>,
    /// How it ends, unless it ends before.
    pub end: End,
}

/// A call on the disk that does not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// It fails.
    Failure {
        /// Which kind of call.
        operation: Operation,
        /// With what.
        error: Errno,
        /// The how manieth of its kind, from 1.
        nth: u64,
        /// Whether all calls behind it fail too.
        for_good: bool,
        /// How much a store has stored by then, in bytes; drawn, if it is not given.
        stored: Option<u64>,
    },
    /// The process is killed in it.
    Kill {
        /// The how manieth of all calls, from 0.
        call: u64,
    },
}

/// One thing that a caller does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Appends a batch, or checks if it is without events.
    Append(Draft),
    /// Appends an idempotent batch again, the n-th of those so far, counted round.
    Again(u8),
    /// Appends batches as one group.
    Together(Vec<Part>),
    /// Makes everything durable.
    Sync,
    /// Lets the log be quiet for long enough.
    Quiet,
    /// Drops the front of the log, but for so many of its last events.
    Truncate(u8),
    /// Lets so many more pages fit on the disk, or all (`None`).
    Room(Option<u8>),
    /// Makes a backup, or brings it up to date: of copies, or of links where that can be done.
    Backup {
        /// Whether full segments are copied.
        copies: bool,
    },
    /// Does what is not allowed.
    Misuse(Misuse),
}

/// One batch of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A new one.
    New(Draft),
    /// An idempotent batch once more, as [`Step::Again`]; it may be one of this very group.
    Again(u8),
}

/// What no caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// A batch without anything.
    Empty,
    /// Two expectations for one stream.
    Contradiction,
    /// Two positions for one named checkpoint.
    TwoPositions,
    /// A batch that fits into no segment.
    TooLarge,
    /// A name that is too long.
    LongName,
    /// `idempotent()` behind an event.
    IdempotentTooLate,
    /// Opening the log once more.
    OpenTwice,
    /// Appending to a log that is open for reading.
    WriteReadOnly,
    /// An option out of its range.
    Option,
}

/// A batch, relative to the log as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its events.
    pub events: Vec<DraftEvent>,
    /// Its preconditions, for streams by number.
    pub expectations: Vec<(u8, Expectation)>,
    /// What is to be nowhere from some position on.
    pub queries: Vec<(Sought, Since)>,
    /// The named checkpoints that it sets, by number.
    pub checkpoints: Vec<(u8, Rise)>,
    /// When it is acknowledged.
    pub durability: Durability,
    /// Whether it may be repeated; its events have ids then.
    pub idempotent: bool,
}

/// An event, relative to the log as it will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DraftEvent {
    /// Its stream, by number.
    pub stream: u8,
    /// Its type and tags.
    pub traits: Traits,
    /// The length of its payload, beyond a serial number of 8 bytes.
    pub payload_bytes: u16,
}

/// What a named checkpoint is set to, by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rise {
    /// So much more; of one that was never set, so much.
    By(u8),
    /// The same once more, which is refused.
    Same,
    /// One less, which is refused.
    Back,
}

/// What a caller expects of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Anything.
    Any,
    /// No events.
    NoStream,
    /// Events.
    Exists,
    /// The version as it is.
    Right,
    /// The last position as it is.
    RightPosition,
    /// This version, whatever is.
    Exact(u8),
    /// This last position, whatever is.
    LastPosition(u8),
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The log is closed.
    Close,
    /// The process is killed.
    Kill,
    /// The power is cut.
    PowerCut,
}

/// Named checkpoints by number. Two have the names of streams, which is nothing to them.
pub const CHECKPOINTS: [&str; 4] = ["a", "b", "projection", "a projection with a longer name"];

/// Streams by number.
pub const STREAMS: [&str; 6] = ["a", "b", "c", "order-1", "order-2", "a stream with a longer name"];

impl Draft {
    /// A durable batch without anything.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            events: Vec::new(),
            expectations: Vec::new(),
            queries: Vec::new(),
            checkpoints: Vec::new(),
            durability: Durability::Sync,
            idempotent: false,
        }
    }

    /// A durable batch that takes half of the smallest segment.
    #[must_use]
    pub fn large() -> Self {
        let traits = Traits::default();
        let events = vec![DraftEvent { stream: 0, traits, payload_bytes: 1900 }];
        Self { events, ..Self::nothing() }
    }
}

impl Mishap {
    /// Plans it on the simulated disk.
    pub fn plan(&self, disk: &SimDisk) {
        match *self {
            Self::Kill { call } => disk.kill_after(call),
            Self::Failure { operation, error, nth, for_good, stored } => {
                let plan = FaultPlan::new(operation, error).nth(nth);
                let plan = if for_good { plan.from_then_on() } else { plan };
                disk.fail(stored.map_or(plan.clone(), |bytes| plan.storing(bytes)));
            }
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { call } => write!(f, "in call {call} on the disk the process is killed"),
            Self::Failure { operation, error, nth, for_good, stored } => {
                let until = if *for_good { " and all after it" } else { "" };
                write!(f, "{operation:?} number {nth}{until} will fail with {error:?}")?;
                stored.map_or(Ok(()), |bytes| write!(f, ", {bytes} bytes of it stored"))
            }
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { disk_seed, mode, preparation, lives } = self;
        writeln!(f, "disk {disk_seed}, storing {mode:?}, preparing by {preparation:?}")?;
        lives.iter().try_for_each(|life| write!(f, "{life}"))
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "open, segments of {} KiB", self.segment_pages * 4)?;
        for mishap in &self.mishaps {
            writeln!(f, "  {mishap}")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {number:2}. {step}")?;
        }
        writeln!(f, "{}", self.end)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(draft) => write!(f, "{draft}"),
            Self::Again(which) => write!(f, "append idempotent batch {which} again"),
            Self::Together(parts) => {
                f.write_str("in one group:")?;
                parts.iter().try_for_each(|part| write!(f, "\n      - {part}"))
            }
            Self::Sync => f.write_str("sync"),
            Self::Quiet => f.write_str("be quiet"),
            Self::Truncate(events) => write!(f, "drop all but the last {events} events"),
            Self::Room(Some(pages)) => write!(f, "room on the disk for {pages} pages more"),
            Self::Room(None) => f.write_str("room on the disk for everything"),
            Self::Backup { copies: true } => f.write_str("back up, in copies"),
            Self::Backup { copies: false } => f.write_str("back up"),
            Self::Misuse(misuse) => write!(f, "misuse: {misuse:?}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(draft) => write!(f, "{draft}"),
            Self::Again(which) => write!(f, "append idempotent batch {which} again"),
        }
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, expectations, queries, checkpoints, durability, idempotent } = self;
        let idempotent = if *idempotent { " idempotent" } else { "" };
        write!(f, "append{idempotent} {durability:?}")?;
        for (stream, expectation) in expectations {
            write!(f, ", expect {} {expectation:?}", stream_name(*stream))?;
        }
        for (sought, since) in queries {
            write!(f, ", expect none of {} since {since:?}", sought.query())?;
        }
        for (number, rise) in checkpoints {
            write!(f, ", checkpoint {} {rise:?}", checkpoint_name(*number))?;
        }
        for DraftEvent { stream, traits, payload_bytes } in events {
            write!(f, ", {} {traits} +{payload_bytes}", stream_name(*stream))?;
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "close",
            Self::Kill => "kill the process",
            Self::PowerCut => "cut the power",
        })
    }
}

/// The name of a checkpoint by its number, counted round.
#[must_use]
pub fn checkpoint_name(number: u8) -> &'static str {
    CHECKPOINTS.get(usize::from(number) % CHECKPOINTS.len()).unwrap_or(&"a")
}

/// The name of a stream by its number, counted round.
#[must_use]
pub fn stream_name(number: u8) -> &'static str {
    STREAMS.get(usize::from(number) % STREAMS.len()).unwrap_or(&"a")
}
