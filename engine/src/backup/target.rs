//! The directory that a backup goes to.
//!
//! Owns: [`Target`], [`There`]: what is there already, and whether it can be gone on with. May
//! call: frames, source, recovery's inventory, storage. [`Target::look`] changes nothing.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use quipu_format::sidecar::LogBase;
use quipu_format::{ByteOffset, ControlKind, Frame, FrameKind, Position, SegmentSeq, layout};

use super::frames::{Frames, Met};
use super::source::{Cut, Plan, Planned, Source, Whole};
use crate::error::{BackupError, OpenError};
use crate::recovery::inventory::{Found, HeaderState, Inventory};
use crate::recovery::plan::wrong_magic;
use crate::segment::name::{Named, UNFINISHED_BACKUP, base_names, parse};
use crate::storage::{Access, Directory, DirectoryLock, IoError, LockError};

/// A directory that nobody else writes to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) directory: Arc<dyn Directory>,
    _lock: Box<dyn DirectoryLock>,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct There {
    /// Segments that are as they are to be.
    pub(super) kept: BTreeSet<SegmentSeq>,
    /// Every name.
    pub(super) names: BTreeSet<String>,
    /// Files that are of no use.
    pub(super) useless: Vec<String>,
    /// Copies of the base that are as they are to be.
    base_copies: usize,
    is_unfinished: bool,
}

impl There {
    /// Whether nothing is left to be done.
    pub(super) fn is_finished(&self, plan: &Plan) -> bool {
        let all_kept = self.kept.len() == plan.whole.len() + 1;
        !self.is_unfinished && self.useless.is_empty() && all_kept && self.has_base(plan)
    }

    /// Whether the base is there, where there is to be one.
    pub(super) fn has_base(&self, plan: &Plan) -> bool {
        plan.base.is_none() || self.base_copies == 2
    }
}

impl Target {
    pub(super) fn lock(directory: Arc<dyn Directory>) -> Result<Self, BackupError> {
        match directory.lock() {
            Ok(lock) => Ok(Self { directory, _lock: lock }),
            Err(LockError::Held { pid }) => {
                Err(BackupError::InUse { directory: directory.name(), pid })
            }
            Err(LockError::Io(error)) => Err(IoError::new("lock", directory.name(), error).into()),
        }
    }

    /// What is there already. Refuses what is no backup of this log, or has gone another way.
    pub(super) fn look(&self, source: &Source, plan: &Plan) -> Result<There, BackupError> {
        let directory = &self.directory;
        let entries =
            directory.list().map_err(|error| IoError::new("list", directory.name(), error))?;
        let mut there = There::default();
        for entry in entries {
            let named = parse(&entry.name);
            let is_ours = OF_LOCKS.contains(&&*entry.name) || named != Named::Other;
            if !is_ours || !entry.is_file {
                return Err(BackupError::ForeignFile { file: self.path(&entry.name) });
            }
            match named {
                Named::Unfinished => there.useless.push(entry.name.clone()),
                Named::UnfinishedBackup => there.is_unfinished = true,
                // The log has dropped it since, or somebody has dropped more of the backup.
                Named::Segment(sequence) | Named::Sidecar(sequence) if sequence < plan.first() => {
                    there.useless.push(entry.name.clone());
                }
                Named::Base(_) => match self.is_base(&entry.name, plan)? {
                    true => there.base_copies += 1,
                    false => there.useless.push(entry.name.clone()),
                },
                _ => {}
            }
            there.names.insert(entry.name);
        }
        // Bases have been judged: one that has decayed is brought over again.
        let taken = Inventory::take_without_base(directory);
        let inventory = taken.map_err(|error| match error {
            OpenError::Io(error) => error,
            other => IoError::new("look at", directory.name(), io::Error::other(other)),
        })?;
        for found in &inventory.segments {
            self.judge(source, plan, (found, inventory.has_activated()), &mut there)?;
        }
        Ok(there)
    }

    /// Whether a file there is a copy of the base as it is to be. Refuses that of another log.
    fn is_base(&self, name: &str, plan: &Plan) -> Result<bool, BackupError> {
        let read = || -> io::Result<Vec<u8>> {
            let file = self.directory.open(name, Access::Read)?;
            let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            // No longer than one that is right: what decayed is brought over again.
            let most = plan.base.as_ref().map_or(layout::base::BYTES, |base| base.bytes.len());
            let mut bytes = vec![0; length.min(most + 1)];
            file.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| self.error("read", name, error))?;
        let ours = plan.last.segment.header().log_id;
        match LogBase::decode(&bytes) {
            Ok(base) if base.log_id() != ours => {
                let (directory, found) = (self.directory.name(), base.log_id());
                Err(BackupError::OtherLog { directory, expected: ours, found })
            }
            _ => Ok(plan.base.as_ref().is_some_and(|base| {
                base_names(base.first).iter().any(|right| right == name) && base.bytes == bytes
            })),
        }
    }

