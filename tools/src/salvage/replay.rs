//! Reading whole frames again, one by one.
//!
//! Owns: [`replay`], and [`Placed`], a frame and its place. May call: source, scan, run, the format.
//! Holds one segment open and one frame in memory.

use std::ops::ControlFlow;

use quipu_format::{Body, ByteOffset, Chain, Frame, FrameHeader, Salt, layout};

use super::SalvageError;
use super::report::Contradiction;
use super::run::Run;
use super::scan::{Segment, chain_behind};
use super::source::{Opened, Source};
use crate::verify::directory::SegmentFile;

/// A frame where it stands.
pub(super) struct Placed<'a> {
    pub(super) file: &'a str,
    pub(super) offset: u64,
    pub(super) frame: Frame<'a>,
    pub(super) body: Body<'a>,
}

/// Gives each frame of `runs`, which are of the scanned `segments`, in order, with the number of its
/// strand. Ends where `each` breaks off.
///
/// # Errors
/// Those of `each`; and if what was whole when it was scanned is so no more.
pub(super) fn replay<'r>(
    source: &Source,
    segments: &[Segment],
    runs: impl Iterator<Item = (usize, &'r Run)>,
    mut each: impl FnMut(usize, &Placed<'_>) -> Result<ControlFlow<()>, SalvageError>,
) -> Result<(), SalvageError> {
    let mut open: Option<(usize, SegmentFile)> = None;
    for (strand, run) in runs {
        let Some(segment) = segments.get(run.segment) else { continue };
        let file = match open.take() {
            Some((number, file)) if number == run.segment => file,
            _ => match source.open(segment.file)? {
                Opened::There(file) => file,
                Opened::Missing | Opened::Refused(_) => return Err(changed(segment, run.start)),
            },
        };
        let (_, file) = open.insert((run.segment, file));
        let salt = Salt::new(segment.log_id, segment.sequence);
        let mut offset = run.start;
        while offset < run.end {
            let (header, bytes) =
                frame_bytes(file, salt, offset)?.ok_or_else(|| changed(segment, offset))?;
            let placed = placed(&segment.name, bytes, salt, offset);
            let placed = placed.ok_or_else(|| changed(segment, offset))?;
            if each(strand, &placed)?.is_break() {
                return Ok(());
            }
            offset = offset.plus(u64::from(header.frame_bytes));
            source.stages.bar().inc(u64::from(header.frame_bytes));
        }
    }
    Ok(())
}

/// The header at an offset, and the bytes of its whole frame.
fn frame_bytes(
    file: &mut SegmentFile,
    salt: Salt,
    offset: ByteOffset,
) -> Result<Option<(FrameHeader, &[u8])>, SalvageError> {
    let head = file.at(offset.as_u64(), layout::header::BYTES as u64)?;
    let Ok(Some(header)) = FrameHeader::decode(head, salt, offset) else { return Ok(None) };
    let bytes = file.at(offset.as_u64(), u64::from(header.frame_bytes))?;
    Ok(Some((header, bytes)))
}

fn placed<'a>(
    file: &'a str,
    bytes: &'a [u8],
    salt: Salt,
    offset: ByteOffset,
) -> Option<Placed<'a>> {
    let frame = Frame::decode(bytes, salt, offset).ok()??;
    let body = Body::decode(&frame).ok()?;
    body.check().ok()?;
    Some(Placed { file, offset: offset.as_u64(), frame, body })
}

fn changed(segment: &Segment, offset: ByteOffset) -> SalvageError {
    SalvageError::Changed { file: segment.name.clone(), offset: offset.as_u64() }
}

impl Placed<'_> {
    /// The state behind it.
    pub(super) fn chain(&self) -> Chain {
        chain_behind(&self.frame)
    }

    /// What is wrong with it, beside others.
    pub(super) fn contradicts(&self, what: String) -> Contradiction {
        Contradiction {
            file: self.file.to_owned(),
            offset: self.offset,
            position: self.frame.header.first_position.as_u64(),
            what,
        }
    }

    /// That a rule of the body is broken which was found kept a moment ago.
    pub(super) fn changed(&self) -> SalvageError {
        SalvageError::Changed { file: self.file.to_owned(), offset: self.offset }
    }
}
