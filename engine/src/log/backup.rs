//! Backups of a log, taken from its handle.
//!
//! Owns: [`Log::backup`] and its kin. May call: backup, storage.

use std::path::Path;
use std::sync::Arc;

use quipu_format::Position;

use super::Log;
use crate::backup::{self, BackupOptions, BackupProgress, BackupReport, Source};
use crate::error::BackupError;
use crate::storage::os::OsDirectory;
use crate::storage::{Directory, IoError};

impl Log {
    /// Makes a backup in `directory`, or brings the one there up to date, while appends go on: all
    /// that was acknowledged as durable before this call, and perhaps more, up to a batch. The
    /// directory is made if it is missing. What comes out is a log: open it, or restore from it
    /// with `quipu restore`.
    ///
    /// Full segments are linked where both directories are on one file system, and copied
    /// elsewhere; the last one is copied. Made again, it brings only what is new. What is copied is
    /// read back and verified. A backup that was interrupted refuses to be opened
    /// ([`OpenError::UnfinishedBackup`](crate::OpenError)), and goes on where it stopped when it is
    /// made again. Nobody may have the backup open for writing meanwhile, and nobody may have
    /// appended to it. What this log has dropped since ([`Log::truncate_before`]), the backup drops
    /// too: keep that one, and make the next in a new directory, if its events are to outlive them
    /// here.
    ///
    /// A log that is open for reading only can be backed up too, beside the writer in another
    /// process: as far as it is shown, which is what that one has made durable.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let (path, elsewhere) = (dir.path().join("data"), dir.path().join("backup"));
    /// use quipu::{Batch, Event, Log};
    /// let log = Log::options().segment_bytes(1 << 20).open(&path)?;
    /// log.append(Batch::new().event("a", Event::new("Done", "")))?;
    /// let report = log.backup(&elsewhere)?;
    /// assert_eq!(report.end, log.end());
    ///
    /// log.append(Batch::new().event("a", Event::new("Done", "again")))?;
    /// log.backup(&elsewhere)?;
    /// let backup = Log::open_read_only(&elsewhere)?;
    /// assert_eq!(backup.end(), log.end());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BackupError`] says what stands against it. The log is as it was, whatever it is.
    pub fn backup(&self, directory: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        self.backup_with(directory, &BackupOptions::new(), |_| {})
    }

    /// As [`Log::backup`], as `options` say; `progress` is told how far it has come, segment by
    /// segment. It must not back up or truncate this log, which would wait for the backup to end.
    ///
    /// # Errors
    /// [`BackupError`], as for [`Log::backup`].
    pub fn backup_with(
        &self,
        directory: impl AsRef<Path>,
        options: &BackupOptions,
        mut progress: impl FnMut(BackupProgress),
    ) -> Result<BackupReport, BackupError> {
        let path = directory.as_ref();
        let made = OsDirectory::create_all(path);
        let made = made.map_err(|error| IoError::new("open", path.display().to_string(), error))?;
        self.backup_to(Arc::new(made), options, &mut progress)
    }

    /// As [`Log::backup_with`], to a folder of the same simulated machine
    /// ([`SimDisk::folder`](crate::sim::SimDisk::folder)).
    ///
    /// # Errors
    /// [`BackupError`], as for [`Log::backup`].
    #[cfg(feature = "sim")]
    pub fn backup_simulated(
        &self,
        folder: &crate::storage::sim::SimDisk,
        options: &BackupOptions,
    ) -> Result<BackupReport, BackupError> {
        self.backup_to(Arc::new(folder.clone()), options, &mut |_| {})
    }

    fn backup_to(
        &self,
        target: Arc<dyn Directory>,
        options: &BackupOptions,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport, BackupError> {
        // What is to be brought over stays. A writer in another process may drop it all the same: then
        // a file is missing, and the backup says that it is not finished.
        let _front = self.shared.retention.as_ref().map(|retention| retention.hold());
        let source = self.source()?;
        let report = backup::run(&source, target, options, progress)?;
        let BackupReport { end, segments_kept, segments_linked, segments_copied, took, .. } =
            &report;
        tracing::info!(
            %end, segments_kept, segments_linked, segments_copied, ?took, "backed up"
        );
        Ok(report)
    }

    /// The log as far as it is durable. How far it is stored is looked up first, and then synced.
    fn source(&self) -> Result<Source, BackupError> {
        self.look();
        let shared = &self.shared;
        if let Some(damage) = &shared.report.damage {
            return Err(BackupError::Damaged(Box::new(damage.clone())));
        }
        let segments = shared.segments.snapshot();
        let written = segments.last().map_or(0, |last| last.region().written());
        let end = match &shared.pipeline {
            Some(_) => {
                self.sync().map_err(|error| BackupError::NotSynced(Box::new(error)))?;
                Position::new(u64::MAX)
            }
            None => shared.watermarks.published(),
        };
        Ok(Source { directory: Arc::clone(&shared.directory), segments, written, end })
    }
}
