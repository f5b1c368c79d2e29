//! One simulated file's bytes: live, durable, and what lies between.
//!
//! Pages are shared between the two and copied when stored to; a page of zeros takes no memory. So
//! a store costs what it touches, a sync what is dirty, and a reboot a count for each page.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use fastrand::Rng;

use super::history::History;
use super::survivors::{Choose, Unsynced};
use super::{PAGE_BYTES, SECTOR_BYTES};

/// The bytes of one page.
pub(super) type PageBytes = [u8; PAGE_BYTES];

/// A page; none for one of zeros.
pub(super) type Page = Option<Arc<PageBytes>>;

/// A page as the machine sees it, and as the disk holds it.
pub(super) type Sides = [Page; 2];

/// A file's content at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pages: Vec<Page>,
    length: u64,
}

/// A file's contents: as the machine sees it, and as a crash may leave it.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    live: Content,
    durable: Content,
    /// The pages stored to since the last sync, each with what it held in between, where the
    /// system may have written it back.
    dirty: BTreeMap<usize, Vec<Page>>,
    /// The lengths since the last sync, the live one not among them.
    lengths: Vec<u64>,
    length_is_dirty: bool,
    /// What the disk held before, where that is kept.
    history: Option<Box<History>>,
}

impl Image {
    /// A file that is durable as it is.
    pub(super) fn settled(content: Content) -> Self {
        Self { live: content.clone(), durable: content, ..Self::default() }
    }

    /// A durable file of these bytes.
    pub(super) fn holding(bytes: &[u8]) -> Self {
        let mut content = Content::default();
        content.grow(bytes.len() as u64);
        content.put(0, bytes);
        Self::settled(content)
    }

    pub(super) fn live(&self) -> &Content {
        &self.live
    }

    pub(super) fn durable(&self) -> &Content {
        &self.durable
    }

    /// Gives the file a greater length; a crash may find any of those on the way.
    pub(super) fn grow(&mut self, length: u64, rng: &mut Rng) {
        let before = self.live.length;
        if length <= before {
            return;
        }
        let page = PAGE_BYTES as u64;
        let between = (before / page + rng.u64(0..=(length - before) / page)) * page;
        for passed in [before, between] {
            if passed > self.durable.length && passed < length && self.lengths.len() < VERSIONS_MAX
            {
                self.lengths.push(passed);
            }
        }
        self.length_is_dirty = true;
        self.live.grow(length);
    }

    /// Stores `parts`, one behind the other. At times, as the seed has it, the system is taken to
    /// write the pages back in the middle of it.
    pub(super) fn store(&mut self, offset: u64, parts: &[&[u8]], rng: &mut Rng) {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if length == 0 {
            return;
        }
        self.grow(offset + length, rng);
        let pages = page_of(offset)..page_of(offset + length - 1) + 1;
        for page in pages.clone() {
            self.dirty.entry(page).or_default();
        }
        let mut write_back_at = (rng.u8(..) < WRITE_BACK_IN_256).then(|| rng.u64(0..length));
        let mut at = offset;
        for part in parts {
            let behind = at + part.len() as u64 - offset;
            let cut = write_back_at.take_if(|cut| *cut < behind);
            let (before, after) = part.split_at(cut.map_or(0, |cut| (cut + offset - at) as usize));
            self.live.put(at, before);
            if cut.is_some() {
                self.write_back(pages.clone());
            }
            self.live.put(at + before.len() as u64, after);
            at += part.len() as u64;
        }
    }

    /// Keeps what the pages hold now as something that a crash may find.
    fn write_back(&mut self, pages: Range<usize>) {
        for page in pages {
            let versions = self.dirty.entry(page).or_default();
            if versions.len() < VERSIONS_MAX {
                versions.push(self.live.page(page).clone());
            }
        }
    }

    /// All of it is durable.
    pub(super) fn sync(&mut self) {
        remember(&mut self.history, &self.durable, &self.dirty, &self.live);
        self.durable.grow(self.live.length);
        for page in std::mem::take(&mut self.dirty).into_keys() {
            self.durable.set_page(page, self.live.page(page).clone());
        }
        self.lengths.clear();
        self.length_is_dirty = false;
    }

