//! Decay: bytes that a device has kept badly.

use super::state::SimInode;
use super::{PAGE_BYTES, SECTOR_BYTES};

/// One defect, for [`super::SimDisk::corrupt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Decay {
    fn offset(self) -> u64 {
        match self {
            Self::FlipBit { offset, .. }
            | Self::ZeroSector { offset }
            | Self::UnreadableSector { offset } => offset,
        }
    }
}

impl SimInode {
    /// Answers whether the file is long enough to have the place.
    pub(super) fn decay(&mut self, decay: Decay) -> bool {
        let offset = decay.offset();
        if offset >= self.image.live().length() {
            return false;
        }
        let within = (offset % PAGE_BYTES as u64) as usize;
        let sector = within - within % SECTOR_BYTES;
        match decay {
            Decay::FlipBit { bit, .. } => self.image.alter(offset, |page| {
                if let Some(byte) = page.get_mut(within) {
                    *byte ^= 1 << (bit & 7);
                }
            }),
            Decay::ZeroSector { .. } => self.image.alter(offset, |page| {
                if let Some(bytes) = page.get_mut(sector..sector + SECTOR_BYTES) {
                    bytes.fill(0);
                }
            }),
            Decay::UnreadableSector { .. } => {
                self.unreadable.insert(offset / SECTOR_BYTES as u64);
            }
        }
        true
    }
}
