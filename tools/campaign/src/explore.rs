//! From one place in a run: what the log is after a crash there, for every choice of what is left.
//!
//! Owns: [`Explorer`]. May call: check, the model, the engine on the simulated disk.
//!
//! ```text
//!  machine before an effect --+-- power cut, subset 1 --> recovery --> check
//!                             +-- power cut, subset 2 --> recovery --> check --> appends, cut,
//!                             check
//!                             |                              |
//!                             |                 power cut in the middle of it --> recovery -->
//!                             check
//!                             |                                                      |
//!                             |                                        and in the middle of that
//!                             ... +-- process killed ------> recovery --> check
//!                             +-- a reader comes ------> what it is shown outlasts all of these
//! ```

use fastrand::Rng;
use quipu::sim::{InFlight, SimDisk, Survivors};
use quipu::{Durability, Log, OpenError, Options};

use crate::backups::{self, Backups};
use crate::check::{begins, found, thorough};
use crate::decay::AtRest;
use crate::draw::Draw;
use crate::effort::Effort;
use crate::model::{Model, Submission, Submitted};
use crate::script::{CHECKPOINTS, STREAMS};
use crate::sought::{Sought, Traits};
use crate::survivors::{Subsets, describe, sample};
use crate::tally::Tally;
use crate::violation::{Found, Violation};

/// Tries what may become of a log.
#[derive(Debug)]
pub struct Explorer {
    rng: Rng,
    effort: Effort,
    /// What has been tried.
    pub tally: Tally,
    /// What is in the backup's folder.
    pub backups: Backups,
}

/// How deep in crashes of recoveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Run,
    Recovery,
    RecoveryOfThat,
}

