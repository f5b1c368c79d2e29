//! Leaving out the last frames of a strand.
//!
//! Owns: [`cut_off`]. May call: choose, replay, run, inventory.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use quipu_format::{ByteOffset, Position};

use super::SalvageError;
use super::choose::Cut;
use super::inventory::Inventory;
use super::replay::replay;
use super::run::{Clash, Run, Strand};
use super::source::Source;

/// Splits a strand, and the run of it that the cut goes through, and notes the second part as left.
/// Gives the positions of the first part that are not known to have been durable: the tail that was
/// cut off may begin among them.
pub(super) fn cut_off(
    source: &Source,
    log: &mut Inventory,
    strands: &mut Vec<Strand>,
    left: &mut Vec<(usize, Clash)>,
    cut: Cut,
) -> Result<Range<Position>, SalvageError> {
    let Some(Strand { runs, durable_to, .. }) = strands.get(cut.strand).cloned() else {
        return Ok(Position::ZERO..Position::ZERO);
    };
    let own = log.runs.get(runs.clone()).unwrap_or_default();
    // Nothing runs backwards within a strand: what is beyond is so from one run on, the last at the
    // latest.
    let whole = own.partition_point(|run| !is_beyond(&cut, run)).min(own.len().saturating_sub(1));
    let (at, is_last) = (runs.start + whole, whole + 1 == own.len());
    let Some(run) = log.runs.get(at) else { return Ok(Position::ZERO..Position::ZERO) };
    let (kept, gone) = split(source, log, run, is_last, &cut)?;
    let end = gone.as_ref().map_or(durable_to, |gone| gone.first.first_position);
    let start = at + usize::from(kept.is_some());
    let shift = usize::from(kept.is_some() && gone.is_some());
    log.runs.splice(at..=at, kept.into_iter().chain(gone));

    let mut ranges: Vec<Range<usize>> = Vec::with_capacity(strands.len() + 1);
    for (number, strand) in strands.iter().enumerate() {
        let Range { start: from, end: to } = strand.runs;
        match number.cmp(&cut.strand) {
            Ordering::Less => ranges.push(from..to),
            Ordering::Equal if start == from => ranges.push(start..to + shift),
            Ordering::Equal => ranges.extend([from..start, start..to + shift]),
            Ordering::Greater => ranges.push(from + shift..to + shift),
        }
    }
    *strands = ranges.into_iter().map(|range| Strand::of(&log.runs, range)).collect();
    let parts = if start > runs.start { 2 } else { 1 };
    let second = cut.strand + parts - 1;
    for (number, _) in left.iter_mut().filter(|(number, _)| *number > cut.strand) {
        *number += parts - 1;
    }
    left.push((second, cut.clash));
    let first = log.runs.get(runs.start).map_or(end, |run| run.first.first_position);
    Ok(durable_to.max(first)..end)
}

/// Whether a run ends beyond a cut.
fn is_beyond(cut: &Cut, run: &Run) -> bool {
    let chain = &run.chain;
    chain.position > cut.position || chain.time > cut.time || chain.synced_position > cut.synced
}

/// The part of a run that is kept, and the part that is not. Of the last run of a strand, its last
/// frame is not, whatever it says.
fn split(
    source: &Source,
    log: &Inventory,
    run: &Run,
    is_last: bool,
    cut: &Cut,
) -> Result<(Option<Run>, Option<Run>), SalvageError> {
    let mut kept: Option<Run> = None;
    let mut gone: Option<Run> = None;
    replay(source, &log.segments, [(0, run)].into_iter(), |_, placed| {
        let (header, chain) = (placed.frame.header, placed.chain());
        let start = ByteOffset::new(placed.offset);
        let end = start.plus(u64::from(header.frame_bytes));
        let this = Run { chain, end, last: header.kind, ..run.clone() };
        if is_beyond(cut, &this) || (is_last && end == run.end) {
            let (heads, begins) = (run.heads && kept.is_none(), run.begins && kept.is_none());
            gone = Some(Run { start, first: header, heads, begins, ..run.clone() });
            return Ok(ControlFlow::Break(()));
        }
        let (frames, events) = kept.as_ref().map_or((0, 0), |kept| (kept.frames, kept.events));
        let events = events + u64::from(header.event_count);
        kept = Some(Run { frames: frames + 1, events, ..this });
        Ok(ControlFlow::Continue(()))
    })?;
    if let (Some(kept), Some(gone)) = (&kept, &mut gone) {
        gone.frames -= kept.frames;
        gone.events -= kept.events;
    }
    Ok((kept, gone))
}
