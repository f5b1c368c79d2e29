//! The named checkpoints of a log, on the way from its start to its end.
//!
//! Owns: [`CheckpointWalk`]. May call: index, the format. Changes nothing on disk.
//!
//! A frame that sets one and takes no position is proved durable by what stands behind it: an event
//! that is, or a settled frame.

use std::collections::VecDeque;

use quipu_format::sidecar::{SetCheckpoint, SetCheckpoints, SidecarError};
use quipu_format::{Body, Frame, FrameError, FrameKind, NamedCheckpoint, Position};

use crate::index::checkpoints::{Checkpoints, Set};

/// What has been met so far.
#[derive(Debug, Default)]
pub(crate) struct CheckpointWalk {
    /// All that were set.
    latest: Checkpoints,
    /// Those of which what stands behind says that they are durable.
    proved: Checkpoints,
    unproved: VecDeque<Unproved>,
    /// Whether some were taken from an index, with no settled frame behind them yet.
    is_unwitnessed: bool,
}

#[derive(Debug)]
struct Unproved {
    /// Durable, if a synced position is not below.
    end: Position,
    name: Box<str>,
    set: Set,
}

impl CheckpointWalk {
    /// Whether each checkpoint of a frame goes forward.
    pub(super) fn check(&self, body: &Body<'_>) -> Result<(), FrameError> {
        for checkpoint in body.checkpoints()? {
            let NamedCheckpoint { name, position } = checkpoint?;
            if !self.latest.would_rise(name, position) {
                let found = position.as_u64();
                return Err(FrameError::Field { field: "checkpoint", found });
            }
        }
        Ok(())
    }

    /// Takes what a frame sets, which has been checked, and what it proves.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> Result<(), FrameError> {
        let header = &frame.header;
        if header.settled {
            self.is_unwitnessed = false;
            self.prove(|_| true);
        } else {
            self.prove(|unproved| unproved.end <= header.synced_position);
        }
        let has_events = header.kind == FrameKind::Batch;
        // Of one without events, the next event has to be durable.
        let end = header.end_position().plus(u64::from(!has_events));
        let set_by = has_events.then_some(header.first_position);
        for checkpoint in Body::decode(frame)?.checkpoints()? {
            let NamedCheckpoint { name, position } = checkpoint?;
            let set = Set { position, set_by, frames: 0 };
            self.latest.set(name, set);
            self.unproved.push_back(Unproved { end, name: name.into(), set });
        }
        Ok(())
    }

    /// Whether each checkpoint that a segment has set, by its index, goes forward.
    pub(super) fn goes_on(&self, mut set: SetCheckpoints<'_>) -> Result<bool, SidecarError> {
        set.try_fold(true, |goes_on, checkpoint| {
            let SetCheckpoint { name, position, .. } = checkpoint?;
            Ok(goes_on && self.latest.would_rise(name, position))
        })
    }

    /// Takes what a segment has set, by its index, which has been looked at.
    pub(super) fn pass_over(&mut self, set: SetCheckpoints<'_>) -> Result<(), SidecarError> {
        // It has an index, so all in front of it is on the device.
        self.prove(|_| true);
        for checkpoint in set {
            let SetCheckpoint { name, position, set_by } = checkpoint?;
            let set = Set { position, set_by, frames: 0 };
            self.latest.set(name, set);
            self.proved.set(name, set);
            self.is_unwitnessed = true;
        }
        Ok(())
    }

    /// Takes those that were set in front of where the log begins, by its base, which is durable.
    pub(super) fn begin(&mut self, set: SetCheckpoints<'_>) -> Result<(), SidecarError> {
        self.start(set)?;
        self.is_unwitnessed = false;
        Ok(())
    }

    /// Takes those that the file of all streams says are set, in front of everything else.
    pub(super) fn start(&mut self, set: SetCheckpoints<'_>) -> Result<(), SidecarError> {
        *self = Self::default();
        self.pass_over(set)
    }

    /// Whether there are some that no frame says to be durable.
    pub(super) fn is_unwitnessed(&self) -> bool {
        self.is_unwitnessed || !self.unproved.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.latest.len()
    }

    /// All of them, or those that are proved durable: all events below `durable_to` are.
    pub(super) fn into_checkpoints(mut self, durable_to: Option<Position>) -> Checkpoints {
        let Some(durable_to) = durable_to else { return self.latest };
        self.prove(|unproved| unproved.end <= durable_to);
        self.proved
    }

    fn prove(&mut self, is_proved: impl Fn(&Unproved) -> bool) {
        while self.unproved.front().is_some_and(&is_proved) {
            let Some(Unproved { name, set, .. }) = self.unproved.pop_front() else { break };
            self.proved.set(&name, set);
        }
    }
}
