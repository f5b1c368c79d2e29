//! Where events with tags stand, in a segment that has no index of its own yet.
//!
//! Owns: [`TagLists`]. May call: arena, the number types of the format. Part of a segment's tail, and
//! dropped with it.
//!
//! Tags are known by their hashes alone, 64 bits keyed by the log's id. Two tags with one hash share a
//! list: it leads to events of both, and whoever follows it looks at the events.

use hashbrown::HashTable;
use quipu_format::Position;
use quipu_format::sidecar::NameHash;
use smallvec::SmallVec;

use super::arena::Chunks;

/// The positions of events by their tags' hashes.
#[derive(Debug, Default)]
pub(crate) struct TagLists {
    by_hash: HashTable<(u64, u32)>,
    /// Ascending, each position once.
    lists: Chunks<SmallVec<[Position; 2]>>,
}

impl TagLists {
    /// Notes an event that bears a tag: one not in front of those noted before.
    pub(crate) fn push(&mut self, tag: NameHash, position: Position) {
        let Self { by_hash, lists } = self;
        let hash = tag.as_u64();
        if let Some((_, place)) = by_hash.find(hash, |(known, _)| *known == hash)
            && let Some(list) = lists.get_mut(*place as usize)
        {
            // One that bears a tag twice is there already.
            if list.last() < Some(&position) {
                list.push(position);
            }
            return;
        }
        let place = u32::try_from(lists.len()).expect(
            "four thousand million lists and their entries do not fit into the memory of a machine",
        );
        let mut list = SmallVec::new();
        list.push(position);
        lists.push(list);
        by_hash.insert_unique(hash, (hash, place), |(hash, _)| *hash);
    }

    /// The positions of events that bear a tag with this hash.
    pub(crate) fn positions(&self, tag: NameHash) -> &[Position] {
        let hash = tag.as_u64();
        let found = self.by_hash.find(hash, |(known, _)| *known == hash);
        found.and_then(|(_, place)| self.lists.get(*place as usize)).map_or(&[], |list| list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_listed_once_under_each_of_its_tags() {
        let mut lists = TagLists::default();
        let (often, rare) = (NameHash::new(7), NameHash::new(8));
        for at in 0..5_000 {
            lists.push(often, Position::new(at));
            lists.push(often, Position::new(at));
            lists.push(NameHash::new(100 + at), Position::new(at));
        }
        lists.push(rare, Position::new(5_000));
        assert_eq!(lists.positions(rare), [Position::new(5_000)]);
        assert_eq!(lists.positions(NameHash::new(102)), [Position::new(2)]);
        assert!(lists.positions(often).iter().copied().eq((0..5_000).map(Position::new)));
        assert_eq!(lists.positions(NameHash::new(9)), []);
    }
}
