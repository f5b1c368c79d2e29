//! The places at which the old log is not whole.
//!
//! Owns: [`places`], and [`Place`], one of them. May call: inventory, judge, run, scan. Pure, but for
//! what is known to be unreadable.
//!
//! Only what belongs to the log is looked at: not what stands behind a seal, not zeros behind the last
//! frame, not segments that were prepared and never used.

use quipu_format::{Position, SegmentSeq, layout};

use super::front::Front;
use super::inventory::Inventory;
use super::judge::is_foreign;
use super::report::Damage;
use super::run::Run;
use super::scan::Segment;
use super::source::Source;
use crate::verify::decide::Fault;
use crate::verify::directory::{is_segment_length, segment_name};

/// The old log, as it was found.
pub(super) struct Found<'a> {
    pub(super) source: &'a Source,
    pub(super) log: &'a Inventory,
    /// The runs that are taken over, in order.
    pub(super) taken: &'a [&'a Run],
    /// The last segment that was in use.
    pub(super) last_used: Option<SegmentSeq>,
}

/// Where something is missing or wrong.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) sequence: SegmentSeq,
    pub(super) damage: Damage,
    pub(super) severity: Severity,
}

/// What may have done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// A crash, anywhere in a log; nothing is missing by it.
    Harmless,
    /// A crash, at the end of a log.
    Tearable,
    /// No crash.
    Damage,
}

impl Place {
    /// By what places are put in order.
    pub(super) fn key(&self) -> (SegmentSeq, u64) {
        (self.sequence, self.damage.offset)
    }
}

/// All such places, in order.
pub(super) fn places(found: &Found<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut expected = found.begins();
    if let Some((file, error)) = &found.log.front.lost {
        let fault = format!(
            "{error}; no copy of this base is right, so that what streams had come to where the log \
             begins is not known"
        );
        let place = found.place(expected, (0, 0), fault, Severity::Damage);
        places.push(Place { damage: Damage { file: file.clone(), ..place.damage }, ..place });
    }
    let mut segments = found.log.segments.iter().peekable();
    let mut refused = found.log.refused.iter().peekable();
    loop {
        let next = segments.peek().map(|segment| segment.sequence);
        let next_refused = refused.peek().map(|(sequence, _)| *sequence);
        let sequence = match (next, next_refused) {
            (Some(next), Some(refused)) => next.min(refused),
            (next, refused) => match next.or(refused) {
                Some(sequence) => sequence,
                None => break,
            },
        };
        found.missing(expected, sequence, &mut places);
        if next == Some(sequence)
            && let Some(segment) = segments.next()
        {
            found.in_segment(segment, &mut places);
        } else if let Some((_, error)) = refused.next() {
            let fault = format!("the file cannot be opened: {error}");
            places.push(found.place(sequence, (0, 0), fault, Severity::Damage));
        }
        expected = sequence.plus(1);
    }
    // What is missing at the very end: the segment that a seal needs behind it.
    found.missing(expected, expected.plus(1), &mut places);
    places
}

