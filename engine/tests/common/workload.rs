//! Random workloads: what a caller might do with a log, drawn from a seed.
#![allow(dead_code)] // each test uses a part of it

use fastrand::Rng;
use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors, is_machine_down};
use quipu::{
    Durability, EventId, ExpectedVersion, Log, OpenError, Options, Position, Preparation,
    StoreMode, Version,
};

use super::oracle::{Oracle, Submission, Submitted};

/// One thing that a caller does.
#[derive(Debug)]
pub(crate) enum Step {
    Append(Submission),
    Sync,
}

/// Draws steps.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) rng: Rng,
    /// Makes every payload one of its kind.
    serial: u64,
    /// Idempotent batches, to be submitted again.
    retried: Vec<Submission>,
    mode: StoreMode,
    preparation: Preparation,
}

const STREAMS: [&str; 6] = ["a", "b", "c", "order-1", "order-2", "a stream with a longer name"];

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mode = if rng.bool() { StoreMode::Mapped } else { StoreMode::Positioned };
        let preparation = if rng.bool() { Preparation::Populate } else { Preparation::DirectZeros };
        Self { rng, serial: 0, retried: Vec::new(), mode, preparation }
    }

    /// Options with small segments, so that the log rolls over often. The size may change.
    pub(crate) fn options(&mut self) -> Options {
        let kib = self.rng.choice([8, 8, 8, 12, 16]).unwrap_or(8);
        Log::options().segment_bytes(kib << 10).store_mode(self.mode).preparation(self.preparation)
    }

    /// What of the unsynced the next crash leaves.
    pub(crate) fn survivors(&mut self) -> Survivors {
        match self.rng.u8(0..10) {
            0 => Survivors::None,
            1 => Survivors::All,
            2 => Survivors::Weighted(self.rng.u8(1..100)),
            _ => Survivors::Random,
        }
    }

    /// The next step, given what is there.
    pub(crate) fn step(&mut self, oracle: &Oracle) -> Step {
        match self.rng.u8(0..20) {
            0 => Step::Sync,
            1 | 2 if !self.retried.is_empty() => {
                let which = self.rng.usize(..self.retried.len());
                Step::Append(self.retried[which].clone())
            }
            3 => Step::Append(self.check(oracle)),
            _ => Step::Append(self.batch(oracle)),
        }
    }

    /// Does one step, and lets the model see what became of it.
    pub(crate) fn run(&mut self, log: &Log, oracle: &mut Oracle) {
        match self.step(oracle) {
            Step::Append(submission) => {
                let answer = log.append(submission.batch());
                oracle.answered(&submission, &answer);
            }
            Step::Sync => {
                if log.sync().is_ok() {
                    oracle.synced();
                }
            }
        }
    }

    fn check(&mut self, oracle: &Oracle) -> Submission {
        let expectations = vec![self.expectation(oracle, None)];
        let durability = self.durability();
        Submission { events: Vec::new(), expectations, durability, idempotent: false }
    }

    fn batch(&mut self, oracle: &Oracle) -> Submission {
        let count = if self.rng.u8(0..4) == 0 { self.rng.usize(1..=8) } else { 1 };
        let idempotent = self.rng.u8(0..4) == 0;
        let events: Vec<_> = (0..count).map(|_| self.event(idempotent)).collect();
        let mut expectations = Vec::new();
        if idempotent {
            // Right, and so that it tells where the batch goes.
            let stream = events[0].stream.clone();
            let head = oracle.heads().get(&*stream).copied();
            let expected =
                head.map_or(ExpectedVersion::NoStream, |head| ExpectedVersion::Exact(head.version));
            expectations.push((stream, expected));
        } else {
            for _ in 0..self.rng.usize(0..3) {
                let more = self.expectation(oracle, Some(&events[0].stream));
                if !expectations.iter().any(|(stream, _)| *stream == more.0) {
                    expectations.push(more);
                }
            }
        }
        let durability = self.durability();
        let submission = Submission { events, expectations, durability, idempotent };
        if idempotent {
            self.retried.push(submission.clone());
        }
        submission
    }

    fn event(&mut self, with_id: bool) -> Submitted {
        self.serial += 1;
        let length = match self.rng.u8(0..4) {
            0 => self.rng.usize(0..2000),
            1 => 0,
            _ => self.rng.usize(0..200),
        };
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(8 + length, self.serial as u8);
        let stream = self.rng.choice(STREAMS).unwrap_or("a").to_owned();
        let id = with_id.then(|| EventId::from(u128::from(self.serial)));
        Submitted { stream, id, payload }
    }

    /// Mostly right, at times not.
    fn expectation(&mut self, oracle: &Oracle, written: Option<&str>) -> (String, ExpectedVersion) {
        let stream = match written {
            Some(written) if self.rng.bool() => written,
            _ => self.rng.choice(STREAMS).unwrap_or("a"),
        };
        let head = oracle.heads().get(stream).copied();
        let expected = match (head, self.rng.u8(0..8)) {
            (_, 0) => ExpectedVersion::Any,
            (_, 1) => ExpectedVersion::NoStream,
            (_, 2) => ExpectedVersion::Exact(Version::new(self.rng.u64(0..5))),
            (_, 3) => ExpectedVersion::LastPosition(Position::new(self.rng.u64(0..20))),
            (None, _) => ExpectedVersion::NoStream,
            (Some(_), 4) => ExpectedVersion::StreamExists,
            (Some(head), 5) => ExpectedVersion::LastPosition(head.position),
            (Some(head), _) => ExpectedVersion::Exact(head.version),
        };
        (stream.to_owned(), expected)
    }

    fn durability(&mut self) -> Durability {
        if self.rng.u8(0..3) == 0 { Durability::Sync } else { Durability::Buffered }
    }
}

