//! Runs a script, and explores every place of it.
//!
//! Owns: [`run`]. May call: explore, check, the model, the engine on the simulated disk.

use std::sync::{Arc, Mutex};

use quipu::sim::{SimDisk, Survivors};
use quipu::{
    AppendError, BackupError, Batch, Event, EventId, ExpectedVersion, Log, OpenError, Options,
    Outcome, Position, TruncateError, Version,
};

use crate::backups;
use crate::calls::{Call, Names, Watcher};
use crate::check::{begins, found, thorough};
use crate::effort::Effort;
use crate::explore::Explorer;
use crate::image::Image;
use crate::model::{Begin, Model, Submission, Submitted};
use crate::readers::Readers;
use crate::script::{Draft, End, Expectation, Life, Misuse, Part, Rise, Script, Step};
use crate::sought::{Since, Sought, Traits};
use crate::survivors::{describe, sample};
use crate::told::Told;
use crate::violation::{Found, Violation};

/// What a script leaves behind.
#[derive(Debug)]
pub struct Left {
    /// The machine.
    pub disk: SimDisk,
    /// What must be on it.
    pub model: Model,
    /// Options that suit it.
    pub options: Options,
}

/// Runs a script to the end of its lives, and explores nothing.
///
/// # Errors
/// The promise that is broken, and how to get there.
pub fn play(script: &Script) -> Result<Left, Found> {
    let mut explorer = Explorer::new(script.disk_seed, Effort::nothing());
    let mut runner = Runner::new(script, &mut explorer);
    runner.lives()?;
    let options = runner.options(2);
    Ok(Left { disk: runner.disk, model: runner.model, options })
}

/// Runs a script to the end of its lives, explores nothing, and gives all calls on the disk.
///
/// # Errors
/// The promise that is broken, and how to get there.
pub fn trace(script: &Script, names: &Arc<Mutex<Names>>) -> Result<Vec<Call>, Found> {
    let mut explorer = Explorer::new(script.disk_seed, Effort::nothing());
    let mut runner = Runner::new(script, &mut explorer);
    let watcher = Watcher::new(names);
    runner.watcher = Some(watcher.clone());
    runner.lives()?;
    Ok(watcher.take())
}

/// Runs a script to its end, and once more without mishaps; explores every place.
///
/// # Errors
/// The promise that is broken, and how to get there.
pub fn run(script: &Script, explorer: &mut Explorer) -> Result<(), Found> {
    explorer.tally.scripts += 1;
    let mut runner = Runner::new(script, explorer);
    runner.lives()?;
    runner.last_life().map_err(|found| found.within("in the last life, without mishaps"))
}

struct Runner<'a> {
    script: &'a Script,
    explorer: &'a mut Explorer,
    disk: SimDisk,
    model: Model,
    told: Told,
    readers: Readers,
    /// Makes every payload one of its kind.
    serial: u64,
    /// Idempotent batches, to be submitted again.
    repeated: Vec<Submission>,
    watcher: Option<Watcher>,
    /// Which life it is, from 0.
    number: usize,
    /// Whether calls are made to fail in it.
    may_fail: bool,
}

impl<'a> Runner<'a> {
    fn new(script: &'a Script, explorer: &'a mut Explorer) -> Self {
        let disk = SimDisk::new(script.disk_seed);
        disk.keep_history();
        Self {
            script,
            explorer,
            disk,
            model: Model::default(),
            told: Told::default(),
            readers: Readers::default(),
            serial: 0,
            repeated: Vec::new(),
            watcher: None,
            number: 0,
            may_fail: false,
        }
    }

    fn lives(&mut self) -> Result<(), Found> {
        for (number, life) in self.script.lives.iter().enumerate() {
            self.number = number;
            self.life(life).map_err(|found| found.within(format!("in life {number}")))?;
        }
        Ok(())
    }

