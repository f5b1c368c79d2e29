//! Backups that a script takes: what must be in the folder that they go to, and what may be.
//!
//! Owns: [`Backups`]. May call: check, the model, the engine on the simulated disk. Whatever
//! becomes of the log, of its machine or of a backup that is under way: what is there is the last
//! backup that was finished, or says that it is not finished; and it can be brought up to date.
//! Neither log changes the other.

use fastrand::Rng;
use quipu::sim::SimDisk;
use quipu::{BackupError, BackupOptions, Batch, Event, Log, OpenError, Options};

use crate::check::found;
use crate::coverage::{Coverage, Row};
use crate::draw::Draw;
use crate::model::Model;
use crate::violation::Violation;

/// What is in the folder.
#[derive(Debug, Clone, Default)]
pub struct Backups {
    /// Batches in the last backup that is known to have come to its end.
    finished: Option<usize>,
    /// Batches in those that were begun since.
    begun: Vec<usize>,
}

/// Where a script's backups go.
#[must_use]
pub fn folder(disk: &SimDisk) -> SimDisk {
    disk.folder("backup")
}

/// Every file of a folder.
#[must_use]
pub fn files(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let names = disk.files().into_iter().map(|entry| entry.name);
    names.map(|name| (name.clone(), disk.read_file(&name))).collect()
}

impl Backups {
    /// One of so many batches is being made.
    pub fn begin(&mut self, batches: usize) {
        self.begun.push(batches);
    }

    /// The one that was begun last has come to its end.
    pub fn finish(&mut self) {
        self.finished = self.begun.last().copied();
        self.begun.clear();
    }

    /// Whether any was ever begun.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.finished.is_some() || !self.begun.is_empty()
    }

    /// Whether one may be there that is not finished.
    #[must_use]
    pub fn are_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Whether what is there can be.
    ///
    /// # Errors
    /// What is not so.
    pub fn check(
        &self,
        disk: &SimDisk,
        model: &Model,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        let mut count = |name| coverage.count(Row { table: "backup", name, branch: "" });
        let options = Log::options().verify_on_open(true);
        match Log::open_simulated_read_only(&folder(disk), options) {
            Ok(copy) => {
                if let Some(damage) = &copy.recovery_report().damage {
                    return Err(Violation::Damage(format!("a backup: {damage}")));
                }
                let there = found(&copy, model, 0)?;
                if self.finished != Some(there) && !self.begun.contains(&there) {
                    let what = format!("a backup of {there} batches, where {self:?} were made");
                    return Err(Violation::Reading(what));
                }
                count("is there");
                Ok(())
            }
            Err(OpenError::UnfinishedBackup { .. }) if self.are_begun() => {
                count("is unfinished");
                Ok(())
            }
            Err(OpenError::NoLog { .. }) if self.finished.is_none() => {
                count("is not there yet");
                Ok(())
            }
            Err(error) => Err(Violation::Refused(format!("a backup, {self:?}: {error}"))),
        }
    }

    /// A log that is open for reading only, whatever a crash has left of it, is backed up as it is
    /// shown.
    ///
    /// # Errors
    /// What is not so.
    pub fn of_a_reader(
        disk: &SimDisk,
        log: &Log,
        (model, batches): (&Model, usize),
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        let (folder, before) = (disk.folder("by a reader"), files(disk));
        log.backup_simulated(&folder, &how(rng.one_in(3)))
            .map_err(|error| Violation::Answer(format!("a reader's backup: {error}")))?;
        let options = Log::options().segment_bytes(8 << 10).verify_on_open(true);
        let copy = Log::open_simulated(&folder, options)
            .map_err(|error| Violation::Refused(format!("a reader's backup: {error}")))?;
        let there = found(&copy, model, batches)?;
        drop(copy);
        if there != batches || files(disk) != before {
            let what = format!("a reader's backup of {there} batches, of {batches} in the log");
            return Err(Violation::Reading(what));
        }
        Ok(())
    }

    /// The log, with so many batches, is backed up, whatever is there; then the backup is written
    /// to, and no byte of the log changes.
    ///
    /// # Errors
    /// What is not so.
    pub fn go_on(
        disk: &SimDisk,
        log: &Log,
        (model, batches): (&Model, usize),
        options: &Options,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        let folder = folder(disk);
        let how = how(rng.one_in(3));
        let made = |answer: Result<_, BackupError>| {
            answer.map_err(|error| Violation::Answer(format!("a backup: {error}")))
        };
        made(log.backup_simulated(&folder, &how))?;
        let (ours, theirs) = (files(disk), files(&folder));
        made(log.backup_simulated(&folder, &how))?;
        if files(&folder) != theirs {
            return Err(Violation::Answer("a backup of what is there changes it".to_owned()));
        }
        let options = options.clone().verify_on_open(true);
        let copy = Log::open_simulated(&folder, options)
            .map_err(|error| Violation::Refused(format!("a backup: {error}")))?;
        let there = found(&copy, model, batches)?;
        if there != batches || !copy.recovery_report().clean_close {
            let what = format!("a backup of {there} batches, where {batches} are in the log");
            return Err(Violation::Reading(what));
        }
        let own = copy.append(Batch::new().event("a", Event::new("T", vec![9; 1500])));
        own.map_err(|error| Violation::Answer(format!("an append to a backup: {error}")))?;
        drop(copy);
        if files(disk) != ours {
            return Err(Violation::Answer("an append to a backup changes the log".to_owned()));
        }
        match log.backup_simulated(&folder, &how) {
            Err(BackupError::Diverged { .. }) => Ok(()),
            other => Err(Violation::Answer(format!("a backup with more in it: {other:?}"))),
        }
    }
}

/// How a script makes its backups.
#[must_use]
pub fn how(copies: bool) -> BackupOptions {
    let options = BackupOptions::new();
    if copies { options.copies() } else { options }
}