/// Opens the log; `None` if the power was cut meanwhile, or a call failed where some are made to.
/// Nothing else may stand against it.
pub(crate) fn open_unless_failed(disk: &SimDisk, options: Options, faults: bool) -> Option<Log> {
    match Log::open_simulated(disk, options) {
        Ok(log) => Some(log),
        Err(OpenError::Io(error)) if faults || is_machine_down(error.io_error()) => None,
        Err(error) => panic!("opening after a legal crash was refused: {error}"),
    }
}

/// A call that fails at some place, once or for good.
pub(crate) fn fault(rng: &mut Rng) -> FaultPlan {
    let operations = [
        Operation::Create,
        Operation::Open,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDirectory,
        Operation::Length,
        Operation::Prepare,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::Sync,
        Operation::Sync,
        Operation::Map,
        Operation::Append,
    ];
    let operation = rng.choice(operations).unwrap_or(Operation::Sync);
    let errno = rng.choice([Errno::Io, Errno::NoSpace, Errno::TooManyFiles]).unwrap_or(Errno::Io);
    let most = if rng.bool() { 8 } else { 60 };
    let plan = FaultPlan::new(operation, errno).nth(rng.u64(1..most));
    if rng.u8(0..3) == 0 { plan.from_then_on() } else { plan }
}

/// Looks at the log for reading only, which shows what opening it would find, and changes nothing.
/// Answers where the log ends; `None`: there is none yet.
pub(crate) fn look(disk: &SimDisk, oracle: &Oracle, killed: bool) -> Option<Position> {
    match Log::open_simulated_read_only(disk, Log::options()) {
        Ok(log) => {
            assert_eq!(log.recovery_report().damage, None, "a legal crash is no damage");
            oracle.clone().reopened(&log, killed);
            Some(log.end())
        }
        Err(OpenError::NoLog { .. }) => {
            assert_eq!(oracle.durable(), 0, "no log, but something was durable");
            None
        }
        Err(error) => panic!("reading after a legal crash was refused: {error}"),
    }
}

/// Runs `case` for many seeds: the first `cases`, or as many as `QUIPU_CASES` says; from
/// `QUIPU_SEED` on, which is then the only one unless a number is said too. The seed of a failure
/// is printed.
pub(crate) fn for_seeds(cases: u64, case: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (first, cases) = match (number("QUIPU_SEED"), number("QUIPU_CASES")) {
        (Some(seed), several) => (seed, several.unwrap_or(1)),
        (None, several) => (0, several.unwrap_or(cases)),
    };
    for seed in first..first + cases {
        if let Err(panic) = std::panic::catch_unwind(|| case(seed)) {
            eprintln!("failed with the seed {seed}; run it alone with QUIPU_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
