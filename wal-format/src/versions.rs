//! The versions that stand between body and trailer.
//!
//! Owns: [`FirstVersions`]. May call: ids, layout.

use crate::ids::Version;
use crate::layout::versions;

/// The versions that the streams of a batch got at their first events in it.
#[derive(Debug, Clone, Copy)]
pub struct FirstVersions<'a> {
    entries: &'a [u8],
}

impl<'a> FirstVersions<'a> {
    pub(crate) const fn new(entries: &'a [u8]) -> Self {
        Self { entries }
    }

    /// That of stream `index` of the table.
    #[must_use]
    #[inline]
    pub fn of(&self, index: u32) -> Option<Version> {
        let at = (index as usize).checked_mul(versions::ENTRY_BYTES)?;
        let entry = self.entries.get(at..)?.first_chunk()?;
        Some(Version::new(u64::from_le_bytes(*entry)))
    }
}
