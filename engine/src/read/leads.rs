//! What leads from a query to its events, without a look at all the others.
//!
//! Owns: [`Leads`]. May call: query, index, segment, the format. Says at which positions of one segment
//! events may stand that match; each is to be looked at.
//!
//! A query is a choice of items. Each has to be led to, by the rarest of its tags in the segment, or by
//! its types if it has no tags; an item with neither leads to everything. Tags are known of every
//! segment, from its own index or from its tail in memory; types from its own index alone.
//!
//! Invariant: no position of an event that matches is left out. One too many does no harm: tails know
//! tags by their hashes.

use std::ops::Range;

use quipu_format::Position;
use quipu_format::sidecar::{NameHash, NameHasher, Positions, Section, Sidecar, SidecarError};

use super::query::{Query, QueryItem};
use crate::index::StreamIndex;
use crate::index::tags::TagLists;
use crate::segment::reader::Segment;
use crate::segment::sidecar::SegmentIndex;

/// What leads to the events of a query.
#[derive(Debug)]
pub(crate) struct Leads {
    /// One for each item.
    items: Vec<Lead>,
    has_types: bool,
}

#[derive(Debug)]
enum Lead {
    /// All of these; at least one.
    Tags(Vec<Name>),
    /// One of these; at least one.
    Types(Vec<Name>),
}

#[derive(Debug)]
struct Name {
    hash: NameHash,
    name: Box<str>,
}

/// What a segment's index says of a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// The events of these positions are to be looked at one by one.
    Scan,
    /// Of these positions all that may match have been listed, in ascending order.
    Listed(Range<u64>),
}

/// One ascending list of positions.
trait List {
    /// How many are below.
    fn below(&self, position: u64) -> Result<u64, SidecarError>;
    /// Appends `count` of them, from the one at `index` on.
    fn take(&self, index: u64, count: u64, into: &mut Vec<u64>) -> Result<(), SidecarError>;
}

/// Of each list so many positions are looked up at once.
const LISTED_MAX: u64 = 256;

/// Where more than one event of so many may match, all are looked at in order instead.
const SPARSE: u64 = 8;

impl Leads {
    /// `None`: some item leads to everything.
    pub(crate) fn of(query: &Query, hasher: &NameHasher) -> Option<Self> {
        let nothing_more = [QueryItem::default()];
        let any_of = if query.any_of.is_empty() { &nothing_more[..] } else { &query.any_of };
        let lead = |item: &QueryItem| {
            let tags = query.all_of.tags.iter().chain(&item.tags);
            let tags: Vec<_> = tags.map(|tag| Name::new(tag, hasher.tag(tag))).collect();
            if !tags.is_empty() {
                return Some(Lead::Tags(tags));
            }
            let either = [&item.event_types, &query.all_of.event_types];
            let types = either.into_iter().find(|types| !types.is_empty())?;
            Some(Lead::Types(
                types.iter().map(|one| Name::new(one, hasher.event_type(one))).collect(),
            ))
        };
        let items: Vec<Lead> = any_of.iter().map(lead).collect::<Option<_>>()?;
        let has_types = items.iter().any(|lead| matches!(lead, Lead::Types(_)));
        Some(Self { items, has_types })
    }

    /// Looks up some of the positions of `part`, all of which are in `segment`: those at its start, or
    /// backward at its end.
    pub(crate) fn look_up(
        &self,
        index: &StreamIndex,
        segment: &Segment,
        part: &Range<u64>,
        backward: bool,
        into: &mut Vec<u64>,
    ) -> Looked {
        {
            let streams = index.read();
            if let Some(tail) = streams.tail(segment.sequence()) {
                let Some(lists) = self.in_tail(tail.tags()) else { return Looked::Scan };
                // Lists in memory do not fail.
                return merge(&lists, part, backward, into).unwrap_or(Looked::Scan);
            }
        }
        // A segment without a tail has an index of its own.
        for remade in [false, true] {
            let looked = segment.own_index(remade).map(|own| {
                let lists = self.in_own(&own)?;
                merge(&lists, part, backward, into)
            });
            match looked {
                Ok(Ok(looked)) => return looked,
                Ok(Err(_)) => into.clear(),
                // It cannot be made again: who looks at the events meets the damage.
                Err(_) => break,
            }
        }
        Looked::Scan
    }

