//! The report, put together.
//!
//! Owns: [`report`]. May call: inventory, tally, losses, places.

use quipu_format::CommitTime;

use super::choose::Choice;
use super::inventory::Inventory;
use super::losses::{Losses, losses};
use super::places::Found;
use super::report::{Left, Report, UnreadableBytes};
use super::run::{Clash, Run, Strand};
use super::source::Source;
use super::tally::{Settled, runs_of};

/// What was found in the old log. Where it went is for the caller to add.
pub(super) fn report(source: &Source, log: &Inventory, settled: Settled) -> Report {
    let Settled { strands, choice, tally, doubtful } = settled;
    let (strands, choice) = (&strands[..], &choice);
    let taken: Vec<&Run> = runs_of(choice, strands, &log.runs).map(|(_, run)| run).collect();
    // What stands behind a seal is no part of the log: it is listed, and says nothing of the rest.
    let left = choice.left.iter().filter(|(_, clash)| *clash != Clash::BehindSeal);
    let left = left.filter_map(|(number, _)| strands.get(*number));
    let left: Vec<&Run> = left.flat_map(|strand| runs_in(strand, log)).collect();
    let used = log.segments.iter().filter(|segment| log.is_used(segment));
    let named = Some(log.front.first).filter(|_| log.front.is_proved());
    let found = Found {
        source,
        log,
        taken: &taken,
        last_used: used.clone().map(|it| it.sequence).next_back().max(named),
    };
    let Losses { lost, moved, damage, end, none } = losses(&found, &left);
    let unreadable = unreadable(source, log);
    let contradictions = tally.contradictions;
    Report {
        directory: String::new(),
        to: None,
        written: false,
        ok: none && unreadable.is_empty() && contradictions.is_empty() && log.refused.is_empty(),
        log_id: log.log_id.to_string(),
        new_log_id: None,
        first_available: found.first_available().as_u64(),
        begins_at: log.front.start().as_u64(),
        base_copies_wrong: log.front.copies_wrong.clone(),
        segments: used.count() as u64,
        batches: tally.batches,
        events: tally.events,
        streams: tally.streams,
        checkpoints: tally.checkpoints,
        first_commit_nanos: tally.first_commit.map(CommitTime::as_u64),
        last_commit_nanos: tally.last_commit.map(CommitTime::as_u64),
        events_lost: lost.iter().map(|lost| lost.last - lost.first + 1).sum(),
        lost,
        moved,
        lost_versions: tally.lost,
        bytes_skipped: damage.iter().map(|damage| damage.bytes).sum(),
        damage,
        unreadable,
        left: left_over(log, strands, choice),
        doubtful,
        contradictions,
        end_known: end.is_known(),
        end,
    }
}

fn runs_in<'r>(strand: &Strand, log: &'r Inventory) -> &'r [Run] {
    log.runs.get(strand.runs.clone()).unwrap_or_default()
}

/// The strands that were not taken over, and why.
fn left_over(log: &Inventory, strands: &[Strand], choice: &Choice) -> Vec<Left> {
    let each = choice.left.iter().filter_map(|(number, clash)| {
        let strand = strands.get(*number)?;
        let first = runs_in(strand, log).first()?;
        Some(Left {
            file: log.segments.get(first.segment)?.name.clone(),
            offset: first.start.as_u64(),
            frames: strand.frames,
            events: strand.events,
            position: first.first.first_position.as_u64(),
            reason: clash.to_string(),
        })
    });
    each.collect()
}

/// What the device did not give back.
fn unreadable(source: &Source, log: &Inventory) -> Vec<UnreadableBytes> {
    let mut all = Vec::new();
    for segment in &log.segments {
        let unreadable = source.unreadable(segment.file);
        all.extend(unreadable.stretches().map(|(offset, bytes)| UnreadableBytes {
            file: segment.name.clone(),
            offset,
            bytes,
            error: unreadable.error.clone(),
        }));
    }
    all
}
