//! Logs with types, tags and commit times drawn from a seed, queries drawn from it too, and which events
//! a query matches, decided by looking at plain values.
#![allow(dead_code)] // each test uses a part of it

use fastrand::Rng;
use quipu::{Batch, CommitTime, Event, Query, QueryItem, RecordedEvent};

/// An event as plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) stream: String,
    pub(crate) event_type: String,
    pub(crate) tags: Vec<String>,
    pub(crate) time: u64,
    pub(crate) payload_bytes: usize,
}

impl Plain {
    /// Common and rare tags, one that nearly every event bears, and at times none, or one twice.
    pub(crate) fn draw(rng: &mut Rng, time: u64) -> Self {
        let mut tags = Vec::new();
        if rng.u8(..10) > 0 {
            tags.push("all".to_owned());
        }
        for _ in 0..rng.usize(..3) {
            tags.push(format!("common-{}", rng.u8(..5)));
        }
        if rng.u8(..8) == 0 {
            tags.push(format!("rare-{}", rng.u8(..12)));
        }
        Self {
            stream: format!("{}-{}", ["order", "stock"][rng.usize(..2)], rng.u8(..4)),
            event_type: ["A", "A", "A", "B", "B", "C", "D"][rng.usize(..7)].to_owned(),
            tags,
            time,
            payload_bytes: rng.usize(..160),
        }
    }

    pub(crate) fn event(&self) -> Event<'static> {
        let event = Event::new(self.event_type.clone(), vec![7; self.payload_bytes]);
        self.tags.iter().fold(event, |event, tag| event.tag(tag.clone()))
    }

    /// Whether a recorded event is this one.
    pub(crate) fn is(&self, event: &RecordedEvent) -> bool {
        event.stream() == self.stream
            && event.event_type() == self.event_type
            && event.tags().iter().eq(self.tags.iter())
            && event.committed_at().as_u64() == self.time
            && event.payload().len() == self.payload_bytes
    }
}

/// One to four events at one time.
pub(crate) fn draw_batch(rng: &mut Rng, time: u64) -> Vec<Plain> {
    (0..rng.usize(1..5)).map(|_| Plain::draw(rng, time)).collect()
}

/// The batch of these events.
pub(crate) fn batch(events: &[Plain]) -> Batch {
    let time = events.first().map_or(0, |event| event.time);
    let mut batch = Batch::new().committed_at(CommitTime::new(time));
    for event in events {
        batch.push(&event.stream, &event.event());
    }
    batch
}

/// One of these types, all of these tags.
#[derive(Debug, Clone, Default)]
pub(crate) struct Item {
    pub(crate) types: Vec<String>,
    pub(crate) tags: Vec<String>,
}

/// A query as plain values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) all_of: Item,
    pub(crate) any_of: Vec<Item>,
    pub(crate) prefix: Option<String>,
    /// From the first to the second, not included.
    pub(crate) times: Option<(u64, u64)>,
}

impl Item {
    fn draw(rng: &mut Rng) -> Self {
        let mut item = Self::default();
        for _ in 0..[0, 0, 1, 2][rng.usize(..4)] {
            item.types.push(["A", "B", "C", "D", "none"][rng.usize(..5)].to_owned());
        }
        for _ in 0..[0, 1, 1, 2][rng.usize(..4)] {
            item.tags.push(match rng.u8(..8) {
                0 => "all".to_owned(),
                1 => "no such tag".to_owned(),
                2..5 => format!("common-{}", rng.u8(..5)),
                _ => format!("rare-{}", rng.u8(..12)),
            });
        }
        item
    }

    fn matches(&self, event: &Plain) -> bool {
        (self.types.is_empty() || self.types.contains(&event.event_type))
            && self.tags.iter().all(|tag| event.tags.contains(tag))
    }

    fn item(&self) -> QueryItem {
        let item = self.types.iter().fold(QueryItem::new(), QueryItem::event_type);
        self.tags.iter().fold(item, QueryItem::tag)
    }
}

impl Asked {
    pub(crate) fn draw(rng: &mut Rng, last_time: u64) -> Self {
        let mut asked = Self::default();
        if rng.bool() {
            asked.all_of = Item::draw(rng);
        }
        for _ in 0..[0, 0, 1, 2, 3][rng.usize(..5)] {
            asked.any_of.push(Item::draw(rng));
        }
        if rng.u8(..4) == 0 {
            asked.prefix = Some(["order", "stock-1", ""][rng.usize(..3)].to_owned());
        }
        if rng.u8(..4) == 0 {
            asked.times = Some((rng.u64(..last_time + 2), rng.u64(..last_time + 2)));
        }
        asked
    }

    pub(crate) fn matches(&self, event: &Plain) -> bool {
        self.all_of.matches(event)
            && (self.any_of.is_empty() || self.any_of.iter().any(|item| item.matches(event)))
            && self.prefix.as_ref().is_none_or(|prefix| event.stream.starts_with(&**prefix))
            && self.times.is_none_or(|(from, to)| from <= event.time && event.time < to)
    }

    pub(crate) fn query(&self) -> Query {
        let mut query = Query::from(self.all_of.item());
        for item in &self.any_of {
            query = query.item(item.item());
        }
        if let Some(prefix) = &self.prefix {
            query = query.stream_prefix(&**prefix);
        }
        if let Some((from, to)) = self.times {
            query = query.committed(CommitTime::new(from)..CommitTime::new(to));
        }
        query
    }
}
