//! What is wrong in one segment, and what may have done it.
//!
//! Owns: the part of [`Found`] that looks into a segment. May call: places, run, scan, the verifier's
//! words for what is wrong. Pure, but for what is known to be unreadable.

use quipu_format::{SegmentHeader, SegmentHeaderError, layout};

use super::patient::Unreadable;
use super::places::{Found, Place, Severity};
use super::run::{Run, is_linked};
use super::scan::{Gap, Segment};
use crate::verify::decide::{Fault, is_contradiction};
use crate::verify::directory::{HeaderState, wrong_magic};

impl Found<'_> {
    /// Whether it is a file of another log or of another place, with nothing of this log in it.
    pub(super) fn is_of_another(&self, segment: &Segment) -> bool {
        let by_sequence = |run: &&Run| run.sequence.cmp(&segment.sequence);
        let whole = self.taken.binary_search_by(by_sequence).is_ok();
        matches!(segment.header, HeaderState::Activated(_))
            && segment.own_header().is_none()
            && !whole
    }

    pub(super) fn in_header(
        &self,
        segment: &Segment,
        unreadable: &Unreadable,
        places: &mut Vec<Place>,
    ) {
        let sequence = segment.sequence;
        let header_bytes = layout::segment::BYTES as u64;
        let own = segment.own_header();
        let (fault, severity) = match &segment.header {
            HeaderState::Activated(header) => match self.misplaced(segment, header) {
                Some(found) => found,
                None => return,
            },
            HeaderState::Unused => (Fault::MissingHeader.to_string(), Severity::Tearable),
            HeaderState::Bad(error) if is_foreign(&segment.header) => {
                (error.to_string(), Severity::Damage)
            }
            HeaderState::Bad(SegmentHeaderError::Magic { .. }) => {
                ("the segment's header is half written".to_owned(), Severity::Tearable)
            }
            HeaderState::Bad(error) => {
                let fault = Fault::Header(*error);
                (fault.to_string(), severity_of(&fault))
            }
        };
        let refused = unreadable.within(0, header_bytes).next().is_some();
        let severity = if refused { Severity::Damage } else { self.of_header(sequence, severity) };
        let fault = and_unreadable(fault, unreadable, 0, header_bytes);
        let bytes = if own.is_none() { header_bytes.min(segment.length) } else { 0 };
        places.push(self.place(sequence, (0, bytes), fault, severity));
    }

    /// What is wrong with a header that verifies, if anything is.
    fn misplaced(&self, segment: &Segment, header: &SegmentHeader) -> Option<(String, Severity)> {
        let damage = |fault: String| Some((fault, Severity::Damage));
        if header.log_id != self.log.log_id {
            return damage(format!("the header is that of the log {}", header.log_id));
        }
        if header.sequence != segment.sequence {
            return damage(format!("the header is that of segment {}", header.sequence));
        }
        if segment.file != segment.sequence {
            return damage(format!("the file is segment {} by its header", header.sequence));
        }
        if header.capacity != segment.length {
            let (expected, found) = (header.capacity, segment.length);
            return damage(Fault::Length { expected, found }.to_string());
        }
        if !self.continues(segment, header) {
            return Some((Fault::Unlinked.to_string(), Severity::Tearable));
        }
        let at = (segment.sequence, layout::segment::BYTES as u64);
        let first = self.taken.binary_search_by_key(&at, |run| run.place()).ok();
        let first = first.and_then(|first| self.taken.get(first));
        let follows = first.is_none_or(|run| run.heads);
        (!follows).then(|| {
            ("the first frame does not follow the segment's header".to_owned(), Severity::Tearable)
        })
    }

    /// Whether a header goes on from the segments in front, as far as these are there.
    fn continues(&self, segment: &Segment, header: &SegmentHeader) -> bool {
        match self.front(segment.sequence, 0) {
            Some(front) if front.sequence.plus(1) == segment.sequence && front.is_sealed() => {
                front.chain.leads_to(header, front.end)
            }
            Some(front) => front.chain.position <= header.base_position,
            None if segment.sequence == self.log.front.first => self.log.front.leads_to(header),
            None => true,
        }
    }

    pub(super) fn in_gap(
        &self,
        segment: &Segment,
        gap: &Gap,
        unreadable: &Unreadable,
        places: &mut Vec<Place>,
    ) {
        let front = self.front(segment.sequence, gap.from);
        let front = front.filter(|run| run.sequence == segment.sequence);
        if front.is_some_and(Run::is_sealed) {
            return;
        }
        let is_tail = gap.to >= segment.length;
        let behind = self.last_used.is_some_and(|last| segment.sequence < last);
        let refused = unreadable.within(gap.from, gap.to).next().is_some();
        if is_tail && gap.content_end == gap.from && !behind && !refused {
            return;
        }
        let next = self.log.segment(segment.sequence.plus(1));
        let next_header = next.and_then(Segment::own_header).filter(|_| is_tail);
        let named_end = next_header.and_then(|header| header.predecessor).map(|it| it.end.as_u64());
        let mut end = if is_tail { gap.content_end } else { gap.to };
        if let Some(named_end) = named_end.filter(|named| *named <= segment.length) {
            end = end.max(named_end);
        }
        let seal_only = front.is_some_and(|run| {
            next_header.is_some_and(|header| is_linked(run, segment.length, header))
        });
        let mut fault = match seal_only {
            true => "no seal stands there, but the next segment's header names it".to_owned(),
            false => gap.fault.to_string(),
        };
        fault = and_unreadable(fault, unreadable, gap.from, gap.to);
        let severity = match (seal_only, refused) {
            (_, true) => Severity::Damage,
            (true, false) => Severity::Harmless,
            (false, false) => severity_of(&gap.fault),
        };
        if let Some((offset, bytes)) = unreadable.within(gap.from, gap.to).last() {
            end = end.max(offset + bytes).min(gap.to);
        }
        let bytes = end.saturating_sub(gap.from);
        places.push(self.place(segment.sequence, (gap.from, bytes), fault, severity));
    }
}

/// Whether a file begins with what no segment ever does, not even a half written one.
pub(super) fn is_foreign(header: &HeaderState) -> bool {
    wrong_magic(header).is_some()
}

fn severity_of(fault: &Fault) -> Severity {
    if is_contradiction(fault) { Severity::Damage } else { Severity::Tearable }
}

/// Says with a fault that some of its bytes were not even read.
fn and_unreadable(fault: String, unreadable: &Unreadable, from: u64, to: u64) -> String {
    match unreadable.within(from, to).next() {
        Some((offset, _)) => {
            format!("cannot be read from offset {offset} on ({})", unreadable.error)
        }
        None => fault,
    }
}
