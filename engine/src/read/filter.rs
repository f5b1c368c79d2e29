//! A query, ready to be put to one log.
//!
//! Owns: [`Filter`]. May call: query, leads. Made once for each read, subscription or precondition.

use std::ops::Range;
use std::sync::Arc;

use quipu_format::sidecar::NameHasher;

use super::batch::BatchEvent;
use super::leads::Leads;
use super::query::Query;
use crate::segment::reader::Segment;

/// A query and what leads to its events in the indexes of one log.
#[derive(Debug)]
pub(crate) struct Filter {
    query: Query,
    /// `None`: every event is to be looked at.
    leads: Option<Leads>,
}

impl Filter {
    /// `None`: it lets everything pass.
    pub(crate) fn new(query: Query, hasher: &NameHasher) -> Option<Arc<Self>> {
        (!query.is_open()).then(|| Self::of(query, hasher))
    }

    /// As [`Filter::new`], for one that may let everything pass.
    pub(crate) fn of(query: Query, hasher: &NameHasher) -> Arc<Self> {
        let leads = Leads::of(&query, hasher);
        Arc::new(Self { query, leads })
    }

    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    pub(crate) fn leads(&self) -> Option<&Leads> {
        self.leads.as_ref()
    }

    pub(crate) fn matches(&self, event: &BatchEvent<'_>) -> bool {
        self.query.matches(event)
    }

    /// The part of `positions` without segments in which every event was committed too early or too
    /// late.
    ///
    /// A segment with a predecessor was created at the time of its seal: all in front was committed
    /// then or before, and all from there on then or later.
    pub(crate) fn narrowed(&self, positions: Range<u64>, segments: &[Arc<Segment>]) -> Range<u64> {
        let Some(times) = self.query.times() else { return positions };
        let linked = segments.iter().position(|at| at.header().predecessor.is_some());
        let linked = linked.and_then(|first| segments.get(first..)).unwrap_or_default();
        let created_before = |time: u64| {
            linked.partition_point(|segment| segment.header().created_at.as_u64() < time)
        };
        let base = |place: usize| linked.get(place).map(|at| at.base_position().as_u64());
        let start = created_before(times.start).checked_sub(1).and_then(base);
        let end = match times.end {
            u64::MAX => None,
            end => base(created_before(end)),
        };
        let start = positions.start.max(start.unwrap_or(0));
        start..positions.end.min(end.unwrap_or(u64::MAX)).max(start)
    }
}
