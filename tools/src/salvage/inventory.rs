//! All files of the old log, scanned.
//!
//! Owns: [`Inventory`]. May call: front, source, scan. Holds no contents: its memory grows with the number of
//! segments, holes and broken begin headers.

use std::collections::BTreeMap;

use quipu_format::sidecar::LogBase;
use quipu_format::{LogId, SegmentHeader, SegmentHeaderError, SegmentSeq};

use super::SalvageError;
use super::front::Front;
use super::run::Run;
use super::scan::{Segment, scan};
use super::source::{Opened, Source};
use crate::verify::VerifyError;
use crate::verify::directory::{self, HeaderState, segment_name};

/// What is there.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) log_id: LogId,
    /// Where the log begins.
    pub(super) front: Front,
    /// In the order of their numbers, each once.
    pub(super) segments: Vec<Segment>,
    /// In the order of their places.
    pub(super) runs: Vec<Run>,
    /// Files that could not be opened, and what the system said.
    pub(super) refused: Vec<(SegmentSeq, String)>,
}

impl Inventory {
    /// Scans all segments, bound to the log `log_id`, or to the one that most headers name.
    pub(super) fn of(source: &Source, log_id: Option<LogId>) -> Result<Self, SalvageError> {
        let there = source.segments()?;
        let found = source.front()?;
        let of_base = base_log_id(&found);
        if there.is_empty() && of_base.is_none() {
            return Err(VerifyError::NoLog(source.path().display().to_string()).into());
        }
        let headers = headers(source, &there)?;
        let unknown = || SalvageError::LogIdUnknown(source.path().display().to_string());
        let log_id = log_id.or_else(|| most_named(&headers)).or(of_base).ok_or_else(unknown)?;
        let front = Front::of(found, log_id);

        source.stages.begin("scanning", directory::bytes(source.path()));
        let bar = source.stages.bar();
        let (mut scanned, mut refused) = (Vec::new(), Vec::new());
        for number in there.iter().filter(|number| !front.is_dropped(**number)) {
            let mut file = match source.open(*number)? {
                Opened::There(file) => file,
                Opened::Missing => continue,
                Opened::Refused(error) => {
                    refused.push((*number, error));
                    continue;
                }
            };
            let mut found = scan(&mut file, *number, (log_id, *number), bar)?;
            // A file that was given another name, while its own is free.
            if let HeaderState::Activated(header) = file.header
                && header.log_id == log_id
                && found.1.is_empty()
                && there.binary_search(&header.sequence).is_err()
            {
                found = scan(&mut file, *number, (log_id, header.sequence), bar)?;
            }
            scanned.push(found);
        }
        scanned.sort_by_key(|(segment, _)| (segment.sequence, segment.file));
        scanned.dedup_by_key(|(segment, _)| segment.sequence);

        let (mut segments, mut runs) = (Vec::new(), Vec::new());
        for (at, (segment, found)) in scanned.into_iter().enumerate() {
            segments.push(segment);
            runs.extend(found.into_iter().map(|run| Run { segment: at, ..run }));
        }
        // The first frames of the log: those behind the header that goes on from what was dropped.
        let begins = |run: &Run| {
            let header = segments.get(run.segment).and_then(Segment::own_header);
            run.heads && run.sequence == front.first && header.is_some_and(|it| front.leads_to(it))
        };
        let first = runs.first().is_some_and(begins);
        runs.iter_mut().take(1).for_each(|run| run.begins = first);
        Ok(Self { log_id, front, segments, runs, refused })
    }

    /// The segment of this number.
    pub(super) fn segment(&self, sequence: SegmentSeq) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&sequence, |segment| segment.sequence).ok()?;
        self.segments.get(at)
    }

    /// Whether a segment has a header of its own or a whole frame.
    pub(super) fn is_used(&self, segment: &Segment) -> bool {
        let by_sequence = |run: &Run| run.sequence.cmp(&segment.sequence);
        segment.own_header().is_some() || self.runs.binary_search_by(by_sequence).is_ok()
    }
}

/// The headers that verify.
fn headers(source: &Source, there: &[SegmentSeq]) -> Result<Vec<SegmentHeader>, SalvageError> {
    let mut headers = Vec::new();
    for number in there {
        let Opened::There(file) = source.open(*number)? else { continue };
        match file.header {
            HeaderState::Activated(header) => headers.push(header),
            HeaderState::Bad(
                error @ (SegmentHeaderError::FormatVersion { .. }
                | SegmentHeaderError::RequiredFeatures { .. }),
            ) => {
                let file = segment_name(*number);
                return Err(SalvageError::Unsupported { file, cause: error });
            }
            HeaderState::Bad(_) | HeaderState::Unused => {}
        }
    }
    Ok(headers)
}

/// The log that a base is of.
fn base_log_id(front: &directory::Front) -> Option<LogId> {
    let directory::Front::Based(base) = front else { return None };
    Some(LogBase::decode(&base.bytes).ok()?.log_id())
}

/// The log id that most headers name; of several, the one named first.
fn most_named(headers: &[SegmentHeader]) -> Option<LogId> {
    let mut counts: BTreeMap<LogId, usize> = BTreeMap::new();
    for header in headers {
        *counts.entry(header.log_id).or_default() += 1;
    }
    let most = counts.values().max()?;
    let first = headers.iter().find(|header| counts.get(&header.log_id) == Some(most));
    first.map(|header| header.log_id)
}
