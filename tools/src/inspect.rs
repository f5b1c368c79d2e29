//! `quipu inspect`: segments and frames as they stand on disk, by the format alone.
//!
//! Every frame is verified as it is shown; the first one of a segment that does not verify is marked,
//! and why. Nothing is judged: whether that is a torn tail or damage is for `quipu verify`.

mod drawing;
mod hex;
mod walk;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::bail;
use quipu_format::{Position, SegmentSeq};

use crate::outcome::Outcome;
use crate::verify::directory::{Directory, HeaderState, SegmentFile};
use walk::show_segment;

/// What is to be shown, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// Only this segment.
    pub segment: Option<u64>,
    /// Only the frame that holds this position, in all its parts.
    pub position: Option<u64>,
    /// The bytes too.
    pub hex: bool,
    /// As JSON lines.
    pub json: bool,
}

/// Prints segments and frames of the log in `directory`.
pub fn run(directory: &Path, request: &Request) -> anyhow::Result<Outcome> {
    let directory = Directory::new(directory);
    let mut segments = Vec::new();
    for sequence in directory.list()?.0 {
        if let Some(file) = directory.look(sequence, |file| Box::new(file))? {
            segments.push((sequence, file));
        }
    }
    if segments.is_empty() {
        bail!("{} holds no log", directory.display());
    }
    if let Some(number) = request.segment {
        segments.retain(|(sequence, _)| *sequence == SegmentSeq::new(number));
        if segments.is_empty() {
            bail!("{} has no segment {number}", directory.display());
        }
    }
    if let Some(position) = request.position {
        let Some(holder) = holder_of(Position::new(position), segments) else {
            bail!("no segment that verifies begins at position {position} or in front of it");
        };
        segments = vec![holder];
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut outcome = Outcome::Fine;
    for (_, file) in segments {
        if show_segment(file, request, &mut out)? == Outcome::Wrong {
            outcome = Outcome::Wrong;
        }
    }
    out.flush()?;
    Ok(outcome)
}

/// The last segment that begins at `position` or in front of it.
fn holder_of(
    position: Position,
    segments: Vec<(SegmentSeq, SegmentFile)>,
) -> Option<(SegmentSeq, SegmentFile)> {
    let begins_before = |file: &SegmentFile| match file.header {
        HeaderState::Activated(header) => header.base_position <= position,
        HeaderState::Unused | HeaderState::Bad(_) => false,
    };
    segments.into_iter().rfind(|(_, file)| begins_before(file))
}