impl Explorer {
    /// One whose choices come from `seed`.
    #[must_use]
    pub fn new(seed: u64, effort: Effort) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            effort,
            tally: Tally::default(),
            backups: Backups::default(),
        }
    }

    /// The source of choices.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Tries all that may become of the log if the power is cut, or the process killed, now.
    ///
    /// # Errors
    /// The promise that is broken, and how to get there.
    pub fn point(
        &mut self,
        machine: &SimDisk,
        model: &Model,
        options: &Options,
    ) -> Result<(), Found> {
        let within =
            |found: Found| found.within(format!("crash before effect {}", machine.effects()));
        let in_flight = machine.in_flight();
        let mut subsets = Subsets::new(&in_flight, self.effort.subsets_max, self.effort.sampled);
        self.tally.crash_points += 1;
        self.tally.tried_wholly += u64::from(subsets.is_all());
        let shown = match self.rng.one_in(self.effort.beside_one_in) {
            true => self.look_beside(machine, model, options).map_err(within)?,
            false => 0,
        };
        while let Some(chosen) = subsets.next(&mut self.rng) {
            let survivors = Survivors::Chosen(chosen);
            let disk = machine.if_rebooted(&survivors);
            let least = model.durable().max(shown);
            self.state(&disk, (model, least), options, Depth::Run).map_err(|error| {
                let Survivors::Chosen(chosen) = &survivors else { return error };
                within(error.within(describe(&in_flight, chosen)))
            })?;
        }
        if self.rng.one_in(self.effort.kill_one_in) {
            self.tally.kills += 1;
            let disk = machine.restart_process();
            let least = model.acknowledged().max(shown);
            self.state(&disk, (model, least), options, Depth::Run)
                .map_err(|error| within(error.within("the process is killed")))?;
        }
        Ok(())
    }

    /// Damages a log at rest in many ways.
    ///
    /// # Errors
    /// Damage that was not told, or a lie.
    pub fn at_rest(
        &mut self,
        machine: &SimDisk,
        model: &Model,
        options: &Options,
    ) -> Result<(), Found> {
        let log = AtRest::new(machine, model, options.clone());
        for _ in 0..self.effort.decays {
            let decays = log.draw(&mut self.rng);
            log.check(&decays, &mut self.tally)?;
        }
        Ok(())
    }

    /// One state: recovery, check, and perhaps more.
    fn state(
        &mut self,
        disk: &SimDisk,
        (model, least): (&Model, usize),
        options: &Options,
        depth: Depth,
    ) -> Result<(), Found> {
        self.tally.states += 1;
        if depth == Depth::Run && has_leftovers(disk) && self.rng.one_in(self.effort.verify_one_in)
        {
            self.without_room(disk, (model, least), options)
                .map_err(|found| found.within("the disk is full when the log is opened"))?;
        }
        // A full disk may refuse what follows, which is another story.
        disk.set_capacity(None);
        let seen = match depth {
            Depth::Run if self.rng.one_in(self.effort.look_one_in) => {
                Some(self.look(disk, (model, least))?)
            }
            _ => None,
        };
        let crashes_again = match depth {
            Depth::Run => self.rng.one_in(self.effort.again_one_in),
            Depth::Recovery => true,
            Depth::RecoveryOfThat => false,
        };
        disk.record_crash_points(crashes_again);
        let verify = self.rng.one_in(self.effort.verify_one_in);
        let options = &options.clone().verify_on_open(verify);
        let is_backed_up = self.backups.are_begun()
            || (self.backups.are_any() && self.rng.one_in(self.effort.backup_one_in));
        let backup = is_backed_up.then(|| backups::files(&backups::folder(disk)));
        let log = Log::open_simulated(disk, options.clone()).map_err(refused)?;
        let points = disk.take_crash_points();
        disk.record_crash_points(false);
        let report = log.recovery_report();
        self.tally.coverage.opened(report);
        self.tally.note(report.bytes_cut);
        self.tally.note(report.end.offset.as_u64());
        begins(&log, model)?;
        let count = found(&log, model, least)?;
        self.tally.note(count as u64);
        if seen.is_some_and(|seen| seen != count) {
            let what = format!("{seen:?} batches for reading only, {count} for writing");
            return Err(Violation::Reading(what).into());
        }
        if self.rng.one_in(self.effort.thorough_one_in) {
            thorough(&log, model, count)?;
        }
        if let Some(before) = backup {
            self.look_at_backup(disk, &before, (model, count), &log, options)?;
        }
        if depth == Depth::Run && self.rng.one_in(self.effort.go_on_one_in) {
            self.go_on(disk, log, (model, count), options)?;
        } else {
            // The cheapest end.
            disk.crash();
        }
        self.again(&points, model, options, depth)
    }

    /// What a truncation has left does not keep the log from being opened where there is no room, nor
    /// does a power cut behind that.
    fn without_room(
        &mut self,
        disk: &SimDisk,
        (model, least): (&Model, usize),
        options: &Options,
    ) -> Result<(), Found> {
        // A machine of its own: this one goes on below.
        let full = disk.if_rebooted(&Survivors::All);
        full.set_capacity(Some(full.used()));
        let log = match Log::open_simulated(&full, options.clone()) {
            // A segment had to be prepared.
            Err(OpenError::Io(error)) if error.is_full() && !error.file().contains(".base") => {
                return Ok(());
            }
            opened => opened.map_err(refused)?,
        };
        self.tally.coverage.opened(log.recovery_report());
        begins(&log, model)?;
        let count = found(&log, model, least)?;
        let chosen = sample(&full.in_flight(), &mut self.rng);
        let cut = full.reboot(&Survivors::Chosen(chosen));
        drop(log);
        cut.set_capacity(None);
        let log = Log::open_simulated(&cut, options.clone()).map_err(refused)?;
        begins(&log, model)?;
        // What the first opening has accepted is durable.
        found(&log, model, count)?;
        Ok(())
    }

    /// The log was opened beside its backup, which held these files before.
    fn look_at_backup(
        &mut self,
        disk: &SimDisk,
        before: &[(String, Option<Vec<u8>>)],
        (model, count): (&Model, usize),
        log: &Log,
        options: &Options,
    ) -> Result<(), Found> {
        if backups::files(&backups::folder(disk)) != before {
            return Err(Violation::Answer("opening changes the backup".to_owned()).into());
        }
        self.backups.check(disk, model, &mut self.tally.coverage)?;
        if self.rng.one_in(self.effort.backup_one_in) {
            self.tally.backups += 1;
            Backups::go_on(disk, log, (model, count), options, &mut self.rng)?;
        }
        Ok(())
    }

    /// The power is cut in the middle of a recovery.
    fn again(
        &mut self,
        points: &[SimDisk],
        model: &Model,
        options: &Options,
        depth: Depth,
    ) -> Result<(), Found> {
        if depth == Depth::Run && self.effort.everywhere_in_recovery {
            for machine in points {
                let in_flight = machine.in_flight();
                let mut subsets = Subsets::new(&in_flight, IN_RECOVERY_MAX, IN_RECOVERY_SAMPLED);
                while let Some(chosen) = subsets.next(&mut self.rng) {
                    self.once_more((machine, &in_flight, chosen), model, options, depth)?;
                }
            }
            return Ok(());
        }
        let Some(machine) = self.rng.choice(points) else { return Ok(()) };
        let in_flight = machine.in_flight();
        let chosen = sample(&in_flight, &mut self.rng);
        self.once_more((machine, &in_flight, chosen), model, options, depth)
    }

    /// The power is cut in the middle of a recovery, at one place, with one subset.
    fn once_more(
        &mut self,
        (machine, in_flight, chosen): (&SimDisk, &[InFlight], Vec<usize>),
        model: &Model,
        options: &Options,
        depth: Depth,
    ) -> Result<(), Found> {
        let deeper = match depth {
            Depth::Run => Depth::Recovery,
            Depth::Recovery | Depth::RecoveryOfThat => Depth::RecoveryOfThat,
        };
        match deeper {
            Depth::Recovery => self.tally.inside_recovery += 1,
            Depth::Run | Depth::RecoveryOfThat => self.tally.inside_that += 1,
        }
        let disk = machine.if_rebooted(&Survivors::Chosen(chosen.clone()));
        self.state(&disk, (model, model.durable()), options, deeper).map_err(|error| {
            let effects = machine.effects();
            let what = format!("crash before effect {effects} of the recovery");
            error.within(describe(in_flight, &chosen)).within(what)
        })
    }

    /// One who opens the log for reading now, in another process, while the writer is in the middle
    /// of something. Gives the number of batches that it is shown: they must outlast any power cut.
    fn look_beside(
        &mut self,
        machine: &SimDisk,
        model: &Model,
        options: &Options,
    ) -> Result<usize, Found> {
        let within = |found: Found| found.within("a reader beside the writer");
        let opened = Log::open_simulated_read_only(&machine.beside(), options.clone());
        let log = match opened {
            Err(OpenError::NoLog { .. }) => return Ok(0),
            opened => opened.map_err(refused).map_err(within)?,
        };
        if let Some(damage) = &log.recovery_report().damage {
            let what = format!("none was done, and yet: {damage}");
            return Err(within(Violation::Damage(what).into()));
        }
        self.tally.beside += 1;
        found(&log, model, 0).map_err(|violation| within(Found::from(violation)))
    }

    /// Reading only shows what opening finds, and changes nothing. Gives the number of batches.
    fn look(&mut self, disk: &SimDisk, (model, least): (&Model, usize)) -> Result<usize, Found> {
        let effects = disk.effects();
        let seen = match Log::open_simulated_read_only(disk, Log::options()) {
            Ok(log) => {
                if let Some(damage) = &log.recovery_report().damage {
                    return Err(
                        Violation::Damage(format!("none was done, and yet: {damage}")).into()
                    );
                }
                (found(&log, model, least)?, Some(log))
            }
            Err(OpenError::NoLog { .. }) if least == 0 => (0, None),
            Err(error) => return Err(refused(error)),
        };
        if disk.effects() != effects {
            return Err(Violation::Reading("reading only has changed the disk".to_owned()).into());
        }
        let (seen, log) = seen;
        if let Some(log) = log.filter(|_| self.rng.one_in(self.effort.backup_one_in)) {
            self.tally.backups += 1;
            Backups::of_a_reader(disk, &log, (model, seen), &mut self.rng)?;
        }
        Ok(seen)
    }

    /// What recovery has accepted stays, and so does what is appended behind it.
    fn go_on(
        &mut self,
        disk: &SimDisk,
        log: Log,
        (model, count): (&Model, usize),
        options: &Options,
    ) -> Result<(), Found> {
        self.tally.went_on += 1;
        let mut model = model.clone();
        model.reopened(count);
        model.begins_at(log.first_available().as_u64());
        for number in 0..self.rng.below(4) {
            let submission = self.small_batch(number, &model);
            let answer = log.append(submission.batch());
            let refusal = answer.as_ref().err().filter(|error| error.failed_queries().is_empty());
            let refusal = refusal.map(ToString::to_string);
            model.answered(&submission, &answer)?;
            if let Some(refusal) = refusal {
                let what = format!("an append after recovery failed: {refusal}");
                return Err(Violation::Answer(what).into());
            }
        }
        let in_flight = disk.in_flight();
        let chosen = sample(&in_flight, &mut self.rng);
        let next = disk.reboot(&Survivors::Chosen(chosen));
        drop(log);
        let within = |found: Found| found.within("appends went on, and the power is cut again");
        let log = Log::open_simulated(&next, options.clone()).map_err(refused).map_err(within)?;
        let count = found(&log, &model, model.durable())
            .map_err(|violation| within(Found::from(violation)))?;
        self.tally.note(count as u64);
        next.crash();
        Ok(())
    }

    fn small_batch(&mut self, number: u64, model: &Model) -> Submission {
        let (first, end) = (model.begin().position, model.end_of(model.history().len()));
        let checkpoints: Vec<(u8, u64)> = match self.rng.one_in(2) {
            true => {
                let number = self.rng.below(CHECKPOINTS.len() as u64) as u8;
                let by = self.rng.between(1, 3);
                vec![(number, model.checkpoint(number).unwrap_or(0) + by)]
            }
            false => vec![],
        };
        let least = u64::from(checkpoints.is_empty());
        let events = (0..self.rng.between(least, 2)).map(|_| Submitted {
            stream: self.rng.below(STREAMS.len() as u64) as u8,
            id: None,
            traits: Traits::draw(&mut self.rng),
            payload: [&b"went on"[..], &number.to_le_bytes(), &vec![7; self.rng.usize(0..300)]]
                .concat(),
        });
        let events = events.collect();
        let durability = if self.rng.one_in(3) { Durability::Buffered } else { Durability::Sync };
        let queries = match self.rng.one_in(2) {
            true => vec![(Sought::draw(&mut self.rng), self.rng.between(first, end + 1))],
            false => vec![],
        };
        let expectations = vec![];
        Submission { events, expectations, queries, checkpoints, durability, idempotent: false }
    }
}

/// At a place in a recovery all subsets are tried where there are no more than so many, else a
/// sample.
const IN_RECOVERY_MAX: u64 = 32;
const IN_RECOVERY_SAMPLED: u64 = 8;

/// Whether there are segments in front of a base.
fn has_leftovers(disk: &SimDisk) -> bool {
    let names: Vec<String> = disk.files().into_iter().map(|entry| entry.name).collect();
    let newest = names.iter().filter(|name| name.ends_with(".base")).max();
    newest.is_some_and(|newest| {
        names.iter().any(|name| name.ends_with(".seg") && name.get(..20) < newest.get(..20))
    })
}

fn refused(error: OpenError) -> Found {
    Violation::Refused(error.to_string()).into()
}
