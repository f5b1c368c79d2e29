//! Decay: bytes that a device has kept badly, or has put where they do not belong.

use std::ops::Range;

use super::image::{PageBytes, Sides, bytes_of};
use super::state::State;
use super::{PAGE_BYTES, SECTOR_BYTES};

/// One defect of a file, for [`super::SimDisk::corrupt`]. Where a second place is involved, it is
/// named too; it may be in the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decay {
    /// One bit of one byte is the other way round.
    FlipBit {
        /// The byte's offset in the file.
        offset: u64,
        /// The bit, 0 to 7.
        bit: u8,
    },
    /// A sector holds zeros.
    ZeroSector {
        /// Any offset in the sector.
        offset: u64,
    },
    /// A sector cannot be read: positioned reads that touch it fail with `EIO`, until it is
    /// stored to. A mapping shows what it held; on a real machine it would answer with SIGBUS.
    UnreadableSector {
        /// Any offset in the sector.
        offset: u64,
    },
    /// What was meant for another sector has landed on this one.
    MisdirectedSector {
        /// Any offset in the sector on which it has landed.
        offset: u64,
        /// The sector that it was meant for.
        meant_for: Place,
        /// What that one holds.
        missed: Missed,
    },
    /// This page and another one have changed places.
    SwappedPages {
        /// Any offset in the page.
        offset: u64,
        /// The other page.
        with: Place,
    },
    /// A sector holds what it held at an earlier sync. Needs [`super::SimDisk::keep_history`].
    StaleSector {
        /// Any offset in the sector.
        offset: u64,
        /// Which of the older versions of its page: 1 for the one before the last, up to
        /// [`super::SimDisk::older_versions`].
        back: usize,
    },
    /// A page holds what it held at an earlier sync. Needs [`super::SimDisk::keep_history`].
    StalePage {
        /// Any offset in the page.
        offset: u64,
        /// As for [`Decay::StaleSector`].
        back: usize,
    },
    /// The file has another length: it has lost its end, or has zeros behind it.
    Truncate {
        /// The length. A longer file costs 8 bytes of memory for each page.
        length: u64,
    },
}

/// A place on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Any offset in the sector or page.
    pub offset: u64,
}

/// What the sector holds that a misdirected store was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Its own: it was stored there once more, rightly.
    Own,
    /// What it held before. Needs [`super::SimDisk::keep_history`].
    Older {
        /// As for [`Decay::StaleSector`].
        back: usize,
    },
}

impl Place {
    /// A place in the file `file`.
    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        Self { file: file.into(), offset }
    }
}

impl State {
    /// Answers whether anything has changed. Where a place or an older version that the decay
    /// speaks of is not there, nothing has.
    pub(super) fn decay(&mut self, file: &str, decay: &Decay) -> bool {
        match *decay {
            Decay::FlipBit { offset, bit } => self.alter(file, offset, |page, _| {
                if let Some(byte) = page.get_mut((offset % PAGE_BYTES as u64) as usize) {
                    *byte ^= 1 << (bit & 7);
                }
            }),
            Decay::ZeroSector { offset } => {
                let zeros = [None, None];
                self.alter(file, offset, |page, side| copy(page, offset, &zeros, offset, side))
            }
            Decay::UnreadableSector { offset } => {
                let inode = self.named_mut(file).filter(|it| offset < it.image.live().length());
                inode.is_some_and(|inode| inode.unreadable.insert(sector_number(offset)))
            }
            Decay::MisdirectedSector { offset, ref meant_for, missed } => {
                self.misdirect(file, offset, meant_for, missed)
            }
            Decay::SwappedPages { offset, ref with } => {
                let here = self.around(file, offset);
                let there = self.around(&with.file, with.offset);
                let (Some(here), Some(there)) = (here, there) else { return false };
                let taken = self.alter(file, offset, |page, side| put(page, &there, side));
                let given = self.alter(&with.file, with.offset, |page, side| {
                    put(page, &here, side);
                });
                taken || given
            }
            Decay::StaleSector { offset, back } => {
                let Some(older) = self.older(file, offset, back) else { return false };
                self.alter(file, offset, |page, side| copy(page, offset, &older, offset, side))
            }
            Decay::StalePage { offset, back } => {
                let Some(older) = self.older(file, offset, back) else { return false };
                self.alter(file, offset, |page, side| put(page, &older, side))
            }
            Decay::Truncate { length } => {
                let Some(inode) = self.named_mut(file) else { return false };
                inode.unreadable.split_off(&length.div_ceil(SECTOR_BYTES as u64));
                inode.image.truncate(length)
            }
        }
    }

