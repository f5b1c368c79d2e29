//! A segment's file that is this log's alone.
//!
//! Owns: [`open_own`]. May call: storage, segment's copy. A full segment may be one file with that
//! of a backup, under two names, and any segment with that of whoever has made links by himself.
//! What this log makes of it is nothing to the other: before recovery stores other bytes into it,
//! and before the writer goes on in it, this log gets a copy.
//!
//! The order of effects, so that a crash leaves the one file or the other, both whole and the same:
//! copied under a temporary name, synced, renamed, the directory synced.

use std::io;
use std::sync::Arc;

use super::inventory::{Found, Inventory};
use crate::error::OpenError;
use crate::segment::copy::{CopyError, copy};
use crate::segment::name::prepared_name;
use crate::storage::{Directory, File};

/// Opens a segment's file for storing other bytes into it.
pub(super) fn open_own(
    directory: &Arc<dyn Directory>,
    inventory: &Inventory,
    found: &Found,
) -> Result<Arc<dyn File>, OpenError> {
    let shared = found.open()?;
    let error = |operation| move |error| inventory.error(operation, &found.name, error);
    if shared.names().map_err(error("look at"))? <= 1 {
        return Ok(shared);
    }
    let temporary = prepared_name(found.sequence);
    if inventory.unfinished.contains(&temporary) {
        match directory.remove(&temporary) {
            // Repair has removed it by now.
            Err(failed) if failed.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(error("remove what is left of"))?,
        }
    }
    let file = directory.create(&temporary).map_err(error("copy"))?;
    copy(&*shared, &*file, found.length, found.length).map_err(|failed| match failed {
        CopyError::Read { offset, error } => inventory.error("read", &found.name, error).at(offset),
        CopyError::Write { offset, error } => {
            inventory.error("copy", &found.name, error).at(offset)
        }
    })?;
    file.sync().map_err(error("sync"))?;
    directory.rename(&temporary, &found.name).map_err(error("rename"))?;
    directory.sync().map_err(error("sync the directory of"))?;
    Ok(file)
}
