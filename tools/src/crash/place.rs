//! Where a campaign keeps its logs.
//!
//! Owns: [`Place`], a temporary directory that goes when all went well and stays when something is to
//! be looked at, or a directory that was given and stays in any case.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::outcome::Misuse;

/// A directory of a campaign's own.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Removed with this value.
    temporary: Option<TempDir>,
}

impl Place {
    /// The given directory, which must be empty or missing; else a temporary one.
    pub(super) fn new(prefix: &str, given: Option<&Path>) -> anyhow::Result<Self> {
        let Some(given) = given else {
            let temporary = tempfile::Builder::new().prefix(prefix).tempdir()?;
            let path = fs::canonicalize(temporary.path())?;
            return Ok(Self { path, temporary: Some(temporary) });
        };
        let cannot = || format!("cannot use {}", given.display());
        fs::create_dir_all(given).with_context(cannot)?;
        if fs::read_dir(given).with_context(cannot)?.next().is_some() {
            let given = given.display();
            let needs = "the campaign needs a directory of its own";
            return Err(Misuse::new(format!("{given} is not empty; {needs}")));
        }
        Ok(Self { path: fs::canonicalize(given).with_context(cannot)?, temporary: None })
    }

    /// A temporary directory in memory; `None`: there is no such place.
    pub(super) fn in_memory(prefix: &str) -> Option<Self> {
        let temporary = tempfile::Builder::new().prefix(prefix).tempdir_in(MEMORY).ok()?;
        let path = fs::canonicalize(temporary.path()).ok()?;
        Some(Self { path, temporary: Some(temporary) })
    }

    /// Its absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves everything where it is, and says where.
    pub(super) fn keep(self) -> PathBuf {
        if let Some(temporary) = self.temporary {
            return temporary.keep();
        }
        self.path
    }
}

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";
