//! The frames of one segment's file, one after the other.
//!
//! Owns: [`Frames`]. May call: recovery's window, the format. Reads with positioned reads: a bad
//! sector is an error, no signal.

use std::io;

use quipu_format::{
    ByteOffset, Chain, ControlKind, FrameError, FrameKind, Position, Salt, SegmentHeader, Step,
};

use crate::recovery::window::Window;
use crate::segment::reader::Segment;
use crate::storage::File;

/// Walks the frames of a segment, each verified, each following the one in front.
pub(super) struct Frames<'a> {
    window: Window<'a>,
    salt: Salt,
    /// The state behind the last frame.
    pub(super) chain: Chain,
    /// Where the next one stands.
    pub(super) offset: ByteOffset,
}

/// What stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Frame(Passed),
    /// Zeros.
    Nothing,
    Bad(FrameError),
}

/// A frame that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) start: ByteOffset,
    pub(super) kind: FrameKind,
    pub(super) settled: bool,
    /// Of its first event, or of the next one.
    pub(super) position: Position,
}

impl Passed {
    /// Whether it holds events or named checkpoints: what a log is kept for.
    pub(super) fn bears(&self) -> bool {
        matches!(self.kind, FrameKind::Batch | FrameKind::Checkpoints)
    }

    pub(super) fn is(&self, kind: ControlKind) -> bool {
        self.kind == FrameKind::Control(kind)
    }
}

/// Read at once.
const PIECE_BYTES: u64 = 1 << 20;

impl<'a> Frames<'a> {
    pub(super) fn new(file: &'a dyn File, header: &SegmentHeader) -> Self {
        Self {
            window: Window::of_pieces(file, header.capacity, PIECE_BYTES),
            salt: Salt::new(header.log_id, header.sequence),
            chain: Chain::at_start_of(header),
            offset: Segment::FIRST_FRAME,
        }
    }

    /// Passes the next frame, if one stands there that verifies and follows.
    pub(super) fn pass(&mut self) -> io::Result<Met> {
        let start = self.offset;
        let bytes = self.window.frame_at(self.salt, start)?;
        Ok(match self.chain.step(bytes, self.salt, start) {
            Step::Frame { frame, chain } => {
                let header = frame.header;
                self.offset = start.plus(u64::from(header.frame_bytes));
                self.chain = chain;
                let (kind, settled) = (header.kind, header.settled);
                Met::Frame(Passed { start, kind, settled, position: header.first_position })
            }
            Step::NeverWritten => Met::Nothing,
            Step::Bad(fault) => Met::Bad(fault),
        })
    }

    /// Passes frames up to the next that holds something. `None`: there is none.
    pub(super) fn pass_to_bearing(&mut self) -> io::Result<Option<Passed>> {
        loop {
            match self.pass()? {
                Met::Frame(passed) if passed.bears() => return Ok(Some(passed)),
                Met::Frame(_) => {}
                Met::Nothing | Met::Bad(_) => return Ok(None),
            }
        }
    }
}
