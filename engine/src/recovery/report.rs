//! What opening a log has found.
//!
//! Owns: [`RecoveryReport`]. Calls nothing.

use std::time::Duration;

use quipu_format::{ByteOffset, ControlKind, LogId, Position};

use super::indexes::IndexCounts;
use super::inventory::Inventory;
use super::scan::Walk;
use super::stream_table::TableUse;
use crate::error::{Damage, Fault};

/// What opening a log has found and done.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
/// assert_eq!(log.recovery_report().events, 0);
/// assert_eq!(log.recovery_report().bytes_cut, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log's random 128-bit id.
    pub log_id: LogId,
    /// Segments that hold the log.
    pub segments: usize,
    /// Batches found whole, those without events aside.
    pub batches: u64,
    /// The position of the next event; of those below it, the ones from `first_available` on were found.
    pub events: u64,
    /// The position of the first event that is kept: all below were dropped by
    /// [`Log::truncate_before`](crate::Log::truncate_before).
    pub first_available: Position,
    /// Copies of the base, which keeps what must outlive dropped segments, that were wrong or missing. They
    /// were made again from the other one, unless the log was opened for reading.
    pub base_copies_wrong: usize,
    /// Files that a truncation had left and that were removed, or are ignored, if the log was opened for
    /// reading or there was no room for the base.
    pub dropped_files_found: usize,
    /// Whether the disk was too full to make copies of the base again. The log is used as it is,
    /// and the next opening tries it again.
    pub base_unstored: bool,
    /// Distinct streams.
    pub streams: usize,
    /// Named checkpoints.
    pub checkpoints: usize,
    /// Everything below this position was proved durable by what stands on disk.
    pub proved_durable: Position,
    /// Whether the log had been closed, or is new.
    pub clean_close: bool,
    /// Where the log ends, and how.
    pub end: LogEnd,
    /// Bytes of batches that never were acknowledged as durable, and were cut off: from the first
    /// frame that did not verify to the last byte that was not zero.
    pub bytes_cut: u64,
    /// Seals that had not reached the disk, and were made again from the next segment's header.
    pub seals_made_again: usize,
    /// Files whose preparation had not finished, and were removed.
    pub unfinished_removed: usize,
    /// Sealed segments that were taken by their index, without a scan, or whose index was there and
    /// right.
    pub indexes_used: usize,
    /// Indexes that were there and belonged to another state of their segment, were damaged, or
    /// could not be read. They were made again.
    pub indexes_wrong: usize,
    /// Indexes of sealed segments that were made, because they were missing or wrong.
    pub indexes_made: usize,
    /// Of these, how many are in memory alone: the log was opened for reading, or they could not be
    /// stored.
    pub indexes_unstored: usize,
    /// Whether streams and checkpoints were taken from `streams.ckpt`, and from the indexes of later
    /// segments alone.
    pub stream_table_used: bool,
    /// Whether `streams.ckpt` was there and could not be used: it was damaged, could not be read, did not
    /// belong to the log as it is, or one of the indexes that it stands for is missing or wrong. It is
    /// made again when a later segment is sealed.
    pub stream_table_wrong: bool,
    /// For a damaged log that was opened for reading: what is lost. The log ends before it.
    pub damage: Option<Damage>,
    /// How long it took.
    pub time_taken: Duration,
}

/// The place of the first frame that does not verify: there the log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// The file's name.
    pub file: String,
    /// Where in it.
    pub offset: ByteOffset,
    /// What stands there instead. Of a log that is whole: [`Fault::NeverWritten`], or
    /// [`Fault::MissingHeader`] or [`Fault::MissingFile`] behind a full segment.
    pub fault: Fault,
}

impl RecoveryReport {
    pub(super) fn count_indexes(&mut self, met: IndexCounts, completed: IndexCounts) {
        self.indexes_used = met.used + completed.used;
        // One that was wrong when its segment was met is found wrong again when it is completed.
        self.indexes_wrong = met.wrong.max(completed.wrong);
        self.indexes_made = completed.made;
        self.indexes_unstored = completed.unstored;
    }

    pub(super) fn new(inventory: &Inventory, walk: &Walk) -> Self {
        Self {
            log_id: LogId::from_bytes([0; 16]),
            segments: walk.accepted.len(),
            batches: walk.batches,
            events: walk.chain.position.as_u64(),
            first_available: walk.first_position,
            base_copies_wrong: inventory.base.as_ref().map_or(0, |base| base.unsound),
            dropped_files_found: inventory.leftovers.len(),
            base_unstored: false,
            streams: walk.streams,
            checkpoints: walk.checkpoints.len(),
            proved_durable: walk.proved(),
            clean_close: walk.is_new() || walk.last_control == Some(ControlKind::Close),
            end: LogEnd {
                file: walk.stop.file.clone(),
                offset: walk.stop.offset,
                fault: walk.stop.fault,
            },
            bytes_cut: 0,
            seals_made_again: 0,
            unfinished_removed: 0,
            indexes_used: 0,
            indexes_wrong: 0,
            indexes_made: 0,
            indexes_unstored: 0,
            stream_table_used: matches!(walk.table, TableUse::Used { .. }),
            stream_table_wrong: walk.table == TableUse::Wrong,
            damage: None,
            time_taken: Duration::ZERO,
        }
    }
}
