//! What one sync makes durable.
//!
//! Owns: [`Group`]: the answers that wait for it, and the files it touched. May call: segment.

use std::sync::Arc;

use quipu_format::Position;

use super::ticket::{Answer, Responder};
use crate::error::AppendError;
use crate::segment::reader::Segment;
use crate::segment::writer::ActiveSegment;
use crate::stats::GroupCounts;
use crate::storage::{File, IoError};
use crate::watermark::Reach;

/// The outcome of looking at one batch, not told yet.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) answer: Answer,
    /// Whether the answer is that a batch was stored.
    pub(crate) stored: bool,
}

impl Staged {
    /// What the caller is told, once it is known whether the group has become durable.
    pub(crate) fn told(self, durable: &Result<(), IoError>) -> Answer {
        let Err(cause) = durable else { return self.answer };
        Err(match self.answer {
            _ if self.stored => AppendError::OutcomeUnknown(cause.clone()),
            // Recognised as stored before; but whether that lasts is not known any more.
            Ok(committed) if committed.replayed => AppendError::OutcomeUnknown(cause.clone()),
            // A refusal or a check speaks of what may not last; nothing of it was written.
            Ok(_)
            | Err(
                AppendError::PreconditionFailed(_)
                | AppendError::QueryMatched { .. }
                | AppendError::CheckpointRefused { .. },
            ) => AppendError::Poisoned(cause.clone()),
            Err(error) => error,
        })
    }
}

/// A file with frames that are not known to be durable.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    pub(crate) file: Arc<dyn File>,
    /// Says what the file is called, should it fail.
    pub(crate) segment: Arc<Segment>,
}

/// The batches that one sync makes durable, and the answers that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Who waits for it. Each holds what it will be told if the group becomes durable.
    pub(crate) waiting: Vec<Responder>,
    /// Batches of the queue that were looked at.
    pub(crate) batches: usize,
    /// The files that it stored frames in, in the order of the log.
    pub(crate) touched: Vec<Touched>,
    /// The written end of the log behind the group.
    pub(crate) end: Reach,
    /// Whether small frames are gathered: several batches are expected, and whoever publishes the
    /// group has what was gathered stored before.
    pub(crate) gathers: bool,
    /// The named checkpoints that its batches set, in their order.
    pub(crate) checkpoints: Vec<(Box<str>, Position)>,
    /// Whether a batch in it, or a caller, asks for a sync.
    pub(crate) needs_sync: bool,
    /// Refusals in it speak of events below this position.
    pub(crate) judged_end: Position,
    /// Refusals in it speak of checkpoints that are among so many frames.
    pub(crate) judged_frames: u64,
    /// Frame bytes stored.
    pub(crate) stored_bytes: u64,
    /// What became of its batches.
    pub(crate) counts: GroupCounts,
    /// The failed store that ended it.
    pub(crate) failure: Option<IoError>,
}

impl Group {
    /// Notes that frames were stored in a segment.
    pub(crate) fn touch(&mut self, active: &ActiveSegment) {
        let (file, segment) = (active.file(), active.segment());
        let known = self.touched.last().is_some_and(|last| Arc::ptr_eq(&last.file, file));
        if !known {
            self.touched.push(Touched { file: Arc::clone(file), segment: Arc::clone(segment) });
        }
    }
}
