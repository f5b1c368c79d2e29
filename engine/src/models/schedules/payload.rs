//! What an event of a model says about itself: who appended it, as which of its batches, how
//! durable it was to be, and which event of its batch it is.
//!
//! Owns: [`Payload`], and the check that a history holds batches whole and each caller's in order.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Durability;

/// `caller:number:sync:1/2:filling`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) caller: String,
    pub(super) number: u64,
    pub(super) durability: Durability,
    /// The place in the batch, from 1.
    pub(super) place: u64,
    pub(super) count: u64,
    pub(super) filling: String,
}

impl Payload {
    /// Names the batch.
    pub(super) fn batch(&self) -> (String, u64) {
        (self.caller.clone(), self.number)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, number, durability, place, count, filling } = self;
        write!(f, "{caller}:{number}:{durability:?}:{place}/{count}:{filling}")
    }
}

impl FromStr for Payload {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(());
        let (caller, number, durability) = (next()?.to_owned(), number(next()?)?, next()?);
        let (place, count) = next()?.split_once('/').ok_or(())?;
        let durability = match durability {
            "Sync" => Durability::Sync,
            "Buffered" => Durability::Buffered,
            _ => return Err(()),
        };
        let (place, count) = (self::number(place)?, self::number(count)?);
        Ok(Self { caller, number, durability, place, count, filling: next()?.to_owned() })
    }
}

fn number(text: &str) -> Result<u64, ()> {
    text.parse().map_err(drop)
}

/// Fails unless every batch is there whole and in one piece, and the numbers of each caller rise.
pub(super) fn assert_whole_and_in_order<'a>(history: impl IntoIterator<Item = &'a Payload>) {
    let mut last: BTreeMap<&'a str, u64> = BTreeMap::new();
    let mut open: Option<&'a Payload> = None;
    for payload in history {
        if let Some(before) = open {
            let follows = payload.batch() == before.batch() && payload.place == before.place + 1;
            assert!(follows, "{payload} stands within the batch of {before}");
        } else {
            assert_eq!(payload.place, 1, "{payload} stands there without the rest of its batch");
            let before = last.insert(&payload.caller, payload.number);
            assert!(before < Some(payload.number), "{payload} stands behind number {before:?}");
        }
        open = (payload.place < payload.count).then_some(payload);
    }
    assert_eq!(open, None, "only a part of the batch is there");
}