impl Found<'_> {
    /// The first segment that is looked for. Where no copy of the base is right, what is left in front
    /// of the segment that it names is looked at too, but need not be there.
    fn begins(&self) -> SegmentSeq {
        let Front { first, lost, .. } = &self.log.front;
        let there = self.log.segments.first().map(|segment| segment.sequence);
        there.filter(|there| lost.is_some() && there < first).unwrap_or(*first)
    }

    /// How it is if it is in the header of this segment: that a base names was durable.
    pub(super) fn of_header(&self, sequence: SegmentSeq, severity: Severity) -> Severity {
        let front = &self.log.front;
        if front.is_proved() && sequence == front.first { Severity::Damage } else { severity }
    }

    /// The first segment that need not have been there: behind the last one that was in use, and the
    /// one that its seal needs. Where nothing was in use, segment 0 has its name before any other.
    fn needed(&self) -> SegmentSeq {
        let last_used = self.last_used.unwrap_or(self.log.front.first);
        let sealed = self.taken.last().filter(|run| run.is_sealed() && run.sequence == last_used);
        if sealed.is_some() { last_used.plus(2) } else { last_used.plus(1) }
    }

    /// Notes the segments `from..to` as missing, as far as they must have been there.
    fn missing(&self, from: SegmentSeq, to: SegmentSeq, places: &mut Vec<Place>) {
        let needed = self.needed();
        let to = to.min(needed);
        if from >= to {
            return;
        }
        let mut place =
            self.place(from, (0, 0), "the file is missing".to_owned(), Severity::Damage);
        let last = to.before().filter(|last| *last > from);
        if let Some(last) = last {
            place.damage.last_file = Some(segment_name(last));
            place.damage.fault = "these files are missing".to_owned();
        }
        places.push(place);
    }

    /// Notes what is wrong in one segment.
    fn in_segment(&self, segment: &Segment, places: &mut Vec<Place>) {
        let header_bytes = layout::segment::BYTES as u64;
        let unreadable = self.source.unreadable(segment.file);
        let used = self.last_used.is_some_and(|last| segment.sequence <= last);
        let empty = segment.is_empty() && unreadable.stretches().next().is_none();
        let has_length = is_segment_length(segment.length);
        let needed = segment.sequence < self.needed();
        if segment.own_header().is_none() && !has_length && (needed || !empty) {
            // What a header's bytes come to is said with the header.
            let told = empty || segment.length < header_bytes;
            let place = (0, if told { segment.length } else { 0 });
            let harmless = !needed && !is_foreign(&segment.header);
            let severity = if harmless { Severity::Tearable } else { Severity::Damage };
            let fault = Fault::NoSegmentLength { found: segment.length }.to_string();
            places.push(self.place(segment.sequence, place, fault, severity));
            if told {
                return;
            }
        } else if empty {
            if used {
                let fault = "the file is zero from end to end".to_owned();
                let severity = self.of_header(segment.sequence, Severity::Tearable);
                places.push(self.place(segment.sequence, (0, segment.length), fault, severity));
            }
            return;
        }
        let blank =
            segment.is_empty() && !used && unreadable.within(0, header_bytes).next().is_none();
        if !blank {
            self.in_header(segment, &unreadable, places);
        }
        if self.is_of_another(segment) {
            return;
        }
        for gap in &segment.gaps {
            self.in_gap(segment, gap, &unreadable, places);
        }
    }

    /// The position of the first event that was not dropped; 0 where that is not known.
    pub(super) fn first_available(&self) -> Position {
        let Front { first, lost, .. } = &self.log.front;
        let in_front = self.taken.first().is_some_and(|run| run.sequence < *first);
        let header = self.log.segment(*first).and_then(Segment::own_header);
        match (lost, header) {
            (Some(_), Some(header)) if !in_front => header.base_position,
            _ => self.log.front.start(),
        }
    }

    /// The place of whole frames that are not taken over.
    pub(super) fn left_place(&self, run: &Run) -> Place {
        let fault = "whole frames that contradict the ones in front".to_owned();
        self.place(run.sequence, (run.start.as_u64(), run.bytes()), fault, Severity::Tearable)
    }

    /// The last run that is taken over and begins in front of a place.
    pub(super) fn front(&self, sequence: SegmentSeq, offset: u64) -> Option<&Run> {
        let behind = self.taken.partition_point(|run| run.place() < (sequence, offset));
        self.taken.get(behind.checked_sub(1)?).copied()
    }

    pub(super) fn place(
        &self,
        sequence: SegmentSeq,
        (offset, bytes): (u64, u64),
        fault: String,
        severity: Severity,
    ) -> Place {
        let front = self.front(sequence, offset);
        let position = front.map_or(self.first_available(), |run| run.chain.position).as_u64();
        let file = self.log.segment(sequence);
        let file = file.map_or_else(|| segment_name(sequence), |segment| segment.name.clone());
        let damage = Damage { file, last_file: None, offset, bytes, position, fault };
        Place { sequence, damage, severity }
    }
}
