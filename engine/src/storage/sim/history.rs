//! What a file's pages held at earlier syncs, for decay that brings it back. Kept only where it was
//! asked for.

use std::collections::{BTreeMap, VecDeque};

use super::image::{Page, is_same};

/// Older versions of a file's pages, each shared with whatever else holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// By the page's number, the oldest first.
    pages: BTreeMap<usize, VecDeque<Page>>,
}

impl History {
    /// Keeps what a page held on the disk until now, where `now` stands instead.
    pub(super) fn note(&mut self, page: usize, held: &Page, now: &Page) {
        if is_same(held, now) {
            return;
        }
        let versions = self.pages.entry(page).or_default();
        if versions.len() == VERSIONS_MAX {
            versions.pop_front();
        }
        versions.push_back(held.clone());
    }

    /// How many older versions of a page there are.
    pub(super) fn count(&self, page: usize) -> usize {
        self.pages.get(&page).map_or(0, VecDeque::len)
    }

    /// What a page held so many versions ago: 1 for the one before the last.
    pub(super) fn older(&self, page: usize, back: usize) -> Option<&Page> {
        let versions = self.pages.get(&page)?;
        versions.get(versions.len().checked_sub(back)?)
    }
}

/// How many older versions are kept of one page.
const VERSIONS_MAX: usize = 64;
