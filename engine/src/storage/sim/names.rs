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
    Create { name: String, id: FileId },
    Rename { from: String, to: String, id: FileId },
    Remove { name: String, id: FileId },
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

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<FileId> {
        let id = self.find(from)?;
        self.live.remove(from);
        self.live.insert(to.to_owned(), id);
        self.pending.push(Change::Rename { from: from.to_owned(), to: to.to_owned(), id });
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
            Change::Create { name: other, .. } | Change::Remove { name: other, .. } => {
                other != name
            }
            Change::Rename { to, .. } => to != name,
        });
        live.or(durable).is_some()
    }

    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.live);
    }

    /// Some of the changes are durable, the others will never be.
    pub(super) fn fail_sync(&mut self, choose: &mut dyn Choose) {
        self.durable = self.survive(choose);
        self.pending.clear();
    }

    /// The names after a crash: each pending change is done or not, whatever became of the others.
    pub(super) fn survive(&self, choose: &mut dyn Choose) -> BTreeMap<String, FileId> {
        let mut names = self.durable.clone();
        for change in &self.pending {
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
            Self::Create { name, id } => {
                names.insert(name.clone(), *id);
            }
            Self::Rename { to, id, .. } => {
                // Whichever name it has been left under by what was done before.
                names.retain(|_, other| other != id);
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
            Self::Create { id, .. } | Self::Rename { id, .. } | Self::Remove { id, .. } => *id,
        }
    }

    fn describe(&self) -> Unsynced {
        match self {
            Self::Create { name, .. } => Unsynced::Create(name.clone()),
            Self::Rename { from, to, .. } => {
                Unsynced::Rename { from: from.clone(), to: to.clone() }
            }
            Self::Remove { name, .. } => Unsynced::Remove(name.clone()),
        }
    }
}

/// Refuses what is not a plain file name.
pub(super) fn check(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file name"));
    }
    Ok(())
}