    /// Some of it is durable, and the rest is taken for durable from now on.
    pub(super) fn fail_sync(&mut self, file: &str, choose: &mut dyn Choose) {
        let left = self.survive(file, choose);
        remember(&mut self.history, &self.durable, &self.dirty, &left);
        self.durable = left;
        self.dirty.clear();
        self.lengths.clear();
        self.length_is_dirty = false;
    }

    /// What a crash leaves.
    pub(super) fn survive(&self, file: &str, choose: &mut dyn Choose) -> Content {
        let mut content = self.durable.clone();
        if self.length_is_dirty && self.live.length != self.durable.length {
            let length = || Unsynced::Length(file.to_owned());
            let length = match choose.one(self.lengths.len() + 2, &length) {
                0 => self.durable.length,
                version => *self.lengths.get(version - 1).unwrap_or(&self.live.length),
            };
            content.grow(length);
        }
        for (page, between) in &self.dirty {
            let survivor = self.surviving_page(*page, between, file, choose);
            // What lies behind the length that was found is lost.
            content.set_page(*page, survivor);
        }
        content.cut();
        content
    }

    fn surviving_page(
        &self,
        page: usize,
        between: &[Page],
        file: &str,
        choose: &mut dyn Choose,
    ) -> Page {
        let (old, last) = (self.durable.page(page), self.live.page(page));
        let versions = || std::iter::once(old).chain(between).chain(std::iter::once(last));
        if let Some(whole) = choose.page(between.len() + 2) {
            return versions().nth(whole).unwrap_or(last).clone();
        }
        let mut torn = bytes_of(old).to_owned();
        for start in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
            let sector = start..start + SECTOR_BYTES;
            let mut distinct: Vec<&[u8]> = Vec::with_capacity(between.len() + 2);
            for held in versions().filter_map(|held| bytes_of(held).get(sector.clone())) {
                if !distinct.contains(&held) {
                    distinct.push(held);
                }
            }
            if distinct.len() < 2 {
                continue;
            }
            let offset = (page * PAGE_BYTES + start) as u64;
            let what = || Unsynced::Sector { file: file.to_owned(), offset };
            let chosen = distinct.get(choose.one(distinct.len(), &what));
            if let (Some(chosen), Some(target)) = (chosen, torn.get_mut(sector)) {
                target.copy_from_slice(chosen);
            }
        }
        Some(Arc::new(torn))
    }

    /// The file after a crash that has left `content`.
    pub(super) fn rebooted(&self, content: Content) -> Self {
        let mut history = self.history.clone();
        remember(&mut history, &self.durable, &self.dirty, &content);
        Self { history, ..Self::settled(content) }
    }

    /// Keeps what the disk holds at each sync from now on.
    pub(super) fn keep_history(&mut self) {
        self.history.get_or_insert_default();
    }

    /// The older versions of pages, as far as they are kept.
    pub(super) fn history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    /// The page around `offset`, live and durable.
    pub(super) fn around(&self, offset: u64) -> Sides {
        let page = page_of(offset);
        [self.live.page(page).clone(), self.durable.page(page).clone()]
    }

    /// Changes the page around `offset`, live and durable, in a way that may differ between the
    /// two. Answers whether any byte has changed.
    pub(super) fn alter(
        &mut self,
        offset: u64,
        mut change: impl FnMut(&mut PageBytes, usize),
    ) -> bool {
        let page = page_of(offset);
        let mut has_changed = false;
        for (side, content) in [&mut self.live, &mut self.durable].into_iter().enumerate() {
            if offset >= content.length {
                continue;
            }
            let before = content.page(page).clone();
            let mut bytes = bytes_of(&before).to_owned();
            change(&mut bytes, side);
            content.set_page(page, Some(Arc::new(bytes)));
            content.cut();
            match is_same(&before, content.page(page)) {
                true => content.set_page(page, before),
                false => has_changed = true,
            }
        }
        has_changed
    }

    /// Gives the file another length, live and durable. Answers whether it had another one.
    pub(super) fn truncate(&mut self, length: u64) -> bool {
        let has_changed = self.live.length != length || self.durable.length != length;
        self.live.truncate(length);
        self.durable.truncate(length);
        self.dirty.split_off(&self.live.pages.len());
        self.lengths.clear();
        self.length_is_dirty = false;
        has_changed
    }
}

