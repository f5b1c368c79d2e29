//! `quipu inspect`: segments and frames as they stand on disk, by the format alone.
//!
//! Every frame is verified as it is shown; the first one of a segment that does not verify is marked,
//! and why. Nothing is judged: whether that is a torn tail or damage is for `quipu verify`.

mod drawing;
mod hex;
mod walk;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::bail;
use quipu_format::{Position, SegmentSeq};

use crate::outcome::Outcome;
use crate::verify::directory::{Directory, Front, HeaderState, SegmentFile, segment_name};
use walk::{show_missing, show_segment};

/// What is to be shown, and how.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Request {
    /// The log's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Only this segment.
    #[arg(long, value_name = "N", conflicts_with = "position")]
    pub segment: Option<u64>,
    /// Only the frame that holds this position, drawn part by part.
    #[arg(long, value_name = "P")]
    pub position: Option<u64>,
    /// The bytes, too.
    #[arg(long, conflicts_with = "json")]
    pub hex: bool,
    /// JSON lines, one segment or frame a line.
    #[arg(long)]
    pub json: bool,
}

/// Prints segments and frames of a log.
///
/// # Errors
/// What keeps the files from being read, and a segment or position that is not there.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let directory = Directory::new(&request.directory);
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
    let (mut outcome, mut missing) = (Outcome::Fine, 0);
    // The first segment that must be there; what was dropped in front of it may still be.
    let mut expected = match directory.front()? {
        Front::Whole => SegmentSeq::ZERO,
        Front::Based(base) => base.first,
        Front::Lost { first, .. } => first,
    };
    let is_whole = request.segment.is_none() && request.position.is_none();
    for (sequence, file) in segments {
        while is_whole && expected < sequence && missing < MISSING_MAX {
            show_missing(&segment_name(expected), request, &mut out)?;
            (expected, outcome, missing) = (expected.plus(1), Outcome::Wrong, missing + 1);
        }
        expected = expected.max(sequence.plus(1));
        if show_segment(file, request, &mut out)? == Outcome::Wrong {
            outcome = Outcome::Wrong;
        }
    }
    out.flush()?;
    Ok(outcome)
}

/// So many missing files are named: more than were ever there may be in front of a file of some number.
const MISSING_MAX: u64 = 100;

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
