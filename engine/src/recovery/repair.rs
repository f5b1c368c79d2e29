//! The one part of recovery that changes files.
//!
//! Owns: [`repair`]. May call: own, storage. Applies what has been decided, in an order in which a
//! crash between any two steps leads the next recovery to the same decision:
//!
//! 1. Seals that had not reached the disk are written from the next header's word.
//! 2. The accepted tail, from the last point proved durable on, is stored again as it stands: after
//!    a failed sync the page cache may show bytes, for clean, that the device does not have.
//!    So is the end of each sealed segment without an index, from its last event on: that event is
//!    durable, but the seal behind it need not be, and the index that the segment gets says it is.
//! 3. Those files are synced. From here on all that was accepted is durable.
//! 4. What follows X in its segment is zeroed, and so are later segments, headers included. Their
//!    synced positions were not above X's: if they come back, they are no evidence later either.
//!    First of all a mark is stored where the zeros are to begin, and each file is synced.
//! 5. The marks are zeroed, and the files synced again. Only now may something be appended at X: a
//!    stale frame behind it would otherwise stand where new ones go.
//! 6. Where a truncation has left files, or a copy of the base is wrong or missing, both copies are stored
//!    again: the directory's sync that gave them their names may have failed.
//! 7. Files that are of no use are removed, and the directory is synced. What a truncation has left
//!    stays if there was no room for 6: should a crash take the base's names back, the log begins
//!    in front of it, and has all that it had there.
//!
//! What is stored again stands there already; before other bytes are stored into a file that a
//! backup has too, this log gets one of its own ([`super::own`]).
//!
//! Steps 1 to 3 add nothing that was not accepted, and steps 4 and 5 take away nothing that was.
//! The mark is there for a failed sync, after which the page cache shows zeros that the device does
//! not have: the next recovery meets it and stores every zero again. Without it stale frames could
//! come back behind a header that is made again just as it was. Where step 5 itself fails, a mark
//! may come back alone, at the start of an unused segment: the next recovery clears it.

use std::io;
use std::sync::Arc;

use quipu_format::zeros::last_nonzero;
use quipu_format::{ByteOffset, SegmentSeq};

use super::decide::Observed;
use super::inventory::{Found, Inventory};
use super::own::open_own;
use super::scan::{Accepted, Walk};
use crate::error::OpenError;
use crate::options::Options;
use crate::segment::base::{self, Base};
use crate::segment::name::{base_names, unfinished_base_name};
use crate::segment::reader::Segment;
use crate::storage::{Directory, File};

/// What the directory has for the writer, after repair.
#[derive(Debug)]
pub(crate) struct Repaired {
    /// Segments that are ready for use, in order.
    pub(crate) unused: Vec<SegmentSeq>,
    /// The first sequence number that no file has.
    pub(crate) next: SegmentSeq,
    /// Whether there was room for the copies of the base that had to be stored again.
    pub(crate) base_is_stored: bool,
}

/// Makes what was accepted durable, and what was not, nothing.
pub(crate) fn repair(
    directory: &Arc<dyn Directory>,
    inventory: &Inventory,
    walk: &Walk,
    observed: &Observed,
    options: &Options,
) -> Result<Repaired, OpenError> {
    store_tail_again(directory, inventory, walk)?;
    if observed.bytes_after > 0 {
        let behind = |found: &&Found| found.sequence >= walk.stop.sequence;
        for found in inventory.segments.iter().filter(behind) {
            let stopped_here = found.sequence == walk.stop.sequence;
            let from = if stopped_here { walk.stop.offset } else { ByteOffset::ZERO };
            zero(directory, inventory, found, from)?;
        }
    }
    let mut useless: Vec<&str> = inventory.unfinished.iter().map(String::as_str).collect();
    let mut base_is_stored = true;
    if let Some(base) = &inventory.base
        && (base.unsound > 0 || !inventory.leftovers.is_empty())
    {
        base_is_stored = store_base_again(directory, base)?;
        // It has taken these names meanwhile.
        let taken = base_names(base.first).map(|name| unfinished_base_name(&name));
        useless.retain(|name| !taken.iter().any(|taken| taken == name));
    }
    if base_is_stored {
        useless.extend(inventory.leftovers.iter().map(String::as_str));
    }
    let (unused, next) = tidy(directory, inventory, walk, options, useless)?;
    Ok(Repaired { unused, next, base_is_stored })
}

