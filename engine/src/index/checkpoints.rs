//! Named checkpoints of projections: how far each has come.
//!
//! Owns: [`Checkpoints`], a table of what has been set, the writer's or recovery's, and
//! [`PublishedCheckpoints`], what readers see of it. May call: the number types of the format.
//!
//! Invariants:
//! - A checkpoint only rises.
//! - A checkpoint and the events of the batch that set it become visible in one step: who sees one
//!   sees the others.

use std::collections::HashMap;

use quipu_format::Position;

use crate::sync::RwLock;

/// A named checkpoint, as it was set last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Set {
    /// To what.
    pub(crate) position: Position,
    /// The first position of the batch that did so; `None`: one without events.
    pub(crate) set_by: Option<Position>,
    /// So many frames had been stored when it was, by this process: it is durable when they are.
    pub(crate) frames: u64,
}

/// All named checkpoints.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoints {
    by_name: HashMap<Box<str>, Set>,
}

impl Checkpoints {
    pub(crate) fn find(&self, name: &str) -> Option<&Set> {
        self.by_name.get(name)
    }

    /// Whether the checkpoint would go forward.
    pub(crate) fn would_rise(&self, name: &str, position: Position) -> bool {
        self.find(name).is_none_or(|set| set.position < position)
    }

    pub(crate) fn set(&mut self, name: &str, set: Set) {
        debug_assert!(self.would_rise(name, set.position), "a checkpoint only rises");
        match self.by_name.get_mut(name) {
            Some(known) => *known = set,
            None => {
                self.by_name.insert(name.into(), set);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// The named checkpoints that readers see.
#[derive(Debug, Default)]
pub(crate) struct PublishedCheckpoints {
    by_name: RwLock<HashMap<Box<str>, Position>>,
}

impl PublishedCheckpoints {
    /// Those of a log just opened.
    pub(crate) fn new(checkpoints: &Checkpoints) -> Self {
        let all = checkpoints.by_name.iter();
        let published = Self::default();
        published.by_name.write().extend(all.map(|(name, set)| (name.clone(), set.position)));
        published
    }

    pub(crate) fn find(&self, name: &str) -> Option<Position> {
        self.by_name.read().get(name).copied()
    }

    /// All of them, in the order of their names.
    pub(crate) fn all(&self) -> Vec<(String, Position)> {
        let by_name = self.by_name.read();
        let mut all: Vec<_> = by_name.iter().map(|(name, at)| (name.to_string(), *at)).collect();
        drop(by_name);
        all.sort_unstable();
        all
    }

    /// Makes a group's checkpoints visible together with its events, which `publish` does. By the one
    /// that holds the publisher only.
    pub(crate) fn publish(&self, set: Vec<(Box<str>, Position)>, publish: impl FnOnce()) {
        if set.is_empty() {
            return publish();
        }
        let mut by_name = self.by_name.write();
        by_name.extend(set);
        publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_rises_and_never_stands_still() {
        let mut checkpoints = Checkpoints::default();
        let set = |position| Set { position: Position::new(position), set_by: None, frames: 0 };
        assert!(checkpoints.would_rise("a", Position::ZERO), "one that is not there yet");
        checkpoints.set("a", set(5));
        for (position, rises) in [(4, false), (5, false), (6, true)] {
            assert_eq!(checkpoints.would_rise("a", Position::new(position)), rises, "{position}");
        }
        assert!(checkpoints.would_rise("b", Position::new(4)), "another name");
        checkpoints.set("a", set(9));
        assert_eq!(checkpoints.find("a"), Some(&set(9)));
    }

    #[test]
    fn what_is_published_is_seen_in_the_order_of_names_and_in_one_step_with_what_is_beside_it() {
        let published = PublishedCheckpoints::default();
        let set = vec![("b".into(), Position::new(2)), ("a".into(), Position::ZERO)];
        published.publish(set, || {
            #[cfg(not(any(quipu_loom, quipu_shuttle)))] // their locks cannot be tried
            assert!(published.by_name.try_read().is_none(), "a reader gets in between");
        });
        let all = [("a".to_owned(), Position::ZERO), ("b".to_owned(), Position::new(2))];
        assert_eq!(published.all(), all);
        assert_eq!(published.find("c"), None);
    }
}
