//! Which events are asked for.
//!
//! Owns: [`Query`] and [`QueryItem`], as a caller says them, and whether an event matches. May call:
//! batch, range. Finding what matches without looking at everything is the business of [`super::leads`].

use std::fmt;
use std::ops::{Range, RangeBounds};

use quipu_format::CommitTime;

use super::batch::BatchEvent;
use super::range::half_open;

/// Which events are asked for: by type, by tags, by stream prefix, by commit time, combined.
///
/// An event matches if all of this holds:
/// - its type is one of [`Query::event_type`], if any is given;
/// - it bears every tag of [`Query::tag`];
/// - it matches at least one of the items ([`Query::item`]), if there are any: an item is a set of
///   types, of which it has one, and a set of tags, all of which it bears;
/// - its stream's name begins with [`Query::stream_prefix`], if that is given;
/// - it was committed in the range of [`Query::committed`], if that is given.
///
/// So a new query matches everything. Reads and subscriptions take one ([`Read::matching`](crate::Read::matching),
/// [`Subscribe::matching`](crate::Subscribe::matching)), and preconditions
/// ([`Batch::expect_none`](crate::Batch::expect_none)).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
/// use quipu::{Batch, Event, Query, QueryItem};
/// log.append(
///     Batch::new()
///         .event("s", Event::new("Enrolled", "").tag("course:1").tag("student:7"))
///         .event("s", Event::new("Enrolled", "").tag("course:2").tag("student:7"))
///         .event("s", Event::new("CapacityChanged", "").tag("course:1")),
/// )?;
/// let about = Query::new()
///     .item(QueryItem::new().event_type("CapacityChanged").tag("course:1"))
///     .item(QueryItem::new().event_type("Enrolled").tag("course:2"));
/// let found: Result<Vec<_>, _> = log.read(..).matching(about).into_iter().collect();
/// assert_eq!(found?.iter().map(|event| event.position().as_u64()).collect::<Vec<_>>(), [1, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Query {
    pub(crate) all_of: QueryItem,
    pub(crate) any_of: Vec<QueryItem>,
    stream_prefix: Option<String>,
    /// In nanoseconds.
    committed: Option<Range<u64>>,
}

/// A set of types, of which a matching event has one, and a set of tags, all of which it bears. An
/// empty set asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct QueryItem {
    pub(crate) event_types: Vec<String>,
    pub(crate) tags: Vec<String>,
}

impl Query {
    /// Matches everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of this type; said several times, of one of these types.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.all_of.event_types.push(event_type.into());
        self
    }

    /// Only events with this tag; said several times, with all of these tags.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.all_of.tags.push(tag.into());
        self
    }

    /// Only events that match this item; said several times, one of these items.
    #[must_use]
    pub fn item(mut self, item: QueryItem) -> Self {
        self.any_of.push(item);
        self
    }

    /// Only events of streams whose names begin so.
    #[must_use]
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.stream_prefix = Some(prefix.into());
        self
    }

    /// Only events committed at these times: any range, usually from one, included, to another, not
    /// included. Segments outside it are not looked at.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// use quipu::{Batch, CommitTime, Event, Query};
    /// for time in [10, 20, 30] {
    ///     let batch = Batch::new().committed_at(CommitTime::new(time));
    ///     log.append(batch.event("s", Event::new("T", "")))?;
    /// }
    /// let twenties = Query::new().committed(CommitTime::new(20)..CommitTime::new(30));
    /// assert_eq!(log.read(..).matching(twenties).into_iter().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn committed(mut self, times: impl RangeBounds<CommitTime>) -> Self {
        self.committed = Some(half_open(&times));
        self
    }

    /// Whether it lets everything pass.
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// The commit times that can match; the last of all times is in every range that is open there.
    pub(crate) fn times(&self) -> Option<&Range<u64>> {
        self.committed.as_ref()
    }

    pub(crate) fn matches(&self, event: &BatchEvent<'_>) -> bool {
        let Self { all_of, any_of, stream_prefix, committed } = self;
        stream_prefix.as_ref().is_none_or(|prefix| event.stream().starts_with(&**prefix))
            && committed.as_ref().is_none_or(|times| {
                let time = event.committed_at().as_u64();
                times.start <= time && (time < times.end || times.end == u64::MAX)
            })
            && all_of.matches(event)
            && (any_of.is_empty() || any_of.iter().any(|item| item.matches(event)))
    }
}

impl QueryItem {
    /// Asks for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of this type; said several times, of one of these types.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_types.push(event_type.into());
        self
    }

    /// Only events with this tag; said several times, with all of these tags.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    fn matches(&self, event: &BatchEvent<'_>) -> bool {
        let Self { event_types, tags } = self;
        (event_types.is_empty() || event_types.iter().any(|one| event.event_type() == one))
            && tags.iter().all(|tag| event.tags().contains(tag))
    }
}

impl From<QueryItem> for Query {
    fn from(item: QueryItem) -> Self {
        Self { all_of: item, ..Self::default() }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all_of, any_of, stream_prefix, committed } = self;
        if self.is_open() {
            return f.write_str("any event");
        }
        let mut between = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            write!(f, "{}{text}", std::mem::replace(&mut between, ", "))
        };
        if *all_of != QueryItem::default() {
            part(f, format_args!("{all_of}"))?;
        }
        for (at, item) in any_of.iter().enumerate() {
            match at {
                0 => part(f, format_args!("({item})"))?,
                _ => write!(f, " or ({item})")?,
            }
        }
        if let Some(prefix) = stream_prefix {
            part(f, format_args!("stream {prefix:?}..."))?;
        }
        if let Some(Range { start, end }) = committed {
            part(f, format_args!("committed at {start}..{end}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for QueryItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for event_type in &self.event_types {
            let lead = if between.is_empty() { "type " } else { " or " };
            write!(f, "{lead}{event_type:?}")?;
            between = ", ";
        }
        for tag in &self.tags {
            write!(f, "{between}tag {tag:?}")?;
            between = ", ";
        }
        if between.is_empty() { f.write_str("any event") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_reads_as_what_it_asks_for() {
        let item = || QueryItem::new().event_type("A").event_type("B").tag("x").tag("y");
        let times = CommitTime::new(1)..CommitTime::new(5);
        for (query, text) in [
            (Query::new(), "any event"),
            (item().into(), r#"type "A" or "B", tag "x", tag "y""#),
            (Query::new().tag("x").stream_prefix("s-"), r#"tag "x", stream "s-"..."#),
            (
                Query::new().event_type("A").item(item()).item(QueryItem::new()).committed(times),
                r#"type "A", (type "A" or "B", tag "x", tag "y") or (any event), committed at 1..5"#,
            ),
        ] {
            assert_eq!(query.to_string(), text);
        }
    }
}