    fn life(&mut self, life: &Life) -> Result<(), Found> {
        let options = self.options(life.segment_pages);
        self.watch();
        life.mishaps.iter().for_each(|mishap| mishap.plan(&self.disk));
        let may_fail = !life.mishaps.is_empty();
        self.told.begin(may_fail);
        self.may_fail = may_fail;
        let Some(log) = self.open(&options, may_fail)? else {
            self.readers.writer_ended(&self.model, true, &mut self.explorer.tally.coverage)?;
            self.disk.heal();
            self.disk.set_capacity(None);
            self.disk = self.disk.restart_process();
            return Ok(());
        };
        self.readers.opened(&self.disk, &log, &options)?;
        for (number, step) in life.steps.iter().enumerate() {
            self.step(&log, step, &options)
                .and_then(|()| self.look_beside(&log, !may_fail))
                .map_err(|found| found.within(format!("in step {number}: {step}")))?;
        }
        let acknowledged = self.model.acknowledged();
        thorough(&log, &self.model, acknowledged)?;
        self.end(log, life.end, &options)
            .map_err(|found| found.within(format!("at the end: {}", life.end)))?;
        let machine_up = life.end != End::PowerCut;
        self.readers.writer_ended(&self.model, machine_up, &mut self.explorer.tally.coverage)?;
        self.disk.heal();
        self.disk.set_capacity(None);
        Ok(())
    }

    /// From here on calls are taken down, if anybody wants them.
    fn watch(&self) {
        if let Some(watcher) = self.watcher.clone() {
            let life = self.number;
            self.disk.observe(move |operation| watcher.see(life, operation));
        }
    }

    /// What is left can be worked with, and closed; and then it stays.
    fn last_life(&mut self) -> Result<(), Found> {
        let options = self.options(2);
        self.told.begin(false);
        let log = self.open(&options, false)?.ok_or_else(|| refused("it failed"))?;
        self.readers.opened(&self.disk, &log, &options)?;
        for stream in 0..3 {
            let events = vec![self.event(stream, Traits { kind: stream, tags: 1 }, 100, false)];
            let step = Submission {
                events,
                expectations: Vec::new(),
                queries: Vec::new(),
                checkpoints: vec![(stream, self.risen(stream, Rise::By(1)))],
                durability: quipu::Durability::Sync,
                idempotent: false,
            };
            let answer = log.append(step.batch());
            self.explore(&self.model.with_in_flight(&step), &options)?;
            self.model.answered(&step, &answer)?;
            self.look_beside(&log, true)?;
            if let Err(error) = answer {
                return Err(Violation::Answer(format!("it failed: {error}")).into());
            }
        }
        self.end(log, End::Close, &options)?;
        self.readers.writer_ended(&self.model, true, &mut self.explorer.tally.coverage)?;
        let disk = self.disk.reboot(&Survivors::None);
        let log = Log::open_simulated(&disk, options).map_err(refused)?;
        let count = found(&log, &self.model, self.model.history().len())?;
        if !log.recovery_report().clean_close {
            return Err(Violation::Reading("closed, and not found so".to_owned()).into());
        }
        thorough(&log, &self.model, count)?;
        Ok(())
    }

    /// `None`: a call was made to fail.
    fn open(&mut self, options: &Options, may_fail: bool) -> Result<Option<Log>, Found> {
        self.disk.record_crash_points(true);
        let opened = Log::open_simulated(&self.disk, options.clone());
        let before = self.model.clone();
        self.explore(&before, options).map_err(|found| found.within("while it is opened"))?;
        match opened {
            Ok(log) => {
                self.explorer.tally.coverage.opened(log.recovery_report());
                begins(&log, &self.model)?;
                let count = found(&log, &self.model, self.model.acknowledged())?;
                self.explorer.tally.note(count as u64);
                self.model.reopened(count);
                self.model.begins_at(log.first_available().as_u64());
                self.told.opened(&log)?;
                Ok(Some(log))
            }
            Err(error) => {
                self.explorer.tally.coverage.refused(&error);
                match error {
                    OpenError::Io(_) if may_fail => Ok(None),
                    error => Err(refused(error)),
                }
            }
        }
    }

