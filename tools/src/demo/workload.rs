//! What the demo's writers store: orders, and the stock they reserve.
//!
//! Owns: [`OrderId`], [`Order`], [`Part`]. An order is one batch: an event on a stream of its own and
//! one on the stream of each item. Everything but the versions seen follows from the id, so that
//! whoever finds a batch knows what it must have been, whole.

use std::fmt;
use std::str::FromStr;

use quipu::{Batch, Durability, Event, ExpectedVersion, Log, Version};
use serde::{Deserialize, Serialize};

/// Streams of items that all orders share: few, so that writers get into each other's way.
const ITEMS: u64 = 6;
/// Items in one order at the most.
const ITEMS_OF_ORDER_MAX: u64 = 3;

/// The name of an order: who placed it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderId {
    /// The life of the writing process.
    pub round: u32,
    /// The thread in it.
    pub thread: u32,
    /// The thread's n-th order.
    pub number: u32,
}

/// An order, as its id determines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whether it is acknowledged before it is on the device: a killed process loses neither kind.
    pub durability: Durability,
    /// Numbers and quantities of its items.
    items: Vec<(u64, u64)>,
}

/// The payload of one event of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The order's id.
    pub batch: String,
    /// Which event of the batch this is.
    pub part: u32,
    /// How many there are.
    pub of: u32,
    /// How much of the item.
    pub quantity: u64,
    /// The version of the item's stream that the order was placed against; `None`: no events.
    pub seen: Option<u64>,
}

impl Order {
    /// The order of this id.
    #[must_use]
    pub fn new(id: OrderId) -> Self {
        let seed = u64::from(id.round) << 48 ^ u64::from(id.thread) << 32 ^ u64::from(id.number);
        let mut random = fastrand::Rng::with_seed(seed);
        let first = random.u64(..ITEMS);
        let count = random.u64(1..=ITEMS_OF_ORDER_MAX);
        let items = (0..count).map(|at| ((first + at) % ITEMS, random.u64(1..10))).collect();
        let durability = if random.bool() { Durability::Sync } else { Durability::Buffered };
        Self { id, durability, items }
    }

    /// The batch, against the stock as `log` shows it now: if an item's stream moves before the
    /// batch is committed, the batch is refused.
    #[must_use]
    pub fn batch(&self, log: &Log) -> Batch {
        let mut batch = Batch::new().durability(self.durability);
        let mut seen = Vec::new();
        for (stream, _) in self.events() {
            let version = log.stream_version(&stream);
            let expected = version.map_or(ExpectedVersion::NoStream, ExpectedVersion::Exact);
            batch = batch.expect(&stream, expected);
            seen.push(version);
        }
        for (at, (stream, event_type)) in self.events().enumerate() {
            let part = self.part(at as u32, seen.get(at).copied().flatten());
            let payload = serde_json::to_vec(&part).unwrap_or_default();
            batch.push(&stream, &Event::new(event_type, payload));
        }
        batch
    }

    /// Stream and type of each event, in order.
    pub fn events(&self) -> impl Iterator<Item = (String, &'static str)> {
        let order = (format!("order-{}", self.id), "OrderPlaced");
        let stock = self.items.iter().map(|(item, _)| (format!("stock-{item}"), "StockReserved"));
        std::iter::once(order).chain(stock)
    }

    /// Number of events.
    #[must_use]
    pub fn event_count(&self) -> u32 {
        1 + self.items.len() as u32
    }

    /// The payload of event `part`, placed against version `seen` of its stream.
    #[must_use]
    pub fn part(&self, part: u32, seen: Option<Version>) -> Part {
        let quantity = match part.checked_sub(1) {
            None => self.items.iter().map(|(_, quantity)| quantity).sum(),
            Some(item) => self.items.get(item as usize).map_or(0, |(_, quantity)| *quantity),
        };
        let (batch, of) = (self.id.to_string(), self.event_count());
        Part { batch, part, of, quantity, seen: seen.map(Version::as_u64) }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.round, self.thread, self.number)
    }
}

impl FromStr for OrderId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.split('-').map(|part| part.parse::<u32>().map_err(|_| ()));
        let mut next = || numbers.next().unwrap_or(Err(()));
        let id = Self { round: next()?, thread: next()?, number: next()? };
        if numbers.next().is_none() { Ok(id) } else { Err(()) }
    }
}