/// Step 6. `false`: there was no room.
fn store_base_again(directory: &Arc<dyn Directory>, base: &Base) -> Result<bool, OpenError> {
    match base::store(&**directory, base.first, &base.bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.is_full() => {
            tracing::warn!(%error, "what a truncation has left stays until there is room");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Steps 1 to 3.
fn store_tail_again(
    directory: &Arc<dyn Directory>,
    inventory: &Inventory,
    walk: &Walk,
) -> Result<(), OpenError> {
    // The last event that is proved durable; what stands in front of its frame is durable too.
    let proved = walk.chain.synced_position.before();
    let holds_proved =
        |accepted: &Accepted| proved.is_some_and(|proved| accepted.header.base_position <= proved);
    let first = walk.accepted.iter().rposition(holds_proved);
    for (place, accepted) in walk.accepted.iter().enumerate() {
        let found = inventory.get(accepted.header.sequence)?;
        let error = |operation| move |error| inventory.error(operation, &found.name, error);
        // An index was stored only when all of its segment was on the device.
        if accepted.own.is_some() {
            continue;
        }
        let file = match accepted.healed_seal {
            Some(_) => open_own(directory, inventory, found)?,
            None => found.open()?,
        };
        if let (Some(seal), Some(offset)) = (&accepted.healed_seal, accepted.sealed_at) {
            file.write_at(offset.as_u64(), seal).map_err(error("write the seal of"))?;
        }
        let from = match proved {
            Some(proved) if first == Some(place) => accepted.landmarks.before(proved),
            // Its events are proved durable, but not the seal behind them, which its index is going
            // to say of it.
            _ if first.is_some_and(|first| place < first) => accepted.before_last_event(),
            _ => ByteOffset::ZERO,
        };
        let length = accepted.end.as_u64().saturating_sub(from.as_u64());
        file.store_again(from.as_u64(), length).map_err(error("write"))?;
        file.sync().map_err(error("sync"))?;
    }
    Ok(())
}

/// Written at a time. Small: large writes make large folios of the page cache, and later small
/// stores then dirty all of one.
const PIECE_BYTES: usize = 16 << 10;

/// Stands where zeros are to begin until they are durable. No frame and no header begins so: as a
/// length and kind it comes without its checksum, as a magic it is half written.
const MARK: [u8; 8] = *b"Q\0\0\0\0\0\0\0";

/// Steps 4 and 5 for one file: zeroes what is not zero from `from` on.
fn zero(
    directory: &Arc<dyn Directory>,
    inventory: &Inventory,
    found: &Found,
    from: ByteOffset,
) -> Result<(), OpenError> {
    let (from, mut file) = (from.as_u64(), found.open()?);
    let error = |operation, at| move |error| inventory.error(operation, &found.name, error).at(at);
    let room = usize::try_from(found.length.saturating_sub(from)).unwrap_or(usize::MAX);
    let mark = MARK.get(..room).unwrap_or(&MARK);
    let zeros = vec![0; PIECE_BYTES];
    let store_zeros = |file: &dyn File, at: u64, length: usize| {
        let stored = file.write_at(at, zeros.get(..length).unwrap_or(&zeros));
        stored.map_err(error("zero the tail of", at))
    };
    let mut piece = vec![0; PIECE_BYTES];
    // With a mark there, an earlier recovery did not get to the end: what reads as zeros may be so
    // in the page cache alone.
    let (mut marked, mut all) = (false, false);
    let mut at = from;
    while at < found.length {
        let wanted = usize::try_from(found.length - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let Some(bytes) = piece.get_mut(..wanted) else { break };
        file.read_at(at, bytes).map_err(error("read", at))?;
        all |= at == from && bytes.starts_with(&MARK);
        if all || last_nonzero(bytes).is_some() {
            if !marked {
                file = open_own(directory, inventory, found)?;
                file.write_at(from, mark).map_err(error("zero the tail of", from))?;
                marked = true;
            }
            let kept = if at == from { mark.len() } else { 0 };
            store_zeros(&*file, at + kept as u64, wanted - kept)?;
        }
        at += wanted as u64;
    }
    if marked {
        file.sync().map_err(error("sync", from))?;
        store_zeros(&*file, from, mark.len())?;
        file.sync().map_err(error("sync", from))?;
    }
    Ok(())
}

/// Step 7. Keeps the unused segments that follow the last one in use without a gap and have the
/// size that is wanted now. The first that follows is kept in any case, to be replaced when the
/// next segment is prepared: a sealed segment whose successor has no name is damage. Gives them,
/// and the first number behind them.
fn tidy<'a>(
    directory: &Arc<dyn Directory>,
    inventory: &'a Inventory,
    walk: &Walk,
    options: &Options,
    mut useless: Vec<&'a str>,
) -> Result<(Vec<SegmentSeq>, SegmentSeq), OpenError> {
    let behind = match walk.accepted.last() {
        Some(last) => last.header.sequence.plus(1),
        None => walk.first,
    };
    let mut next = behind;
    let mut unused = Vec::new();
    for found in inventory.segments.iter().filter(|found| found.sequence >= behind) {
        if found.sequence == next && found.length == options.segment_bytes {
            unused.push(next);
            next = next.plus(1);
        } else if found.sequence != behind {
            useless.push(&found.name);
        }
    }
    let is_indexed = |sequence: &SegmentSeq| {
        let of = walk.accepted.iter().find(|accepted| accepted.header.sequence == *sequence);
        of.is_some_and(|accepted| accepted.sealed.is_some())
    };
    let orphans = inventory.sidecars.iter().filter(|(sequence, _)| !is_indexed(sequence));
    useless.extend(orphans.map(|(_, name)| name.as_str()));
    for name in &useless {
        match directory.remove(name) {
            // A copy has had that name since, and has got its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(|error| inventory.error("remove", name, error))?,
        }
    }
    if !useless.is_empty() {
        directory.sync().map_err(|error| inventory.error("sync the directory of", "", error))?;
    }
    debug_assert!(walk.accepted.iter().all(|accepted| accepted.end >= Segment::FIRST_FRAME));
    Ok((unused, next))
}