    /// Has the readers beside the writer look.
    fn look_beside(&mut self, log: &Log, calm: bool) -> Result<(), Found> {
        let coverage = &mut self.explorer.tally.coverage;
        Ok(self.readers.look(&self.disk, (log, &self.model), calm, coverage)?)
    }

    /// Explores the places that the last call has passed.
    fn explore(&mut self, model: &Model, options: &Options) -> Result<(), Found> {
        for machine in self.disk.take_crash_points() {
            self.explorer.point(&machine, model, options)?;
        }
        Ok(())
    }

    fn step(&mut self, log: &Log, step: &Step, options: &Options) -> Result<(), Found> {
        match step {
            Step::Append(draft) => {
                let submission = self.new_submission(draft);
                self.append(log, &submission, options)
            }
            Step::Again(which) => match self.repeated(*which) {
                Some(submission) => self.append(log, &submission, options),
                None => Ok(()),
            },
            Step::Together(parts) => {
                let submissions = self.planned(parts);
                self.append_together(log, &submissions, options)
            }
            Step::Sync => {
                let answer = log.sync();
                self.explore(&self.model.clone(), options)?;
                self.told.synced(log, answer.as_ref().err())?;
                match answer {
                    Ok(_) => self.model.synced(),
                    Err(error) => self.explorer.tally.coverage.not_acknowledged(&error),
                }
                Ok(())
            }
            Step::Quiet => {
                log.be_quiet();
                self.explore(&self.model.clone(), options)
            }
            Step::Truncate(events) => self.truncate(log, *events, options),
            Step::Room(pages) => {
                let room = |pages: u8| self.disk.used() + u64::from(pages) * PAGE_BYTES;
                self.disk.set_capacity(pages.map(room));
                Ok(())
            }
            Step::Backup { copies } => self.back_up(log, *copies, options),
            Step::Misuse(misuse) => self.misuse(log, *misuse),
        }
    }

