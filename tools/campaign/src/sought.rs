//! What events are besides their streams, and what is asked for by that.
//!
//! Owns: [`Traits`] of an event, [`Sought`], [`Since`]. May call: draw, the engine's types for queries.
//! Matching is decided here by looking, whatever the engine knows of indexes.

use std::fmt;

use quipu::{Event, Query, QueryItem};

use crate::draw::Draw;

/// An event's type, by number, and its tags, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits {
    /// Its type.
    pub kind: u8,
    /// Its tags.
    pub tags: u8,
}

/// One of these types, if there are any, and all of these tags: a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Item {
    /// Types.
    pub kinds: u8,
    /// Tags.
    pub tags: u8,
}

/// A query: one item, or either of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sought {
    /// The one.
    pub item: Item,
    /// The other.
    pub or: Option<Item>,
}

/// From where on a query is to match nothing, relative to the log as it will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// This position, whatever is.
    Position(u8),
    /// So many positions in front of the end.
    BeforeEnd(u8),
    /// Behind the last event that it matches, or from the start: it holds.
    LastMatch,
}

/// Types by number.
const TYPES: [&str; 2] = ["T", "another type"];

/// Tags by number.
const TAGS: [&str; 4] = ["x", "y", "customer:7", "a tag with a longer name"];

impl Traits {
    /// Often without tags.
    pub(crate) fn draw(draw: &mut impl Draw) -> Self {
        let tags = if draw.one_in(2) { 0 } else { 1 << draw.below(4) | 1 << draw.below(4) };
        Self { kind: draw.below(2) as u8, tags }
    }

    /// Its type.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        TYPES.get(usize::from(self.kind) % TYPES.len()).unwrap_or(&"T")
    }

    /// Its tags.
    pub fn tags(self) -> impl Iterator<Item = &'static str> {
        named(&TAGS, self.tags)
    }

    /// The event with this payload.
    #[must_use]
    pub fn event(self, payload: &[u8]) -> Event<'_> {
        self.tags().fold(Event::new(self.event_type(), payload), |event, tag| event.tag(tag))
    }
}

impl Item {
    fn draw(draw: &mut impl Draw) -> Self {
        let Traits { kind, tags } = Traits::draw(draw);
        Self { kinds: if draw.one_in(2) { 1 << kind } else { 0 }, tags }
    }

    fn matches(self, event: Traits) -> bool {
        let kind = event.kind % TYPES.len() as u8;
        (self.kinds == 0 || self.kinds >> kind & 1 == 1) && event.tags & self.tags == self.tags
    }

    fn item(self) -> QueryItem {
        let item = named(&TYPES, self.kinds).fold(QueryItem::new(), QueryItem::event_type);
        named(&TAGS, self.tags).fold(item, QueryItem::tag)
    }
}

impl Sought {
    /// Draws one.
    pub(crate) fn draw(draw: &mut impl Draw) -> Self {
        let item = Item::draw(draw);
        Self { item, or: draw.one_in(3).then(|| Item::draw(draw)) }
    }

    /// Whether an event is one of those.
    #[must_use]
    pub fn matches(self, event: Traits) -> bool {
        self.item.matches(event) || self.or.is_some_and(|or| or.matches(event))
    }

    /// The same for the log.
    #[must_use]
    pub fn query(self) -> Query {
        match self.or {
            None => self.item.item().into(),
            Some(or) => Query::new().item(self.item.item()).item(or.item()),
        }
    }

    /// Some that differ in what leads to their events.
    #[must_use]
    pub fn several() -> [Self; 5] {
        let tags = |tags| Item { kinds: 0, tags };
        [
            Self { item: tags(0b1), or: None },
            Self { item: tags(0b110), or: None },
            Self { item: tags(0b1000), or: Some(Item { kinds: 0b10, tags: 0b10 }) },
            Self { item: Item { kinds: 0b10, tags: 0 }, or: None },
            Self { item: Item { kinds: 0b1, tags: 0 }, or: Some(tags(0b100)) },
        ]
    }
}

impl Since {
    /// Mostly where it holds.
    pub(crate) fn draw(draw: &mut impl Draw) -> Self {
        match draw.below(8) {
            0 => Self::Position(draw.below(20) as u8),
            1 | 2 => Self::BeforeEnd(draw.below(6) as u8),
            3 => Self::BeforeEnd(0),
            _ => Self::LastMatch,
        }
    }
}

impl fmt::Display for Traits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.event_type())?;
        self.tags().try_for_each(|tag| write!(f, " {tag:?}"))
    }
}

/// Those of `names` whose bits are set; a bit without a name asks for nothing.
fn named(names: &'static [&'static str], bits: u8) -> impl Iterator<Item = &'static str> {
    names.iter().enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sought_has_one_of_the_types_and_all_of_the_tags() {
        let event = Traits { kind: 1, tags: 0b101 };
        for (kinds, tags, expected) in [
            (0, 0, true),
            (0b10, 0b100, true),
            (0b11, 0b101, true),
            (0b01, 0b101, false),
            (0, 0b111, false),
        ] {
            let item = Item { kinds, tags };
            assert_eq!(Sought { item, or: None }.matches(event), expected, "{item:?}");
            let all = Some(Item::default());
            assert!(Sought { item, or: all }.matches(event));
        }
    }
}