    /// `None`: tails do not know types.
    fn in_tail<'a>(&self, tags: &'a TagLists) -> Option<Vec<&'a [Position]>> {
        if self.has_types {
            return None;
        }
        let mut lists = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let Lead::Tags(names) = item else { return None };
            let found = names.iter().map(|name| tags.positions(name.hash));
            lists.extend(found.min_by_key(|positions| positions.len()));
        }
        Some(lists)
    }

    fn in_own<'a>(&self, own: &'a SegmentIndex) -> Result<Vec<Positions<'a>>, SidecarError> {
        let mut lists = Vec::with_capacity(self.items.len());
        for item in &self.items {
            match item {
                Lead::Tags(names) => lists.extend(rarest(own, names)?),
                Lead::Types(names) => {
                    let sidecar = own.sidecar(&[Section::TypeTable, Section::TypeRecords])?;
                    for name in names {
                        let found = sidecar.event_type(name.hash, &name.name)?;
                        lists.extend(found.map(|found| found.positions));
                    }
                }
            }
        }
        Ok(lists)
    }
}

/// The events with the rarest of these tags; `None`: one of them is not in the segment.
fn rarest<'a>(
    own: &'a SegmentIndex,
    names: &[Name],
) -> Result<Option<Positions<'a>>, SidecarError> {
    for name in names {
        if !own.may_hold(name.hash)? {
            return Ok(None);
        }
    }
    let sidecar: Sidecar<'a> = own.sidecar(&[Section::TagTable, Section::TagRecords])?;
    let mut rarest: Option<Positions<'a>> = None;
    for name in names {
        let Some(found) = sidecar.tag(name.hash, &name.name)? else { return Ok(None) };
        let positions = found.positions;
        rarest = Some(rarest.filter(|known| known.len() <= positions.len()).unwrap_or(positions));
    }
    Ok(rarest)
}

/// Appends the positions of `part` that are in one of the lists, each once, ascending: those at its
/// start, or backward at its end, up to the first that stands behind [`LISTED_MAX`] others of its list.
fn merge<L: List>(
    lists: &[L],
    part: &Range<u64>,
    backward: bool,
    into: &mut Vec<u64>,
) -> Result<Looked, SidecarError> {
    let mut covered = part.clone();
    let mut bounds = Vec::with_capacity(lists.len());
    let mut total = 0_u64;
    for list in lists {
        let (start, end) = (list.below(part.start)?, list.below(part.end)?);
        total = total.saturating_add(end.saturating_sub(start));
        if end > start {
            bounds.push((list, start, end));
        }
    }
    if total > SPARSE && total > (part.end - part.start) / SPARSE {
        return Ok(Looked::Scan);
    }
    let mut edge = Vec::new();
    for (list, start, end) in &bounds {
        if end - start <= LISTED_MAX {
            continue;
        }
        edge.clear();
        if backward {
            list.take(end - LISTED_MAX - 1, 1, &mut edge)?;
            covered.start = edge.first().map_or(covered.start, |at| covered.start.max(at + 1));
        } else {
            list.take(start + LISTED_MAX, 1, &mut edge)?;
            covered.end = edge.first().map_or(covered.end, |at| covered.end.min(*at));
        }
    }
    for (list, start, end) in &bounds {
        let (start, end) = match covered == *part {
            true => (*start, *end),
            false => (list.below(covered.start)?, list.below(covered.end)?),
        };
        list.take(start, end.saturating_sub(start), into)?;
    }
    if bounds.len() > 1 {
        into.sort_unstable();
        into.dedup();
    }
    Ok(Looked::Listed(covered))
}

impl List for &[Position] {
    fn below(&self, position: u64) -> Result<u64, SidecarError> {
        Ok(self.partition_point(|at| at.as_u64() < position) as u64)
    }

    fn take(&self, index: u64, count: u64, into: &mut Vec<u64>) -> Result<(), SidecarError> {
        let (index, count) = (index as usize, count as usize);
        into.extend(self.iter().skip(index).take(count).map(|at| at.as_u64()));
        Ok(())
    }
}

impl List for Positions<'_> {
    fn below(&self, position: u64) -> Result<u64, SidecarError> {
        self.count_below(Position::new(position))
    }

    fn take(&self, index: u64, count: u64, into: &mut Vec<u64>) -> Result<(), SidecarError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        for position in self.iter_from(index)?.take(count) {
            into.push(position?.as_u64());
        }
        Ok(())
    }
}

impl Name {
    fn new(name: &str, hash: NameHash) -> Self {
        Self { hash, name: name.into() }
    }
}