/// Keeps, where there is a history, what the disk holds of the dirty pages; `next` is about to take
/// its place.
fn remember(
    history: &mut Option<Box<History>>,
    durable: &Content,
    dirty: &BTreeMap<usize, Vec<Page>>,
    next: &Content,
) {
    let Some(history) = history else { return };
    for page in dirty.keys() {
        if let Some(held) = durable.pages.get(*page) {
            history.note(*page, held, next.page(*page));
        }
    }
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes taken on the disk, in whole pages.
    pub(super) fn taken(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    /// Fills `into` from `offset` on; answers whether the file is that long.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> bool {
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > self.length) {
            return false;
        }
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            let held = bytes_of(self.page(page_of(at))).get(within_page(at)..).unwrap_or_default();
            let count = held.len().min(rest.len());
            let (now, _) = rest.split_at_mut(count);
            now.copy_from_slice(held.split_at(count).0);
            done += count;
        }
        true
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// The pages that are not all zeros by nature, each with its offset, cut to the length.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().enumerate().filter_map(|(index, page)| {
            let offset = (index * PAGE_BYTES) as u64;
            let count = self.length.saturating_sub(offset).min(PAGE_BYTES as u64) as usize;
            Some((offset, page.as_ref()?.get(..count)?))
        })
    }

    fn grow(&mut self, length: u64) {
        if length > self.length {
            self.length = length;
            self.pages.resize(length.div_ceil(PAGE_BYTES as u64) as usize, None);
        }
    }

    fn truncate(&mut self, length: u64) {
        self.length = length;
        self.pages.resize(length.div_ceil(PAGE_BYTES as u64) as usize, None);
        self.cut();
    }

    /// For bytes within the length.
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = within_page(offset);
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            let target = self.page_mut(page_of(offset)).get_mut(within..within + now.len());
            if let Some(target) = target {
                target.copy_from_slice(now);
            }
            offset += now.len() as u64;
            rest = later;
        }
    }

    fn page(&self, index: usize) -> &Page {
        self.pages.get(index).unwrap_or(&None)
    }

    fn page_mut(&mut self, index: usize) -> &mut PageBytes {
        if index >= self.pages.len() {
            self.pages.resize(index + 1, None);
        }
        let page = self.pages.get_mut(index).expect("resized to have it just above");
        Arc::make_mut(page.get_or_insert_with(|| Arc::new(ZEROS)))
    }

    /// Sets a page that lies within the length; others have no place.
    fn set_page(&mut self, index: usize, page: Page) {
        if let Some(place) = self.pages.get_mut(index) {
            *place = page;
        }
    }

    /// Zeroes what the last page holds behind the length: a file that grows again shows zeros there.
    fn cut(&mut self) {
        let within = within_page(self.length);
        if within != 0 && self.pages.last().is_some_and(Option::is_some) {
            let last = page_of(self.length);
            if let Some(behind) = self.page_mut(last).get_mut(within..) {
                behind.fill(0);
            }
        }
    }
}

fn page_of(offset: u64) -> usize {
    (offset / PAGE_BYTES as u64) as usize
}

fn within_page(offset: u64) -> usize {
    (offset % PAGE_BYTES as u64) as usize
}

pub(super) fn bytes_of(page: &Page) -> &PageBytes {
    page.as_deref().unwrap_or(&ZEROS)
}

/// Whether two pages hold the same bytes.
pub(super) fn is_same(one: &Page, other: &Page) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) if Arc::ptr_eq(one, other) => true,
        _ => bytes_of(one) == bytes_of(other),
    }
}

static ZEROS: PageBytes = [0; PAGE_BYTES];

/// How often a store is taken to have its pages written back in the middle of it.
const WRITE_BACK_IN_256: u8 = 64;

/// How many versions between the old and the last are kept of one page, or one length.
const VERSIONS_MAX: usize = 4;