    fn back_up(&mut self, log: &Log, copies: bool, options: &Options) -> Result<(), Found> {
        let count = self.model.acknowledged();
        self.explorer.backups.begin(count);
        let answer = log.backup_simulated(&backups::folder(&self.disk), &backups::how(copies));
        self.explore(&self.model.clone(), options)?;
        if !matches!(answer, Err(BackupError::NotSynced(_))) {
            // The log was synced first of all.
            self.told.synced(log, None)?;
            self.model.synced();
        }
        let coverage = &mut self.explorer.tally.coverage;
        match answer {
            Ok(report) => {
                coverage.backed_up(&report);
                let end = self.model.end_of(count);
                if report.end.as_u64() != end {
                    let what = format!("a backup up to {}, not {end}", report.end);
                    return Err(Violation::Answer(what).into());
                }
                self.explorer.backups.finish();
            }
            Err(error) => {
                coverage.not_backed_up(&error);
                let is_full = matches!(&error, BackupError::Io(error) if error.is_full());
                if !self.may_fail && !is_full {
                    return Err(Violation::Answer(format!("a backup: {error}")).into());
                }
            }
        }
        if !self.may_fail {
            self.explorer.backups.check(&self.disk, &self.model, coverage)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        log: &Log,
        submission: &Submission,
        options: &Options,
    ) -> Result<(), Found> {
        let before = log.synced_end();
        let answer = log.append(submission.batch());
        self.explore(&self.model.with_in_flight(submission), options)?;
        if let Err(error) = &answer {
            self.explorer.tally.coverage.not_acknowledged(error);
        }
        self.model.answered(submission, &answer)?;
        Ok(self.told.answered(log, before, submission, &answer)?)
    }

    /// Drops the front of the log, as far as it can be dropped.
    fn truncate(&mut self, log: &Log, events: u8, options: &Options) -> Result<(), Found> {
        let position = log.end().as_u64().saturating_sub(u64::from(events));
        let (before, durable) = (log.first_available(), log.synced_end().as_u64());
        let planned = log.would_truncate_before(Position::new(position));
        let planned = planned.map_err(|error| Violation::Answer(error.to_string()))?;
        let first = planned.first_available.as_u64();
        let image = Image::of(&self.disk);
        let batches = image.batches_before(first, |begin| self.model.batches_before(begin));
        let begin = Begin { position: first, batches };
        let is_right = planned.segments == 0 || first <= position && first < durable;
        if !is_right || planned.events != first - before.as_u64() {
            let what = format!("{planned:?} of {position}, durable up to {durable}");
            return Err(Violation::Answer(what).into());
        }
        let mut laggard = log.subscribe(before).start();
        let answer = log.truncate_before(Position::new(position));
        let on_its_way = match planned.segments {
            0 => self.model.clone(),
            _ => self.model.with_truncation(begin),
        };
        self.explore(&on_its_way, options)?;
        self.explorer.tally.coverage.truncated(&answer);
        self.told.truncated(answer.as_ref().err())?;
        let begins = log.first_available();
        match answer {
            Ok(dropped) => {
                let is_told =
                    dropped.segments == planned.segments && dropped.events == planned.events;
                if !is_told || begins != planned.first_available {
                    let what = format!("{dropped:?}, planned {planned:?}, begins at {begins}");
                    return Err(Violation::Answer(what).into());
                }
                if dropped.segments > 0 {
                    self.model.truncated(begin);
                }
            }
            Err(error) if begins != before => {
                return Err(Violation::Answer(format!("begins at {begins}: {error}")).into());
            }
            // The name of its base may be there when the log is opened again.
            Err(TruncateError::Io(_)) => self.model = on_its_way,
            Err(_) => {}
        }
        let told = (&self.model, &mut self.explorer.tally.coverage);
        Ok(Readers::left_behind(log, &mut laggard, before, told)?)
    }

    fn append_together(
        &mut self,
        log: &Log,
        submissions: &[Submission],
        options: &Options,
    ) -> Result<(), Found> {
        let before = log.synced_end();
        let answers = log.append_together(submissions.iter().map(Submission::batch));
        if answers.len() != submissions.len() {
            let told = format!("{} of {} are told", answers.len(), submissions.len());
            return Err(Violation::Answer(told).into());
        }
        let told = submissions.iter().zip(&answers);
        // Any of them may be there, with all those in front.
        let mut in_flight = self.model.clone();
        for (submission, answer) in told.clone() {
            let may_be_there =
                answer.as_ref().err().is_none_or(|error| error.outcome() == Outcome::Unknown);
            if may_be_there {
                in_flight = in_flight.with_in_flight(submission);
            }
        }
        self.explore(&in_flight, options)?;
        for (number, (submission, answer)) in told.enumerate() {
            if let Err(error) = answer {
                self.explorer.tally.coverage.not_acknowledged(error);
            }
            self.model
                .answered(submission, answer)
                .map_err(|violation| Found::from(violation).within(format!("in part {number}")))?;
        }
        let answers = submissions.iter().zip(&answers);
        Ok(self.told.answered_together(log, before, answers)?)
    }

    fn misuse(&mut self, log: &Log, misuse: Misuse) -> Result<(), Found> {
        let coverage = &mut self.explorer.tally.coverage;
        let long = "x".repeat(1025);
        let append = |batch: Batch| log.append(batch).err();
        let event = || Event::new("T", "");
        let told = match misuse {
            Misuse::OpenTwice | Misuse::Option => {
                let pages = if misuse == Misuse::Option { 1 } else { 2 };
                let options = Log::options().segment_bytes(pages * PAGE_BYTES);
                let refusal = Log::open_simulated(&self.disk, options).err();
                if let Some(refusal) = &refusal {
                    coverage.refused(refusal);
                }
                let is_right = matches!(
                    (misuse, &refusal),
                    (Misuse::OpenTwice, Some(OpenError::InUse { .. } | OpenError::Io(_)))
                        | (Misuse::Option, Some(OpenError::Option { .. }))
                );
                return match is_right {
                    true => Ok(()),
                    false => Err(Violation::Answer(format!("{misuse:?}: {refusal:?}")).into()),
                };
            }
            Misuse::WriteReadOnly => {
                match Log::open_simulated_read_only(&self.disk, Log::options()) {
                    Ok(reader) => reader.append(Batch::new().event("a", event())).err(),
                    Err(_) => return Ok(()),
                }
            }
            Misuse::Empty => append(Batch::new()),
            Misuse::Contradiction => append(
                Batch::new()
                    .expect("a", ExpectedVersion::NoStream)
                    .expect("a", ExpectedVersion::StreamExists)
                    .event("a", event()),
            ),
            Misuse::TwoPositions => append(
                Batch::new()
                    .checkpoint("a", quipu::Position::new(u64::MAX))
                    .checkpoint("a", quipu::Position::ZERO)
                    .event("a", event()),
            ),
            Misuse::TooLarge => append(Batch::new().event("a", Event::new("T", vec![0; 1 << 20]))),
            Misuse::LongName => append(Batch::new().event(long, event())),
            Misuse::IdempotentTooLate => append(Batch::new().event("a", event()).idempotent()),
        };
        if let Some(error) = &told {
            coverage.not_acknowledged(error);
        }
        let is_right = match (misuse, &told) {
            (Misuse::TooLarge, Some(AppendError::TooLarge { .. })) => true,
            (Misuse::WriteReadOnly, Some(AppendError::ReadOnly)) => true,
            (Misuse::TooLarge | Misuse::WriteReadOnly, _) => false,
            (_, told) => matches!(told, Some(AppendError::InvalidBatch(_))),
        };
        match is_right {
            true => Ok(()),
            false => Err(Violation::Answer(format!("{misuse:?}: {told:?}")).into()),
        }
    }

    fn end(&mut self, log: Log, end: End, options: &Options) -> Result<(), Found> {
        match end {
            End::Close => self.close(log, options)?,
            End::Kill => {
                self.disk = self.disk.restart_process();
                self.explorer.at_rest(&self.disk, &self.model, options)?;
            }
            End::PowerCut => {
                let in_flight = self.disk.in_flight();
                let chosen = sample(&in_flight, self.explorer.rng());
                self.explorer.tally.note(describe(&in_flight, &chosen).len() as u64);
                self.disk = self.disk.reboot(&Survivors::Chosen(chosen));
                self.model.power_cut();
            }
        }
        Ok(())
    }

    fn close(&mut self, log: Log, options: &Options) -> Result<(), Found> {
        let closed = log.clone().close();
        self.explore(&self.model.clone(), options)?;
        let is_closed = closed.is_ok();
        match closed {
            Ok(()) => {
                self.model.synced();
                let after = log.append(Batch::new().event("a", Event::new("T", "")));
                let Err(error @ AppendError::Closed) = after else {
                    return Err(Violation::Answer(format!("when closed: {after:?}")).into());
                };
                self.explorer.tally.coverage.not_acknowledged(&error);
            }
            Err(error) => self.explorer.tally.coverage.not_acknowledged(&error),
        }
        self.disk = self.disk.restart_process();
        if is_closed {
            self.told.closed(&self.disk, options)?;
        }
        self.explorer.at_rest(&self.disk, &self.model, options)
    }

    fn options(&self, segment_pages: u64) -> Options {
        Log::options()
            .segment_bytes(segment_pages.max(2) * PAGE_BYTES)
            .store_mode(self.script.mode)
            .preparation(self.script.preparation)
            // Nobody waits in it here, and a long one takes time to make.
            .queue_batches_max(1)
    }

    /// An idempotent batch of before, counted round.
    fn repeated(&self, which: u8) -> Option<Submission> {
        self.repeated.get(usize::from(which) % self.repeated.len().max(1)).cloned()
    }

    /// Makes a group's parts batches, each given that those in front are there.
    fn planned(&mut self, parts: &[Part]) -> Vec<Submission> {
        let before = self.model.clone();
        let mut planned = Vec::new();
        for part in parts {
            let submission = match part {
                Part::New(draft) => Some(self.new_submission(draft)),
                Part::Again(which) => self.repeated(*which),
            };
            if let Some(submission) = submission {
                self.model = self.model.with_in_flight(&submission);
                planned.push(submission);
            }
        }
        self.model = before;
        planned
    }

    /// Makes a draft a batch, and keeps it if it may be repeated.
    fn new_submission(&mut self, draft: &Draft) -> Submission {
        let submission = self.submission(draft);
        if submission.idempotent {
            self.repeated.push(submission.clone());
        }
        submission
    }

    /// Makes a draft a batch, given what is there.
    fn submission(&mut self, draft: &Draft) -> Submission {
        let Draft { events, expectations, queries, checkpoints, durability, idempotent } = draft;
        let expected = |(stream, expectation): &(u8, Expectation)| {
            (*stream, self.expected(*stream, *expectation))
        };
        let expectations = expectations.iter().map(expected).collect();
        let event = |event: &crate::script::DraftEvent| {
            self.event(event.stream, event.traits, event.payload_bytes, *idempotent)
        };
        let events = events.iter().map(event).collect();
        let since =
            |(sought, since): &(Sought, Since)| (*sought, self.model.since(*sought, *since));
        let queries = queries.iter().map(since).collect();
        let risen = |(number, rise): &(u8, Rise)| (*number, self.risen(*number, *rise));
        let checkpoints = checkpoints.iter().map(risen).collect();
        let (durability, idempotent) = (*durability, *idempotent);
        Submission { events, expectations, queries, checkpoints, durability, idempotent }
    }

    /// What a named checkpoint is to be set to.
    fn risen(&self, number: u8, rise: Rise) -> u64 {
        match (rise, self.model.checkpoint(number)) {
            (Rise::By(by), now) => now.unwrap_or(0) + u64::from(by),
            (Rise::Same, now) => now.unwrap_or(0),
            (Rise::Back, now) => now.unwrap_or(0).saturating_sub(1),
        }
    }

    fn event(
        &mut self,
        stream: u8,
        traits: Traits,
        payload_bytes: u16,
        with_id: bool,
    ) -> Submitted {
        self.serial += 1;
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(8 + usize::from(payload_bytes), self.serial as u8);
        let id = with_id.then(|| EventId::from(u128::from(self.serial)));
        Submitted { stream, traits, id, payload }
    }

    fn expected(&self, stream: u8, expectation: Expectation) -> ExpectedVersion {
        let head = self.model.head(stream);
        match (expectation, head) {
            (Expectation::Any, _) => ExpectedVersion::Any,
            (Expectation::Exists, _) => ExpectedVersion::StreamExists,
            (Expectation::Exact(version), _) => {
                ExpectedVersion::Exact(Version::new(u64::from(version)))
            }
            (Expectation::LastPosition(position), _) => {
                ExpectedVersion::LastPosition(quipu::Position::new(u64::from(position)))
            }
            (Expectation::NoStream, _) | (_, None) => ExpectedVersion::NoStream,
            (Expectation::Right, Some(head)) => ExpectedVersion::Exact(head.version),
            (Expectation::RightPosition, Some(head)) => {
                ExpectedVersion::LastPosition(head.position)
            }
        }
    }
}

fn refused(error: impl ToString) -> Found {
    Violation::Refused(error.to_string()).into()
}

/// The unit of segments and of room on the disk.
const PAGE_BYTES: u64 = quipu::sim::PAGE_BYTES as u64;
