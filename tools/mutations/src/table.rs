//! The list of planted bugs.
//!
//! Owns: [`Table`], [`Mutation`]. Reads `mutations.toml`, and checks it against the sources without
//! building anything.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::hunter::Hunter;

/// All planted bugs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// In the order of the list.
    #[serde(rename = "mutation")]
    pub mutations: Vec<Mutation>,
}

/// One planted bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// What the bug is: a sentence.
    pub name: String,
    /// Which part of the log it is about.
    pub group: String,
    /// What is changed for it.
    #[serde(rename = "edit")]
    pub edits: Vec<Edit>,
    /// Who is to find it, in this order, each given a bound.
    pub hunters: Vec<Hunter>,
    /// Why it changes nothing that anybody could see. Then nobody may find anything.
    pub harmless: Option<String>,
}

/// Text in a file, and what to put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The path from the repository's root.
    pub file: String,
    /// Text that is there exactly once.
    pub find: String,
    /// Text for its place.
    pub replace: String,
}

impl Table {
    /// The list that belongs to this program.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn read() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations.toml");
        let text = std::fs::read_to_string(&path).context("reading mutations.toml")?;
        toml::from_str(&text).context("reading mutations.toml")
    }

    /// Whether every bug can be planted in the sources at `root`.
    ///
    /// # Errors
    /// The first that cannot, or that is in the list twice.
    pub fn check(&self, root: &Path) -> Result<()> {
        let mut names = BTreeSet::new();
        for mutation in &self.mutations {
            let name = &mutation.name;
            ensure!(names.insert(name), "{name:?} is in the list twice");
            ensure!(!mutation.hunters.is_empty(), "{name:?} has no hunter");
            for edit in &mutation.edits {
                edit.apply(root, false).with_context(|| format!("{name:?}"))?;
            }
        }
        Ok(())
    }
}

impl Edit {
    /// Makes the change, or only sees that it can be made.
    ///
    /// # Errors
    /// The text is not there exactly once.
    pub fn apply(&self, root: &Path, write: bool) -> Result<()> {
        let Self { file, find, replace } = self;
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        let count = text.matches(find.as_str()).count();
        ensure!(count == 1, "{file} has this {count} times, not once:\n{find}");
        ensure!(find != replace, "{file}: nothing is changed by:\n{find}");
        if write {
            let changed = text.replacen(find.as_str(), replace, 1);
            std::fs::write(&path, changed).with_context(|| format!("writing {file}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_can_be_planted_in_the_sources_as_they_are() {
        let table = Table::read().unwrap();
        table.check(&crate::tree::root()).unwrap();
        let bugs = table.mutations.iter().filter(|mutation| mutation.harmless.is_none());
        assert!(bugs.count() >= 50);
    }

    #[test]
    fn text_that_is_not_there_once_is_refused() {
        let root = crate::tree::root();
        let edit = |find: &str| Edit {
            file: "README.md".to_owned(),
            find: find.to_owned(),
            replace: String::new(),
        };
        assert!(edit("# Quipu\n").apply(&root, false).is_ok());
        assert!(edit("e").apply(&root, false).is_err());
        assert!(edit("nobody has written this").apply(&root, false).is_err());
    }
}
