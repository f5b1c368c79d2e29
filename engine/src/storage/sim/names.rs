//! The names of the simulated disk: as the machine sees them, and as a crash leaves them.

use std::collections::BTreeMap;
use std::io;

use super::survivors::{Choose, Unsynced};

/// Which file, whatever its name.
pub(super) type FileId = u64;

/// The directory's entries.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    live: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    /// What has been done since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Create {
        name: String,
        id: FileId,
    },
    /// One more name for a file that has others.
    Link {
        name: String,
        id: FileId,
    },
    Rename {
        /// The name that it had, and those from which it came to that one since the last sync:
        /// under which it is left depends on what else survives.
        from: Vec<String>,
        to: String,
        id: FileId,
    },
    Remove {
        name: String,
        id: FileId,
    },
}

impl Names {
    /// Names that are durable as they are.
    pub(super) fn settled(names: BTreeMap<String, FileId>) -> Self {
        Self { live: names.clone(), durable: names, pending: Vec::new() }
    }

    pub(super) fn live(&self) -> &BTreeMap<String, FileId> {
        &self.live
    }

    pub(super) fn find(&self, name: &str) -> io::Result<FileId> {
        self.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, name: &str, id: FileId) {
        self.live.insert(name.to_owned(), id);
        self.pending.push(Change::Create { name: name.to_owned(), id });
    }

    /// Gives a file one more name, which must be free.
    pub(super) fn link(&mut self, id: FileId, name: &str) {
        self.live.insert(name.to_owned(), id);
        self.pending.push(Change::Link { name: name.to_owned(), id });
    }

    /// How many names a file has.
    pub(super) fn count(&self, id: FileId) -> usize {
        self.live.values().filter(|other| **other == id).count()
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<FileId> {
        let id = self.find(from)?;
        if self.live.get(to) == Some(&id) {
            // Two names of one file: both stay, as POSIX has it.
            return Ok(id);
        }
        self.live.remove(from);
        self.live.insert(to.to_owned(), id);
        let came_from = self.pending.iter().rev().find_map(|change| match change {
            Change::Rename { from: before, to, id: of } if to == from && *of == id => Some(before),
            _ => None,
        });
        let mut names = came_from.cloned().unwrap_or_default();
        names.push(from.to_owned());
        self.pending.push(Change::Rename { from: names, to: to.to_owned(), id });
        Ok(id)
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let id = self.find(name)?;
        self.live.remove(name);
        self.pending.push(Change::Remove { name: name.to_owned(), id });
        Ok(())
    }

    /// Puts a name there at once, live and durable; nothing pending can undo it.
    pub(super) fn put(&mut self, name: &str, id: FileId) {
        self.take(name);
        self.live.insert(name.to_owned(), id);
        self.durable.insert(name.to_owned(), id);
    }

    /// Takes a name away at once, live and durable.
    pub(super) fn take(&mut self, name: &str) -> bool {
        let live = self.live.remove(name);
        let durable = self.durable.remove(name);
        self.pending.retain(|change| match change {
            Change::Create { name: other, .. }
            | Change::Link { name: other, .. }
            | Change::Remove { name: other, .. } => other != name,
            Change::Rename { to, .. } => to != name,
        });
        live.or(durable).is_some()
    }

    /// The names of one folder are durable.
    pub(super) fn sync(&mut self, folder: &str) {
        let Self { live, durable, pending } = self;
        pending.retain(|change| !is_in(folder, change.name()));
        durable.retain(|name, _| !is_in(folder, name));
        let own = live.iter().filter(|(name, _)| is_in(folder, name));
        durable.extend(own.map(|(name, id)| (name.clone(), *id)));
    }

    /// Some of the changes in one folder are durable, the others will never be.
    pub(super) fn fail_sync(&mut self, folder: &str, choose: &mut dyn Choose) {
        let is_own = |change: &Change| is_in(folder, change.name());
        self.durable = self.survive_where(&is_own, choose);
        self.pending.retain(|change| !is_own(change));
    }

    /// The names after a crash: each pending change is done or not, whatever became of the others.
    pub(super) fn survive(&self, choose: &mut dyn Choose) -> BTreeMap<String, FileId> {
        self.survive_where(&|_| true, choose)
    }

    fn survive_where(
        &self,
        may: &dyn Fn(&Change) -> bool,
        choose: &mut dyn Choose,
    ) -> BTreeMap<String, FileId> {
        let mut names = self.durable.clone();
        for change in self.pending.iter().filter(|change| may(change)) {
            let is_done = choose.one(2, &|| change.describe()) != 0;
            if is_done {
                change.apply(&mut names);
            }
        }
        names
    }

    /// Whether any name, live, durable or possible, leads to the file.
    pub(super) fn lead_to(&self, id: FileId) -> bool {
        self.live.values().chain(self.durable.values()).any(|other| *other == id)
            || self.pending.iter().any(|change| change.id() == id)
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Create { name, id } | Self::Link { name, id } => {
                names.insert(name.clone(), *id);
            }
            Self::Rename { from, to, id } => {
                // Whichever name it has been left under by what was done before.
                names.retain(|name, other| other != id || !from.contains(name));
                names.insert(to.clone(), *id);
            }
            Self::Remove { name, id } => {
                if names.get(name) == Some(id) {
                    names.remove(name);
                }
            }
        }
    }

    fn id(&self) -> FileId {
        match self {
            Self::Create { id, .. }
            | Self::Link { id, .. }
            | Self::Rename { id, .. }
            | Self::Remove { id, .. } => *id,
        }
    }

    /// The name that it makes, or takes away.
    fn name(&self) -> &str {
        match self {
            Self::Create { name, .. } | Self::Link { name, .. } | Self::Remove { name, .. } => name,
            Self::Rename { to, .. } => to,
        }
    }

    fn describe(&self) -> Unsynced {
        match self {
            Self::Create { name, .. } => Unsynced::Create(name.clone()),
            Self::Link { name, .. } => Unsynced::Link(name.clone()),
            Self::Rename { from, to, .. } => {
                let from = from.last().cloned().unwrap_or_default();
                Unsynced::Rename { from, to: to.clone() }
            }
            Self::Remove { name, .. } => Unsynced::Remove(name.clone()),
        }
    }
}

/// Whether a name stands right in a folder, which is "" or ends in a slash.
pub(super) fn is_in(folder: &str, name: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| !rest.contains('/'))
}

/// Refuses what is not a plain file name.
pub(super) fn check(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file name"));
    }
    Ok(())
}