    /// Whether a segment there is kept, is in the way, or shows another log or another way.
    fn judge(
        &self,
        source: &Source,
        plan: &Plan,
        (found, others_are_known): (&Found, bool),
        there: &mut There,
    ) -> Result<(), BackupError> {
        let planned = plan.find(found.sequence);
        let foreign = || BackupError::ForeignFile { file: self.path(&found.name) };
        let header = match found.header {
            HeaderState::Activated(header) => header,
            HeaderState::Unused => {
                if planned.is_none() {
                    there.useless.push(found.name.clone());
                }
                return Ok(());
            }
            bad if wrong_magic(bad).is_some() || !others_are_known => return Err(foreign()),
            // A backup's own file that has decayed: it is brought over again.
            HeaderState::Bad(_) => return Ok(()),
        };
        let ours = plan.last.segment.header().log_id;
        if header.log_id != ours {
            let directory = self.directory.name();
            return Err(BackupError::OtherLog { directory, expected: ours, found: header.log_id });
        }
        let diverged = |position| BackupError::Diverged { file: self.path(&found.name), position };
        let Some(planned) = planned else {
            let is_in_front = found.sequence < plan.last.segment.sequence();
            return if is_in_front { Ok(()) } else { Err(diverged(header.base_position)) };
        };
        if header != *planned.header() {
            return Err(diverged(header.base_position));
        }
        if found.length != header.capacity {
            return Ok(());
        }
        let is_kept = match planned {
            Planned::Whole(whole) => self.has_seal(found, whole)?,
            Planned::Last(_) => false,
        };
        if is_kept || self.follow(source, found, &planned)?.map_err(diverged)? {
            there.kept.insert(found.sequence);
        }
        Ok(())
    }

    /// Whether the seal of a full segment stands there. It names all in front of it.
    fn has_seal(&self, found: &Found, whole: &Whole) -> Result<bool, IoError> {
        let length = layout::CONTROL_FRAME_BYTES as u64;
        let offset = ByteOffset::new(whole.sealed.seal_end.as_u64().saturating_sub(length));
        let mut bytes = [0; layout::CONTROL_FRAME_BYTES];
        let file = found.open()?;
        file.read_at(offset.as_u64(), &mut bytes)
            .map_err(|error| self.error("read", &found.name, error).at(offset.as_u64()))?;
        let frame = Frame::decode(&bytes, whole.segment.salt(), offset).ok().flatten();
        Ok(frame.is_some_and(|frame| {
            frame.header.kind == FrameKind::Control(ControlKind::Seal)
                && frame.commit_checksum() == whole.sealed.seal_checksum
        }))
    }

    /// Follows what is there and what the log holds side by side. `Err`: a batch is there that the
    /// log does not hold in that place, of this position. Else whether it ends just where the
    /// backup is to end, with a close frame.
    fn follow(
        &self,
        source: &Source,
        found: &Found,
        planned: &Planned<'_>,
    ) -> Result<Result<bool, Position>, IoError> {
        let theirs = found.open()?;
        let ours = source.open(&found.name)?;
        let mut theirs = Frames::new(&*theirs, planned.header());
        let mut ours = Frames::new(&*ours, planned.header());
        let mut end = Cut { offset: theirs.offset, chain: theirs.chain };
        let mut closed_at = None;
        loop {
            let met = theirs.pass().map_err(|error| self.error("read", &found.name, error))?;
            let Met::Frame(passed) = met else { break };
            if !passed.bears() {
                if passed.is(ControlKind::Close) && passed.settled {
                    closed_at = Some(passed.start);
                }
                continue;
            }
            let same = ours.pass_to_bearing();
            let same = same.map_err(|error| source.error("read", &found.name, error))?;
            let is_there = same.is_some_and(|same| same.start == passed.start)
                && ours.chain.previous == theirs.chain.previous
                && ours.offset.as_u64() <= planned.bytes();
            if !is_there {
                return Ok(Err(passed.position));
            }
            end = Cut { offset: theirs.offset, chain: theirs.chain };
        }
        Ok(Ok(match planned {
            Planned::Whole(_) => false,
            Planned::Last(last) => end == last.cut && closed_at == Some(end.offset),
        }))
    }

    /// Says, durably, that what is there is no whole backup.
    pub(super) fn mark(&self) -> Result<(), IoError> {
        let directory = &self.directory;
        let made = match directory.create(UNFINISHED_BACKUP) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map(drop),
        };
        made.map_err(|error| self.error("create", UNFINISHED_BACKUP, error))?;
        self.sync()
    }

    /// Removes files. They need not be gone for good: a later backup removes them again.
    pub(super) fn clear(&self, useless: &[String]) -> Result<(), IoError> {
        let directory = &self.directory;
        for name in useless {
            directory.remove(name).map_err(|error| self.error("remove", name, error))?;
        }
        Ok(())
    }

    /// Says that what is there is whole. First of all its names are made durable.
    pub(super) fn finish(&self) -> Result<(), IoError> {
        self.sync()?;
        let directory = &self.directory;
        directory
            .remove(UNFINISHED_BACKUP)
            .map_err(|error| self.error("remove", UNFINISHED_BACKUP, error))?;
        self.sync()
    }

    /// Makes names, and that there are none, durable.
    pub(super) fn sync(&self) -> Result<(), IoError> {
        let directory = &self.directory;
        directory.sync().map_err(|error| IoError::new("sync", directory.name(), error))
    }

    /// The path of a file, for errors.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory.name())
    }

    /// An error of the system with a file there.
    pub(super) fn error(&self, operation: &'static str, name: &str, error: io::Error) -> IoError {
        IoError::new(operation, self.path(name), error)
    }
}

/// Files that whoever opens a log makes, and that are no part of it.
const OF_LOCKS: [&str; 2] = ["LOCK", "SYNCED"];
