//! The base of a log whose first segments have been dropped: two files with the same bytes.
//!
//! Owns: [`Base`], [`load`], [`store`]. May call: storage, the format. Nothing else says what a base says:
//! one bad copy is made good from the other, and two bad ones are damage.
//!
//! The order of effects when it is stored: both copies are written under temporary names and synced; only
//! then are both renamed, and the directory synced. So a file of this name has been whole and on the
//! device: one that is not whole has decayed.

use std::io;

use quipu_format::sidecar::{LogBase, SidecarError};
use quipu_format::{ByteOffset, Chain, LogId, SegmentSeq};

use super::name::{base_names, unfinished_base_name};
use crate::storage::{Access, Directory, IoError};

/// A base that has been verified.
#[derive(Debug)]
pub(crate) struct Base {
    /// The file that it was read from.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) log_id: LogId,
    /// The first segment that is kept.
    pub(crate) first: SegmentSeq,
    /// The state of the log in front of it,
    pub(crate) chain: Chain,
    /// and where the segment in front of it ended.
    pub(crate) seal_end: ByteOffset,
    /// How many of the copies are wrong or missing.
    pub(crate) unsound: usize,
}

/// Why a copy is not used.
#[derive(Debug)]
pub(crate) enum BadCopy {
    /// It cannot be read.
    Io(IoError),
    /// It is not what was written.
    Wrong(SidecarError),
    /// It is in front of another segment.
    Misnamed(SegmentSeq),
}

impl Base {
    /// Verifies the bytes of a file, or of one that is to be.
    pub(crate) fn of(name: &str, bytes: Vec<u8>) -> Result<Self, SidecarError> {
        let base = LogBase::decode(&bytes)?;
        let (log_id, first) = (base.log_id(), base.first_segment());
        let (chain, seal_end) = (base.chain(), base.seal_end());
        Ok(Self { name: name.to_owned(), bytes, log_id, first, chain, seal_end, unsound: 0 })
    }

    /// What it says.
    pub(crate) fn view(&self) -> Result<LogBase<'_>, SidecarError> {
        LogBase::decode(&self.bytes)
    }
}

/// The base in front of a segment, by the first copy that is right. Else why each is not used, by name;
/// nothing, if there is none.
pub(crate) fn load(
    directory: &dyn Directory,
    first: SegmentSeq,
) -> Result<Base, Vec<(String, BadCopy)>> {
    let mut bad = Vec::new();
    let mut found: Option<Base> = None;
    let mut unsound = 0;
    for name in base_names(first) {
        let copy = match read(directory, &name) {
            Ok(None) => {
                unsound += 1;
                continue;
            }
            Ok(Some(bytes)) => match Base::of(&name, bytes) {
                Ok(base) if base.first != first => Err(BadCopy::Misnamed(base.first)),
                base => base.map_err(BadCopy::Wrong),
            },
            Err(error) => Err(BadCopy::Io(error)),
        };
        match copy {
            Ok(copy) => {
                found.get_or_insert(copy);
            }
            Err(why) => {
                unsound += 1;
                bad.push((name, why));
            }
        }
    }
    let found = found.ok_or(bad)?;
    Ok(Base { unsound, ..found })
}

/// Read with positioned reads: a bad sector is an error, no signal. `None`: there is no such file.
fn read(directory: &dyn Directory, name: &str) -> Result<Option<Vec<u8>>, IoError> {
    let failed = |error| IoError::new("read", format!("{}/{name}", directory.name()), error);
    let file = match directory.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let length = file.len().map_err(failed)?;
    // A file of holes that calls itself a base costs no memory: what it says of its length comes first.
    let mut start = vec![0; START_BYTES.min(usize::try_from(length).unwrap_or(START_BYTES))];
    file.read_at(0, &mut start).map_err(failed)?;
    let said = LogBase::length_said(&start);
    if said.is_none_or(|said| said != length) {
        return Ok(Some(start));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_at(0, &mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

const START_BYTES: usize = quipu_format::layout::base::BYTES;

/// Stores both copies, in the place of those that are there. After an error there may be new names that
/// are not durable, of files that are.
pub(crate) fn store(
    directory: &dyn Directory,
    first: SegmentSeq,
    bytes: &[u8],
) -> Result<(), IoError> {
    let names = base_names(first);
    let failed = |operation, name: &str| {
        let path = format!("{}/{name}", directory.name());
        move |error| IoError::new(operation, path, error)
    };
    let written = names.iter().try_for_each(|name| {
        let temporary = unfinished_base_name(name);
        let created = match directory.create(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                directory.remove(&temporary).and_then(|()| directory.create(&temporary))
            }
            created => created,
        };
        let file = created.map_err(failed("create", &temporary))?;
        file.write_at(0, bytes).map_err(failed("write", &temporary))?;
        file.sync().map_err(failed("sync", &temporary))
    });
    let named = written.and_then(|()| {
        let _names = directory.naming().lock();
        for name in &names {
            let renamed = directory.rename(&unfinished_base_name(name), name);
            renamed.map_err(failed("rename", name))?;
        }
        directory.sync().map_err(failed("sync the directory of", ""))
    });
    named.inspect_err(|_| {
        // The failure is what counts; a leftover that stays is removed on open.
        for name in &names {
            let _ = directory.remove(&unfinished_base_name(name));
        }
    })
}
