//! Bringing files over: linked, or copied and read back.
//!
//! Owns: [`Bringer`]. May call: frames, source, target, segment's sidecar and copy, storage. Each
//! file has its own name only when it is whole and durable.

use std::io;

use quipu_format::{ByteOffset, ControlKind, Frame, layout};

use super::frames::{Frames, Met};
use super::source::{Last, Plan, Planned, Source, Whole};
use super::target::{Target, There};
use super::{BackupProgress, BackupReport};
use crate::error::BackupError;
use crate::segment::base;
use crate::segment::copy::{CopyError, copy};
use crate::segment::name::{STREAM_TABLE, sidecar_name};
use crate::segment::sidecar;
use crate::storage::{Access, File, IoError};

/// Brings over what is not there.
pub(super) struct Bringer<'a> {
    pub(super) source: &'a Source,
    pub(super) target: &'a Target,
    pub(super) there: &'a There,
    pub(super) report: &'a mut BackupReport,
}

impl Bringer<'_> {
    /// Every file of the backup, and none besides.
    pub(super) fn bring_all(
        &mut self,
        plan: &Plan,
        may_link: bool,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<(), BackupError> {
        let there = self.there;
        let is_missing = |planned: &Planned<'_>| !there.kept.contains(&planned.header().sequence);
        let wanted = || {
            let whole = plan.whole.iter().map(Planned::Whole);
            whole.chain([Planned::Last(&plan.last)])
        };
        if let Some(base) = plan.base.as_ref().filter(|_| !there.has_base(plan)) {
            base::store(&*self.target.directory, base.first, &base.bytes)?;
            self.report.bytes_copied += 2 * base.bytes.len() as u64;
        }
        let bytes_all = wanted().filter(is_missing).map(|planned| planned.bytes()).sum();
        let mut bytes_done = 0;
        for planned in wanted() {
            if is_missing(&planned) {
                progress(BackupProgress { bytes_done, bytes_all });
                match planned {
                    Planned::Whole(whole) => self.whole(whole, may_link)?,
                    Planned::Last(last) => self.last(last)?,
                }
                bytes_done += planned.bytes();
            }
            if let Planned::Whole(whole) = planned {
                self.sidecar(whole, may_link)?;
            }
        }
        self.stream_table(plan, may_link)?;
        progress(BackupProgress { bytes_done, bytes_all });
        Ok(())
    }

    /// A full segment. It is linked only if it has its index: that was stored when all of the
    /// segment was on the device, and by it recovery takes the segment as it is.
    fn whole(&mut self, whole: &Whole, may_link: bool) -> Result<(), BackupError> {
        let name = whole.segment.name();
        let bytes = whole.sealed.seal_end.as_u64();
        let is_durable =
            may_link && sidecar::load(&*self.source.directory, &whole.sealed, &[]).is_ok();
        let from = self.source.open(&name)?;
        if is_durable && self.link(&*from, &name)? {
            self.report.segments_linked += 1;
            self.report.bytes_linked += bytes;
            return Ok(());
        }
        let file = self.copied(&*from, &name, bytes, whole.segment.header().capacity)?;
        self.seal(&*file, whole, &name)?;
        self.sync(&*file, &name)?;
        if !self.is_whole(&*file, whole, &name)? {
            self.blame_source(whole, &*from)?;
            return Err(BackupError::NotAsStored { file: self.target.path(&name) });
        }
        self.name(&name)?;
        self.report.segments_copied += 1;
        self.report.bytes_copied += bytes;
        Ok(())
    }

    /// The segment in which the backup ends. One sync makes its batches and the frame that says so
    /// durable: nobody looks at the file before it has its name.
    fn last(&mut self, last: &Last) -> Result<(), BackupError> {
        let (name, cut) = (last.segment.name(), last.cut);
        let header = last.segment.header();
        let from = self.source.open(&name)?;
        let file = self.copied(&*from, &name, cut.offset.as_u64(), header.capacity)?;
        let close = last.close_frame();
        if let Some(close) = &close {
            let stored = file.write_at(cut.offset.as_u64(), close);
            stored.map_err(|error| self.target.error("write", &name, error))?;
        }
        self.sync(&*file, &name)?;
        let mut frames = Frames::new(&*file, header);
        let read = |error| self.target.error("read", &name, error);
        while frames.offset < cut.offset && matches!(frames.pass().map_err(read)?, Met::Frame(_)) {}
        let ends_there = (frames.offset, frames.chain) == (cut.offset, cut.chain);
        let closes = |met| matches!(met, Met::Frame(passed) if passed.is(ControlKind::Close));
        let is_closed = close.is_none() || closes(frames.pass().map_err(read)?);
        if !ends_there || !is_closed || !is_nothing(frames.pass().map_err(read)?) {
            return Err(BackupError::NotAsStored { file: self.target.path(&name) });
        }
        self.name(&name)?;
        self.report.segments_copied += 1;
        self.report.bytes_copied += cut.offset.as_u64();
        Ok(())
    }

    /// A full segment's index, if the log has it.
    fn sidecar(&mut self, whole: &Whole, may_link: bool) -> Result<(), BackupError> {
        let name = sidecar_name(whole.sealed.sequence);
        let is_there =
            self.there.names.contains(&name) && self.there.kept.contains(&whole.sealed.sequence);
        let directory = &self.source.directory;
        if is_there || sidecar::load(&**directory, &whole.sealed, &[]).is_err() {
            return Ok(());
        }
        let from = self.source.open(&name)?;
        self.derived(&*from, &name, may_link)
    }

    /// The file of all streams, if it says nothing of what is not in the backup.
    fn stream_table(&mut self, plan: &Plan, may_link: bool) -> Result<(), BackupError> {
        let Some((from, header)) = self.source.stream_table(&plan.whole) else { return Ok(()) };
        if self.there.names.contains(STREAM_TABLE) {
            let mut there = vec![0; header.len()];
            let directory = &self.target.directory;
            let opened = directory.open(STREAM_TABLE, Access::Read);
            if opened.and_then(|file| file.read_at(0, &mut there)).is_ok() && there == header {
                return Ok(());
            }
        }
        self.derived(&*from, STREAM_TABLE, may_link)
    }

    /// A file that nobody writes to once it has its name. It verifies by itself.
    fn derived(&mut self, from: &dyn File, name: &str, may_link: bool) -> Result<(), BackupError> {
        if may_link && self.link(from, name)? {
            return Ok(());
        }
        let bytes = from.len().map_err(|error| self.source.error("look at", name, error))?;
        let file = self.copied(from, name, bytes, bytes)?;
        self.sync(&*file, name)?;
        self.name(name)?;
        self.report.bytes_copied += bytes;
        Ok(())
    }

    /// Gives a file one more name. `false`: that cannot be done between these directories.
    fn link(&self, from: &dyn File, name: &str) -> Result<bool, BackupError> {
        let directory = &self.target.directory;
        if self.there.names.contains(name) {
            let removed = directory.remove(name);
            removed.map_err(|error| self.target.error("remove", name, error))?;
        }
        match directory.link(from, name) {
            Ok(()) => Ok(true),
            Err(error) if cannot_link(&error) => Ok(false),
            Err(error) => Err(self.target.error("link", name, error).into()),
        }
    }

    /// A copy of the first `bytes` under a temporary name, zeros behind them.
    fn copied(
        &self,
        from: &dyn File,
        name: &str,
        bytes: u64,
        length: u64,
    ) -> Result<std::sync::Arc<dyn File>, IoError> {
        let directory = &self.target.directory;
        let temporary = temporary(name);
        let created = directory.create(&temporary);
        let file = created.map_err(|error| self.target.error("create", &temporary, error))?;
        copy(from, &*file, bytes, length).map_err(|error| match error {
            CopyError::Read { offset, error } => self.source.error("read", name, error).at(offset),
            CopyError::Write { offset, error } => {
                self.target.error("write", name, error).at(offset)
            }
        })?;
        Ok(file)
    }

    /// Makes the seal again that the next segment's header names, if the log's file does not have
    /// it, or a part of it: of a log that a crash has left, and nobody has opened for writing
    /// since.
    fn seal(&self, file: &dyn File, whole: &Whole, name: &str) -> Result<(), BackupError> {
        let mut bytes = [0; layout::CONTROL_FRAME_BYTES];
        let length = bytes.len() as u64;
        let offset = whole.sealed.seal_end.as_u64().saturating_sub(length);
        file.read_at(offset, &mut bytes).map_err(|error| self.target.error("read", name, error))?;
        let salt = whole.segment.salt();
        if matches!(Frame::decode(&bytes, salt, ByteOffset::new(offset)), Ok(Some(_))) {
            return Ok(());
        }
        let mut frames = Frames::new(file, whole.segment.header());
        let read = |error| self.target.error("read", name, error);
        while matches!(frames.pass().map_err(read)?, Met::Frame(_)) {}
        if let Some(seal) = frames.chain.seal_named_by(&whole.next, salt, frames.offset) {
            let stored = file.write_at(frames.offset.as_u64(), &seal);
            stored.map_err(|error| self.target.error("write", name, error))?;
        }
        Ok(())
    }

    /// Reads a full segment back: every frame, up to the seal that the log knows.
    fn is_whole(&self, file: &dyn File, whole: &Whole, name: &str) -> Result<bool, IoError> {
        let mut frames = Frames::new(file, whole.segment.header());
        let read = |error| self.target.error("read", name, error);
        while frames.offset < whole.sealed.seal_end {
            if !matches!(frames.pass().map_err(read)?, Met::Frame(_)) {
                return Ok(false);
            }
        }
        Ok(frames.chain.previous == whole.sealed.seal_checksum
            && frames.chain.position == whole.sealed.end_position)
    }

    /// Tells where the log's own file does not verify, if it does not.
    fn blame_source(&self, whole: &Whole, from: &dyn File) -> Result<(), BackupError> {
        let segment = &whole.segment;
        let mut frames = Frames::new(from, segment.header());
        while frames.offset < whole.sealed.seal_end {
            let (offset, position) = (frames.offset, frames.chain.position);
            let met = frames.pass();
            match met.map_err(|error| self.source.error("read", &segment.name(), error))? {
                Met::Frame(_) => {}
                Met::Nothing => return Ok(()),
                Met::Bad(fault) => {
                    let damaged = segment.damaged(offset, position, fault);
                    return Err(BackupError::NotWhole(Box::new(damaged)));
                }
            }
        }
        Ok(())
    }

    fn sync(&self, file: &dyn File, name: &str) -> Result<(), IoError> {
        file.sync().map_err(|error| self.target.error("sync", name, error))
    }

    /// Gives a copy its own name.
    fn name(&self, name: &str) -> Result<(), IoError> {
        let directory = &self.target.directory;
        directory
            .rename(&temporary(name), name)
            .map_err(|error| self.target.error("rename", name, error))
    }
}

/// The name of a file while it is being copied: recovery and later backups remove what has it.
fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

fn is_nothing(met: Met) -> bool {
    met == Met::Nothing
}

/// Whether the two directories cannot share the file: other file systems, or one that has no links,
/// or the file has no name any more because another has taken its place since it was opened.
fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported};
    let kind = error.kind();
    matches!(kind, CrossesDevices | NotFound | PermissionDenied | TooManyLinks | Unsupported)
}