    fn misdirect(&mut self, file: &str, offset: u64, meant_for: &Place, missed: Missed) -> bool {
        let is_the_same =
            file == meant_for.file && sector_number(offset) == sector_number(meant_for.offset);
        let stored = self.around(&meant_for.file, meant_for.offset);
        let (Some(stored), false) = (stored, is_the_same) else { return false };
        let older = match missed {
            Missed::Own => None,
            Missed::Older { back } => {
                let older = self.older(&meant_for.file, meant_for.offset, back);
                let Some(older) = older else { return false };
                Some(older)
            }
        };
        let from = meant_for.offset;
        let Some(inode) = self.named_mut(file).filter(|it| offset < it.image.live().length())
        else {
            return false;
        };
        let readable = inode.unreadable.remove(&sector_number(offset));
        let landed = self.alter(file, offset, |page, side| copy(page, offset, &stored, from, side));
        let kept = older.is_some_and(|older| {
            self.alter(&meant_for.file, from, |page, side| copy(page, from, &older, from, side))
        });
        landed || kept || readable
    }

    fn alter(
        &mut self,
        file: &str,
        offset: u64,
        change: impl FnMut(&mut PageBytes, usize),
    ) -> bool {
        self.named_mut(file).is_some_and(|inode| inode.image.alter(offset, change))
    }

    /// The page around a place, if the file has it.
    fn around(&self, file: &str, offset: u64) -> Option<Sides> {
        let inode = self.named(file)?;
        (offset < inode.image.live().length()).then(|| inode.image.around(offset))
    }

    /// An older version of the page around a place, for both sides.
    fn older(&self, file: &str, offset: u64, back: usize) -> Option<Sides> {
        let history = self.named(file)?.image.history()?;
        let older = history.older(page_number(offset), back)?;
        Some([older.clone(), older.clone()])
    }

    /// How many older versions of the page around a place are kept.
    pub(super) fn older_versions(&self, file: &str, offset: u64) -> usize {
        let history = self.named(file).and_then(|inode| inode.image.history());
        history.map_or(0, |history| history.count(page_number(offset)))
    }
}

/// Copies the sector around the offset `from` of one of two pages over that around `to` of `page`.
fn copy(page: &mut PageBytes, to: u64, pages: &Sides, from: u64, side: usize) {
    let bytes = pages.get(side).map(bytes_of).and_then(|bytes| bytes.get(sector_in_page(from)));
    if let (Some(target), Some(bytes)) = (page.get_mut(sector_in_page(to)), bytes) {
        target.copy_from_slice(bytes);
    }
}

/// Copies one of two pages over `page`.
fn put(page: &mut PageBytes, pages: &Sides, side: usize) {
    if let Some(bytes) = pages.get(side) {
        page.copy_from_slice(bytes_of(bytes));
    }
}

fn sector_in_page(offset: u64) -> Range<usize> {
    let within = (offset % PAGE_BYTES as u64) as usize;
    let start = within - within % SECTOR_BYTES;
    start..start + SECTOR_BYTES
}

fn sector_number(offset: u64) -> u64 {
    offset / SECTOR_BYTES as u64
}

fn page_number(offset: u64) -> usize {
    (offset / PAGE_BYTES as u64) as usize
}
