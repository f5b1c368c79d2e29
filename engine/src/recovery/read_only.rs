//! Opening for reading only, perhaps beside a live writer.
//!
//! Owns: [`recover_read_only`]. May call: the parts of recovery that change nothing, storage's beacon.
//!
//! Invariant: beside a live writer nothing is taken in, by the index or any other way, that is not
//! proved durable: by what the writer says, or where it says nothing, by what later frames say. What
//! it has stored and not synced may be there in another form tomorrow.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use quipu_format::{LogId, Position};

use super::decide::{self, Decision, WrongMagic};
use super::indexes;
use super::inventory::{Found, Inventory};
use super::plan::wrong_magic;
use super::report::RecoveryReport;
use super::scan::{self, Walk};
use super::{Reached, Recovered, map_all, plan};
use crate::environment::Environment;
use crate::error::{Damage, OpenError};
use crate::index::StreamIndex;
use crate::options::Options;
use crate::storage::beacon::{self, Claim};
use crate::storage::{Access, Directory, IoError};

/// Opens the log in a directory for reading only. Changes nothing.
pub(crate) fn recover_read_only(
    directory: &Arc<dyn Directory>,
    options: &Options,
    environment: &Environment,
) -> Result<Recovered, OpenError> {
    let mut looks = 0;
    loop {
        looks += 1;
        match recover_once(directory, options, environment) {
            // A writer has dropped what was just found: the next look finds where the log begins now.
            Err(OpenError::Io(error))
                if error.io_error().kind() == io::ErrorKind::NotFound && looks < LOOKS_MAX => {}
            recovered => return recovered,
        }
    }
}

fn recover_once(
    directory: &Arc<dyn Directory>,
    options: &Options,
    environment: &Environment,
) -> Result<Recovered, OpenError> {
    let started = Instant::now();
    let Look { inventory, index, walk, damage, writer_lives, session } = look(directory, options)?;
    if !inventory.has_activated() && damage.is_none() {
        return Err(OpenError::NoLog { directory: directory.name() });
    }
    // Behind a base there is nothing in front of the first segment that could be read.
    if let Some(damage) = damage.as_ref().filter(|_| walk.accepted.is_empty())
        && inventory.base.is_some()
    {
        return Err(OpenError::Damaged(Box::new(damage.clone())));
    }
    let mut report = RecoveryReport::new(&inventory, &walk);
    // A foreign file behind what a live writer has made durable is told, and hinders nobody yet.
    let goes_on = damage.is_none() || walk.is_limited;
    report.damage = damage;
    let chain = walk.chain;
    let last = walk.accepted.last().filter(|_| goes_on);
    let reached = last.map(|last| Reached {
        header: last.header,
        offset: last.end,
        is_sealed: last.sealed.is_some(),
        chain,
        session,
    });
    let (end, synced) = match (walk.is_limited, writer_lives) {
        (true, _) => (chain.position, chain.position),
        // What a live writer has stored and not synced may still be taken back by a power cut.
        (false, true) => (walk.proved(), walk.proved()),
        (false, false) => (chain.position, walk.proved()),
    };
    // Of what was walked, all below the end that is shown is durable.
    let durable_to = writer_lives.then_some(end);
    let checkpoints = walk.checkpoints.into_checkpoints(durable_to);
    report.checkpoints = checkpoints.len();
    let segments = map_all(&inventory, walk.accepted, false)?;
    let made = indexes::complete(&**directory, false, &segments, &index, || environment.threads());
    report.count_indexes(walk.indexes, made);
    report.log_id = inventory.log_id().unwrap_or(NO_LOG_ID);
    report.time_taken = started.elapsed();
    Ok(Recovered { report, segments, index, checkpoints, end, synced, writer: None, reached })
}

/// What a reader has seen of a directory.
struct Look {
    inventory: Inventory,
    index: StreamIndex,
    walk: Walk,
    damage: Option<Damage>,
    writer_lives: bool,
    /// That of the writer whose word was taken.
    session: Option<u64>,
}

/// How often a reader looks again before it takes the end it has seen for the writer's.
const LOOKS_MAX: usize = 8;

/// Looks at a directory, perhaps beside a live writer.
///
/// A writer goes on while this looks: what was read behind X may be younger than what was read at
/// X, and prove that more is durable than was stored when X was read. So it is damage only if the
/// next look, which begins after that proof was read, finds it at the same place.
///
/// Beside a writer that does not say how far the log is durable, the first look finds out how far that
/// is proved by frames, and the second goes no further.
fn look(directory: &Arc<dyn Directory>, options: &Options) -> Result<Look, OpenError> {
    let is_locked = || {
        let looked = directory.is_locked();
        looked.map_err(|error| IoError::new("look at the lock of", directory.name(), error))
    };
    let mut damaged_before = None;
    let mut proved: Option<Position> = None;
    let mut looks = 0;
    loop {
        looks += 1;
        let locked_before = is_locked()?;
        // Before the frames are read: what it claims is there by then.
        let claim = if locked_before { claim_of(&**directory) } else { None };
        let inventory = Inventory::take(directory, Access::Read)?;
        plan::check(&inventory)?;
        let claim = claim.filter(|claim| Some(claim.log_id) == inventory.log_id());
        let index = StreamIndex::new(inventory.log_id().unwrap_or(NO_LOG_ID));
        let limit = proved.take().or(claim.map(|claim| claim.position));
        let walk = scan::walk(&inventory, &index, options.verify_on_open, limit)?;
        let session = claim.map(|claim| claim.session);
        if walk.is_limited {
            let (damage, writer_lives) = (foreign_behind(&inventory, &walk), true);
            return Ok(Look { inventory, index, walk, damage, writer_lives, session });
        }
        let observed = scan::observe(&inventory, &walk)?;
        let mut damage = walk.damage(&inventory, decide::decide(&observed));
        let writer_lives = locked_before || is_locked()?;
        let place = damage.as_ref().map(|damage| (damage.file.clone(), damage.offset));
        if writer_lives && damage.is_some() && damaged_before != place {
            if looks < LOOKS_MAX {
                damaged_before = place;
                continue;
            }
            damage = None;
        }
        if writer_lives && damage.is_none() && looks < 2 * LOOKS_MAX {
            proved = Some(walk.proved());
            continue;
        }
        return Ok(Look { inventory, index, walk, damage, writer_lives, session });
    }
}

/// A file behind the end of what a live writer has made durable that is none of its own.
fn foreign_behind(inventory: &Inventory, walk: &Walk) -> Option<Damage> {
    let behind = inventory.segments.iter().filter(|found| found.sequence >= walk.stop.sequence);
    let wrong = |found: &Found| Some((inventory.path(&found.name), wrong_magic(found.header)?));
    let (file, error) = behind.into_iter().find_map(wrong)?;
    walk.damage(inventory, Decision::RefuseFile(WrongMagic { file, error }))
}

/// What the writer says that holds the lock, or one before it in this boot.
fn claim_of(directory: &dyn Directory) -> Option<Claim> {
    let boot = directory.boot().ok()?;
    // One that cannot be read is as good as none.
    beacon::read(directory, true).ok().flatten().filter(|claim| claim.boot == boot)
}

/// Of a log that has none yet, for reading.
const NO_LOG_ID: LogId = LogId::from_bytes([0; 16]);
